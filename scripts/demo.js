// `npm run demo`: the fault drill, on a bare machine too. See demo/src/main.ts for what it takes.
import { bootstrap } from './bootstrap.js';

try {
  await bootstrap({ servers: 'npm' });
} catch (error) {
  console.error(`outlast: ${error.message}`);
  process.exit(2);
}
await import('../demo/dist/main.js');
