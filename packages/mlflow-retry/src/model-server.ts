import type { Failure, PartialClassify } from '@outlast/core-retry';
import type { AxiosInstance } from 'axios';

/** A server as a fetch uses it. */
export interface ModelServer {
  /** What references are kept under: its address, without credentials. */
  readonly address: string;
  /** GETs JSON from `/api/2.0` + path, with retries. */
  ask(
    path: string,
    query: Readonly<Record<string, string | readonly string[] | undefined>>,
  ): Promise<Readonly<Record<string, unknown>>>;
  /** Downloads go by it. */
  readonly client: AxiosInstance;
  /** What a refused download means. */
  readonly classify: PartialClassify;
  /** What any failure means. */
  verdict(error: unknown): Failure;
  /** The URL of a path below its address. */
  url(path: string): string;
  /** The server at another address; without credentials, if that is another origin. */
  at(address: string): ModelServer;
  /** The same server on another host, if one is named. */
  onHost(host: string): ModelServer;
}
