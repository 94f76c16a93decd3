import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import kafkajs, { logLevel } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { internals, makeBroker, protocolOf, type Versions } from '../src/wire.js';

const load = createRequire(import.meta.url);
const HELP = 'kafkajs has changed inside; see src/wire.ts for what is taken from it.';

describe('what is taken from inside kafkajs', () => {
  it('is there', () => {
    const manifest = JSON.parse(readFileSync(load.resolve('kafkajs/package.json'), 'utf8'));
    expect(manifest.version, HELP).toMatch(/^2\.2\./);
    for (const [name, value] of Object.entries(internals)) {
      expect([name, typeof value === 'object' || typeof value === 'function'], HELP).toEqual([
        name,
        true,
      ]);
    }
    expect(internals.apiKeys, HELP).toMatchObject({
      Produce: 0,
      Fetch: 1,
      Metadata: 3,
      GroupCoordinator: 10,
      InitProducerId: 22,
      EndTxn: 26,
    });
    expect(
      internals.errorCodes.find(({ code }) => code === 45),
      HELP,
    ).toMatchObject({
      type: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
      retriable: false,
    });
    expect(internals.producerEvents.events, HELP).toEqual({
      CONNECT: 'producer.connect',
      DISCONNECT: 'producer.disconnect',
      REQUEST: 'producer.network.request',
      REQUEST_TIMEOUT: 'producer.network.request_timeout',
      REQUEST_QUEUE_SIZE: 'producer.network.request_queue_size',
    });
    expect(internals.adminEvents.events, HELP).toEqual({
      CONNECT: 'admin.connect',
      DISCONNECT: 'admin.disconnect',
      REQUEST: 'admin.network.request',
      REQUEST_TIMEOUT: 'admin.network.request_timeout',
      REQUEST_QUEUE_SIZE: 'admin.network.request_queue_size',
    });
    expect(internals.KafkaJSConnectionClosedError.prototype, HELP).toBeInstanceOf(
      kafkajs.KafkaJSConnectionError,
    );
  });

  it('computes CRC-32C, and knows gzip', async () => {
    expect(internals.crc32C(Buffer.from('123456789')), HELP).toBe(0xe3069283);
    const packed = await internals.lookupCodec(1)?.compress({ buffer: Buffer.from('x') });
    expect(packed?.subarray(0, 2), HELP).toEqual(Buffer.from([0x1f, 0x8b]));
    expect(internals.lookupCodec(9), HELP).toBeNull();
  });

  it('makes a broker whose pool and connections have the parts that we touch', () => {
    const { broker, pool } = makeBroker(
      {
        logger: new kafkajs.Kafka({ brokers: ['x:1'], logLevel: logLevel.NOTHING }).logger(),
        socketFactory: internals.defaultSocketFactory(),
        connectionTimeout: 1000,
        requestTimeout: 1000,
        instrumentationEmitter: new internals.InstrumentationEventEmitter(),
      },
      '127.0.0.1',
      1,
    );
    expect(broker.versions, HELP).toBeNull();
    expect(typeof broker.connect, HELP).toBe('function');
    expect(pool.pool, HELP).toHaveLength(2);
    for (const connection of pool.pool) {
      expect(connection.isConnected(), HELP).toBe(false);
      expect(connection.connectionStatus, HELP).toBe('disconnected');
      expect(typeof connection.send, HELP).toBe('function');
      expect(typeof connection.requestQueue.rejectAll, HELP).toBe('function');
      expect(typeof connection.requestQueue.destroy, HELP).toBe('function');
    }
  });

  it('asks in the best version that both sides know', () => {
    const versions: Versions = {
      0: { minVersion: 3, maxVersion: 12 },
      3: { minVersion: 0, maxVersion: 13 },
      22: { minVersion: 0, maxVersion: 5 },
    };
    const { request, response } = protocolOf(versions, 'Produce', { acks: 0, topicData: [] });
    expect(request, HELP).toMatchObject({ apiKey: 0, apiVersion: 7, apiName: 'Produce' });
    expect(request.expectResponse?.(), HELP).toBe(false);
    const decoded = { errorCode: 45 };
    expect(response.parse(decoded), HELP).toBe(decoded);
    expect(protocolOf(versions, 'Metadata', { topics: [] }).request.apiVersion, HELP).toBe(6);
    // Newer versions of EndTxn would be of another body than the one that is sent again.
    const transactional = {
      10: { minVersion: 0, maxVersion: 6 },
      26: { minVersion: 0, maxVersion: 5 },
    };
    expect(protocolOf(transactional, 'GroupCoordinator', {}).request.apiVersion, HELP).toBe(2);
    expect(protocolOf(transactional, 'EndTxn', {}).request.apiVersion, HELP).toBe(1);
    expect(() => protocolOf({}, 'InitProducerId', {})).toThrow(/does not support/);
  });
});
