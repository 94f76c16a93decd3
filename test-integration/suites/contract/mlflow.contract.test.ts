import { MlflowClient } from '@outlast/mlflow-retry';
import { isSkipped, takeMlflow } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'mlflow-retry',
  wire: {
    read: /GET \/api\/2\.0\/mlflow\/registered-models\/get-latest-versions\?/,
    write: /POST \/api\/2\.0\/mlflow\/runs\/create /,
  },
  resolves: true,
  handshake: false,
  load: 60,
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
      writes: async () => {
        const rows = await server.rows('select name, count(*) from runs group by name');
        return new Map(rows as [string, number][]);
      },
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
    import { MlflowClient } from '@outlast/mlflow-retry';
    const client = new MlflowClient({ trackingUri: 'http://127.0.0.1:' + process.env.PORT });
    const reading = client.getLatestVersions('anybody');
    console.log('waiting');
    await reading;
    console.log('done');
    client.close();`,
});
