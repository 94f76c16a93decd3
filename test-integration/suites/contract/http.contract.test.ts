import { Agent } from 'node:http';
import { withRetry } from '@outlast/http-retry';
import axios from 'axios';
import { startHttp } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

await connectorContract({
  name: 'http-retry',
  wire: { read: /GET \/read/, write: /POST \/write/ },
  refusedCode: 'ECONNREFUSED',
  handshake: false,
  async start() {
    const server = await startHttp();
    return {
      port: server.port,
      stop: () => server.stop(),
      start: () => server.start(),
      kill9: () => server.kill9(),
      dispose: () => server.dispose(),
      writes: () => server.writes(),
      connections: () => server.connections(),
    };
  },
  makeClient(port, retry) {
    const httpAgent = new Agent({ keepAlive: true });
    const baseURL = `http://127.0.0.1:${port}`;
    const client = withRetry(axios.create({ baseURL, httpAgent }), retry);
    return {
      policy: client.policy,
      read: ({ totalTimeoutMs, signal } = {}) =>
        client.get('/read', {
          ...(totalTimeoutMs !== undefined && { retry: { totalTimeoutMs } }),
          ...(signal !== undefined && { signal }),
        }),
      write: async (id, { totalTimeoutMs, signal } = {}) => {
        try {
          return await client.post('/write', id, {
            ...(totalTimeoutMs !== undefined && { retry: { totalTimeoutMs } }),
            ...(signal !== undefined && { signal }),
          });
        } catch (error) {
          // axios rejects with an error of its own when it is cancelled.
          throw axios.isCancel(error) ? error.cause : error;
        }
      },
      refused: () => client.post('/refused', ''),
      close: async () => {
        client.close();
        httpAgent.destroy();
      },
    };
  },
  program: `
    import axios, { withRetry } from '@outlast/http-retry';
    const client = withRetry(axios.create({ baseURL: 'http://127.0.0.1:' + process.env.PORT }));
    const reading = client.get('/read');
    console.log('waiting');
    await reading;
    console.log('done');
    client.close();`,
});
