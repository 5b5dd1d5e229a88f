/**
 * Goal: an agent that speaks ACP as a job of the whole stack: prompt, tool, files inside and outside
 * of the working directory, a permission that is answered from the command line, a second turn by
 * input, the end.
 * Method: the real stack with a runner of a pool, and an agent that does what its prompt says
 * (acp-agent.mjs).
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ConversationReader, encodeMessage, type Item } from '../../agent/index.ts';
import { AcpRuns, acpAgent } from '../support/acp-run.ts';
import { result } from '../support/cli-call.ts';
import { RealStack, until } from '../support/real-stack.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

let real: RealStack;
const runs = new AcpRuns();
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(async () => {
  await real?.close();
  removeTemporaryFolders();
});

const holdfast = (...args: string[]) => result(real.stack.url, args, { env: { HOLDFAST_API_KEY: real.stack.apiKey } });

async function startAgent(session: string, prompt: string) {
  const cwd = temporaryFolder();
  const command = [process.execPath, runs.program, '--files', '--terminal', '--prompt', prompt, ...acpAgent()];
  const { execution } = await real.client.start(session, { id: 'e1', command, cwd, format: 'acp', openStdin: true });
  const reader = new ConversationReader('acp');
  const read = async (): Promise<void> => {
    for await (const event of real.follow(session, 'e1')) reader.add([event]);
  };
  return { cwd, run: real.client.execution(session, execution.id), items: reader.items, read: read() };
}

const said = (all: readonly Item[], role: string): string[] =>
  all.flatMap((item) => (item.type === 'message' && item.role === role ? [item.markdown] : []));

it('prompt, command, files, a permission, a second turn, the end', async () => {
  const prompt = 'read a.txt\nread /etc/hostname\nwrite new.txt hello\nrun echo from the command\nask';
  const { cwd, run, items, read } = await startAgent('acp1', prompt);
  writeFileSync(join(cwd, 'a.txt'), 'inside');
  await expect.poll(async () => (await run.get()).asking?.text, { timeout: 60_000 }).toBe('Allow: make?');
  expect((await run.get()).asking).toMatchObject({ kind: 'permission', options: [{ id: 'once' }, { id: 'no', refuses: true }] });

  const answered = await holdfast('answer', 'acp1/e1', 'once');
  expect([answered.code, answered.err]).toEqual([0, expect.stringContaining('was answered: Allow once')]);
  const turns = (): number => items.filter(({ type }) => type === 'turn_end').length;
  await until(() => turns() === 1, 'the end of the turn');
  expect(await run.get()).not.toHaveProperty('asking');

  await run.send({ text: encodeMessage('acp', 'say second turn') as string });
  await until(() => turns() === 2, 'the second turn');
  await holdfast('send', 'acp1/e1', 'say third turn');
  await run.send({ eof: true });
  expect(await run.wait()).toMatchObject({ status: 'completed', exitCode: 0 });

  await read;
  expect(said(items, 'user')).toEqual([prompt, 'say second turn', 'say third turn']);
  expect(said(items, 'assistant').join('|')).toMatch(
    /^inside\|.*\/etc\/hostname is outside of .*written\|from the command\n\(0\)\|.*"optionId":"once"}\|second turn\|third turn$/,
  );
  expect(items.filter((item) => item.type === 'tool')).toMatchObject([
    { title: 'echo from the command', state: 'done', output: 'from the command\n' },
    { title: 'make', state: 'done' },
  ]);
  expect(items.filter((item) => item.type === 'question')).toMatchObject([
    { state: 'answered', answer: { option: 'once', by: {} } },
  ]);
  expect(items.filter((item) => item.type === 'turn_end')).toMatchObject([{ state: 'done' }, { state: 'done' }, { state: 'done' }]);
  expect(items.filter((item) => item.type === 'notice')).toMatchObject([
    { text: expect.stringContaining('Refused to read: /etc/hostname') },
  ]);
  expect(items.filter((item) => item.type === 'raw')).toEqual([]);
  expect(readFileSync(join(cwd, 'new.txt'), 'utf8')).toBe('hello');
  const log = await holdfast('logs', 'acp1/e1');
  expect(log.out).toContain('> say second turn');
  expect(log.out).not.toContain('jsonrpc');
});

it('a denied permission, and an interrupt that cancels the turn', async () => {
  const { run, items, read } = await startAgent('acp2', 'ask\nsay waiting\nwait');
  await expect.poll(async () => (await run.get()).asking?.id, { timeout: 60_000 }).toBeDefined();
  await holdfast('answer', 'acp2/e1', 'no');
  await until(() => said(items, 'assistant').join().includes('waiting'), 'the turn');
  await run.interrupt();
  expect(await run.wait()).toMatchObject({ status: 'interrupted' });
  await read;
  expect(items.filter((item) => item.type === 'tool')).toMatchObject([{ title: 'make', state: 'refused' }]);
  expect(items.filter((item) => item.type === 'question')).toMatchObject([{ state: 'answered', answer: { option: 'no' } }]);
});
