/**
 * Where a person writes messages: a prompt at the foot of the terminal, or lines of a pipe.
 *
 *   CN1  Output and what is being typed never share a line: the prompt is taken away while something
 *        is printed.
 *   CN2  A line is given out once, in the order typed. `null` is the end.
 */

import { clearScreenDown, createInterface, cursorTo, type Interface, moveCursor } from 'node:readline';
import { Writable } from 'node:stream';
import type { Io } from '../io.ts';

const PROMPT = '› ';

export interface ConsoleOptions {
  /** Lines that are given, and nothing else; null: stdin is read. */
  given: readonly string[] | null;
  /** False: no prompt, even in a terminal. */
  forPeople: boolean;
  onInterrupt(): void;
}

export class Console {
  readonly isInteractive: boolean;
  readonly #io: Io;
  readonly #screen: Writable;
  #reader: Interface | null = null;
  #lines: (string | null)[] = [];
  #wake: (() => void) | null = null;
  #typed = '';

  constructor(io: Io, { given, forPeople, onInterrupt }: ConsoleOptions) {
    this.#io = io;
    this.isInteractive = forPeople && given === null && io.stdinIsTty && io.stderr.isTty;
    this.#screen = new Writable({
      write: (text, _encoding, done) => {
        io.stderr.writeAside(String(text));
        done();
      },
    });
    Object.defineProperty(this.#screen, 'columns', { get: () => io.stderr.columns });
    if (given !== null) {
      this.#lines.push(...given, null);
      return;
    }
    const terminal = this.isInteractive ? { output: this.#screen, terminal: true, prompt: PROMPT } : {};
    this.#reader = createInterface({ input: io.stdin, ...terminal });
    this.#reader.on('line', (line) => this.#line(line));
    this.#reader.on('close', () => {
      this.#reader = null;
      this.#push(null);
    });
    this.#reader.on('SIGINT', onInterrupt);
    this.#prompt();
  }

  /** The next line; null when there is none any more. */
  async next(): Promise<string | null> {
    while (this.#lines.length === 0) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    const [line = null] = this.#lines;
    if (line !== null) this.#lines.shift();
    return line;
  }

  /** CN1 */
  async around(print: () => Promise<void>): Promise<void> {
    if (this.#reader && this.isInteractive) {
      moveCursor(this.#screen, 0, -this.#reader.getCursorPos().rows);
      cursorTo(this.#screen, 0);
      clearScreenDown(this.#screen);
    }
    await print();
    this.#prompt();
  }

  close(): void {
    const reader = this.#reader;
    this.#reader = null;
    reader?.close();
    if (!this.isInteractive) this.#io.stdin.destroy();
  }

  #prompt(): void {
    if (this.isInteractive) this.#reader?.prompt(true);
  }

  /** In a terminal a message may have several lines: each but the last ends with a backslash. */
  #line(line: string): void {
    const text = this.#typed + line;
    const goesOn = this.isInteractive && line.endsWith('\\');
    this.#typed = goesOn ? `${text.slice(0, -1)}\n` : '';
    if (!goesOn) this.#push(text);
    this.#prompt();
  }

  #push(line: string | null): void {
    this.#lines.push(line);
    this.#wake?.();
    this.#wake = null;
  }
}
