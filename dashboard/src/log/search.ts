/**
 * Search over everything loaded, a chunk at a time. Pure except for the port that runs regular
 * expressions.
 *
 *   S1  The shown text is searched: text without escape sequences, lines of the shown kinds.
 *   S2  A chunk's matches belong to one version of it. For a line that grows, only its chunk is
 *       searched again.
 *   S3  `step` works until its deadline, and continues from there. Its caller decides how long a
 *       slice is.
 */

import { shownText } from './line.ts';
import { compileExpression, MATCHES_MAX, type Matches, matchLines, type Query } from './match.ts';
import type { RegexPort } from './regex-port.ts';
import { ALL, type Mask } from './rows.ts';
import { SPECIAL } from './scan.ts';

/** Highlights of one row. A megabyte of one letter would be a million elements. */
const ROW_MARKS_MAX = 1000;

/** What is searched: a chunk of a log, or lines of another kind. */
export interface SearchedChunk {
  /** Id of its first line. */
  readonly first: number;
  readonly count: number;
  /** Rises with every change. */
  readonly version: number;
  /** Without tails, the lines end to end, and where each of them stops. */
  readonly text: string;
  readonly ends: Uint32Array;
  readonly hasTails: boolean;
  kind(index: number): number;
  line(index: number): string;
}

export interface Searched {
  readonly chunks: readonly SearchedChunk[];
  /** Ids of the first line, and behind the last one. */
  readonly first: number;
  readonly end: number;
  position(id: number): { chunk: SearchedChunk; index: number } | null;
  subscribe(changed: () => void): () => void;
}

interface Found {
  version: number;
  matches: Matches;
}

export interface Match {
  id: number;
  start: number;
  end: number;
}

export interface SearchState {
  /** Matches found so far, and the index of the current one, from 1. */
  total: number;
  current: number | null;
  /** Lines searched, of those loaded. */
  searched: number;
  done: boolean;
  /** More than MATCHES_MAX. */
  capped: boolean;
  /** The expression is invalid, or took too long. */
  error: string | null;
}

export class Search {
  readonly query: Query;
  readonly mask: Mask;
  readonly #model: Searched;
  readonly #regex: RegexPort | null;
  #expression: RegExp | null = null;
  #error: string | null = null;
  #found = new WeakMap<SearchedChunk, Found>();
  #current: { chunk: SearchedChunk; nth: number } | null = null;
  #closed = false;

  constructor(model: Searched, mask: Mask, query: Query, regex: RegexPort | null) {
    this.#model = model;
    this.mask = mask;
    this.query = query;
    this.#regex = regex;
    if (query.text === '') return;
    try {
      this.#expression = compileExpression(query);
    } catch (error) {
      this.#error = error instanceof Error ? error.message : String(error);
    }
    if (query.regex && regex === null) this.#error = 'Regular expressions need a browser with workers.';
  }

  get state(): SearchState {
    let total = 0;
    let searched = 0;
    let current: number | null = null;
    let stale = false;
    for (const chunk of this.#model.chunks) {
      const found = this.#found.get(chunk);
      if (found?.version === chunk.version) searched += chunk.count;
      else stale = true;
      if (chunk === this.#current?.chunk) current = total + this.#current.nth + 1;
      total += (found?.matches.length ?? 0) / 3;
    }
    const capped = total >= MATCHES_MAX;
    return { total, current, searched, done: !stale || capped || this.#expression === null, capped, error: this.#error };
  }

  /** S3. True when the search is complete. */
  async step(mayGoOn: () => boolean): Promise<boolean> {
    if (this.#expression === null || this.#error !== null) return true;
    let total = 0;
    for (const chunk of [...this.#model.chunks]) {
      const known = this.#found.get(chunk);
      if (known?.version !== chunk.version) {
        if (!mayGoOn() || this.#closed) return false;
        const { version } = chunk;
        const matches = this.query.regex ? await this.#away(chunk) : this.#here(chunk, this.#expression);
        if (matches === null) return true;
        this.#found.set(chunk, { version, matches });
        if (chunk === this.#current?.chunk && this.#current.nth >= matches.length / 3) this.#current = null;
      }
      total += (this.#found.get(chunk)?.matches.length ?? 0) / 3;
      if (total >= MATCHES_MAX) return true;
    }
    return true;
  }

  /** Aborts the running search; call when the query changes. */
  close(): void {
    this.#closed = true;
  }

  /** Matches in a line, for the highlights of its row. `true` marks the current one. */
  inLine({ chunk, index }: { chunk: SearchedChunk; index: number }): { start: number; end: number; current: boolean }[] {
    const found = this.#found.get(chunk);
    if (found === undefined || found.version !== chunk.version) return [];
    const { matches } = found;
    const marks: { start: number; end: number; current: boolean }[] = [];
    let low = 0;
    let high = matches.length / 3;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((matches[middle * 3] ?? 0) < index) low = middle + 1;
      else high = middle;
    }
    const currentNth = this.#current?.chunk === chunk ? this.#current.nth : -1;
    for (let nth = low; matches[nth * 3] === index; nth++) {
      const current = nth === currentNth;
      if (nth - low >= ROW_MARKS_MAX && !current) {
        if (nth > currentNth) break;
        nth = currentNth - 1;
        continue;
      }
      marks.push({ start: matches[nth * 3 + 1] ?? 0, end: matches[nth * 3 + 2] ?? 0, current });
    }
    return marks;
  }

  /**
   * Makes the next (or previous) match current, starting at a line if no match is current, and
   * wrapping around at the ends. Null: no match.
   */
  move(by: 1 | -1, from: number): Match | null {
    const { chunks } = this.#model;
    const count = (chunk: SearchedChunk | undefined) =>
      chunk === undefined ? 0 : (this.#found.get(chunk)?.matches.length ?? 0) / 3;
    let at = this.#current === null ? -1 : chunks.indexOf(this.#current.chunk);
    let nth = (this.#current?.nth ?? 0) + by;
    if (at < 0) {
      const position = this.#model.position(Math.min(Math.max(from, this.#model.first), this.#model.end - 1));
      if (position === null) return null;
      at = chunks.indexOf(position.chunk);
      const { matches } = this.#found.get(position.chunk) ?? { matches: new Int32Array(0) };
      nth = 0;
      while (nth < matches.length / 3 && (matches[nth * 3] ?? 0) < position.index) nth++;
      if (by < 0) nth--;
    }
    for (let tried = 0; tried <= chunks.length; tried++) {
      const chunk = chunks[at];
      if (chunk !== undefined && nth >= 0 && nth < count(chunk)) {
        this.#current = { chunk, nth };
        return this.current;
      }
      at = (at + by + chunks.length) % chunks.length;
      nth = by > 0 ? 0 : count(chunks[at]) - 1;
    }
    return null;
  }

  get current(): Match | null {
    if (this.#current === null) return null;
    const { chunk, nth } = this.#current;
    const matches = this.#found.get(chunk)?.matches;
    const line = matches?.[nth * 3];
    if (matches === undefined || line === undefined) return null;
    return { id: chunk.first + line, start: matches[nth * 3 + 1] ?? 0, end: matches[nth * 3 + 2] ?? 0 };
  }

  #here(chunk: SearchedChunk, expression: RegExp): Matches {
    if (this.mask === ALL && !chunk.hasTails && !SPECIAL.test(chunk.text))
      return matchLines(chunk.text, chunk.ends, chunk.count, expression);
    const { lines, texts } = this.#shown(chunk);
    const ends = new Uint32Array(texts.length);
    let end = 0;
    for (const [i, text] of texts.entries()) {
      end += text.length + 1;
      ends[i] = end;
    }
    return placed(matchLines(`${texts.join('\n')}\n`, ends, texts.length, expression), lines);
  }

  async #away(chunk: SearchedChunk): Promise<Matches | null> {
    const { lines, texts } = this.#shown(chunk);
    try {
      const matches = await this.#regex?.match(this.#expression as RegExp, texts);
      return matches === undefined || this.#closed ? null : placed(matches, lines);
    } catch (error) {
      this.#error = error instanceof Error ? error.message : String(error);
      return null;
    }
  }

  /** S1 */
  #shown(chunk: SearchedChunk): { lines: number[]; texts: string[] } {
    const lines: number[] = [];
    const texts: string[] = [];
    for (let index = 0; index < chunk.count; index++) {
      if (!(this.mask & (1 << chunk.kind(index)))) continue;
      lines.push(index);
      texts.push(shownText(chunk.line(index)));
    }
    return { lines, texts };
  }
}

/** Converts an index of the searched lines to an index of the chunk's lines. */
function placed(matches: Matches, lines: readonly number[]): Matches {
  for (let i = 0; i < matches.length; i += 3) matches[i] = lines[matches[i] ?? 0] ?? 0;
  return matches;
}
