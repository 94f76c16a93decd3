import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * How many connections to these ports of this machine the server holds, by its end of them: established, or
 * closed by the client and not yet by the server, which may still have something of it to do.
 */
export function connectionsTo(ports: readonly number[]): number {
  const wanted = new Set(ports);
  return heldPorts().filter((port) => wanted.has(port)).length;
}

function heldPorts(): number[] {
  if (process.platform === 'linux') {
    return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line) => {
          // "0: local:port remote:port state": 01 is ESTABLISHED, 08 is CLOSE_WAIT
          const [, local = '', , state] = line.trim().split(/\s+/);
          return state === '01' || state === '08'
            ? [Number.parseInt(local.split(':')[1] ?? '', 16)]
            : [];
        }),
    );
  }
  const text = execFileSync('netstat', ['-an', '-p', 'tcp'], { encoding: 'utf8' });
  return text.split('\n').flatMap((line) => {
    const [, , , local = '', , state] = line.trim().split(/\s+/);
    return state === 'ESTABLISHED' || state === 'CLOSE_WAIT'
      ? [Number(local.slice(local.lastIndexOf('.') + 1))]
      : [];
  });
}
