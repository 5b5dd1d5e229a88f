/**
 * Goal: a question of an agent is asked once and answered once, whatever happens to its wrapper
 * meanwhile. Method: real wrapper processes, agents that play recorded lines, a coordinator that
 * the test steers, SIGKILL at the point in question.
 */

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AnswerCommandData, type JsonObject, WRAPPER_FEATURES } from '../../protocol/index.ts';
import {
  ACP_ASKS,
  type AgentStep,
  CLAUDE_ASKS,
  CLAUDE_END,
  claudeCancels,
  type FakeAgent,
  fakeAgent,
} from '../support/fake-agent.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, startWrapper, temporaryFolder, until, type WrapperProcess } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const started: WrapperProcess[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.features = WRAPPER_FEATURES;
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

const ASKS = CLAUDE_ASKS.request_id as string;
const INIT: JsonObject = { type: 'system', subtype: 'init', session_id: 's', uuid: 'u' };

function start(agent: FakeAgent, { format = 'claude', spool = temporaryFolder(), args = [] as string[], env = {} } = {}) {
  const wrapper = startWrapper(coordinator, agent.command, {
    spool,
    args: ['--format', format, '--stdin', 'open', ...args],
    env,
  });
  started.push(wrapper);
  return wrapper;
}
const kill = async (wrapper: WrapperProcess) => {
  wrapper.process.kill('SIGKILL');
  await wrapper.ended;
};
const ofType = (...types: string[]) => coordinator.events.filter(({ type }) => types.includes(type));
const asked = (count = 1) => coordinator.until(() => ofType('asking').length === count, 'the question');
const answer = (id: number, data: AnswerCommandData) => coordinator.sendCommand({ id, command: 'answer', data });
const statuses = () => ofType('status').map(({ data }) => data.message);

describe('[ASK9] [ASK10] an agent that asks', () => {
  it('Claude Code: the question follows its line at once, and the reply is the one that it reads', async () => {
    const { wait, open } = fileGate();
    const agent = fakeAgent([{ print: INIT }, { print: CLAUDE_ASKS }, { reads: 1 }, { wait }, { print: CLAUDE_END }]);
    const wrapper = start(agent);
    await asked();
    const index = coordinator.events.findIndex(({ type }) => type === 'asking');
    expect(coordinator.events[index - 1]).toMatchObject({ type: 'agent', data: { request_id: ASKS } });
    expect(coordinator.events[index]?.data).toMatchObject({ id: ASKS, kind: 'permission', tool: 'toolu_0019' });
    answer(7, { question: ASKS, option: 'allow' });
    await until(() => agent.read().length === 1, 'the reply');
    await coordinator.until(() => coordinator.ackedCommands.includes(7), 'the ack');
    expect(agent.read()).toMatchObject([
      { type: 'control_response', response: { request_id: ASKS, response: { behavior: 'allow' } } },
    ]);
    open();
    expect((await wrapper.ended).code).toBe(0);
    expect(ofType('asking', 'asking_ended')).toHaveLength(1);
    expect(coordinator.faults).toEqual([]);
    expect(readdirSync(wrapper.spool)).toEqual([]);
  });

  it('ACP: its format is found in its lines', async () => {
    const agent = fakeAgent([{ print: ACP_ASKS }, { reads: 1 }]);
    const wrapper = start(agent, { format: 'auto' });
    await asked();
    answer(7, { question: '0', option: 'once' });
    expect((await wrapper.ended).code).toBe(0);
    expect(agent.read()).toEqual([{ jsonrpc: '2.0', id: 0, result: { outcome: { outcome: 'selected', optionId: 'once' } } }]);
  });

  it('and withdraws: the question has ended, and an answer that comes later is not written', async () => {
    const { wait, open } = fileGate();
    const agent = fakeAgent([{ print: CLAUDE_ASKS }, { print: claudeCancels(CLAUDE_ASKS) }, { wait }]);
    const wrapper = start(agent);
    await coordinator.until(() => ofType('asking_ended').length === 1, 'the end of the question');
    answer(7, { question: ASKS, option: 'allow' });
    await coordinator.until(() => coordinator.ackedCommands.includes(7), 'the ack');
    open();
    expect((await wrapper.ended).code).toBe(0);
    expect(agent.read()).toEqual([]);
    expect(statuses()).toContain('an answer was not passed on: the agent had stopped waiting for it');
  });

  it('[ASK11] and ends: the question ends with it, before the end of the job', async () => {
    const wrapper = start(fakeAgent([{ print: CLAUDE_ASKS }]));
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.events.map(({ type }) => type).slice(-3)).toEqual(['asking', 'asking_ended', 'exit']);
    expect(ofType('asking_ended')[0]?.data).toEqual({ id: ASKS, reason: 'job_ended' });
    expect(existsSync(join(wrapper.spool, 'questions.json'))).toBe(false);
  });

  it('without an open stdin nothing is reported, because no answer could reach it', async () => {
    const wrapper = start(fakeAgent([{ print: CLAUDE_ASKS }]), { args: ['--stdin', 'null'] });
    expect((await wrapper.ended).code).toBe(0);
    expect(ofType('agent')).toHaveLength(1);
    expect(ofType('asking')).toEqual([]);
  });

  it('[ASK9] about a secret: it is redacted in the question and whole in the reply', async () => {
    const asks = structuredClone(CLAUDE_ASKS);
    Object.assign((asks.request as JsonObject).input as JsonObject, { file_path: '/repo/hunter2-secret' });
    const agent = fakeAgent([{ print: asks }, { reads: 1 }]);
    const wrapper = start(agent, { env: { DEPLOY_TOKEN: 'hunter2-secret' } });
    await asked();
    answer(7, { question: ASKS, option: 'allow' });
    await wrapper.ended;
    expect(coordinator.lines.join('\n')).not.toContain('hunter2-secret');
    expect(JSON.stringify(ofType('asking')[0])).toContain('[redacted]');
    expect(JSON.stringify(agent.read())).toContain('/repo/hunter2-secret');
  });
});

describe('[ASK10] a wrapper that is killed while its agent asks', () => {
  /** Asks, and would record a second reply. */
  const patient = (more: AgentStep[] = []) => {
    const end = fileGate();
    return { end, agent: fakeAgent([{ print: INIT }, { print: CLAUDE_ASKS }, { reads: 1 }, { wait: end.wait }, ...more]) };
  };

  it('is replaced: the question was asked once, and is answered once', async () => {
    const { end, agent } = patient([{ print: CLAUDE_END }]);
    const first = start(agent);
    await asked();
    await kill(first);
    const second = start(agent, { spool: first.spool });
    await coordinator.until(() => coordinator.connections.length === 2, 'the second wrapper');
    answer(7, { question: ASKS, option: 'allow' });
    await until(() => agent.read().length === 1, 'the reply');
    end.open();
    expect((await second.ended).code).toBe(0);
    expect(agent.read()).toMatchObject([{ response: { request_id: ASKS } }]);
    expect(ofType('asking')).toHaveLength(1);
    expect(ofType('asking_ended')).toEqual([]);
    expect(coordinator.faults).toEqual([]);
  });

  it('and after it passed the answer on: its successor does not answer again', async () => {
    const { end, agent } = patient();
    const first = start(agent);
    await asked();
    answer(7, { question: ASKS, option: 'allow' });
    await until(() => agent.read().length === 1, 'the reply');
    await kill(first);
    const second = start(agent, { spool: first.spool });
    await coordinator.until(() => coordinator.connections.length === 2, 'the second wrapper');
    answer(8, { question: ASKS, option: 'deny' });
    await coordinator.until(() => coordinator.ackedCommands.includes(8), 'the ack');
    end.open();
    expect((await second.ended).code).toBe(0);
    expect(agent.read()).toHaveLength(1);
    expect(ofType('asking')).toHaveLength(1);
  });

  it('and whose answer came while there was no wrapper: it is passed on by the next one, once', async () => {
    const { end, agent } = patient();
    const first = start(agent);
    await asked();
    await kill(first);
    coordinator.commands.push({ id: 7, command: 'answer', data: { question: ASKS, option: 'deny' } });
    const second = start(agent, { spool: first.spool });
    await until(() => agent.read().length === 1, 'the reply');
    // A welcome repeats what is not acknowledged yet.
    coordinator.last.cut();
    await coordinator.until(() => coordinator.connections.length === 3, 'the next connection');
    end.open();
    expect((await second.ended).code).toBe(0);
    expect(agent.read()).toMatchObject([{ response: { response: { behavior: 'deny' } } }]);
  });

  it('while the agent asks without a wrapper: its successor reports the question', async () => {
    const asks = fileGate();
    const agent = fakeAgent([{ print: INIT }, { wait: asks.wait }, { print: CLAUDE_ASKS }, { reads: 1 }]);
    const first = start(agent);
    await coordinator.until(() => ofType('agent').length === 1, 'the first line');
    await kill(first);
    asks.open();
    const second = start(agent, { spool: first.spool });
    await asked();
    answer(7, { question: ASKS, option: 'allow' });
    expect((await second.ended).code).toBe(0);
    expect(agent.read()).toHaveLength(1);
  });
});

/** A file for which an agent waits. */
function fileGate(): { wait: string; open: () => void } {
  const file = join(temporaryFolder(), 'go');
  return { wait: file, open: () => writeFileSync(file, '') };
}
