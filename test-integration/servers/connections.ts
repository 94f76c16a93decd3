import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How many connections to these ports of this machine are established, by the server's end of them. */
export function connectionsTo(ports: readonly number[]): number {
  const wanted = new Set(ports);
  return establishedPorts().filter((port) => wanted.has(port)).length;
}

function establishedPorts(): number[] {
  if (process.platform === 'linux') {
    return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line) => {
          // "0: local:port remote:port state": 01 is ESTABLISHED
          const [, local = '', , state] = line.trim().split(/\s+/);
          return state === '01' ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : [];
        }),
    );
  }
  const text = execFileSync('netstat', ['-an', '-p', 'tcp'], { encoding: 'utf8' });
  return text.split('\n').flatMap((line) => {
    const [, , , local = '', , state] = line.trim().split(/\s+/);
    return state === 'ESTABLISHED' ? [Number(local.slice(local.lastIndexOf('.') + 1))] : [];
  });
}
