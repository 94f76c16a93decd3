import type { CallOptions } from './call.js';
import { OptionError } from './errors.js';
import type { RetryOptions } from './options.js';
import { RetryPolicy } from './retry-policy.js';

// biome-ignore lint/suspicious/noExplicitAny: a method of any signature, which the decorated one keeps
type Method<This> = (this: This, ...args: any) => any;

/** What a decorated method must return; the text is what the compiler shows for one that does not. */
type ReturnsPromise<M extends Method<never>> = [ReturnType<M>] extends [PromiseLike<unknown>]
  ? unknown
  : 'A method decorated with @retryable must return a promise; use policy.wrapSync for others.';

/** A standard decorator for methods that return a promise. */
export type RetryableDecorator = <This, M extends Method<This>>(
  method: M & ReturnsPromise<M>,
  context: ClassMethodDecoratorContext<This, M>,
) => M;

/**
 * A standard decorator: the method is retried under the policy, or one made from the options. It keeps
 * `this`, its name and its signature; events call the operation by the method's name, if no other is given.
 *
 * @throws OptionError (when the class is defined) for bad options, or on anything but a method
 * @example class Users { @retryable({ maxAttempts: 5 }) async find(id: string) { … } }
 */
export function retryable(
  policy: RetryPolicy | RetryOptions = {},
  call?: Omit<CallOptions, 'resolve' | 'stop'>,
): RetryableDecorator {
  const own = policy instanceof RetryPolicy ? policy : new RetryPolicy(policy);
  return methodDecorator((method) => own.wrap(method, call as CallOptions));
}

type AnyMethod = (this: unknown, ...args: unknown[]) => unknown;

/** A decorator that replaces a method by what `wrap` makes of it. */
export function methodDecorator(
  wrap: (method: AnyMethod) => (this: unknown, ...args: unknown[]) => Promise<unknown>,
): RetryableDecorator {
  return ((method: AnyMethod, context: { readonly kind: string; readonly name: unknown }) => {
    if (typeof method !== 'function' || context?.kind !== 'method') {
      throw new OptionError(
        'retryable',
        `decorates methods only, not the ${context?.kind} '${String(context?.name)}'.`,
      );
    }
    return wrap(method);
  }) as RetryableDecorator;
}
