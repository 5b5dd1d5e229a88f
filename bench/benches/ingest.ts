/**
 * Events a second into one object and into fifty at once, with 0, 1 and 10 viewers, for events of
 * 50 B, 200 B and 4 KB. A series is over when the last frame is acknowledged and every viewer has
 * the last event.
 */

import { type Bench, type BenchContext, interleaved, scaled } from '../lib/bench.ts';
import { type Channel, deliver } from '../lib/channel.ts';
import { DurableStreamsServer } from '../lib/durable-streams.ts';
import { type Figure, figureOf, type Target } from '../lib/figures.ts';
import { type Prepared, prepare, prepareSingles } from '../lib/frames.ts';
import { floorChannel, headOf, holdfastChannel, OWN_EVENTS } from '../lib/systems.ts';
import { cpuMs } from '../lib/usage.ts';
import type { Workerd } from '../lib/workerd.ts';

const EVENTS_PER_FRAME = 100;
const OBJECTS = 50;

interface Rate {
  eventsPerSecond: number;
  /** CPU time of the whole server process for one event. */
  cpuMicros: number;
}

const SIZES = [
  { label: '50B', bytes: 50, events: 200_000 },
  { label: '200B', bytes: 200, events: 200_000 },
  { label: '4KB', bytes: 4096, events: 20_000 },
];
const VIEWERS = [0, 1, 10];
/** The batched frames against one insert per message, and against one message per event. */
const TARGET_FLOOR: Target = { of: 'ratio', atLeast: 0.75 };
const TARGET_PER_EVENT: Target = { of: 'ratio', atLeast: 40 };

async function measure(pid: number, events: number, series: () => Promise<number>): Promise<Rate> {
  const before = cpuMs(pid);
  const ms = await series();
  return { eventsPerSecond: (events / ms) * 1000, cpuMicros: ((cpuMs(pid) - before) * 1000) / events };
}

async function onChannel(server: Workerd, channel: Channel, frames: readonly Prepared[]): Promise<Rate> {
  const events = frames.reduce((sum, { count }) => sum + count, 0);
  try {
    return await measure(server.pid, events, async () => (await deliver(channel, frames)).ms);
  } finally {
    await channel.close();
  }
}

async function onHoldfast(server: Workerd, viewers: number, frames: readonly Prepared[]): Promise<Rate> {
  const channel = await holdfastChannel(server, viewers);
  const events = frames.reduce((sum, { count }) => sum + count, 0);
  const rate = await measure(server.pid, events, async () => (await deliver(channel, frames)).ms);
  // Otherwise losing events fast would look good here.
  const head = await headOf(server.url, channel.run);
  if (head !== events + OWN_EVENTS) throw new Error(`${events} events were sent, and the log ends at ${head}`);
  await channel.close();
  return rate;
}

/** All objects at once, each with its share of the events. */
async function onMany(server: Workerd, open: () => Promise<Channel>, frames: readonly Prepared[]): Promise<Rate> {
  const channels: Channel[] = [];
  for (let opened = 0; opened < OBJECTS; opened += 10) channels.push(...(await Promise.all(Array.from({ length: 10 }, open))));
  const events = frames.reduce((sum, { count }) => sum + count, 0) * OBJECTS;
  try {
    return await measure(server.pid, events, async () => {
      const begun = performance.now();
      await Promise.all(channels.map((channel) => deliver(channel, frames)));
      return performance.now() - begun;
    });
  } finally {
    await Promise.all(channels.map((channel) => channel.close()));
  }
}

const rates = (series: readonly Rate[]): number[] => series.map(({ eventsPerSecond }) => eventsPerSecond);
const costs = (series: readonly Rate[]): number[] => series.map(({ cpuMicros }) => cpuMicros);

async function oneObject(context: BenchContext, durable: DurableStreamsServer): Promise<Figure[]> {
  const { holdfast, floor, say } = context;
  const figures: Figure[] = [];
  for (const { label, bytes, events: full } of SIZES) {
    const events = scaled(context, full, 2_000);
    const frames = prepare(events, bytes, EVENTS_PER_FRAME);
    const singles = prepareSingles(Math.max(1_000, events / 10), bytes);
    for (const viewers of VIEWERS) {
      say(`ingest: ${label}, ${viewers} viewers, ${events} events`);
      const main = bytes === 200 && viewers === 1;
      const { own, message, lines, single, streams } = await interleaved<
        'own' | 'message' | 'lines' | 'single' | 'streams',
        Rate | null
      >(context, {
        own: () => onHoldfast(holdfast, viewers, frames),
        message: async () => onChannel(floor, await floorChannel(floor, 'message', viewers), frames),
        lines: async () => (main ? onChannel(floor, await floorChannel(floor, 'lines', viewers), frames) : null),
        single: async () => (viewers <= 1 ? onChannel(floor, await floorChannel(floor, 'event', viewers), singles) : null),
        streams: async () =>
          main
            ? measure(durable.pid, Math.min(events, 20_000), () =>
                durable.ingest(Math.min(events, 20_000), bytes, EVENTS_PER_FRAME),
              )
            : null,
      });
      const of = (series: readonly (Rate | null)[]): Rate[] => series.filter((rate) => rate !== null);
      const name = `ingest/${label}/${viewers}viewers`;
      figures.push(figureOf(`${name}/frames100`, 'events/s', rates(of(own)), rates(of(message)), main ? TARGET_FLOOR : null));
      figures.push(figureOf(`${name}/frames100 cpu`, 'µs/event', costs(of(own)), costs(of(message))));
      if (viewers <= 1) {
        figures.push(
          figureOf(
            `${name}/vs one message per event`,
            'events/s',
            rates(of(own)),
            rates(of(single)),
            main ? TARGET_PER_EVENT : null,
          ),
        );
      }
      if (!main) continue;
      figures.push(figureOf(`${name}/vs one insert per event`, 'events/s', rates(of(own)), rates(of(lines))));
      figures.push(figureOf(`${name}/vs @durable-streams/server`, 'events/s', rates(of(own)), rates(of(streams))));
      figures.push(figureOf(`${name}/vs @durable-streams/server cpu`, 'µs/event', costs(of(own)), costs(of(streams))));
    }
  }
  return figures;
}

async function manyObjects(context: BenchContext): Promise<Figure[]> {
  const { holdfast, floor, say } = context;
  const frames = prepare(scaled(context, 6_000, 500), 200, EVENTS_PER_FRAME);
  say(`ingest: ${OBJECTS} objects at once`);
  const { own, message } = await interleaved(context, {
    own: () => onMany(holdfast, () => holdfastChannel(holdfast, 1), frames),
    message: () => onMany(floor, () => floorChannel(floor, 'message', 1), frames),
  });
  return [
    figureOf(`ingest/200B/${OBJECTS}objects/frames100`, 'events/s', rates(own), rates(message)),
    figureOf(`ingest/200B/${OBJECTS}objects/frames100 cpu`, 'µs/event', costs(own), costs(message)),
  ];
}

export const ingest: Bench = {
  name: 'ingest',
  measures: 'events a second into an object that keeps, acknowledges and broadcasts them, and the CPU time of its process for each',
  doesNotMeasure:
    'a network, a disk that is waited for (the runtime here syncs as it likes), the wrapper; generator and server share the cores, so CPU per event is the steadier number',
  run: async (context) => {
    const durable = await DurableStreamsServer.start();
    try {
      return [...(await oneObject(context, durable)), ...(await manyObjects(context))];
    } finally {
      await durable.stop();
    }
  },
};
