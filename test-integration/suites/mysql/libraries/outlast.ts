import {
  type LibraryLab,
  type Operations,
  outlast as outlastWith,
  type Report,
  type WorkloadOptions,
} from '../../support/library-workload.js';
import type { MysqlLab } from '../../support/mysql-lab.js';

/** The workload on MySQL: the server is stopped in good order, and killed. */
export function outlast(
  lab: MysqlLab,
  library: string,
  operations: Operations,
  options?: WorkloadOptions,
): Promise<Report> {
  const { server } = lab;
  const spoken: LibraryLab = {
    server: {
      admin: async (sql) => ({ rows: await server.admin(sql) }),
      stop: (mode) => (mode === 'fast' ? server.stop() : server.kill9()),
      start: () => server.start(),
    },
    value: (sql) => lab.value(sql),
  };
  return outlastWith(spoken, library, operations, options);
}
