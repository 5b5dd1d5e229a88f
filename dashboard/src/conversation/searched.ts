/**
 * The lines of a conversation, for the search of the log (`../log/search.ts`). Pure.
 *
 * Owns: which lines an item has, in the words of its row. An item is searched whether its row is
 * drawn, folded or inside a closed sub-agent.
 *
 *   SD1  Ids are sparse: a chunk has room for more lines than it can have, so that a change of one
 *        item moves no other line.
 *   SD2  A chunk's lines are made when they are searched, and again when one of its items changed.
 */

import type { Item, JsonValue } from '../../../agent/index.ts';
import type { Searched, SearchedChunk } from '../log/search.ts';
import { readable } from './text-blocks.tsx';
import { isShort, valueText } from './value-text.ts';

const CHUNK_ITEMS = 64;
/** SD1 */
const CHUNK_LINES = 2 ** 32;

interface Items {
  readonly items: readonly Item[];
  readonly version: number;
  subscribe(changed: () => void): () => void;
}

class ItemChunk implements SearchedChunk {
  readonly first: number;
  readonly hasTails = false;
  version = 0;
  items: readonly Item[] = [];
  #lines: { lines: string[]; of: number[]; text: string; ends: Uint32Array } | null = null;

  constructor(first: number) {
    this.first = first;
  }

  set(items: readonly Item[]): void {
    this.items = items;
    this.version += 1;
    this.#lines = null;
  }

  get #made() {
    if (this.#lines) return this.#lines;
    const lines: string[] = [];
    const of: number[] = [];
    for (const [index, item] of this.items.entries()) {
      for (const line of linesOf(item)) {
        lines.push(line);
        of.push(index);
      }
    }
    const ends = new Uint32Array(lines.length);
    let end = 0;
    for (const [index, line] of lines.entries()) {
      end += line.length + 1;
      ends[index] = end;
    }
    this.#lines = { lines, of, text: lines.map((line) => `${line}\n`).join(''), ends };
    return this.#lines;
  }

  get count(): number {
    return this.#made.lines.length;
  }
  get text(): string {
    return this.#made.text;
  }
  get ends(): Uint32Array {
    return this.#made.ends;
  }
  kind(): number {
    return 0;
  }
  line(index: number): string {
    return this.#made.lines[index] ?? '';
  }
  item(index: number): Item | undefined {
    return this.items[this.#made.of[index] ?? -1];
  }
  /** The first line of an item, or of the next one that has lines. */
  lineOf(item: number): number {
    const found = this.#made.of.findIndex((each) => each >= item);
    return found < 0 ? this.count : found;
  }
  /** The lines of one item. */
  range(item: number): { from: number; to: number } {
    return { from: this.lineOf(item), to: this.lineOf(item + 1) };
  }
}

export class SearchedConversation implements Searched {
  readonly first = 0;
  readonly #model: Items;
  readonly #chunks: ItemChunk[] = [];
  #version = -1;

  constructor(model: Items) {
    this.#model = model;
  }

  get chunks(): readonly ItemChunk[] {
    const { items, version } = this.#model;
    if (version === this.#version) return this.#chunks;
    this.#version = version;
    const count = Math.ceil(items.length / CHUNK_ITEMS);
    this.#chunks.length = Math.min(this.#chunks.length, count);
    for (let at = 0; at < count; at += 1) {
      const from = at * CHUNK_ITEMS;
      const to = Math.min(from + CHUNK_ITEMS, items.length);
      const chunk = this.#chunks[at] ?? new ItemChunk(at * CHUNK_LINES);
      this.#chunks[at] = chunk;
      let isSame = chunk.items.length === to - from;
      for (let i = from; isSame && i < to; i += 1) isSame = chunk.items[i - from] === items[i];
      if (!isSame) chunk.set(items.slice(from, to));
    }
    return this.#chunks;
  }

  get end(): number {
    return this.chunks.length * CHUNK_LINES;
  }

  position(id: number): { chunk: ItemChunk; index: number } | null {
    const chunk = this.chunks[Math.floor(id / CHUNK_LINES)];
    return chunk ? { chunk, index: id % CHUNK_LINES } : null;
  }

  itemAt(id: number): Item | null {
    const position = this.position(id);
    return position?.chunk.item(position.index) ?? null;
  }

  subscribe(changed: () => void): () => void {
    return this.#model.subscribe(changed);
  }

  /** The lines of this item; null when it is not there. */
  linesOf(item: Item): { chunk: ItemChunk; from: number; to: number } | null {
    const { items } = this.#model;
    // Items are in the order of their offsets; several may have one.
    let low = 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((items[middle]?.from ?? 0) < item.from) low = middle + 1;
      else high = middle;
    }
    while (items[low]?.from === item.from && items[low]?.key !== item.key) low += 1;
    const chunk = this.chunks[Math.floor(low / CHUNK_ITEMS)];
    return chunk && items[low]?.key === item.key ? { chunk, ...chunk.range(low % CHUNK_ITEMS) } : null;
  }
}

/** Markdown without the marks that its elements do not show. */
const plain = (markdown: string): string => markdown.replace(/\*+|`+|^#+ |~~/gm, '').replace(/\[([^\]\n]*)\]\([^)\n]*\)/g, '$1');

const split = (text: string): string[] => readable(text).split('\n');

function linesOf(item: Item): string[] {
  switch (item.type) {
    case 'message':
    case 'reasoning':
      return split(plain(item.markdown));
    case 'tool': {
      const { name, title, input, output, diff = [] } = item;
      const changes = diff.flatMap(({ path, hunks }) => [
        path,
        ...hunks.flatMap(({ lines }) => lines.map((line) => line.slice(1))),
      ]);
      return [name, title, ...inputLines(input), ...split(output ?? ''), ...changes].flatMap(split);
    }
    case 'plan':
      return item.entries.flatMap(({ text }) => split(text));
    case 'question': {
      const options = item.options.flatMap(({ label, description }) => [label, description ?? '']);
      const text = item.kind === 'permission' ? item.text : plain(item.text);
      return [text, ...options, item.answer?.text ?? ''].flatMap(split);
    }
    case 'turn_end':
      return split(item.text ?? '');
    case 'notice':
    case 'raw':
      return split(item.text);
    case 'usage':
      return [];
    default:
      return item satisfies never;
  }
}

/** In the order of the row: short values stand above long ones. */
function inputLines(input: JsonValue): string[] {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return [input === null ? '' : valueText(input)];
  const fields = Object.entries(input).map(([field, value]) => [field, valueText(value)] as const);
  return [...fields.filter(([, value]) => isShort(value)), ...fields.filter(([, value]) => !isShort(value))].flat();
}
