import { statSync } from 'node:fs';
import { join } from 'node:path';
import { MlflowClient } from '@outlast/mlflow-retry';
import { isSkipped, type NativeMlflow, takeMlflow } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'mlflow-retry',
  wire: {
    read: /GET \/api\/2\.0\/mlflow\/registered-models\/get-latest-versions\?/,
    write: /POST \/api\/2\.0\/mlflow\/runs\/create /,
  },
  resolves: true,
  handshake: false,
  load: 40,
  refusedCode: 'ECONNREFUSED',
  async start() {
    const server = await takeMlflow({ own: true });
    if (isSkipped(server)) return server;
    await server.json('registered-models/create', { method: 'POST', body: { name: 'anybody' } });
    return {
      port: server.port,
      stop: () => server.stop(),
      start: () => server.start(),
      kill9: () => server.kill9(),
      dispose: () => server.dispose(),
      connections: () => server.connections(),
      writes: counter(server as NativeMlflow),
    };
  },
  makeClient(port, retry) {
    const client = new MlflowClient({
      trackingUri: `http://127.0.0.1:${port}`,
      ...(retry && { retry }),
    });
    return {
      policy: client.policy,
      read: (bounds) => client.getLatestVersions('anybody', bounds),
      write: (id, bounds) => client.createRun('0', { runName: id, ...bounds }),
      refused: () => client.getRun('there is none'),
      close: async () => client.close(),
    };
  },
  program: `
    import { statSync } from 'node:fs';
import { join } from 'node:path';
import { MlflowClient } from '@outlast/mlflow-retry';
    const client = new MlflowClient({ trackingUri: 'http://127.0.0.1:' + process.env.PORT });
    const reading = client.getLatestVersions('anybody');
    console.log('waiting');
    await reading;
    console.log('done');
    client.close();`,
});

/** What the database holds of each write; read again only when it has changed. */
function counter(server: NativeMlflow): () => Promise<ReadonlyMap<string, number>> {
  let seen = 0n;
  let writes: ReadonlyMap<string, number> = new Map();
  return async () => {
    const { mtimeNs } = statSync(join(server.folder, 'mlflow.db'), { bigint: true });
    if (mtimeNs !== seen) {
      const rows = await server.rows('select name, count(*) from runs group by name');
      writes = new Map(rows as [string, number][]);
      seen = mtimeNs;
    }
    return writes;
  };
}
