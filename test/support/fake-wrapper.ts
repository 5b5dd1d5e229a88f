/**
 * A program that is the real runner for `serve` and a fake wrapper for `run`. It tests how the
 * runner handles wrappers without a job or a coordinator. The command of the fake is `[behaviour,
 * traceFile]`. It writes its input to the trace file.
 *
 * - stay: lives until SIGTERM, then empties its spool and exits 143
 * - stubborn: lives and ignores SIGTERM
 * - exit:N: empties its spool and exits N
 * - unbegun: like stay, but its spool is empty
 * - keep:N: exits N and leaves its spool
 * - crash-loop: like stay, but a recovery kills itself
 */

import { appendFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { serve } from '../../runner/serve.ts';
import { readPrivate } from '../../wrapper/job/env.ts';
import { newSpoolState, writeSpoolState } from '../../wrapper/spool/state.ts';

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'serve') {
  process.exit(await serve(rest));
}

const split = rest.indexOf('--');
const { values } = parseArgs({
  args: rest.slice(0, split),
  options: {
    url: { type: 'string' },
    spool: { type: 'string' },
    format: { type: 'string' },
    recover: { type: 'boolean' },
    stop: { type: 'boolean' },
    stdin: { type: 'string' },
    'private-fd': { type: 'string' },
    'run-as': { type: 'string' },
  },
});
const [behaviour = '', trace = ''] = rest.slice(split + 1);
const spool = values.spool ?? '';

function finish(code: number): never {
  rmSync(spool, { recursive: true });
  process.exit(code);
}

let stdin: string | null = null;
try {
  stdin = readFileSync(0, 'utf8');
} catch {
  // There was no credential.
}
const given = readPrivate(values['private-fd'] ?? '');
mkdirSync(spool, { recursive: true });
const recover = values.recover === true;
const state = newSpoolState('/ingest', 'b_1');
state.job.begun = true;
if (behaviour !== 'unbegun') writeSpoolState(spool, state);
process.on('SIGTERM', () => {
  appendFileSync(trace, `${JSON.stringify({ signal: 'SIGTERM' })}\n`);
  if (behaviour !== 'stubborn') finish(143);
});
appendFileSync(
  trace,
  `${JSON.stringify({ pid: process.pid, args: process.argv.slice(2), recover, cwd: process.cwd(), env: process.env, given, stdin })}\n`,
);

if (recover) {
  if (behaviour === 'crash-loop') process.kill(process.pid, 'SIGKILL');
  finish(1);
}
const exit = /^exit:(\d+)$/.exec(behaviour);
if (exit) finish(Number(exit[1]));
const keep = /^keep:(\d+)$/.exec(behaviour);
if (keep) process.exit(Number(keep[1]));
setInterval(() => {}, 60_000);
