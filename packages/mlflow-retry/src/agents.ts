import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { OptionError } from '@outlast/core-retry';

/** Dialling is bounded everywhere; Node's own sockets would wait for the system, two minutes. */
const CONNECT_TIMEOUT_MS = 10_000;

/** uvicorn closes what has been idle for 5 s: what we keep for less is not about to be closed when it is used. */
const IDLE_MS = 4000;

/** How to be sure of the server, and how the server is sure of us. Paths of PEM files. */
export interface TlsOptions {
  readonly insecureTls: boolean;
  readonly serverCertPath: string | undefined;
  readonly clientCertPath: string | undefined;
}

/** One pool of connections a client. */
export interface Agents {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;
}

/** @throws OptionError for a certificate that cannot be read, or is none */
export function makeAgents(tls: TlsOptions): Agents {
  const common = { keepAlive: true, timeout: IDLE_MS, scheduling: 'lifo' } as const;
  return {
    httpAgent: new DiallingAgent(common),
    httpsAgent: new SecureDiallingAgent({
      ...common,
      rejectUnauthorized: !tls.insecureTls,
      ...authority(tls.serverCertPath),
      ...ownCertificate(tls.clientCertPath),
    }),
  };
}

export function closeAgents({ httpAgent, httpsAgent }: Agents): void {
  httpAgent.destroy();
  httpsAgent.destroy();
}

type Created = (error: Error | null, stream: Duplex) => void;

class DiallingAgent extends http.Agent {
  override createConnection(options: http.ClientRequestArgs, callback?: Created): Duplex {
    return inTime(super.createConnection(options, callback) as Duplex, 'connect');
  }
}

class SecureDiallingAgent extends https.Agent {
  override createConnection(options: https.RequestOptions, callback?: Created): Duplex {
    return inTime(super.createConnection(options, callback) as Duplex, 'secureConnect');
  }
}

function inTime(socket: Duplex, ready: string): Duplex {
  const timer = setTimeout(() => {
    const message = `connect ETIMEDOUT: no connection within ${CONNECT_TIMEOUT_MS} ms`;
    socket.destroy(Object.assign(new Error(message), { code: 'ETIMEDOUT', syscall: 'connect' }));
  }, CONNECT_TIMEOUT_MS);
  const settled = (): void => clearTimeout(timer);
  socket.once(ready, settled);
  socket.once('close', settled);
  return socket;
}

function authority(path: string | undefined): SecureContextOptions {
  if (path === undefined) return {};
  const ca = pem('serverCertPath', path);
  try {
    new X509Certificate(ca);
  } catch {
    throw new OptionError('serverCertPath', `must be a PEM file of certificates; ${path} is none.`);
  }
  return { ca };
}

/** As Python's client: one file that holds certificate and key. */
function ownCertificate(path: string | undefined): SecureContextOptions {
  if (path === undefined) return {};
  const both = pem('clientCertPath', path);
  try {
    createSecureContext({ cert: both, key: both });
  } catch {
    // What is wrong with it may show what is in it.
    throw new OptionError(
      'clientCertPath',
      `must be a PEM file that holds a certificate and its private key, without a passphrase; ${path} is none.`,
    );
  }
  return { cert: both, key: both };
}

function pem(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new OptionError(
      option,
      `must be the path of a PEM file; ${path} cannot be read (${code}).`,
    );
  }
}
