/**
 * A runner that the test plays, for a real coordinator: it says what it is, and answers each launch
 * as a wrapper whose job prints nothing and runs until it is released. Does not reconnect.
 */

import { WebSocket } from 'ws';
import { INGEST_SUBPROTOCOL, PROTOCOL_VERSION } from '../../protocol/index.ts';
import { readLaunchRequest } from '../../protocol/launch.ts';
import {
  encodeRunnerFrame,
  parsePoolFrame,
  RUNNER_PING_MS,
  RUNNER_PROTOCOL_VERSION,
  RUNNER_SUBPROTOCOL,
  type RunnerFrameInput,
} from '../../protocol/pool.ts';

export interface RunnerPeerOptions {
  url: string;
  pool: string;
  key: string;
  name: string;
  labels?: Record<string, string>;
  slots?: number;
  version?: string;
  draining?: boolean;
}

export class RunnerPeer {
  readonly #socket: WebSocket;
  readonly #jobs: WebSocket[] = [];
  readonly #pings: NodeJS.Timeout;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#pings = setInterval(() => {
      for (const one of [socket, ...this.#jobs]) if (one.readyState === WebSocket.OPEN) one.send('ping');
    }, RUNNER_PING_MS);
  }

  /** Resolves when the pool has welcomed it. */
  static async connect({ url, pool, key, name, version = '0.2.0', ...hello }: RunnerPeerOptions): Promise<RunnerPeer> {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/pools/${pool}/connect`, RUNNER_SUBPROTOCOL, {
      headers: { authorization: `Bearer ${key}` },
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', resolve);
    });
    const peer = new RunnerPeer(socket);
    const welcomed = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        const parsed = parsePoolFrame(String(data));
        if (!parsed.ok || parsed.frame === null) return;
        if (parsed.frame.type === 'welcome') resolve();
        if (parsed.frame.type === 'launch') peer.#launch(parsed.frame.lease, parsed.frame.request);
      });
    });
    const ids = { runnerId: `r_${name}`, bootId: `b_${name}` };
    peer.#send({ type: 'hello', protocol: RUNNER_PROTOCOL_VERSION, ...ids, name, version, slots: 1, ...hello });
    await welcomed;
    return peer;
  }

  /** Its connection is gone, and so are its wrappers'. */
  close(): void {
    clearInterval(this.#pings);
    for (const socket of [...this.#jobs, this.#socket]) socket.terminate();
  }

  #send(frame: RunnerFrameInput): void {
    this.#socket.send(encodeRunnerFrame(frame));
  }

  #launch(lease: number, request: unknown): void {
    const read = readLaunchRequest(request);
    if (!read.ok) return this.#send({ type: 'refused', lease, code: 'unsupported' });
    this.#send({ type: 'launched', lease });
    const { ingest, command } = read.launch;
    const socket = new WebSocket(ingest.url.replace(/^http/, 'ws'), INGEST_SUBPROTOCOL, {
      headers: { authorization: `Bearer ${ingest.token}` },
    });
    this.#jobs.push(socket);
    socket.on('error', () => {});
    socket.on('open', () => {
      const hello = { protocol: PROTOCOL_VERSION, wrapperId: 'w_peer', bootId: 'b_peer', nextSeq: 1, lost: 0 };
      socket.send(JSON.stringify({ type: 'hello', ...hello }));
      const started = { type: 'started', at: Date.now(), data: { pid: 1, command } };
      socket.send(`${JSON.stringify({ type: 'events', seq: 1, count: 1 })}\n${JSON.stringify(started)}`);
    });
  }
}
