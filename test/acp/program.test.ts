/**
 * Goal: holdfast-acp as a process beside a real process of an agent: pipes, files, exit codes.
 * Method: test/support/acp-agent.mjs, which does what its prompt says.
 */

import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { USAGE } from '../../acp/options.ts';
import { VERSION } from '../../protocol/version.ts';
import { AcpRuns, acpAgent, itemsOf, linesOf, messagesOf } from '../support/acp-run.ts';
import { removeTemporaryFolders, temporaryFolder, until } from '../support/wrapper-run.ts';

const runs = new AcpRuns();
afterEach(() => runs.end());
afterAll(removeTemporaryFolders);

it('[ACP5] [ACP6] messages, files, a command and an answer, until stdin ends', async () => {
  const run = runs.start(['--files', '--terminal', ...acpAgent()]);
  writeFileSync(join(run.cwd, 'a.txt'), 'content\n');
  run.child.stdin.write('read a.txt\n');
  await until(() => run.out.includes('end_turn'), 'the first turn');
  const text = 'write sub/new.txt hello\nread /etc/hostname\nrun echo said; exit 3\nask';
  run.child.stdin.write(
    `${JSON.stringify({ jsonrpc: '2.0', method: 'session/prompt', params: { prompt: [{ type: 'text', text }] } })}\n`,
  );
  const question = () => linesOf(run).find(({ method }) => method === 'session/request_permission');
  await until(() => question() !== undefined, 'the question');
  run.child.stdin.end(
    `${JSON.stringify({ jsonrpc: '2.0', id: question()?.id, result: { outcome: { outcome: 'selected', optionId: 'once' } } })}\n`,
  );
  expect([await run.exit, run.err]).toEqual([0, '']);
  expect(messagesOf(run).join('|')).toContain('content\n');
  expect(messagesOf(run).join('|')).toMatch(/is outside of the working directory/);
  expect(messagesOf(run).join('|')).toContain('said\n(3)');
  expect(readFileSync(join(run.cwd, 'sub', 'new.txt'), 'utf8')).toBe('hello');
  const tools = itemsOf(run).filter((item) => item.type === 'tool');
  expect(tools).toMatchObject([
    { title: 'echo said; exit 3', state: 'done', output: 'said\n' },
    { title: 'make', state: 'done' },
  ]);
  expect(itemsOf(run).every(({ type }) => type !== 'raw')).toBe(true);
  expect(linesOf(run).find(({ holdfast }) => holdfast)).toMatchObject({
    message: expect.stringContaining('Refused to read: /etc/hostname is outside'),
  });
});

it('[ACP5] what is not offered is unknown', async () => {
  const run = runs.start(['--prompt', 'read a.txt\nrun echo hello', ...acpAgent()]);
  run.child.stdin.end();
  expect(await run.exit).toBe(0);
  expect(messagesOf(run).join('|')).toMatch(/\[-32601\].*fs\/read_text_file.*\[-32601\].*terminal\/create/);
});

it('a working directory by --cwd, reached by a link', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'real'));
  writeFileSync(join(folder, 'real', 'a.txt'), 'here');
  symlinkSync('real', join(folder, 'link'));
  const run = runs.start(['--files', '--cwd', join(folder, 'link'), '--prompt', 'read a.txt', ...acpAgent()]);
  run.child.stdin.end();
  expect([await run.exit, messagesOf(run)]).toEqual([0, ['here']]);
  const missing = runs.start(['--cwd', join(folder, 'missing'), ...acpAgent()]);
  expect([await missing.exit, missing.err]).toEqual([2, expect.stringContaining('--cwd')]);
});

it('[ACP1] lines that are no JSON are printed as they are', async () => {
  const run = runs.start(['--prompt', 'plain noise\nsay done', ...acpAgent({ prints: ['Welcome', '{"not":"rpc"}'] })]);
  run.child.stdin.end();
  expect(await run.exit).toBe(0);
  expect(run.out).toContain('Welcome\n{"not":"rpc"}\n');
  expect(run.out).toContain('\nnoise\n');
});

it.each([
  ['in its turn', 'flood'],
  ['after the end of its stdin', 'last'],
])('[ACP1] [ACP7] lines that the agent prints %s are all there, for a reader that is slow', async (_, verb) => {
  const run = runs.start(['--prompt', `${verb} 5000`, ...acpAgent()]);
  run.child.stdin.end();
  run.child.stdout.on('data', () => {
    run.child.stdout.pause();
    setTimeout(() => run.child.stdout.resume(), 5);
  });
  expect(await run.exit).toBe(0);
  expect(run.out.match(/^flood \d+ /gm)?.map((line) => Number(line.split(' ')[1]))).toEqual(
    Array.from({ length: 5000 }, (_, at) => at),
  );
});

it('[ACP7] SIGTERM ends a run whose reader has stopped', async () => {
  const run = runs.start(['--prompt', 'flood 5000', ...acpAgent()]);
  run.child.stdin.end();
  await until(() => run.out.includes('flood 0'), 'the first lines');
  run.child.stdout.pause();
  const exited = once(run.child, 'exit');
  run.child.kill('SIGTERM');
  expect(await exited).toEqual([143, null]);
  run.child.stdout.resume();
});

it('SIGINT: the agent is told to cancel, and ends by itself', async () => {
  const run = runs.start(['--prompt', 'say begun\nwait', ...acpAgent()]);
  await until(() => run.out.includes('begun'), 'the turn');
  run.child.kill('SIGINT');
  expect([await run.exit, run.err]).toEqual([130, '']);
  expect(linesOf(run).at(-1)).toMatchObject({ result: { stopReason: 'cancelled' } });
});

it('an agent that ends in its turn', async () => {
  const run = runs.start(['--prompt', 'exit 7', ...acpAgent()]);
  expect([await run.exit, run.err]).toEqual([5, 'holdfast-acp: node ended with exit code 7 before its turn was over.\n']);
});

it('the program prints its usage and its version, and refuses wrong arguments with 2', async () => {
  const help = runs.start(['--help']);
  expect([await help.exit, help.out]).toEqual([0, USAGE]);
  const version = runs.start(['--version']);
  expect([await version.exit, version.out]).toEqual([0, `${VERSION}\n`]);
  const wrong = runs.start(['--nope']);
  expect([await wrong.exit, wrong.err]).toEqual([2, expect.stringContaining('--nope')]);
});
