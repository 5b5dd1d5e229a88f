/**
 * Goal: `holdfast chat` is one conversation over several executions: the agent's own id is passed
 * on, a running agent gets the next message, questions are answered in place, and nothing of it
 * depends on the wrapper that carries it.
 * Method: the real stack, and agents that print lines in the form of the real programs.
 */

import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OwnTerminal } from '../../cli/terminal/own-terminal.ts';
import { call, result } from '../support/cli-call.ts';
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

const PROGRAM = new URL('../support/chat-agent.mjs', import.meta.url);
const STREAM = [
  '-p',
  '--input-format',
  'stream-json',
  '--output-format',
  'stream-json',
  '--verbose',
  '--permission-prompt-tool',
  'stdio',
];

/** A program with the name of an agent. */
function agent(name: 'claude' | 'codex' | 'opencode') {
  const folder = temporaryFolder();
  const file = join(folder, `${name}.mjs`);
  copyFileSync(PROGRAM, file);
  return {
    command: [process.execPath, file],
    /** The arguments of each start. */
    starts: (): string[][] => {
      const text = existsSync(join(folder, 'arguments')) ? readFileSync(join(folder, 'arguments'), 'utf8') : '';
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as string[]);
    },
  };
}

const env = () => ({ HOLDFAST_API_KEY: real.stack.apiKey });
const chat = (args: string[], stdin = '') => result(real.stack.url, ['chat', ...args], { env: env(), stdin });
/** With a person at a terminal. */
const talk = (args: string[]) => call(real.stack.url, ['chat', ...args], { env: env(), tty: true, terminal: {} as OwnTerminal });

/** The executions, oldest first. */
const executionsOf = async (session: string) => (await real.client.list(session)).data.reverse();

describe('messages of a script', () => {
  it.each(['codex', 'opencode'] as const)('%s: each message is an execution that continues the one before', async (name) => {
    const { command, starts } = agent(name);
    const session = `chat-${name}`;
    const first = await chat([session, '--', ...command], 'one\n\ntwo\n');
    expect([first.code, first.out]).toEqual([0, expect.stringMatching(/> one\n\necho: one\n[\s\S]*> two\n\necho: two\n/)]);
    // Comes back without the command.
    const third = await chat([session, '--message', '--three']);
    expect([third.code, third.out]).toEqual([0, expect.stringContaining('echo: --three')]);
    expect(third.out).not.toContain('echo: two');

    const [e1, e2, e3] = await executionsOf(session);
    expect([e1?.continues, e2?.continues, e3?.continues]).toEqual([undefined, e1?.id, e2?.id]);
    expect([e1, e2, e3].every((each) => each?.format === name && each.status === 'completed')).toBe(true);
    const [one, two, three] = starts().map((words) => words.join(' '));
    const id = name === 'codex' ? /resume (\S+) two$/.exec(two ?? '')?.[1] : /--session (\S+) two$/.exec(two ?? '')?.[1];
    expect(one).toMatch(name === 'codex' ? /^exec --json one$/ : /^run --format json one$/);
    expect(three).toMatch(new RegExp(`${name === 'codex' ? 'resume' : '--session'} ${id} -- --three$`));
  });

  it('[TRN4] claude: a running agent gets the next message, its end too, and is resumed later', async () => {
    const { command, starts } = agent('claude');
    const first = await chat(['chat-claude', '--', ...command], 'one\ntwo\n');
    expect([first.code, first.out]).toEqual([0, expect.stringMatching(/> one\n\necho: one\n[\s\S]*> two\n\necho: two\n/)]);
    const [e1, ...none] = await executionsOf('chat-claude');
    expect([e1?.status, none]).toEqual(['completed', []]);

    const again = await chat(['chat-claude', '--message', 'three', '--json']);
    const printed = JSON.parse(again.out) as { reference: string; resumeId: string };
    expect([again.code, printed]).toEqual([0, expect.objectContaining({ state: 'done', text: 'echo: three', exitCode: 0 })]);
    const [, e2] = await executionsOf('chat-claude');
    expect([e2?.continues, `chat-claude/${e2?.id}`]).toEqual([e1?.id, printed.reference]);
    expect(starts()).toEqual([
      ['-p', '--input-format', 'stream-json', '--permission-prompt-tool', 'stdio', '--output-format', 'stream-json', '--verbose'],
      expect.arrayContaining(['--resume', printed.resumeId]),
    ]);
  });

  it('a line answers the question that is open', async () => {
    const { command } = agent('claude');
    const done = await chat(['chat-answer', '--', ...command, ...STREAM], 'ask\n1\nthanks\n');
    expect([done.code, done.out]).toEqual([
      0,
      expect.stringMatching(/\[question\] Allow Write[\s\S]*ask: allow[\s\S]*echo: thanks/),
    ]);
    expect(done.err).toContain('answer: 1 Allow');
    expect(done.err).toContain('answered: Allow');
  });

  it('ends with the code of a turn that failed, and sends nothing more', async () => {
    const { command, starts } = agent('codex');
    const failed = await chat(['chat-fail', '--', ...command], 'fail\nnever\n');
    expect(failed.code).toBe(3);
    expect(starts()).toHaveLength(1);
    // The agent had named the conversation, so it goes on.
    expect((await chat(['chat-fail', '--message', 'again'])).code).toBe(0);
    expect(starts()[1]).toContain('resume');
  });

  it.each([false, true])('ends with the code of a run that ended before its agent got the message; as JSON: %j', async (json) => {
    const { command, starts } = agent('claude');
    const session = `chat-early-${json}`;
    const early = chat([session, ...(json ? ['--json'] : []), '--launcher', 'none', '--', ...command], 'lost\nnever\n');
    await until(async () => (await executionsOf(session).catch(() => [])).length === 1, 'the run');
    const [e1] = await executionsOf(session);
    await real.client.interrupt(session, e1?.id as string);
    const { code, out, err } = await early;
    expect([code, err]).toEqual([130, expect.stringContaining('the agent did not get the message')]);
    if (json) expect(JSON.parse(out)).toMatchObject({ state: 'unknown', text: '', exitCode: 130 });
    expect([starts(), await executionsOf(session)]).toEqual([[], [expect.anything()]]);
  });

  it.each([
    [['chat-none'], /no run of an agent/],
    [['chat-none', '--', 'make'], /no agent that is known/],
    [['chat none', '--', 'claude'], /is no session id/],
    [['chat-none', '--message', ' ', '--', 'claude'], /--message is empty/],
  ])('%j is a mistake', async (args, message) => {
    const refused = await chat(args);
    expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(message)]);
  });
});

describe('a person', () => {
  it('[G10] talks, answers by a number and interrupts, while the wrapper is killed between', async () => {
    const session = 'chat-person';
    const { command, starts } = agent('claude');
    const chatting = talk([session, '--', ...command]);
    const seen = (text: string) => until(() => chatting.out().includes(text), text);
    chatting.type('one\r');
    await seen('echo: one');
    const [e1] = await executionsOf(session);
    const pid = real.run(session, e1?.id ?? '')?.pid;
    if (!pid) throw new Error('no wrapper runs');
    process.kill(pid, 'SIGKILL');
    await until(() => ![pid, null, undefined].includes(real.run(session, e1?.id ?? '')?.pid), 'the next wrapper');

    chatting.type('ask\r');
    await until(() => chatting.err().includes('answer: 1 Allow'), 'the question');
    chatting.type('9\r');
    await until(() => chatting.err().includes('no option "9"'), 'the refusal');
    chatting.type('2\r');
    await seen('ask: deny');
    chatting.type('wait\r');
    await seen('I wait');
    chatting.type('\u0003');
    await seen('[turn interrupted');
    chatting.type('two\r');
    await seen('echo: two');
    // What was typed is not printed a second time.
    expect(chatting.out()).not.toContain('> two');
    // No turn runs: it leaves.
    chatting.type('\u0003');
    expect(await chatting.done).toBe(130);
    expect(chatting.err()).toContain(`come back with: holdfast chat ${session}`);
    expect(starts()).toHaveLength(1);

    // The agent still waits: it gets the next message, and its end.
    const back = talk([session]);
    await until(() => back.out().includes('echo: two'), 'what was said before');
    back.type('three\r');
    await until(() => back.out().includes('echo: three'), 'the answer');
    back.type('\u0004');
    expect(await back.done).toBe(0);
    expect((await executionsOf(session)).map(({ status }) => status)).toEqual(['completed']);
    expect(starts()).toHaveLength(1);
  });
});
