import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { delimiter, join } from 'node:path';
import { atExit } from './cleanup.js';
import { temporaryFolder } from './identity.js';
import { freePort } from './ports.js';
import { ServerProcess } from './server-process.js';
import { type Skipped, skip } from './skipped.js';

/** An nginx of our own that serves a folder. */
export interface Nginx extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** What it serves; files may come and go. */
  readonly root: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  kill9(): Promise<void>;
  dispose(): Promise<void>;
}

/**
 * The system's nginx on a free port, or why there is none; with CI=true the reason is thrown.
 *
 * @param locations added to the server's block
 */
export async function takeNginx(locations = ''): Promise<Nginx | Skipped> {
  if (findNginx() !== undefined) return startNginx(locations);
  const install =
    process.platform === 'darwin'
      ? 'run `brew install nginx`'
      : 'run `apt-get install -y --no-install-recommends nginx-light` as root';
  return skip(`No nginx on this machine. To have one, ${install}.`);
}

/** @param locations added to the server's block */
export async function startNginx(locations = ''): Promise<Nginx> {
  const program = findNginx();
  if (program === undefined) throw new Error('No nginx is installed here.');
  const port = await freePort();
  const folder = temporaryFolder('nginx', undefined);
  const root = join(folder, 'files');
  await mkdir(root);
  for (const place of [folder, root]) await chmod(place, 0o755);
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, root, port, locations));
  const args = ['-p', folder, '-c', join(folder, 'nginx.conf')];
  const name = `nginx on port ${port}`;
  const server = new ServerProcess({ name, program, args, folder, watched: true });
  const start = (): Promise<void> => server.start(() => answers(port));
  const dispose = async (): Promise<void> => {
    if (server.pid !== undefined) await server.kill9();
    await rm(folder, { recursive: true, force: true });
    atExit.removed(folder);
  };
  await start();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    root,
    start,
    stop: () => server.stop(),
    kill9: () => server.kill9(),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

let known: { readonly program: string | undefined } | undefined;

function findNginx(): string | undefined {
  if (known !== undefined) return known.program;
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((one) => one.startsWith('/'));
  const folders = [...path, '/usr/sbin', '/usr/bin', '/opt/homebrew/bin', '/usr/local/bin'];
  const program = folders
    .map((folder) => join(folder, 'nginx'))
    .filter((one) => existsSync(one))
    .find((one) => spawnSync(one, ['-v'], { timeout: 10_000 }).status === 0);
  known = { program };
  return program;
}

function configuration(folder: string, root: string, port: number, locations: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(folder, name)};`)
    .join('\n');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `daemon off;
${user}
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')};
events { worker_connections 256; }
http {
${temporary}
  access_log ${join(folder, 'access.log')};
  types { text/html html; application/octet-stream bin; }
  default_type application/octet-stream;
  sendfile on;
  server {
    listen 127.0.0.1:${port};
    root ${root};
${locations}
  }
}
`;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', agent: false }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on('error', () => resolve(false));
  });
}
