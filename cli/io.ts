/**
 * The terminal as a port, so that a test can replace it. Output waits for a slow reader (a paused
 * pager stops the stream, memory stays flat). A reader that has left (`| head`) is a state and not
 * an error. Everything is written before the process ends.
 */

import { fstatSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { openInBrowser } from './browser.ts';
import { type OwnTerminal, processTerminal } from './terminal/own-terminal.ts';

export class Output {
  readonly #stream: Writable;
  readonly isTty: boolean;
  /** The reader has left; further text is dropped. */
  broken = false;
  /** Called once when the reader leaves. */
  onBroken: () => void = () => {};
  /** Called with every text of `write` before it goes out. */
  beforeWrite: (text: string) => void = () => {};
  #wake: (() => void)[] = [];

  constructor(stream: Writable, isTty = false) {
    this.#stream = stream;
    this.isTty = isTty;
    // EPIPE, or a terminal that was closed (EIO): no reader is left.
    stream.on('error', () => this.#break());
    stream.on('close', () => this.#break());
    stream.on('drain', () => this.#release());
  }

  /** Resolves when more may be written. `latin1`: each character of the text is a byte. */
  async write(text: string, encoding: 'utf8' | 'latin1' = 'utf8'): Promise<void> {
    if (this.broken || text === '') return;
    this.beforeWrite(text);
    if (this.#stream.write(text, encoding)) return;
    await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Without waiting, and without `beforeWrite`: for the few bytes of a status line. */
  writeAside(text: string): void {
    if (!this.broken) this.#stream.write(text);
  }

  /** Width of the terminal; it may change at any time. */
  get columns(): number {
    const { columns } = this.#stream as Writable & { columns?: number };
    return columns === undefined || columns < 1 ? 80 : columns;
  }

  /** Resolves when everything has left this process, or cannot. */
  async flush(): Promise<void> {
    if (this.broken) return;
    await new Promise<void>((resolve) => {
      this.#wake.push(resolve);
      this.#stream.write('', () => resolve());
    });
  }

  #break(): void {
    if (this.broken) return;
    this.broken = true;
    this.#release();
    this.onBroken();
  }

  #release(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const resolve of waiting) resolve();
  }
}

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

export interface Io {
  env: Record<string, string | undefined>;
  stdin: Readable;
  /** A person can answer questions. */
  stdinIsTty: boolean;
  /** It is a pipe, a socket or a file, and so may hold input for a job. */
  stdinIsPiped: boolean;
  stdout: Output;
  stderr: Output;
  /** The terminal that both stdin and stdout are; null when one of them is not. */
  terminal: OwnTerminal | null;
  /** Handles the signals until the returned function is called. */
  onSignal(signals: readonly StopSignal[], listener: (signal: StopSignal) => void): () => void;
  /** Null when a browser was started, otherwise the error. */
  openInBrowser(url: string): Promise<string | null>;
  /** At once, without flushing. */
  exitNow(code: number): void;
  flush(): Promise<void>;
}

export function processIo(): Io {
  const stdout = new Output(process.stdout, process.stdout.isTTY === true);
  const stderr = new Output(process.stderr, process.stderr.isTTY === true);
  return {
    env: process.env,
    stdin: process.stdin,
    stdinIsTty: process.stdin.isTTY === true,
    stdinIsPiped: isPiped(0),
    stdout,
    stderr,
    terminal: process.stdin.isTTY && process.stdout.isTTY ? processTerminal(process.stdin, process.stdout) : null,
    onSignal(signals, listener) {
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
    openInBrowser: (url) => openInBrowser(url),
    exitNow: (code) => process.exit(code),
    async flush() {
      await stdout.flush();
      await stderr.flush();
    },
  };
}

/** Not a terminal, not /dev/null, not closed. */
function isPiped(fd: number): boolean {
  try {
    const found = fstatSync(fd);
    return found.isFIFO() || found.isSocket() || found.isFile();
  } catch {
    return false;
  }
}
