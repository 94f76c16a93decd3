import { OptionError } from '@outlast/core-retry';
import { invalidOption } from '@outlast/core-retry/connector';
import type { PoolConfig } from 'pg';

/** One server of several. Without a port: the pool's, or the driver's default. */
export interface HostAddress {
  readonly host: string;
  readonly port?: number;
}

/**
 * What a server must be for a pool to use it: the values of libpq's `target_session_attrs`.
 * `primary` and `standby` go by recovery, `read-write` and `read-only` also by `default_transaction_read_only`.
 */
export type Target = 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby';

/** The hosts of a pool, each as what the driver is told to reach it. */
export interface HostSettings {
  readonly target: Target;
  readonly hosts: readonly Destination[];
}

/** How one host is called in messages, and what the driver's options are for it. */
export interface Destination {
  readonly name: string;
  readonly config: Pick<PoolConfig, 'host' | 'port' | 'connectionString'>;
}

const TARGETS: readonly Target[] = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
];
const DEFAULT_PORT = 5432;
// Scheme, user and password, hosts, the rest: a URL of libpq's, whose hosts may be several.
const POSTGRES_URL = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#]*)(.*)$/is;
const URL_TARGET = /([?&])target_session_attrs=([^&#]*)(&?)/;
const VALID_HOST = "'host', 'host:port', a folder of a Unix socket, or { host, port }";

/** What a user says of hosts: in options, in the URL. */
export interface HostOptions {
  readonly hosts?: readonly (string | HostAddress)[] | undefined;
  readonly target?: Target | undefined;
  readonly targetSessionAttrs?: Target | undefined;
}

/**
 * The hosts of a pool and its driver's configuration without libpq's additions to the URL. No hosts: the
 * pool has one server, and takes it as it is.
 *
 * @throws OptionError naming the option, the value and what is valid
 */
export function hostSettings(
  options: HostOptions,
  driver: PoolConfig,
): { readonly hosts: HostSettings | undefined; readonly driver: PoolConfig } {
  const url = splitUrl(driver.connectionString);
  const several = url?.authority.includes(',') === true;
  if (options.hosts !== undefined && several) {
    throw new OptionError(
      'hosts',
      'is given beside a connectionString with several hosts. Keep one of the two.',
    );
  }
  const target = targetOf(options, url?.target);
  if (options.hosts === undefined && !several && target === undefined) {
    return { hosts: undefined, driver };
  }
  const inUrl = url === undefined ? [] : hostsIn(url);
  const addresses =
    options.hosts !== undefined
      ? parseHosts(options.hosts)
      : several
        ? inUrl
        : [onlyHost(driver, inUrl[0])];
  const hosts = addresses.map((address) => destination(address, driver, url, inUrl[0]?.port));
  const settings = { target: target ?? 'primary', hosts };
  return { hosts: settings, driver: { ...driver, ...(hosts[0] as Destination).config } };
}

interface SplitUrl {
  readonly before: string;
  readonly authority: string;
  readonly after: string;
  readonly target: string | undefined;
}

function splitUrl(text: unknown): SplitUrl | undefined {
  const parts = typeof text === 'string' ? POSTGRES_URL.exec(text) : null;
  if (parts === null) return undefined;
  const [, before = '', authority = '', rest = ''] = parts;
  const target = URL_TARGET.exec(rest)?.[2];
  const after = rest.replace(URL_TARGET, (_, start: string, __, more: string) =>
    more === '&' ? start : '',
  );
  return { before, authority, after, target };
}

/** What is wrong in a URL of one host is for the driver to say, unless it is a host that we must rewrite. */
function hostsIn(url: SplitUrl): readonly HostAddress[] {
  return url.authority.split(',').map((one) => (one === '' ? { host: '' } : parseHostInUrl(one)));
}

function targetOf(options: HostOptions, fromUrl: string | undefined): Target | undefined {
  const named = { target: options.target, targetSessionAttrs: options.targetSessionAttrs };
  let found: Target | undefined;
  for (const [name, value] of Object.entries({
    ...named,
    'connectionString: target_session_attrs': fromUrl,
  })) {
    if (value === undefined || value === '') continue;
    if (!TARGETS.includes(value as Target)) {
      throw invalidOption(name, value, TARGETS.map((one) => `'${one}'`).join(', '));
    }
    if (name === 'targetSessionAttrs' && found !== undefined && found !== value) {
      throw new OptionError(
        name,
        `says '${value}' where target says '${found}': they are one option. Keep one of the two.`,
      );
    }
    found ??= value as Target;
  }
  return found;
}

function parseHosts(hosts: unknown): readonly HostAddress[] {
  if (!Array.isArray(hosts) || hosts.length === 0) {
    throw invalidOption('hosts', hosts, `a list of one host or more, each ${VALID_HOST}`);
  }
  return hosts.map((one: unknown, at) => parseHost(one, `hosts[${at}]`));
}

function parseHost(value: unknown, name: string): HostAddress {
  if (typeof value === 'object' && value !== null) {
    const { host, port, ...others } = value as { host?: unknown; port?: unknown };
    const valid = typeof host === 'string' && host !== '' && Object.keys(others).length === 0;
    if (!valid) throw invalidOption(name, value, VALID_HOST);
    return { host, ...(port === undefined ? undefined : { port: portOf(port, name) }) };
  }
  const address = typeof value === 'string' ? addressIn(value) : undefined;
  if (address === undefined) throw invalidOption(name, value, VALID_HOST);
  if (address.port !== undefined) portOf(address.port, name);
  return address;
}

// The text is not shown: in a URL with a typing error it may be a part of the password.
function parseHostInUrl(text: string): HostAddress {
  const address = addressIn(text);
  const host = address && decoded(address.host);
  if (host === undefined) {
    throw new OptionError('connectionString', 'has a host that is none, or is not well formed.');
  }
  if (address?.port !== undefined) portOf(address.port, 'connectionString');
  return { ...address, host };
}

function addressIn(text: string): HostAddress | undefined {
  const parts = /^(\/.*|\[[\da-f:.]+\]|[^:\s/@?#[\]]+)(?::(\d+))?$/i.exec(text);
  if (parts === null) return undefined;
  const [, bare = '', port] = parts;
  const host = bare.startsWith('[') ? bare.slice(1, -1) : bare;
  return { host, ...(port === undefined ? undefined : { port: Number(port) }) };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function portOf(port: unknown, name: string): number {
  const valid = Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536;
  if (!valid) throw invalidOption(`${name} port`, port, 'a whole number from 1 to 65535');
  return port as number;
}

/** The server of a pool that names one and says what it must be. */
function onlyHost(driver: PoolConfig, fromUrl: HostAddress | undefined): HostAddress {
  if (fromUrl !== undefined && fromUrl.host !== '') return fromUrl;
  const host = driver.host ?? process.env['PGHOST'] ?? 'localhost';
  return driver.port === undefined ? { host } : { host, port: Number(driver.port) };
}

function destination(
  { host, port }: HostAddress,
  driver: PoolConfig,
  url: SplitUrl | undefined,
  portInUrl: number | undefined,
): Destination {
  const given = port ?? portInUrl ?? driver.port ?? process.env['PGPORT'];
  const known = Number(given ?? DEFAULT_PORT);
  const bracketed = host.includes(':') && !host.startsWith('/') ? `[${host}]` : host;
  const name = `${bracketed}:${known}`;
  if (url === undefined) return { name, config: { host, port: known } };
  // What stands in the URL wins over the driver's other options, and so the host must stand there.
  const inUrl = bracketed.startsWith('[') ? bracketed : encodeURIComponent(host);
  return { name, config: { connectionString: `${url.before}${inUrl}:${known}${url.after}` } };
}
