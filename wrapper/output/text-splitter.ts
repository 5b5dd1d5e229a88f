/**
 * Splits the bytes of one output stream into pieces of text. Pure: it neither reads nor waits. Its
 * owner calls `flush` when a line is late.
 *
 * Owns: the bytes of the unfinished line, at most one piece (JSON lines: AGENT_LINE_BYTES_MAX).
 *
 *   TX1  The pieces joined are the stream decoded as UTF-8 (invalid bytes become U+FFFD, and are
 *        counted), however the reads were split. Where secrets are redacted, it is the redacted
 *        stream; a JSON line is redacted as JSON. What is left out is counted (TX6).
 *   TX2  A piece has at most 64 KiB of UTF-8. Escaped as JSON it may grow six-fold and still fits
 *        one event.
 *   TX3  A piece without `partial` ends with a line end; one with `partial` does not, and the next
 *        piece continues its line.
 *   TX4  No character is split: a cut is only made before a byte that begins one.
 *   TX5  `exact`: the pieces joined are the bytes of that stream. Lines that are not UTF-8 are
 *        pieces of bytes.
 *   TX6  A JSON line that does not fit one event is parts of at most 64 KiB. It is cut when it has
 *        been redacted. A longer one than AGENT_LINE_BYTES_MAX is left out.
 *
 * It works on bytes, because finding a line end and decoding 64 KiB at once are native calls.
 * Nothing is done per character.
 */

import { isUtf8 } from 'node:buffer';
import { AGENT_LINE_BYTES_MAX, checkFact, EVENT_BYTES_MAX, type JsonObject } from '../../protocol/index.ts';
import { JOB_FACT_MARKER, type JobFact, jobFactOf } from '../job/facts.ts';
import type { Redaction } from './redaction.ts';
import type { RedactedStream } from './redaction-stream.ts';

export const TEXT_BYTES_MAX = 64 * 1024;
/** A JSON line is passed through as an event's data; the rest of the event needs some space. */
export const JSON_LINE_BYTES_MAX = EVENT_BYTES_MAX - 128;

const NEWLINE = 0x0a;
/** So many tiny reads in one line are joined to keep the list short. */
const HELD_PARTS_MAX = 256;
/** Text and bytes in turn within one piece. With more turns than this it is all bytes (TX5). */
const TURNS_MAX = 64;

export type Piece =
  /** `replaced`: how many of its bytes were not UTF-8; absent if none. */
  | { kind: 'text'; text: string; partial: boolean; replaced?: number }
  | { kind: 'bytes'; text: ''; bytes: Buffer; partial: boolean }
  /** `line`: what the job wrote, not redacted. Only where it is asked for. */
  | { kind: 'json'; text: string; line?: JsonObject }
  /** A part of a longer one (TX6). The last one has `line`. */
  | { kind: 'part'; text: string; part: number; parts: number; line?: JsonObject }
  /** A JSON line of so many bytes is left out (TX6). */
  | { kind: 'too_long'; text: ''; bytes: number }
  /** A JSON line that reports a fact of the job (SPL26); `text` is that line. */
  | { kind: 'fact'; text: string; fact: JobFact };

export interface SplitterOptions {
  /** Output that is not UTF-8 becomes pieces of bytes (TX5). */
  exact?: boolean;
  /** JSON lines are also returned as they are. */
  keepsLines?: boolean;
}

export interface Splitter {
  push(bytes: Buffer): Piece[];
  /** The line is late: returns what there is of it. */
  flush(): Piece[];
  /** The stream has ended: returns everything that is left. */
  end(): Piece[];
  /**
   * Whether a `flush` now would return something. A possible beginning of a secret is held back,
   * however late.
   */
  readonly late: boolean;
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/**
 * The nearest position at or before `at` where the bytes may be cut (TX4). Four continuation bytes
 * in a row belong to no character, so any position there is fine; that also bounds the search.
 */
function cutBefore(bytes: Buffer, at: number): number {
  for (let back = 0; back < 4; back += 1) if (!isContinuation(bytes[at - back])) return at - back;
  return at;
}

/** How many bytes at the end may be an incomplete character: 0 to 3. */
function unfinishedBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] as number;
    if (isContinuation(byte)) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

/**
 * Appends the bytes as pieces. `partial` applies to the last one: whether the bytes end inside a
 * line.
 */
function cut(bytes: Buffer, partial: boolean, exact: boolean, pieces: Piece[], bytesMax = TEXT_BYTES_MAX): void {
  let start = 0;
  while (start < bytes.length) {
    let end = bytes.length;
    let inLine = partial;
    if (end - start > bytesMax) {
      const lineEnd = bytes.lastIndexOf(NEWLINE, start + bytesMax - 1);
      inLine = lineEnd < start;
      end = inLine ? cutBefore(bytes, start + bytesMax) : lineEnd + 1;
    }
    const range = bytes.subarray(start, end);
    const text = range.toString('utf8');
    // Nearly all output has no U+FFFD. Looking for it costs less than checking the bytes.
    if (!text.includes(REPLACEMENT) || isUtf8(range)) pieces.push({ kind: 'text', text, partial: inLine });
    else if (exact) cutExactly(range, inLine, pieces);
    // An invalid byte becomes three bytes, and such a piece may be too long (TX2).
    else if (Buffer.byteLength(text) > TEXT_BYTES_MAX) cut(range, inLine, exact, pieces, Math.floor(TEXT_BYTES_MAX / 3));
    else pieces.push({ kind: 'text', text, partial: inLine, replaced: replacedBytes(range, text) });
    start = end;
  }
}

const REPLACEMENT = '\ufffd';
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT);

/** How many bytes U+FFFD replaced. The job may have printed that character itself. */
function replacedBytes(bytes: Buffer, text: string): number {
  let inserted = 0;
  for (let at = text.indexOf(REPLACEMENT); at !== -1; at = text.indexOf(REPLACEMENT, at + 1)) inserted += 1;
  for (let at = bytes.indexOf(REPLACEMENT_BYTES); at !== -1; at = bytes.indexOf(REPLACEMENT_BYTES, at + 3)) inserted -= 1;
  return bytes.length - (Buffer.byteLength(text) - inserted * REPLACEMENT_BYTES.length);
}

/** TX5. Neighbouring lines of one kind are one piece. */
function cutExactly(bytes: Buffer, partial: boolean, pieces: Piece[]): void {
  const turns: { end: number; isText: boolean }[] = [];
  for (let start = 0; start < bytes.length; ) {
    const lineEnd = bytes.indexOf(NEWLINE, start);
    const end = lineEnd === -1 ? bytes.length : lineEnd + 1;
    const isText = isUtf8(bytes.subarray(start, end));
    const last = turns.at(-1);
    if (last?.isText === isText) last.end = end;
    else turns.push({ end, isText });
    start = end;
  }
  let start = 0;
  for (const { end, isText } of turns.length > TURNS_MAX ? [{ end: bytes.length, isText: false }] : turns) {
    const range = bytes.subarray(start, end);
    const inLine = partial && end === bytes.length;
    pieces.push(
      isText
        ? { kind: 'text', text: range.toString('utf8'), partial: inLine }
        : { kind: 'bytes', text: '', bytes: range, partial: inLine },
    );
    start = end;
  }
}

/** The bytes of the unfinished line, joined only on demand. */
class PendingText {
  /** Before the others: what was joined. Each byte is joined once, however long the line is. */
  #joined: Buffer[] = [];
  #parts: Buffer[] = [];
  bytes = 0;

  add(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.bytes += part.length;
    if (this.#parts.length < HELD_PARTS_MAX) return;
    this.#joined.push(Buffer.concat(this.#parts));
    this.#parts = [];
  }

  take(): Buffer {
    const parts = [...this.#joined, ...this.#parts];
    const [only] = parts;
    const all = parts.length === 1 && only ? only : Buffer.concat(parts);
    this.#joined = [];
    this.#parts = [];
    this.bytes = 0;
    return all;
  }

  /**
   * Whether the line begins like a JSON object. Looks past the first part only while that is white
   * space.
   */
  beginsJson(): 'yes' | 'no' | 'unknown' {
    const first = mayBeJson(this.#joined[0] ?? this.#parts[0]);
    if (first !== 'unknown') return first;
    const all = this.take();
    this.add(all);
    return mayBeJson(all);
  }
}

export class TextSplitter implements Splitter {
  readonly #held = new PendingText();
  readonly #redacted: RedactedStream | null;
  readonly #exact: boolean;

  constructor(redaction: Redaction | null = null, { exact = false }: SplitterOptions = {}) {
    this.#redacted = redaction?.stream() ?? null;
    this.#exact = exact;
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
    this.#cut(all.subarray(0, rest), false, pieces);
    while (all.length - rest > TEXT_BYTES_MAX) {
      const end = cutBefore(all, rest + TEXT_BYTES_MAX);
      this.#cut(all.subarray(rest, end), true, pieces);
      rest = end;
    }
    this.#held.add(all.subarray(rest));
    return pieces;
  }

  flush(): Piece[] {
    const pieces: Piece[] = [];
    const all = this.#held.take();
    const end = all.length - unfinishedBytes(all);
    this.#cut(all.subarray(0, end), true, pieces);
    this.#held.add(all.subarray(end));
    return pieces;
  }

  /** How many bytes at the end may be the beginning of a secret. */
  get secretBytes(): number {
    return this.#redacted?.openBytes ?? 0;
  }

  /** Like `flush`, with what is held back because it may be the beginning of a secret (RD7). */
  release(): Piece[] {
    if (this.#redacted) this.#held.add(this.#redacted.release());
    return this.flush();
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    if (this.#redacted) this.#held.add(this.#redacted.end());
    const all = this.#held.take();
    this.#cut(all, true, pieces);
    return pieces;
  }

  #cut(bytes: Buffer, partial: boolean, pieces: Piece[]): void {
    cut(bytes, partial, this.#exact, pieces);
  }
}

/**
 * The line as pieces of its own if it is an object that may be an event's data; null if the line is
 * plain output.
 */
function jsonPieces(line: Buffer, redaction: Redaction | null, keepsLine: boolean): Piece[] | null {
  if (mayBeJson(line) !== 'yes') return null;
  if (line.length > AGENT_LINE_BYTES_MAX) return [{ kind: 'too_long', text: '', bytes: line.length }];
  const text = line.toString('utf8').trim();
  // JSON is UTF-8. As an event, the line would not say what was replaced.
  if (text.includes(REPLACEMENT) && !isUtf8(line)) return null;
  let data: JsonObject;
  try {
    data = JSON.parse(text) as JsonObject;
    // The coordinator makes the same check; the wrapper must not create an event that it would
    // refuse.
    if (!checkFact({ type: 'agent', at: 0, data }).ok) return null;
  } catch {
    return null;
  }
  const redacted = redaction ? redaction.json(text, line) : text;
  if (redacted === null) return null;
  // Taken from the redacted line, so that no secret gets into the event.
  const isFact = Object.hasOwn(data, JOB_FACT_MARKER);
  const fact = isFact ? jobFactOf(redacted === text ? data : (JSON.parse(redacted) as JsonObject)) : null;
  if (fact) return [{ kind: 'fact', text: redacted, fact }];
  // A marker may be longer than the secret that it replaces.
  return piecesOfJson(redacted, keepsLine && !isFact ? data : undefined) ?? [{ kind: 'too_long', text: '', bytes: line.length }];
}

/** JSON text that was redacted, as one piece or as parts (TX6). Null when it is too long. */
export function piecesOfJson(text: string, line?: JsonObject): Piece[] | null {
  const kept = line === undefined ? {} : { line };
  if (wireBytes(text) <= JSON_LINE_BYTES_MAX) return [{ kind: 'json', text, ...kept }];
  const bytes = Buffer.from(text);
  if (bytes.length > AGENT_LINE_BYTES_MAX) return null;
  const texts: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.length - start <= TEXT_BYTES_MAX ? bytes.length : cutBefore(bytes, start + TEXT_BYTES_MAX);
    texts.push(bytes.toString('utf8', start, end));
    start = end;
  }
  const parts = texts.length;
  return texts.map((part, at) => ({ kind: 'part', text: part, part: at + 1, parts, ...(at + 1 === parts ? kept : {}) }));
}

/** On the wire U+FFFD is an escape of six bytes (ING20). */
const wireBytes = (json: string): number =>
  Buffer.byteLength(json) + (json.includes(REPLACEMENT) ? (json.split(REPLACEMENT).length - 1) * 3 : 0);

/** White space before an object, and the bytes of a byte order mark, which `trim` removes too. */
const BEFORE_JSON: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d, 0xef, 0xbb, 0xbf]);

function mayBeJson(bytes: Buffer | undefined): 'yes' | 'no' | 'unknown' {
  for (const byte of bytes ?? []) {
    if (BEFORE_JSON.has(byte)) continue;
    return byte === 0x7b ? 'yes' : 'no';
  }
  return 'unknown';
}

/**
 * Emits lines that are JSON objects one by one, and everything else as text. An unfinished line
 * that begins like an object is held until it ends.
 */
export class JsonLineSplitter implements Splitter {
  readonly #held = new PendingText();
  readonly #redaction: Redaction | null;
  /** Handles text. A JSON line is held whole and redacted as JSON. */
  readonly #redacted: RedactedStream | null;
  readonly #exact: boolean;
  readonly #keepsLines: boolean;
  /** The beginning of the current line was emitted as text, so its rest is text too. */
  #inTextLine = false;
  /** So much of the current line was left out, and its rest is too (TX6). */
  #leftOutBytes = 0;

  constructor(redaction: Redaction | null = null, { exact = false, keepsLines = false }: SplitterOptions = {}) {
    this.#redaction = redaction;
    this.#redacted = redaction?.stream() ?? null;
    this.#exact = exact;
    this.#keepsLines = keepsLines;
  }

  get late(): boolean {
    return this.#held.bytes > 0 && !this.#waitsForJson();
  }

  #isInJson(): boolean {
    return !this.#inTextLine && this.#held.beginsJson() === 'yes';
  }

  #waitsForJson(): boolean {
    return !this.#inTextLine && this.#held.beginsJson() !== 'no';
  }

  push(raw: Buffer): Piece[] {
    const pieces: Piece[] = [];
    const bytes = this.#leftOutBytes > 0 ? this.#leaveOut(raw, pieces) : raw;
    const ended = bytes.lastIndexOf(NEWLINE) !== -1;
    this.#held.add(bytes);
    if (!ended && this.#held.bytes <= this.#heldBytesMax()) return pieces;
    const all = this.#held.take();
    let textFrom = 0;
    let from = 0;
    for (let lineEnd = all.indexOf(NEWLINE); lineEnd !== -1; lineEnd = all.indexOf(NEWLINE, from)) {
      const json = this.#inTextLine ? null : jsonPieces(all.subarray(from, lineEnd), this.#redaction, this.#keepsLines);
      if (json) {
        this.#cutText(all.subarray(textFrom, from), false, pieces);
        pieces.push(...json);
        textFrom = lineEnd + 1;
      }
      this.#inTextLine = false;
      from = lineEnd + 1;
    }
    this.#cutText(all.subarray(textFrom, from), false, pieces);
    this.#held.add(all.subarray(from));
    if (this.#held.bytes <= this.#heldBytesMax()) return pieces;
    if (this.#isInJson()) this.#leftOutBytes = this.#held.take().length;
    else pieces.push(...this.#giveUpLine());
    return pieces;
  }

  /** Returns what follows the line of which this is the rest. */
  #leaveOut(bytes: Buffer, pieces: Piece[]): Buffer {
    const lineEnd = bytes.indexOf(NEWLINE);
    this.#leftOutBytes += lineEnd === -1 ? bytes.length : lineEnd;
    if (lineEnd === -1) return bytes.subarray(bytes.length);
    pieces.push({ kind: 'too_long', text: '', bytes: this.#leftOutBytes });
    this.#leftOutBytes = 0;
    return bytes.subarray(lineEnd + 1);
  }

  flush(): Piece[] {
    return this.late ? this.#giveUpLine() : [];
  }

  end(): Piece[] {
    if (this.#leftOutBytes > 0) return [{ kind: 'too_long', text: '', bytes: this.#leftOutBytes }];
    const all = this.#held.take();
    const json = this.#inTextLine ? null : jsonPieces(all, this.#redaction, this.#keepsLines);
    if (json) return json;
    const pieces: Piece[] = [];
    const text = this.#redacted ? Buffer.concat([this.#redacted.push(all), this.#redacted.end()]) : all;
    cut(text, true, this.#exact, pieces);
    return pieces;
  }

  #cutText(raw: Buffer, partial: boolean, pieces: Piece[]): void {
    const text = this.#redacted?.push(raw) ?? raw;
    cut(text, partial, this.#exact, pieces);
  }

  #heldBytesMax(): number {
    return this.#isInJson() ? AGENT_LINE_BYTES_MAX : TEXT_BYTES_MAX;
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
