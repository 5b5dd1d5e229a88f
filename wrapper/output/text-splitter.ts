/**
 * Bytes of one output stream to pieces of text. Pure: it neither reads nor waits; whoever owns it calls `flush` when a line is late.
 *
 * Owns: the bytes of the line that is not finished yet, at most one piece's worth (JSON lines: one event's worth).
 *
 *   TX1  The pieces joined are the stream decoded as UTF-8 (bytes that are none become U+FFFD), wherever the reads were cut. Where secrets are
 *        redacted, it is the redacted stream; a JSON line is redacted as such.
 *   TX2  A piece has at most 64 KiB of UTF-8. Escaped as JSON it may grow six-fold and still fits one event.
 *   TX3  A piece without `partial` ends with a line end; one with `partial` does not, and the next piece goes on in the same line.
 *   TX4  No character is cut: a cut is only ever made in front of a byte that begins one.
 *
 * It works on bytes, because finding a line end and decoding 64 KiB at once are native calls; nothing here is done per character.
 */

import { isUtf8 } from 'node:buffer';
import { checkFact, EVENT_BYTES_MAX, type JsonObject } from '../../protocol/index.ts';
import { JOB_FACT_MARKER, type JobFact, jobFactOf } from '../job/facts.ts';
import type { Redaction } from './redaction.ts';
import type { RedactedStream } from './redaction-stream.ts';

export const TEXT_BYTES_MAX = 64 * 1024;
/** A JSON line is passed through as an event's data; the rest of the event needs some room. */
export const JSON_LINE_BYTES_MAX = EVENT_BYTES_MAX - 128;

const NEWLINE = 0x0a;
/** Many tiny reads in one line are joined from time to time, so that the list stays short. */
const HELD_PARTS_MAX = 256;

export type Piece =
  | { kind: 'text'; text: string; partial: boolean }
  | { kind: 'json'; text: string }
  /** A JSON line that says something of the job (SPL26); `text` is that line. */
  | { kind: 'fact'; text: string; fact: JobFact };

export interface Splitter {
  push(bytes: Buffer): Piece[];
  /** The line is late: gives what there is of it. */
  flush(): Piece[];
  /** The stream is over: gives all that is left. */
  end(): Piece[];
  /** Whether a `flush` now would give something. What may be the beginning of a secret is not given, however late. */
  readonly late: boolean;
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/**
 * The nearest place at or before `at` where the bytes may be cut (TX4). Four continuation bytes in a row belong to no character,
 * so there any place is as good; that also bounds the walk.
 */
function cutBefore(bytes: Buffer, at: number): number {
  for (let back = 0; back < 4; back += 1) if (!isContinuation(bytes[at - back])) return at - back;
  return at;
}

/** How many bytes at the end may be the beginning of a character whose rest is still to come: 0 to 3. */
function unfinishedBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] as number;
    if (isContinuation(byte)) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

/** Appends `bytes[from, to)` as pieces. `partial` is that of the last one: whether the range stops inside a line. */
function cut(bytes: Buffer, from: number, to: number, partial: boolean, pieces: Piece[]): void {
  let start = from;
  while (start < to) {
    let end = to;
    let inLine = partial;
    if (to - start > TEXT_BYTES_MAX) {
      const lineEnd = bytes.lastIndexOf(NEWLINE, start + TEXT_BYTES_MAX - 1);
      inLine = lineEnd < start;
      end = inLine ? cutBefore(bytes, start + TEXT_BYTES_MAX) : lineEnd + 1;
    }
    const range = bytes.subarray(start, end);
    const text = range.toString('utf8');
    // A byte that is no UTF-8 becomes three: such a piece may be too long now, and is cut again as the valid text it has become (TX2).
    if (range.length * 3 > TEXT_BYTES_MAX && !isUtf8(range)) cut(Buffer.from(text), 0, Buffer.byteLength(text), inLine, pieces);
    else pieces.push({ kind: 'text', text, partial: inLine });
    start = end;
  }
}

/** The bytes of the unfinished line, joined only when someone looks. */
class Held {
  #parts: Buffer[] = [];
  bytes = 0;

  add(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.bytes += part.length;
    if (this.#parts.length > HELD_PARTS_MAX) this.#parts = [Buffer.concat(this.#parts)];
  }

  take(): Buffer {
    const [only] = this.#parts;
    const all = this.#parts.length === 1 && only ? only : Buffer.concat(this.#parts);
    this.#parts = [];
    this.bytes = 0;
    return all;
  }

  /** Whether the line begins like a JSON object. Looks past the first part only while that is nothing but white space. */
  beginsJson(): 'yes' | 'no' | 'unknown' {
    const first = mayBeJson(this.#parts[0]);
    if (first !== 'unknown' || this.#parts.length < 2) return first;
    this.#parts = [Buffer.concat(this.#parts)];
    return mayBeJson(this.#parts[0]);
  }
}

export class TextSplitter implements Splitter {
  readonly #held = new Held();
  readonly #redacted: RedactedStream | null;

  constructor(redaction: Redaction | null = null) {
    this.#redacted = redaction?.stream() ?? null;
  }

  get late(): boolean {
    return this.#held.bytes > 0;
  }

  push(raw: Buffer): Piece[] {
    const bytes = this.#redacted?.push(raw) ?? raw;
    const pieces: Piece[] = [];
    const ended = bytes.lastIndexOf(NEWLINE) !== -1;
    this.#held.add(bytes);
    if (!ended && this.#held.bytes <= TEXT_BYTES_MAX) return pieces;
    const all = this.#held.take();
    let rest = all.lastIndexOf(NEWLINE) + 1;
    cut(all, 0, rest, false, pieces);
    while (all.length - rest > TEXT_BYTES_MAX) {
      const end = cutBefore(all, rest + TEXT_BYTES_MAX);
      cut(all, rest, end, true, pieces);
      rest = end;
    }
    this.#held.add(all.subarray(rest));
    return pieces;
  }

  flush(): Piece[] {
    const pieces: Piece[] = [];
    const all = this.#held.take();
    const end = all.length - unfinishedBytes(all);
    cut(all, 0, end, true, pieces);
    this.#held.add(all.subarray(end));
    return pieces;
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    if (this.#redacted) this.#held.add(this.#redacted.end());
    const all = this.#held.take();
    cut(all, 0, all.length, true, pieces);
    return pieces;
  }
}

/** The line as a piece of its own when it is an object that may be an event's data; else null, and the line is plain output. */
function jsonPiece(line: Buffer, redaction: Redaction | null): Piece | null {
  if (line.length > JSON_LINE_BYTES_MAX || mayBeJson(line) !== 'yes') return null;
  const text = line.toString('utf8').trim();
  if (Buffer.byteLength(text) > JSON_LINE_BYTES_MAX) return null;
  let data: JsonObject;
  try {
    data = JSON.parse(text) as JsonObject;
    // The same check as the coordinator's: an event that it would refuse must not be made here.
    if (!checkFact({ type: 'agent', at: 0, data }).ok) return null;
  } catch {
    return null;
  }
  const redacted = redaction ? redaction.json(text, line) : text;
  // A marker may be longer than what it stands for.
  if (redacted === null || (redacted !== text && Buffer.byteLength(redacted) > JSON_LINE_BYTES_MAX)) return null;
  if (!Object.hasOwn(data, JOB_FACT_MARKER)) return { kind: 'json', text: redacted };
  // Of the line without its secrets, or one of them would get into the event.
  const fact = jobFactOf(redacted === text ? data : (JSON.parse(redacted) as JsonObject));
  return fact ? { kind: 'fact', text: redacted, fact } : { kind: 'json', text: redacted };
}

function mayBeJson(bytes: Buffer | undefined): 'yes' | 'no' | 'unknown' {
  for (const byte of bytes ?? []) {
    if (byte === 0x20 || byte === 0x09 || byte === 0x0d) continue;
    return byte === 0x7b ? 'yes' : 'no';
  }
  return 'unknown';
}

/** Lines that are JSON objects are given one by one; all else as text. An unfinished line that begins like an object is waited for. */
export class JsonLineSplitter implements Splitter {
  readonly #held = new Held();
  readonly #redaction: Redaction | null;
  /** Through which goes what is text. A line that is JSON is held whole, and redacted as such. */
  readonly #redacted: RedactedStream | null;
  /** The beginning of the current line went out as text, so its rest is text too. */
  #inTextLine = false;

  constructor(redaction: Redaction | null = null) {
    this.#redaction = redaction;
    this.#redacted = redaction?.stream() ?? null;
  }

  get late(): boolean {
    return this.#held.bytes > 0 && !this.#waitsForJson();
  }

  #waitsForJson(): boolean {
    return !this.#inTextLine && this.#held.beginsJson() !== 'no';
  }

  push(bytes: Buffer): Piece[] {
    const pieces: Piece[] = [];
    const ended = bytes.lastIndexOf(NEWLINE) !== -1;
    this.#held.add(bytes);
    if (!ended && this.#held.bytes <= this.#heldBytesMax()) return pieces;
    const all = this.#held.take();
    let textFrom = 0;
    let from = 0;
    for (let lineEnd = all.indexOf(NEWLINE); lineEnd !== -1; lineEnd = all.indexOf(NEWLINE, from)) {
      const json = this.#inTextLine ? null : jsonPiece(all.subarray(from, lineEnd), this.#redaction);
      if (json) {
        this.#cutText(all.subarray(textFrom, from), false, pieces);
        pieces.push(json);
        textFrom = lineEnd + 1;
      }
      this.#inTextLine = false;
      from = lineEnd + 1;
    }
    this.#cutText(all.subarray(textFrom, from), false, pieces);
    this.#held.add(all.subarray(from));
    if (this.#held.bytes > this.#heldBytesMax()) pieces.push(...this.#giveUpLine());
    return pieces;
  }

  flush(): Piece[] {
    return this.late ? this.#giveUpLine() : [];
  }

  end(): Piece[] {
    const all = this.#held.take();
    const json = this.#inTextLine ? null : jsonPiece(all, this.#redaction);
    if (json) return [json];
    const pieces: Piece[] = [];
    const text = this.#redacted ? Buffer.concat([this.#redacted.push(all), this.#redacted.end()]) : all;
    cut(text, 0, text.length, true, pieces);
    return pieces;
  }

  #cutText(raw: Buffer, partial: boolean, pieces: Piece[]): void {
    const text = this.#redacted?.push(raw) ?? raw;
    cut(text, 0, text.length, partial, pieces);
  }

  #heldBytesMax(): number {
    return this.#waitsForJson() ? JSON_LINE_BYTES_MAX : TEXT_BYTES_MAX;
  }

  #giveUpLine(): Piece[] {
    const pieces: Piece[] = [];
    const all = this.#held.take();
    const end = all.length - unfinishedBytes(all);
    this.#cutText(all.subarray(0, end), true, pieces);
    if (end > 0) this.#inTextLine = true;
    this.#held.add(all.subarray(end));
    return pieces;
  }
}
