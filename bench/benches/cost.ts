/**
 * What a million events and an idle hour cost, from counts of the runtime: rows written, requests,
 * messages, wakes, alarms. The counts come from a copy of the Worker with counters in it
 * (bench/counting). They do not depend on the machine; `npm test` holds the ones that are promised
 * (test/workers/storage/cost.test.ts).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { billedRows, type Counts } from '../counting/counters.ts';
import { type Bench, type BenchContext, scaled } from '../lib/bench.ts';
import { deliver } from '../lib/channel.ts';
import { type Figure, figureOf, type Target } from '../lib/figures.ts';
import { prepare } from '../lib/frames.ts';
import { holdfastChannel, serveCounting, startRun } from '../lib/systems.ts';
import type { Workerd } from '../lib/workerd.ts';
import { WrapperProcess } from '../lib/wrapper-process.ts';
import { dollars, extrapolate } from '../prices.ts';

const MILLION = 1_000_000;
const HOUR_S = 3600;
const ROWS_TARGET: Target = { of: 'value', atMost: 10_110 };
const IDLE_ALARMS_TARGET: Target = { of: 'value', atMost: 90 };
const NONE: Target = { of: 'value', atMost: 0 };
/**
 * The rate of the million events: it decides for how long the object is awake, in both designs
 * alike.
 */
const EVENTS_PER_SECOND = 1_000;
const HEARTBEAT_MS = 15_000;
const IDLE_VIEWERS = 3;

async function countsOf(server: Workerd, session: string): Promise<Counts> {
  const answer = await fetch(`${server.url}/bench/counts/bench/${session}`);
  return (await answer.json()) as Counts;
}

/** A whole life of an execution with this many events, in frames of this size, and one viewer. */
async function life(server: Workerd, events: number, perFrame: number): Promise<{ events: number; counts: Counts }> {
  const channel = await holdfastChannel(server, 1);
  await deliver(channel, prepare(events, 200, perFrame));
  await channel.close();
  return { events, counts: await countsOf(server, channel.run.session) };
}

async function perMillion(context: BenchContext, server: Workerd): Promise<Figure[]> {
  const figures: Figure[] = [];
  const rowsPerInsert = Number(await (await fetch(`${context.floor.url}/rows/event/rows`)).json());
  const single = dollars({
    requests: 0,
    messages: MILLION,
    alarms: 0,
    rowsWritten: MILLION * rowsPerInsert,
    awakeSeconds: MILLION / EVENTS_PER_SECOND,
  });
  for (const perFrame of [1, 10, 100]) {
    context.say(`cost: frames of ${perFrame}`);
    const short = await life(server, 20 * perFrame, perFrame);
    const long = await life(server, scaled(context, 200, 40) * perFrame, perFrame);
    const grown = (of: (counts: Counts) => number): number =>
      Math.round(
        extrapolate({ events: short.events, count: of(short.counts) }, { events: long.events, count: of(long.counts) }, MILLION),
      );
    const rows = grown(billedRows);
    const messages = grown((counts) => counts.messages);
    const requests = grown((counts) => counts.requests);
    const bill = dollars({ requests, messages, alarms: 0, rowsWritten: rows, awakeSeconds: MILLION / EVENTS_PER_SECOND });
    const name = `cost/1M events in frames of ${perFrame}`;
    figures.push(
      figureOf(`${name}/rows written`, 'rows', [rows], [MILLION * rowsPerInsert], perFrame === 100 ? ROWS_TARGET : null),
      figureOf(`${name}/messages`, 'messages', [messages], [MILLION]),
      figureOf(`${name}/dollars without duration`, '$', [bill.requests + bill.rows], [single.requests + single.rows]),
      figureOf(`${name}/dollars at ${EVENTS_PER_SECOND} events per second`, '$', [bill.total], [single.total]),
    );
  }
  return figures;
}

/** Lines at a steady rate through the real wrapper, which decides the events and the frames. */
async function asGathered(context: BenchContext, server: Workerd): Promise<Figure[]> {
  const lines = scaled(context, 20_000, 1_000);
  context.say(`cost: ${lines} lines as the real wrapper gathers them`);
  const run = await startRun(server.url);
  const job = `let n = 0; const t = setInterval(() => { let text = ''; for (let i = 0; i < 10; i += 1) text += 'line ' + (n += 1) + ' ' + 'x'.repeat(100) + '\\n'; process.stdout.write(text); if (n >= ${lines}) clearInterval(t); }, 10);`;
  const wrapper = new WrapperProcess(run.ingest, job);
  const code = await wrapper.exited;
  wrapper.cleanUp();
  if (code !== 0) throw new Error(`the wrapper ended with ${code}`);
  const counts = await countsOf(server, run.session);
  // A frame is a row; the rest is the life of the execution, which is the same for any length.
  const scale = MILLION / lines;
  const usage = {
    requests: counts.requests,
    messages: counts.messages * scale,
    alarms: counts.alarms,
    rowsWritten: billedRows(counts) - counts.messages + counts.messages * scale,
  };
  const bill = dollars({ ...usage, awakeSeconds: MILLION / EVENTS_PER_SECOND });
  const single = dollars({
    requests: 0,
    messages: MILLION,
    alarms: 0,
    rowsWritten: MILLION,
    awakeSeconds: MILLION / EVENTS_PER_SECOND,
  });
  return [
    figureOf('cost/1M lines by the wrapper at 1000 per second/rows written', 'rows', [Math.round(usage.rowsWritten)], [MILLION]),
    figureOf('cost/1M lines by the wrapper at 1000 per second/messages', 'messages', [Math.round(usage.messages)], [MILLION]),
    figureOf('cost/1M lines by the wrapper at 1000 per second/dollars', '$', [bill.total], [single.total]),
  ];
}

/**
 * A running execution, its wrapper and three viewers, all of them only sending heartbeats. Real
 * time, scaled up to an hour.
 */
async function idle(context: BenchContext, server: Workerd): Promise<Figure[]> {
  const seconds = context.scale < 1 ? 20 : 180;
  context.say(`cost: ${seconds} s of nothing but heartbeats`);
  const channel = await holdfastChannel(server, IDLE_VIEWERS, {});
  await deliver(channel, prepare(10, 200, 10));
  const heart = setInterval(() => {
    for (const ws of [channel.writer, ...channel.viewers]) ws.send('ping');
  }, HEARTBEAT_MS);
  // The hello timeout of its connection and the work after a start are finished then.
  await sleep(context.scale < 1 ? 2_000 : 30_000);
  const before = await countsOf(server, channel.run.session);
  await sleep(seconds * 1000);
  clearInterval(heart);
  const after = await countsOf(server, channel.run.session);
  await channel.close();
  const perHour = (of: (counts: Counts) => number): number => ((of(after) - of(before)) * HOUR_S) / seconds;
  const alarms = perHour(({ alarms: fired }) => fired);
  const usage = {
    requests: perHour(({ requests }) => requests),
    messages: perHour(({ messages }) => messages),
    alarms,
    rowsWritten: perHour(billedRows),
  };
  // The cost of a design whose heartbeats are stored messages: each is a message and a row, and
  // four sockets send one every 15 s.
  const beats = ((IDLE_VIEWERS + 1) * HOUR_S * 1000) / HEARTBEAT_MS;
  const bill = dollars({ ...usage, awakeSeconds: alarms });
  const usual = dollars({ requests: 0, messages: beats, alarms: 0, rowsWritten: HOUR_S / 15, awakeSeconds: HOUR_S });
  return [
    figureOf('cost/idle hour/wakes', 'wakes', [perHour(({ wakes }) => wakes)]),
    figureOf('cost/idle hour/alarms', 'alarms', [alarms], null, IDLE_ALARMS_TARGET),
    figureOf(
      'cost/idle hour/rows by alarms that are set',
      'rows',
      [perHour(({ alarmsSet }) => alarmsSet)],
      null,
      IDLE_ALARMS_TARGET,
    ),
    figureOf('cost/idle hour/rows by statements', 'rows', [perHour(({ rowsWritten }) => rowsWritten)], null, NONE),
    figureOf('cost/idle hour/messages that reached the object', 'messages', [usage.messages], null, NONE),
    figureOf('cost/idle hour/dollars', '$', [bill.total], [usual.total]),
  ];
}

export const cost: Bench = {
  name: 'cost',
  measures: 'rows, messages, requests, alarms and wakes as the runtime counts them, and what they cost by the price list',
  doesNotMeasure:
    'a real bill: what the plan includes is not taken off, reads and stored bytes are left out (about $0.20 per GB and month), and the time awake is computed from the rate and not measured. An alarm is billed as one second awake. The floor is the per-event design: one message and one row per event, heartbeats that are messages',
  run: async (context) => {
    const server = await serveCounting();
    try {
      return [...(await perMillion(context, server)), ...(await asGathered(context, server)), ...(await idle(context, server))];
    } finally {
      await server.stop();
    }
  },
};
