import { isOutlastError, OutlastError } from '@outlast/core-retry';

/** The server listed a name that cannot be a file of ours, or more than can be believed. Nothing was asked for. */
export class UnsafeListingError extends OutlastError {
  /** @param where the folder on the server @param name as it was listed @param why completes "it" */
  constructor(where: string, name: string, why: string) {
    super(
      'OUTLAST_UNSAFE_LISTING',
      `The server lists ${show(name)} in ${where === '' ? 'the model' : show(where)}: it ${why}. Nothing was downloaded; rename it on the server, or find out who put it there.`,
    );
  }
}

/** A listing without any file: the model does not exist, or is empty. It is never taken for a model. */
export class EmptyModelError extends OutlastError {
  constructor(uri: string, source: string) {
    super(
      'OUTLAST_EMPTY_MODEL',
      `${show(uri)} holds no file: the server lists nothing at ${show(source)}, which it does for what is missing too. Look whether its artifacts were logged, or were deleted.`,
    );
  }
}

/** The artifacts lie where the server's REST interface cannot list them. */
export class UnlistableStoreError extends OutlastError {
  constructor(uri: string, source: string) {
    super(
      'OUTLAST_UNLISTABLE_STORE',
      `The files of ${show(uri)} cannot be listed: they lie at ${show(source)}, outside of any run or logged model that the server knows. Register the model from a run, or let the server serve its artifacts (--serve-artifacts).`,
    );
  }
}

/** The server knows the model, and no version of it that this URI could stand for. */
export class NoSuchVersionError extends OutlastError {
  constructor(uri: string) {
    super(
      'OUTLAST_NO_SUCH_VERSION',
      `The server has no version that ${show(uri)} stands for. Move a version to that stage, or name one that exists.`,
    );
  }
}

/** The version is being registered, or its registration failed: its files may not be all there. */
export class ModelNotReadyError extends OutlastError {
  constructor(uri: string, status: string) {
    super(
      'OUTLAST_MODEL_NOT_READY',
      `${show(uri)} is not ready: its status is ${show(status)}. Wait until it is registered, or name another version.`,
    );
  }
}

/** The server answered 200, and not what its interface promises. */
export class MalformedAnswerError extends OutlastError {
  constructor(what: string, lacks: string) {
    super(
      'OUTLAST_MALFORMED_ANSWER',
      `The server's answer about ${show(what)} lacks ${lacks}. Look whether trackingUri is that of an MLflow server.`,
    );
  }
}

/** A file that has other bytes than the server or the manifest says. */
export class CorruptFileError extends OutlastError {
  constructor(path: string, why: string) {
    super('OUTLAST_CORRUPT_FILE', `The file ${show(path)} ${why}.`);
  }
}

type Guard<E> = (error: unknown) => error is E;

/** Each also true for an error from another copy of the package. */
export const isUnsafeListingError: Guard<UnsafeListingError> = guard('OUTLAST_UNSAFE_LISTING');
export const isEmptyModelError: Guard<EmptyModelError> = guard('OUTLAST_EMPTY_MODEL');
export const isUnlistableStoreError: Guard<UnlistableStoreError> = guard(
  'OUTLAST_UNLISTABLE_STORE',
);
export const isNoSuchVersionError: Guard<NoSuchVersionError> = guard('OUTLAST_NO_SUCH_VERSION');
export const isModelNotReadyError: Guard<ModelNotReadyError> = guard('OUTLAST_MODEL_NOT_READY');
export const isMalformedAnswerError: Guard<MalformedAnswerError> = guard(
  'OUTLAST_MALFORMED_ANSWER',
);
export const isCorruptFileError: Guard<CorruptFileError> = guard('OUTLAST_CORRUPT_FILE');

function guard<E extends OutlastError>(code: string): Guard<E> {
  return (error): error is E => isOutlastError(error) && error.code === code;
}

/** A name of another's in a message of ours: short, quoted, without control characters. */
function show(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length > 200 ? `${shown.slice(0, 200)}…"` : shown;
}
