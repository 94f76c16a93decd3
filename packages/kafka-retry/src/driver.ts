import kafkajs from 'kafkajs';

/**
 * The names that kafkajs exports and that Node cannot see, for kafkajs is CommonJS and spreads its errors into
 * its exports: `import { KafkaJSError } from 'kafkajs'` fails in an ES module, from here it does not.
 */
type Untyped = new (...args: never[]) => Error;
const untyped = kafkajs as unknown as Readonly<Record<string, Untyped>>;

export const CompressionCodecs: typeof kafkajs.CompressionCodecs = kafkajs.CompressionCodecs;
export const ConfigResourceTypes: typeof kafkajs.ConfigResourceTypes = kafkajs.ConfigResourceTypes;
export type ConfigResourceTypes = kafkajs.ConfigResourceTypes;
export const AclResourceTypes: typeof kafkajs.AclResourceTypes = kafkajs.AclResourceTypes;
export type AclResourceTypes = kafkajs.AclResourceTypes;
export const AclOperationTypes: typeof kafkajs.AclOperationTypes = kafkajs.AclOperationTypes;
export type AclOperationTypes = kafkajs.AclOperationTypes;
export const AclPermissionTypes: typeof kafkajs.AclPermissionTypes = kafkajs.AclPermissionTypes;
export type AclPermissionTypes = kafkajs.AclPermissionTypes;
export const ResourcePatternTypes: typeof kafkajs.ResourcePatternTypes =
  kafkajs.ResourcePatternTypes;
export type ResourcePatternTypes = kafkajs.ResourcePatternTypes;
export const ConfigSource: typeof kafkajs.ConfigSource = kafkajs.ConfigSource;
export type ConfigSource = kafkajs.ConfigSource;
export const KafkaJSError: typeof kafkajs.KafkaJSError = kafkajs.KafkaJSError;
export type KafkaJSError = kafkajs.KafkaJSError;
export const KafkaJSNonRetriableError: typeof kafkajs.KafkaJSNonRetriableError =
  kafkajs.KafkaJSNonRetriableError;
export type KafkaJSNonRetriableError = kafkajs.KafkaJSNonRetriableError;
export const KafkaJSPartialMessageError: typeof kafkajs.KafkaJSPartialMessageError =
  kafkajs.KafkaJSPartialMessageError;
export type KafkaJSPartialMessageError = kafkajs.KafkaJSPartialMessageError;
export const KafkaJSBrokerNotFound: typeof kafkajs.KafkaJSBrokerNotFound =
  kafkajs.KafkaJSBrokerNotFound;
export type KafkaJSBrokerNotFound = kafkajs.KafkaJSBrokerNotFound;
export const KafkaJSProtocolError: typeof kafkajs.KafkaJSProtocolError =
  kafkajs.KafkaJSProtocolError;
export type KafkaJSProtocolError = kafkajs.KafkaJSProtocolError;
export const KafkaJSConnectionError: typeof kafkajs.KafkaJSConnectionError =
  kafkajs.KafkaJSConnectionError;
export type KafkaJSConnectionError = kafkajs.KafkaJSConnectionError;
export const KafkaJSRequestTimeoutError: typeof kafkajs.KafkaJSRequestTimeoutError =
  kafkajs.KafkaJSRequestTimeoutError;
export type KafkaJSRequestTimeoutError = kafkajs.KafkaJSRequestTimeoutError;
export const KafkaJSSASLAuthenticationError: typeof kafkajs.KafkaJSSASLAuthenticationError =
  kafkajs.KafkaJSSASLAuthenticationError;
export type KafkaJSSASLAuthenticationError = kafkajs.KafkaJSSASLAuthenticationError;
export const KafkaJSNumberOfRetriesExceeded: typeof kafkajs.KafkaJSNumberOfRetriesExceeded =
  kafkajs.KafkaJSNumberOfRetriesExceeded;
export type KafkaJSNumberOfRetriesExceeded = kafkajs.KafkaJSNumberOfRetriesExceeded;
export const KafkaJSOffsetOutOfRange: typeof kafkajs.KafkaJSOffsetOutOfRange =
  kafkajs.KafkaJSOffsetOutOfRange;
export type KafkaJSOffsetOutOfRange = kafkajs.KafkaJSOffsetOutOfRange;
export const KafkaJSGroupCoordinatorNotFound: typeof kafkajs.KafkaJSGroupCoordinatorNotFound =
  kafkajs.KafkaJSGroupCoordinatorNotFound;
export type KafkaJSGroupCoordinatorNotFound = kafkajs.KafkaJSGroupCoordinatorNotFound;
export const KafkaJSNotImplemented: typeof kafkajs.KafkaJSNotImplemented =
  kafkajs.KafkaJSNotImplemented;
export type KafkaJSNotImplemented = kafkajs.KafkaJSNotImplemented;
export const KafkaJSMetadataNotLoaded: typeof kafkajs.KafkaJSMetadataNotLoaded =
  kafkajs.KafkaJSMetadataNotLoaded;
export type KafkaJSMetadataNotLoaded = kafkajs.KafkaJSMetadataNotLoaded;
export const KafkaJSTopicMetadataNotLoaded: typeof kafkajs.KafkaJSTopicMetadataNotLoaded =
  kafkajs.KafkaJSTopicMetadataNotLoaded;
export type KafkaJSTopicMetadataNotLoaded = kafkajs.KafkaJSTopicMetadataNotLoaded;
export const KafkaJSStaleTopicMetadataAssignment: typeof kafkajs.KafkaJSStaleTopicMetadataAssignment =
  kafkajs.KafkaJSStaleTopicMetadataAssignment;
export type KafkaJSStaleTopicMetadataAssignment = kafkajs.KafkaJSStaleTopicMetadataAssignment;
export const KafkaJSDeleteGroupsError: typeof kafkajs.KafkaJSDeleteGroupsError =
  kafkajs.KafkaJSDeleteGroupsError;
export type KafkaJSDeleteGroupsError = kafkajs.KafkaJSDeleteGroupsError;
export const KafkaJSTimeout: typeof kafkajs.KafkaJSTimeout = kafkajs.KafkaJSTimeout;
export type KafkaJSTimeout = kafkajs.KafkaJSTimeout;
export const KafkaJSLockTimeout: typeof kafkajs.KafkaJSLockTimeout = kafkajs.KafkaJSLockTimeout;
export type KafkaJSLockTimeout = kafkajs.KafkaJSLockTimeout;
export const KafkaJSServerDoesNotSupportApiKey: typeof kafkajs.KafkaJSServerDoesNotSupportApiKey =
  kafkajs.KafkaJSServerDoesNotSupportApiKey;
export type KafkaJSServerDoesNotSupportApiKey = kafkajs.KafkaJSServerDoesNotSupportApiKey;
export const KafkaJSUnsupportedMagicByteInMessageSet: typeof kafkajs.KafkaJSUnsupportedMagicByteInMessageSet =
  kafkajs.KafkaJSUnsupportedMagicByteInMessageSet;
export type KafkaJSUnsupportedMagicByteInMessageSet =
  kafkajs.KafkaJSUnsupportedMagicByteInMessageSet;
export const KafkaJSDeleteTopicRecordsError: typeof kafkajs.KafkaJSDeleteTopicRecordsError =
  kafkajs.KafkaJSDeleteTopicRecordsError;
export type KafkaJSDeleteTopicRecordsError = kafkajs.KafkaJSDeleteTopicRecordsError;
export const KafkaJSAggregateError: typeof kafkajs.KafkaJSAggregateError =
  kafkajs.KafkaJSAggregateError;
export type KafkaJSAggregateError = kafkajs.KafkaJSAggregateError;
export const KafkaJSAlterPartitionReassignmentsError: typeof kafkajs.KafkaJSAlterPartitionReassignmentsError =
  kafkajs.KafkaJSAlterPartitionReassignmentsError;
export type KafkaJSAlterPartitionReassignmentsError =
  kafkajs.KafkaJSAlterPartitionReassignmentsError;
export const KafkaJSConnectionClosedError: Untyped = untyped[
  'KafkaJSConnectionClosedError'
] as Untyped;
export const KafkaJSMemberIdRequired: Untyped = untyped['KafkaJSMemberIdRequired'] as Untyped;
export const KafkaJSInvariantViolation: Untyped = untyped['KafkaJSInvariantViolation'] as Untyped;
export const KafkaJSInvalidVarIntError: Untyped = untyped['KafkaJSInvalidVarIntError'] as Untyped;
export const KafkaJSInvalidLongError: Untyped = untyped['KafkaJSInvalidLongError'] as Untyped;
export const KafkaJSCreateTopicError: Untyped = untyped['KafkaJSCreateTopicError'] as Untyped;
export const KafkaJSFetcherRebalanceError: Untyped = untyped[
  'KafkaJSFetcherRebalanceError'
] as Untyped;
export const KafkaJSNoBrokerAvailableError: Untyped = untyped[
  'KafkaJSNoBrokerAvailableError'
] as Untyped;
