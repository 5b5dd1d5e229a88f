/**
 * Two thousand runners on one pool, and ten thousand executions that none of them fits ahead of what
 * is measured: how long a launch takes from its start, how many the pool does in a second, what it
 * writes for each, how much memory all of it takes, and that idle runners wake nothing.
 *
 * A launch here is a whole life: start, claim, frame at the runner, `launched`, the wrapper's only
 * post, which ends the run, and `ended`.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { encodeRunnerFrame, parsePoolFrame, RUNNER_PING_MS, RUNNER_SUBPROTOCOL } from '../../protocol/pool.ts';
import { billedRows, type Counts } from '../counting/counters.ts';
import { type Bench, type BenchContext, scaled } from '../lib/bench.ts';
import { type Figure, figureOf, percentile, type Target } from '../lib/figures.ts';
import { connect, Signal } from '../lib/socket.ts';
import { API_KEY, serveCounting } from '../lib/systems.ts';
import { cpuMs, residentMiB, settledMiB } from '../lib/usage.ts';
import type { Workerd } from '../lib/workerd.ts';

const RUNNERS = 2_000;
const SLOTS = 4;
const QUEUED = 10_000;
/** Requests that are under way at the same time. */
const AT_ONCE = 32;
/** One after the other. */
const PROBES = 50;
const BURST = 200;
const ROUNDS_MAX = 3;
const LAUNCH_TIMEOUT_MS = 30_000;
/** In one call. */
const QUEUED_AT_ONCE = 100;
const IDLE_S = 60;
const WRITTEN_TARGET: Target = { of: 'value', atMost: 8 };
const READ_TARGET: Target = { of: 'value', atMost: 50 };
const NONE: Target = { of: 'value', atMost: 0 };

/** Runs the work for each index, a few at a time. */
async function many(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
}

interface LaunchRequestSeen {
  id: string;
  session: string;
  ingest: { url: string; token: string };
}

/** The pool, its runners, and the executions that are started on it. */
class Crowd {
  readonly name = `p-${randomUUID().slice(0, 8)}`;
  readonly sockets: WebSocket[] = [];
  readonly #server: Workerd;
  readonly #launched = new Map<string, (at: number) => void>();
  readonly #over = new Map<string, () => void>();
  key = '';
  /** The first thing that went wrong; no figure is worth anything after it. */
  readonly #failure = new Signal<never>();

  constructor(server: Workerd) {
    this.#server = server;
  }

  async post(path: string, body: object): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.#server.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  }

  /** Rejects when anything has failed, which may be elsewhere. */
  unlessFailed<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failure.promise]);
  }

  async counts(): Promise<Counts> {
    const answer = await fetch(`${this.#server.url}/bench/pool-counts/bench/${this.name}`);
    return (await answer.json()) as Counts;
  }

  async open(): Promise<void> {
    this.key = String((await this.post(`/v1/pools/${this.name}/keys`, { name: 'bench' })).key);
  }

  async dial(index: number): Promise<void> {
    const url = `${this.#server.url}/v1/pools/${this.name}/connect`;
    const ws = await connect(url, RUNNER_SUBPROTOCOL, { authorization: `Bearer ${this.key}` });
    this.sockets.push(ws);
    const welcomed = new Promise<void>((resolve, reject) => {
      ws.on('message', (data) => {
        const parsed = parsePoolFrame(String(data));
        if (!parsed.ok || parsed.frame === null) return;
        if (parsed.frame.type === 'welcome') resolve();
        if (parsed.frame.type === 'launch') this.#run(ws, parsed.frame.lease, parsed.frame.request as LaunchRequestSeen);
      });
      ws.once('close', (code, reason) => {
        const error = new Error(`runner ${index} was closed with ${code} ${String(reason)}`);
        this.#failure.reject(error);
        reject(error);
      });
    });
    const hello = { type: 'hello', protocol: 1, runnerId: `r_${index}`, bootId: `b_${index}`, name: `runner ${index}` } as const;
    ws.send(encodeRunnerFrame({ ...hello, slots: SLOTS, version: '0.2.0' }));
    await welcomed;
  }

  /** A runner and a wrapper whose job ends at once. */
  #run(ws: WebSocket, lease: number, { id, session, ingest }: LaunchRequestSeen): void {
    this.#launched.get(id)?.(performance.now());
    ws.send(encodeRunnerFrame({ type: 'launched', lease }));
    const body = [
      { type: 'hello', protocol: 1, wrapperId: `w_${id}`, bootId: `b_${id}`, nextSeq: 1, lost: 0 },
      { type: 'events', seq: 1, count: 1 },
      { type: 'exit', at: Date.now(), data: { exitCode: 0, signal: null } },
    ];
    const post = async (): Promise<void> => {
      const answer = await fetch(ingest.url, {
        method: 'POST',
        headers: { authorization: `Bearer ${ingest.token}`, 'content-type': 'application/x-ndjson' },
        body: body.map((line) => `${JSON.stringify(line)}\n`).join(''),
      });
      const text = await answer.text();
      if (!answer.ok || !text.includes('"code":4000')) throw new Error(`a post was answered ${answer.status}: ${text}`);
      ws.send(encodeRunnerFrame({ type: 'ended', session, execution: id }));
      this.#over.get(id)?.();
    };
    post().catch(this.#failure.reject);
  }

  /** From the call to the frame at the runner, in milliseconds. Returns when the run is over. */
  async launch(): Promise<number> {
    const id = `e-${randomUUID().slice(0, 18)}`;
    const launched = new Promise<number>((resolve) => this.#launched.set(id, resolve));
    const over = new Promise<void>((resolve) => this.#over.set(id, resolve));
    const from = performance.now();
    await this.post(`/v1/sessions/b-${id}/executions`, { id, command: ['job'], launcher: 'pool', pool: this.name });
    const late = AbortSignal.timeout(LAUNCH_TIMEOUT_MS);
    const tooLate = new Promise<never>((_, reject) =>
      late.addEventListener('abort', () => reject(new Error(`${id} was not launched and over within ${LAUNCH_TIMEOUT_MS} ms`))),
    );
    const at = await this.unlessFailed(Promise.race([launched, tooLate]));
    await this.unlessFailed(Promise.race([over, tooLate]));
    return at - from;
  }

  /** They wait for runners that do not exist, ahead of all others. */
  async queue(count: number): Promise<void> {
    for (let from = 0; from < count; from += QUEUED_AT_ONCE) {
      const path = `/bench/pool-offers/bench/${this.name}/${from}/${Math.min(count, from + QUEUED_AT_ONCE)}`;
      await this.post(path, {});
    }
  }
}

async function measure({ scale, idleMinutes, rounds: wanted, say }: BenchContext, server: Workerd): Promise<Figure[]> {
  const rounds = Math.min(wanted, ROUNDS_MAX);
  const size = (full: number, least: number): number => scaled({ scale }, full, least);
  const runners = size(RUNNERS, 4);
  const queued = size(QUEUED, 20);
  const crowd = new Crowd(server);
  await crowd.open();
  await settledMiB(server.pid);
  const emptyMiB = residentMiB(server.pid);
  say(`pool: connecting ${runners} runners`);
  const began = performance.now();
  // The first ones are connected for longer than a runner may be silent before the last ones are.
  const pings = setInterval(() => {
    for (const ws of crowd.sockets) ws.send('ping');
  }, RUNNER_PING_MS);
  try {
    await crowd.unlessFailed(many(runners, (index) => crowd.dial(index)));
    const connectMs = performance.now() - began;
    const runnersMiB = (await settledMiB(server.pid)) - emptyMiB;
    const series = async (): Promise<number[]> => {
      const all: number[] = [];
      for (let index = 0; index < size(PROBES, 5); index += 1) all.push(await crowd.launch());
      return all;
    };
    const burst = async (): Promise<{ rate: number; times: number[] }> => {
      const times: number[] = [];
      const count = size(BURST, 10);
      const from = performance.now();
      await many(count, async () => void times.push(await crowd.launch()));
      return { rate: (count / (performance.now() - from)) * 1000, times };
    };
    // The first launches warm up what all of them use.
    for (let index = 0; index < 5; index += 1) await crowd.launch();
    const empty: number[][] = [];
    for (let round = 0; round < rounds; round += 1) {
      say(`pool: launches while nothing waits, round ${round + 1} of ${rounds}`);
      empty.push(await series());
    }
    say(`pool: ${queued} executions that no runner fits`);
    const beforeQueue = residentMiB(server.pid);
    await crowd.queue(queued);
    const queueMiB = (await settledMiB(server.pid)) - beforeQueue;

    const behind: number[][] = [];
    const bursts: { rate: number; times: number[] }[] = [];
    const written: number[] = [];
    const read: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      say(`pool: launches while ${queued} wait, round ${round + 1} of ${rounds}`);
      behind.push(await series());
      const before = await crowd.counts();
      const cpuBefore = cpuMs(server.pid);
      bursts.push(await burst());
      cpu.push((cpuMs(server.pid) - cpuBefore) / size(BURST, 10));
      const after = await crowd.counts();
      written.push((billedRows(after) - billedRows(before)) / size(BURST, 10));
      read.push((after.rowsRead - before.rowsRead) / size(BURST, 10));
    }

    const idleS = idleMinutes === null ? (scale < 1 ? 15 : IDLE_S) : Math.round(idleMinutes * 60);
    // What the last launches left is over then.
    await sleep(scale < 1 ? 16_000 : 20_000);
    say(`pool: ${idleS} s of nothing but heartbeats`);
    const before = await crowd.counts();
    await crowd.unlessFailed(sleep(idleS * 1000));
    const after = await crowd.counts();
    const idle = (of: (counts: Counts) => number): number[] => [of(after) - of(before)];

    const title = (what: string): string => `pool/${runners} runners/${what}`;
    const at = (share: number) => (times: number[]) => percentile(times, share);
    const heartbeats = Math.round((runners * idleS * 1000) / RUNNER_PING_MS);
    return [
      figureOf(title('connecting all'), 'ms', [connectMs]),
      figureOf(title('start to launch, nothing waits, p50'), 'ms', empty.map(at(0.5))),
      figureOf(title('start to launch, nothing waits, p99'), 'ms', empty.map(at(0.99))),
      figureOf(title(`start to launch, ${queued} wait, p50`), 'ms', behind.map(at(0.5))),
      figureOf(title(`start to launch, ${queued} wait, p99`), 'ms', behind.map(at(0.99))),
      figureOf(
        title(`launches, ${queued} wait, ${AT_ONCE} at once`),
        '/s',
        bursts.map(({ rate }) => rate),
      ),
      figureOf(
        title(`start to launch, ${AT_ONCE} at once, p50`),
        'ms',
        bursts.map(({ times }) => percentile(times, 0.5)),
      ),
      figureOf(
        title(`start to launch, ${AT_ONCE} at once, p99`),
        'ms',
        bursts.map(({ times }) => percentile(times, 0.99)),
      ),
      figureOf(title('cpu of the runtime for a launch and its session'), 'ms', cpu),
      figureOf(title('rows written for a launch'), 'rows', written, null, WRITTEN_TARGET),
      figureOf(title('rows read for a launch'), 'rows', read, null, READ_TARGET),
      figureOf(title('memory of the runners'), 'MiB', [runnersMiB]),
      figureOf(title(`memory of ${queued} that wait`), 'MiB', [queueMiB]),
      figureOf(
        title(`idle ${idleS} s, ${heartbeats} heartbeats/wakes`),
        'wakes',
        idle(({ wakes }) => wakes),
        null,
        NONE,
      ),
      figureOf(
        title(`idle ${idleS} s, ${heartbeats} heartbeats/messages`),
        'messages',
        idle(({ messages }) => messages),
        null,
        NONE,
      ),
      figureOf(
        title(`idle ${idleS} s, ${heartbeats} heartbeats/alarms`),
        'alarms',
        idle(({ alarms }) => alarms),
        null,
        NONE,
      ),
    ];
  } finally {
    clearInterval(pings);
    for (const ws of crowd.sockets) {
      ws.removeAllListeners('close');
      ws.terminate();
    }
  }
}

export const pool: Bench = {
  name: 'pool',
  measures:
    'a launch from the call that starts it to the frame at the runner, with a crowd of runners and a long queue; what it writes, the memory, and what idle runners cost',
  doesNotMeasure:
    'runners that start processes: each of them confirms the launch, and its wrapper is one post that ends the run at once. All sessions are on the same machine as the pool and the runners. What waits was offered to the pool directly, and has no sessions',
  run: async (context) => {
    const server = await serveCounting();
    try {
      return await measure(context, server);
    } finally {
      await server.stop();
    }
  },
};
