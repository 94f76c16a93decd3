import http from 'node:http';
import https from 'node:https';
import { type Target, targetOf } from './connect.js';
import { isDirect, type Way } from './tracking.js';

/**
 * The server that a request goes to, if it can be asked by itself whether it is there again: with plain
 * agents, and nothing in between. Undefined otherwise: then a failed connect is a failed attempt.
 */
export function routeOf(config: Way, url: URL): Target | undefined {
  const { socketPath, lookup, httpAgent, httpsAgent } = config;
  if (!isDirect(config) || socketPath || lookup) return undefined;
  const agent: unknown = url.protocol === 'https:' ? httpsAgent : httpAgent;
  if (agent !== undefined && agent !== null && !isPlain(agent)) return undefined;
  return targetOf(url);
}

function isPlain(agent: unknown): boolean {
  const made = (agent as object).constructor;
  return made === http.Agent || made === https.Agent;
}
