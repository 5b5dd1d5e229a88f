/**
 * Lines made of consecutive events. The log is a block; older events are made into a block of their
 * own, which then absorbs the log.
 *
 *   B1  A line stays where it began. Text that continues a `partial` line is appended to it,
 *       whatever came between.
 *   B2  Joining two blocks gives the block that all their events would have given. The first line
 *       of a stream in the newer block is the end of the line that the older one left open, if
 *       there is one.
 *   B3  A line's number is the one in its event (`line`), otherwise one more than the line before.
 *   B4  A line of its own stands before the first event that was delivered after the verdict
 *       (LIF38). It is absent while no earlier event is loaded.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import { Chunk, type OutputKind, STATUS, STDERR, STDOUT } from './chunk.ts';
import { describeEvent, outputText } from './describe.ts';

interface LineRef {
  chunk: Chunk;
  index: number;
}

/** The state of a stream at the ends of the block. */
interface Ends {
  /** The first line of the stream: it may be the end of one that began before this block. */
  head: LineRef | null;
  /** An event without text has ended the possibly open line before any line began. */
  closed: boolean;
  /** The line that the next text of this stream continues. */
  open: LineRef | null;
}

/**
 * A first line whose beginning is unknown: the next number shows whether it began a line or ended
 * one.
 */
interface Unsure {
  chunk: Chunk;
  rank: number;
  assumed: number;
}

/**
 * Beyond this length a line keeps only what it still shows: a progress bar overwrites itself a
 * hundred thousand times a day.
 */
export const OVERWRITTEN_CHARS_MAX = 1024 * 1024;

const ends = (): Ends => ({ head: null, closed: false, open: null });
const isAt = (a: LineRef | null, b: LineRef): boolean => a !== null && a.chunk === b.chunk && a.index === b.index;

/** B4 */
export const LATE_LINE = 'delivered after the verdict:\n';

export class Block {
  chunks: Chunk[] = [];
  /** Numbers have changed since they were last counted. */
  numbersStale = true;
  #streams: [Ends, Ends] = [ends(), ends()];
  /** Number of the next output line that begins, when known. */
  #next: number | null = null;
  #unsure: Unsure | null = null;
  /** First lines that end an older one, as a later number showed. */
  #counted: { chunk: Chunk; rank: number }[] = [];

  #firstEvent: LoggedEvent | null = null;
  #lastEvent: LoggedEvent | null = null;

  add(event: LoggedEvent): void {
    this.#divide(event);
    this.#firstEvent ??= event;
    this.#lastEvent = event;
    if (event.type === 'output') this.#output(event);
    else {
      const described = describeEvent(event);
      if (described === null) return;
      const text = described.text.endsWith('\n') ? described.text.slice(0, -1) : described.text;
      for (const line of text.split('\n')) this.#tail().push(`${line}\n`, described.kind, event.offset, event.at);
    }
  }

  /** B4 */
  #divide(next: LoggedEvent | null): void {
    if (!next?.late || !this.#lastEvent || this.#lastEvent.late) return;
    this.#tail().push(LATE_LINE, STATUS, next.offset, next.at);
  }

  #output({ data, offset, at }: LoggedEvent): void {
    const { stream, line } = data;
    // What a terminal received ends anywhere.
    const partial = data.partial === true || stream === 'tty';
    const text = outputText(data);
    if (text === null) return;
    const kind: OutputKind = stream === 'stderr' ? STDERR : STDOUT;
    const side = this.#streams[kind];
    let from = 0;
    if (side.open !== null && text !== '') {
      const feed = text.indexOf('\n');
      from = feed < 0 ? text.length : feed + 1;
      this.#extend(side.open, from === text.length ? text : text.slice(0, from));
    }
    let last: LineRef | null = null;
    if (from < text.length) {
      if (typeof line === 'number') this.#numbered(line);
      if (side.head === null && !side.closed && this.#next !== null) {
        const chunk = this.#tail();
        this.#unsure = { chunk, rank: chunk.outputs, assumed: this.#next };
      }
    }
    while (from < text.length) {
      const feed = text.indexOf('\n', from);
      const to = feed < 0 ? text.length : feed + 1;
      const chunk = this.#tail();
      chunk.push(from === 0 && to === text.length ? text : text.slice(from, to), kind, offset, at);
      last = { chunk, index: chunk.count - 1 };
      side.head ??= last;
      if (this.#next !== null) this.#next++;
      from = to;
    }
    if (partial && !text.endsWith('\n')) side.open = last ?? side.open;
    else side.open = null;
    if (side.head === null && !partial) side.closed = true;
  }

  /** B3: `line` is the number of the output line that begins next. */
  #numbered(line: number): void {
    const unsure = this.#unsure;
    if (unsure !== null && this.#next !== null && line === this.#next - 1) {
      unsure.chunk.numberAt.set(unsure.rank, unsure.assumed - 1);
      this.#counted.push(unsure);
      this.numbersStale = true;
      this.#next = line;
    }
    this.#unsure = null;
    if (line === this.#next) return;
    const chunk = this.#tail();
    chunk.numberAt.set(chunk.outputs, line);
    this.numbersStale = true;
    this.#next = line;
  }

  #extend({ chunk, index }: LineRef, text: string): void {
    chunk.extend(index, text);
    if (chunk.lengthOf(index) <= OVERWRITTEN_CHARS_MAX || !text.includes('\r')) return;
    const line = chunk.line(index);
    const shown = line.slice(lastOverwrite(line));
    if (shown.length < line.length) chunk.replace(index, shown + (text.endsWith('\n') ? '\n' : ''));
  }

  #tail(): Chunk {
    const last = this.chunks.at(-1);
    if (last !== undefined && !last.full) return last;
    last?.seal();
    const chunk = new Chunk();
    this.chunks.push(chunk);
    this.numbersStale = true;
    return chunk;
  }

  /**
   * B2: absorbs the following block. Returns the ids of the newer block's lines that were ends of
   * older ones, each as the ids were when it was removed: the ids of the lines before it in that
   * block have risen by one.
   */
  absorb(newer: Block): number[] {
    const removed: number[] = [];
    this.#divide(newer.#firstEvent);
    this.#firstEvent ??= newer.#firstEvent;
    this.#lastEvent = newer.#lastEvent ?? this.#lastEvent;
    for (const kind of [STDOUT, STDERR] as const) {
      const older = this.#streams[kind];
      const { head, closed, open } = newer.#streams[kind];
      const joins = older.open !== null && !closed;
      let goesOn = open;
      if (joins && head !== null) {
        if (isAt(open, head)) goesOn = older.open;
        removed.push(head.chunk.first + head.index);
        this.#extend(older.open as LineRef, newer.#cutHead(head));
      } else if (joins) goesOn = older.open;
      this.#streams[kind] = {
        head: older.head ?? head,
        closed: older.head === null ? older.closed || closed : older.closed,
        open: goesOn,
      };
    }
    const kept = newer.chunks.filter((chunk) => chunk.count > 0);
    if (kept.length > 0) this.chunks.at(-1)?.seal();
    this.#next = kept.length === newer.chunks.length ? newer.#next : null;
    this.chunks.push(...kept);
    this.#unsure = newer.#unsure;
    this.#counted.push(...newer.#counted);
    this.numbersStale = true;
    return removed;
  }

  /** Removes the first line of a stream, and adjusts the indexes of the lines after it. */
  #cutHead({ chunk, index }: LineRef): string {
    const rank = chunk.rank(index);
    const isHead = (at: Unsure | { chunk: Chunk; rank: number } | null) => at !== null && at.chunk === chunk && at.rank === rank;
    const text = chunk.remove(index, this.#counted.some(isHead));
    if (isHead(this.#unsure)) {
      this.#unsure = null;
      if (this.#next !== null) this.#next--;
    }
    for (const at of [...this.#counted, this.#unsure]) if (at !== null && at.chunk === chunk && at.rank > rank) at.rank--;
    const refs = new Set(this.#streams.flatMap((side) => [side.head, side.open]));
    for (const ref of refs) if (ref !== null && ref.chunk === chunk && ref.index > index) ref.index--;
    for (const before of this.chunks) {
      before.first++;
      if (before === chunk) break;
    }
    return text;
  }
}

/**
 * Where the visible text of a line with carriage returns begins: after the last one that is
 * followed by text.
 */
export function lastOverwrite(line: string): number {
  let end = line.length;
  while (end > 0 && line.charCodeAt(end - 1) === 13) end--;
  return line.lastIndexOf('\r', end - 1) + 1;
}
