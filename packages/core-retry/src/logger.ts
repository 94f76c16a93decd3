import { OptionError } from './errors.js';
import { type PolicyEvent, quiet } from './events.js';
import { type LogFields, logLine } from './log-line.js';
import { hasMethods, invalidOption } from './options-check.js';

/**
 * pino, winston, console, or four functions of your own. Written as for winston and console, which take
 * `(message, fields)`; pino takes `(fields, message)` and is called so.
 */
export interface Logger {
  debug?(message: string, fields: LogFields): unknown;
  info(message: string, fields: LogFields): unknown;
  warn(message: string, fields: LogFields): unknown;
  error(message: string, fields: LogFields): unknown;
}

export interface LogOptions {
  /**
   * The order in which the logger takes its arguments. Default: `fields-first` for what has a method
   * `bindings`, as every pino logger and child has; `message-first` for all others. bunyan wants
   * `fields-first` said.
   */
  readonly style?: 'message-first' | 'fields-first';
}

/**
 * A listener that turns one event into at most one line:
 * retry → warn, success after a retry → info, exhausted and outcomeUnknown → error, a breaker that opens
 * → warn, else → info, store and budget → warn, down and alert → error, up → info, an attempt after the
 * first → debug. Texts are redacted and at most 500 characters long. What the logger throws is ignored, as is a
 * promise that it returns and that rejects.
 *
 * @throws OptionError if the logger has no info, warn and error, or `style` is none
 */
export function logEvents(logger: Logger, options: LogOptions = {}): (event: PolicyEvent) => void {
  if (!hasMethods(logger, ['info', 'warn', 'error'])) {
    throw new OptionError(
      'logger',
      'must have the methods info, warn and error, as pino, winston and console have.',
    );
  }
  const { style = hasMethods(logger, ['bindings']) ? 'fields-first' : 'message-first' } = options;
  if (style !== 'fields-first' && style !== 'message-first') {
    throw invalidOption('style', style, "'message-first' or 'fields-first'");
  }
  return (event) => {
    try {
      const line = logLine(event);
      if (line === undefined) return;
      const { level, message, fields } = line;
      // Typed for (message, fields); the other order is the one thing that sets pino apart.
      quiet(
        style === 'fields-first'
          ? logger[level]?.(fields as never, message as never)
          : logger[level]?.(plain(message), fields),
      );
    } catch {
      // The caller's operation is not the place to report a logger's bug.
    }
  };
}

/** console and winston's splat read `%s` and its like as a place for the fields. */
function plain(message: string): string {
  return message.replaceAll('%', '%%');
}
