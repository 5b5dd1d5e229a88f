/**
 * A wrapper's spool: what survives the wrapper's process. Lines get their seq at once and are on disk a moment later; only then may they be
 * sent (SPL1).
 *
 * Every line that was ever stored under a seq is kept in the `Ledger`, whoever stored it: the log may hold nothing else.
 */

import { type Chunk, lastSeqOf } from '../../wrapper/sender.ts';

const SEGMENT_EVENTS = 8;

/** All that wrappers of one id ever stored: seq → lines. More than one line only after a host lost a spool's tail, or a spool was copied. */
export class Ledger {
  readonly #lines = new Map<string, string[][]>();

  stored(wrapperId: string, seq: number, line: string): void {
    let lines = this.#lines.get(wrapperId);
    if (!lines) {
      lines = [];
      this.#lines.set(wrapperId, lines);
    }
    const known = lines[seq];
    if (known) known.push(line);
    else lines[seq] = [line];
  }

  holds(wrapperId: string, seq: number, line: string): boolean {
    return this.#lines.get(wrapperId)?.[seq]?.includes(line) ?? false;
  }
}

interface StoredLine {
  line: string;
  segment: number;
  position: number;
}

export class Spool {
  readonly wrapperId: string;
  readonly execution: string;
  readonly #ledger: Ledger;
  /** By seq. A hole is a seq that the coordinator knew and this spool did not. */
  readonly #lines: (StoredLine | undefined)[] = [];
  storedSeq = 0;
  releasedSeq = 0;
  terminal = false;
  begun = false;
  removed = false;
  /** Held by a live process. */
  locked = false;
  boots = 0;
  commandsDone: number[] = [];

  constructor(wrapperId: string, execution: string, ledger: Ledger) {
    this.wrapperId = wrapperId;
    this.execution = execution;
    this.#ledger = ledger;
  }

  /** The line is on disk. */
  store(line: string, terminal: boolean): Chunk {
    this.storedSeq += 1;
    const seq = this.storedSeq;
    const before = this.#lines[seq - 1];
    const joins = before !== undefined && (seq - 1) % SEGMENT_EVENTS !== 0;
    const stored = {
      line,
      segment: joins ? before.segment : seq,
      position: joins ? before.position + before.line.length + 1 : 0,
    };
    this.#lines[seq] = stored;
    this.terminal ||= terminal;
    this.#ledger.stored(this.wrapperId, seq, line);
    return { firstSeq: seq, count: 1, bytes: line.length + 1, segment: stored.segment, position: stored.position };
  }

  skipTo(nextSeq: number): void {
    this.storedSeq = nextSeq - 1;
  }

  release(seq: number): void {
    this.releasedSeq = Math.max(this.releasedSeq, seq);
  }

  lines({ seq, count }: { seq: number; count: number }): string {
    const lines: string[] = [];
    for (let at = seq; at < seq + count; at += 1) {
      const stored = this.#lines[at];
      if (!stored) throw new Error(`seq ${at} is not in the spool`);
      lines.push(stored.line);
    }
    return lines.join('\n');
  }

  /** What a boot finds: whole segments only, so what was acked in the oldest one is found again. */
  recover(): Chunk[] {
    const chunks: Chunk[] = [];
    let first = this.releasedSeq + 1;
    while (first > 1 && this.#lines[first - 1] && (first - 1) % SEGMENT_EVENTS !== 0) first -= 1;
    for (let seq = first; seq <= this.storedSeq; seq += 1) {
      const stored = this.#lines[seq];
      if (!stored) throw new Error(`seq ${seq} is missing in the spool`);
      const { line, segment, position } = stored;
      const last = chunks.at(-1);
      const bytes = line.length + 1;
      if (last && last.segment === segment) {
        last.count += 1;
        last.bytes += bytes;
      } else chunks.push({ firstSeq: lastSeqOf({ firstSeq: seq, count: 1 }), count: 1, bytes, segment, position });
    }
    return chunks;
  }

  /** A crash of the host: what was not flushed to the medium is gone, though it was sent. */
  loseTail(events: number): void {
    const left = Math.max(this.releasedSeq, this.storedSeq - events);
    if (left < this.storedSeq) this.terminal = false;
    this.storedSeq = left;
    this.#lines.length = left + 1;
  }

  /** A snapshot of the disk, as a second host may get it. */
  copy(): Spool {
    const copy = new Spool(this.wrapperId, this.execution, this.#ledger);
    copy.#lines.push(...this.#lines);
    copy.storedSeq = this.storedSeq;
    copy.releasedSeq = this.releasedSeq;
    copy.terminal = this.terminal;
    copy.begun = this.begun;
    copy.boots = this.boots;
    copy.commandsDone = [...this.commandsDone];
    return copy;
  }
}
