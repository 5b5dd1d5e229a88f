/**
 * The rows of one run's conversation, from its events.
 *
 * Owns: the reader, the events that it may have to read again, which sub-agents are open, the rows.
 * Does not own: what an event means (`agent/`), what is folded inside a row (`panel`).
 *
 *   CM1  A reader reads forward only. When older events arrive, all are read again by a new reader,
 *        in short tasks, while the old one goes on with new events. While older events keep
 *        arriving, this takes a fifth of the time at most.
 *   CM2  A row has a number of its own (`id`) that stays when rows are made again, because items
 *        keep their keys.
 *   CM3  New events cost as much as they are many, however long the conversation is. Only opening a
 *        sub-agent, steps of one that is open and not the last, and older events make all rows
 *        again.
 *   CM4  An open question is a row of its own also where its sub-agent is closed.
 */

import type { Item, QuestionItem, Summary, ToolItem, UsageItem } from '../../../agent/index.ts';
import type { LoggedEvent } from '../../../client/index.ts';

/** The part of `ConversationReader` that is used here. */
export interface Reader {
  add(events: readonly LoggedEvent[]): readonly Item[];
  readonly items: readonly Item[];
  readonly summary: Summary;
  /** Of a session: the run that the item of this key belongs to. */
  turnOf?(key: string): string | undefined;
}

export interface Row {
  readonly id: number;
  readonly item: Item;
  /** How many sub-agents it is inside of. */
  readonly depth: number;
  /** Of the end of a turn: what the turn took. */
  readonly usage?: UsageItem;
  /** Of a tool call with a sub-agent. */
  readonly steps?: { readonly count: number; readonly isOpen: boolean };
  /** Of a session: the run that begins here, or goes on after another one. */
  readonly turn?: string;
}

/** CM1: reading again waits this many times as long as it took. */
const REREAD_REST = 4;
/** CM1: a task of it ends after this long. */
const TASK_MS = 12;
const TASK_EVENTS = 250;

export class ConversationModel {
  readonly #open: () => Reader;
  #reader: Reader;
  /** Empty once the beginning is loaded and read: nothing older can arrive. */
  #events: LoggedEvent[] = [];
  /** Older than those, and not read yet. */
  #older: LoggedEvent[] = [];
  #complete = false;
  #reread: ReturnType<typeof setTimeout> | null = null;
  #rereadMs = 0;
  #rows: Row[] = [];
  readonly #ids = new Map<string, number>();
  /** By id: the offset that the row's item begins at. */
  readonly #offsets: number[] = [];
  #rowOf = new Map<number, number>();
  #inside = new Map<string, string[]>();
  #items = new Map<string, Item>();
  #tools = new Map<string, string>();
  readonly #opened = new Set<string>();
  #listeners = new Set<() => void>();
  /** Rises with every change. */
  version = 0;
  /** Ids are never given to other rows. */
  readonly removed = { length: 0 };

  constructor(open: () => Reader) {
    this.#open = open;
    this.#reader = open();
  }

  get summary(): Summary {
    return this.#reader.summary;
  }

  get items(): readonly Item[] {
    return this.#reader.items;
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  get count(): number {
    return this.#rows.length;
  }

  id(row: number): number {
    return this.#rows[row]?.id ?? -1;
  }

  /** A row that is not shown now is where it would be. */
  row(id: number): number {
    const known = this.#rowOf.get(id);
    if (known !== undefined) return known;
    const offset = this.#offsets[id] ?? 0;
    return Math.max(
      0,
      this.#rows.findLastIndex(({ item }) => item.from <= offset),
    );
  }

  settle(id: number): number {
    return id;
  }

  /** False while older events wait to be read. */
  get isCurrent(): boolean {
    return this.#reread === null && this.#older.length === 0;
  }

  has(key: string): boolean {
    return this.#items.has(key);
  }

  /** The tool call of this id. */
  tool(id: string): Item | undefined {
    return this.#items.get(this.#tools.get(id) ?? '');
  }

  /** The newest item that an event at this offset belongs to, or the next older one. */
  keyAt(offset: number): string | null {
    const { items } = this.#reader;
    let low = -1;
    let high = items.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((items[middle]?.from ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    // The event may have changed an item that began earlier: a result, the end of a text.
    for (let i = low; i >= 0 && i > low - 200; i -= 1) {
      const item = items[i];
      if (item && (item.from === offset || item.to === offset)) return item.key;
    }
    return items[low]?.key ?? null;
  }

  /** The row of this item, after opening what it is inside of; null when there is no such item. */
  reveal(key: string): number | null {
    let item = this.#items.get(key);
    if (!item) return null;
    const closed: string[] = [];
    for (let at: Item | undefined = item; at?.parent !== undefined; at = this.#parentOf(at)) closed.push(at.parent);
    const hidden = closed.filter((tool) => !this.#opened.has(tool));
    if (hidden.length > 0) {
      for (const tool of hidden) this.#opened.add(tool);
      this.#makeRows();
      this.#notify();
    }
    // What a turn took stands in the row of its end.
    if (item.type === 'usage' && !this.#rowOf.has(this.#idOf(item))) {
      const usage = item;
      item = this.#rows.find((row) => row.usage?.key === usage.key)?.item ?? item;
    }
    return this.#idOf(item);
  }

  toggle(tool: string): void {
    if (!this.#opened.delete(tool)) this.#opened.add(tool);
    this.#makeRows();
    this.#notify();
  }

  append(events: readonly LoggedEvent[]): void {
    if (events.length === 0) return;
    if (!this.#complete || !this.isCurrent) for (const event of events) this.#events.push(event);
    this.#take(this.#reader.add(events));
    this.#notify();
  }

  prepend(events: readonly LoggedEvent[]): void {
    if (events.length === 0) return;
    this.#older = events.concat(this.#older);
    this.#plan();
  }

  atStart(): void {
    this.#complete = true;
    if (this.isCurrent) this.#events = [];
    this.#notify();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    if (this.#reread !== null) clearTimeout(this.#reread);
    this.#listeners.clear();
  }

  /** CM1 */
  #plan(): void {
    if (this.#reread !== null || this.#older.length === 0) return;
    this.#reread = setTimeout(() => {
      this.#events = this.#older.concat(this.#events);
      this.#older = [];
      this.#readAgain(this.#open(), 0, 0);
    }, this.#rereadMs * REREAD_REST);
  }

  #readAgain(reader: Reader, from: number, spentMs: number): void {
    const began = performance.now();
    let next = from;
    do {
      reader.add(this.#events.slice(next, next + TASK_EVENTS));
      next += TASK_EVENTS;
    } while (next < this.#events.length && performance.now() - began < TASK_MS);
    const spent = spentMs + performance.now() - began;
    if (next < this.#events.length) {
      this.#reread = setTimeout(() => this.#readAgain(reader, next, spent), 0);
      return;
    }
    this.#reader = reader;
    this.#makeRows();
    this.#reread = null;
    this.#rereadMs = spent;
    if (this.#complete && this.#older.length === 0) this.#events = [];
    this.#notify();
    this.#plan();
  }

  #makeRows(): void {
    this.#rows = [];
    this.#rowOf = new Map();
    this.#items = new Map();
    this.#inside = new Map();
    this.#tools = new Map();
    const { items } = this.#reader;
    for (const item of items) this.#index(item);
    for (const item of items) {
      if (item.parent === undefined || !this.#tools.has(item.parent)) this.#push(item, item.parent === undefined ? 0 : 1);
    }
  }

  #index(item: Item): void {
    this.#items.set(item.key, item);
    if (item.type === 'tool') this.#tools.set(item.id, item.key);
    if (item.parent === undefined) return;
    const inside = this.#inside.get(item.parent);
    if (inside) inside.push(item.key);
    else this.#inside.set(item.parent, [item.key]);
  }

  /** The item's row, and after it those of its sub-agent. */
  #push(item: Item, depth: number): void {
    if (this.#joinsEnd(item)) return;
    const id = this.#idOf(item);
    this.#rowOf.set(id, this.#rows.length);
    this.#rows.push({ id, item, depth, ...this.#stepsOf(item), ...this.#turnOf(item) });
    if (item.type !== 'tool') return;
    for (const key of this.#inside.get(item.id) ?? []) {
      const step = this.#items.get(key);
      if (step && (this.#opened.has(item.id) || isOpenQuestion(step))) this.#push(step, depth + 1);
    }
  }

  /** What a turn took is part of the row of its end, whichever comes first. */
  #joinsEnd(item: Item): boolean {
    const at = this.#rows.length - 1;
    const last = this.#rows[at];
    if (!last) return false;
    if (item.type === 'usage' && last.item.type === 'turn_end' && !last.usage) {
      this.#rows[at] = { ...last, usage: item };
      this.#rowOf.set(this.#idOf(item), at);
      return true;
    }
    if (item.type === 'turn_end' && last.item.type === 'usage') {
      const id = this.#idOf(item);
      this.#rows[at] = { ...last, id, item, usage: last.item };
      this.#rowOf.set(id, at);
      return true;
    }
    return false;
  }

  #stepsOf(item: Item): Pick<Row, 'steps'> {
    const inside = item.type === 'tool' ? this.#inside.get(item.id) : undefined;
    return inside ? { steps: { count: inside.length, isOpen: this.#opened.has((item as ToolItem).id) } } : {};
  }

  #turnOf({ key }: Item): Pick<Row, 'turn'> {
    const turn = this.#reader.turnOf?.(key);
    const before = this.#rows.at(-1);
    return turn === undefined || (before && this.#reader.turnOf?.(before.item.key) === turn) ? {} : { turn };
  }

  /** CM3 */
  #take(changed: readonly Item[]): void {
    let isOutdated = false;
    for (const item of changed) {
      const before = this.#items.get(item.key);
      if (before) {
        this.#items.set(item.key, item);
        if (item.type === 'tool') this.#tools.set(item.id, item.key);
        // CM4: a question that was answered goes back to its sub-agent.
        if (isOpenQuestion(before) !== isOpenQuestion(item) && item.parent !== undefined) isOutdated = true;
        else this.#replace(item);
        continue;
      }
      this.#index(item);
      const parent = item.parent === undefined ? undefined : this.#tools.get(item.parent);
      if (parent === undefined) this.#push(item, item.parent === undefined ? 0 : 1);
      else {
        this.#replace(this.#items.get(parent) as Item);
        const isShown = this.#opened.has(item.parent as string) || isOpenQuestion(item);
        if (isShown && !this.#pushLast(item, parent)) isOutdated = true;
      }
    }
    if (isOutdated) this.#makeRows();
  }

  /** A step of the sub-agent whose rows are the last ones; false for any other. */
  #pushLast(item: Item, parent: string): boolean {
    const last = this.#rows.at(-1);
    if (!last || (last.item.key !== parent && last.item.parent !== item.parent)) return false;
    this.#push(item, last.item.key === parent ? last.depth + 1 : last.depth);
    return true;
  }

  #replace(item: Item): void {
    const at = this.#rowOf.get(this.#idOf(item));
    const row = at === undefined ? undefined : this.#rows[at];
    if (at === undefined || !row) return;
    this.#rows[at] = row.item.key === item.key ? { ...row, item, ...this.#stepsOf(item) } : { ...row, usage: item as UsageItem };
  }

  #parentOf(item: Item): Item | undefined {
    const key = item.parent === undefined ? undefined : this.#tools.get(item.parent);
    return key === undefined ? undefined : this.#items.get(key);
  }

  /** CM2 */
  #idOf({ key, from }: Item): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#ids.size;
    this.#ids.set(key, id);
    this.#offsets[id] = from;
    return id;
  }

  #notify(): void {
    this.version += 1;
    for (const listener of [...this.#listeners]) listener();
  }
}

const isOpenQuestion = (item: Item): item is QuestionItem => item.type === 'question' && item.state === 'open';
