/**
 * One writer, 1,000 and 5,000 live viewers of one session. The writer batches as a wrapper does: it
 * sends the pending events when the ack of the previous frame arrives. So the more viewers there
 * are, the more events a frame has.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { WebSocket } from 'ws';
import { encodeEventsFrame, STREAM_SUBPROTOCOL } from '../../protocol/index.ts';
import { ROOT } from '../../scripts/stack.ts';
import { type Bench, type BenchContext, interleaved, scaled } from '../lib/bench.ts';
import type { Channel } from '../lib/channel.ts';
import { deliver } from '../lib/channel.ts';
import { type Figure, figureOf, type Target } from '../lib/figures.ts';
import { eventLine, prepare } from '../lib/frames.ts';
import { API_KEY, floorChannel, holdfastChannel } from '../lib/systems.ts';
import { cpuMs } from '../lib/usage.ts';

const PEER = join(ROOT, 'bench', 'peers', 'viewers.ts');
const EVENT_BYTES = 200;
const EVENTS_PER_FRAME = 100;
const TARGET: Target = { of: 'ratio', atLeast: 0.7 };
/** Rate of the job whose events are batched. */
const GATHERED_PER_SECOND = 2_000;

interface Deliveries {
  /** Events times viewers, a second. */
  perSecond: number;
  cpuMicros: number;
  framesPerViewer: number;
}

class Audience {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async connect(count: number, url: string, protocol?: string, headers?: Record<string, string>): Promise<Audience> {
    const child = fork(PEER, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    child.send({ count, url, protocol, headers });
    const [answer] = (await once(child, 'message')) as [{ connected?: number; failed?: string }];
    if (answer.connected !== count) throw new Error(`the viewers could not connect: ${answer.failed ?? answer.connected}`);
    return new Audience(child);
  }

  /** From here to the last event at the last viewer. */
  watch(): Promise<{ frames: number; bytes: number }> {
    const peer = this.#process;
    peer.send({ watch: true });
    const seen = new Promise<{ frames: number; bytes: number }>((resolve, reject) => {
      const onEnd = (): void => reject(new Error(`the viewers ended with ${peer.exitCode ?? peer.signalCode}`));
      peer.once('exit', onEnd);
      peer.once('message', (message: { seen?: true; frames: number; bytes: number }) => {
        peer.off('exit', onEnd);
        resolve(message);
      });
    });
    // A concurrent writer may fail first. This promise is then not awaited, and its rejection must
    // not end the program in place of the writer's error.
    seen.catch(() => {});
    return seen;
  }

  async leave(): Promise<void> {
    const peer = this.#process;
    if (peer.exitCode !== null || peer.signalCode !== null) return;
    const over = once(peer, 'exit');
    if (peer.connected) peer.disconnect();
    await over;
  }
}

/** Frames of a hundred as fast as acks arrive: the cost of sending. */
async function flatOut(pid: number, channel: Channel, audience: Audience, viewers: number, events: number): Promise<Deliveries> {
  const before = cpuMs(pid);
  const seen = audience.watch();
  const begun = performance.now();
  await deliver(channel, prepare(events, EVENT_BYTES, EVENTS_PER_FRAME, channel.nextSeq));
  const { frames } = await seen;
  const ms = performance.now() - begun;
  const deliveries = events * viewers;
  return {
    perSecond: (deliveries / ms) * 1000,
    cpuMicros: ((cpuMs(pid) - before) * 1000) / deliveries,
    framesPerViewer: frames / viewers,
  };
}

/** A job at a steady rate whose events are batched by ack. */
async function gathered(pid: number, channel: Channel, audience: Audience, viewers: number, events: number): Promise<Deliveries> {
  const { writer } = channel;
  const before = cpuMs(pid);
  const seen = audience.watch();
  const begun = performance.now();
  let made = 0;
  let sent = 0;
  let inFlight = false;
  const flush = (): void => {
    if (inFlight || made === sent) return;
    inFlight = true;
    const lines = Array.from({ length: made - sent }, (_, index) =>
      eventLine(EVENT_BYTES, sent + index, sent + index === events - 1),
    );
    writer.send(encodeEventsFrame(channel.nextSeq, lines.length, lines.join('\n')));
    channel.nextSeq += lines.length;
    sent = made;
  };
  const onAck = (): void => {
    inFlight = false;
    flush();
  };
  writer.on('message', onAck);
  const timer = setInterval(() => {
    made = Math.min(events, Math.floor(((performance.now() - begun) * GATHERED_PER_SECOND) / 1000));
    flush();
    if (made === events) clearInterval(timer);
  }, 1);
  const { frames } = await seen;
  const ms = performance.now() - begun;
  writer.off('message', onAck);
  const deliveries = events * viewers;
  return {
    perSecond: (deliveries / ms) * 1000,
    cpuMicros: ((cpuMs(pid) - before) * 1000) / deliveries,
    framesPerViewer: frames / viewers,
  };
}

async function withViewers(context: BenchContext, viewers: number): Promise<Figure[]> {
  const { holdfast, floor, say } = context;
  const events = scaled(context, viewers >= 5_000 ? 4_000 : 20_000, 500);
  say(`fanout: ${viewers} viewers`);
  const own = await holdfastChannel(holdfast, 0);
  const bare = await floorChannel(floor, 'broadcast', 0);
  // A third audience of 5,000 would exceed the sockets that a process may usually have on the
  // floor's server.
  const kept = viewers < 5_000 ? await floorChannel(floor, 'message', 0) : null;
  const pathOf = (channel: Channel): string => (channel.writer as WebSocket).url.replace(/^ws/, 'http').replace(/write$/, 'read');
  // Viewers of two objects of one process do not disturb each other while nothing is sent to them.
  const audiences = {
    own: await Audience.connect(viewers, `${holdfast.url}/v1/sessions/${own.run.session}/stream?tail=0`, STREAM_SUBPROTOCOL, {
      authorization: `Bearer ${API_KEY}`,
    }),
    bare: await Audience.connect(viewers, pathOf(bare)),
    kept: kept && (await Audience.connect(viewers, pathOf(kept))),
  };
  const { own: ownAudience, bare: bareAudience, kept: keptAudience } = audiences;
  try {
    const systems: Record<'own' | 'bare', () => Promise<Deliveries>> = {
      own: () => flatOut(holdfast.pid, own, ownAudience, viewers, events),
      bare: () => flatOut(floor.pid, bare, bareAudience, viewers, events),
    };
    const withKept = (channel: Channel, audience: Audience) => ({
      ...systems,
      kept: () => flatOut(floor.pid, channel, audience, viewers, events),
    });
    const flat: Record<'own' | 'bare', Deliveries[]> & { kept?: Deliveries[] } =
      kept && keptAudience ? await interleaved(context, withKept(kept, keptAudience)) : await interleaved(context, systems);
    const slow = Math.round(events / 4);
    const gathering = await interleaved(context, {
      own: () => gathered(holdfast.pid, own, ownAudience, viewers, slow),
      bare: () => gathered(floor.pid, bare, bareAudience, viewers, slow),
    });
    const rate = (series: readonly Deliveries[]): number[] => series.map(({ perSecond }) => perSecond);
    const cpu = (series: readonly Deliveries[]): number[] => series.map(({ cpuMicros }) => cpuMicros);
    const name = `fanout/${viewers}viewers`;
    return [
      figureOf(`${name}/frames100`, 'deliveries/s', rate(flat.own), rate(flat.bare), viewers === 1000 ? TARGET : null),
      figureOf(`${name}/frames100 cpu`, 'µs/delivery', cpu(flat.own), cpu(flat.bare)),
      ...(flat.kept
        ? [figureOf(`${name}/frames100 vs insert and broadcast`, 'deliveries/s', rate(flat.own), rate(flat.kept))]
        : []),
      figureOf(`${name}/gathered at ${GATHERED_PER_SECOND} per second`, 'deliveries/s', rate(gathering.own), rate(gathering.bare)),
      figureOf(
        `${name}/gathered, events per frame`,
        'events',
        gathering.own.map(({ framesPerViewer }) => slow / framesPerViewer),
      ),
    ];
  } catch (error) {
    // Reported before the cleanup, which may fail on what is broken.
    say(`fanout: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  } finally {
    await Promise.all(Object.values(audiences).map((audience) => audience?.leave()));
    await Promise.all([own, bare, kept].map((channel) => channel?.close().catch(() => {})));
  }
}

export const fanout: Bench = {
  name: 'fanout',
  measures: 'events times viewers a second from one object to all its live viewers, until the last one has the last event',
  doesNotMeasure: 'viewers that are far away or slow; all of them share one process here, which takes as much CPU as the server',
  run: async (context) => {
    const figures: Figure[] = [];
    for (const viewers of context.scale < 0.1 ? [100] : context.scale < 1 ? [1_000] : [1_000, 5_000])
      figures.push(...(await withViewers(context, viewers)));
    return figures;
  },
};
