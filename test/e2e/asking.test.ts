/**
 * Goal: a question of an agent through the whole stack: it is seen in views, lists and on the
 * command line, is answered once, and the agent goes on; also when its wrapper and the coordinator
 * are killed while it waits.
 * Method: the real stack, SIGKILL, and agents that play lines of recorded runs.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HoldfastError } from '../../client/index.ts';
import { result } from '../support/cli-call.ts';
import { type AgentStep, CLAUDE_ASKS, CLAUDE_END, claudeCancels, type FakeAgent, fakeAgent } from '../support/fake-agent.ts';
import { RealStack, until } from '../support/real-stack.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(async () => {
  await real?.close();
  removeTemporaryFolders();
});

const QUESTION = CLAUDE_ASKS.request_id as string;

async function startAgent(session: string, steps: readonly AgentStep[]) {
  const agent: FakeAgent = fakeAgent(steps);
  const { execution } = await real.client.start(session, { id: 'e1', command: agent.command, format: 'claude', openStdin: true });
  const run = real.client.execution(session, execution.id);
  const asks = () => expect.poll(async () => (await run.get()).asking?.id, { timeout: 40_000 }).toBe(QUESTION);
  return { agent, run, asks };
}

const holdfast = (...args: string[]) => result(real.stack.url, args, { env: { HOLDFAST_API_KEY: real.stack.apiKey } });

/** Kills the wrapper, and waits for the next one. */
async function replaceWrapper(session: string): Promise<void> {
  const pid = real.run(session, 'e1')?.pid;
  if (!pid) throw new Error('no wrapper runs');
  process.kill(pid, 'SIGKILL');
  await until(() => ![pid, null, undefined].includes(real.run(session, 'e1')?.pid), 'the next wrapper');
}

/** How often there is an event of the type. */
const count = async (session: string, type: string): Promise<number> =>
  (await real.read(session, 'e1')).filter((event) => event.type === type).length;

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'accepted',
    (error: unknown) => (error instanceof HoldfastError ? error.code : error),
  );

it('an agent asks, is answered once from the command line, and goes on', async () => {
  const { agent, run, asks } = await startAgent('a1', [{ print: CLAUDE_ASKS }, { reads: 1 }, { print: CLAUDE_END }]);
  await asks();
  const { asking } = await run.get();
  expect(asking).toMatchObject({ kind: 'permission', options: [{ id: 'allow' }, {}, { id: 'deny', refuses: true }] });
  const listed = async () => (await real.client.sessions()).data.find(({ id }) => id === 'a1');
  await expect.poll(async () => (await listed())?.asking, { timeout: 40_000 }).toBe(true);
  expect((await real.client.session('a1')).asking).toBe(true);
  expect(await codeOf(run.answer({ id: QUESTION, option: 'perhaps' }))).toBe('bad_request');
  expect(await codeOf(run.answer({ id: 'another', option: 'allow' }))).toBe('not_asking');

  expect((await holdfast('logs', 'a1/e1')).err).toContain(`holdfast answer a1/e1 --id ${QUESTION} allow | always | deny`);
  const answered = await holdfast('answer', 'a1/e1', 'allow');
  expect([answered.code, answered.err]).toEqual([0, expect.stringContaining('was answered: Allow')]);
  expect(await codeOf(run.answer({ id: QUESTION, option: 'deny' }))).toBe('already_answered');
  expect(await run.wait()).toMatchObject({ status: 'completed', exitCode: 0 });
  expect(agent.read()).toMatchObject([{ response: { request_id: QUESTION, response: { behavior: 'allow' } } }]);
  expect(await codeOf(run.answer({ id: QUESTION, option: 'deny' }))).toBe('already_answered');
  await expect.poll(async () => (await listed())?.asking, { timeout: 40_000 }).toBeUndefined();
  const types = (await real.read('a1', 'e1')).map(({ type }) => type);
  expect(types.filter((type) => ['asking', 'answered', 'asking_ended'].includes(type))).toEqual(['asking', 'answered']);
  const log = await holdfast('logs', 'a1/e1');
  expect(log.out).toContain('Allow Write: /repo/new.txt?');
  expect(log.err).not.toContain('holdfast answer');
});

it('an agent withdraws its question: an answer comes too late', async () => {
  const gone = join(temporaryFolder(), 'gone');
  const { agent, run } = await startAgent('a2', [{ print: CLAUDE_ASKS }, { print: claudeCancels(CLAUDE_ASKS) }, { wait: gone }]);
  for await (const { type } of real.follow('a2', 'e1')) if (type === 'asking_ended') break;
  expect(await codeOf(run.answer({ id: QUESTION, option: 'allow' }))).toBe('not_asking');
  expect(await run.get()).not.toHaveProperty('asking');
  writeFileSync(gone, '');
  await run.wait();
  expect(agent.read()).toEqual([]);
});

it('[G10] the wrapper and the coordinator are killed while an agent asks: asked once, answered once', async () => {
  const end = join(temporaryFolder(), 'end');
  // It would read a second reply as well.
  const steps = [{ print: CLAUDE_ASKS }, { reads: 1 }, { wait: end }, { print: CLAUDE_END }];
  const { agent, run, asks } = await startAgent('a3', steps);
  await asks();
  await replaceWrapper('a3');
  await real.stack.restart();
  await asks();
  await run.answer({ id: QUESTION, option: 'deny' });
  await until(() => agent.read().length === 1, 'the reply');
  await replaceWrapper('a3');
  expect(await codeOf(run.answer({ id: QUESTION, option: 'allow' }))).toBe('already_answered');
  writeFileSync(end, '');
  expect(await run.wait()).toMatchObject({ status: 'completed' });
  expect(agent.read()).toMatchObject([{ response: { response: { behavior: 'deny' } } }]);
  expect([await count('a3', 'asking'), await count('a3', 'answered'), await count('a3', 'asking_ended')]).toEqual([1, 1, 0]);
});
