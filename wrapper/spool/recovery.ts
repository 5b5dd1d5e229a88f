/**
 * Reads the segments that an earlier boot left: where each event is, which are lost, and where the
 * numbering continues. It needs no free disk space.
 *
 *   RC1  Every line is checked (lines.ts). An intact line keeps its number; a damaged one is lost
 *        and is reported.
 *   RC2  Memory is bounded by one segment, however many there are.
 *   RC3  A torn end after the last record of the last segment is cut off. It was never sent,
 *        because sending begins after both writes have returned.
 *   RC4  The name of a segment is the seq of its first event. So the next segment determines how
 *        many events a damaged one had. Where two overlap, the later one wins, as far as it has
 *        intact lines.
 *   RC5  Nothing follows a terminal fact on the wire. One that stands before intact events is
 *        returned in `displacedEnd`, to be appended again at the end.
 */

import { join } from 'node:path';
import type { HoldfastEvent } from '../../protocol/index.ts';
import { nodeFiles, type SpoolFiles } from './files.ts';
import { type ExaminedLine, examine, RECORD_BYTES } from './lines.ts';
import { chunksOfLost, type LostRange } from './lost.ts';
import { CHUNK_BYTES_MAX, type Chunk } from './sender.ts';

const SEGMENT_PATTERN = /^([1-9]\d*)\.ndjson$/;
const INDEX_PATTERN = /^([1-9]\d*)\.index$/;
/**
 * A segment further away than this from the one before it does not belong to this spool: 1 GiB
 * holds fewer events.
 */
const MISSING_EVENTS_MAX = 20_000_000;

export const segmentPath = (directory: string, segment: number): string => join(directory, `${segment}.ndjson`);
export const indexPath = (directory: string, segment: number): string => join(directory, `${segment}.index`);

const numbersOf = (names: readonly string[], pattern: RegExp): number[] =>
  names
    .map((name) => Number(pattern.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);

/**
 * First seqs of the existing segments, ascending, including those of which only the index is left.
 * Empty when there is no folder.
 */
export function listSegments(directory: string, files: SpoolFiles = nodeFiles): number[] {
  let names: string[];
  try {
    names = files.list(directory);
  } catch {
    return [];
  }
  return numbersOf([...new Set([...numbersOf(names, SEGMENT_PATTERN), ...numbersOf(names, INDEX_PATTERN)])].map(String), /^(\d+)$/);
}

export interface Recovered {
  segments: number[];
  chunks: Chunk[];
  nextSeq: number;
  /**
   * Length of the last segment: where writing continues. Null when the next event begins a new
   * segment.
   */
  position: number | null;
  /** The terminal fact, if it is the last event: nothing may be appended. */
  end: HoldfastEvent | null;
  displacedEnd: HoldfastEvent | null;
  cutBytes: number;
  lost: LostRange[];
  /** Unknown files, left alone. */
  strange: string[];
}

const LOST_EVENT: ExaminedLine = { kind: 'lost', bytes: null, certain: true };

interface Placed {
  seq: number;
  segment: number;
  line: ExaminedLine;
}

function readOrEmpty(files: SpoolFiles, path: string): Buffer {
  try {
    return files.readWhole(path);
  } catch {
    return Buffer.alloc(0);
  }
}

/** Groups events, one by one, into chunks and lost ranges. */
class Collector {
  readonly chunks: Chunk[] = [];
  readonly lost: LostRange[] = [];
  end: HoldfastEvent | null = null;
  displacedEnd: HoldfastEvent | null = null;
  #endChunk: { seq: number } | null = null;

  take({ seq, segment, line }: Placed): void {
    if (line.kind === 'lost') return this.#lose(seq, line);
    if (this.end) this.#displaceEnd();
    const bytes = line.to - line.from;
    const last = this.chunks.at(-1);
    const joins = last?.segment === segment && last.position + last.bytes === line.from && last.bytes + bytes <= CHUNK_BYTES_MAX;
    // A terminal fact is a chunk of its own, so that it can be removed again (RC5).
    if (joins && !line.terminal) {
      last.count += 1;
      last.bytes += bytes;
    } else {
      this.chunks.push({ firstSeq: seq, count: 1, bytes, segment, position: line.from });
    }
    if (!line.terminal) return;
    this.end = line.terminal;
    this.#endChunk = { seq };
  }

  #displaceEnd(): void {
    const seq = this.#endChunk?.seq as number;
    const index = this.chunks.findIndex(({ firstSeq }) => firstSeq === seq);
    this.chunks.splice(index, 1, ...chunksOfLost(seq, seq));
    this.displacedEnd ??= this.end;
    this.end = null;
  }

  #lose(seq: number, { bytes, certain }: ExaminedLine & { kind: 'lost' }): void {
    const unknown = bytes === null || !certain;
    const last = this.lost.at(-1);
    if (last && last.lastSeq === seq - 1) {
      last.lastSeq = seq;
      last.bytes += bytes ?? 0;
      last.unknown ||= unknown;
    } else {
      this.lost.push({ firstSeq: seq, lastSeq: seq, bytes: bytes ?? 0, unknown });
    }
  }

  /** In the order of their numbers. */
  allChunks(): Chunk[] {
    const lost = this.lost.flatMap(({ firstSeq, lastSeq }) => chunksOfLost(firstSeq, lastSeq));
    return [...this.chunks, ...lost].sort((a, b) => a.firstSeq - b.firstSeq);
  }
}

/**
 * What is on disk of one segment. `count`: its number of events; null when the segment itself
 * determines that.
 */
function readSegment(files: SpoolFiles, directory: string, segment: number, count: number | null) {
  const bytes = readOrEmpty(files, segmentPath(directory, segment));
  const records = readOrEmpty(files, indexPath(directory, segment));
  const own = examine({ firstSeq: segment, bytes, position: 0, records, count: null });
  const examined = count === null ? own : examine({ firstSeq: segment, bytes, position: 0, records, count });
  return {
    ...examined,
    length: bytes.length,
    recorded: Math.floor(records.length / RECORD_BYTES),
    /** There are more intact events than seqs for them. */
    overlaps: count !== null && own.lines.slice(count).some(({ kind }) => kind === 'whole'),
    hollow: own.lines.every(({ kind }) => kind === 'lost'),
  };
}

export function recoverSegments(files: SpoolFiles, directory: string): Recovered {
  let found = listSegments(directory, files);
  const segments: number[] = [];
  const strange: string[] = [];
  const collector = new Collector();
  let nextSeq = found[0] ?? 1;
  let position: number | null = null;
  let cutBytes = 0;
  while (found.length > 0) {
    const segment = found.shift() as number;
    const isStrange = (following: number) => following - segment > MISSING_EVENTS_MAX;
    strange.push(...found.filter(isStrange).map((following) => segmentPath(directory, following)));
    found = found.filter((following) => !isStrange(following));
    // RC2
    let read = readSegment(files, directory, segment, found[0] === undefined ? null : found[0] - segment);
    while (read.overlaps && readSegment(files, directory, found[0] as number, null).hollow) {
      strange.push(segmentPath(directory, found.shift() as number)); // RC4
      read = readSegment(files, directory, segment, found[0] === undefined ? null : found[0] - segment);
    }
    segments.push(segment);
    for (; nextSeq < segment; nextSeq += 1) collector.take({ seq: nextSeq, segment, line: LOST_EVENT });
    for (const [offset, line] of read.lines.entries()) {
      const seq = segment + offset;
      if (seq >= nextSeq) collector.take({ seq, segment, line });
    }
    nextSeq = Math.max(nextSeq, segment + read.lines.length);
    if (found.length > 0) continue;
    cutBytes = read.tornBytes;
    const intact = read.lines.every(({ kind }) => kind === 'whole') && read.recorded <= read.lines.length;
    const goesOn = intact && nextSeq === segment + read.lines.length;
    // If anything is lost, the next event begins a new segment: records of this one may refer to
    // missing bytes.
    if (goesOn && cutOff(files, segmentPath(directory, segment), read.length - cutBytes, cutBytes))
      position = read.length - cutBytes;
  }
  const { lost, end, displacedEnd } = collector;
  return { segments, chunks: collector.allChunks(), nextSeq, position, end, displacedEnd, cutBytes, lost, strange };
}

/** RC3. False when the file cannot be changed. */
function cutOff(files: SpoolFiles, path: string, length: number, tornBytes: number): boolean {
  if (tornBytes === 0) return true;
  try {
    const file = files.open(path, 'r+');
    try {
      files.truncate(file, length);
    } finally {
      files.close(file);
    }
    return true;
  } catch {
    return false;
  }
}
