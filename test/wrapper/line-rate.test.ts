/**
 * Goal: what is in flight follows what the line carries: small while that is not known, little on a
 * slow line, everything on a fast one. Method: lines of a given rate and delay, on which each frame
 * is acked when its last byte has arrived and the answer has come back.
 */

import { describe, expect, it } from 'vitest';
import { FRAME_BYTES_MAX, WINDOW_BYTES } from '../../protocol/index.ts';
import { CHUNK_BYTES_MAX, Sender } from '../../wrapper/spool/sender.ts';
import { answerDelayMs, FLIGHT_BYTES_MIN, FLIGHT_MS, LineRate, SAMPLE_BYTES_MIN } from '../../wrapper/transport/line-rate.ts';

const LIMITS = { frameBytes: FRAME_BYTES_MAX, windowBytes: WINDOW_BYTES, silenceMs: 60_000 };

interface Line {
  bytesPerSecond: number;
  roundTripMs: number;
}

/**
 * Sends a backlog over a line. What was in flight and how long the line was idle, from the first
 * ack on.
 */
function transfer({ bytesPerSecond, roundTripMs }: Line, bytes: number) {
  const sender = new Sender();
  for (let at = 0, seq = 1; at < bytes; at += 1000, seq += 1) {
    sender.appended({ firstSeq: seq, count: 1, bytes: 1000, segment: 1, position: at });
  }
  sender.welcome(0, LIMITS, 0);
  let now = 0;
  let lineFreeAt = 0;
  let idleMs = 0;
  let roundTrips = 0;
  let longestAnswerMs = 0;
  const acks: { seq: number; at: number }[] = [];
  const send = () => {
    for (let plan = sender.next(now); plan; plan = sender.next(now)) {
      idleMs += Math.max(0, now - lineFreeAt);
      lineFreeAt = Math.max(now, lineFreeAt) + (plan.bytes * 1000) / bytesPerSecond;
      acks.push({ seq: plan.seq + plan.count - 1, at: lineFreeAt + roundTripMs });
      longestAnswerMs = Math.max(longestAnswerMs, lineFreeAt + roundTripMs - now);
    }
  };
  send();
  for (let ack = acks.shift(); ack; ack = acks.shift()) {
    now = ack.at;
    sender.ack(ack.seq, now);
    roundTrips += 1;
    send();
  }
  expect(sender.unackedBytes).toBe(0);
  return { ms: now, idleMs, acks: roundTrips, longestAnswerMs };
}

describe('[SPL40] over a line of', () => {
  it.each([2000, 8000, 30_000, 100_000])('%i B/s every answer arrives before the connection counts as dead', (bytesPerSecond) => {
    const { longestAnswerMs } = transfer({ bytesPerSecond, roundTripMs: 300 }, 2_300_000);
    expect(longestAnswerMs).toBeLessThan(10_000);
  });

  it.each([
    [1_000_000, 50],
    [12_500_000, 20],
    [125_000_000, 1],
    [125_000_000, 80],
  ])('%i B/s with a round trip of %i ms the line or the window decides, after four round trips', (bytesPerSecond, roundTripMs) => {
    const bytes = 40_000_000;
    const { ms } = transfer({ bytesPerSecond, roundTripMs }, bytes);
    const rate = Math.min(bytesPerSecond, (WINDOW_BYTES * 1000) / (roundTripMs + (WINDOW_BYTES * 1000) / bytesPerSecond / 8));
    expect(ms).toBeLessThan((bytes * 1000) / rate + 6 * roundTripMs + 200);
  });
});

describe('what acks say', () => {
  it('[LR1] nothing is known at first: one small flight', () => {
    const line = new LineRate();
    expect(line.bytesPerSecond).toBeNull();
    expect(line.flightBytesMax).toBe(FLIGHT_BYTES_MIN);
    expect(line.frameBytesMax).toBe(FLIGHT_BYTES_MIN);
    expect(CHUNK_BYTES_MAX).toBe(FLIGHT_BYTES_MIN);
  });

  it('[LR2] grows fourfold per round trip at most, however fast the ack was', () => {
    const line = new LineRate();
    line.acked(line.sent(0, { idle: true, last: false }), FLIGHT_BYTES_MIN, 1);
    expect(line.flightBytesMax).toBe(4 * FLIGHT_BYTES_MIN);
    expect(line.frameBytesMax).toBe(2 * FLIGHT_BYTES_MIN);
  });

  it('[LR2] shrinks with the rate', () => {
    const line = new LineRate();
    line.acked(line.sent(0, { idle: true, last: false }), 400_000, 1000);
    expect(line.flightBytesMax).toBe(400_000 * (FLIGHT_MS / 1000));
    for (let now = 1000, n = 0; n < 10; n += 1, now += 10_000) {
      line.acked(line.sent(now, { idle: true, last: false }), 80_000, now + 10_000);
    }
    expect(line.flightBytesMax).toBeLessThan(8000 * (FLIGHT_MS / 1000) * 1.1);
  });

  it('[LR3] the flights of a quiet job never lower the rate, and one of few bytes is ignored', () => {
    const line = new LineRate();
    line.acked(line.sent(0, { idle: true, last: true }), SAMPLE_BYTES_MIN - 1, 1);
    expect(line.bytesPerSecond).toBeNull();
    line.acked(line.sent(10, { idle: true, last: true }), SAMPLE_BYTES_MIN, 11);
    const known = line.bytesPerSecond as number;
    expect(known).toBeGreaterThan(SAMPLE_BYTES_MIN * 500);
    line.acked(line.sent(20, { idle: true, last: true }), SAMPLE_BYTES_MIN, 10_020);
    expect(line.bytesPerSecond).toBe(known);
    line.acked(line.sent(10_020, { idle: true, last: false }), SAMPLE_BYTES_MIN, 20_020);
    expect(line.bytesPerSecond).toBeLessThan(known);
  });
});

describe('[CN7] how long an answer may be held up', () => {
  it('by the slowest line that is served, while the rate is not known or seems to be lower', () => {
    expect(answerDelayMs({ inflightBytes: 64 * 1024, bytesPerSecond: null }, 2000)).toBe(32_768);
    expect(answerDelayMs({ inflightBytes: 64 * 1024, bytesPerSecond: 10 }, 2000)).toBe(32_768);
    expect(answerDelayMs({ inflightBytes: 0, bytesPerSecond: null }, 2000)).toBe(0);
  });

  it('by the measured rate: a dead connection of a fast line is noticed as soon as ever', () => {
    expect(answerDelayMs({ inflightBytes: WINDOW_BYTES, bytesPerSecond: 10_000_000 }, 2000)).toBeLessThan(500);
  });
});
