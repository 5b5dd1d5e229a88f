/**
 * The segment files of a spool, `<firstSeq>.ndjson` with its index `<firstSeq>.index`: line k is
 * event firstSeq + k.
 *
 * Owns: the list of segments, the open files, where the next line goes, the recent bytes in memory.
 * Does not own: pending lines, the numbering, what is acked (spool).
 *
 *   SG1  A line is `committed` after it and its record are written. Until then its position may be
 *        overwritten.
 *   SG2  A new segment has no file before its first write, and no other segment has its number.
 *   SG3  What is read back from disk is checked. A damaged line is replaced by a gap under its
 *        number.
 *   SG4  When the folder is removed, the current segment can still be read through its open file
 *        until all of it is acked.
 */

import { WINDOW_BYTES } from '../../protocol/index.ts';
import { isMissing, type SpoolFiles } from './files.ts';
import { encodeRecords, examine, RECORD_BYTES } from './lines.ts';
import { gapLine, placeholderLine } from './lost.ts';
import { RecentBytes } from './recent-bytes.ts';
import { indexPath, listSegments, type Recovered, segmentPath } from './recovery.ts';
import type { Chunk } from './sender.ts';

const SEGMENT_BYTES = 8 * 1024 * 1024;
/** After a full disk, segments are short, so that acked events free space in small steps. */
const SHORT_SEGMENT_BYTES = 64 * 1024;

interface OpenFile {
  segment: number;
  file: number;
}

export interface Place {
  segment: number;
  position: number;
  /** Bytes until the segment is full. */
  room: number;
}

export interface SegmentsOptions {
  files: SpoolFiles;
  directory: string;
  now: () => number;
  onDamage: (segment: number) => void;
}

export class Segments {
  readonly #files: SpoolFiles;
  readonly #directory: string;
  readonly #now: () => number;
  /** First seqs, ascending; the last one is the current segment unless `#sealed`. */
  #segments: number[];
  /** The next line begins a new segment. */
  #sealed: boolean;
  #position: number;
  #writing: OpenFile | null = null;
  #index: OpenFile | null = null;
  #reading: OpenFile | null = null;
  /** Open files of segments that were unlinked (SG4). */
  #nameless: OpenFile[] = [];
  #short = false;
  readonly #recent = new RecentBytes(WINDOW_BYTES);
  readonly #onDamage: (segment: number) => void;
  readonly #damaged = new Set<number>();

  /** `onDamage`: a part of the segment could not be read back; called once per segment. */
  constructor(
    { files, directory, now, onDamage }: SegmentsOptions,
    { segments, position }: Pick<Recovered, 'segments' | 'position'>,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#now = now;
    this.#onDamage = onDamage;
    this.#segments = [...segments];
    this.#sealed = segments.length === 0 || position === null;
    this.#position = position ?? 0;
  }

  get recentBytes(): number {
    return this.#recent.bytes;
  }

  /** Where the event `seq` goes: to the end of the last segment, or to the start of a new one. */
  place(seq: number): Place {
    if (!this.#sealed && this.#position >= this.#segmentBytes) this.seal();
    if (this.#sealed) return { segment: seq, position: 0, room: this.#segmentBytes };
    return { segment: this.#segments.at(-1) as number, position: this.#position, room: this.#segmentBytes - this.#position };
  }

  /**
   * Writes at a position returned in this turn, plus `offset` bytes. Resolves with the number of
   * bytes written, at least one; rejects when no byte was.
   */
  async write({ segment, position }: Place, buffers: Buffer[], offset: number): Promise<number> {
    if (this.#writing?.segment !== segment) {
      if (offset > 0) throw new Error('the segment is another one by now');
      this.#closeWriting();
      const path = segmentPath(this.#directory, segment);
      this.#writing = { segment, file: this.#files.open(path, position === 0 ? 'w+' : 'r+') };
    }
    if (this.#sealed) {
      if (this.#segments.at(-1) !== segment) this.#segments.push(segment); // SG2
      this.#sealed = false;
      this.#position = 0;
    }
    const written = await this.#files.writev(this.#writing.file, buffers, position + offset);
    if (written === 0) throw new Error('nothing was written');
    return written;
  }

  /**
   * SG1. `lines`, from `seq` on, were written completely at this position. (The segment may have
   * been unlinked meanwhile.)
   */
  commit({ segment, position }: Place, seq: number, lines: readonly Buffer[]): void {
    if (!this.#sealed) {
      this.#writeRecords(segment, seq, lines);
      for (const { length } of lines) this.#position += length;
    }
    this.#recent.keep(lines, segment, position);
  }

  /** The next line begins a new segment. */
  seal(): void {
    this.#sealed = true;
    this.#closeWriting();
  }

  /** From now on segments are short. */
  shorten(): void {
    this.#short = true;
  }

  /** Resolves when the last write is synced. A failure changes nothing. */
  async flush(): Promise<void> {
    for (const open of [this.#writing, this.#index]) if (open) await this.#files.flush(open.file).catch(() => {});
  }

  /** Removes fully acked segments. The last one stays: it is being written. */
  release(ackedSeq: number): void {
    while (this.#segments.length > 1 && (this.#segments[1] as number) <= ackedSeq + 1)
      this.#remove(this.#segments.shift() as number);
  }

  /**
   * All stored events are acked: removes every segment, including the current one. False when that
   * frees no space.
   */
  releaseAll(): boolean {
    const makesRoom = this.#segments.length > 1 || (this.#segments.length === 1 && this.#position > 0);
    if (!makesRoom) return false;
    this.seal();
    this.#recent.forget();
    for (const segment of this.#segments.splice(0)) this.#remove(segment);
    return true;
  }

  /** The folder was replaced: every written segment is unlinked. */
  lostNames(): void {
    // Not closed: a write to it may be in flight.
    if (this.#writing) this.#nameless.push(this.#writing);
    this.#writing = null;
    this.seal();
    this.#stopReading();
  }

  /**
   * Copies a chunk into `target`, or returns replacement lines for the same events when it is
   * damaged (SG3). Throws when the failure is temporary.
   */
  read(chunk: Chunk & { segment: number }, target: Buffer): Buffer {
    if (this.#recent.read(chunk.segment, chunk.position, target)) return target;
    const read = this.#readFile(chunk.segment, chunk.position, target);
    const offset = chunk.firstSeq - chunk.segment;
    const records = this.#readRecords(chunk.segment, offset, chunk.count);
    const { firstSeq, position, count } = chunk;
    const { lines } = examine({ firstSeq, bytes: target.subarray(0, read), position, records, count });
    if (lines.every(({ kind }) => kind === 'whole')) return target;
    if (!this.#damaged.has(chunk.segment)) this.#onDamage(chunk.segment);
    this.#damaged.add(chunk.segment);
    return this.#mended(firstSeq, target, lines);
  }

  close(): void {
    this.#closeWriting();
    this.#stopReading();
    // Includes the current segment, if it was unlinked.
    for (const { file } of this.#nameless.splice(0)) this.#files.close(file);
  }

  /** Everything of the spool; other files in the folder stay. */
  removeAll(): void {
    this.close();
    for (const segment of listSegments(this.#directory, this.#files)) this.#remove(segment);
  }

  // ── the rest ───────────────────────────────────────────────────────────────────────────────────

  get #segmentBytes(): number {
    return this.#short ? SHORT_SEGMENT_BYTES : SEGMENT_BYTES;
  }

  #remove(segment: number): void {
    if (this.#reading?.segment === segment) this.#stopReading();
    for (const { file } of this.#nameless.filter((each) => each.segment === segment)) this.#files.close(file);
    this.#nameless = this.#nameless.filter((each) => each.segment !== segment);
    this.#files.remove(segmentPath(this.#directory, segment));
    this.#files.remove(indexPath(this.#directory, segment));
  }

  /** Without its record a line is checked less strictly (LI2); that is not fatal. */
  #writeRecords(segment: number, seq: number, lines: readonly Buffer[]): void {
    const records = encodeRecords(lines, seq, this.#position);
    try {
      if (this.#index?.segment !== segment) {
        this.#closeIndex();
        const path = indexPath(this.#directory, segment);
        const goesOn = seq > segment && this.#files.exists(path);
        this.#index = { segment, file: this.#files.open(path, goesOn ? 'r+' : 'w+') };
      }
      this.#files.write(this.#index.file, records, (seq - segment) * RECORD_BYTES);
    } catch {
      this.#closeIndex();
    }
  }

  /**
   * Synchronous on purpose: at most a frame, mostly from the page cache, and no other turn can run
   * between plan and send.
   */
  #readFile(segment: number, position: number, target: Buffer): number {
    const nameless = this.#nameless.find((each) => each.segment === segment);
    try {
      if (!nameless && this.#reading?.segment !== segment) {
        this.#stopReading();
        this.#reading = { segment, file: this.#files.open(segmentPath(this.#directory, segment), 'r') };
      }
      const { file } = (nameless ?? this.#reading) as OpenFile;
      let read = 0;
      while (read < target.length) {
        const count = this.#files.read(file, target.subarray(read), position + read);
        if (count === 0) break;
        read += count;
      }
      return read;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (isMissing(error) || code === 'EIO') return 0; // A retry would give the same result.
      throw error;
    }
  }

  #readRecords(segment: number, offset: number, count: number): Buffer {
    const records = Buffer.alloc(count * RECORD_BYTES);
    try {
      const own = this.#index?.segment === segment ? this.#index.file : null;
      const file = own ?? this.#files.open(indexPath(this.#directory, segment), 'r');
      try {
        this.#files.read(file, records, offset * RECORD_BYTES);
      } finally {
        if (own === null) this.#files.close(file);
      }
    } catch {
      // The lines are checked without it (LI2).
    }
    return records;
  }

  #mended(firstSeq: number, bytes: Buffer, lines: ReturnType<typeof examine>['lines']): Buffer {
    const at = this.#now();
    const mended: Buffer[] = [];
    for (let index = 0; index < lines.length; index += 1) {
      const line = lines[index] as (typeof lines)[number];
      if (line.kind === 'whole') {
        mended.push(bytes.subarray(line.from, line.to));
        continue;
      }
      if (lines[index - 1]?.kind === 'lost') {
        mended.push(placeholderLine(at));
        continue;
      }
      let end = index;
      while (lines[end + 1]?.kind === 'lost') end += 1;
      const lost = lines.slice(index, end + 1).filter((each) => each.kind === 'lost');
      const known = lost.reduce((sum, each) => sum + (each.bytes ?? 0), 0);
      const unknown = lost.some((each) => each.bytes === null || !each.certain);
      mended.push(gapLine({ firstSeq: firstSeq + index, lastSeq: firstSeq + end, bytes: known, unknown }, at));
    }
    return Buffer.concat(mended);
  }

  #stopReading(): void {
    if (this.#reading) this.#files.close(this.#reading.file);
    this.#reading = null;
  }

  /**
   * A segment that was removed from outside stays open, because there is no other way to read it
   * (SG4).
   */
  #closeWriting(): void {
    const writing = this.#writing;
    if (writing) {
      if (this.#files.exists(segmentPath(this.#directory, writing.segment))) this.#files.close(writing.file);
      else this.#nameless.push(writing);
    }
    this.#writing = null;
    this.#closeIndex();
  }

  #closeIndex(): void {
    if (this.#index) this.#files.close(this.#index.file);
    this.#index = null;
  }
}
