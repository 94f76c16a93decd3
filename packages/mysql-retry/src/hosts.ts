import { OptionError } from '@outlast/core-retry';
import { invalidOption } from '@outlast/core-retry/connector';

/** One server. */
export interface Host {
  readonly host: string;
  /** Default 3306. */
  readonly port?: number;
}

/** Which server will do. */
export type Target = 'primary' | 'replica' | 'any';

const VALID = "a list of 'host:port' or { host, port }, at least one";

/** @throws OptionError for a list that is empty, and for an entry that is no host */
export function hostList(hosts: unknown): readonly Host[] {
  if (!Array.isArray(hosts) || hosts.length === 0) throw invalidOption('hosts', hosts, VALID);
  return hosts.map((entry: unknown, at) => oneHost(entry, `hosts[${at}]`));
}

function oneHost(entry: unknown, name: string): Host {
  if (typeof entry === 'string') return parsed(entry, name);
  const { host, port = 3306 } = (entry ?? {}) as Partial<Host>;
  if (typeof host !== 'string' || host === '') throw invalidOption(name, entry, VALID);
  return { host, port: portOf(port, name) };
}

// `[::1]:3306` for IPv6; without brackets more than one colon is an address without a port.
function parsed(text: string, name: string): Host {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d+))?$/.exec(text);
  const [, host, port = '3306'] = bracketed ?? plain ?? [];
  if (host === undefined)
    throw new OptionError(name, `must be 'host' or 'host:port', got '${text.slice(0, 60)}'.`);
  return { host, port: portOf(Number(port), name) };
}

function portOf(port: unknown, name: string): number {
  if (Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536)
    return port as number;
  throw invalidOption(`${name}.port`, port, 'a whole number from 1 to 65535');
}
