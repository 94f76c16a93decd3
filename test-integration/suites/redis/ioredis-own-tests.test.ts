import { describe } from 'vitest';
import { openRedisLab } from '../support/redis-lab.js';
import { commandCases } from './ioredis-own/command-cases.js';
import { connectionCases } from './ioredis-own/connection-cases.js';
import { Driver, type DriverName } from './ioredis-own/driver.js';
import { pipelineCases } from './ioredis-own/pipeline-cases.js';
import { pubSubCases } from './ioredis-own/pub-sub-cases.js';
import { scriptingCases } from './ioredis-own/scripting-cases.js';
import { transactionCases } from './ioredis-own/transaction-cases.js';

/**
 * What ioredis' functional tests (test/functional of its repository; they are not in its package) say of the
 * driver, retold, and run on ioredis itself and on ours: the same expectations, on a real server.
 *
 * Retold: auth, autopipelining, commandTimeout, connection, disconnection, duplicate, hgetall, lazy_connect,
 * monitor, pipeline, pub_sub, reconnect_on_error, scan_stream, scripting, select, send_command,
 * show_friendly_error_stack, string_numbers, transaction, transformer, watch_exec.
 *
 * Not retold, for they replace parts of the driver or of the server (sinon, MockServer): those of sentinel, cluster,
 * ready_check, tls, elasticache, client_info, socketTimeout, himport, tracing. On real servers that is in `sentinel`,
 * `cluster` and the suites beside this one.
 *
 * Different by design, and tested as such in those suites:
 * - connection, “autoResendUnfulfilledCommands”: BLPOP and INCR whose answer was lost are not resent but rejected as
 *   *outcome unknown*; what may run again is resent, as there.
 * - transaction, max_retries_per_request: `maxRetriesPerRequest` is a time, and the driver's last error surfaces, not
 *   `MaxRetriesPerRequestError` after so many reconnects of whichever command.
 * - commandTimeout: a command that timed out is no longer on its way when its promise rejects.
 */
const lab = await openRedisLab();
const drivers: DriverName[] = ['ioredis', '@outlast/redis-retry'];

describe.skipIf(lab.reason !== '')(`ioredis’ own tests ${lab.reason}`, () => {
  lab.use();

  describe.each(drivers)('on %s', (name) => {
    const driver = new Driver(lab, name);
    describe('pipeline', () => pipelineCases(driver));
    describe('transaction', () => transactionCases(driver));
    describe('scripting', () => scriptingCases(driver));
    describe('pub/sub', () => pubSubCases(driver));
    describe('connection', () => connectionCases(driver));
    describe('commands', () => commandCases(driver));
  });
});
