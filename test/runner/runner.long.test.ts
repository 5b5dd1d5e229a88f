/**
 * Goal: a runner starts each job once, and knows which are alive.
 * Method: the runner of a container as its own process, over HTTP, with a fake wrapper
 * (test/support/fake-wrapper.ts); what its end does to jobs is in drain.long.test.ts. A runner that
 * dials out has the same runs: pool-runner.long.test.ts.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENV_BYTES_MAX } from '../../protocol/index.ts';
import { RUNNER_BODY_BYTES_MAX } from '../../protocol/launch.ts';
import { CONNECTIONS_MAX, TOKEN_CHARS_MIN } from '../../runner/container.ts';
import { foldersIn, readRecord } from '../../runner/folder.ts';
import type { RunRecord } from '../../runner/record.ts';
import { Runs } from '../../runner/runs.ts';
import { identityOf, listProcesses } from '../../wrapper/processes.ts';
import { endJobsIn } from '../support/held-jobs.ts';

const PUPPET = new URL('../support/fake-wrapper.ts', import.meta.url).pathname;
const TOKEN = 'runner-secret-0123';

let base: string;
let spool: string;
let trace: string;
const runners: Runner[] = [];

interface Runner {
  child: ChildProcess;
  url: string;
  exit: Promise<number | null>;
  stderr: () => string;
}

function spawnServe(env: NodeJS.ProcessEnv = {}, args: string[] = []): Runner {
  const child = spawn(process.execPath, [PUPPET, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      HOLDFAST_RUNNER_DRAIN: '1',
      HOLDFAST_RUNNER_TOKEN: TOKEN,
      HOLDFAST_RUNNER_HOST: '127.0.0.1',
      HOLDFAST_RUNNER_PORT: '0',
      HOLDFAST_RUNNER_SPOOL: spool,
      ...env,
    },
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = new Promise<number | null>((done) => child.on('close', done));
  const runner: Runner = { child, url: '', exit, stderr: () => stderr };
  runners.push(runner);
  return runner;
}

async function startRunner(env: NodeJS.ProcessEnv = {}): Promise<Runner> {
  const runner = spawnServe(env);
  if (!runner.child.stdout) throw new Error('no stdout');
  const lines = createInterface({ input: runner.child.stdout });
  const first = await Promise.race([once(lines, 'line'), runner.exit.then(() => null)]);
  if (first === null) throw new Error(`runner ended: ${runner.stderr()}`);
  runner.url = `http://127.0.0.1:${/^runner on port (\d+),/.exec(String(first[0]))?.[1]}`;
  return runner;
}

const request = (change: object = {}) => ({
  id: 'e1',
  session: 's1',
  command: ['stay', trace],
  ingest: { url: 'http://127.0.0.1:9/ingest', token: 'ingest-secret-1' },
  ...change,
});

async function call(runner: Runner, method: string, path: string, body?: unknown, token: string | null = TOKEN) {
  const response = await fetch(`${runner.url}${path}`, {
    method,
    headers: token === null ? {} : { Authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    // biome-ignore lint/suspicious/noExplicitAny: answers of several shapes, each checked where it is used.
    body: (text === '' ? null : JSON.parse(text)) as any,
  };
}

interface Trace {
  pid?: number;
  recover?: boolean;
  args?: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** What came through the pipe. */
  given?: { token: string; env: Record<string, string> };
  stdin?: string | null;
  signal?: string;
}
/** Whole lines only: the last one may be incomplete. */
const traces = (): Trace[] =>
  existsSync(trace)
    ? readFileSync(trace, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Trace)
    : [];

/** What is on disk of each run. */
const records = (): RunRecord[] =>
  foldersIn(spool)
    .flatMap(foldersIn)
    .flatMap((folder) => readRecord(folder) ?? []);
const ended = (): boolean => records()[0]?.end === 'finished';

async function until<T>(look: () => T | Promise<T>, what = 'condition', ms = 40_000): Promise<NonNullable<T>> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come true in time`);
    await sleep(20);
  }
}

async function runFolder(): Promise<string> {
  const session = await until(() => readdirSync(spool, { withFileTypes: true }).find((entry) => entry.isDirectory()));
  const [run] = readdirSync(join(spool, session.name));
  return join(spool, session.name, run ?? '');
}

function allFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-runner-'));
  spool = join(base, 'spool');
  trace = join(base, 'trace.jsonl');
});

afterEach(async () => {
  for (const runner of runners.splice(0)) {
    runner.child.kill('SIGKILL');
    await runner.exit;
  }
  for (const { pid, command } of listProcesses()) {
    if (command.includes(spool) && pid !== process.pid) process.kill(pid, 'SIGKILL');
  }
  endJobsIn(base);
  rmSync(base, { recursive: true, force: true, maxRetries: 5 });
});

describe('HTTP', () => {
  it('/health needs no token and reports what is in flight', async () => {
    const runner = await startRunner({ HOLDFAST_RUNNER_MAX: '5' });
    const { status, body } = await call(runner, 'GET', '/health', undefined, null);
    expect(status).toBe(200);
    expect(body).toMatchObject({ ok: true, program: 'holdfast-runner', inFlight: 0, max: 5 });
    expect(body.version).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('everything else needs the token', async () => {
    const runner = await startRunner();
    for (const token of [null, 'wrong', `${TOKEN}x`, '']) {
      for (const [method, path] of [
        ['GET', '/executions/e1'],
        ['POST', '/executions'],
        ['GET', '/nothing'],
      ] as const) {
        const { status, headers, body } = await call(runner, method, path, method === 'POST' ? request() : undefined, token);
        expect([status, body.code]).toEqual([401, 'unauthorized']);
        expect(headers.get('content-type')).toBe('application/problem+json');
      }
    }
    expect(traces()).toEqual([]);
  });

  it('answers 404, 405, 400 and 413 as problems', async () => {
    const runner = await startRunner();
    expect(await call(runner, 'GET', '/nothing')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await call(runner, 'PUT', '/executions', {})).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(await call(runner, 'POST', '/executions', '{')).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    expect(await call(runner, 'POST', '/executions', request({ command: 'ls' }))).toMatchObject({
      status: 400,
      body: { code: 'bad_request', field: 'command' },
    });
    expect(await call(runner, 'POST', '/executions', request({ cwd: join(base, 'missing') }))).toMatchObject({
      status: 400,
      body: { field: 'cwd' },
    });
    expect(await call(runner, 'GET', '/executions/e1')).toMatchObject({ status: 404, body: { code: 'execution_not_found' } });
    expect(await call(runner, 'DELETE', '/executions/e1')).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(await call(runner, 'GET', '/executions')).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(await call(runner, 'POST', '/executions', 'x'.repeat(RUNNER_BODY_BYTES_MAX + 1))).toMatchObject({
      status: 413,
      body: { code: 'too_large' },
    });
    expect((await call(runner, 'POST', '/executions', ' '.repeat(RUNNER_BODY_BYTES_MAX))).status).toBe(400);
    expect(records()).toEqual([]);
  });

  it('shows a run by its id', async () => {
    const runner = await startRunner();
    await call(runner, 'POST', '/executions', request());
    expect(await call(runner, 'GET', '/executions/e1')).toMatchObject({ status: 200, body: { id: 'e1', state: 'running' } });
  });

  it('refuses a body that is too long also without a declared length', async () => {
    const runner = await startRunner();
    const { port } = new URL(runner.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /executions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer ${TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const piece = 'x'.repeat(0x8000);
    for (let sent = 0; sent <= RUNNER_BODY_BYTES_MAX; sent += piece.length) socket.write(`8000\r\n${piece}\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });
});

describe('launch', () => {
  it('starts a detached wrapper with the command, cwd, env, stdin and token, and occupies a slot', async () => {
    const runner = await startRunner();
    const { status, body } = await call(
      runner,
      'POST',
      '/executions',
      request({
        cwd: base,
        env: { COLOUR: 'green', NODE_OPTIONS: '--nonsense' },
        stdin: 'typed in advance\n',
        format: 'jsonl',
        traceparent: '00-abc-def-01',
      }),
    );
    expect(status).toBe(201);
    expect(body).toMatchObject({ id: 'e1', session: 's1', state: 'running' });
    const [seen] = await until(() => (traces().length > 0 ? traces() : null));
    expect(seen?.pid).toBe(body.pid);
    expect(seen?.cwd).toBe(base);
    expect(seen?.stdin).toBe('typed in advance\n');
    expect(seen?.args).toEqual(expect.arrayContaining(['--url', 'http://127.0.0.1:9/ingest', '--format', 'jsonl']));
    expect(seen?.args?.slice(-3)).toEqual(['--', 'stay', trace]);
    expect(seen?.args?.join(' ')).not.toContain('ingest-secret');
    // [R8] Token and env came through a pipe, and are not in the wrapper's own environment.
    expect(JSON.stringify(seen?.env)).not.toContain('ingest-secret-1');
    expect(seen?.given?.token).toBe('ingest-secret-1');
    // [R6] The second variable would break a Node program. The fake wrapper is one, so its start is
    // the proof.
    const jobEnv = { TRACEPARENT: '00-abc-def-01', COLOUR: 'green', NODE_OPTIONS: '--nonsense' };
    expect(seen?.given?.env).toEqual(jobEnv);
    for (const name of Object.keys(jobEnv)) expect(seen?.env?.[name]).toBe(process.env[name]);
    expect(JSON.stringify(seen?.env)).not.toContain(TOKEN);
    // Detached: a session and process group of its own.
    expect(listProcesses().find(({ pid }) => pid === body.pid)?.group).toBe(body.pid);
    expect((await call(runner, 'GET', '/health')).body.inFlight).toBe(1);
  });

  it('[R3] leaves no env value and no stdin on disk, and the token in one private file', async () => {
    const runner = await startRunner();
    await call(runner, 'POST', '/executions', request({ env: { SECRET: 'env-value-1' }, stdin: 'stdin-value-1' }));
    await until(() => traces().length);
    const folder = await runFolder();
    for (const file of allFiles(folder)) {
      const text = readFileSync(file, 'utf8');
      expect(text).not.toContain('env-value-1');
      expect(text).not.toContain('stdin-value-1');
      expect(text.includes('ingest-secret-1')).toBe(file.endsWith('ingest.json'));
    }
    expect(statSync(join(folder, 'ingest.json')).mode & 0o777).toBe(0o600);
    expect(JSON.stringify((await call(runner, 'GET', '/executions/e1')).body)).not.toMatch(/secret|env-value/);
  });

  it('[R1] the same request again, with a new token, is the same run; a different one is a conflict', async () => {
    const runner = await startRunner();
    const first = await call(runner, 'POST', '/executions', request());
    const again = await call(
      runner,
      'POST',
      '/executions',
      request({ ingest: { url: 'http://127.0.0.1:9/ingest', token: 'new' } }),
    );
    expect([again.status, again.body.pid]).toEqual([200, first.body.pid]);
    expect(JSON.parse(readFileSync(join(await runFolder(), 'ingest.json'), 'utf8')).token).toBe('new');
    expect(await call(runner, 'POST', '/executions', request({ cwd: base }))).toMatchObject({
      status: 409,
      body: { code: 'execution_id_conflict', retryable: false },
    });
    expect((await call(runner, 'POST', '/executions', request({ session: 's2' }))).status).toBe(201);
    expect((await call(runner, 'POST', '/executions', request({ tenant: 't2' }))).status).toBe(201);
    await until(() => traces().length === 3);
  });

  it('[R1] many identical requests at once start one wrapper', async () => {
    const runner = await startRunner();
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(runner, 'POST', '/executions', request())));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(19).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.pid)).size).toBe(1);
    await until(() => traces().length);
    await sleep(200);
    expect(traces()).toHaveLength(1);
  });

  it('[R1] a repeated request after the end answers with the ended run and starts nothing', async () => {
    const runner = await startRunner();
    const command = ['exit:7', trace];
    await call(runner, 'POST', '/executions', request({ command }));
    await until(ended);
    const again = await call(runner, 'POST', '/executions', request({ command }));
    expect([again.status, again.body.state, again.body.exitCode]).toEqual([200, 'finished', 7]);
    expect(traces()).toHaveLength(1);
    expect(existsSync(join(await runFolder(), 'ingest.json'))).toBe(false);
  });

  it('[R2] answers 429 with Retry-After and the facts when every slot is occupied, until a wrapper has ended', async () => {
    const runner = await startRunner({ HOLDFAST_RUNNER_MAX: '2' });
    await call(runner, 'POST', '/executions', request());
    await call(runner, 'POST', '/executions', request({ id: 'e2' }));
    const full = await call(runner, 'POST', '/executions', request({ id: 'e3' }));
    expect(full).toMatchObject({ status: 429, body: { code: 'runner_full', retryable: true, inFlight: 2, max: 2 } });
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await call(runner, 'POST', '/executions', request())).status).toBe(200);
    await until(() => traces().length === 2);
    process.kill(records().find(({ id }) => id === 'e1')?.pid ?? 0, 'SIGTERM');
    await until(async () => (await call(runner, 'POST', '/executions', request({ id: 'e3' }))).status === 201);
  });
});

describe('the life of the runner', () => {
  it('a killed runner comes back and adopts the jobs, despite its lock', async () => {
    const first = await startRunner();
    const { body } = await call(first, 'POST', '/executions', request());
    await until(() => traces().length);
    first.child.kill('SIGKILL');
    await first.exit;
    const second = await startRunner();
    expect((await call(second, 'GET', '/executions/e1')).body).toMatchObject({ pid: body.pid, state: 'running' });
  });

  it('[R1] finds a wrapper whose pid was never stored', async () => {
    const first = await startRunner();
    const { body } = await call(first, 'POST', '/executions', request());
    await until(() => traces().length);
    first.child.kill('SIGKILL');
    await first.exit;
    const record = join(await runFolder(), 'run.json');
    writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), pid: null, start: null }));
    const second = await startRunner();
    expect((await call(second, 'GET', '/executions/e1')).body).toMatchObject({ pid: body.pid, state: 'running' });
  });

  it('[R6] a launch that was cut off before there was a wrapper is forgotten, so a repeated request starts it', async () => {
    const first = await startRunner();
    const { body } = await call(first, 'POST', '/executions', request());
    await until(() => traces().length);
    first.child.kill('SIGKILL');
    await first.exit;
    process.kill(body.pid, 'SIGKILL');
    // The state after the runner died between the record and the process.
    const folder = await runFolder();
    const record = join(folder, 'run.json');
    writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), pid: null, start: null }));
    rmSync(join(folder, 'spool'), { recursive: true, force: true });
    const second = await startRunner();
    expect((await call(second, 'GET', '/health')).body).toMatchObject({ inFlight: 0 });
    expect(await call(second, 'POST', '/executions', request())).toMatchObject({ status: 201, body: { restarts: 0 } });
    await until(() => traces().filter(({ pid, signal }) => pid && !signal).length === 2);
    expect(traces().map(({ recover }) => recover)).toEqual([false, false]);
  });

  it('a second one on the same folder exits 1, says so, and disturbs nothing', async () => {
    const first = await startRunner();
    const { body } = await call(first, 'POST', '/executions', request());
    const second = spawnServe();
    expect(await second.exit).toBe(1);
    expect(second.stderr()).toContain('already uses');
    expect((await call(first, 'GET', '/executions/e1')).body).toMatchObject({ pid: body.pid, state: 'running' });
  });

  it('exits 1 when its port is taken, or the lock cannot be trusted', async () => {
    const stranger = createServer((_, response) => response.end('{}'));
    stranger.listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    const blocked = spawnServe({ HOLDFAST_RUNNER_PORT: String((stranger.address() as AddressInfo).port) });
    expect(await blocked.exit).toBe(1);
    expect(blocked.stderr()).toContain('cannot listen on');
    stranger.close();

    writeFileSync(join(spool, 'runner.lock'), 'garbage');
    const refused = spawnServe();
    expect(await refused.exit).toBe(1);
    expect(refused.stderr()).toContain('corrupt');
  });

  it('refuses to listen without a token, or with a weak one', async () => {
    for (const [token, reason] of [
      ['', 'without a token'],
      ['x', 'a token of 1 characters'],
      ['x'.repeat(TOKEN_CHARS_MIN - 1), `a token of ${TOKEN_CHARS_MIN - 1} characters`],
    ] as const) {
      const refused = spawnServe({ HOLDFAST_RUNNER_TOKEN: token });
      expect(await refused.exit).toBe(2);
      expect(refused.stderr()).toContain(reason);
    }
    await startRunner({ HOLDFAST_RUNNER_TOKEN: 'x'.repeat(TOKEN_CHARS_MIN) });
  });

  it('outside of a container it does not listen, and names --url and --key-file', async () => {
    for (const args of [[], ['--port', '8788'], ['--host', '127.0.0.1', '--max', '16']]) {
      const refused = spawnServe({ HOLDFAST_RUNNER_DRAIN: '' }, args);
      expect(await refused.exit).toBe(2);
      expect(refused.stderr()).toMatch(/--url URL and --key-file FILE.*docs\/runners\.md/);
    }
  });

  it('holds as many connections as its limit, and no more; idle ones are closed', async () => {
    const runner = await startRunner();
    const { port } = new URL(runner.url);
    const sockets = Array.from({ length: CONNECTIONS_MAX }, () => connect({ host: '127.0.0.1', port: Number(port) }));
    const gone = new Set<Socket>();
    for (const socket of sockets)
      socket
        .on('close', () => gone.add(socket))
        .on('error', () => {})
        .resume();
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    for (const socket of sockets) socket.write('GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ');
    const extra = connect({ host: '127.0.0.1', port: Number(port) });
    extra.on('error', () => {}).resume();
    await once(extra, 'close');
    expect(gone.size).toBe(0);
    // Each of them has sent half a head.
    await until(() => gone.size === sockets.length, 'the end of the slow ones');
    expect((await call(runner, 'GET', '/health', undefined, null)).status).toBe(200);
  });

  it('says what is wrong with its settings', async () => {
    for (const [name, value] of [
      ['HOLDFAST_RUNNER_PORT', 'x'],
      ['HOLDFAST_RUNNER_MAX', '0'],
      ['HOLDFAST_RUNNER_DRAIN_SECONDS', 'soon'],
      ['HOLDFAST_RUNNER_TOKEN', 'with a space in it'],
    ] as const) {
      const runner = spawnServe({ [name]: value });
      expect(await runner.exit).toBe(2);
      expect(runner.stderr()).toContain(name);
    }
    const runner = spawnServe({}, ['--port', '1']);
    expect(await runner.exit).toBe(2);
    expect(runner.stderr()).toContain('--port: the runner of a container has variables only');
  });
});

describe('crashes', () => {
  it('[R6] [HTTP7] the largest allowed environment reaches the wrapper whole, whatever its size as JSON', async () => {
    const runner = await startRunner();
    const env = { CONTROL: '\u0001'.repeat(ENV_BYTES_MAX / 2), WIDE: '𝄞"é'.repeat(3000) };
    expect((await call(runner, 'POST', '/executions', request({ env }))).status).toBe(201);
    const [seen] = await until(() => (traces().length > 0 ? traces() : null));
    expect(seen?.given?.env).toEqual(env);
  });

  it('a wrapper killed by a signal is restarted to recover, with the kept credential and without the job env', async () => {
    const runner = await startRunner();
    await call(runner, 'POST', '/executions', request({ env: { SECRET: 'env-value-1' } }));
    const [seen] = await until(() => (traces().length > 0 ? traces() : null));
    process.kill(seen?.pid ?? 0, 'SIGKILL');
    await until(ended);
    const [, recovery, ...more] = traces();
    expect(more).toEqual([]);
    expect(recovery?.recover).toBe(true);
    expect(recovery?.given?.token).toBe('ingest-secret-1');
    expect(JSON.stringify(recovery)).not.toContain('env-value-1');
    // Its end is noted before the credential is removed.
    const credential = join(await runFolder(), 'ingest.json');
    await until(() => !existsSync(credential), 'the removal of the credential');
  });

  it('a restart connects with the newest credential that arrived during the wait', async () => {
    const runs = new Runs({ spool, max: 1, program: [process.execPath, PUPPET], restartCurve: { baseMs: 1500, capMs: 1500 } });
    runs.recover();
    const launch = (token: string) =>
      runs.launch({
        ...request({ ingest: { url: 'http://127.0.0.1:9/ingest', token } }),
        tenant: '',
        cwd: null,
        env: {},
        stdin: null,
        openStdin: false,
        format: 'text',
        merge: false,
        output: 'text',
        terminal: null,
        traceparent: null,
      });
    expect(launch('ingest-secret-1').kind).toBe('launched');
    const [seen] = await until(() => (traces().length > 0 ? traces() : null));
    process.kill(seen?.pid ?? 0, 'SIGKILL');
    await until(() => runs.list()[0]?.state === 'restarting');
    expect(launch('ingest-secret-2').kind).toBe('existing');
    await until(() => runs.list()[0]?.state === 'finished');
    expect(traces().map(({ given }) => given?.token)).toEqual(['ingest-secret-1', 'ingest-secret-2']);
    runs.close();
  });

  it('gives up after three restarts and frees the slot', async () => {
    const runs = new Runs({ spool, max: 1, program: [process.execPath, PUPPET], restartCurve: { baseMs: 10, capMs: 10 } });
    runs.recover();
    const outcome = runs.launch({
      ...request({ command: ['crash-loop', trace] }),
      tenant: '',
      cwd: null,
      env: {},
      stdin: null,
      openStdin: false,
      format: 'text',
      merge: false,
      output: 'text',
      terminal: null,
      traceparent: null,
    });
    if (outcome.kind !== 'launched') throw new Error(outcome.kind);
    await until(() => traces().length);
    process.kill(outcome.run.pid ?? 0, 'SIGKILL');
    await until(() => runs.list()[0]?.state === 'abandoned');
    expect(traces()).toHaveLength(4);
    expect(runs.inFlight).toBe(0);
    runs.close();
  });

  it('[R5] a wrapper that was killed before its job began is restarted to report it, not to begin the job', async () => {
    const runner = await startRunner();
    await call(runner, 'POST', '/executions', request({ command: ['unbegun', trace] }));
    const [seen] = await until(() => (traces().length > 0 ? traces() : null));
    process.kill(seen?.pid ?? 0, 'SIGKILL');
    await until(ended);
    expect(traces().map(({ recover }) => recover)).toEqual([false, true]);
  });

  it('a wrapper that exited on its own with unreported events is not restarted, and its spool is kept', async () => {
    const runner = await startRunner();
    await call(runner, 'POST', '/executions', request({ command: ['keep:125', trace] }));
    await until(() => records()[0]?.end === 'abandoned');
    expect(traces()).toHaveLength(1);
    expect(existsSync(join(await runFolder(), 'spool', 'state.json'))).toBe(true);
  });

  it('a wrapper that died while no runner was there is restarted by the next one', async () => {
    const first = await startRunner();
    const { body } = await call(first, 'POST', '/executions', request());
    await until(() => traces().length);
    first.child.kill('SIGKILL');
    await first.exit;
    process.kill(body.pid, 'SIGKILL');
    await startRunner();
    await until(ended);
    expect(traces()[1]?.recover).toBe(true);
  });

  it('forgets ended runs after an hour, and only those', async () => {
    let now = Date.now();
    const options = { spool, max: 4, program: [process.execPath, PUPPET], now: () => now };
    const job = {
      ...request(),
      tenant: '',
      cwd: null,
      env: {},
      stdin: null,
      openStdin: false,
      format: 'text' as const,
      merge: false,
      output: 'text' as const,
      terminal: null,
      traceparent: null,
    };
    const runs = new Runs(options);
    runs.recover();
    runs.launch(job);
    runs.launch({ ...job, id: 'e2', command: ['exit:0', trace] });
    await until(() => runs.list().find(({ id }) => id === 'e2')?.state === 'finished');
    runs.close();

    now += 3_599_000;
    const early = new Runs(options);
    early.recover();
    expect(early.list()).toHaveLength(2);
    early.close();

    now += 2000;
    const late = new Runs(options);
    late.recover();
    expect(late.list().map(({ id }) => id)).toEqual(['e1']);
    expect(readdirSync(join(spool, readdirSync(spool)[0] ?? ''))).toHaveLength(1);
    await late.stopAll('the test ends', { jobsMs: 3000, reportsMs: 3000 });
    expect(late.inFlight).toBe(0);
    late.close();
  });

  it('stopAll kills what does not stop in time, and leaves its report to the next runner, at its own address', async () => {
    const runs = new Runs({ spool, max: 1, program: [process.execPath, PUPPET] });
    runs.recover();
    const outcome = runs.launch({
      ...request({ command: ['stubborn', trace] }),
      tenant: '',
      cwd: null,
      env: {},
      stdin: null,
      openStdin: false,
      format: 'text',
      merge: false,
      output: 'text',
      terminal: null,
      traceparent: null,
    });
    if (outcome.kind !== 'launched') throw new Error(outcome.kind);
    await until(() => traces().length);
    await runs.stopAll('the test ends', { jobsMs: 300, reportsMs: 300 });
    expect(identityOf(outcome.run.pid ?? 0)).toBeNull();
    expect(runs.list()).toMatchObject([{ pid: null, restarts: 0, state: 'running' }]);
    expect(runs.inFlight).toBe(0);
    runs.close();

    const next = new Runs({ spool, max: 1, program: [process.execPath, PUPPET] });
    expect(next.recover('http://127.0.0.1:10')).toEqual({ adopted: 0, crashed: 1 });
    await until(() => next.list()[0]?.state === 'finished');
    const recovery = traces().find(({ recover }) => recover);
    expect(recovery?.args).toContain('http://127.0.0.1:10/ingest');
    expect(recovery?.given?.token).toBe('ingest-secret-1');
    next.close();
  });
});
