import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface Options {
  readonly system: string;
  readonly seed: number;
  readonly seconds: number;
  readonly json: boolean;
  readonly help: boolean;
}

/** A command line that cannot be understood; its message says what would be valid. */
export class UsageError extends Error {}

const SECONDS = { least: 20, most: 600, usual: 50 };
const SEED = { least: 0, most: 4_294_967_295, usual: 18 };

/** The text of --help. */
export function usage(systems: readonly string[]): string {
  return `Usage: npm run demo -- [system] [--seed N] [--seconds N] [--json]

  system       ${systems.join(', ')}; default ${systems[0]}
  --seed N     which faults hit whom; default ${SEED.usual}
  --seconds N  length of the drill, ${SECONDS.least} to ${SECONDS.most}; default ${SECONDS.usual}
  --json       print the result as JSON, progress goes to stderr

Exit code: 0 ours held, 1 it did not, 2 the run proves nothing, 3 there is no server to run it on.`;
}

/** @throws UsageError */
export function parseOptions(args: readonly string[], systems: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const [system = systems[0] ?? '', ...more] = positionals;
  if (more.length > 0) {
    throw new UsageError(`One system at a time, please, not ${positionals.length}.`);
  }
  if (!systems.includes(system)) {
    throw new UsageError(`There is no drill for “${system}”. There is: ${systems.join(', ')}.`);
  }
  return {
    system,
    seed: wholeNumber('--seed', values.seed, SEED),
    seconds: wholeNumber('--seconds', values.seconds, SECONDS),
    json: values.json === true,
    help: values.help === true,
  };
}

function parse(args: readonly string[]): {
  values: { seed?: string; seconds?: string; json?: boolean; help?: boolean };
  positionals: string[];
} {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        seed: { type: 'string' },
        seconds: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function wholeNumber(
  flag: string,
  text: string | undefined,
  { least, most, usual }: { least: number; most: number; usual: number },
): number {
  if (text === undefined) return usual;
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new UsageError(`${flag} takes a whole number from ${least} to ${most}, not “${text}”.`);
}
