/**
 * Goal: the cost of a session is counted, and does not grow unnoticed.
 * Method: the runtime's own numbers (`rowsWritten` of each statement, alarms that are set, wakes)
 * over a whole execution of 10,000 events, and over an hour with only heartbeats. The clock is
 * moved, and each alarm fired when it is due.
 */

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, test, vi } from 'vitest';
import { billedRows, noCounts, settledCounts, watchAll } from '../../../bench/counting/counters.ts';
import { extrapolate } from '../../../bench/prices.ts';
import { type HoldfastEvent, STREAM_SUBPROTOCOL } from '../../../protocol/index.ts';
import {
  ACME_KEY,
  exit,
  newSession,
  ORIGIN,
  output,
  putToSleep,
  start,
  stubOf,
  upgrade,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

const MILLION = 1_000_000;
const PER_FRAME = 100;
const HEARTBEAT_MS = 15_000;
const HOUR_MS = 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

/**
 * Counts from here on. One test runs at a time, and the objects of earlier tests are idle within
 * its few seconds.
 */
async function counting(session: string): Promise<() => ReturnType<typeof settledCounts>> {
  await runInDurableObject(stubOf(session), (_, { storage }) => watchAll(storage, session));
  const before = settledCounts(session);
  return () => {
    const now = settledCounts(session);
    return Object.fromEntries(
      Object.entries(now).map(([key, value]) => [key, value - before[key as keyof typeof before]]),
    ) as unknown as typeof now;
  };
}

/** A whole life: start, connect, events, exit, verdict. */
async function life(frames: number): Promise<{ events: number; rows: number }> {
  const session = newSession();
  const counted = await counting(session);
  const run = await start(session);
  const viewer = await ViewerPeer.connect(session);
  const peer = await WrapperPeer.welcomed(run);
  const batch = Array.from({ length: PER_FRAME }, (_, index) => output(`line ${index}\n`));
  for (let frame = 0; frame < frames; frame += 1) {
    expect(await peer.deliver(1 + frame * PER_FRAME, batch)).toEqual({ type: 'ack', seq: (frame + 1) * PER_FRAME });
  }
  await peer.deliver(1 + frames * PER_FRAME, [exit(0)]);
  await viewer.until('end');
  const counts = counted();
  // A counter that does not count would pass any limit.
  expect(counts.rowsWritten).toBeGreaterThan(frames);
  expect(counts.alarmsSet).toBeGreaterThan(0);
  return { events: frames * PER_FRAME, rows: billedRows(counts) };
}

test('[G7] an idle hour with a running execution, its wrapper and three viewers: no wake and no row by heartbeats, at most 90 alarms and as many rows', {
  timeout: 60_000,
}, async () => {
  const session = newSession();
  const counted = await counting(session);
  const run = await start(session);
  const peer = await WrapperPeer.welcomed(run);
  const viewers = await Promise.all([1, 2, 3].map(() => idleViewer(session)));
  await peer.deliver(1, [output('the last one for an hour\n')]);

  const begun = Date.now();
  let now = begun;
  let beatAt = begun;
  vi.useFakeTimers({ now, toFake: ['Date'] });
  // The platform stamps a pong with its own clock, which a test cannot move. The stamp is moved by
  // as much as the clock was.
  await runInDurableObject(stubOf(session), (_, state) => {
    const platform = Object.getPrototypeOf(state) as { getWebSocketAutoResponseTimestamp(ws: WebSocket): Date | null };
    const { getWebSocketAutoResponseTimestamp: original } = platform;
    platform.getWebSocketAutoResponseTimestamp = function (ws) {
      return original.call(this, ws) && new Date(beatAt);
    };
  });
  const alarmAt = async (): Promise<number> => {
    const at = await runInDurableObject(stubOf(session), (_, { storage }) => storage.getAlarm());
    if (at === null) throw new Error('no alarm is set, so a silent wrapper would never be noticed');
    return at;
  };

  const before = counted();
  let alarms = 0;
  let beats = 0;
  for (let next = await alarmAt(); now < begun + HOUR_MS; next = await alarmAt()) {
    await putToSleep(stubOf(session));
    // Every heartbeat until the alarm.
    for (; beatAt + HEARTBEAT_MS <= Math.min(next, begun + HOUR_MS); beats += 1) {
      beatAt += HEARTBEAT_MS;
      vi.setSystemTime(beatAt);
      for (const socket of [peer, ...viewers]) socket.send('ping');
      await vi.waitFor(() => expect(viewers.map((viewer) => viewer.pongs())).toEqual([beats + 1, beats + 1, beats + 1]), {
        interval: 1,
      });
    }
    // The object was not in memory before the heartbeats, and is not now.
    await expect(evictDurableObject(stubOf(session)), 'a heartbeat woke the object').rejects.toThrow(/not currently running/);
    now = Math.max(now, next);
    vi.setSystemTime(now);
    expect(await runDurableObjectAlarm(stubOf(session))).toBe(true);
    alarms += 1;
  }

  const after = counted();
  expect(beats).toBe(HOUR_MS / HEARTBEAT_MS);
  const set = after.alarmsSet - before.alarmsSet;
  process.stdout?.write?.(`cost: an idle hour has ${alarms} alarms and ${set} rows for setting them\n`);
  // A counter that does not count would pass any limit.
  expect(alarms).toBeGreaterThan(10);
  expect(set).toBeGreaterThan(10);
  expect(alarms).toBeLessThanOrEqual(90);
  expect(set).toBeLessThanOrEqual(90);
  expect(after.rowsWritten - before.rowsWritten).toBe(0);
  // The connection was sound the whole time.
  peer.events(2, [output('still here\n')]);
  await vi.waitFor(() => expect(peer.received.at(-1)).toEqual({ type: 'ack', seq: 2 }));
});

test('[G7] a million events in batches of 100 are at most 10,110 rows, the life of the execution included', async () => {
  const [short, long] = [await life(10), await life(100)];
  expect(long.rows - short.rows).toBe(90);
  const rows = extrapolate({ events: short.events, count: short.rows }, { events: long.events, count: long.rows }, MILLION);
  process.stdout?.write?.(`cost: ${rows} rows for ${MILLION} events, ${long.rows - 100} of them for the life of the execution\n`);
  // A frame is a row, and 110 are for the rest. A new session pays about two for each migration,
  // so the rest was 100 before there were thirteen of them.
  expect(rows).toBeLessThanOrEqual(10_110);
});

test('a frame is one row whatever its content, and a duplicate adds no row', async () => {
  const session = newSession();
  const run = await start(session);
  const peer = await WrapperPeer.welcomed(run);
  const counted = await counting(session);
  let seq = 1;
  const deliver = async (events: HoldfastEvent[]): Promise<number> => {
    const before = billedRows(counted());
    await peer.deliver(seq, events);
    seq += events.length;
    return billedRows(counted()) - before;
  };
  // The first may still set an alarm.
  await deliver([output('warm\n')]);
  expect(await deliver([output('one\n')])).toBe(1);
  expect(await deliver(Array.from({ length: 500 }, () => output('many\n')))).toBe(1);
  seq -= 500;
  expect(await deliver(Array.from({ length: 500 }, () => output('many\n')))).toBe(0);
});

/** A viewer like a browser: it listens, and its heartbeats are answered. */
async function idleViewer(session: string): Promise<{ send(text: string): void; pongs(): number }> {
  const response = await upgrade(`${ORIGIN}/v1/sessions/${session}/stream`, {
    authorization: `Bearer ${ACME_KEY}`,
    'sec-websocket-protocol': STREAM_SUBPROTOCOL,
  });
  const ws = response.webSocket;
  if (!ws) throw new Error(`stream answered ${response.status}`);
  let pongs = 0;
  let live = false;
  ws.addEventListener('message', ({ data }) => {
    if (data === 'pong') pongs += 1;
    live ||= String(data).includes('"caught_up"');
  });
  ws.accept();
  await vi.waitFor(() => expect(live).toBe(true));
  return { send: (text) => ws.send(text), pongs: () => pongs };
}

test('counts begin at zero', () => {
  expect(billedRows(noCounts())).toBe(0);
});
