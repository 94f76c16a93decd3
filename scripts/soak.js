// `npm run soak -- postgres --minutes 10 --seed N`: random faults for as long as is asked. By hand.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.js';

await bootstrap();
const soak = fileURLToPath(new URL('../demo/dist/soak.js', import.meta.url));
const child = spawn(process.execPath, ['--expose-gc', soak, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
