import type { Drill } from './drill.js';

/** Every drill, by the name that `npm run demo -- <name>` takes; loaded when asked for. The first is the default. */
export const DRILLS: Readonly<Record<string, () => Promise<Drill>>> = {
  postgres: async () => (await import('./postgres/drill.js')).postgresDrill,
  mysql: async () => (await import('./mysql/drill.js')).mysqlDrill,
  redis: async () => (await import('./redis/drill.js')).redisDrill,
  kafka: async () => (await import('./kafka/drill.js')).kafkaDrill,
  mlflow: async () => (await import('./mlflow/drill.js')).mlflowDrill,
};
