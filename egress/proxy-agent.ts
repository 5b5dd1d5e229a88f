/**
 * Connections through a proxy, by CONNECT: for http:// and ws:// too, so that a proxy must allow
 * only one method. `https-proxy-agent` makes the tunnel; here each of its failures becomes a
 * ProxyError that names the proxy, the variable and the next step.
 *
 *   PA1  The answer of a proxy is never mistaken for one of the coordinator: a 407 or 403 of the
 *        proxy says nothing about a token.
 *   PA2  A proxy that accepts the connection and stays silent is abandoned after
 *        `CONNECT_TIMEOUT_MS`, and its socket is closed. The same holds for a request that was
 *        aborted.
 */

import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { describeProxy, type EgressProxy, ProxyError, proxyFor } from './proxy.ts';

/**
 * Half of the wrapper's connect timeout, so that the error names the cause and not only the
 * timeout.
 */
export const CONNECT_TIMEOUT_MS = 10_000;

interface ConnectAnswer {
  statusCode: number;
  statusText: string;
}

export class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #proxy: EgressProxy;
  readonly #secure: boolean;
  readonly #timeoutMs: number;

  constructor(proxy: EgressProxy, secure: boolean, { keepAlive = false, timeoutMs = CONNECT_TIMEOUT_MS } = {}) {
    super(proxy.url.href, { keepAlive });
    this.#proxy = proxy;
    this.#secure = secure;
    this.#timeoutMs = timeoutMs;
  }

  /** The library would inspect the call stack otherwise. */
  override isSecureEndpoint(): boolean {
    return this.#secure;
  }

  override async connect(request: ClientRequest, options: Parameters<HttpsProxyAgent<string>['connect']>[1]): Promise<Socket> {
    const target = `${options.host}:${options.port}`;
    const abort = new AbortController();
    let late = false;
    let answer: ConnectAnswer | null = null;
    const timer = setTimeout(() => {
      late = true;
      abort.abort();
    }, this.#timeoutMs);
    const givenUp = () => abort.abort();
    const answered = (connect: ConnectAnswer) => {
      answer = connect;
    };
    request.once('close', givenUp);
    request.once('proxyConnect', answered);
    try {
      this.connectOpts = { ...this.connectOpts, signal: abort.signal } as typeof this.connectOpts;
      const socket = await super.connect(request, options);
      // The cast: assigned in a listener, which the compiler does not track.
      const given = answer as ConnectAnswer | null;
      if (given === null || given.statusCode === 200) return socket;
      socket.destroy();
      throw this.#refused(given, target); // PA1
    } catch (error) {
      if (error instanceof ProxyError) throw error;
      if (late) {
        const text = `${describeProxy(this.#proxy)} did not answer CONNECT ${target} within ${this.#timeoutMs} ms`;
        throw new ProxyError('proxy_silent', text); // PA2
      }
      throw new ProxyError('proxy_unreachable', `${describeProxy(this.#proxy)} cannot be used: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
      request.off('close', givenUp);
      request.off('proxyConnect', answered);
    }
  }

  #refused({ statusCode, statusText }: ConnectAnswer, target: string): ProxyError {
    const { variable } = this.#proxy;
    const shown = statusText.replace(/[^\x20-\x7e]/g, '').slice(0, 100);
    const text = `${describeProxy(this.#proxy)} answered ${statusCode} to CONNECT ${target}${shown === '' ? '' : `: ${shown}`}`;
    return new ProxyError('proxy_refused', `${text}; ${nextStep(statusCode, variable, target)}`);
  }
}

function nextStep(status: number, variable: string, target: string): string {
  if (status === 407) return `it wants a user and a password: ${variable}=http://user:password@host:port`;
  if (status === 502 || status === 503 || status === 504)
    return `it cannot reach ${target}: check the address, or name the host in NO_PROXY if it is reached directly`;
  return `it does not allow this connection: have ${target} allowed there, or name the host in NO_PROXY if it is reached directly`;
}

/** Undefined: directly. Throws a ProxyError when the variable cannot be used. */
export function agentFor(target: string | URL, env: NodeJS.ProcessEnv = process.env): TunnelAgent | undefined {
  const proxy = proxyFor(target, env);
  return proxy ? new TunnelAgent(proxy, /^(https|wss):/.test(String(target))) : undefined;
}

/** Cached, so that consecutive requests share one connection. */
const kept = new Map<string, TunnelAgent>();

export function cachedAgentFor(target: string | URL, env: NodeJS.ProcessEnv = process.env): TunnelAgent | undefined {
  const proxy = proxyFor(target, env);
  if (!proxy) return undefined;
  const secure = /^https:/.test(String(target));
  const key = `${secure} ${proxy.variable} ${proxy.url.href}`;
  const agent = kept.get(key) ?? new TunnelAgent(proxy, secure, { keepAlive: true });
  kept.set(key, agent);
  return agent;
}
