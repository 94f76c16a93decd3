// `npm run demo`: the fault drill, on a bare machine too. See demo/src/main.ts for what it takes.
import { bootstrap } from './bootstrap.js';

try {
  // PostgreSQL comes with npm; any other system's server may have to be installed
  await bootstrap({
    servers: ['mysql', 'redis', 'kafka', 'mlflow'].filter((name) => process.argv.includes(name)),
  });
} catch (error) {
  console.error(`outlast: ${error.message}`);
  process.exit(2);
}
await import('../demo/dist/main.js');
