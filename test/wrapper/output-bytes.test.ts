/**
 * Goal: a run reports what its job wrote: both streams in the order written (`merge`), and bytes
 * that are not UTF-8 as they are (`output: bytes`) or counted where they are replaced. Method: real
 * jobs under wrappers in this process, and one under a wrapper that is killed.
 */

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COORDINATOR_FEATURES, type JobTerms } from '../../protocol/index.ts';
import { REDACTED } from '../../wrapper/output/redaction.ts';
import { RESERVE_BYTES } from '../../wrapper/run/log-budget.ts';
import { readRunOptions } from '../../wrapper/run-options.ts';
import { readSpoolState } from '../../wrapper/spool/state.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  gate,
  isRunning,
  ownRun,
  removeTemporaryFolders,
  runInProcess,
  startWrapper,
  temporaryFolder,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.features = COORDINATOR_FEATURES;
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];
const terms = (more: Partial<JobTerms>): JobTerms => ({ ...ownRun(), ...more });
const output = () => coordinator.events.filter(({ type }) => type === 'output').map(({ data }) => data);

/** The same for each run: no valid UTF-8 but for single lines. */
function randomFile(length: number): { path: string; bytes: Buffer } {
  const parts: Buffer[] = [];
  for (let n = 0; n * 64 < length; n += 1) parts.push(createHash('sha512').update(`random ${n}`).digest());
  const bytes = Buffer.concat(parts).subarray(0, length);
  const path = join(temporaryFolder(), 'random.bin');
  writeFileSync(path, bytes);
  return { path, bytes };
}

describe('[SPL48] merge', () => {
  // Each line is a write of its own, as most programs write to a pipe.
  const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo out$i; echo err$i >&2; done';
  const written = Array.from({ length: 10 }, (_, n) => `out${n + 1}\nerr${n + 1}\n`).join('');

  it('reports both streams in the order written, as stdout, with the numbers of their lines', async () => {
    coordinator.job = terms({ merge: true });
    expect(await runInProcess(coordinator, sh(`${script}; exit 3`)).exitCode).toBe(3);
    expect(coordinator.text('stdout')).toBe(written);
    expect(coordinator.text('stderr')).toBe('');
    let line = 1;
    for (const data of output()) {
      expect(data.line).toBe(line);
      line += String(data.text).split('\n').length - 1;
    }
  });

  it('is also an option of the wrapper', async () => {
    expect(await runInProcess(coordinator, sh(script), { merge: true }).exitCode).toBe(0);
    expect(coordinator.text('stdout')).toBe(written);
  });

  it('does not happen unless asked for', async () => {
    expect(await runInProcess(coordinator, sh(script)).exitCode).toBe(0);
    expect(coordinator.text('stderr')).toBe(written.replaceAll(/out\d+\n/g, ''));
  });
});

describe('[SPL49] output that is not UTF-8', () => {
  it('is kept byte for byte, whatever it is', async () => {
    const { path, bytes } = randomFile(3_000_000);
    coordinator.job = terms({ output: 'bytes' });
    expect(await runInProcess(coordinator, sh(`echo before; cat ${path}; echo after`)).exitCode).toBe(0);
    const expected = Buffer.concat([Buffer.from('before\n'), bytes, Buffer.from('after\n')]);
    expect(coordinator.bytes().equals(expected)).toBe(true);
    for (const data of output()) if (data.base64 !== undefined) expect(data.text).toBe('');
    expect(coordinator.faults).toEqual([]);
  });

  it('lines keep their numbers across text and bytes', async () => {
    coordinator.job = terms({ output: 'bytes' });
    const script = "printf 'one\\n\\377two\\nthr\\376ee\\nfour\\n'";
    expect(await runInProcess(coordinator, sh(script)).exitCode).toBe(0);
    expect(output()).toEqual([
      { stream: 'stdout', text: 'one\n', line: 1 },
      { stream: 'stdout', text: '', base64: Buffer.from('\xfftwo\nthr\xfeee\n', 'latin1').toString('base64'), line: 2 },
      { stream: 'stdout', text: 'four\n', line: 4 },
    ]);
  });

  it('is otherwise replaced, and the event counts the bytes', async () => {
    const { path, bytes } = randomFile(100_000);
    expect(await runInProcess(coordinator, sh(`cat ${path}; printf 'caf\\303\\251 \\351\\n' >&2`)).exitCode).toBe(0);
    expect(coordinator.text()).toBe(bytes.toString('utf8'));
    const sum = output().reduce((total, { stream, replaced }) => total + (stream === 'stdout' ? Number(replaced ?? 0) : 0), 0);
    expect(sum).toBeGreaterThan(40_000);
    expect(output().find(({ stream }) => stream === 'stderr')).toMatchObject({ text: 'café \ufffd\n', replaced: 1 });
    expect(output().every(({ base64 }) => base64 === undefined)).toBe(true);
  });

  it('[SPL25] has no secret, in text or in bytes', async () => {
    coordinator.job = terms({ output: 'bytes' });
    const secret = 'ghp_0123456789abcdefghij';
    const script = `printf 'a %s\\n\\377%s\\376\\n' "$A_TOKEN" "$A_TOKEN"`;
    expect(await runInProcess(coordinator, sh(script), { env: { ...process.env, A_TOKEN: secret } }).exitCode).toBe(0);
    expect(coordinator.bytes().toString('latin1')).toBe(`a ${REDACTED}\n\xff${REDACTED}\xfe\n`);
  });

  it('[SPL39] counts towards the limit of the log as it is stored, in base64', async () => {
    const limit = 1_048_576;
    coordinator.policy = { ...coordinator.policy, maxLogBytes: limit };
    coordinator.job = terms({ output: 'bytes' });
    const { path, bytes } = randomFile(1_000_000);
    expect(await runInProcess(coordinator, sh(`cat ${path}`)).exitCode).toBe(0);
    const stored = coordinator.lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
    expect(stored).toBeLessThanOrEqual(limit);
    expect(stored).toBeGreaterThan(limit - RESERVE_BYTES - 100_000);
    const kept = coordinator.bytes();
    expect(kept.equals(bytes.subarray(0, kept.length))).toBe(true);
    expect(coordinator.events.at(-2)).toMatchObject({ type: 'gap', data: { reason: 'log_full' } });
  });

  it('[VER3] is replaced for a coordinator that cannot show it, and the wrapper says so', async () => {
    coordinator.features = [];
    const { exitCode, log } = runInProcess(coordinator, sh("printf '\\377\\n'"), { output: 'bytes' });
    expect(await exitCode).toBe(0);
    expect(output()).toEqual([{ stream: 'stdout', text: '\ufffd\n', line: 1, replaced: 1 }]);
    expect(log.problems.join()).toContain('this coordinator is too old for --output bytes');
  });

  it('[G10] is kept by a wrapper that takes the job over, before its own first welcome', async () => {
    coordinator.job = terms({ output: 'bytes', merge: true });
    const { wait, open } = gate();
    const first = startWrapper(coordinator, sh(`printf '\\377\\n'; ${wait}; printf '\\376\\n' >&2`));
    try {
      await coordinator.until(() => output().length === 1, 'output');
      first.process.kill('SIGKILL');
      await first.ended;
      const second = startWrapper(coordinator, sh('echo must not run'), { spool: first.spool });
      await coordinator.until(() => coordinator.events.some(({ type }) => type === 'gap'), 'the adoption');
      open();
      expect((await second.ended).code).toBe(0);
    } finally {
      const job = readSpoolState(first.spool)?.job;
      for (const pid of [job?.holder?.pid, job?.pid]) if (pid && isRunning(pid)) process.kill(pid, 'SIGKILL');
    }
    expect(coordinator.bytes().toString('latin1')).toBe('\xff\n\xfe\n');
    expect(coordinator.bytes('stderr').length).toBe(0);
  });
});

describe('the options', () => {
  const read = (...args: string[]) =>
    readRunOptions(['--url', 'http://h/v1/sessions/s/executions/e/ingest', '--token', 't', ...args, '--', 'true'], {});

  it('are off unless given', () => {
    expect(read()).toMatchObject({ kind: 'run', options: { merge: false, output: 'text' } });
    expect(read('--merge', '--output', 'bytes')).toMatchObject({ kind: 'run', options: { merge: true, output: 'bytes' } });
  });

  it('a mode that does not exist is refused', () => {
    expect(read('--output', 'base64')).toEqual({ kind: 'wrong', message: '--output must be text or bytes' });
  });
});
