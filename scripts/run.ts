/** Runs a program in the foreground, as a step of a script: same terminal, signals passed on. */

import { spawn } from 'node:child_process';
import { ROOT } from './stack.ts';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Its exit code; 128 + 15 when a signal ended it. Does not throw when it can not be started: that is 127. */
export function run(program: string, args: string[]): Promise<number> {
  return new Promise((done) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit' });
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
