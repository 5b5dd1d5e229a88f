/**
 * The events of a terminal on their way into an emulator. Pure but for the emulator, which is a
 * port.
 *
 * Owns: what is received and not drawn.
 *
 *   P1  The emulator gets everything in the order of the log: one write at a time, and a size only
 *       when what was written before it is drawn.
 *   P2  A `screen` is drawn where the output before it is missing: at the beginning, after a gap,
 *       and after a jump. The emulator is reset first.
 *   P3  The queue is bounded. When more than `JUMP_CHARS` wait and a `screen` is among them, the
 *       player goes on there. Without one, `room` keeps the caller from taking more.
 *   P4  No query reaches the emulator, so it never answers.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import type { Size } from '../../../client/terminal/key-queue.ts';
import { ViewerFilter } from '../../../client/terminal/viewer-filter.ts';

export interface Emulator {
  /** `done` when it is parsed. */
  write(text: string, done: () => void): void;
  reset(): void;
  resize(cols: number, rows: number): void;
}

/** An emulator parses 5 to 35 MB a second: this is a moment. */
export const JUMP_CHARS = 256 * 1024;
export const ROOM_CHARS = 512 * 1024;
/** A page stays responsive between two writes. */
const WRITE_CHARS_MAX = 64 * 1024;

export const TERMINAL_TYPES = ['started', 'output', 'screen', 'resize', 'gap'] as const;

interface Screen extends Size {
  data: string;
  modes: string;
}

type Item =
  | { kind: 'output'; text: string }
  | { kind: 'size'; size: Size }
  | { kind: 'gap' }
  | { kind: 'screen'; screen: Screen; isDue: boolean };

export interface PlayerOptions {
  readOnly: boolean;
  /** The terminal has this size now. */
  onSize(size: Size): void;
}

export class TerminalPlayer {
  readonly #emulator: Emulator;
  readonly #options: PlayerOptions;
  readonly #filter: ViewerFilter;
  #items: Item[] = [];
  #chars = 0;
  #writing = false;
  #closed = false;
  /** P2: nothing is drawn yet, or something is missing. */
  #awaitsScreen = true;
  #waiting: (() => void)[] = [];
  /** How often it skipped output. */
  jumps = 0;

  constructor(emulator: Emulator, options: PlayerOptions) {
    this.#emulator = emulator;
    this.#options = options;
    this.#filter = new ViewerFilter({ readOnly: options.readOnly });
  }

  get queuedChars(): number {
    return this.#chars;
  }

  take(events: readonly LoggedEvent[]): void {
    for (const event of events) {
      const item = itemOf(event);
      if (!item) continue;
      this.#items.push(item);
      this.#chars += charsOf(item);
    }
    if (this.#chars > JUMP_CHARS) this.#jump();
    this.#next();
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.#chars > ROOM_CHARS && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when everything is drawn. */
  async drawn(): Promise<void> {
    while ((this.#writing || this.#items.length > 0) && !this.#closed)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when no write is under way, after `close` too: only then may another player begin. */
  async idle(): Promise<void> {
    while (this.#writing) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#items = [];
    this.#chars = 0;
    this.#wake();
  }

  /** P3. */
  #jump(): void {
    const at = this.#items.findLastIndex(({ kind }) => kind === 'screen');
    const screen = this.#items[at];
    if (at <= 0 || screen?.kind !== 'screen') return;
    screen.isDue = true;
    for (const item of this.#items.splice(0, at)) this.#chars -= charsOf(item);
    this.jumps += 1;
  }

  #next(): void {
    while (!this.#writing && !this.#closed) {
      const item = this.#items[0];
      if (!item) return this.#wake();
      switch (item.kind) {
        case 'output':
          // Without a screen at the beginning, the output is all there is.
          this.#awaitsScreen = false;
          this.#write(this.#filter.push(this.#takeOutput()));
          break;
        case 'size':
          this.#drop();
          this.#size(item.size);
          break;
        case 'gap':
          this.#drop();
          this.#awaitsScreen = true;
          break;
        case 'screen': {
          this.#drop();
          if (!item.isDue && !this.#awaitsScreen) break;
          this.#awaitsScreen = false;
          const { data, modes } = item.screen;
          this.#filter.restart();
          this.#emulator.reset();
          this.#size(item.screen);
          this.#write(this.#filter.push(data + modes));
          break;
        }
        default:
          item satisfies never;
      }
    }
  }

  /** As much output as follows, up to one write. */
  #takeOutput(): string {
    let text = '';
    for (;;) {
      const item = this.#items[0];
      if (item?.kind !== 'output' || text.length >= WRITE_CHARS_MAX) return text;
      const rest = WRITE_CHARS_MAX - text.length;
      if (item.text.length <= rest) {
        text += item.text;
        this.#drop();
      } else {
        text += item.text.slice(0, rest);
        item.text = item.text.slice(rest);
        this.#chars -= rest;
      }
    }
  }

  #drop(): void {
    const item = this.#items.shift();
    if (item) this.#chars -= charsOf(item);
  }

  #size({ cols, rows }: Size): void {
    this.#emulator.resize(cols, rows);
    this.#options.onSize({ cols, rows });
  }

  /** P1. */
  #write(text: string): void {
    if (text === '') return;
    this.#writing = true;
    this.#emulator.write(text, () => {
      this.#writing = false;
      this.#wake();
      this.#next();
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

const charsOf = (item: Item): number =>
  item.kind === 'output' ? item.text.length : item.kind === 'screen' ? item.screen.data.length : 0;

const sizeOf = (value: unknown): Size | null => {
  const { cols, rows } = (value ?? {}) as Partial<Size>;
  return typeof cols === 'number' && typeof rows === 'number' && cols > 0 && rows > 0 ? { cols, rows } : null;
};

function itemOf({ type, data }: LoggedEvent): Item | null {
  switch (type) {
    case 'output':
      return typeof data.text === 'string' && data.text !== '' ? { kind: 'output', text: data.text } : null;
    case 'started': {
      const size = sizeOf(data.terminal);
      return size && { kind: 'size', size };
    }
    case 'resize': {
      const size = sizeOf(data);
      return size && { kind: 'size', size };
    }
    case 'screen': {
      const size = sizeOf(data);
      if (!size || typeof data.data !== 'string') return null;
      return {
        kind: 'screen',
        screen: { ...size, data: data.data, modes: typeof data.modes === 'string' ? data.modes : '' },
        isDue: false,
      };
    }
    case 'gap':
      return data.reason === 'placeholder' ? null : { kind: 'gap' };
    default:
      return null;
  }
}
