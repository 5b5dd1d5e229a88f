/**
 * Goal: what only a real process shows: exit codes, pipes that are full or broken, signals, and
 * that nothing is cut off at the exit. Method: cli/main.ts as a child process against a coordinator
 * in this one.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeSession, until } from '../support/fake-session.ts';

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

let fake: FakeSession;
let children: ChildProcess[] = [];

beforeEach(async () => {
  fake = await new FakeSession().start();
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await fake.stop();
});

function start(args: string[]) {
  const env = { PATH: process.env.PATH, HOLDFAST_URL: fake.url, HOLDFAST_API_KEY: 'key' };
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const text = { out: '', err: '' };
  child.stderr.on('data', (chunk) => {
    text.err += String(chunk);
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal })),
  );
  const read = () =>
    child.stdout.on('data', (chunk) => {
      text.out += String(chunk);
    });
  return { child, text, ended, read };
}

test('the exit code of the job is the exit code of the process', async () => {
  fake.onStart = ({ id }) => {
    fake.output(id, 'out\n');
    fake.output(id, 'err\n', 'stderr');
    fake.settle(id, 'failed', { code: 'exit_nonzero', exitCode: 42 });
  };
  const run = start(['run', '--quiet', '--', 'job']);
  run.read();
  expect(await run.ended).toEqual({ code: 42, signal: null });
  expect(run.text).toEqual({ out: 'out\n', err: 'err\n' });
});

test('a slow reader of a pipe gets every line, and the stream waits for it instead of the memory growing', async () => {
  fake.addExecution('e1');
  fake.batchEvents = 100;
  const line = 'x'.repeat(1000);
  fake.append(
    'e1',
    Array.from({ length: 5000 }, (_, index) => ({ type: 'output', data: { stream: 'stdout', text: `${index} ${line}\n` } })),
  );
  fake.settle('e1', 'completed');
  const logs = start(['logs', 's1/e1']);
  await until('the window is full', () => (fake.viewers[0]?.unackedMax ?? 0) >= 1024 * 1024);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(fake.newest.sent).toBeLessThan(2500);
  logs.read();
  expect(await logs.ended).toEqual({ code: 0, signal: null });
  const lines = logs.text.out.trimEnd().split('\n');
  expect(lines.length).toBe(5000);
  expect(lines.every((text, index) => text === `${index} ${line}`)).toBe(true);
});

test('a reader that leaves (| head) ends the command quietly', async () => {
  fake.addExecution('e1');
  fake.lines('e1', 20_000);
  const logs = start(['logs', '-f', 's1/e1']);
  logs.child.stdout.once('data', () => logs.child.stdout.destroy());
  expect(await logs.ended).toEqual({ code: 0, signal: null });
  expect(logs.text.err).toBe('');
});

test('run with a reader that leaves: the job continues, and the exit code does not claim success', async () => {
  fake.onStart = ({ id }) => fake.lines(id, 20_000);
  const run = start(['run', '-q', '-s', 's1', '--id', 'e1', '--', 'job']);
  run.child.stdout.once('data', () => run.child.stdout.destroy());
  expect(await run.ended).toEqual({ code: 141, signal: null });
  expect(fake.requests.some(({ path }) => path.endsWith('/interrupt'))).toBe(false);
});

test('[G6] SIGINT detaches with 130, SIGTERM with 143, and the job continues', async () => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    fake.onStart = ({ id }) => fake.output(id, 'one\n');
    const run = start(['run', '-s', 's1', '--', 'job']);
    run.read();
    await until('output', () => run.text.out === 'one\n', 10_000);
    run.child.kill(signal);
    expect(await run.ended).toEqual({ code, signal: null });
    expect(run.text.err).toContain('detached; s1/exec_');
  }
  expect(fake.requests.some(({ path }) => path.endsWith('/interrupt'))).toBe(false);
});

test('--interrupt-on-exit interrupts also when the reader leaves', async () => {
  fake.onStart = ({ id }) => fake.lines(id, 20_000);
  const run = start(['run', '--interrupt-on-exit', '-s', 's1', '--id', 'e1', '--', 'job']);
  run.child.stdout.once('data', () => run.child.stdout.destroy());
  expect((await run.ended).code).toBe(141);
  expect(fake.requests.filter(({ path }) => path.endsWith('/interrupt'))).toHaveLength(1);
});

test('a refused upgrade is reported with its reason, which a browser could not read', async () => {
  fake.addExecution('e1');
  fake.behaviours.push({ status: 503, problem: 'not_configured' });
  const logs = start(['logs', '-f', 's1/e1']);
  expect(await logs.ended).toEqual({ code: 125, signal: null });
  expect(logs.text.err).toContain('HOLDFAST_SIGNING_KEYS');
});

test('a follower that was stopped for longer than it may try asks once more when it wakes, and misses nothing', async () => {
  fake.addExecution('e1');
  fake.lines('e1', 1);
  const logs = start(['logs', '-f', '--give-up-after', '1s', 's1/e1']);
  logs.read();
  await until('the first line', () => logs.text.out.includes('\n'));
  const { port } = new URL(fake.url);
  await fake.stop();
  await until('it says that the connection is down', () => logs.text.err !== '');
  logs.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await fake.start(Number(port));
  fake.lines('e1', 1);
  fake.settle('e1', 'completed', { exitCode: 0 });
  logs.child.kill('SIGCONT');
  expect(await logs.ended).toEqual({ code: 0, signal: null });
  expect(logs.text.out.trimEnd().split('\n')).toHaveLength(2);
});
