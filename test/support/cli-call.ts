/**
 * Runs the command line in this process, with streams in place of a terminal.
 * test/cli/process.test.ts covers signals, pipes and the real exit.
 */

import { PassThrough, Readable } from 'node:stream';
import { type Io, Output, type StopSignal } from '../../cli/io.ts';
import { runCli } from '../../cli/program.ts';
import type { OwnTerminal } from '../../cli/terminal/own-terminal.ts';

export interface Called {
  done: Promise<number>;
  out: () => string;
  outBytes: () => Buffer;
  err: () => string;
  signal: (signal: StopSignal) => void;
  exits: number[];
  /** Keys of the terminal. */
  type: (keys: string) => void;
  /** Addresses that were opened in a browser. */
  opened: string[];
}

export interface CallOptions {
  env?: Record<string, string>;
  stdin?: string;
  /** Stdin is a pipe or a file. By default if there is a `stdin`. */
  piped?: boolean;
  /** True: stdin, stdout and stderr are all terminals; otherwise the named ones are. */
  tty?: boolean | readonly ('stdin' | 'stdout' | 'stderr')[];
  /** Why no browser can be opened. */
  browser?: string | null;
  /** Stdin and stdout are this terminal; `type` is its keyboard. */
  terminal?: OwnTerminal;
}

export function call(
  url: string,
  args: string[],
  {
    env = {},
    stdin = '',
    piped = stdin !== '',
    tty = false,
    browser = null,
    terminal = null,
  }: Omit<CallOptions, 'terminal'> & { terminal?: OwnTerminal | null } = {},
): Called {
  const written = { out: [] as Buffer[], err: [] as Buffer[] };
  const textOf = (name: 'out' | 'err') => Buffer.concat(written[name]).toString();
  const isTty = (name: 'stdin' | 'stdout' | 'stderr') => (typeof tty === 'boolean' ? tty : tty.includes(name));
  const sink = (name: 'out' | 'err') => {
    const stream = new PassThrough();
    stream.on('data', (chunk) => {
      written[name].push(chunk);
    });
    return new Output(stream, isTty(name === 'out' ? 'stdout' : 'stderr'));
  };
  const keyboard = new PassThrough();
  const opened: string[] = [];
  const listeners = new Set<(signal: StopSignal) => void>();
  const exits: number[] = [];
  const io: Io = {
    env: { HOLDFAST_URL: url, HOLDFAST_API_KEY: 'key', ...env },
    stdin: terminal ? keyboard : Readable.from([Buffer.from(stdin)]),
    stdinIsTty: isTty('stdin'),
    stdinIsPiped: piped,
    terminal,
    openInBrowser: async (url) => {
      opened.push(url);
      return browser;
    },
    stdout: sink('out'),
    stderr: sink('err'),
    onSignal: (_signals, listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    exitNow: (code) => exits.push(code),
    flush: async () => {},
  };
  const done = runCli(args, io).then(async (code) => {
    await io.stdout.flush();
    await io.stderr.flush();
    return code;
  });
  return {
    done,
    out: () => textOf('out'),
    outBytes: () => Buffer.concat(written.out),
    err: () => textOf('err'),
    exits,
    type: (keys) => void keyboard.write(Buffer.from(keys, 'latin1')),
    opened,
    signal: (signal) => {
      for (const listener of listeners) listener(signal);
    },
  };
}

export async function result(url: string, args: string[], options: CallOptions = {}) {
  const called = call(url, args, options);
  const code = await called.done;
  return { code, out: called.out(), outBytes: called.outBytes(), err: called.err(), opened: called.opened };
}
