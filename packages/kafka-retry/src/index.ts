import kafkajs from 'kafkajs';
import { Kafka } from './kafka.js';

export {
  ClosedError,
  CommitOutcomeUnknownError,
  isClosedError,
  isCommitOutcomeUnknownError,
  isDeadlineExceededError,
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export * from 'kafkajs';
export type { RetryAdmin } from './admin.js';
export { classifyKafka, RETRYABLE_CODES } from './classify.js';
export type {
  BatchExtras,
  DeadLetterOptions,
  GraceOptions,
  HandlerExtras,
  MessageExtras,
  RetryConsumer,
  RetryConsumerConfig,
  RetryRunConfig,
  RetryTopicOptions,
} from './consumer-options.js';
export type { DeadLetter } from './dead-letter-log.js';
export {
  type LettersOptions,
  listDeadLetters,
  type PurgeOptions,
  purgeDeadLetters,
  type Replayed,
  type ReplayOptions,
  replayDeadLetters,
} from './dead-letter-tools.js';
export {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  CompressionCodecs,
  ConfigResourceTypes,
  ConfigSource,
  KafkaJSAggregateError,
  KafkaJSAlterPartitionReassignmentsError,
  KafkaJSBrokerNotFound,
  KafkaJSConnectionClosedError,
  KafkaJSConnectionError,
  KafkaJSCreateTopicError,
  KafkaJSDeleteGroupsError,
  KafkaJSDeleteTopicRecordsError,
  KafkaJSError,
  KafkaJSFetcherRebalanceError,
  KafkaJSGroupCoordinatorNotFound,
  KafkaJSInvalidLongError,
  KafkaJSInvalidVarIntError,
  KafkaJSInvariantViolation,
  KafkaJSLockTimeout,
  KafkaJSMemberIdRequired,
  KafkaJSMetadataNotLoaded,
  KafkaJSNoBrokerAvailableError,
  KafkaJSNonRetriableError,
  KafkaJSNotImplemented,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSOffsetOutOfRange,
  KafkaJSPartialMessageError,
  KafkaJSProtocolError,
  KafkaJSRequestTimeoutError,
  KafkaJSSASLAuthenticationError,
  KafkaJSServerDoesNotSupportApiKey,
  KafkaJSStaleTopicMetadataAssignment,
  KafkaJSTimeout,
  KafkaJSTopicMetadataNotLoaded,
  KafkaJSUnsupportedMagicByteInMessageSet,
  ResourcePatternTypes,
} from './driver.js';
export {
  isQueueFullError,
  isSpoolFullError,
  isSpoolLockedError,
  QueueFullError,
  SpoolFullError,
  SpoolLockedError,
} from './errors.js';
export type { Health } from './health.js';
export { messageResults } from './ledger.js';
export {
  type KafkaRetryOptions,
  kafkaRetry,
  type RetryAdminConfig,
  type RetryKafkaConfig,
  type RetryProducerConfig,
  type SpoolOptions,
} from './options.js';
export type { RetryProducer, SendBatchRecord, SendRecord } from './producer.js';
export type { MessageResult } from './publish.js';
export { type RefusedSend, refusedSends } from './refused.js';
export { type SignalOptions, type Stoppable, shutdownOnSignal } from './shutdown-on-signal.js';
export type {
  Transaction as RetryTransaction,
  TransactionBody,
  TransactionContext,
  TransactionOptions,
} from './transactions.js';
export { Kafka };

/** kafkajs has everything on its default export; so have we, with our Kafka. */
const drop: Omit<typeof kafkajs, 'Kafka'> & { readonly Kafka: typeof Kafka } = {
  ...kafkajs,
  Kafka,
};
export default drop;
