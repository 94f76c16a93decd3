// An MLflow server without Docker: a Python environment in a cache folder, and an empty database to copy.
// test-integration/servers/mlflow-venv.ts reads `ready.json`, which is written last.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const VERSION = '3.17.2';

/** The smallest set that serves: 350 MB instead of 850. The last two: basic-auth, and the second way to serve. */
const PACKAGES = [
  `mlflow-skinny==${VERSION}`,
  'flask==3.1.3',
  'flask-cors',
  'sqlalchemy>=2.1,<3',
  'alembic',
  'aiohttp',
  'numpy',
  'pandas',
  'flask-wtf',
  'gunicorn',
];

/** Makes the tables and the default experiment, as the first start of a server would. */
const MAKE_DATABASE = `import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore('sqlite:///' + sys.argv[1], 'mlflow-artifacts:/')`;

const OLDEST_PYTHON = 10;

/** Where the environment is kept between runs. */
function folder() {
  const cache = process.env.OUTLAST_CACHE || path.join(os.homedir(), '.cache', 'outlast');
  return path.join(cache, `mlflow-${VERSION}`);
}

/** Whether a server could be started at once. */
export function mlflowPresent() {
  return (
    fs.existsSync(path.join(folder(), 'ready.json')) &&
    fs.existsSync(path.join(folder(), 'venv/bin/python'))
  );
}

/** Whether there is what it takes to make it present: Python 3.10 or newer that can make environments. */
export function mlflowTools() {
  return findPython() !== undefined;
}

/** Makes the environment and the database. `run` rejects if a command fails. */
export async function prepareMlflow({ run, say }) {
  const at = folder();
  const venv = path.join(at, 'venv');
  const python = path.join(venv, 'bin/python');
  // What a run that was broken off has left is not to be trusted.
  fs.rmSync(at, { recursive: true, force: true });
  fs.mkdirSync(at, { recursive: true });
  say(`installing MLflow ${VERSION} from PyPI, once, into ${at}`);
  await run([findPython(), '-m', 'venv', venv], { asOwner: false });
  const quiet = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-cache-dir'];
  await run([python, '-m', 'pip', 'install', ...quiet, ...PACKAGES], {
    asOwner: false,
    advice: "Is PyPI, or the mirror of pip's settings, within reach?",
  });
  say('preparing an empty MLflow database, once');
  await run([python, '-c', MAKE_DATABASE, path.join(at, 'empty.db')], { asOwner: false });
  const ready = path.join(at, 'ready.json');
  fs.writeFileSync(`${ready}.new`, `${JSON.stringify({ version: VERSION })}\n`);
  fs.renameSync(`${ready}.new`, ready);
}

function findPython() {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/bin'];
  const more = ['/opt/homebrew/bin', '/usr/local/bin'];
  return [...new Set([...folders, ...more])]
    .map((one) => path.join(one, 'python3'))
    .filter((program) => path.isAbsolute(program) && fs.existsSync(program))
    .find((program) => {
      // Debian keeps what makes environments in a package of its own
      const script = 'import sys, venv, ensurepip; print(sys.version_info.minor)';
      const { status, stdout } = spawnSync(program, ['-c', script], {
        encoding: 'utf8',
        timeout: 20_000,
      });
      return status === 0 && Number(stdout) >= OLDEST_PYTHON;
    });
}
