/**
 * Colours continue from line to line within a stream, as in a terminal: a stack trace that is made
 * red once is red to its end.
 *
 * Incoming lines are not parsed. When a line is shown, the style before its chunk is found by
 * scanning the chunks before it, at most LOOK_BACK of them, and is cached per chunk. A colour that
 * was set further back than that and never reset is missed.
 */

import { type Chunk, STDERR } from './chunk.ts';
import { type ShownLine, shownLine, styleAfter } from './line.ts';
import type { LinePosition, LogModel } from './model.ts';
import { PLAIN, type Style } from './style.ts';

/** 16 chunks of 64 Ki characters: some milliseconds of scanning at worst, once. */
const LOOK_BACK = 16;
/** Cached lines. A view shows a few hundred. */
const LINES_KEPT = 1000;

type Styles = readonly [Style, Style];

export class ShownLines {
  readonly #model: LogModel;
  #prepends = -1;
  #after = new WeakMap<Chunk, { version: number; styles: Styles }>();
  #lines = new Map<string, ShownLine>();
  #chunkIds = new WeakMap<Chunk, number>();
  #nextChunkId = 0;
  /** Where the last lookup stopped: lines are mostly shown in order. */
  #resume: { chunk: Chunk; version: number; index: number; styles: Styles } | null = null;

  constructor(model: LogModel) {
    this.#model = model;
  }

  /** The line as it is shown, parsed once while it and everything before it stay the same. */
  get({ chunk, index }: LinePosition): ShownLine {
    if (this.#prepends !== this.#model.prepends) {
      this.#prepends = this.#model.prepends;
      this.#after = new WeakMap();
      this.#lines.clear();
      this.#resume = null;
    }
    const key = `${this.#idOf(chunk)}:${index}:${chunk.lengthOf(index)}`;
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const kind = chunk.kind(index);
    const shown = shownLine(chunk.line(index), kind > STDERR ? PLAIN : this.#styleBefore(chunk, index, kind));
    if (this.#lines.size >= LINES_KEPT) for (const old of [...this.#lines.keys()].slice(0, LINES_KEPT / 2)) this.#lines.delete(old);
    this.#lines.set(key, shown);
    return shown;
  }

  #styleBefore(chunk: Chunk, index: number, stream: number): Style {
    const here = this.#resume;
    const goesOn = here !== null && here.chunk === chunk && here.version === chunk.version && here.index <= index;
    const styles = goesOn ? within(chunk, here.index, index, here.styles) : within(chunk, 0, index, this.#before(chunk));
    this.#resume = { chunk, version: chunk.version, index, styles };
    return styles[stream] ?? PLAIN;
  }

  #before(chunk: Chunk): Styles {
    const { chunks } = this.#model;
    const at = chunks.indexOf(chunk);
    let from = at;
    let styles: Styles = [PLAIN, PLAIN];
    while (from > 0 && at - from < LOOK_BACK) {
      const before = chunks[from - 1];
      const known = before === undefined ? undefined : this.#after.get(before);
      if (before !== undefined && known !== undefined && known.version === before.version) {
        styles = known.styles;
        break;
      }
      from--;
    }
    for (let i = from; i < at; i++) {
      const passed = chunks[i];
      if (passed === undefined) continue;
      styles = within(passed, 0, passed.count, styles);
      this.#after.set(passed, { version: passed.version, styles });
    }
    return styles;
  }

  #idOf(chunk: Chunk): number {
    let id = this.#chunkIds.get(chunk);
    if (id === undefined) {
      id = this.#nextChunkId++;
      this.#chunkIds.set(chunk, id);
    }
    return id;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const ESCAPES = /[\u001b\u009b]/g;

/**
 * Styles of the two streams after the lines `from` to `to`. Only lines with an escape sequence are
 * scanned.
 */
function within(chunk: Chunk, from: number, to: number, before: Styles): Styles {
  const styles: [Style, Style] = [before[0], before[1]];
  const apply = (index: number): void => {
    const kind = chunk.kind(index);
    if (kind <= STDERR) styles[kind as 0 | 1] = styleAfter(chunk.line(index), styles[kind as 0 | 1]);
  };
  if (chunk.hasTails) {
    for (let index = from; index < to; index++) apply(index);
    return styles;
  }
  const { text, ends } = chunk;
  let line = from;
  ESCAPES.lastIndex = chunk.start(from);
  for (let found = ESCAPES.exec(text); found !== null; found = ESCAPES.exec(text)) {
    while (line < to && (ends[line] ?? 0) <= found.index) line++;
    if (line >= to) break;
    apply(line);
    ESCAPES.lastIndex = ends[line] ?? text.length;
  }
  return styles;
}
