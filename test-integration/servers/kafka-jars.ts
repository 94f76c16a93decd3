import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Kafka's jars in the cache folder, with what it takes to start them quickly. */
export interface KafkaInstallation {
  /** Such as `4.1.1`. */
  version: string;
  /** 4 for 4.1.1. */
  major: number;
  /** Absolute path of the program `java`. */
  java: string;
  /** Its arguments up to the class path, included. */
  args: string[];
  /** A data folder that is formatted for a cluster of node 1; to be copied. */
  formatted: string;
}

/** Those that the tests run on, the usual one first; scripts/kafka.js makes them ready. */
const VERSIONS = ['4.1.1', '3.9.1'];

/** Those that are ready in `OUTLAST_CACHE`, by default `~/.cache/outlast`. */
export function findKafka(): KafkaInstallation[] {
  const cache = process.env['OUTLAST_CACHE'] || join(homedir(), '.cache', 'outlast');
  return VERSIONS.flatMap((version) => installation(join(cache, `kafka-${version}`)) ?? []);
}

function installation(folder: string): KafkaInstallation | undefined {
  const file = join(folder, 'ready.json');
  if (!existsSync(file)) return undefined;
  const { version, java, args } = JSON.parse(readFileSync(file, 'utf8'));
  if (!existsSync(java)) return undefined;
  return {
    version,
    major: Number.parseInt(version, 10),
    java,
    args: args.map((arg: string) => arg.replace('{folder}', folder)),
    formatted: join(folder, 'formatted'),
  };
}
