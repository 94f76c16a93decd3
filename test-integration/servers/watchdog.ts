import { spawn } from 'node:child_process';

/**
 * Kills a process and removes its folder when *this* process is gone, however it went: a shell reads from a
 * pipe whose other end only we hold. Without it a server outlives a test that was killed with -9.
 * Returns what calls it off.
 */
export function watchdog(pid: number, folder: string): () => void {
  const script = 'read -r _; kill -9 "$1"; sleep 1; rm -rf "$2"';
  const shell = spawn('/bin/sh', ['-c', script, 'outlast-watchdog', String(pid), folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  // neither may keep this process alive
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return () => {
    shell.kill('SIGKILL');
  };
}
