export { type Identity, serverIdentity, temporaryFolder } from './identity.js';
export { freePort, isFree } from './ports.js';
export { NativePostgres, type PostgresOptions, startPostgres } from './postgres.js';
export { findPostgres, type PostgresInstallation } from './postgres-binaries.js';
export type { PostgresSettings } from './postgres-cluster.js';
export {
  type ConnectionConfig,
  PostgresServer,
  type StopMode,
  type Target,
} from './postgres-server.js';
export { startStandby } from './postgres-standby.js';
export { isSkipped, type Skipped, type TakeOptions, takePostgres } from './take-postgres.js';
export { type WaitOptions, waitFor } from './wait.js';
