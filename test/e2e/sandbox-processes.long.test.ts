/**
 * Goal: examples/sandbox-processes does what docs/from-sandbox-sdk.md says, method by method.
 * Method: the real stack, whose runner serves the pool `default`, and shell commands as processes.
 * The client is that of the built package, because the example imports it.
 */

import { createClient } from '@holdfast/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodeOf, statusOf } from '../../examples/sandbox-processes/ends.ts';
import { SandboxProcesses } from '../../examples/sandbox-processes/processes.ts';
import type { LogEvent } from '../../examples/sandbox-processes/types.ts';
import { blocksOf, Terminal } from '../support/readme.ts';
import { RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
let client: ReturnType<typeof createClient>;
let count = 0;
/** Another sandbox for each test, in a folder that its processes share. */
const newSandbox = (env: Record<string, string | undefined> = {}): SandboxProcesses =>
  new SandboxProcesses(client, `sandbox-${++count}`, { cwd: real.folder, env });

beforeAll(async () => {
  real = await RealStack.start();
  client = createClient({ url: real.stack.url, apiKey: real.stack.apiKey });
});
afterAll(async () => {
  await real?.close();
});

/** The events of a stream as 0.12 sends it. */
async function eventsOf(stream: ReadableStream<Uint8Array>): Promise<LogEvent[]> {
  const text = await new Response(stream).text();
  return text
    .split('\n\n')
    .filter(Boolean)
    .map((event) => JSON.parse(event.replace(/^data: /, '')) as LogEvent);
}
const textOf = (events: LogEvent[], type: string): string =>
  events
    .filter((event) => event.type === type)
    .map(({ data }) => data)
    .join('');

it('startProcess runs a shell command with folder, environment and callbacks; its id and its logs stay', async () => {
  const sandbox = newSandbox({ LEFT: 'sandbox', BOTH: 'sandbox', NONE: undefined });
  const said: string[] = [];
  const process = await sandbox.startProcess('echo "$LEFT $BOTH $(printenv NONE || echo unset)"; pwd >&2; exit 3', {
    processId: 'first',
    env: { BOTH: 'process', NONE: undefined },
    onStart: ({ id }) => said.push(`start ${id}`),
    onOutput: (stream, data) => said.push(`${stream} ${data}`),
    onExit: (code) => said.push(`exit ${code}`),
  });
  expect(process).toMatchObject({ id: 'first', status: 'starting', startTime: expect.any(Date) });
  expect(await process.waitForExit()).toEqual({ exitCode: 3 });
  await until(() => said.includes('exit 3'), 'the callbacks');
  expect(said[0]).toBe('start first');
  expect(said).toContain('stdout sandbox process unset\n');

  expect(await sandbox.getProcess('first')).toMatchObject({
    ...{ id: 'first', status: 'failed', exitCode: 3, reason: 'the command exited with code 3' },
    command: 'echo "$LEFT $BOTH $(printenv NONE || echo unset)"; pwd >&2; exit 3',
    endTime: expect.any(Date),
  });
  const logs = { stdout: 'sandbox process unset\n', stderr: `${real.folder}\n` };
  expect(await sandbox.getProcessLogs('first')).toEqual({ ...logs, processId: 'first' });
  expect(await process.getLogs()).toEqual(logs);
});

it('startProcess refuses an empty command and an id of another command; the same start is the same process', async () => {
  const sandbox = newSandbox();
  await expect(sandbox.startProcess(' ')).rejects.toThrow('the command is empty');
  const [first, again] = [
    await sandbox.startProcess('true', { processId: 'p' }),
    await sandbox.startProcess('true', { processId: 'p' }),
  ];
  expect(again.id).toBe(first.id);
  const failed: Error[] = [];
  const other = sandbox.startProcess('false', { processId: 'p', onError: (error) => failed.push(error) });
  await expect(other).rejects.toMatchObject({ code: 'execution_id_conflict' });
  expect(failed).toMatchObject([{ code: 'execution_id_conflict' }]);
  expect(await first.waitForExit()).toEqual({ exitCode: 0 });
  expect(await sandbox.listProcesses()).toHaveLength(1);
});

it('several processes of one sandbox run at once; listProcesses has them in their order', async () => {
  const sandbox = newSandbox();
  expect(await sandbox.listProcesses()).toEqual([]);
  // Neither ends before both have opened the pipe.
  await sandbox.startProcess('mkfifo both; echo made; echo hello > both', { processId: 'writer' });
  await sandbox.waitForLog('writer', 'made');
  const reader = await sandbox.startProcess('cat both', { processId: 'reader' });
  expect(await reader.waitForLog('hello')).toEqual({ line: 'hello' });
  expect(await reader.waitForExit()).toEqual({ exitCode: 0 });
  await sandbox.waitForExit('writer');
  expect((await sandbox.listProcesses()).map(({ id, status, exitCode }) => ({ id, status, exitCode }))).toEqual([
    { id: 'writer', status: 'completed', exitCode: 0 },
    { id: 'reader', status: 'completed', exitCode: 0 },
  ]);
});

it('killProcess resolves when the process has ended; SIGKILL gives it no time; killAllProcesses counts', async () => {
  const sandbox = newSandbox();
  const asks = await sandbox.startProcess('trap "echo bye; exit 9" INT; echo up; while :; do sleep 0.1; done');
  const deaf = await sandbox.startProcess('trap "" INT TERM; echo up; while :; do sleep 0.1; done');
  await Promise.all([asks.waitForLog('up'), deaf.waitForLog('up')]);
  expect(await asks.getStatus()).toBe('running');
  await expect(sandbox.killProcess(asks.id, 'SIGHUP')).rejects.toThrow('SIGHUP: use SIGINT, SIGTERM or SIGKILL');
  await sandbox.killProcess(asks.id);
  expect(await sandbox.getProcess(asks.id)).toMatchObject({ status: 'killed', exitCode: 9, reason: 'killProcess' });
  expect((await asks.getLogs()).stdout).toBe('up\nbye\n');
  await deaf.kill('SIGKILL');
  expect(await sandbox.getProcess(deaf.id)).toMatchObject({ status: 'killed', exitCode: 137 });
  await asks.kill(); // It has ended, so nothing changes.
  expect(await sandbox.getProcess(asks.id)).toMatchObject({ status: 'killed', exitCode: 9 });

  const sleeps = await sandbox.startProcess('exec sleep 1000');
  // One that is not of this class, and waits for its turn.
  await client.start(`sandbox-${count}`, { id: 'queued', command: ['touch', 'never'], onBusy: 'queue' });
  expect(await sandbox.killAllProcesses()).toBe(2);
  expect(await sandbox.killAllProcesses()).toBe(0);
  expect(await sleeps.getStatus()).toBe('killed');
  const queued = await sandbox.getProcess('queued');
  expect(queued).toMatchObject({ status: 'killed', command: 'touch never' });
  expect(queued).not.toHaveProperty('exitCode');
});

it('a process that passes its timeout is killed', async () => {
  const sandbox = newSandbox();
  const { id } = await sandbox.startProcess('exec sleep 1000', { timeout: 1000 });
  await client.wait(`sandbox-${count}`, id);
  expect(await sandbox.getProcess(id)).toMatchObject({
    status: 'killed',
    reason: expect.stringContaining('ran longer than its limit'),
  });
});

it('streamProcessLogs sends the log from its beginning and ends with the exit; cancel and signal end it earlier', async () => {
  const sandbox = newSandbox();
  const process = await sandbox.startProcess('echo one; echo two >&2; until test -e go; do sleep 0.05; done; echo three; exit 4');
  await process.waitForLog('two');
  const [whole, cancelled, aborting] = [
    await sandbox.streamProcessLogs(process.id),
    await sandbox.streamProcessLogs(process.id),
    new AbortController(),
  ];
  const reader = cancelled.getReader();
  for (const _ of ['one', 'two']) expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^data: \{.*\}\n\n$/);
  await reader.cancel(); // While it waits for the next event.
  const aborted = eventsOf(await sandbox.streamProcessLogs(process.id, { signal: aborting.signal }));
  aborting.abort();
  expect((await aborted).map(({ type }) => type)).not.toContain('exit');

  const go = await sandbox.startProcess('touch go');
  await go.waitForExit();
  const events = await eventsOf(whole);
  expect(textOf(events, 'stdout')).toBe('one\nthree\n');
  expect(textOf(events, 'stderr')).toBe('two\n');
  expect(events.at(-1)).toEqual({
    ...{ type: 'exit', data: 'failed, exit code 4', exitCode: 4, processId: process.id },
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  // A viewer that comes after the end reads the same.
  expect(await eventsOf(await sandbox.streamProcessLogs(process.id))).toEqual(events);
});

it('waitForLog finds a text or an expression in either stream; it tells a timeout from an end', async () => {
  const sandbox = newSandbox();
  const server = await sandbox.startProcess('echo a; printf "port 30" >&2; sleep 0.2; printf "00? " >&2; exec sleep 1000');
  const { line, match } = await server.waitForLog(/port (\d+)\?/g);
  expect([line.trim(), match?.[1]]).toEqual(['port 3000?', '3000']);
  expect(await server.waitForLog('a')).toEqual({ line: 'a' });
  const late = { code: 'PROCESS_READY_TIMEOUT', processId: server.id };
  await expect(server.waitForLog('never', 50)).rejects.toMatchObject(late);
  await expect(server.waitForExit(50)).rejects.toMatchObject(late);
  expect(await server.getStatus()).toBe('running');
  const never = expect(server.waitForLog(/never/)).rejects.toMatchObject({ code: 'PROCESS_EXITED_BEFORE_READY', exitCode: 130 });
  await server.kill();
  await never;
});

it('an end without an exit code is an error, and never a code', async () => {
  const sandbox = newSandbox();
  const ends: unknown[] = [];
  const process = await sandbox.startProcess('echo up; exec sleep 1000', {
    onExit: (code) => ends.push(code),
    onError: ({ message }) => ends.push(message),
  });
  await process.waitForLog('up');
  await client.fail(`sandbox-${count}`, process.id, { code: 'host_gone', message: 'the host is gone' });
  await expect(process.waitForExit()).rejects.toMatchObject({
    code: 'PROCESS_ERROR',
    message: /without an exit code: the host is gone/,
  });
  expect(await sandbox.getProcess(process.id)).toMatchObject({ status: 'error', reason: 'the host is gone' });
  expect((await eventsOf(await sandbox.streamProcessLogs(process.id))).at(-1)).toMatchObject({
    type: 'error',
    data: 'the host is gone',
  });
  await until(() => ends.length === 2, 'both callbacks');
  expect(ends).toEqual([`process ${process.id}: the host is gone`, null]);
});

it('an unknown process is null for getProcess, and PROCESS_NOT_FOUND for every other method', async () => {
  const sandbox = newSandbox();
  const unknown = { code: 'PROCESS_NOT_FOUND', processId: 'p' };
  const ask = async (): Promise<void> => {
    expect(await sandbox.getProcess('p')).toBeNull();
    await expect(sandbox.killProcess('p')).rejects.toMatchObject(unknown);
    await expect(sandbox.getProcessLogs('p')).rejects.toMatchObject(unknown);
    await expect(sandbox.streamProcessLogs('p')).rejects.toMatchObject(unknown);
    await expect(sandbox.waitForLog('p', 'x')).rejects.toMatchObject(unknown);
    await expect(sandbox.waitForExit('p')).rejects.toMatchObject(unknown);
  };
  await ask(); // There is no session yet.
  expect(await sandbox.killAllProcesses()).toBe(0);
  await (await sandbox.startProcess('true')).waitForExit();
  await ask();
});

it('the command of its README shows two processes at once', async () => {
  const block = blocksOf('examples/sandbox-processes/README.md', [
    ['http://127.0.0.1:8787', real.stack.url],
    ['hf_…', real.stack.apiKey],
    ['npm run build', 'true'],
  ])[1];
  const said = (await new Terminal().run(block ?? [])).at(-1);
  expect(said).toMatchObject({ code: 0, stderr: '' });
  expect(said?.stdout).toMatch(
    /^the server says: listening on 3000\nthe build ended with 3\nand wrote "fetch\\ncompile\\ntest\\n"\n\S+ killed 130 .*\n\S+ failed 3 .*\n$/,
  );
});

describe('how an execution is shown', () => {
  it.each([
    [{ status: 'queued' }, 'starting', undefined],
    [{ status: 'pending' }, 'starting', undefined],
    [{ status: 'running' }, 'running', undefined],
    [{ status: 'completed', exitCode: 0 }, 'completed', 0],
    [{ status: 'failed', code: 'exit_nonzero', exitCode: 1 }, 'failed', 1],
    [{ status: 'failed', code: 'exit_nonzero', exitCode: 143 }, 'killed', 143],
    [{ status: 'failed', code: 'exit_nonzero', exitCode: null, signal: 'SIGSEGV' }, 'killed', 139],
    [{ status: 'failed', code: 'exit_nonzero', signal: 'SIG34' }, 'killed', 162],
    [{ status: 'failed', code: 'out_of_memory', signal: 'SIGKILL' }, 'killed', 137],
    [{ status: 'failed', code: 'runtime_exceeded', signal: 'SIGTERM' }, 'killed', 143],
    [{ status: 'failed', code: 'wrapper_disconnected' }, 'error', undefined],
    [{ status: 'interrupted', exitCode: 0 }, 'killed', 0],
    [{ status: 'interrupted' }, 'killed', undefined],
  ] as const)('%j is %s, with exit code %s', (end, status, exitCode) => {
    expect(statusOf(end)).toBe(status);
    expect(exitCodeOf(end)).toBe(exitCode);
  });
});
