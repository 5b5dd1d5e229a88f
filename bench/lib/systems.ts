/**
 * How to open a channel to each of the systems: a real session of Holdfast with a hello, a start
 * and all, or a bare object.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { INGEST_SUBPROTOCOL, type IngestAccess, type Policy, STREAM_SUBPROTOCOL } from '../../protocol/index.ts';
import { type Channel, closeAll, deliver } from './channel.ts';
import { prepare } from './frames.ts';
import { closed, connect } from './socket.ts';
import { Workerd } from './workerd.ts';

export const API_KEY = 'bench-key-0123456789abcdef';
const VARS = { HOLDFAST_API_KEYS: `bench=${API_KEY}`, HOLDFAST_SIGNING_KEYS: 'bench-signing-key-0123456789abcdef0123' };

export const serveHoldfast = (options?: { inspect?: boolean }): Promise<Workerd> =>
  Workerd.serve({ config: 'wrangler.toml', vars: VARS }, options);
export const serveFloor = (options?: { inspect?: boolean }): Promise<Workerd> =>
  Workerd.serve({ config: 'bench/floor/wrangler.toml', vars: {} }, options);
/** Holdfast with counters; see bench/counting. */
export const serveCounting = (): Promise<Workerd> =>
  Workerd.serve({ config: 'wrangler.toml', entry: 'bench/counting/worker.ts', vars: VARS });

export type FloorMode = 'message' | 'lines' | 'event' | 'broadcast';

const freshName = (): string => `b-${randomUUID().slice(0, 18)}`;

async function api(url: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}

export interface HoldfastRun {
  session: string;
  execution: string;
  ingest: IngestAccess;
}

/**
 * Longer than any bench: its writers send no heartbeats, and wait for the other systems' turns. The
 * cost of an idle hour is measured with the default.
 */
const PATIENT: Partial<Policy> = { silenceTimeoutMs: 24 * 60 * 60_000 };

export async function startRun(url: string, session = freshName(), policy = PATIENT): Promise<HoldfastRun> {
  const body = { command: ['job'], launcher: 'none', policy };
  const { execution, ingest } = (await api(url, `/v1/sessions/${session}/executions`, body)) as {
    execution: { id: string };
    ingest: IngestAccess;
  };
  return { session, execution: execution.id, ingest };
}

/** Newest offset of the session's log: what must be true after a series, and is not measured. */
export async function headOf(url: string, { session }: HoldfastRun): Promise<number> {
  return Number((await api(url, `/v1/sessions/${session}`)).head);
}

export async function openViewer(url: string, { session }: Pick<HoldfastRun, 'session'>, query = ''): Promise<WebSocket> {
  return connect(`${url}/v1/sessions/${session}/stream${query}`, STREAM_SUBPROTOCOL, { authorization: `Bearer ${API_KEY}` });
}

/** Resolves when the viewer has received `live`. */
export async function caughtUp(viewer: WebSocket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onMessage = (data: Buffer): void => {
      if (!data.subarray(0, 24).includes('"caught_up"')) return;
      viewer.off('message', onMessage);
      resolve();
    };
    viewer.on('message', onMessage);
    viewer.once('close', (code) => reject(new Error(`a viewer was closed with ${code}`)));
  });
}

export async function liveViewers(
  url: string,
  run: Pick<HoldfastRun, 'session'>,
  count: number,
  query = '?tail=0',
): Promise<WebSocket[]> {
  const viewers: WebSocket[] = [];
  // Some at a time: a thousand upgrades at once would only queue up.
  for (let done = 0; done < count; done += 50) {
    const more = Array.from({ length: Math.min(50, count - done) }, async () => {
      const viewer = await openViewer(url, run, query);
      await caughtUp(viewer);
      return viewer;
    });
    viewers.push(...(await Promise.all(more)));
  }
  return viewers;
}

export async function connectWriter({ ingest }: HoldfastRun): Promise<WebSocket> {
  const writer = await connect(ingest.url, INGEST_SUBPROTOCOL, { authorization: `Bearer ${ingest.token}` });
  writer.send(JSON.stringify({ type: 'hello', protocol: 1, wrapperId: 'w_bench', bootId: 'b_bench', nextSeq: 1, lost: 0 }));
  const [welcome] = (await once(writer, 'message')) as [Buffer];
  if (!welcome.subarray(0, 24).includes('"welcome"')) throw new Error(`no welcome: ${welcome.toString()}`);
  return writer;
}

const seqOf = (data: Buffer): number => Number(/^\{"type":"ack","seq":(\d+)\}$/.exec(data.toString())?.[1] ?? Number.NaN);

export async function holdfastChannel(
  { url }: Workerd,
  viewerCount: number,
  policy = PATIENT,
): Promise<Channel & { run: HoldfastRun }> {
  const run = await startRun(url, freshName(), policy);
  const writer = await connectWriter(run);
  const viewers = await liveViewers(url, run, viewerCount);
  return {
    run,
    writer,
    viewers,
    nextSeq: 1,
    acked: (data) => {
      const seq = seqOf(data);
      return Number.isNaN(seq) ? null : { seq };
    },
    close: async () => {
      await closeAll(viewers);
      if (writer.readyState !== WebSocket.OPEN) throw new Error('the writer is not connected any more');
      const last = `{"type":"exit","at":1,"data":{"exitCode":0}}`;
      const over = once(writer, 'close');
      // 4000: the good end. Without it the session would wait for its wrapper, and its alarm would
      // fall into a later series.
      writer.send(`{"type":"events","seq":${await ackedSeqOf(url, run)},"count":1}\n${last}`);
      await over;
    },
  };
}

/**
 * Seq that the next event must have: the log's head without the coordinator's own events (pending,
 * connected, running).
 */
async function ackedSeqOf(url: string, run: HoldfastRun): Promise<number> {
  return (await headOf(url, run)) - OWN_EVENTS + 1;
}
/** `execution_pending`, `execution_running`, `wrapper_connected`. */
export const OWN_EVENTS = 3;

/**
 * A session with a log of so many events, written as a wrapper would write it. Its run stays open:
 * no end is announced.
 */
export async function fillLog(holdfast: Workerd, events: number, eventBytes: number, perFrame: number): Promise<HoldfastRun> {
  const run = await startRun(holdfast.url);
  const writer = await connectWriter(run);
  const channel = {
    writer,
    viewers: [],
    nextSeq: 1,
    acked: (data: Buffer) => ({ seq: Number(/"seq":(\d+)/.exec(data.toString())?.[1]) }),
    close: () => closed(writer),
  };
  const step = 100_000;
  for (let done = 0; done < events; done += step) {
    await deliver(channel, prepare(Math.min(step, events - done), eventBytes, perFrame, done + 1));
  }
  const head = await headOf(holdfast.url, run);
  if (head !== events + OWN_EVENTS) throw new Error(`the log has ${head} events and not ${events + OWN_EVENTS}`);
  return run;
}

export async function floorChannel({ url }: Workerd, mode: FloorMode, viewerCount: number): Promise<Channel> {
  const object = freshName();
  const writer = await connect(`${url}/${object}/${mode}/write`);
  const viewers: WebSocket[] = [];
  for (let done = 0; done < viewerCount; done += 50) {
    const more = Array.from({ length: Math.min(50, viewerCount - done) }, () => connect(`${url}/${object}/${mode}/read`));
    viewers.push(...(await Promise.all(more)));
  }
  return {
    writer,
    viewers,
    nextSeq: 1,
    acked: (data) => {
      const frames = seqOf(data);
      return Number.isNaN(frames) ? null : { frames };
    },
    close: () => closeAll([writer, ...viewers]),
  };
}
