/** Runs a program as a step of a script: signals are passed on. */

import { spawn } from 'node:child_process';
import { ROOT } from './stack.ts';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Its exit code; 128 + 15 when a signal ended it. Does not throw when it cannot be started: that is
 * 127. `output`: a file descriptor that takes its output; without it, it prints to this terminal.
 */
export function run(program: string, args: string[], output?: number): Promise<number> {
  return new Promise((done) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: output === undefined ? 'inherit' : ['ignore', output, output] });
    const pass = (signal: NodeJS.Signals) => child.kill(signal);
    for (const signal of SIGNALS) process.on(signal, pass);
    const end = (code: number) => {
      for (const signal of SIGNALS) process.off(signal, pass);
      done(code);
    };
    child.on('error', (error) => {
      process.stderr.write(`${program}: ${error.message}\n`);
      end(127);
    });
    child.on('exit', (code) => end(code ?? 143));
  });
}
