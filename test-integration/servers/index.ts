export { HttpServerProcess, startHttp } from './http.js';
export { type Arrived, HttpScript, type HttpScriptOptions } from './http-script.js';
export { type Identity, serverIdentity, temporaryFolder } from './identity.js';
export { type KafkaOptions, NativeKafka, startKafka } from './kafka.js';
export { KafkaBroker } from './kafka-broker.js';
export { KafkaCluster, type TopicOptions } from './kafka-cluster.js';
export { findKafka, type KafkaInstallation } from './kafka-jars.js';
export type { LoggedMessage } from './kafka-log.js';
export type { KafkaSettings, ProxiedPort } from './kafka-settings.js';
export {
  type MariadbOptions,
  type MariadbSettings,
  NativeMariadb,
  startMariadb,
} from './mariadb.js';
export { findMariadb, type MariadbInstallation } from './mariadb-binaries.js';
export { type MlflowOptions, NativeMlflow, startMlflow } from './mlflow.js';
export { type SeededModel, type SeedModel, seedModel } from './mlflow-seed.js';
export { type MlflowAdmin, type MlflowQuestion, MlflowServer } from './mlflow-server.js';
export type { MlflowMode } from './mlflow-settings.js';
export { findMlflow, type MlflowInstallation } from './mlflow-venv.js';
export {
  type MysqlConnectionConfig,
  MysqlServer,
  type MysqlStatement,
  type MysqlTarget,
  statementsIn,
} from './mysql-server.js';
export { type Nginx, startNginx, takeNginx } from './nginx.js';
export { PgBouncer, type PgBouncerSettings, takePgBouncer } from './pgbouncer.js';
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
export { NativeRedis, type RedisOptions, startRedis } from './redis.js';
export { RedisCluster, type RedisClusterOptions, startRedisCluster } from './redis-cluster.js';
export { RedisSentinels, type SentinelOptions, startSentinels } from './redis-sentinel.js';
export {
  type RedisConnection,
  type RedisConnectionConfig,
  RedisServer,
  type RedisTarget,
} from './redis-server.js';
export type { RedisSettings } from './redis-settings.js';
export { isSkipped, type Skipped } from './skipped.js';
export { missingKafka, type TakeKafkaOptions, takeKafka } from './take-kafka.js';
export { missingMlflow, type TakeMlflowOptions, takeMlflow } from './take-mlflow.js';
export { missingMysql, type TakeMysqlOptions, takeMysql } from './take-mysql.js';
export { type TakeOptions, takePostgres } from './take-postgres.js';
export { missingRedis, type TakeRedisOptions, takeRedis } from './take-redis.js';
export { type WaitOptions, waitFor } from './wait.js';
