/**
 * Goal: [AGT6] a long JSON line arrives once and whole, or is marked, whatever happens to its
 * wrapper and its connection between two of its parts.
 * Method: real wrapper processes that are cut off or killed at the point in question; the events
 * that the coordinator has are read by the readers of `agent/`.
 */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { type ConversationEvent, ConversationReader } from '../../agent/index.ts';
import { AGENT_LINE_BYTES_MAX, type JsonObject, QUESTION_BYTES_MAX, utf8Bytes, WRAPPER_FEATURES } from '../../protocol/index.ts';
import { CLAUDE_ASKS, fakeAgent } from '../support/fake-agent.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { gate, removeTemporaryFolders, startWrapper, temporaryFolder, type WrapperProcess } from '../support/wrapper-run.ts';

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

const start = (command: string[], spool = temporaryFolder(), args = ['--format', 'jsonl']): WrapperProcess => {
  const wrapper = startWrapper(coordinator, command, { spool, args });
  started.push(wrapper);
  return wrapper;
};
const ofType = (type: string) => coordinator.events.filter((event) => event.type === type);
const partsSeen = (more: number) => {
  const before = ofType('agent_part').length;
  return coordinator.until(() => ofType('agent_part').length >= before + more, 'parts');
};

/** The job: numbered JSON lines of a MiB each, until the gate opens, and a last one. */
function numbered() {
  const { open, isOpen } = gate();
  const file = /'(.*)'/.exec(isOpen)?.[1] as string;
  const script = `const { existsSync } = require('node:fs');
    let n = 0;
    const next = () => {
      const end = existsSync(process.argv[1]);
      n += 1;
      process.stdout.write(JSON.stringify({ n, x: 'é"'.repeat(${1024 * 1024} / 4), end }) + '\\n', end ? undefined : () => setTimeout(next, 5));
    };
    next();`;
  return { open, command: [process.execPath, '-e', script, file] };
}

/** What the readers make of the log: the numbers of whole lines, and how many broken texts. */
function readLog() {
  const reader = new ConversationReader('jsonl');
  reader.add(coordinator.events.map((event, at): ConversationEvent => ({ ...event, offset: at + 1 })));
  const numbers: number[] = [];
  const marked: number[] = [];
  for (const item of reader.items) {
    if (item.type !== 'raw') continue;
    const line = item.stream === undefined && item.text.endsWith('}') ? (JSON.parse(item.text) as { n: number; x: string }) : null;
    if (line) {
      expect(line.x.length).toBe((1024 * 1024) / 2);
      numbers.push(line.n);
    } else if (item.stream === undefined) {
      expect(item.text).toMatch(/^\{.*\[part \d+ of \d+ of this line is not here\]$/);
      marked.push(item.to);
    }
  }
  return { numbers, marked };
}

it('a connection that is cut between the parts, again and again: each line is whole, and there once', async () => {
  const { open, command } = numbered();
  const wrapper = start(command);
  for (let round = 0; round < 6; round += 1) {
    await partsSeen(5);
    coordinator.last.cut();
  }
  open();
  expect((await wrapper.ended).code).toBe(0);
  const { numbers, marked } = readLog();
  expect(numbers).toEqual(numbers.map((_, at) => at + 1));
  expect(marked).toEqual([]);
  expect(ofType('gap')).toEqual([]);
  expect(coordinator.faults).toEqual([]);
}, 120_000);

it('a wrapper that is killed between the parts: lines are whole and there once, or they end at a gap and are marked', async () => {
  const { open, command } = numbered();
  let wrapper = start(command);
  for (let round = 0; round < 6; round += 1) {
    await partsSeen(9);
    wrapper.process.kill('SIGKILL');
    await wrapper.ended;
    wrapper = start(['true'], wrapper.spool);
  }
  await partsSeen(17);
  open();
  expect((await wrapper.ended).code).toBe(0);
  const { numbers, marked } = readLog();
  expect(numbers).toEqual([...new Set(numbers)].sort((one, other) => one - other));
  expect(numbers.length).toBeGreaterThan(0);
  // Each kill breaks at most one line.
  expect(marked.length).toBeLessThanOrEqual(6);
  for (const offset of marked) expect(coordinator.events[offset - 1]?.type).toBe('gap');
  expect(ofType('gap')).toHaveLength(6);
  expect(coordinator.faults).toEqual([]);
}, 240_000);

it('[SPL39] a log that is full within a line: the line is marked, and the gap and the end follow', async () => {
  coordinator.policy = { ...coordinator.policy, maxLogBytes: 1024 * 1024 };
  const program = `process.stdout.write(JSON.stringify({ x: 'y'.repeat(${3 * 1024 * 1024}) }) + '\\n{"after":1}\\n')`;
  const wrapper = start([process.execPath, '-e', program]);
  expect((await wrapper.ended).code).toBe(0);
  const types = coordinator.events.map(({ type }) => type);
  expect(types.slice(types.lastIndexOf('agent_part') + 1)).toEqual(['status', 'gap', 'exit']);
  expect(ofType('gap')[0]?.data).toMatchObject({ reason: 'log_full' });
  const { numbers, marked } = readLog();
  expect([numbers, marked.length]).toEqual([[], 1]);
  expect(coordinator.faults).toEqual([]);
});

it('[ASK9] a request of 8 MiB asks too: its question is short, and the reply has the whole input', async () => {
  const asks = structuredClone(CLAUDE_ASKS);
  const input = (asks.request as JsonObject).input as JsonObject;
  input.content = '';
  input.content = 'é'.repeat((AGENT_LINE_BYTES_MAX - utf8Bytes(JSON.stringify(asks))) / 2);
  const agent = fakeAgent([{ print: asks }, { reads: 1 }]);
  const wrapper = start(agent.command, temporaryFolder(), ['--format', 'claude', '--stdin', 'open']);
  await coordinator.until(() => ofType('asking').length === 1, 'the question');
  const index = coordinator.events.findIndex(({ type }) => type === 'asking');
  const parts = ofType('agent_part').length;
  expect(coordinator.events[index - 1]).toMatchObject({ type: 'agent_part', data: { part: parts, parts } });
  expect(utf8Bytes(JSON.stringify(coordinator.events[index]?.data))).toBeLessThanOrEqual(QUESTION_BYTES_MAX);
  coordinator.sendCommand({ id: 7, command: 'answer', data: { question: asks.request_id as string, option: 'allow' } });
  expect((await wrapper.ended).code).toBe(0);
  const [reply] = agent.read() as { response: { response: { updatedInput: JsonObject } } }[];
  expect(reply?.response.response.updatedInput.content === input.content).toBe(true);
  expect(coordinator.faults).toEqual([]);
}, 120_000);
