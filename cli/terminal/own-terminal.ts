/**
 * The terminal in which this command runs, as a port.
 *
 *   OT1  Raw mode ends with the process, however it ends: Node restores the terminal's settings at
 *        each exit that it handles, and `onExit` is called before, while text can still be written.
 *        Only SIGKILL and a crash of Node itself leave the terminal raw.
 */

import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { ReadStream, WriteStream } from 'node:tty';
import type { Size } from '../../client/terminal/key-queue.ts';
import { TERMINAL_COLS_MAX, TERMINAL_ROWS_MAX } from '../../protocol/index.ts';

export interface OwnTerminal {
  /** A size that a job's terminal can have. */
  readonly size: Size;
  setRaw(raw: boolean): void;
  onResize(listener: () => void): () => void;
  /** The process was stopped, and continues: a shell may have changed the settings meanwhile. */
  onContinue(listener: () => void): () => void;
  /** Text that leaves the process before it returns. */
  writeNow(text: string): void;
  /** The process ends, by `process.exit`, an error that nothing caught, or a signal that ends it. */
  onExit(listener: () => void): () => void;
}

/** A terminal of size 0, as of a program without a window, counts as the usual one. */
const USUAL: Size = { cols: 80, rows: 24 };
const STDOUT = 1;
/** How often a full terminal is asked again; it is not read when its window hangs. */
const WRITE_ATTEMPTS = 200;

/** These end a process by default, without any of its code. */
const ENDING_SIGNALS = ['SIGHUP', 'SIGQUIT', 'SIGABRT', 'SIGALRM', 'SIGTERM', 'SIGUSR2', 'SIGVTALRM', 'SIGXCPU'] as const;

export function processTerminal(stdin: ReadStream, stdout: WriteStream): OwnTerminal {
  return {
    get size() {
      return {
        cols: Math.min(TERMINAL_COLS_MAX, stdout.columns || USUAL.cols),
        rows: Math.min(TERMINAL_ROWS_MAX, stdout.rows || USUAL.rows),
      };
    },
    setRaw(raw) {
      // The window may be gone.
      try {
        stdin.setRawMode(raw);
      } catch {}
    },
    onResize(listener) {
      stdout.on('resize', listener);
      return () => stdout.off('resize', listener);
    },
    onContinue(listener) {
      process.on('SIGCONT', listener);
      return () => process.off('SIGCONT', listener);
    },
    writeNow(text) {
      let rest = Buffer.from(text);
      for (let attempt = 0; rest.length > 0 && attempt < WRITE_ATTEMPTS; attempt += 1) {
        try {
          rest = rest.subarray(writeSync(STDOUT, rest));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        }
      }
    },
    onExit(listener) {
      // A command that handles the signal itself decides when the process ends.
      const handlers = ENDING_SIGNALS.map((signal) => {
        const end = () => {
          // As a shell reports it.
          if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
        };
        process.on(signal, end);
        return [signal, end] as const;
      });
      process.on('exit', listener);
      process.on('uncaughtExceptionMonitor', listener);
      return () => {
        process.off('exit', listener);
        process.off('uncaughtExceptionMonitor', listener);
        for (const [signal, end] of handlers) process.off(signal, end);
      };
    },
  };
}
