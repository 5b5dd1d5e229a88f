/**
 * Goal: the sender against a model of the receiver (ING5) over a network that cuts, delays and
 * forgets acks. Method: random interleavings of appends, deliveries, answers and cuts; at the end
 * everything must be there once and in order.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHUNK_BYTES_MAX,
  type Chunk,
  FRAME_HEADER_BYTES,
  type FramePlan,
  lastSeqOf,
  REWINDS_MAX,
  Sender,
} from '../../wrapper/spool/sender.ts';
import { FLIGHT_BYTES_MIN } from '../../wrapper/transport/line-rate.ts';

/** One event of the tests' usual size is a chunk, and one chunk a frame. */
const CHUNK = 700;
const LIMITS = { frameBytes: 1000, windowBytes: 4000, silenceMs: 60_000 };

/** Gives chunks their seqs and places, like the spool does. */
class Store {
  nextSeq: number;
  position = 0;
  segment = 1;
  constructor(nextSeq = 1) {
    this.nextSeq = nextSeq;
  }
  chunk(count: number, bytes: number): Chunk {
    if (this.position > 5000) {
      this.segment = this.nextSeq;
      this.position = 0;
    }
    const chunk = { firstSeq: this.nextSeq, count, bytes, segment: this.segment, position: this.position };
    this.nextSeq += count;
    this.position += bytes;
    return chunk;
  }
}

type Answer = { ack: number } | { nack: number };

/** The rules of ING5, and what it has. */
class Receiver {
  acked = 0;
  stored: number[] = [];
  take({ seq, count }: FramePlan): Answer {
    if (seq > this.acked + 1) return { nack: this.acked + 1 };
    for (let each = seq; each < seq + count; each += 1) if (each > this.acked) this.stored.push(each);
    this.acked = Math.max(this.acked, seq + count - 1);
    return { ack: this.acked };
  }
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 5 }),
      bytes: fc.integer({ min: 20, max: 700 }),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'send' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'deliver' as const }) },
  { weight: 3, arbitrary: fc.constant({ do: 'answer' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'lose_frame' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'cut' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'connect' as const }) },
);

describe('against a model receiver', () => {
  it('[G1] [SND2] [SND3] delivers every event once and in order, whatever is cut or lost', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const store = new Store();
        const sender = new Sender(1, CHUNK);
        const receiver = new Receiver();
        let wire: FramePlan[] = [];
        let answers: Answer[] = [];
        const cut = () => {
          sender.disconnected(0);
          wire = [];
          answers = [];
        };
        const connect = () => {
          cut();
          expect(sender.welcome(receiver.acked, LIMITS, 0).kind).toBe('resumed');
        };
        const answer = () => {
          const next = answers.shift();
          if (!next) return;
          const outcome = 'ack' in next ? sender.ack(next.ack, 0) : sender.nack(next.nack);
          if (outcome.kind === 'fault') connect();
        };
        const send = () => {
          for (let plan = sender.next(0); plan; plan = sender.next(0)) {
            expect(plan.seq + plan.count - 1).toBe(lastSeqOf(plan.chunks.at(-1) as Chunk));
            expect(plan.chunks.length === 1 || plan.bytes <= LIMITS.frameBytes - FRAME_HEADER_BYTES).toBe(true);
            // SND4
            expect(sender.inflightBytes <= LIMITS.windowBytes || sender.inflightBytes === plan.bytes).toBe(true);
            wire.push(plan);
          }
        };
        for (const each of steps) {
          switch (each.do) {
            case 'append':
              sender.appended(store.chunk(each.count, each.bytes));
              break;
            case 'send':
              send();
              break;
            case 'deliver': {
              const frame = wire.shift();
              if (frame) answers.push(receiver.take(frame));
              break;
            }
            case 'answer':
              answer();
              break;
            case 'lose_frame':
              wire.shift();
              break;
            case 'cut':
              cut();
              break;
            case 'connect':
              connect();
              break;
            default:
              each satisfies never;
          }
          expect(sender.ackedSeq).toBeLessThanOrEqual(receiver.acked);
        }
        // From here on the network works: all of it must arrive in a bounded number of rounds.
        connect();
        for (let round = 0; round < 2000 && sender.ackedSeq < store.nextSeq - 1; round += 1) {
          send();
          for (const frame of wire.splice(0)) answers.push(receiver.take(frame));
          while (answers.length > 0) answer();
        }
        expect(receiver.stored).toEqual(Array.from({ length: store.nextSeq - 1 }, (_, index) => index + 1));
        expect(sender.unackedBytes).toBe(0);
        expect(sender.inflightBytes).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('[SND1] a restarted sender whose chunks are cut differently resends an overlap, and nothing is stored twice', () => {
    const sender = new Sender(1, CHUNK);
    const store = new Store();
    const receiver = new Receiver();
    sender.appended(store.chunk(10, 100));
    receiver.acked = 4;
    receiver.stored = [1, 2, 3, 4];
    sender.welcome(4, LIMITS, 0);
    receiver.take(sender.next(0) as FramePlan);
    expect(receiver.stored).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe('when to send', () => {
  it('[SND4] sends at once when nothing is in flight, then gathers until the ack', () => {
    const store = new Store();
    const sender = new Sender(1, CHUNK);
    sender.welcome(0, LIMITS, 0);
    sender.appended(store.chunk(1, 50));
    expect(sender.next(0)).toMatchObject({ seq: 1, count: 1 });
    for (let n = 0; n < 5; n += 1) {
      sender.appended(store.chunk(1, 50));
      expect(sender.next(0)).toBeNull();
    }
    sender.ack(1, 0);
    expect(sender.next(0)).toMatchObject({ seq: 2, count: 5 });
  });

  it('[SND4] does not wait for the ack when a frame is full, up to the window', () => {
    const store = new Store();
    const sender = new Sender(1, CHUNK);
    sender.welcome(0, LIMITS, 0);
    for (let n = 0; n < 20; n += 1) sender.appended(store.chunk(1, 600));
    let frames = 0;
    while (sender.next(0)) frames += 1;
    expect(frames).toBe(6); // 7 · 600 would be above 4000.
    sender.ack(1, 0);
    expect(sender.next(0)).toMatchObject({ seq: 7, count: 1 });
  });

  it('[SND4] sends a single frame that is larger than the window rather than never', () => {
    const sender = new Sender(1, CHUNK);
    sender.welcome(0, { ...LIMITS, windowBytes: 100 }, 0);
    sender.appended(new Store().chunk(1, 900));
    expect(sender.next(0)).toMatchObject({ seq: 1 });
  });

  it('a long backlog of tiny events is a short list', () => {
    const sender = new Sender();
    for (let n = 0; n < 100_000; n += 1) {
      const chunk = { firstSeq: n + 1, count: 1, bytes: 100, segment: 1, position: n * 100 };
      sender.appended(chunk);
    }
    expect(sender.chunkCount).toBeLessThanOrEqual(Math.ceil(100_000 / Math.floor(CHUNK_BYTES_MAX / 100)) + 1);
    expect(sender.nextSeq).toBe(100_001);
  });
});

describe('an event that the line does not carry', () => {
  const BIG = FLIGHT_BYTES_MIN + 1;
  const limits = { frameBytes: 512 * 1024, windowBytes: 4 * 1024 * 1024, silenceMs: 60_000 };
  const SLOWEST = 2000;
  /** Time that counts: 16,385 bytes at 2 kB/s. */
  const ENOUGH_MS = (BIG * 1000) / SLOWEST;
  const big = (bytes = BIG) => {
    const sender = new Sender(1, CHUNK_BYTES_MAX, SLOWEST);
    sender.appended({ firstSeq: 1, count: 1, bytes, segment: 1, position: 0 });
    sender.appended({ firstSeq: 2, count: 1, bytes: 100, segment: 1, position: bytes });
    return sender;
  };
  const lose = (sender: Sender, afterMs: number) => {
    sender.welcome(0, limits, 0);
    const plan = sender.next(0);
    sender.disconnected(afterMs);
    return plan;
  };

  it('[SND6] is sent alone, and is replaced after three losses in a row, each long enough', () => {
    const sender = big();
    for (let loss = 1; loss <= 3; loss += 1) expect(lose(sender, ENOUGH_MS)).toMatchObject({ seq: 1, count: 1, tooLarge: false });
    expect(lose(sender, 0)).toMatchObject({ seq: 1, count: 1, tooLarge: true });
    sender.welcome(1, limits, 0);
    expect(sender.next(0)).toMatchObject({ seq: 2, tooLarge: false });
  });

  it('[LR4] losses that came sooner say nothing about the line', () => {
    const sender = big();
    for (let loss = 1; loss <= 10; loss += 1) expect(lose(sender, ENOUGH_MS - 1)?.tooLarge).toBe(false);
  });

  it('[LR4] half of the silence that the coordinator bears is enough for an event of any size', () => {
    const sender = big(500_000);
    for (let loss = 1; loss <= 3; loss += 1) lose(sender, limits.silenceMs / 2);
    expect(lose(sender, 0)?.tooLarge).toBe(true);
  });

  it('[SND6] never one that is as long as the least that is in flight', () => {
    const sender = big(FLIGHT_BYTES_MIN);
    for (let loss = 1; loss <= 10; loss += 1) expect(lose(sender, 10 * ENOUGH_MS)?.tooLarge).toBe(false);
  });

  it('[LR4] an ack of it ends the count', () => {
    const sender = big();
    for (let loss = 1; loss <= 2; loss += 1) lose(sender, ENOUGH_MS);
    sender.welcome(0, limits, 0);
    sender.next(0);
    expect(sender.ack(1, 9000).kind).toBe('acked');
    sender.disconnected(90_000);
    expect(sender.welcome(1, limits, 0).kind).toBe('resumed');
    expect(sender.next(0)).toMatchObject({ seq: 2, tooLarge: false });
  });
});

describe('answers that should not be', () => {
  const flying = () => {
    const store = new Store();
    const sender = new Sender(1, CHUNK);
    sender.welcome(0, LIMITS, 0);
    for (let n = 0; n < 7; n += 1) sender.appended(store.chunk(1, 600));
    while (sender.next(0));
    // Six are in flight; the seventh waits, because it may still become a fuller frame.
    expect(sender.sentSeq).toBe(6);
    return sender;
  };

  it('an ack of what was never sent is a fault, and changes nothing', () => {
    const sender = flying();
    expect(sender.ack(7, 0).kind).toBe('fault');
    expect(sender.ackedSeq).toBe(0);
    expect(sender.ack(6, 0)).toEqual({ kind: 'acked', releasedBytes: 3600 });
  });

  it('[SND5] a nack for what is acked is ignored', () => {
    const sender = flying();
    sender.ack(3, 0);
    expect(sender.nack(2)).toEqual({ kind: 'stale' });
    expect(sender.next(0)).toBeNull();
  });

  it('[SND5] goes back to what is expected, once per loss and not once per nack', () => {
    const sender = flying();
    // Frame 2 was lost; 3, 4, 5 and 6 are each answered with the same nack.
    expect(sender.nack(2)).toEqual({ kind: 'rewound' });
    const again: number[] = [];
    for (let plan = sender.next(0); plan; plan = sender.next(0)) again.push(plan.seq);
    expect(again).toEqual([2, 3, 4, 5, 6]);
    for (let n = 0; n < 3; n += 1) expect(sender.nack(2)).toEqual({ kind: 'stale' });
    expect(sender.next(0)).toBeNull();
  });

  it('[SND5] the same nack without any progress becomes a fault instead of a hot loop', () => {
    const sender = flying();
    let sent = 0;
    let fault = false;
    for (let n = 0; n < 1000 && !fault; n += 1) {
      fault = sender.nack(1).kind === 'fault';
      while (sender.next(0)) sent += 1;
    }
    expect(fault).toBe(true);
    expect(sent).toBeLessThanOrEqual(REWINDS_MAX * 6);
  });

  it('a welcome that asks for already acked events is detected', () => {
    const sender = flying();
    sender.ack(4, 0);
    expect(sender.welcome(2, LIMITS, 0)).toEqual({ kind: 'history_lost', ackedSeq: 2, earliest: 5 });
  });

  it('[SPL44] a welcome that does not fit is detected before any state changes', () => {
    const sender = flying();
    sender.ack(4, 0);
    const { nextSeq, sentSeq, unackedBytes } = sender;
    expect(sender.refusalOf(3)).toContain('asks for event 4, which it acknowledged before');
    expect(sender.refusalOf(4)).toBeNull();
    expect(sender.refusalOf(nextSeq - 1)).toBeNull();
    expect(sender.refusalOf(nextSeq)).toContain(`has ${nextSeq} events, but there are only ${nextSeq - 1}`);
    expect(sender).toMatchObject({ nextSeq, sentSeq, unackedBytes, ackedSeq: 4, connected: true });
  });

  it('a welcome from further up moves the numbering on', () => {
    const sender = new Sender(1, CHUNK);
    const store = new Store();
    sender.appended(store.chunk(3, 60));
    expect(sender.welcome(10, LIMITS, 0)).toEqual({ kind: 'behind', nextSeq: 11, releasedBytes: 60 });
    sender.appended(new Store(11).chunk(1, 20));
    expect(sender.next(0)).toMatchObject({ seq: 11, count: 1 });
  });

  it('acks and nacks without a connection change nothing', () => {
    const sender = flying();
    sender.disconnected(0);
    expect(sender.ack(3, 0)).toEqual({ kind: 'stale' });
    expect(sender.nack(3)).toEqual({ kind: 'stale' });
    expect(sender.unackedBytes).toBe(4200);
    expect(sender.next(0)).toBeNull();
  });
});
