/**
 * Goal: the socket of a runner is on a real network what docs/pools.md says: what a runner is sent,
 * which code its client sees at the end, that silence is noticed, and that heartbeats wake nothing.
 * Method: the Worker on plain `workerd serve`, whose sockets no proxy touches, with objects that
 * count their wakes (bench/counting); `ws` as the runner.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Counts } from '../../bench/counting/counters.ts';
import { API_KEY, serveCounting } from '../../bench/lib/systems.ts';
import type { Workerd } from '../../bench/lib/workerd.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import {
  encodeRunnerFrame,
  type PoolFrame,
  parsePoolFrame,
  RUNNER_PING_MS,
  RUNNER_SILENCE_MS,
  RUNNER_SUBPROTOCOL,
  type RunnerFrameInput,
} from '../../protocol/pool.ts';
import { until } from '../support/real-stack.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

let workerd: Workerd;
beforeAll(async () => {
  workerd = await serveCounting();
}, 120_000);
afterAll(() => workerd?.stop());

const api = async (method: string, path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(`${workerd.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
};

let pool = '';
let key = { id: '', key: '' };
let count = 0;
const peers: Runner[] = [];

beforeEach(async () => {
  count += 1;
  pool = `p${count}-${randomUUID().slice(0, 8)}`;
  key = (await api('POST', `/v1/pools/${pool}/keys`, { name: 'test' })).body as typeof key;
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.stop();
});

interface Launch {
  lease: number;
  request: LaunchRequest;
}

/** A runner as its client library sees the connection. Pings until it is stopped. */
class Runner {
  readonly frames: PoolFrame[] = [];
  pongs = 0;
  closed: { code: number; reason: string } | null = null;
  readonly ws: WebSocket;
  readonly id: string;
  readonly bootId: string;
  readonly #pings: NodeJS.Timeout;

  private constructor(ws: WebSocket, id: string, bootId: string) {
    this.ws = ws;
    this.id = id;
    this.bootId = bootId;
    peers.push(this);
    this.#pings = setInterval(() => this.text('ping'), RUNNER_PING_MS);
    ws.on('message', (data) => {
      const text = String(data);
      if (text === 'pong') {
        this.pongs += 1;
        return;
      }
      const parsed = parsePoolFrame(text);
      if (!parsed.ok || parsed.frame === null) throw new Error(`a frame that no runner understands: ${text}`);
      this.frames.push(parsed.frame);
    });
    ws.once('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    ws.on('error', () => {});
  }

  /** Connects; without a hello. */
  static async connect({ id = `r_${randomUUID()}`, bootId = `b_${randomUUID()}`, url = workerd.url } = {}): Promise<Runner> {
    const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/pools/${pool}/connect`, [RUNNER_SUBPROTOCOL], {
      headers: { authorization: `Bearer ${key.key}` },
    });
    const runner = new Runner(ws, id, bootId);
    await until(() => ws.readyState === WebSocket.OPEN || runner.closed, 'a connection', 10_000);
    return runner;
  }

  /** Connects, says hello, and has the answer: a welcome or a close. */
  static async ready(options: { id?: string; bootId?: string; url?: string; runs?: string[] } = {}): Promise<Runner> {
    const runner = await Runner.connect(options);
    runner.hello(options.runs);
    await until(() => runner.frames.length > 0 || runner.closed, 'an answer to the hello', 10_000);
    return runner;
  }

  text(text: string): void {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(text);
  }

  frame(frame: RunnerFrameInput): void {
    this.text(encodeRunnerFrame(frame));
  }

  hello(runs: string[] = []): void {
    const { id, bootId } = this;
    this.frame({ type: 'hello', protocol: 1, runnerId: id, bootId, name: `name of ${id}`, slots: 2, version: '0.2.0', runs });
  }

  async launch(ms = 10_000): Promise<Launch> {
    const isLaunch = (frame: PoolFrame) => frame.type === 'launch';
    const frame = await until(() => this.frames.find(isLaunch), 'a launch', ms);
    this.frames.splice(this.frames.indexOf(frame), 1);
    return frame as unknown as Launch;
  }

  end(ms = 10_000): Promise<{ code: number; reason: string }> {
    return until(() => this.closed, 'the end of the connection', ms);
  }

  stop(): void {
    clearInterval(this.#pings);
    this.ws.terminate();
  }
}

interface Started {
  session: string;
  execution: { id: string; status: string };
}

async function start(request: object = {}): Promise<Started> {
  const session = `s-${randomUUID().slice(0, 18)}`;
  const { status, body } = await api('POST', `/v1/sessions/${session}/executions`, {
    ...{ command: ['job'], launcher: 'pool', pool },
    ...request,
  });
  if (status !== 201) throw new Error(`a start was answered ${status}: ${JSON.stringify(body)}`);
  return { session, execution: body.execution as Started['execution'] };
}

const statusOf = async ({ session, execution }: Started): Promise<unknown> =>
  (await api('GET', `/v1/sessions/${session}/executions/${execution.id}`)).body.status;

/** The wrapper's whole life in one post. */
async function runToEnd({ id, session, ingest }: LaunchRequest): Promise<void> {
  const lines = [
    { type: 'hello', protocol: 1, wrapperId: `w_${id}`, bootId: `b_${id}`, nextSeq: 1, lost: 0 },
    { type: 'events', seq: 1, count: 1 },
    { type: 'exit', at: Date.now(), data: { exitCode: 0, signal: null } },
  ];
  const answer = await fetch(ingest.url, {
    method: 'POST',
    headers: { authorization: `Bearer ${ingest.token}`, 'content-type': 'application/x-ndjson' },
    body: lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
  });
  if (!answer.ok) throw new Error(`a post of ${session} was answered ${answer.status}`);
}

interface View {
  runners: { id: string; state: string; busy: number }[];
  waiting: number;
}
const view = async (): Promise<View> => (await api('GET', `/v1/pools/${pool}`)).body.pool as unknown as View;

describe('the socket of a runner', () => {
  it('[POOL1] [POOL13] from the hello to a free slot', async () => {
    const runner = await Runner.ready();
    expect(runner.ws.protocol).toBe(RUNNER_SUBPROTOCOL);
    expect(runner.frames.splice(0)).toEqual([{ type: 'welcome', protocol: 1 }]);
    const run = await start();
    const { lease, request } = await runner.launch();
    expect(request).toMatchObject({ id: run.execution.id, session: run.session, command: ['job'] });
    runner.frame({ type: 'launched', lease });
    await runToEnd(request);
    runner.frame({ type: 'ended', session: request.session, execution: request.id });
    await until(async () => (await view()).runners[0]?.busy === 0, 'a free slot', 10_000);
    expect(await statusOf(run)).toBe('completed');
    runner.text('ping');
    await until(() => runner.pongs > 0, 'a pong', 5_000);
    // The closing handshake is completed.
    runner.ws.close(1000);
    expect(await runner.end()).toEqual({ code: 1000, reason: '' });
    await until(async () => (await view()).runners[0]?.state === 'lost', 'the pool sees the end', 5_000);
  });

  it('[POOL20] is closed 4401 at once when its key is revoked, and refused with 401 afterwards', async () => {
    const runner = await Runner.ready();
    const revoked = Date.now();
    expect((await api('DELETE', `/v1/pools/${pool}/keys/${key.id}`)).status).toBe(204);
    expect(await runner.end(5_000)).toEqual({ code: 4401, reason: 'key_revoked' });
    expect(Date.now() - revoked).toBeLessThan(RUNNER_PING_MS);
    const status = await new Promise<number>((resolve, reject) => {
      const ws = new WebSocket(`${workerd.url.replace('http', 'ws')}/v1/pools/${pool}/connect`, [RUNNER_SUBPROTOCOL], {
        headers: { authorization: `Bearer ${key.key}` },
      });
      ws.once('unexpected-response', (_, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      ws.once('open', () => reject(new Error('it was accepted')));
    });
    expect(status).toBe(401);
  });

  it('[POOL16] the older of two processes with one id is closed 4409, and stays out', async () => {
    const older = await Runner.ready();
    const newer = await Runner.ready({ id: older.id });
    expect(await older.end()).toEqual({ code: 4409, reason: 'cloned runner id' });
    const again = await Runner.ready({ id: older.id, bootId: older.bootId });
    expect(await again.end()).toEqual({ code: 4409, reason: 'cloned runner id' });
    await start();
    await newer.launch();
    expect((await view()).runners).toMatchObject([{ id: older.id, state: 'connected' }]);
  });

  it('[POOL16] a newer connection of the same process supersedes the older one with 4001', async () => {
    const runner = await Runner.ready();
    const next = await Runner.ready({ id: runner.id, bootId: runner.bootId });
    expect(await runner.end()).toEqual({ code: 4001, reason: 'superseded' });
    await start();
    await next.launch();
  });

  it.each<[string, (runner: Runner) => void, string]>([
    ['text that is not JSON', (runner) => runner.text('{'), 'a frame must be JSON'],
    ['bytes', (runner) => runner.ws.send(Buffer.from('{"type":"draining"}')), 'a frame must be text, not binary'],
    ['a second hello', (runner) => runner.hello(), 'hello was sent before'],
    ['a field of another type', (runner) => runner.text('{"type":"launched","lease":"1"}'), 'launched.lease is not valid'],
  ])('a bad frame is closed 4400 with the reason: %s', async (_, send, reason) => {
    const runner = await Runner.ready();
    send(runner);
    expect(await runner.end()).toEqual({ code: 4400, reason });
  });

  it('a connection without a hello is closed 4408', { timeout: 60_000 }, async () => {
    const runner = await Runner.connect();
    expect(await runner.end(30_000)).toEqual({ code: 4408, reason: 'no hello in time' });
  });
});

describe('a runner behind a network that forgot its connection', () => {
  it('[POOL11] loses what it had not confirmed, and takes work again over a new connection', { timeout: 120_000 }, async () => {
    await using proxy = await TcpProxy.start({ targetPort: Number(new URL(workerd.url).port) });
    const cutOff = await Runner.ready({ url: proxy.url });
    await until(async () => (await view()).runners.length === 1, 'it is listed');
    proxy.halfOpen();
    const run = await start();
    // The frame is lost on the way, and no end of the connection is seen on either side.
    await until(async () => (await view()).runners[0]?.busy === 1, 'the launch is sent');
    const other = await Runner.ready();
    const { lease, request } = await other.launch(RUNNER_SILENCE_MS + 20_000);
    expect(request.id).toBe(run.execution.id);
    expect(cutOff.closed).toBeNull();
    other.frame({ type: 'launched', lease });
    await runToEnd(request);
    expect(await statusOf(run)).toBe('completed');
    const back = await Runner.ready({ id: cutOff.id, bootId: cutOff.bootId, url: proxy.url });
    await until(async () => (await view()).runners.every(({ state }) => state === 'connected'), 'both are connected');
    // One for the slot that the other has left. This one rests, because it did not confirm a launch.
    await start();
    await start();
    await back.launch(20_000);
  });
});

describe('a pool of idle runners', () => {
  const counts = async (): Promise<Counts> =>
    (await (await fetch(`${workerd.url}/bench/pool-counts/bench/${pool}`)).json()) as Counts;

  it('[POOL22] sleeps while the platform answers the pings, and a launch wakes it over the same socket', {
    timeout: 120_000,
  }, async () => {
    const runner = await Runner.ready();
    // The alarm of the hello, and ten seconds without an event until the object may go.
    await sleep(22_000);
    const before = await counts();
    const pongs = runner.pongs;
    await sleep(15_000);
    const asleep = await counts();
    expect(runner.pongs).toBeGreaterThanOrEqual(pongs + 2);
    expect(asleep).toEqual(before);
    expect(runner.closed).toBeNull();

    const run = await start();
    const { lease, request } = await runner.launch();
    const awake = await counts();
    expect(awake.wakes).toBe(before.wakes + 1);
    runner.frame({ type: 'launched', lease });
    await runToEnd(request);
    runner.frame({ type: 'ended', session: request.session, execution: request.id });
    await until(async () => (await view()).runners[0]?.busy === 0, 'a free slot');
    expect(await statusOf(run)).toBe('completed');
  });
});
