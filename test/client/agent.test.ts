/**
 * Goal: a program sees the conversation of a run as it grows, and a component sees it and answers.
 * Method: a coordinator that a test steers; React in happy-dom.
 */

import { GlobalRegistrator } from './happy-dom.ts';

const dom = new GlobalRegistrator();

import { createElement } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { type Item, type QuestionItem, readAgent, sendNext } from '../../client/agent.ts';
import { type UseConversation, type UseConversationOptions, useConversation } from '../../client/agent-react.ts';
import {
  type ConnectSocket,
  connectorOf,
  createClient,
  type HoldfastClient,
  type WebSocketConstructor,
} from '../../client/index.ts';
import { FakeSession, until } from '../support/fake-session.ts';

const connect: ConnectSocket = connectorOf(WebSocket as unknown as WebSocketConstructor);

const line = (data: Record<string, unknown>) => ({ type: 'agent', data });
const INIT = line({ type: 'system', subtype: 'init', session_id: 's', uuid: 'u', model: 'opus' });
const delta = (text: string) =>
  line({ type: 'stream_event', event: { type: 'content_block_delta', delta: { type: 'text_delta', text } } });
const ASK = line({
  type: 'control_request',
  request_id: 'r1',
  request: { subtype: 'can_use_tool', tool_name: 'Write', input: { file_path: '/a' }, tool_use_id: 't1' },
});

let fake: FakeSession;
let client: HoldfastClient;
let roots: Root[];

beforeEach(async () => {
  fake = await new FakeSession().start();
  fake.addExecution('e1', { format: 'claude' });
  client = createClient({ url: fake.url, apiKey: 'key', connect, fetch });
  roots = [];
});
afterEach(async () => {
  for (const root of roots) root.unmount();
  await fake.stop();
});
afterAll(() => dom.close());

describe('sendNext', () => {
  const said = { format: 'claude' as const, sessionId: 's' };
  const last = () => fake.addExecution('e0', { command: ['claude', '-p', '--input-format', 'stream-json'], status: 'completed' });
  const started = () => [...fake.executions.keys()].find((id) => id !== 'e0' && id !== 'e1');

  test('rejects when the run ends before its agent could have the message', async () => {
    const next = sendNext(client, last(), said, 'And now?');
    await until('the start', () => started() !== undefined);
    fake.settle(started() ?? '', 'interrupted', {});
    await expect(next).rejects.toMatchObject({ name: 'HoldfastError', code: 'not_running', facts: { execution: started() } });
    expect(fake.requests.filter(({ path }) => path.endsWith('/input'))).toEqual([]);
  });
});

describe('readAgent', () => {
  test('gives what changed, to the end of the run', async () => {
    fake.append('e1', [INIT, delta('Hel')]);
    const byKey = new Map<string, Item>();
    const updates: number[] = [];
    let model: string | null = null;
    for await (const { changed, items, summary } of readAgent(client.execution('s1', 'e1'))) {
      for (const item of changed) byKey.set(item.key, item);
      updates.push(items.length);
      model = summary.model;
      if (updates.length > 1) continue;
      fake.append('e1', [delta('lo')]);
      fake.settle('e1', 'completed', { exitCode: 0 });
    }
    expect([...byKey.values()].map((item) => item.type)).toEqual(['message', 'turn_end']);
    expect([...byKey.values()][0]).toMatchObject({ markdown: 'Hello' });
    expect(model).toBe('opus');
  });

  test('of a session with several runs has only its own', async () => {
    fake.addExecution('e2', { format: 'claude' });
    fake.append('e2', [INIT, delta('other')]);
    fake.append('e1', [delta('mine')]);
    fake.settle('e1', 'completed', { exitCode: 0 });
    const texts: string[] = [];
    for await (const { items } of readAgent(client.execution('s1', 'e1')))
      texts.splice(0, texts.length, ...items.map((item) => (item.type === 'message' ? item.markdown : item.type)));
    expect(texts).toEqual(['mine', 'turn_end']);
  });
});

describe('useConversation', () => {
  let seen: UseConversation | null;
  beforeEach(() => {
    seen = null;
  });
  function View(options: Omit<UseConversationOptions, 'client' | 'session'>) {
    seen = useConversation({ client, session: 's1', ...options });
    return null;
  }
  function put(options: Omit<UseConversationOptions, 'client' | 'session'> = {}): Root {
    const root = createRoot(dom.element() as never);
    roots.push(root);
    root.render(createElement(View, options));
    return root;
  }

  test('has the executions of a session as turns, and the items of all', async () => {
    fake.append('e1', [INIT, delta('one')]);
    fake.settle('e1', 'completed', { exitCode: 0 });
    fake.addExecution('e2', { format: 'claude' });
    fake.append('e2', [INIT, delta('two')]);
    put();
    await until('both turns', () => seen?.turns.length === 2);
    expect(seen?.turns.map(({ execution }) => execution)).toEqual(['e1', 'e2']);
    expect(seen?.items.flatMap((item) => (item.type === 'message' ? [item.markdown] : []))).toEqual(['one', 'two']);
    expect(seen?.statuses.get('e1')).toBe('completed');
    const first = seen?.items[0];
    fake.append('e2', [delta(' more')]);
    await until('more', () => seen?.items.some((item) => item.type === 'message' && item.markdown === 'two more') === true);
    expect(seen?.items[0]).toBe(first);
  });

  test('answers the question that is open, and sends a message', async () => {
    fake.append('e1', [INIT, ASK]);
    put({ execution: 'e1' });
    await until('the question', () => Boolean(seen?.turns[0]?.summary.asking));
    await seen?.answer(seen?.turns[0]?.summary.asking as QuestionItem, { option: 'allow' }).catch(() => {});
    await seen?.send('e1', 'Hello').catch(() => {});
    const [answered, sent] = fake.requests.slice(-2);
    expect(answered).toMatchObject({ path: '/v1/sessions/s1/executions/e1/answer', body: { id: 'r1', option: 'allow' } });
    expect(sent?.path).toBe('/v1/sessions/s1/executions/e1/input');
    expect(JSON.stringify(sent?.body)).toContain('Hello');
  });

  test('[TRN1] begins the next turn after one that has ended', async () => {
    fake.addExecution('e0', { format: 'codex', command: ['codex', 'exec', '--json', 'Fix it'], cwd: '/repo' });
    fake.append('e0', [line({ type: 'thread.started', thread_id: 'thread-1' })]);
    fake.settle('e0', 'completed', { exitCode: 0 });
    put({ execution: 'e0' });
    await until('the end', () => seen?.statuses.get('e0') === 'completed');
    const id = await seen?.next('e0', 'More');
    const started = fake.requests.find(({ method, path }) => method === 'POST' && path === '/v1/sessions/s1/executions');
    expect(started?.body).toMatchObject({
      id,
      command: ['codex', 'exec', '--json', 'resume', 'thread-1', 'More'],
      continues: 'e0',
      cwd: '/repo',
    });
    await expect(seen?.next('none', 'More')).rejects.toThrow('none is none of these turns');
  });

  test('[TRN2] has no next turn where the agent offers no way', async () => {
    fake.addExecution('e0', { format: 'codex', command: ['make'] });
    fake.append('e0', [line({ type: 'thread.started', thread_id: 'thread-1' })]);
    fake.settle('e0', 'completed', { exitCode: 0 });
    put({ execution: 'e0' });
    await until('the end', () => seen?.statuses.get('e0') === 'completed');
    await expect(seen?.next('e0', 'More')).rejects.toThrow('no way to continue');
  });

  test('opens nothing when it is disabled, and closes its stream', async () => {
    const off = put({ enabled: false });
    expect(fake.upgrades.length).toBe(0);
    off.render(createElement(View, { enabled: true }));
    await until('a stream', () => seen?.caughtUp === true);
    off.unmount();
    await until('that it is closed', () => fake.openViewers.length === 0);
  });
});
