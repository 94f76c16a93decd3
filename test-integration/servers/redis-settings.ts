import { appendFileSync } from 'node:fs';

/** Lines for redis.conf. */
export type RedisSettings = Record<string, string | number>;

/** What every server of ours runs with: an acknowledged write is on the disk. */
export function defaultSettings(major: number): RedisSettings {
  return {
    bind: '127.0.0.1',
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
    loglevel: 'notice',
    // a replica of ours that lags must not hold up a stop
    ...(major >= 7 && { 'enable-debug-command': 'local', 'shutdown-timeout': 1 }),
  };
}

/** Appends settings to a configuration file, where the last word counts. They hold from the next start on. */
export function configureRedis(file: string, settings: RedisSettings): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${quoted(value)}\n`);
  appendFileSync(file, lines.join(''));
}

function quoted(value: string | number): string {
  return value === '' ? '""' : String(value);
}
