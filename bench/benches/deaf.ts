/**
 * Fifty readers that ask for a log of 1 GB and read nothing, one kind of reader after the other,
 * while the memory of the process is watched.
 */

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, scaled } from '../lib/bench.ts';
import { DEAF_READERS, openDeaf } from '../lib/deaf.ts';
import { figureOf, type Target } from '../lib/figures.ts';
import { fillLog } from '../lib/systems.ts';
import { MemoryWatch, settledMiB } from '../lib/usage.ts';

const EVENT_BYTES = 4096;
const EVENTS_PER_FRAME = 64;
/**
 * The peak has not risen for this long: memory is stable. A process that still grows is watched for
 * the longer time.
 */
const FLAT_MS = 3_000;
const WATCHED_MS_MAX = 60_000;
/**
 * MiB above idle: for each of fifty readers the window and a frame (1.5 MiB), once in the object
 * and once in the Worker, and the heap of both.
 */
const TARGET: Target = { of: 'value', atMost: 192 };

async function untilFlat(watch: MemoryWatch): Promise<void> {
  const end = Date.now() + WATCHED_MS_MAX;
  for (let last = watch.peakMiB; Date.now() < end; last = watch.peakMiB) {
    await sleep(FLAT_MS);
    if (watch.peakMiB < last + 1) return;
  }
}

export const deaf: Bench = {
  name: 'deaf',
  measures: 'what the process holds while fifty readers that never read have asked for a log of 1 GB',
  doesNotMeasure:
    'what the kernel holds for them, which is some MiB for each connection. Idle is the process restarted, before any reader connects',
  run: async ({ holdfast, scale, rounds, say }) => {
    const events = scaled({ scale }, 1_000_000_000 / EVENT_BYTES, 4_000);
    const readers = scaled({ scale }, 50, 4);
    say(`deaf: writing a log of ${Math.round((events * EVENT_BYTES) / 1_000_000)} MB`);
    const run = await fillLog(holdfast, events, EVENT_BYTES, EVENTS_PER_FRAME);
    const figures = [];
    for (const reader of DEAF_READERS) {
      say(`deaf: ${readers} × ${reader}`);
      const above: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        await holdfast.restart();
        await settledMiB(holdfast.pid);
        const watch = new MemoryWatch(holdfast.pid);
        const sockets: Socket[] = [];
        for (let index = 0; index < readers; index += 1) sockets.push(await openDeaf(holdfast.url, run, reader));
        await untilFlat(watch);
        const { beforeMiB, peakMiB } = watch.stop();
        above.push(peakMiB - beforeMiB);
        for (const socket of sockets) socket.destroy();
      }
      figures.push(figureOf(`deaf/${readers} × ${reader}/memory above idle`, 'MiB', above, null, TARGET));
    }
    return figures;
  },
};
