/** A runner that a test steers, over a real socket into the Worker, and the calls about its pool. */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { vi } from 'vitest';
import type { PoolView } from '../../../protocol/index.ts';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import {
  type LaunchFrame,
  type PoolFrame,
  parsePoolFrame,
  RUNNER_SUBPROTOCOL,
  type RunnerFrameInput,
} from '../../../protocol/pool.ts';
import type { RunnerPool } from '../../../src/pool/runner-pool.ts';
import { api, ORIGIN, Peer, testEnv, upgrade } from './peers.ts';

let pools = 0;
let runners = 0;

export const poolStubOf = (pool: string, tenant = 'acme'): DurableObjectStub<RunnerPool> =>
  testEnv.POOLS.getByName(`${tenant}/${pool}`) as DurableObjectStub<RunnerPool>;

/** A new pool, with the key that made it. */
export async function newPool(): Promise<{ pool: string; key: string }> {
  pools += 1;
  const pool = `pool-${pools}-${Date.now().toString(36)}`;
  return { pool, key: await newKey(pool) };
}

export async function newKey(pool: string, body: object = { name: 'rack' }): Promise<string> {
  const made = await api('POST', `/v1/pools/${pool}/keys`, { body });
  if (made.status !== 201) throw new Error(`a key was answered ${made.status}: ${JSON.stringify(made.body)}`);
  return String(made.body.key);
}

export async function viewOf(pool: string): Promise<PoolView> {
  const { body } = await api('GET', `/v1/pools/${pool}`);
  return body.pool as unknown as PoolView;
}

export interface RunnerHelloOptions {
  runnerId?: string;
  bootId?: string;
  name?: string;
  labels?: Record<string, string>;
  slots?: number;
  version?: string;
  runs?: string[];
  features?: string[];
  draining?: boolean;
}

export class RunnerPeer extends Peer<PoolFrame | 'pong'> {
  id = '';
  bootId = '';
  slots = 1;
  #key = '';
  #pool = '';
  #hello: RunnerHelloOptions = {};

  static connectRaw(pool: string, key: string | null, headers: Record<string, string> = {}): Promise<Response> {
    return upgrade(`${ORIGIN}/v1/pools/${pool}/connect`, {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      'sec-websocket-protocol': RUNNER_SUBPROTOCOL,
      ...headers,
    });
  }

  /** Connects without a hello. */
  static async connect(pool: string, key: string): Promise<RunnerPeer> {
    const response = await RunnerPeer.connectRaw(pool, key);
    if (!response.webSocket) throw new Error(`connect answered ${response.status}: ${await response.text()}`);
    const peer = new RunnerPeer(response.webSocket, (text) => {
      if (text === 'pong') return 'pong';
      const parsed = parsePoolFrame(text);
      if (!parsed.ok || parsed.frame === null) throw new Error(`a frame that no runner understands: ${text}`);
      return parsed.frame;
    });
    peer.#key = key;
    peer.#pool = pool;
    return peer;
  }

  /** Connects, says hello and reads the welcome. */
  static async ready({ pool, key }: { pool: string; key: string }, hello: RunnerHelloOptions = {}): Promise<RunnerPeer> {
    const peer = await RunnerPeer.connect(pool, key);
    peer.hello(hello);
    const welcome = await peer.next();
    if (welcome === null || welcome === 'pong' || welcome.type !== 'welcome') {
      throw new Error(`no welcome: ${JSON.stringify(welcome ?? (await peer.closed))}`);
    }
    return peer;
  }

  /** The same runner again, with a new connection. */
  again(hello: RunnerHelloOptions = {}): Promise<RunnerPeer> {
    return RunnerPeer.ready({ pool: this.#pool, key: this.#key }, { ...this.#hello, ...hello });
  }

  hello(options: RunnerHelloOptions = {}): void {
    runners += 1;
    const hello = { runnerId: `r_${runners}`, bootId: `b_${runners}`, name: `runner ${runners}`, slots: 1, ...options };
    this.id = hello.runnerId;
    this.bootId = hello.bootId;
    this.slots = hello.slots;
    this.#hello = hello;
    this.frame({ type: 'hello', protocol: 1, version: '0.2.0', runs: [], ...hello });
  }

  frame(frame: RunnerFrameInput): void {
    this.send(JSON.stringify(frame));
  }

  /** The next launch. */
  async launch(): Promise<LaunchFrame & { request: LaunchRequest }> {
    for (let frame = await this.next(); frame; frame = await this.next()) {
      if (frame !== 'pong' && frame.type === 'launch') return frame as LaunchFrame & { request: LaunchRequest };
    }
    throw new Error(`the socket closed before a launch: ${JSON.stringify(await this.closed)}`);
  }

  launched(lease: number): void {
    this.frame({ type: 'launched', lease });
  }

  ended({ session, id: execution }: Pick<LaunchRequest, 'session' | 'id'>): void {
    this.frame({ type: 'ended', session, execution });
  }

  /** Waits until the pool has processed what was sent before. */
  async settled(): Promise<void> {
    const before = this.received.length;
    this.send('ping');
    await vi.waitFor(() => {
      if (this.received.length === before) throw new Error('no pong yet');
    });
    await viewOf(this.#pool);
  }

  get launches(): number {
    return this.received.filter((frame) => frame !== 'pong' && frame.type === 'launch').length;
  }
}

/** Moves the clock, and runs the alarm of the pool. */
export async function poolAlarm(pool: string, aheadMs: number): Promise<void> {
  vi.useFakeTimers({ now: Date.now() + aheadMs, toFake: ['Date'] });
  await runDurableObjectAlarm(poolStubOf(pool));
}

/**
 * Runners answer pings at this time, because the platform has a clock of its own. The method is that
 * of every object of this process, so the test must call `vi.restoreAllMocks()` at its end.
 */
export async function heard(pool: string, at: () => number | null): Promise<void> {
  await runInDurableObject(poolStubOf(pool), (_, state) => {
    const platform = Object.getPrototypeOf(state) as { getWebSocketAutoResponseTimestamp(ws: WebSocket): Date | null };
    vi.spyOn(platform, 'getWebSocketAutoResponseTimestamp').mockImplementation(() => {
      const time = at();
      return time === null ? null : new Date(time);
    });
  });
}

export const rowsOf = (pool: string, table: 'waiting' | 'active' | 'runners') =>
  runInDurableObject(poolStubOf(pool), (_, { storage }) => storage.sql.exec(`SELECT * FROM ${table}`).toArray());
