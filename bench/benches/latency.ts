/**
 * From the moment an event is due to the moment a viewer has it, at 1, 200 and 2,000 events a
 * second; and the first event after hibernation.
 *
 * The schedule is fixed beforehand: an event that had to wait because its predecessor was late
 * counts from when it was due, not from when it was sent (otherwise slow moments would be left
 * out). Waiting events are batched as a wrapper does: at once when nothing is in flight, else with
 * the next ack. All systems get them from the same generator.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { encodeEventsFrame } from '../../protocol/index.ts';
import { type Bench, type BenchContext, interleaved, scaled } from '../lib/bench.ts';
import type { Channel } from '../lib/channel.ts';
import { type Figure, figureOf, median, percentile, type Target } from '../lib/figures.ts';
import { closed } from '../lib/socket.ts';
import { caughtUp, floorChannel, holdfastChannel, openViewer, startRun } from '../lib/systems.ts';
import { WrapperProcess } from '../lib/wrapper-process.ts';

const WITHIN: Target = { of: 'ratio', atMost: 1.5 };
/** The platform lets an object hibernate about 10 s after its last event. */
const ASLEEP_MS = 12_000;
const MARK = /#(\d+)#/g;

interface Percentiles {
  p50: number;
  p99: number;
}

/** The event as a line; `#n#` in its text is how a viewer knows it. */
const line = (n: number): string =>
  `{"type":"output","at":1763650000000,"data":{"stream":"stdout","text":"#${n}# ${'x'.repeat(120)}\\n"}}`;

/** Every mark of a received message. */
function onMarks(viewer: WebSocket, seen: (n: number) => void): () => void {
  const listener = (data: Buffer): void => {
    for (const [, n] of data.toString('latin1').matchAll(MARK)) seen(Number(n));
  };
  viewer.on('message', listener);
  return () => void viewer.off('message', listener);
}

async function atRate(channel: Channel, perSecond: number, events: number): Promise<Percentiles> {
  const { writer, viewers } = channel;
  const [viewer] = viewers as [WebSocket];
  const due: number[] = [];
  const took: number[] = [];
  const waiting: string[] = [];
  let inFlight = 0;
  const flush = (): void => {
    if (inFlight > 0 || waiting.length === 0) return;
    inFlight = 1;
    writer.send(encodeEventsFrame(channel.nextSeq, waiting.length, waiting.join('\n')));
    channel.nextSeq += waiting.length;
    waiting.length = 0;
  };
  const onAck = (): void => {
    inFlight = 0;
    flush();
  };
  writer.on('message', onAck);
  const stop = onMarks(viewer, (n) => {
    took[n] = performance.now() - (due[n] as number);
  });
  const begun = performance.now() + 20;
  for (let n = 0; n < events; n += 1) due[n] = begun + (n * 1000) / perSecond;
  for (let n = 0; n < events; ) {
    const early = (due[n] as number) - performance.now();
    // A timer is about a millisecond late; the last stretch is a busy wait.
    if (early > 1.5) await sleep(early - 1.5);
    else if (early > 0) await new Promise(setImmediate);
    else {
      for (; n < events && (due[n] as number) <= performance.now(); n += 1) waiting.push(line(n));
      flush();
    }
  }
  for (const end = Date.now() + 10_000; took.filter((ms) => ms !== undefined).length < events; await sleep(5)) {
    if (Date.now() > end) throw new Error('not every event came');
  }
  stop();
  writer.off('message', onAck);
  return { p50: median(took), p99: percentile(took, 0.99) };
}

async function onChannel(open: () => Promise<Channel>, perSecond: number, events: number): Promise<Percentiles> {
  const channel = await open();
  try {
    // The first thousand are compiled while they are handled; that is not measured here.
    await atRate(channel, 2_000, 2_000);
    return await atRate(channel, perSecond, events);
  } finally {
    await channel.close();
  }
}

async function steady(context: BenchContext): Promise<Figure[]> {
  const { holdfast, floor, say } = context;
  const figures: Figure[] = [];
  for (const [perSecond, full] of [
    [1, 10],
    [200, 2_000],
    [2_000, 20_000],
  ] as const) {
    const events = scaled(context, full, Math.min(full, perSecond === 1 ? 3 : 100));
    say(`latency: ${perSecond} events a second, ${events} events`);
    const warmUp = perSecond === 1 ? 0 : events;
    const { own, bare } = await interleaved(context, {
      own: () =>
        warmUp
          ? onChannel(() => holdfastChannel(holdfast, 1), perSecond, events)
          : once(() => holdfastChannel(holdfast, 1), perSecond, events),
      bare: () =>
        warmUp
          ? onChannel(() => floorChannel(floor, 'message', 1), perSecond, events)
          : once(() => floorChannel(floor, 'message', 1), perSecond, events),
    });
    const target = perSecond === 200 ? WITHIN : null;
    for (const which of ['p50', 'p99'] as const) {
      figures.push(
        figureOf(
          `latency/${perSecond}perSecond/${which}`,
          'ms',
          own.map((one) => one[which]),
          bare.map((one) => one[which]),
          target,
        ),
      );
    }
  }
  return figures;
}

async function once(open: () => Promise<Channel>, perSecond: number, events: number): Promise<Percentiles> {
  const channel = await open();
  try {
    return await atRate(channel, perSecond, events);
  } finally {
    await channel.close();
  }
}

/** One event after a pause in which the object went to sleep. */
async function afterHibernation(context: BenchContext): Promise<Figure[]> {
  const { holdfast, floor, say, rounds } = context;
  const asleepMs = context.scale < 1 ? 100 : ASLEEP_MS;
  const open = await Promise.all([
    ...Array.from({ length: rounds }, () => holdfastChannel(holdfast, 1)),
    ...Array.from({ length: rounds }, () => floorChannel(floor, 'message', 1)),
  ]);
  say(`latency: the first event after ${asleepMs / 1000} s of silence`);
  for (const channel of open) await atRate(channel, 50, 3);
  // One after the other, each after its own silence: together they would wake each other's process.
  await sleep(asleepMs);
  const took: number[] = [];
  for (const channel of open) took.push((await atRate(channel, 50, 1)).p50);
  await Promise.all(open.map((channel) => channel.close()));
  return [figureOf('latency/first after hibernation', 'ms', took.slice(0, rounds), took.slice(rounds))];
}

/**
 * The whole way: a job prints a line, its pipe, the wrapper's spool, the socket, the object, a
 * viewer.
 */
async function throughWrapper(context: BenchContext): Promise<Figure[]> {
  const { holdfast, say } = context;
  const figures: Figure[] = [];
  for (const perSecond of [1, 200, 2_000]) {
    const lines = scaled(context, perSecond === 1 ? 10 : perSecond * 5, 10);
    say(`latency: ${perSecond} lines a second through the real wrapper`);
    const { real } = await interleaved(context, { real: () => wrapperRound(holdfast.url, perSecond, lines) });
    for (const which of ['p50', 'p99'] as const) {
      figures.push(
        figureOf(
          `latency/wrapper/${perSecond}perSecond/${which}`,
          'ms',
          real.map((one) => one[which]),
        ),
      );
    }
  }
  return figures;
}

/** Each line says when it was due, by the clock that all processes of a machine share. */
const JOB = `
const [perSecond, lines] = process.argv.slice(1).map(Number);
const begun = Date.now() + 300;
let n = 0;
const timer = setInterval(() => {
  let text = '';
  for (; n < lines && begun + (n * 1000) / perSecond <= Date.now(); n += 1) text += '@' + (begun + (n * 1000) / perSecond).toFixed(3) + '@ ' + 'x'.repeat(120) + '\\n';
  if (text) process.stdout.write(text);
  if (n === lines) clearInterval(timer);
}, 1);
`;

async function wrapperRound(url: string, perSecond: number, lines: number): Promise<Percentiles> {
  const run = await startRun(url);
  const viewer = await openViewer(url, run);
  await caughtUp(viewer);
  const took: number[] = [];
  viewer.on('message', (data: Buffer) => {
    const now = performance.timeOrigin + performance.now();
    for (const [, due] of data.toString('latin1').matchAll(/@(\d+\.\d+)@/g)) took.push(now - Number(due));
  });
  const wrapper = new WrapperProcess(run.ingest, JOB, [String(perSecond), String(lines)]);
  const code = await wrapper.exited;
  await closed(viewer);
  wrapper.cleanUp();
  if (code !== 0 || took.length !== lines)
    throw new Error(`the wrapper ended with ${String(code)}, and ${took.length} of ${lines} lines came`);
  return { p50: median(took), p99: percentile(took, 0.99) };
}

export const latency: Bench = {
  name: 'latency',
  measures: 'milliseconds from when an event is due until a viewer has it, by a fixed schedule',
  doesNotMeasure:
    'a network: all ends are on one machine. With the real wrapper the job looks at its clock once a millisecond, and clocks of processes agree to a few microseconds. An object that hibernates here keeps its process and its code, which it may not elsewhere',
  run: async (context) => [...(await steady(context)), ...(await afterHibernation(context)), ...(await throughWrapper(context))],
};
