/**
 * A log of 1,000,000 events to one new viewer, by WebSocket and by Durable Streams; to fifty
 * viewers at once; and to a viewer that reads nothing, while the memory of the process is watched.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { type Bench, type BenchContext, interleaved, scaled } from '../lib/bench.ts';
import { deliver } from '../lib/channel.ts';
import { type Figure, figureOf, type Target } from '../lib/figures.ts';
import { prepare } from '../lib/frames.ts';
import { closed, connect } from '../lib/socket.ts';
import { API_KEY, fillLog, floorChannel, type HoldfastRun, openViewer } from '../lib/systems.ts';
import { cpuMs, MemoryWatch, settledMiB } from '../lib/usage.ts';
import type { Workerd } from '../lib/workerd.ts';

const EVENT_BYTES = 200;
const EVENTS_PER_FRAME = 100;
const VIEWERS = 50;
const STALLED_MS = 10_000;
const TARGET_ONE: Target = { of: 'ratio', atLeast: 0.7 };
/** MiB above what the process had when it was idle. */
const TARGET_STALLED: Target = { of: 'value', atMost: 64 };

const MIB = 1024 * 1024;

async function fillFloor(floor: Workerd, events: number): Promise<string> {
  const channel = await floorChannel(floor, 'message', 0);
  const path = new URL(channel.writer.url).pathname.split('/')[1] as string;
  const step = 100_000;
  for (let done = 0; done < events; done += step)
    await deliver(channel, prepare(Math.min(step, events - done), EVENT_BYTES, EVENTS_PER_FRAME));
  await channel.close();
  return path;
}

interface Read {
  mibPerSecond: number;
  /** CPU time of the server for a MiB. */
  cpuMs: number;
}

/** Bytes until a message for which `isLast` holds. */
async function drain(viewer: WebSocket, begun: number, isLast: (data: Buffer) => boolean): Promise<{ bytes: number; ms: number }> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    viewer.on('close', (code) => reject(new Error(`a viewer was closed with ${code}`)));
    viewer.on('message', (data: Buffer) => {
      bytes += data.length;
      if (isLast(data)) resolve({ bytes, ms: performance.now() - begun });
    });
  });
}

const isCaughtUp = (data: Buffer): boolean => data.length < 100 && data.includes('"caught_up"');

async function byWebSocket(holdfast: Workerd, run: HoldfastRun, viewers: number): Promise<Read> {
  const cpu = cpuMs(holdfast.pid);
  const begun = performance.now();
  const reads = await Promise.all(
    Array.from({ length: viewers }, async () => {
      const viewer = await openViewer(holdfast.url, run);
      const read = await drain(viewer, begun, isCaughtUp);
      await closed(viewer);
      return read;
    }),
  );
  return together(reads, cpuMs(holdfast.pid) - cpu);
}

async function byBareLoop(floor: Workerd, object: string, viewers: number): Promise<Read> {
  const cpu = cpuMs(floor.pid);
  const begun = performance.now();
  const reads = await Promise.all(
    Array.from({ length: viewers }, async () => {
      const viewer = await connect(`${floor.url}/${object}/message/replay`);
      const read = await drain(viewer, begun, (data) => data.length === 4);
      await closed(viewer);
      return read;
    }),
  );
  return together(reads, cpuMs(floor.pid) - cpu);
}

function together(reads: readonly { bytes: number; ms: number }[], cpu: number): Read {
  const ms = Math.max(...reads.map((read) => read.ms));
  const mib = reads.reduce((sum, { bytes }) => sum + bytes, 0) / MIB;
  return { mibPerSecond: mib / (ms / 1000), cpuMs: cpu / mib };
}

/** Catch-up reads of the Durable Streams protocol, one after the other, as its readers do. */
async function byDurableStreams(holdfast: Workerd, { session }: HoldfastRun): Promise<Read> {
  const cpu = cpuMs(holdfast.pid);
  const begun = performance.now();
  let bytes = 0;
  for (let offset = '-1'; ; ) {
    const answer = await fetch(`${holdfast.url}/v1/sessions/${session}/events?offset=${offset}`, {
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    if (!answer.ok) throw new Error(`events answered ${answer.status}`);
    bytes += (await answer.arrayBuffer()).byteLength;
    offset = answer.headers.get('stream-next-offset') ?? '';
    if (answer.headers.get('stream-up-to-date')) break;
  }
  return together([{ bytes, ms: performance.now() - begun }], cpuMs(holdfast.pid) - cpu);
}

/**
 * The process memory while one viewer with `flow=ack` reads nothing, and later reads everything.
 */
async function stalled(context: BenchContext, run: HoldfastRun): Promise<Figure[]> {
  const { holdfast } = context;
  const stalledMs = context.scale < 1 ? 500 : STALLED_MS;
  const above: number[] = [];
  const taking: number[] = [];
  for (let round = 0; round < context.rounds; round += 1) {
    // A process that has not replayed anything yet: its allocator has no freed memory that would
    // hide growth.
    await holdfast.restart();
    await settledMiB(holdfast.pid);
    const watch = new MemoryWatch(holdfast.pid);
    const viewer = await openViewer(holdfast.url, run, '?flow=ack');
    const over = drain(viewer, 0, isCaughtUp);
    let offset = '0';
    viewer.on('message', (data: Buffer) => {
      // The frame holds a hundred; its first offset acknowledges all before it.
      offset = /^\{"type":"events","offset":(\d+)/.exec(data.subarray(0, 64).toString('latin1'))?.[1] ?? offset;
      if (acking) viewer.send(`{"type":"ack","offset":${offset}}`);
    });
    let acking = false;
    // What is in transit fills the kernel's buffers; then it reads nothing.
    setImmediate(() => setImmediate(() => viewer.pause()));
    await sleep(stalledMs);
    const { beforeMiB, peakMiB } = watch.stop();
    above.push(peakMiB - beforeMiB);
    const second = new MemoryWatch(holdfast.pid);
    acking = true;
    viewer.send(`{"type":"ack","offset":${offset}}`);
    viewer.resume();
    await over;
    taking.push(second.stop().peakMiB - beforeMiB);
    await closed(viewer);
  }
  return [
    figureOf('replay/stalled viewer/memory above idle', 'MiB', above, null, TARGET_STALLED),
    figureOf('replay/slow viewer with acks/memory above idle', 'MiB', taking),
  ];
}

export const replay: Bench = {
  name: 'replay',
  measures: 'how fast a whole log reaches new viewers, in MiB a second of messages, and what the process holds meanwhile',
  doesNotMeasure:
    'a slow line; what a viewer does with the events. Memory is that of the whole server process, restarted for each round; idle is before the viewer connects, so what the object itself takes on its first wake is counted too',
  run: async (context) => {
    const { holdfast, floor, say } = context;
    const events = scaled(context, 1_000_000, 5_000);
    say(`replay: writing a log of ${events} events`);
    const run = await fillLog(holdfast, events, EVENT_BYTES, EVENTS_PER_FRAME);
    const object = await fillFloor(floor, events);
    say('replay: a viewer that takes nothing');
    const memory = await stalled(context, run);
    say('replay: to one viewer');
    const { own, bare, streams } = await interleaved(context, {
      own: () => byWebSocket(holdfast, run, 1),
      bare: () => byBareLoop(floor, object, 1),
      streams: () => byDurableStreams(holdfast, run),
    });
    say(`replay: to ${VIEWERS} viewers at once`);
    // A tenth of the log for each; otherwise a round would be ten gigabytes.
    const small = await fillLog(holdfast, Math.ceil(events / 10), EVENT_BYTES, EVENTS_PER_FRAME);
    const smallObject = await fillFloor(floor, Math.ceil(events / 10));
    const many = await interleaved(context, {
      own: () => byWebSocket(holdfast, small, VIEWERS),
      bare: () => byBareLoop(floor, smallObject, VIEWERS),
    });
    const rate = (reads: readonly Read[]): number[] => reads.map(({ mibPerSecond }) => mibPerSecond);
    const cpu = (reads: readonly Read[]): number[] => reads.map((read) => read.cpuMs);
    return [
      figureOf(`replay/1viewer/websocket`, 'MiB/s', rate(own), rate(bare), TARGET_ONE),
      figureOf(`replay/1viewer/websocket cpu`, 'ms/MiB', cpu(own), cpu(bare)),
      figureOf(`replay/1viewer/durable streams`, 'MiB/s', rate(streams), rate(bare)),
      figureOf(`replay/1viewer/durable streams cpu`, 'ms/MiB', cpu(streams), cpu(bare)),
      figureOf(`replay/${VIEWERS}viewers/websocket`, 'MiB/s', rate(many.own), rate(many.bare)),
      figureOf(`replay/${VIEWERS}viewers/websocket cpu`, 'ms/MiB', cpu(many.own), cpu(many.bare)),
      ...memory,
    ];
  },
};
