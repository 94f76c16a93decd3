import type {
  Kafka as DriverKafka,
  Transaction as DriverTransaction,
  ICustomPartitioner,
  ISocketFactory,
  Producer,
  ProducerConfig,
} from 'kafkajs';
import { noSuchPartition } from './placement.js';
import { Sockets } from './sockets.js';

/** What a session is made of. */
export interface SessionOptions {
  /** A client of kafkajs on these sockets. */
  readonly client: (socketFactory: ISocketFactory) => DriverKafka;
  readonly socketFactory: ISocketFactory;
  readonly config: ProducerConfig & { readonly transactionalId: string };
  readonly partitioner: ReturnType<ICustomPartitioner>;
  /** Called once with the producer, to pass its events on. */
  readonly watch: (producer: Producer) => void;
}

type Partitioned = Parameters<ReturnType<ICustomPartitioner>>[0];

const END_TXN = 26;
const COMMIT = 1;

/**
 * One producer object of kafkajs for one `transactional.id`: it is used until anything of it fails, then thrown
 * away. What it cannot say is looked up on its wire: whether the end of a transaction has been sent.
 */
export class TransactionSession {
  /** The body of the EndTxn that asked for the commit, once it is written. */
  commitSent: Buffer | undefined;
  /** Where the messages of the send under way go, as `partition:topic`. */
  readonly places: Set<string> = new Set();
  private readonly producer: Producer;
  private readonly sockets: Sockets;
  private readonly chosen = new Map<object, number>();
  private connected: Promise<void> | undefined;

  constructor({ client, socketFactory, config, partitioner, watch }: SessionOptions) {
    this.sockets = new Sockets(socketFactory, (bytes) => {
      this.commitSent = commitOf(bytes) ?? this.commitSent;
    });
    this.producer = client(this.sockets.factory).producer({
      ...config,
      createPartitioner: () => (args) => this.place(args, partitioner),
    });
    // kafkajs would ask again on the connection that is silent, and not look for another leader.
    this.producer.on(this.producer.events.REQUEST_TIMEOUT, () => this.sockets.reset());
    watch(this.producer);
  }

  /** Connects, takes the producer id if it has none yet, and begins. */
  async begin(): Promise<DriverTransaction> {
    this.commitSent = undefined;
    this.connected ??= this.producer.connect();
    await this.connected;
    return this.producer.transaction();
  }

  /** A send begins: kafkajs asks for partitions again at each try, and is told the same. */
  forgetPlaces(): void {
    this.places.clear();
    this.chosen.clear();
  }

  /** What is under way rejects; nothing is sent any more. */
  discard(): void {
    this.sockets.destroy();
    this.producer.disconnect().catch(() => {});
  }

  private place(args: Partitioned, partitioner: ReturnType<ICustomPartitioner>): number {
    const { topic, partitionMetadata, message } = args;
    const known = this.chosen.get(message);
    if (known !== undefined) return known;
    const partition = partitioner(args);
    if (!partitionMetadata.some(({ partitionId }) => partitionId === partition)) {
      throw noSuchPartition({ topic, partition, count: partitionMetadata.length });
    }
    this.chosen.set(message, partition);
    this.places.add(`${partition}:${topic}`);
    return partition;
  }
}

/** Behind the header (length, api key, version, correlation id, client id). Source: Kafka's protocol guide. */
function commitOf(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 15 || bytes.readInt16BE(4) !== END_TXN) return undefined;
  const body = bytes.subarray(14 + Math.max(0, bytes.readInt16BE(12)));
  return body.at(-1) === COMMIT ? Buffer.from(body) : undefined;
}
