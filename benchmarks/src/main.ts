import { benchCore } from './core.js';
import { save } from './harness.js';
import { benchHttp } from './http.js';
import { benchKafka } from './kafka.js';
import { benchMlflow } from './mlflow.js';
import { benchMysql } from './mysql.js';
import { benchPostgres } from './postgres.js';
import { benchRedis } from './redis.js';

const BENCHMARKS = {
  core: benchCore,
  postgres: benchPostgres,
  mysql: benchMysql,
  redis: benchRedis,
  kafka: benchKafka,
  http: benchHttp,
  mlflow: benchMlflow,
} as const;

const asked = process.argv.slice(2);
const names = (asked.length > 0 ? asked : Object.keys(BENCHMARKS)) as (keyof typeof BENCHMARKS)[];
let ok = true;
for (const name of names) {
  const bench = BENCHMARKS[name];
  if (bench === undefined) {
    console.error(
      `There is no benchmark '${name}'. There are: ${Object.keys(BENCHMARKS).join(', ')}.`,
    );
    process.exit(2);
  }
  const outcome = await bench();
  save(name, { node: process.version, at: new Date().toISOString(), results: outcome.results });
  ok &&= outcome.ok;
}
process.exitCode = ok ? 0 : 1;
