/**
 * Goal: a runner that dials out keeps its promises to its pool: each launch is answered, each slot
 * is told to be free, and no job is started twice or ended by the end of the runner.
 * Method: the real runner as a process of its own with a fake wrapper
 * (test/support/fake-wrapper.ts), against a pool that the test steers (test/support/fake-pool.ts).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLOSE, CWD_BYTES_MAX, ERROR_MESSAGE_CHARS_MAX, WRAPPER_FEATURES } from '../../protocol/index.ts';
import { CLONED_REASON, KEY_REVOKED_REASON } from '../../protocol/pool.ts';
import { VERSION } from '../../protocol/version.ts';
import { foldersIn } from '../../runner/folder.ts';
import { listProcesses } from '../../wrapper/processes.ts';
import { ConnectProxy } from '../support/connect-proxy.ts';
import { FakePool, POOL_KEY } from '../support/fake-pool.ts';
import { endJobsIn } from '../support/held-jobs.ts';

const PUPPET = new URL('../support/fake-wrapper.ts', import.meta.url).pathname;

let base: string;
let spool: string;
let trace: string;
let pool: FakePool;
const runners: Runner[] = [];

interface Runner {
  child: ChildProcess;
  exit: Promise<number | null>;
  stdout: () => string;
  stderr: () => string;
}

function start(args: string[] = [], env: NodeJS.ProcessEnv = {}, url = pool.url): Runner {
  const child = spawn(process.execPath, [PUPPET, 'serve', '--url', url, '--spool', spool, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: base,
    env: { ...process.env, HOLDFAST_RUNNER_KEY: POOL_KEY, ...env },
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk) => {
      text[name] += chunk;
    });
  }
  const exit = new Promise<number | null>((done) => child.on('exit', done));
  const runner = { child, exit, stdout: () => text.stdout, stderr: () => text.stderr };
  runners.push(runner);
  return runner;
}

async function until<T>(look: () => T, what = 'condition', ms = 50_000): Promise<NonNullable<T>> {
  const end = Date.now() + ms;
  for (;;) {
    const value = look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come true: ${runners.map(({ stderr }) => stderr()).join('\n---\n')}`);
    await sleep(20);
  }
}

async function connected(args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Runner> {
  const before = pool.connections.length;
  const runner = start(args, env);
  await until(() => pool.connections.length > before && pool.runner, 'a hello');
  return runner;
}

const request = (id = 'e1', behaviour = 'stay', change: object = {}) => ({
  id,
  session: 's1',
  tenant: 'acme',
  command: [behaviour, trace],
  ingest: { url: 'http://127.0.0.1:9/ingest', token: 'ingest-secret-1' },
  ...change,
});

/** Sends a launch, and waits for the answer. */
async function launch(body: object, lease?: number) {
  const number = pool.launch(body, lease);
  return until(() => pool.answerTo(number), `an answer to lease ${number}`);
}

interface Trace {
  pid?: number;
  recover?: boolean;
  cwd?: string;
  signal?: string;
}
const traces = (): Trace[] =>
  existsSync(trace)
    ? readFileSync(trace, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Trace)
    : [];
const started = () => traces().filter(({ pid, recover }) => pid !== undefined && !recover);
const firstPid = async () => (await until(() => started()[0], 'a wrapper')).pid as number;

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-pool-runner-'));
  spool = join(base, 'spool');
  trace = join(base, 'trace.jsonl');
  pool = await new FakePool().start();
});

afterEach(async () => {
  for (const runner of runners.splice(0)) {
    runner.child.kill('SIGKILL');
    await runner.exit;
  }
  for (const { pid, command } of listProcesses()) {
    if (command.includes(spool) && pid !== process.pid) process.kill(pid, 'SIGKILL');
  }
  await pool.stop();
  endJobsIn(base);
  rmSync(base, { recursive: true, force: true, maxRetries: 5 });
  expect(pool.faults).toEqual([]);
});

describe('a runner', () => {
  it('[RNR1] says who it is, runs what it is given, and tells the end of each run', async () => {
    const runner = await connected(['--name', 'gpu-3', '--label', 'gpu=a100', '--slots', '2', '--json']);
    expect(pool.attempts[0]).toMatchObject({ authorization: `Bearer ${POOL_KEY}`, url: '/v1/pools/default/connect' });
    expect(pool.runner?.hello).toMatchObject({
      name: 'gpu-3',
      labels: { gpu: 'a100', os: process.platform, arch: process.arch },
      slots: 2,
      version: VERSION,
      runs: [],
      features: WRAPPER_FEATURES,
      draining: false,
    });
    expect(await launch(request('e1', 'exit:0'))).toMatchObject({ type: 'launched' });
    await until(() => pool.ends().includes('s1/e1'), 'the end');
    expect(JSON.parse(runner.stdout())).toEqual({
      runnerId: pool.runner?.hello?.runnerId,
      name: 'gpu-3',
      pool: 'default',
    });
    expect(`${runner.stdout()}${runner.stderr()}`).not.toContain(POOL_KEY);
  });

  it('[RNR3] refuses with the reason, and keeps what it runs', async () => {
    await connected(['--slots', '1', '--allow-command', process.execPath, '--allow-cwd', base]);
    const command = [process.execPath, trace];
    expect(await launch(request('e1', '', { command: ['/bin/sh', trace] }))).toMatchObject({
      type: 'refused',
      code: 'command_not_allowed',
      retry: true,
    });
    expect(await launch(request('e1', '', { command, cwd: '/' }))).toMatchObject({ code: 'cwd_not_allowed', retry: true });
    expect(await launch({ id: 'e1' })).toMatchObject({ type: 'refused', code: 'unsupported', retry: false });
    expect(started()).toEqual([]);
  });

  it('[RNR3] answers full and cwd_missing, and starts when a slot is free again', async () => {
    await connected();
    expect(await launch(request('e0', 'stay', { cwd: join(base, 'no') }))).toMatchObject({ code: 'cwd_missing', retry: true });
    expect(await launch(request('e1'))).toMatchObject({ type: 'launched' });
    expect(await launch(request('e2'))).toMatchObject({ type: 'refused', code: 'full', retry: true });
    process.kill(await firstPid(), 'SIGTERM');
    await until(() => pool.ends().includes('s1/e1'), 'the end');
    expect(await launch(request('e2'))).toMatchObject({ type: 'launched' });
  });

  it('[RNR2] [DU3] starts a launch once, for the same lease and for another one', async () => {
    await connected();
    for (const lease of [7, 7, 9]) expect(await launch(request(), lease)).toMatchObject({ type: 'launched', lease });
    expect(await launch(request('e2', 'exit:0'), 10)).toMatchObject({ code: 'full' });
    await firstPid();
    expect(started()).toHaveLength(1);
  });

  it('[RNR2] [DU4] answers the same lease after the end, and starts another lease again', async () => {
    await connected();
    await launch(request('e1', 'exit:0'), 3);
    await until(() => pool.ends().length === 1, 'the end');
    await launch(request('e1', 'exit:0'), 3);
    await until(() => pool.ends().length === 2, 'the end, again');
    expect(started()).toHaveLength(1);
    await launch(request('e1', 'exit:0'), 4);
    await until(() => started().length === 2 && pool.ends().length === 3, 'the second start and its end');
  });

  it('[RNR1] [PR1] names what it holds in each hello, and what ended meanwhile is not in it', async () => {
    await connected(['--slots', '2']);
    await launch(request('e1'));
    await launch(request('e2'));
    const boot = pool.runner?.hello?.bootId;
    await until(() => started().length === 2, 'two wrappers');
    pool.connection?.cut();
    await until(() => pool.runner && pool.connections.length === 2, 'another hello');
    expect(pool.runner?.hello?.runs.toSorted()).toEqual(['s1/e1', 's1/e2']);
    expect(pool.runner?.hello?.bootId).toBe(boot);
    pool.refusal = { status: 503 };
    pool.connection?.cut();
    process.kill(await firstPid(), 'SIGTERM');
    await until(() => traces().some(({ signal }) => signal), 'the end of a wrapper');
    pool.refusal = null;
    await until(() => pool.connections.length > 2 && pool.runner?.hello?.runs.length === 1, 'a hello with one run');
  });

  it('[R9] [RNR2] on a full disk keeps what runs, answers for it, and tells its end', async () => {
    const runner = await connected();
    expect(await launch(request(), 1)).toMatchObject({ type: 'launched' });
    const pid = await firstPid();
    const [session = ''] = foldersIn(spool);
    const [folder = ''] = foldersIn(session);
    // No record and no credential can be written any more, for any user.
    for (const file of ['run.json.tmp', 'ingest.json.tmp']) mkdirSync(join(folder, file));
    expect(await launch(request(), 2)).toMatchObject({ type: 'launched', lease: 2 });
    process.kill(pid, 'SIGTERM');
    await until(() => pool.ends().includes('s1/e1'), 'the end');
    expect(runner.stderr()).toContain('its record could not be written');
    expect(await launch(request('e2', 'exit:0'))).toMatchObject({ type: 'launched' });
  });

  it('[RNR3] refuses a folder whose name has the greatest length, and stays in its pool', async () => {
    await connected();
    const cwd = `/${'x'.repeat(CWD_BYTES_MAX - 1)}`;
    const { message } = (await launch(request('e1', 'stay', { cwd }))) as { message: string };
    expect(message.length).toBe(ERROR_MESSAGE_CHARS_MAX);
    expect(await launch(request('e2', 'exit:0'))).toMatchObject({ type: 'launched' });
  });

  it('[RNR4] [PL4] dials again when the pool is silent', async () => {
    await connected();
    pool.connection?.freeze();
    await until(() => pool.connections.length === 2 && pool.runner, 'another connection');
    const [first, second] = pool.connections;
    expect(second?.hello?.bootId).toBe(first?.hello?.bootId);
  });

  it('reaches its pool through an HTTP proxy, by CONNECT', async () => {
    const proxy = await ConnectProxy.start();
    try {
      // Loopback is reached directly, so the pool has a name that only the proxy knows.
      start([], { HTTP_PROXY: proxy.url(), http_proxy: '', NO_PROXY: '', no_proxy: '' }, `http://pool.holdfast.test:${pool.port}`);
      await until(() => pool.runner, 'a hello');
      expect(await launch(request('e1', 'exit:0'))).toMatchObject({ type: 'launched' });
      await until(() => pool.ends().includes('s1/e1'), 'the end');
      expect(proxy.asked.map(({ target }) => target)).toContain(`pool.holdfast.test:${pool.port}`);
    } finally {
      await proxy.close();
    }
  });

  it('prints what the pool has to tell', async () => {
    pool.notice = { code: 'too_old', message: 'Version 0.1.0 is needed.' };
    const runner = await connected();
    await until(() => runner.stderr().includes('Version 0.1.0 is needed. (too_old)'), 'the notice');
  });

  it('answers health and metrics on loopback when it is asked to', async () => {
    const runner = await connected(['--status-port', '0', '--name', 'one']);
    const [, url] = await until(() => /(http:\/\/127\.0\.0\.1:\d+)\/health/.exec(runner.stderr()), 'its address');
    await launch(request());
    const health = await fetch(`${url}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ ok: true, running: 1, slots: 1, draining: false, name: 'one', version: VERSION });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('holdfast_runner_running{name="one",pool="default"} 1\n');
    expect(metrics).toContain('holdfast_runner_launches_total{name="one",pool="default",outcome="launched"} 1\n');
    expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(405);
    await pool.stop();
    pool = await new FakePool().start();
    await until(() => runner.stderr().includes('no connection to the pool'), 'the loss');
    expect((await fetch(`${url}/health`)).status).toBe(503);
  });
});

it.each(['run', 'serve'])('%s says on Windows what to do', async (verb) => {
  const pretend = 'data:text/javascript,Object.defineProperty(process,"platform",{value:"win32"})';
  const main = new URL('../../wrapper/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', pretend, main, verb], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  expect(await new Promise((done) => child.on('exit', done))).toBe(125);
  expect(stderr).toContain('Use WSL 2');
});

describe('the end of a runner', () => {
  it('[RNR5] SIGTERM: takes nothing new, and ends with 0 when its jobs have ended', async () => {
    const runner = await connected(['--slots', '2']);
    await launch(request('e1'));
    const pid = await firstPid();
    runner.child.kill('SIGTERM');
    await until(() => pool.connection?.of('draining').length, 'the word draining');
    expect(await launch(request('e2'))).toMatchObject({ type: 'refused', code: 'draining' });
    // [PL4] It is still heard.
    const pings = pool.connection?.pings ?? 0;
    await until(() => (pool.connection?.pings ?? 0) > pings, 'a ping while draining');
    expect(runner.child.exitCode).toBeNull();
    process.kill(pid, 'SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(pool.ends()).toEqual(['s1/e1']);
    expect(pool.connection?.closed?.code).toBe(CLOSE.done);
  });

  it('[RNR5] an order of the pool to drain is followed like SIGTERM', async () => {
    const runner = await connected();
    await launch(request('e1'));
    pool.connection?.send({ type: 'drain' });
    await until(() => pool.connection?.of('draining').length, 'the word draining');
    process.kill(await firstPid(), 'SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(pool.ends()).toEqual(['s1/e1']);
  });

  it('[RNR6] a second SIGTERM leaves at once, and the next runner takes the jobs over', async () => {
    const runner = await connected();
    await launch(request('e1'));
    const pid = await firstPid();
    const first = pool.runner?.hello;
    runner.child.kill('SIGTERM');
    await until(() => pool.connection?.of('draining').length, 'the word draining');
    runner.child.kill('SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(() => process.kill(pid, 0)).not.toThrow();
    await connected();
    expect(pool.runner?.hello).toMatchObject({ runnerId: first?.runnerId, runs: ['s1/e1'], draining: false });
    expect(pool.runner?.hello?.bootId).not.toBe(first?.bootId);
    process.kill(pid, 'SIGTERM');
    await until(() => pool.ends().includes('s1/e1'), 'the end');
    expect(started()).toHaveLength(1);
  });

  it.each(['SIGKILL', 'SIGHUP'] as const)('[RNR6] after %s the jobs go on, and the next runner takes them over', async (signal) => {
    const runner = await connected();
    await launch(request('e1'));
    const pid = await firstPid();
    runner.child.kill(signal);
    await runner.exit;
    await connected();
    expect(pool.runner?.hello?.runs).toEqual(['s1/e1']);
    expect(await launch(request('e1'), 99)).toMatchObject({ type: 'launched', lease: 99 });
    expect(() => process.kill(pid, 0)).not.toThrow();
    expect(started()).toHaveLength(1);
  });

  it('--stop-jobs stops them too', async () => {
    const runner = await connected(['--stop-jobs']);
    await launch(request('e1'));
    await firstPid();
    runner.child.kill('SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(traces().some(({ signal }) => signal === 'SIGTERM')).toBe(true);
    expect(pool.ends()).toEqual(['s1/e1']);
  });

  it('[RNR5] --once takes one launch, refuses the next, and ends when the first has ended', async () => {
    pool.answersDraining = false;
    const runner = await connected(['--once']);
    const [one, two] = [pool.launch(request('e1')), pool.launch(request('e2'))];
    expect(await until(() => pool.answerTo(one))).toMatchObject({ type: 'launched' });
    expect(await until(() => pool.answerTo(two))).toMatchObject({ type: 'refused', code: 'draining' });
    const pid = await firstPid();
    pool.connection?.send({ type: 'drained' });
    process.kill(pid, 'SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(started()).toHaveLength(1);
    expect(pool.ends()).toEqual(['s1/e1']);
  });

  it('--once does not end by a launch that it refuses', async () => {
    const runner = await connected(['--once']);
    expect(await launch(request('e0', 'stay', { cwd: join(base, 'no') }))).toMatchObject({ code: 'cwd_missing' });
    expect(await launch(request('e1', 'exit:0'))).toMatchObject({ type: 'launched' });
    expect(await runner.exit).toBe(0);
  });

  it('--idle-exit ends it when nothing runs', async () => {
    const runner = await connected(['--idle-exit', '1s']);
    expect(await runner.exit).toBe(0);
    expect(pool.connection?.of('draining')).toHaveLength(1);
  });

  it('[RNR5] [DU2] --idle-exit runs a launch that meets its end on the way', async () => {
    pool.answersDraining = false;
    const runner = await connected(['--idle-exit', '1s']);
    await until(() => pool.connection?.of('draining').length, 'the word draining');
    expect(await launch(request('e1'))).toMatchObject({ type: 'launched' });
    pool.connection?.send({ type: 'drained' });
    process.kill(await firstPid(), 'SIGTERM');
    expect(await runner.exit).toBe(0);
    expect(pool.ends()).toEqual(['s1/e1']);
  });
});

describe('a runner that is refused', () => {
  it('[RNR7] with a bad key ends with 78 when nothing runs', async () => {
    pool.refuseKeys();
    const runner = start();
    expect(await runner.exit).toBe(78);
    expect(runner.stderr()).toContain('the key was refused: The runner key is not valid. (unauthorized)');
  });

  it('[RNR7] whose key was revoked keeps its jobs, and ends when they have ended', async () => {
    const runner = await connected();
    await launch(request('e1'));
    const pid = await firstPid();
    pool.refuseKeys();
    pool.connection?.socket.close(CLOSE.credentialRefused, KEY_REVOKED_REASON);
    await until(() => runner.stderr().includes('its job goes on'), 'the message');
    expect(runner.child.exitCode).toBeNull();
    process.kill(pid, 'SIGTERM');
    expect(await runner.exit).toBe(78);
    expect(runner.stderr()).toContain('the key is still refused');
  });

  it('reads the key file again', async () => {
    const file = join(base, 'key');
    writeFileSync(file, POOL_KEY);
    const runner = await connected(['--key-file', file], { HOLDFAST_RUNNER_KEY: '' });
    await launch(request('e1'));
    const next = POOL_KEY.replace('rk_1', 'rk_2');
    writeFileSync(file, next);
    pool.connection?.socket.close(CLOSE.credentialRefused, KEY_REVOKED_REASON);
    await until(() => pool.attempts.length === 2, 'another attempt');
    expect(pool.attempts[1]?.authorization).toBe(`Bearer ${next}`);
    expect(runner.child.exitCode).toBeNull();
  });

  it('[RNR7] as a clone names the file, does not dial again, and ends with 78', async () => {
    const runner = await connected();
    pool.connection?.socket.close(CLOSE.claimed, CLONED_REASON);
    expect(await runner.exit).toBe(78);
    expect(runner.stderr()).toContain(join(spool, 'runner.json'));
    expect(pool.attempts).toHaveLength(1);
  });

  it('by a page of another server tries again', async () => {
    pool.refusal = { status: 401, headers: { 'content-type': 'text/html' }, body: 'sign in' };
    const runner = start();
    await until(() => runner.stderr().includes('no answer of the coordinator'), 'the message');
    pool.refusal = null;
    await until(() => pool.runner, 'a hello');
  });

  it('[RNR8] by its folder: a second process on it is refused, and the first goes on', async () => {
    const runner = await connected();
    const second = start();
    expect(await second.exit).toBe(1);
    expect(second.stderr()).toContain(`a runner already uses ${spool}`);
    expect(runner.child.exitCode).toBeNull();
    expect(pool.attempts).toHaveLength(1);
  });
});
