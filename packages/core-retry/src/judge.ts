import type { AttemptState } from './attempt.js';
import type { CallFacts } from './call.js';
import { quiet } from './events.js';
import type { Failure } from './failure.js';
import type { RetryInfo } from './marks.js';
import type { Settings } from './options.js';

/**
 * What the error of an attempt means, to this policy and this call. The caller's options replace the
 * classifier's verdict whether it is transient, never the question whether it was applied. A function of
 * the caller's that throws over it means: not again.
 */
export function judge(
  error: unknown,
  attempt: AttemptState,
  settings: Settings,
  call: CallFacts,
  inner: RetryInfo | undefined,
): Failure {
  let failure: Failure = {
    category: 'unknown',
    transient: false,
    outcome: inner?.outcome ?? (neverSent(attempt) ? 'not-applied' : 'unknown'),
  };
  try {
    // Called on its owner, never taken off it: a connector's call is an object with a state of its own.
    const told = quiet(
      call.classify === undefined
        ? settings.classify(error, attempt.phase)
        : call.classify(error, attempt.phase),
    );
    failure = { ...told, transient: false, outcome: inner?.outcome ?? told.outcome };
    const transient = override(error, attempt, settings, told) ?? told.transient;
    if (transient) failure = { ...failure, transient };
  } catch {
    // The original error surfaces, not that of the function.
  }
  return failure;
}

/** What the options say on whether the error is transient; undefined leaves it to the classifier. */
function override(
  error: unknown,
  attempt: AttemptState,
  settings: Settings,
  told: Failure,
): boolean | undefined {
  const { neverRetry, retryIf, retryOn, retryCategories } = settings;
  if (neverRetry !== undefined && isOneOf(error, neverRetry)) return false;
  if (retryIf !== undefined) return quiet(retryIf(error, attempt)) === true;
  if (retryOn === undefined && retryCategories === undefined) return undefined;
  // A broad list (`retryOn: [Error]`) is not meant for who was cancelled, nor for our own refusals.
  if (told.category === 'cancelled' || isFinalOfOurs(told)) return false;
  return (
    (retryOn !== undefined && isOneOf(error, retryOn)) ||
    (retryCategories?.includes(told.category) ?? false)
  );
}

function isOneOf(error: unknown, classes: readonly ErrorClass[]): boolean {
  return classes.some((one) => error instanceof one);
}

function isFinalOfOurs(told: Failure): boolean {
  return told.code?.startsWith('OUTLAST_') === true && !told.transient;
}

/** A class whose instances are thrown. */
// biome-ignore lint/suspicious/noExplicitAny: constructors of any arguments, abstract ones included
export type ErrorClass = abstract new (...args: any[]) => unknown;

export function neverSent(attempt: AttemptState): boolean {
  return attempt.phase === 'acquire' || attempt.phase === 'connect';
}
