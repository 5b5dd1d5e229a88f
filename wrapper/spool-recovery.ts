/**
 * Reads the segments that an earlier boot left: where each event is, and where the numbering goes on.
 *
 *   RC1  What was written as a whole is kept; a torn end (no line end, or a last line that is no JSON) is cut off. It was never sent,
 *        because sending begins after the write has returned.
 *   RC2  Memory is one segment, however many there are.
 *   RC3  A hole (a segment that lost its end although another follows: only a crash of the host does that) is filled with `gap` events,
 *        one for each lost seq, so that the numbers stay what they were.
 */

import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type HoldfastEvent, isTerminalFact } from '../protocol/index.ts';
import { encodeEvent } from './event-lines.ts';
import { CHUNK_BYTES_MAX, type Chunk } from './sender.ts';

const SEGMENT_PATTERN = /^([1-9]\d*)\.ndjson$/;
const NEWLINE = 0x0a;

export const segmentPath = (directory: string, segment: number): string => join(directory, `${segment}.ndjson`);

/** First seqs of the segments there are, rising. */
export function listSegments(directory: string): number[] {
  return readdirSync(directory)
    .map((name) => Number(SEGMENT_PATTERN.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
}

export interface Recovered {
  segments: number[];
  chunks: Chunk[];
  nextSeq: number;
  /** Length of the last segment: where writing goes on. */
  position: number;
  /** The last event says that the run is over: nothing may be appended. */
  terminal: boolean;
  cutBytes: number;
  filledEvents: number;
}

function parseLine(bytes: Buffer): HoldfastEvent | null {
  try {
    const event = JSON.parse(bytes.toString('utf8')) as HoldfastEvent | null;
    return typeof event === 'object' && event !== null && typeof event.type === 'string' ? event : null;
  } catch {
    return null;
  }
}

/** Start of the last line of `bytes[0, end)`, which ends with a line end. */
const lastLineStart = (bytes: Buffer, end: number): number => (end < 2 ? 0 : bytes.lastIndexOf(NEWLINE, end - 2) + 1);

/** The length up to which the segment is sound, and its last event (RC1). */
function soundLength(bytes: Buffer): { length: number; last: HoldfastEvent | null } {
  let length = bytes.lastIndexOf(NEWLINE) + 1;
  while (length > 0) {
    const start = lastLineStart(bytes, length);
    const last = parseLine(bytes.subarray(start, length));
    if (last) return { length, last };
    length = start;
  }
  return { length: 0, last: null };
}

/** Cuts lines into chunks. One event larger than a chunk is a chunk of its own. */
function chunksOf(bytes: Buffer, length: number, segment: number): { chunks: Chunk[]; count: number } {
  const chunks: Chunk[] = [];
  let chunk: Chunk = { firstSeq: segment, count: 0, bytes: 0, segment, position: 0 };
  let count = 0;
  for (let from = 0; from < length; ) {
    const end = bytes.indexOf(NEWLINE, from) + 1;
    if (chunk.count > 0 && chunk.bytes + end - from > CHUNK_BYTES_MAX) {
      chunks.push(chunk);
      chunk = { firstSeq: segment + count, count: 0, bytes: 0, segment, position: from };
    }
    chunk.count += 1;
    chunk.bytes += end - from;
    count += 1;
    from = end;
  }
  if (chunk.count > 0) chunks.push(chunk);
  return { chunks, count };
}

export function recoverSegments(directory: string, now: number): Recovered {
  const segments = listSegments(directory);
  const recovered: Recovered = {
    segments,
    chunks: [],
    nextSeq: segments[0] ?? 1,
    position: 0,
    terminal: false,
    cutBytes: 0,
    filledEvents: 0,
  };
  for (const [index, segment] of segments.entries()) {
    const path = segmentPath(directory, segment);
    let bytes = readFileSync(path); // RC2
    let { length, last } = soundLength(bytes);
    const next = segments[index + 1];
    const file = openSync(path, 'r+');
    try {
      if (length < bytes.length) {
        recovered.cutBytes += bytes.length - length;
        ftruncateSync(file, length);
      }
      let found = chunksOf(bytes, length, segment);
      const missing = next === undefined ? 0 : next - segment - found.count;
      if (missing > 0) {
        const gap = { type: 'gap', at: now, data: { events: 1, bytes: 0, reason: 'spool_damaged' } };
        const filling = Buffer.concat(Array.from({ length: missing }, () => encodeEvent(gap)));
        writeSync(file, filling, 0, filling.length, length);
        bytes = Buffer.concat([bytes.subarray(0, length), filling]);
        length = bytes.length;
        last = gap;
        found = chunksOf(bytes, length, segment);
        recovered.filledEvents += missing; // RC3
      }
      recovered.chunks.push(...found.chunks);
      recovered.nextSeq = segment + found.count;
    } finally {
      closeSync(file);
    }
    recovered.position = length;
    recovered.terminal = last === null ? recovered.terminal : isTerminalFact(last);
  }
  return recovered;
}
