/**
 * The output of a job's terminal: read, redacted, shown to the emulator, and passed on as events,
 * with a `screen` from time to time.
 *
 * Owns: the emulator, what is gathered or held back, when a screen is written. Does not own: the
 * terminal and its size (job/terminal), the job's input.
 *
 *   TS1  The emulator gets the text of each event when the event is passed on. So a screen is what
 *        a viewer of the same events has, and has no secret.
 *   TS2  Output is gathered for some milliseconds: the echo of a key and what the program draws
 *        because of it are one event.
 *   TS3  A character is never cut; bytes that are no characters become U+FFFD and are counted.
 *   TS4  The end of the output may be the beginning of a secret. It is held back, but less than
 *        `SECRET_BYTES_MIN` bytes of it for `secretHoldMs` at most: a person who types sees them.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { factDataError, monotonicNow, type ScreenData, type TerminalSize } from '../../protocol/index.ts';
import { isObject, parseJson } from '../../protocol/json.ts';
import type { OutputOptions } from '../job/output-stream.ts';
import type { ProgressEvents } from '../job/progress.ts';
import { TerminalProgress } from '../job/terminal-progress.ts';
import { encodeEvent, encodePiece } from '../output/event-lines.ts';
import { SECRET_BYTES_MIN } from '../output/redaction.ts';
import { type Piece, TEXT_BYTES_MAX, TextSplitter } from '../output/text-splitter.ts';
import { Emulator } from './emulator.ts';
import { isScreenDue, quietScreenAt, type SinceScreen } from './screen-policy.ts';

/** TS2. Far below what a person notices, and above the pauses within one drawing. */
const GATHER_MS = 4;
/** TS4. A program that writes a secret in two parts writes the second one sooner. */
const SECRET_HOLD_MS = 250;

export interface TerminalHandlers {
  output(line: Buffer): void;
  screen(line: Buffer): void;
  /** For the job's input: the answer to a question of its program. */
  reply(text: string): void;
  /** This process's own stdout is full (`tee`), and when it drained. */
  teeFull(full: boolean): void;
}

export interface TerminalPlace {
  size: TerminalSize;
  /** Where the last screen is kept for a wrapper that adopts the job. */
  screenFile: string;
  isAdopted: boolean;
}

export class TerminalStream {
  readonly #source: Readable;
  readonly #handlers: TerminalHandlers;
  readonly #progress: ProgressEvents;
  readonly #options: OutputOptions;
  readonly #place: TerminalPlace;
  readonly #splitter: TextSplitter;
  readonly #terminal = new TerminalProgress();
  readonly #tee: NodeJS.WriteStream | null;
  readonly #now: () => number;
  #emulator: Emulator | null = null;
  /** Nothing is read before it: its answers may not be missing. */
  #loading = true;
  #wanted = false;
  #size: TerminalSize;
  #since: SinceScreen = { bytes: 0, stale: false };
  #outputAt = 0;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #gathering: NodeJS.Timeout | null = null;
  #holding: NodeJS.Timeout | null = null;
  #quiet: NodeJS.Timeout | null = null;
  #ended = false;
  withheldBytes = 0;

  constructor(
    source: Readable,
    handlers: TerminalHandlers,
    progress: ProgressEvents,
    place: TerminalPlace,
    options: OutputOptions,
  ) {
    this.#source = source;
    this.#handlers = handlers;
    this.#progress = progress;
    this.#options = options;
    this.#place = place;
    this.#size = place.size;
    this.#now = options.now ?? Date.now;
    this.#splitter = new TextSplitter(options.redaction);
    this.#tee = options.tee ? process.stdout : null;
    this.#tee?.on('error', () => handlers.teeFull(false));
    source.on('data', (bytes: Buffer) => this.#read(bytes));
    source.on('error', () => {}); // A broken pipe ends the stream; its 'close' follows.
    source.pause();
    void this.#load();
  }

  get closed(): boolean {
    return this.#source.closed;
  }

  /** The newest size that was asked for. */
  get size(): TerminalSize {
    return this.#size;
  }

  pause(): void {
    this.#wanted = false;
    this.#source.pause();
  }

  resume(): void {
    this.#wanted = true;
    if (!this.#loading) this.#source.resume();
  }

  /** What was read before belongs to the old size. */
  resize(size: TerminalSize): void {
    this.#flush();
    this.#size = size;
    this.#emulator?.resize(size);
    this.#since.stale = true;
    this.#outputAt = monotonicNow();
    this.#awaitQuiet();
  }

  end(): void {
    if (this.#ended) return;
    this.#flush();
    this.#ended = true;
    for (const timer of [this.#gathering, this.#holding, this.#quiet]) if (timer) clearTimeout(timer);
    this.#source.removeAllListeners('data');
    this.#source.destroy();
    this.#emit(this.#splitter.end());
  }

  async #load(): Promise<void> {
    try {
      const emulator = await Emulator.load(this.#size, (text) => this.#handlers.reply(text));
      emulator.resize(this.#size);
      if (this.#place.isAdopted) {
        const saved = readScreen(this.#place.screenFile);
        if (saved) emulator.restore(saved);
        this.#since.stale = true;
      }
      if (!this.#options.withholds) this.#emulator = emulator;
    } finally {
      this.#loading = false;
      if (this.#wanted) this.#source.resume();
    }
  }

  #read(bytes: Buffer): void {
    this.#mirror(bytes);
    if (this.#options.withholds) {
      this.withheldBytes += bytes.length;
      return;
    }
    const progress = this.#terminal.read(bytes);
    if (progress) this.#progress.offer(progress, this.#now());
    this.#gathered.push(bytes);
    this.#gatheredBytes += bytes.length;
    if (this.#gatheredBytes >= TEXT_BYTES_MAX) this.#flush();
    else this.#gathering ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush(): void {
    if (this.#gathering) clearTimeout(this.#gathering);
    this.#gathering = null;
    if (this.#gathered.length === 0 || this.#ended) return;
    const pieces = this.#splitter.push(Buffer.concat(this.#gathered));
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#emit([...pieces, ...this.#splitter.flush()]);
    if (this.#holding) clearTimeout(this.#holding);
    const { secretBytes } = this.#splitter;
    this.#holding = null;
    if (secretBytes > 0 && secretBytes < SECRET_BYTES_MIN) {
      this.#holding = setTimeout(() => this.#emit(this.#splitter.release()), SECRET_HOLD_MS); // TS4
    }
  }

  #emit(pieces: readonly Piece[]): void {
    const at = this.#now();
    for (const piece of pieces) {
      if (piece.kind !== 'text' || piece.text === '') continue;
      this.#emulator?.write(piece.text); // TS1
      this.#handlers.output(encodePiece({ ...piece, partial: false }, 'tty', at));
      this.#since.bytes += piece.text.length;
      if (isScreenDue(this.#since)) this.#writeScreen();
    }
    if (pieces.length === 0) return;
    this.#outputAt = monotonicNow();
    this.#awaitQuiet();
  }

  /** One timer, that moves on when it finds that there was output since. */
  #awaitQuiet(): void {
    if (this.#quiet || this.#ended) return;
    const at = quietScreenAt(this.#since, this.#outputAt);
    if (at === null) return;
    this.#quiet = setTimeout(
      () => {
        this.#quiet = null;
        const due = quietScreenAt(this.#since, this.#outputAt);
        if (due === null) return;
        if (due > monotonicNow()) this.#awaitQuiet();
        else this.#writeScreen();
      },
      Math.max(1, at - monotonicNow()),
    );
  }

  #writeScreen(): void {
    if (this.#emulator?.isBetweenSequences === false) return; // EM4
    this.#since = { bytes: 0, stale: false };
    const screen = this.#emulator?.screen();
    if (!screen) return;
    this.#handlers.screen(encodeEvent({ type: 'screen', at: this.#now(), data: { ...screen } }));
    try {
      writeFileSync(this.#place.screenFile, JSON.stringify(screen), { mode: 0o600 });
    } catch {
      // A wrapper that adopts the job then begins with an older screen, or with an empty one.
    }
  }

  #mirror(bytes: Buffer): void {
    const tee = this.#tee;
    if (!tee?.writable || tee.write(bytes)) return;
    this.#handlers.teeFull(true);
    tee.once('drain', () => this.#handlers.teeFull(false));
  }
}

/** Null when there is none, or the earlier wrapper died while it wrote it. */
function readScreen(path: string): ScreenData | null {
  try {
    const screen = parseJson(readFileSync(path, 'utf8'));
    return isObject(screen) && factDataError('screen', screen) === null ? (screen as unknown as ScreenData) : null;
  } catch {
    return null;
  }
}
