/**
 * Decides which lines of a segment are intact. Pure.
 *
 * Next to each segment is an index with one record per event: where its line ends, and a checksum.
 * A record has a checksum of its own over its content and the event's seq, so it is either right or
 * treated as missing.
 *
 *     bytes 0..3     end of the line in the segment
 *     bytes 4..7     CRC-32 of the line
 *     bytes 8..11    hash of these two and the seq
 *
 *   LI1  A line with a record is intact if its bytes match the checksum. So a wrong byte is found
 *        even if the line is still valid JSON.
 *   LI2  A line without a record (a spool of 0.1.0; a process killed between the two writes; a
 *        damaged index) is intact if the coordinator would accept it.
 *   LI3  A damaged line never changes the numbers of the lines after it, as far as records or the
 *        next segment's name determine them.
 *   LI4  A line that the coordinator would refuse never counts as intact: one bad line would block
 *        its frame forever.
 */

import { crc32 } from 'node:zlib';
import { checkEventLine, type HoldfastEvent, isTerminalFact } from '../../protocol/index.ts';

const NEWLINE = 0x0a;
export const RECORD_BYTES = 12;

export interface LineRecord {
  end: number;
  sum: number;
}

/**
 * Not a CRC, because a native call per event costs more than this. Each step is a bijection, so no
 * single wrong number goes unnoticed. It starts with a constant, so that a page of zeros is not a
 * valid record.
 */
function sumOfRecord(end: number, sum: number, seq: number): number {
  let hash = 0x9e3779b9;
  for (const word of [end, sum, seq, seq / 2 ** 32]) {
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 13;
  }
  return hash >>> 0;
}

/** Records of consecutive lines, from `position`. */
export function encodeRecords(lines: readonly Buffer[], firstSeq: number, position: number): Buffer {
  const records = Buffer.allocUnsafe(lines.length * RECORD_BYTES);
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  let at = 0;
  let end = position;
  let seq = firstSeq;
  for (const line of lines) {
    const sum = crc32(line);
    end += line.length;
    view.setUint32(at, end, true);
    view.setUint32(at + 4, sum, true);
    view.setUint32(at + 8, sumOfRecord(end, sum, seq), true);
    at += RECORD_BYTES;
    seq += 1;
  }
  return records;
}

/** Null when it is missing or damaged. */
export function readRecord(records: Buffer, index: number, seq: number): LineRecord | null {
  const at = index * RECORD_BYTES;
  if (at + RECORD_BYTES > records.length) return null;
  const end = records.readUInt32LE(at);
  const sum = records.readUInt32LE(at + 4);
  return records.readUInt32LE(at + 8) === sumOfRecord(end, sum, seq) ? { end, sum } : null;
}

/** What was found of one event: its line at `bytes[from, to)`, or what is known of a lost one. */
export type ExaminedLine =
  | { kind: 'whole'; from: number; to: number; terminal: HoldfastEvent | null }
  /**
   * `bytes`: length of its line; null when unknown. `certain`: it is exactly one event, not an
   * unknown number of them.
   */
  | { kind: 'lost'; bytes: number | null; certain: boolean };

export interface Piece {
  /** Its first event. */
  firstSeq: number;
  bytes: Buffer;
  /** Where `bytes` begin in the segment. */
  position: number;
  /** Records from that of `firstSeq` on. */
  records: Buffer;
  /** How many events the piece has; null when only the piece itself determines that. */
  count: number | null;
}

export interface Examined {
  lines: ExaminedLine[];
  /** Bytes of a torn end; they count as no event. */
  tornBytes: number;
}

const LOST_ONE: ExaminedLine = { kind: 'lost', bytes: null, certain: true };

/** The line at `bytes[from, to)`, if the coordinator would accept it (LI4). */
function checked(bytes: Buffer, from: number, to: number): ExaminedLine | null {
  if (to <= from || bytes[to - 1] !== NEWLINE) return null;
  const line = checkEventLine(bytes.subarray(from, to - 1));
  if (!line.ok) return null;
  return { kind: 'whole', from, to, terminal: line.event && isTerminalFact(line.event) ? line.event : null };
}

/** Ends of the lines in `bytes[from, to)`; the last one may lack its line end. */
function endsOfLines(bytes: Buffer, from: number, to: number): number[] {
  const ends: number[] = [];
  for (let at = from; at < to; at = ends.at(-1) as number) {
    const newline = bytes.indexOf(NEWLINE, at);
    ends.push(newline === -1 || newline >= to ? to : newline + 1);
  }
  return ends;
}

interface Part {
  line: ExaminedLine;
  bytes: number;
}

/** A wrong byte may be an extra line end: then one damaged line looks like two. */
function withoutSurplus(parts: Part[], count: number): Part[] {
  let surplus = parts.length - count;
  const kept = parts.filter(({ line }, index) => {
    const repeats = line.kind === 'lost' && parts[index - 1]?.line.kind === 'lost';
    if (surplus <= 0 || !repeats) return true;
    surplus -= 1;
    return false;
  });
  return kept.slice(0, count);
}

/**
 * Assigns the lines of a stretch to `count` events. If there are fewer lines than events, the first
 * damage stands for the missing ones; lines before and after it keep their numbers (LI3).
 */
function spread(parts: Part[], count: number): ExaminedLine[] {
  const kept = withoutSurplus(parts, count);
  const missing = count - kept.length;
  if (missing === 0) return kept.map(({ line }) => line);
  const damaged = kept.findIndex(({ line }) => line.kind === 'lost');
  const at = damaged === -1 ? kept.length : damaged;
  const filling = Array.from({ length: missing }, () => LOST_ONE);
  return [...kept.slice(0, at).map(({ line }) => line), ...filling, ...kept.slice(at).map(({ line }) => line)];
}

export function examine({ firstSeq, bytes, position, records, count }: Piece): Examined {
  const lines: ExaminedLine[] = [];
  const recordOf = (index: number) => readRecord(records, index, firstSeq + index);
  let recorded = Math.min(Math.floor(records.length / RECORD_BYTES), count ?? Number.MAX_SAFE_INTEGER);
  while (recorded > 0 && recordOf(recorded - 1) === null) recorded -= 1;

  const parts = (from: number, to: number): Part[] => {
    let at = from;
    return endsOfLines(bytes, from, to).map((end) => {
      const line = checked(bytes, at, end) ?? ({ kind: 'lost', bytes: end - at, certain: false } as const);
      const part = { line, bytes: end - at };
      at = end;
      return part;
    });
  };

  let at = 0;
  while (lines.length < recorded) {
    const index = lines.length;
    // The next existing record: everything up to its end is known to exist.
    let next = index;
    let record = recordOf(next);
    while (record === null) {
      next += 1;
      record = recordOf(next);
    }
    const end = record.end - position;
    if (next === index) {
      lines.push(lineOfRecord(bytes, at, end, record.sum)); // LI1
    } else {
      const stretch = parts(at, Math.max(at, Math.min(end, bytes.length)));
      const last = stretch.at(-1);
      const whole = last?.line.kind === 'whole' ? last.line : null;
      // The last line of the stretch has the record; the lines before it do not (LI2).
      const sound = whole !== null && whole.to === end && crc32(bytes.subarray(whole.from, whole.to)) === record.sum;
      const before = spread(sound ? stretch.slice(0, -1) : stretch, next - index);
      lines.push(...before, sound ? whole : LOST_ONE);
    }
    at = Math.max(at, end);
  }

  // After the last record: what was written last, or everything.
  const tail = parts(Math.min(at, bytes.length), bytes.length);
  if (count !== null) {
    lines.push(...spread(tail, count - lines.length));
    return { lines, tornBytes: 0 };
  }
  let tornBytes = 0;
  while (tail.at(-1)?.line.kind === 'lost') tornBytes += (tail.pop() as Part).bytes;
  lines.push(...tail.map(({ line }) => line));
  return { lines, tornBytes };
}

function lineOfRecord(bytes: Buffer, from: number, to: number, sum: number): ExaminedLine {
  const length = to - from;
  if (length > 0 && to <= bytes.length && crc32(bytes.subarray(from, to)) === sum) {
    const line = checked(bytes, from, to);
    if (line) return line;
  }
  return { kind: 'lost', bytes: length > 0 ? length : null, certain: true };
}
