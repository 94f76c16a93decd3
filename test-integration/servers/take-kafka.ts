import { startKafka } from './kafka.js';
import type { KafkaCluster } from './kafka-cluster.js';
import { dockerKafka } from './kafka-docker.js';
import { findKafka, type KafkaInstallation } from './kafka-jars.js';
import type { KafkaSettings } from './kafka-settings.js';
import { kafkaAt } from './kafka-url.js';
import { type Skipped, skip } from './skipped.js';

/** Which cluster is wanted. */
export interface TakeKafkaOptions {
  /** 1 (default) or 3. Three are always of our own, by the jars. */
  brokers?: number;
  /** Listeners for so many proxies before each broker. Default 1. */
  proxies?: number;
  /** Added to server.properties; without effect on a cluster given by URL. */
  settings?: KafkaSettings;
  /** `second`: the older of those the tests run on. Default: the newest. */
  version?: 'second';
  /** Whether it must be one that can be stopped and stand behind a proxy, so that KAFKA_URL is no answer. Default false. */
  own?: boolean;
}

/**
 * A Kafka to test against: the one that KAFKA_URL names → our own, from the jars that scripts/bootstrap.js
 * fetches → Docker's by testcontainers (one broker; untested where no engine is; first with
 * OUTLAST_SERVERS=docker). With nothing to be had, the reason is returned; with CI=true it is thrown.
 */
export async function takeKafka(options: TakeKafkaOptions = {}): Promise<KafkaCluster | Skipped> {
  const { own = false, version, ...rest } = options;
  const usual = version === undefined && (options.brokers ?? 1) === 1;
  let refused = '';
  if (usual && process.env['OUTLAST_SERVERS'] === 'docker') {
    try {
      return await dockerKafka(rest);
    } catch (error) {
      refused = `Docker, asked for by OUTLAST_SERVERS, gave none (${(error as Error).message}). `;
      console.warn(refused);
    }
  }
  const given = process.env['KAFKA_URL'];
  if (given && usual && !own) return kafkaAt(given);
  const installation = choose(findKafka(), version);
  if (installation) return startKafka({ installation, ...rest });
  if (usual && !refused) {
    try {
      return await dockerKafka(rest);
    } catch (error) {
      refused = `Docker gave none (${(error as Error).message}). `;
    }
  }
  return skip(missingKafka(version, refused));
}

function choose(
  found: KafkaInstallation[],
  version: TakeKafkaOptions['version'],
): KafkaInstallation | undefined {
  return found.find(({ major }) => (version === 'second' ? major === 3 : major === 4));
}

/** Why there is no Kafka, and the command that would bring one. */
export function missingKafka(version?: TakeKafkaOptions['version'], refused = ''): string {
  const what = version === 'second' ? 'second Kafka' : 'Kafka';
  const name = version === 'second' ? 'kafka-second' : 'kafka';
  const packages =
    process.platform === 'darwin'
      ? '`brew install maven openjdk`'
      : '`apt-get install -y --no-install-recommends maven default-jre-headless` as root';
  const url = version === 'second' ? '' : ', or set KAFKA_URL for the tests that break nothing';
  return `No ${what} is ready on this machine. ${refused}To have one, run \`node scripts/bootstrap.js ${name}\`; it needs Maven and Java 17: ${packages}${url}.`;
}
