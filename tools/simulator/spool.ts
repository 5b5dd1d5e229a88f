/**
 * A wrapper's spool: what survives the wrapper's process. Lines get their seq immediately and are
 * on disk a moment later. Only then may they be sent (SPL1).
 *
 * The `Ledger` keeps every line that was ever stored under a seq, by any wrapper, and the
 * replacement that a damaged spool sends. The log may hold nothing else. The wrapper's own code
 * finds the damage (spool-lines) and decides what is sent in its place (spool-lost).
 */

import { encodeRecords, examine } from '../../wrapper/spool/lines.ts';
import { LostEvents, type LostRange } from '../../wrapper/spool/lost.ts';
import { type Chunk, lastSeqOf } from '../../wrapper/spool/sender.ts';
import type { HeldJob } from './held-job.ts';
import { memoryFiles } from './questions.ts';
import type { Random } from './random.ts';

const SEGMENT_EVENTS = 8;

/**
 * All that wrappers of one id ever stored: seq → lines. More than one line only after a host lost a
 * spool's tail, or a spool was copied or damaged.
 */
export class Ledger {
  readonly #lines = new Map<string, string[][]>();

  stored(wrapperId: string, seq: number, line: string): void {
    let lines = this.#lines.get(wrapperId);
    if (!lines) {
      lines = [];
      this.#lines.set(wrapperId, lines);
    }
    const known = lines[seq];
    if (known?.includes(line)) return;
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
  terminal: boolean;
  /** What is on the disk instead of the line, after disk damage. */
  damaged?: Buffer;
}

/** What a boot finds. */
export interface Recovered {
  chunks: Chunk[];
  lost: LostRange[];
}

export class Spool {
  readonly wrapperId: string;
  readonly execution: string;
  readonly #ledger: Ledger;
  /** By seq. A hole is a seq that the coordinator knew and this spool did not. */
  readonly #lines: (StoredLine | undefined)[] = [];
  #lost = new LostEvents(0);
  readonly #lostSeqs = new Set<number>();
  storedSeq = 0;
  releasedSeq = 0;
  terminal = false;
  begun = false;
  /** The part of the state that is synced: what a power loss leaves. */
  #durable = { begun: false, commandsDone: [] as number[] };
  removed = false;
  /** Held by a live process. */
  locked = false;
  /** The job that was begun here. Null before, and for a copy of this spool. */
  held: HeldJob | null = null;
  boots = 0;
  commandsDone: number[] = [];
  /** The other files of its folder. A copy has none, as it has no job. */
  readonly files = memoryFiles();

  constructor(wrapperId: string, execution: string, ledger: Ledger) {
    this.wrapperId = wrapperId;
    this.execution = execution;
    this.#ledger = ledger;
  }

  /** `durable`: the state is synced when this returns. */
  saveState({ durable }: { durable: boolean }): void {
    if (durable) this.#durable = { begun: this.begun, commandsDone: [...this.commandsDone] };
  }

  /** A job that a new process can take over. */
  heldJob(): HeldJob | null {
    return this.begun && this.held && !this.held.dead ? this.held : null;
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
      terminal,
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
      lines.push(this.#lostSeqs.has(at) ? this.#substitute(at) : (stored.damaged?.toString('utf8').slice(0, -1) ?? stored.line));
    }
    return lines.join('\n');
  }

  #substitute(seq: number): string {
    const line = this.#lost.lines(seq, 1).toString('utf8').slice(0, -1);
    this.#ledger.stored(this.wrapperId, seq, line);
    return line;
  }

  /**
   * Events that the coordinator already has are not lost. Call it once, before anything is sent.
   */
  knownAtStart(ackedSeq: number): void {
    this.#lost.trim(ackedSeq);
  }

  /**
   * What a boot finds: whole segments only, so acknowledged events of the oldest segment are found
   * again.
   */
  recover(now: number): Recovered {
    const chunks: Chunk[] = [];
    let first = this.releasedSeq + 1;
    while (first > 1 && this.#lines[first - 1] && (first - 1) % SEGMENT_EVENTS !== 0) first -= 1;
    const lost = this.#findDamage(first);
    this.#lost = new LostEvents(now, lost);
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
    return { chunks, lost };
  }

  /** Reads each segment as the wrapper's own recovery does. */
  #findDamage(first: number): LostRange[] {
    this.#lostSeqs.clear();
    const lost: LostRange[] = [];
    for (let from = first, to = first; from <= this.storedSeq; from = to) {
      const segment = this.#lines[from]?.segment;
      while (to <= this.storedSeq && this.#lines[to]?.segment === segment) to += 1;
      const stored = this.#lines.slice(from, to) as StoredLine[];
      if (stored.every(({ damaged }) => !damaged)) continue;
      const records = encodeRecords(
        stored.map(({ line }) => Buffer.from(`${line}\n`)),
        from,
        0,
      );
      const bytes = Buffer.concat(stored.map(({ line, damaged }) => damaged ?? Buffer.from(`${line}\n`)));
      const { lines } = examine({ firstSeq: from, bytes, position: 0, records, count: stored.length });
      for (const [index, line] of lines.entries()) {
        if (line.kind === 'whole') continue;
        const seq = from + index;
        const last = lost.at(-1);
        if (last?.lastSeq === seq - 1) last.lastSeq = seq;
        else lost.push({ firstSeq: seq, lastSeq: seq, bytes: 0, unknown: true });
        this.#lostSeqs.add(seq);
        if (stored[index]?.terminal) this.terminal = false;
      }
    }
    return lost;
  }

  /**
   * The disk alters some consecutive lines: one byte of each, which leaves it an event, or the
   * whole line.
   */
  damage(random: Random): number {
    const first = random.int(this.releasedSeq + 1, this.storedSeq);
    const last = Math.min(this.storedSeq, first + random.int(0, 3));
    const zeros = random.chance(0.5);
    for (let seq = first; seq <= last; seq += 1) {
      const stored = this.#lines[seq];
      if (!stored) continue;
      const bytes = Buffer.from(`${stored.line}\n`);
      if (zeros) bytes.fill(0);
      else bytes[bytes.lastIndexOf('"at":') + 5] = 0x39;
      if (!bytes.equals(Buffer.from(`${stored.line}\n`))) stored.damaged = bytes;
    }
    return last - first + 1;
  }

  /** A crash of the host: unsynced data is lost, although it was sent. */
  loseTail(events: number): void {
    const left = Math.max(this.releasedSeq, this.storedSeq - events);
    if (left < this.storedSeq) this.terminal = false;
    this.storedSeq = left;
    this.#lines.length = left + 1;
  }

  /** A power loss: the state is the one that was synced last, and no event was ever synced. */
  losePower(): void {
    this.#lines.length = 0;
    this.storedSeq = 0;
    this.releasedSeq = 0;
    this.terminal = false;
    this.begun = this.#durable.begun;
    this.commandsDone = [...this.#durable.commandsDone];
  }

  /** A snapshot of the disk, as a second host may get it. */
  copy(): Spool {
    const copy = new Spool(this.wrapperId, this.execution, this.#ledger);
    copy.#lines.push(...this.#lines.map((line) => line && { ...line }));
    copy.storedSeq = this.storedSeq;
    copy.releasedSeq = this.releasedSeq;
    copy.terminal = this.terminal;
    copy.begun = this.begun;
    copy.#durable = { ...this.#durable };
    copy.boots = this.boots;
    copy.commandsDone = [...this.commandsDone];
    return copy;
  }
}
