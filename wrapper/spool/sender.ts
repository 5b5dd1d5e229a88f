/**
 * Decides what to send next, and what can be released. A state machine without I/O or a clock
 * (`now` is an argument): delivery drives it with real sockets, the simulator with simulated ones.
 *
 * Owns: the list of stored, unacked chunks (their location, not their content), how far they were
 * sent in this epoch, and what the acks reveal about the line (line-rate).
 * Does not own: the bytes (spool), the socket (connection), any timer.
 *
 *                       appended                     appended, next, ack, nack
 *                        ┌──┐                          ┌──┐
 *                        ▼  │         welcome          ▼  │
 *      start ──────► disconnected ─────────────────► connected
 *                        ▲                              │
 *                        └───────── disconnected ───────┘
 *
 *   SND1  Chunks are contiguous: each begins where the previous one ends, and nothing is sent out
 *         of order.
 *   SND2  Unacked events are never dropped; a fault changes no state.
 *   SND3  After a welcome everything above its ackedSeq is sent (again). The receiver drops
 *         duplicates.
 *   SND4  With nothing in flight the next events are sent at once; otherwise they are batched until
 *         an ack arrives or a frame is full. At most `windowBytes` are in flight, and at most what
 *         the line has proven to carry; a single frame is always allowed.
 *   SND5  A nack for acked events is stale. A nack for frames sent before the last rewind is stale
 *         too. More than `REWINDS_MAX` rewinds without an ack in between cannot be caused by the
 *         network: a fault.
 *   SND6  An event that the line cannot carry (line-rate) is replaced by a gap, so that the rest
 *         arrives. This can only be an event longer than a chunk; it is a chunk of its own, and so
 *         is sent alone.
 */

import { WRAPPER_TIMES } from '../times.ts';
import { answerDelayMs, FLIGHT_BYTES_MIN, type Flight, LineRate, OversizeWatch } from '../transport/line-rate.ts';

/**
 * A run of stored events, as the spool wrote them. `segment` and `position` are the location; the
 * sender only compares them.
 */
export interface Chunk {
  firstSeq: number;
  count: number;
  /** Length with the line end of each event. */
  bytes: number;
  /** Null: it is not on disk any more, and a replacement is sent for its events. */
  segment: number | null;
  position: number;
}

export const lastSeqOf = ({ firstSeq, count }: Pick<Chunk, 'firstSeq' | 'count'>): number => firstSeq + count - 1;

/**
 * Goes into a frame as a whole or not at all, so it is at most what a line of unknown rate is
 * given. A full spool (1 GiB) is a list of 65,536.
 */
export const CHUNK_BYTES_MAX = FLIGHT_BYTES_MIN;
/** Space for the header line of an events frame. */
export const FRAME_HEADER_BYTES = 128;
export const REWINDS_MAX = 3;

export interface FramePlan {
  seq: number;
  count: number;
  bytes: number;
  chunks: Chunk[];
  /** The line cannot carry this one event: a gap replaces it (SND6). */
  tooLarge: boolean;
}

export interface SenderLimits {
  frameBytes: number;
  windowBytes: number;
  /** The coordinator closes a connection that is silent for this long. */
  silenceMs: number;
}

interface SentFrame {
  lastSeq: number;
  bytes: number;
  flight: Flight;
}

export type WelcomeOutcome =
  | { kind: 'resumed'; releasedBytes: number }
  /**
   * The receiver has more than this spool: its tail was lost. Numbering continues after the
   * receiver's last event.
   */
  | { kind: 'behind'; nextSeq: number; releasedBytes: number }
  /** The receiver asks for events that it acked before, and that were therefore removed here. */
  | { kind: 'history_lost'; ackedSeq: number; earliest: number };

export type AckOutcome = { kind: 'acked'; releasedBytes: number } | { kind: 'stale' } | { kind: 'fault'; why: string };
export type NackOutcome = { kind: 'rewound' } | { kind: 'stale' } | { kind: 'fault'; why: string };

export class Sender {
  /**
   * Chunks from `#head` on are not acked; the first `#sentChunks` of them were sent in this epoch.
   */
  #chunks: Chunk[] = [];
  #head = 0;
  #sentChunks = 0;
  #sentBytes = 0;
  #unsentBytes = 0;
  /** In flight, oldest first. */
  #frames: SentFrame[] = [];
  #nextSeq: number;
  #ackedSeq: number;
  #connected = false;
  #limits: SenderLimits = { frameBytes: 0, windowBytes: 0, silenceMs: 0 };
  #line = new LineRate();
  readonly #oversize = new OversizeWatch();
  #rewinds = 0;
  #staleNacks = { expected: 0, left: 0 };

  readonly #chunkBytesMax: number;
  readonly #slowestBytesPerSecond: number;

  /**
   * `nextSeq`: the seq of the next appended event. A simulator uses small chunks, to get many from
   * few bytes. `slowestBytesPerSecond`: the slowest supported line.
   */
  constructor(nextSeq = 1, chunkBytesMax = CHUNK_BYTES_MAX, slowestBytesPerSecond = WRAPPER_TIMES.slowestUplinkBytesPerSecond) {
    this.#chunkBytesMax = chunkBytesMax;
    this.#slowestBytesPerSecond = slowestBytesPerSecond;
    this.#nextSeq = nextSeq;
    this.#ackedSeq = nextSeq - 1;
  }

  get nextSeq(): number {
    return this.#nextSeq;
  }
  get ackedSeq(): number {
    return this.#ackedSeq;
  }
  /** Highest seq sent in this epoch. */
  get sentSeq(): number {
    const last = this.#sentChunks > 0 ? this.#chunks[this.#head + this.#sentChunks - 1] : undefined;
    return last ? Math.max(lastSeqOf(last), this.#ackedSeq) : this.#ackedSeq;
  }
  get inflightBytes(): number {
    return this.#sentBytes;
  }
  get unackedBytes(): number {
    return this.#sentBytes + this.#unsentBytes;
  }
  /** The cost of the index: chunks, not events. */
  get chunkCount(): number {
    return this.#chunks.length - this.#head;
  }
  get connected(): boolean {
    return this.#connected;
  }
  /** How long the bytes in flight may delay the answer to what is sent now. */
  get answerDelayMs(): number {
    const { bytesPerSecond } = this.#line;
    return answerDelayMs({ inflightBytes: this.#sentBytes, bytesPerSecond }, this.#slowestBytesPerSecond);
  }

  /**
   * The chunk is in the spool. Small unsent neighbours are merged, so that a long backlog stays a
   * short list.
   */
  appended(chunk: Chunk): void {
    // SND1
    if (chunk.firstSeq !== this.#nextSeq) throw new Error(`chunk ${chunk.firstSeq} does not follow ${this.#nextSeq - 1}`);
    this.#nextSeq = lastSeqOf(chunk) + 1;
    this.#unsentBytes += chunk.bytes;
    const last = this.#chunks.length - this.#head > this.#sentChunks ? this.#chunks.at(-1) : undefined;
    const fits =
      last !== undefined &&
      last.segment === chunk.segment &&
      last.position + last.bytes === chunk.position &&
      last.bytes + chunk.bytes <= this.#chunkBytesMax;
    if (fits) this.#chunks[this.#chunks.length - 1] = { ...last, count: last.count + chunk.count, bytes: last.bytes + chunk.bytes };
    else this.#chunks.push(chunk);
  }

  /** First seq in the spool; `nextSeq` when it is empty. */
  get earliestSeq(): number {
    return this.#chunks[this.#head]?.firstSeq ?? this.#nextSeq;
  }

  /** Inserts replacements for lost events before all chunks. Call before the first welcome. */
  prepended(chunks: readonly Chunk[]): void {
    const [first] = chunks;
    if (!first) return;
    // SND1
    if (lastSeqOf(chunks.at(-1) as Chunk) !== this.earliestSeq - 1) throw new Error(`chunks do not end before ${this.earliestSeq}`);
    this.#chunks = [...chunks, ...this.#chunks.slice(this.#head)];
    this.#head = 0;
    this.#unsentBytes += chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#ackedSeq = first.firstSeq - 1;
  }

  /**
   * For a welcome after the first: why it contradicts what was acked or created. Changes nothing.
   */
  refusalOf(ackedSeq: number): string | null {
    if (ackedSeq >= this.#nextSeq) return `the coordinator has ${ackedSeq} events, but there are only ${this.#nextSeq - 1}`;
    if (ackedSeq < this.earliestSeq - 1) return `the coordinator asks for event ${ackedSeq + 1}, which it acknowledged before`;
    return null;
  }

  welcome(ackedSeq: number, limits: SenderLimits, now: number): WelcomeOutcome {
    const earliest = this.earliestSeq;
    if (ackedSeq < earliest - 1) return { kind: 'history_lost', ackedSeq, earliest }; // SND2
    this.disconnected(now);
    this.#connected = true;
    this.#line = new LineRate();
    this.#limits = { ...limits };
    this.#rewinds = 0;
    const behind = ackedSeq >= this.#nextSeq;
    const releasedBytes = this.#release(ackedSeq);
    this.#ackedSeq = ackedSeq;
    if (!behind) return { kind: 'resumed', releasedBytes };
    this.#nextSeq = ackedSeq + 1;
    return { kind: 'behind', nextSeq: this.#nextSeq, releasedBytes };
  }

  disconnected(now: number): void {
    this.#watchOversize(now);
    this.#connected = false;
    this.#rewindTo(this.#head); // SND3
    this.#staleNacks = { expected: 0, left: 0 };
  }

  /** Acks are cumulative. */
  ack(seq: number, now: number): AckOutcome {
    if (!this.#connected) return { kind: 'stale' };
    if (seq > this.sentSeq) return { kind: 'fault', why: `ack of ${seq}, but only ${this.sentSeq} was sent` };
    if (seq <= this.#ackedSeq) return { kind: 'stale' };
    this.#ackedSeq = seq;
    this.#rewinds = 0;
    this.#measure(seq, now);
    return { kind: 'acked', releasedBytes: this.#release(seq) };
  }

  nack(expected: number): NackOutcome {
    if (!this.#connected || expected <= this.#ackedSeq) return { kind: 'stale' }; // SND5
    if (expected > this.sentSeq) {
      return { kind: 'fault', why: `nack expects ${expected}, but only ${this.sentSeq} was sent` };
    }
    if (this.#staleNacks.expected === expected && this.#staleNacks.left > 0) {
      this.#staleNacks.left -= 1;
      return { kind: 'stale' };
    }
    this.#rewinds += 1;
    if (this.#rewinds > REWINDS_MAX) return { kind: 'fault', why: `nack expects ${expected} again and again` };
    let index = this.#head;
    while (lastSeqOf(this.#chunks[index] as Chunk) < expected) index += 1;
    // Each frame after the missing one may be answered with the same nack.
    this.#staleNacks = { expected, left: Math.max(0, this.#frames.filter(({ lastSeq }) => lastSeq >= expected).length - 1) };
    this.#rewindTo(index);
    return { kind: 'rewound' };
  }

  /**
   * The next frame to send, marked as sent; null when there is nothing to send, or when waiting
   * gives a fuller frame.
   */
  next(now: number): FramePlan | null {
    if (!this.#connected || this.#unsentBytes === 0) return null;
    const room = Math.min(this.#limits.frameBytes - FRAME_HEADER_BYTES, this.#line.frameBytesMax);
    const window = Math.min(this.#limits.windowBytes, this.#line.flightBytesMax);
    const chunks: Chunk[] = [];
    let bytes = 0;
    let full = false;
    for (let index = this.#head + this.#sentChunks; index < this.#chunks.length; index += 1) {
      const chunk = this.#chunks[index] as Chunk;
      full = chunks.length > 0 && bytes + chunk.bytes > room;
      if (full) break;
      chunks.push(chunk);
      bytes += chunk.bytes;
    }
    full ||= bytes >= room;
    if (this.#sentBytes > 0 && (!full || this.#sentBytes + bytes > window)) return null; // SND4
    const first = chunks[0] as Chunk;
    const last = chunks.at(-1) as Chunk;
    const tooLarge = this.#oversize.isTooLarge(first.firstSeq); // SND6
    const idle = this.#sentBytes === 0;
    this.#sentChunks += chunks.length;
    this.#sentBytes += bytes;
    this.#unsentBytes -= bytes;
    const flight = this.#line.sent(now, { idle, last: this.#unsentBytes === 0 });
    this.#frames.push({ lastSeq: lastSeqOf(last), bytes: tooLarge ? 0 : bytes, flight });
    return { seq: first.firstSeq, count: lastSeqOf(last) - first.firstSeq + 1, bytes, chunks, tooLarge };
  }

  /** Measures the line with an ack. */
  #measure(ackedSeq: number, now: number): void {
    let bytes = 0;
    let newest: SentFrame | null = null;
    for (const frame of this.#frames) {
      if (frame.lastSeq > ackedSeq) break;
      bytes += frame.bytes;
      newest = frame;
    }
    if (newest) this.#line.acked(newest.flight, bytes, now);
  }

  /**
   * The connection ended. Returns whether the oldest event in flight may be too large for the line.
   */
  #watchOversize(now: number): void {
    const [oldest] = this.#frames;
    const chunk = this.#chunks[this.#head];
    if (!oldest || chunk?.count !== 1 || oldest.lastSeq !== chunk.firstSeq) return;
    const event = { seq: chunk.firstSeq, bytes: chunk.bytes, inFlightMs: now - oldest.flight.sentAt };
    this.#oversize.lost(event, { silenceMs: this.#limits.silenceMs, slowestBytesPerSecond: this.#slowestBytesPerSecond });
  }

  /**
   * Releases fully acked chunks. A partly acked chunk stays unchanged; the receiver drops its known
   * prefix.
   */
  #release(ackedSeq: number): number {
    let released = 0;
    for (let chunk = this.#chunks[this.#head]; chunk && lastSeqOf(chunk) <= ackedSeq; chunk = this.#chunks[this.#head]) {
      released += chunk.bytes;
      this.#head += 1;
      if (this.#sentChunks > 0) {
        this.#sentChunks -= 1;
        this.#sentBytes -= chunk.bytes;
      } else {
        this.#unsentBytes -= chunk.bytes;
      }
    }
    // The list is compacted occasionally and not at each ack, which would move the rest of it each
    // time.
    if (this.#head > 1024 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    this.#frames = this.#frames.filter(({ lastSeq }) => lastSeq > ackedSeq);
    return released;
  }

  /** Chunks from this index on count as unsent. */
  #rewindTo(index: number): void {
    const firstSeq = this.#chunks[index]?.firstSeq ?? this.#nextSeq;
    for (let at = index; at < this.#head + this.#sentChunks; at += 1) {
      const { bytes } = this.#chunks[at] as Chunk;
      this.#sentBytes -= bytes;
      this.#unsentBytes += bytes;
    }
    this.#sentChunks = Math.min(this.#sentChunks, index - this.#head);
    this.#frames = this.#frames.filter(({ lastSeq }) => lastSeq < firstSeq);
  }
}
