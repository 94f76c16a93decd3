import { given } from './given.js';
import { MlflowServer } from './mlflow-server.js';

/** A server that runs already and that we may only talk to: MLFLOW_URL, with name and password where it wants them. */
export async function mlflowAt(address: string): Promise<MlflowServer> {
  const url = new URL(address);
  const username = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  const server = new GivenMlflow({
    host: url.hostname,
    port: Number(url.port || 80),
    prefix: url.pathname.replace(/\/$/, ''),
    version: 'unknown',
    source: 'url',
    admin: username ? { username, password } : undefined,
  });
  if (!(await server.answers())) throw new Error('The server given by MLFLOW_URL does not answer.');
  return server;
}

class GivenMlflow extends given(MlflowServer, 'MLFLOW_URL') {
  get artifacts(): string {
    return this.refuse('shows no folder of artifacts');
  }

  async rows(): Promise<never> {
    return this.refuse('shows no database');
  }
}
