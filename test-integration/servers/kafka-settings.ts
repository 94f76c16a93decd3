/** Lines for server.properties. */
export type KafkaSettings = Record<string, string | number | boolean>;

/** Where one broker of a cluster listens, each on 127.0.0.1. */
export interface KafkaPorts {
  /** For the tests' own look, and for the brokers among themselves. */
  direct: number;
  controller: number;
  /** Those that stand behind a proxy: what the broker listens on, and what it tells clients to connect to. */
  proxied: readonly ProxiedPort[];
}

/** A listener of its own for each proxy in front of a broker. */
export interface ProxiedPort {
  /** Where the proxy has to forward to. */
  readonly target: number;
  /** Where the proxy has to listen, for clients are sent there by the broker. */
  readonly advertised: number;
}

/** What one node needs to know of itself and of the others. */
export interface KafkaNode {
  id: number;
  ports: KafkaPorts;
  /** The controllers' ports, in the order of the node ids 1, 2, 3 … */
  controllers: readonly number[];
  folder: string;
}

/**
 * A broker and controller in one. The session of a broker is short, for a broker that was killed is not let
 * in again before the one of its former life has run out: 12 to 17 s by default.
 */
export function defaultKafkaSettings(node: KafkaNode): KafkaSettings {
  const { id, ports, controllers, folder } = node;
  const alone = controllers.length === 1;
  const replicas = Math.min(3, controllers.length);
  const proxied = ports.proxied.map(({ target, advertised }, n) => ({
    name: `PROXY${n}`,
    target,
    advertised,
  }));
  const listener = (name: string, port: number): string => `${name}://127.0.0.1:${port}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.quorum.voters': controllers
      .map((port, n) => `${n + 1}@127.0.0.1:${port}`)
      .join(','),
    listeners: [
      listener('PLAINTEXT', ports.direct),
      listener('CONTROLLER', ports.controller),
      ...proxied.map(({ name, target }) => listener(name, target)),
    ].join(','),
    'advertised.listeners': [
      listener('PLAINTEXT', ports.direct),
      ...proxied.map(({ name, advertised }) => listener(name, advertised)),
    ].join(','),
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': [
      'CONTROLLER:PLAINTEXT',
      'PLAINTEXT:PLAINTEXT',
      ...proxied.map(({ name }) => `${name}:PLAINTEXT`),
    ].join(','),
    'log.dirs': `${folder}/data`,
    'num.partitions': 1,
    'auto.create.topics.enable': false,
    'default.replication.factor': replicas,
    'min.insync.replicas': alone ? 1 : 2,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': alone ? 1 : 2,
    'transaction.state.log.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'log.cleaner.enable': false,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'broker.session.timeout.ms': alone ? 1500 : 3000,
    'broker.heartbeat.interval.ms': alone ? 250 : 500,
  };
}

/** The text of server.properties. */
export function propertiesText(settings: KafkaSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
