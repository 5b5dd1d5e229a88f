/**
 * Goal: the job stands apart from every connection and from the program that launched it, from end
 * to end. Method: the real stack with a runner of two slots. What the runner does by itself is in
 * test/runner/runner.long.test.ts.
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { identityOf, isAlive, type ProcessIdentity, signalProcess } from '../../wrapper/processes.ts';
import { processesWith, RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start({ slots: 2 });
});
afterAll(() => real?.close());

const pool = async () => {
  const { runners, queue } = await real.client.pool('default');
  return { runners: runners.map(({ id, state, busy, slots }) => ({ id, state, busy, slots })), waiting: queue.length };
};

let files = 0;
/**
 * A job that stays until the test lets it go: however slow the machine is, it neither ends too
 * early nor keeps anyone waiting.
 */
function held(script: string, then = 'true'): { command: string[]; release: () => void } {
  files += 1;
  const file = join(real.folder, `release-${files}`);
  const command = ['sh', '-c', `${script}; until [ -e '${file}' ]; do sleep 0.05; done; ${then}`];
  return { command, release: () => writeFileSync(file, '') };
}

/** The job's process, once it runs. */
async function jobOf(session: string, execution: string): Promise<ProcessIdentity> {
  for await (const { type, data } of real.follow(session, execution)) {
    if (type === 'started') return identityOf(Number(data.pid)) as ProcessIdentity;
  }
  throw new Error('it never started');
}

async function serve(args: string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'wrapper', 'main.ts'), 'serve', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, stderr };
}

it('a second runner on the same folder ends with a message and disturbs neither runner nor job', async () => {
  const { command, release } = held('echo one', 'echo two');
  await real.client.start('twice', { id: 'e1', command });
  const job = await jobOf('twice', 'e1');
  const before = { pool: await pool(), runs: real.runs() };

  const key = ['--url', real.stack.url, '--key-file', join(real.stack.data, 'runner.key')];
  const second = await serve([...key, '--spool', join(real.stack.data, 'runner')]);
  expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('a runner already uses') });

  expect(isAlive(job)).toBe(true);
  expect({ pool: await pool(), runs: real.runs() }).toEqual(before);
  release();
  expect(await real.client.wait('twice', 'e1')).toMatchObject({ status: 'completed', epoch: 1 });
});

it('a client that goes away aborts nothing: neither a viewer, nor a killed terminal, nor a caller who did not wait for the answer', async () => {
  const { command, release } = held('echo one', 'echo two');
  await real.client.start('gone', { id: 'e1', command });
  const job = await jobOf('gone', 'e1'); // Its viewer has left by now.

  const terminal = spawn(process.execPath, [join(ROOT, 'cli', 'main.ts'), 'logs', 'e1', '--session', 'gone', '-f'], {
    env: real.userEnv,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((done) => terminal.stdout.once('data', done));
  terminal.kill('SIGKILL');

  const abort = new AbortController();
  const waiting = real.client.wait('gone', 'e1', { signal: abort.signal });
  waiting.catch(() => {});
  await sleep(100);
  abort.abort();
  await expect(waiting).rejects.toThrow();

  expect(isAlive(job)).toBe(true);
  release();
  expect(await real.client.wait('gone', 'e1')).toMatchObject({ status: 'completed', exitCode: 0 });
  const text = (await real.read('gone', 'e1')).filter(({ type }) => type === 'output').map(({ data }) => data.text);
  expect(text.join('')).toBe('one\ntwo\n');
});

it('a cancel is answered 202, however often, until the exit is proven; then 200 and nothing changes', async () => {
  const release = join(real.folder, 'release');
  // It takes the signal and needs its time to end.
  const script = `trap 'while [ ! -e "${release}" ]; do sleep 0.1; done; exit 7' INT; echo up; while :; do sleep 0.1; done`;
  await real.client.start('cancel', { id: 'e1', command: ['sh', '-c', script], policy: { interruptGraceMs: 60_000 } });
  for await (const { type } of real.follow('cancel', 'e1')) if (type === 'output') break;
  const job = await jobOf('cancel', 'e1');

  const cancel = async () => {
    const answer = await fetch(`${real.stack.url}/v1/sessions/cancel/executions/e1/interrupt`, {
      method: 'POST',
      headers: { authorization: `Bearer ${real.stack.apiKey}` },
    });
    return [answer.status, (await answer.json()) as { settled?: boolean }] as const;
  };
  for (let i = 0; i < 3; i += 1) {
    const [status, body] = await cancel();
    expect([status, body.settled]).toEqual([202, false]);
    await sleep(200);
  }
  expect(isAlive(job)).toBe(true);
  expect(await real.client.get('cancel', 'e1')).toMatchObject({ status: 'running' });

  writeFileSync(release, '');
  expect(await real.client.wait('cancel', 'e1')).toMatchObject({ status: 'interrupted', exitCode: 7 });
  await until(() => !isAlive(job), 'the job has ended');
  const [status, body] = await cancel();
  expect([status, body.settled]).toEqual([200, false]);
  const events = await real.read('cancel', 'e1');
  expect(events.filter(({ type }) => type === 'interrupt_requested')).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'execution_interrupted')).toHaveLength(1);
});

it('a dispatch is idempotent by its id and bound to its request: again is the same run, another request is 409', async () => {
  const marks = join(real.folder, 'marks');
  const { command, release } = held(`echo run >> '${marks}'; echo out`);
  const request = { id: 'e1', command };
  const answers = await Promise.all(Array.from({ length: 5 }, () => real.client.start('dispatch', request)));
  expect(answers.filter(({ created }) => created)).toHaveLength(1);
  expect(new Set(answers.map(({ execution }) => execution.id))).toEqual(new Set(['e1']));
  await expect(real.client.start('dispatch', { ...request, command: ['true'] })).rejects.toMatchObject({
    status: 409,
    code: 'execution_id_conflict',
  });
  release();
  expect(await real.client.wait('dispatch', 'e1')).toMatchObject({ status: 'completed' });
  // Also after its end, and also when the coordinator was a new process in between.
  expect(await real.client.start('dispatch', request)).toMatchObject({ created: false, execution: { status: 'completed' } });
  expect(readFileSync(marks, 'utf8')).toBe('run\n');
});

it('an execution waits while every slot is taken, and gets the slot of a job that has ended', async () => {
  const hold = ['sh', '-c', 'echo up; sleep 600'];
  for (const session of ['slot-1', 'slot-2']) {
    await real.client.start(session, { id: 'e1', command: hold });
    await jobOf(session, 'e1');
  }
  await real.client.start('slot-3', { id: 'e1', command: ['echo', 'at last'] });
  await until(async () => (await real.client.get('slot-3', 'e1')).waiting?.reason === 'busy', 'it waits for a slot');
  // No viewer follows any of them: a slot is the job's, not a connection's.
  expect(await pool()).toMatchObject({ runners: [{ busy: 2, slots: 2 }], waiting: 1 });

  await real.client.interrupt('slot-1', 'e1', { force: true });
  expect(await real.client.wait('slot-3', 'e1')).toMatchObject({ status: 'completed' });
  await real.client.interrupt('slot-2', 'e1', { force: true });
  for (const session of ['slot-1', 'slot-2'])
    expect(await real.client.wait(session, 'e1')).toMatchObject({ status: 'interrupted' });
});

it('a source that ends without saying how is an error, never a success', async () => {
  const done = join(real.folder, 'done');
  // Held until its wrapper is dead, so that no process can report its end.
  const { command, release } = held('echo up', `touch '${done}'; exit 0`);
  await real.client.start('silent', { id: 'e1', command, policy: { disconnectGraceMs: 3000 } });
  const job = await jobOf('silent', 'e1');
  // Without its runner the wrapper is not restarted.
  await real.stack.killRunner();
  const [wrapper] = processesWith(done).filter(({ command }) => command.includes('--spool'));
  signalProcess(identityOf(wrapper?.pid ?? 0) as ProcessIdentity, 'SIGKILL');
  release();
  try {
    expect(await real.client.wait('silent', 'e1')).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
    // The job itself succeeded, but its end was never reported.
    await until(() => !isAlive(job), 'the job has ended');
    expect(existsSync(done)).toBe(true);
  } finally {
    await real.stack.startRunner();
  }
});
