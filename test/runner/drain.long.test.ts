/**
 * Goal: a runner that ends with its container, or with its stack, lets its jobs finish properly: it
 * stops each job, each reports the reason, and the runner waits for each report. A stack's runner
 * waits for a limited time, and its next start delivers the rest.
 * Method: the real runner and real wrappers as processes, one fake coordinator for each execution, a
 * fake pool for the runner of a stack, and signals.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listProcesses } from '../../wrapper/processes.ts';
import { stopReason } from '../../wrapper/run/stop-reason.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { FakePool, POOL_KEY, TENANT } from '../support/fake-pool.ts';
import { endJobsIn } from '../support/held-jobs.ts';
import { isRunning, MAIN, sleep, until } from '../support/wrapper-run.ts';

const TOKEN = 'runner-secret-0123';

let spool: string;
let pool: FakePool;
let runner: ChildProcess | null = null;
let url = '';
let stderr = '';
let exit: Promise<number | null>;
const coordinators: FakeCoordinator[] = [];

beforeEach(async () => {
  spool = mkdtempSync(join(tmpdir(), 'holdfast-drain-'));
  pool = await new FakePool().start();
});

afterEach(async () => {
  runner?.kill('SIGKILL');
  for (const { pid, command } of listProcesses()) if (command.includes(spool)) process.kill(pid, 'SIGKILL');
  await pool.stop();
  await Promise.all(coordinators.splice(0).map((coordinator) => coordinator.stop()));
  endJobsIn(spool);
  rmSync(spool, { recursive: true, force: true, maxRetries: 5 });
});

function spawned(args: string[], env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [MAIN, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOLDFAST_RUNNER_SPOOL: spool, ...env },
  });
  runner = child;
  stderr = '';
  child.stderr.on('data', (bytes) => {
    stderr += bytes;
  });
  exit = new Promise((done) => child.on('exit', done));
  return child;
}

/** The runner of a container. */
async function serve(env: Record<string, string> = {}): Promise<void> {
  const child = spawned([], {
    HOLDFAST_RUNNER_DRAIN: '1',
    HOLDFAST_RUNNER_TOKEN: TOKEN,
    HOLDFAST_RUNNER_HOST: '127.0.0.1',
    HOLDFAST_RUNNER_PORT: '0',
    ...env,
  });
  const [line] = await once(createInterface({ input: child.stdout as Readable }), 'line');
  url = `http://127.0.0.1:${/^runner on port (\d+),/.exec(String(line))?.[1]}`;
}

/** The runner of a stack, connected to its pool. */
async function serveStack(): Promise<void> {
  const before = pool.connections.length;
  spawned(['--url', pool.url, '--slots', '4', '--stop-jobs'], { HOLDFAST_RUNNER_KEY: POOL_KEY });
  await until(() => pool.connections.length > before && pool.runner !== null, 'a hello');
}

const requestOf = (id: string, command: string[], ingest: { url: string; token: string }) => ({
  ...{ id, session: 's1', tenant: TENANT, command, ingest },
});

const post = (id: string, command: string[], ingest: { url: string; token: string }) =>
  fetch(`${url}/executions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify(requestOf(id, command, ingest)),
  });

/** Launches a job and waits for its first output. */
async function launch(id: string, script: string, { byPool = false } = {}): Promise<FakeCoordinator> {
  const coordinator = await new FakeCoordinator().start();
  coordinators.push(coordinator);
  const ingest = { url: coordinator.url, token: coordinator.token };
  if (byPool) pool.launch(requestOf(id, ['sh', '-c', script], ingest));
  else expect((await post(id, ['sh', '-c', script], ingest)).status).toBe(201);
  await coordinator.until(() => coordinator.text() !== '', `${id} runs`);
  return coordinator;
}

const REASON = 'the container was told to stop';

it('[SPL27] at SIGTERM it accepts no new launch, stops every job, waits for their reports, and exits 0', async () => {
  await serve();
  const quick = await launch('quick', 'echo $$; exec sleep 60');
  const careful = await launch('careful', 'trap "sleep 1; echo saved; exit 3" TERM; echo $$; while :; do sleep 0.1; done');
  runner?.kill('SIGTERM');
  await until(() => stderr.includes('jobs to stop'), 'the drain has begun');
  const refused = await post('late', ['true'], { url: quick.url, token: quick.token });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
  expect(await refused.json()).toMatchObject({ code: 'stopping', retryable: true });
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ ok: true });
  expect(await exit).toBe(0);
  expect(quick.events.at(-1)).toMatchObject({ type: 'interrupted', data: { reason: REASON, signal: 'SIGTERM' } });
  expect(careful.events.at(-1)).toMatchObject({ type: 'interrupted', data: { reason: REASON, exitCode: 3 } });
  expect(careful.text()).toMatch(/^\d+\nsaved\n$/);
  for (const { text } of [quick, careful].map((each) => ({ text: each.text() })))
    expect(isRunning(Number.parseInt(text, 10))).toBe(false);
  expect(listProcesses().filter(({ command }) => command.includes(spool))).toEqual([]);
});

it('[SPL27] a job that does not stop is killed after its time, and its wrapper still reports', async () => {
  await serve({ HOLDFAST_RUNNER_DRAIN_SECONDS: '1' });
  const stubborn = await launch('stubborn', 'trap "" TERM; echo $$; while :; do sleep 0.1; done');
  const began = Date.now();
  runner?.kill('SIGTERM');
  expect(await exit).toBe(0);
  expect(Date.now() - began).toBeGreaterThanOrEqual(1000);
  expect(stubborn.events.at(-1)).toMatchObject({ type: 'interrupted', data: { reason: REASON, signal: 'SIGKILL' } });
  expect(isRunning(Number.parseInt(stubborn.text(), 10))).toBe(false);
});

it('[SPL27] while a coordinator is down the runner waits, and the report is still delivered', async () => {
  await serve();
  const coordinator = await launch('e1', 'echo $$; exec sleep 60');
  await coordinator.crash();
  runner?.kill('SIGTERM');
  await until(() => stderr.includes('jobs to stop'), 'the drain has begun');
  await sleep(1500);
  expect(runner?.exitCode).toBeNull();
  await coordinator.start();
  expect(await exit).toBe(0);
  expect(coordinator.events.at(-1)).toMatchObject({ type: 'interrupted', data: { reason: REASON } });
});

it('[SPL27] with no job it exits immediately', async () => {
  await serve();
  runner?.kill('SIGTERM');
  expect(await exit).toBe(0);
});

it('with --stop-jobs a job that does not stop in time is killed, and its wrapper reports all of it', async () => {
  await serveStack();
  const stubborn = await launch('stubborn', 'trap "echo asked" TERM; echo $$; while :; do sleep 0.1; done', { byPool: true });
  runner?.kill('SIGTERM');
  expect(await exit).toBe(0);
  expect(stubborn.text()).toMatch(/^\d+\nasked\n$/);
  expect(stubborn.events.at(-1)).toMatchObject({
    type: 'interrupted',
    data: { reason: 'the runner was told to stop', signal: 'SIGKILL' },
  });
  expect(listProcesses().filter(({ command }) => command.includes(spool))).toEqual([]);
});

it('with --stop-jobs what a coordinator that is away did not get is delivered by the next runner', async () => {
  await serveStack();
  const coordinator = await launch('e1', 'trap "echo saved; exit 3" TERM; echo $$; while :; do sleep 0.1; done', { byPool: true });
  const pid = Number.parseInt(coordinator.text(), 10);
  await coordinator.crash();
  runner?.kill('SIGTERM');
  expect(await exit).toBe(0);
  expect(isRunning(pid)).toBe(false);
  expect(listProcesses().filter(({ command }) => command.includes(spool))).toEqual([]);

  await coordinator.start();
  await serveStack();
  await coordinator.until(() => coordinator.events.at(-1)?.type === 'interrupted', 'the end of the job');
  expect(coordinator.text()).toBe(`${pid}\nsaved\n`);
  expect(coordinator.events.at(-1)).toMatchObject({ data: { reason: 'the runner was told to stop', exitCode: 3 } });
  runner?.kill('SIGTERM');
  expect(await exit).toBe(0);
});

it('without a configured reason the signal is the reason', () => {
  expect(stopReason(undefined, 'SIGTERM')).toBe('wrapper received SIGTERM');
  expect(stopReason(join(spool, 'none'), 'SIGINT')).toBe('wrapper received SIGINT');
});
