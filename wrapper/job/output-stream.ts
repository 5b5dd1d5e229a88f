/** One of the two output streams: reads, splits, and briefly holds back an unfinished line. */

import type { Readable } from 'node:stream';
import type { JsonObject, OutputFormat } from '../../protocol/index.ts';
import { encodePiece, type StreamName } from '../output/event-lines.ts';
import type { LineNumbers } from '../output/line-numbers.ts';
import type { Redaction } from '../output/redaction.ts';
import { JsonLineSplitter, type Piece, type Splitter, TextSplitter } from '../output/text-splitter.ts';
import type { WrapperTimes } from '../times.ts';
import type { ProgressEvents } from './progress.ts';
import { TerminalProgress } from './terminal-progress.ts';

export interface OutputOptions {
  format: OutputFormat;
  /** Counts the lines of both streams. Null when the number of earlier lines is unknown. */
  lines: LineNumbers | null;
  /** Null: the output is not redacted. `tee` always shows the unredacted output. */
  redaction: Redaction | null;
  /** The secrets are unknown: the output is read, so that the job continues, but not reported. */
  withholds: boolean;
  /** Output that is not UTF-8 is kept as bytes. */
  exact: boolean;
  tee: boolean;
  times: Pick<WrapperTimes, 'partialHoldMs'>;
  now?: () => number;
}

export interface OutputHandlers {
  output(line: Buffer): void;
  /**
   * A JSON line of the job, as it wrote it, before its (last) event. What this returns is called
   * after that event. Absent: nothing needs the lines.
   */
  agentLine?: ((line: JsonObject) => () => void) | undefined;
  /** This process's own stdout or stderr is full (`tee`): pause the job; and when it drained. */
  teeFull(stream: StreamName, full: boolean): void;
}

export class OutputStream {
  readonly #name: StreamName;
  readonly #source: Readable;
  readonly #handlers: OutputHandlers;
  /** Shared by both streams of the job. */
  readonly #progress: ProgressEvents;
  readonly #options: OutputOptions;
  readonly #splitter: Splitter;
  /** Null for JSON lines, which report progress in their own format. */
  readonly #terminal: TerminalProgress | null;
  readonly #now: () => number;
  readonly #tee: NodeJS.WriteStream | null;
  #late: NodeJS.Timeout | null = null;
  #ended = false;
  withheldBytes = 0;

  constructor(name: StreamName, source: Readable, handlers: OutputHandlers, progress: ProgressEvents, options: OutputOptions) {
    this.#name = name;
    this.#source = source;
    this.#handlers = handlers;
    this.#progress = progress;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { redaction, exact } = options;
    const isJson = options.format !== 'text' && name === 'stdout';
    this.#splitter = isJson
      ? new JsonLineSplitter(redaction, { exact, keepsLines: handlers.agentLine !== undefined })
      : new TextSplitter(redaction, { exact });
    this.#terminal = isJson ? null : new TerminalProgress();
    this.#tee = options.tee ? process[name] : null;
    this.#tee?.on('error', () => handlers.teeFull(name, false));
    source.on('data', (bytes: Buffer) => this.#read(bytes));
    source.on('error', () => {}); // A broken pipe ends the stream; its 'close' follows.
  }

  /** Everything was read and no writer is left. */
  get closed(): boolean {
    return this.#source.closed;
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#late) clearTimeout(this.#late);
    this.#source.removeAllListeners('data');
    this.#source.destroy();
    this.#emit(this.#splitter.end());
  }

  #read(bytes: Buffer): void {
    this.#mirror(bytes);
    if (this.#options.withholds) {
      this.withheldBytes += bytes.length;
      return;
    }
    const progress = this.#terminal?.read(bytes);
    if (progress) this.#progress.offer(progress, this.#now());
    const pieces = this.#splitter.push(bytes);
    this.#emit(pieces);
    if (!this.#splitter.late) {
      if (this.#late) clearTimeout(this.#late);
      this.#late = null;
      return;
    }
    // After a line end, the pending text is a newer line and gets the full delay.
    if (pieces.length > 0) this.#late?.refresh();
    this.#late ??= setTimeout(() => {
      this.#late = null;
      this.#emit(this.#splitter.flush());
    }, this.#options.times.partialHoldMs);
  }

  #mirror(bytes: Buffer): void {
    const tee = this.#tee;
    if (!tee?.writable || tee.write(bytes)) return;
    this.#handlers.teeFull(this.#name, true);
    tee.once('drain', () => this.#handlers.teeFull(this.#name, false));
  }

  #emit(pieces: readonly Piece[]): void {
    const at = this.#now();
    const { lines } = this.#options;
    for (const piece of pieces) {
      if (piece.kind === 'fact' && piece.fact.type === 'progress') {
        this.#progress.offer(piece.fact.data, at);
        continue;
      }
      // JSON lines become `agent` events and are not counted as output lines.
      const output = piece.kind === 'text' ? piece.text : piece.kind === 'bytes' ? piece.bytes : null;
      const line = output === null ? null : (lines?.take(this.#name, output) ?? null);
      const isJson = piece.kind === 'json' || piece.kind === 'part';
      const follows = isJson && piece.line ? this.#handlers.agentLine?.(piece.line) : undefined;
      this.#handlers.output(encodePiece(piece, this.#name, at, line));
      follows?.();
    }
  }
}
