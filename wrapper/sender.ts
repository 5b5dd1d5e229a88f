/**
 * What to send next, and what need not be kept any longer. A state machine without I/O and without a clock: delivery drives it
 * with real sockets, the simulator with made-up ones.
 *
 * Owns: the list of chunks that are stored and not acked (where they are, not what they say), and how far they were sent in this epoch.
 * Does not own: the bytes (spool), the socket (connection), any time.
 *
 *                       appended                     appended, next, ack, nack
 *                        ┌──┐                          ┌──┐
 *                        ▼  │         welcome          ▼  │
 *      start ──────► disconnected ─────────────────► connected
 *                        ▲                              │
 *                        └───────── disconnected ───────┘
 *
 *   SND1  Chunks are contiguous: each begins where the one before it ends, and nothing is sent out of order.
 *   SND2  What is not acked is never forgotten; what a fault says changes nothing.
 *   SND3  After a welcome everything above its ackedSeq is sent (again). The receiver drops what it knows.
 *   SND4  With nothing in flight the next events leave at once; else they gather until an ack comes or a frame is full. At most
 *         `windowBytes` are in flight, except that a single frame may always be.
 *   SND5  A nack for what is acked is stale. One that comes from frames sent before the last rewind is stale too. More than
 *         `REWINDS_MAX` rewinds without an ack in between is no network's doing: a fault.
 */

/** A run of stored events, as the spool wrote them. `segment` and `position` say where; the sender only compares them. */
export interface Chunk {
  firstSeq: number;
  count: number;
  /** Length with the line end of each event. */
  bytes: number;
  /** Null: nothing of it is on disk any more, and something else is sent for its events. */
  segment: number | null;
  position: number;
}

export const lastSeqOf = ({ firstSeq, count }: Pick<Chunk, 'firstSeq' | 'count'>): number => firstSeq + count - 1;

/** Two of these and the header fit one frame. */
export const CHUNK_BYTES_MAX = 255 * 1024;
/** Room for the header line of an events frame. */
export const FRAME_HEADER_BYTES = 128;
export const REWINDS_MAX = 3;

export interface FramePlan {
  seq: number;
  count: number;
  bytes: number;
  chunks: Chunk[];
}

export type WelcomeOutcome =
  | { kind: 'resumed'; releasedBytes: number }
  /** The receiver has more than we do: our tail was lost. Numbering goes on behind what it has. */
  | { kind: 'behind'; nextSeq: number; releasedBytes: number }
  /** The receiver asks for what it has acknowledged before, and what is therefore gone here. */
  | { kind: 'history_lost'; ackedSeq: number; earliest: number };

export type AckOutcome = { kind: 'acked'; releasedBytes: number } | { kind: 'stale' } | { kind: 'fault'; why: string };
export type NackOutcome = { kind: 'rewound' } | { kind: 'stale' } | { kind: 'fault'; why: string };

export class Sender {
  /** Chunks from `#head` on are not acked; the first `#sentChunks` of them were sent in this epoch. */
  #chunks: Chunk[] = [];
  #head = 0;
  #sentChunks = 0;
  #sentBytes = 0;
  #unsentBytes = 0;
  /** Last seq of each frame in flight, oldest first. */
  #frames: number[] = [];
  #nextSeq: number;
  #ackedSeq: number;
  #connected = false;
  #limits = { frameBytes: 0, windowBytes: 0 };
  #rewinds = 0;
  #staleNacks = { expected: 0, left: 0 };

  readonly #chunkBytesMax: number;

  /** `nextSeq`: the seq of the first event that will be appended. A simulator makes chunks small, to get many with few bytes. */
  constructor(nextSeq = 1, chunkBytesMax = CHUNK_BYTES_MAX) {
    this.#chunkBytesMax = chunkBytesMax;
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
  /** What the index costs: chunks, not events. */
  get chunkCount(): number {
    return this.#chunks.length - this.#head;
  }
  get connected(): boolean {
    return this.#connected;
  }

  /** The chunk is in the spool. Small neighbours that were not sent yet become one, so that a long backlog stays a short list. */
  appended(chunk: Chunk): void {
    if (chunk.firstSeq !== this.#nextSeq) throw new Error(`chunk ${chunk.firstSeq} does not follow ${this.#nextSeq - 1}`); // SND1
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

  /** First seq of what there is; `nextSeq` when there is nothing. */
  get earliestSeq(): number {
    return this.#chunks[this.#head]?.firstSeq ?? this.#nextSeq;
  }

  /** Puts something in the place of events that are lost, right before all there is. To be called before the first welcome. */
  prepended(chunks: readonly Chunk[]): void {
    const [first] = chunks;
    if (!first) return;
    if (lastSeqOf(chunks.at(-1) as Chunk) !== this.earliestSeq - 1) throw new Error(`chunks do not end before ${this.earliestSeq}`); // SND1
    this.#chunks = [...chunks, ...this.#chunks.slice(this.#head)];
    this.#head = 0;
    this.#unsentBytes += chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#ackedSeq = first.firstSeq - 1;
  }

  welcome(ackedSeq: number, limits: { frameBytes: number; windowBytes: number }): WelcomeOutcome {
    const earliest = this.earliestSeq;
    if (ackedSeq < earliest - 1) return { kind: 'history_lost', ackedSeq, earliest }; // SND2
    this.disconnected();
    this.#connected = true;
    this.#limits = { ...limits };
    this.#rewinds = 0;
    const behind = ackedSeq >= this.#nextSeq;
    const releasedBytes = this.#release(ackedSeq);
    this.#ackedSeq = ackedSeq;
    if (!behind) return { kind: 'resumed', releasedBytes };
    this.#nextSeq = ackedSeq + 1;
    return { kind: 'behind', nextSeq: this.#nextSeq, releasedBytes };
  }

  disconnected(): void {
    this.#connected = false;
    this.#rewindTo(this.#head); // SND3
    this.#staleNacks = { expected: 0, left: 0 };
  }

  /** Acks are cumulative. */
  ack(seq: number): AckOutcome {
    if (!this.#connected) return { kind: 'stale' };
    if (seq > this.sentSeq) return { kind: 'fault', why: `ack of ${seq}, but only ${this.sentSeq} was sent` };
    if (seq <= this.#ackedSeq) return { kind: 'stale' };
    this.#ackedSeq = seq;
    this.#rewinds = 0;
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
    // Each frame behind the one that is missing may still be answered with the same nack.
    this.#staleNacks = { expected, left: Math.max(0, this.#frames.filter((last) => last >= expected).length - 1) };
    this.#rewindTo(index);
    return { kind: 'rewound' };
  }

  /** The next frame to send, marked as sent; null when there is nothing to send, or when waiting makes a better frame. */
  next(): FramePlan | null {
    if (!this.#connected || this.#unsentBytes === 0) return null;
    const room = this.#limits.frameBytes - FRAME_HEADER_BYTES;
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
    if (this.#sentBytes > 0 && (!full || this.#sentBytes + bytes > this.#limits.windowBytes)) return null; // SND4
    const first = chunks[0] as Chunk;
    const last = chunks.at(-1) as Chunk;
    this.#sentChunks += chunks.length;
    this.#sentBytes += bytes;
    this.#unsentBytes -= bytes;
    this.#frames.push(lastSeqOf(last));
    return { seq: first.firstSeq, count: lastSeqOf(last) - first.firstSeq + 1, bytes, chunks };
  }

  /** Forgets the chunks that are acked as a whole. One that is acked in part stays as it is; its known prefix is dropped by the receiver. */
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
    // The list is cut now and then rather than at each ack, which would move the rest of it each time.
    if (this.#head > 1024 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    this.#frames = this.#frames.filter((last) => last > ackedSeq);
    return released;
  }

  /** Chunks from this index on count as not sent. */
  #rewindTo(index: number): void {
    const firstSeq = this.#chunks[index]?.firstSeq ?? this.#nextSeq;
    for (let at = index; at < this.#head + this.#sentChunks; at += 1) {
      const { bytes } = this.#chunks[at] as Chunk;
      this.#sentBytes -= bytes;
      this.#unsentBytes += bytes;
    }
    this.#sentChunks = Math.min(this.#sentChunks, index - this.#head);
    this.#frames = this.#frames.filter((last) => last < firstSeq);
  }
}
