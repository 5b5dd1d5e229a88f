/**
 * Goal: the runs of a session are one conversation, in which nothing of one run is taken for
 * something of another.
 * Method: lines of agents with the same ids in several runs, in turns and at the same time.
 */

import { describe, expect, it } from 'vitest';
import type { LoggedEvent } from '../../../client/index.ts';
import { ConversationModel } from '../../../dashboard/src/conversation/model.ts';
import { askedBy, TurnsReader } from '../../../dashboard/src/conversation/turns-reader.ts';
import { event } from '../execution/made.ts';

const of = (execution: string, offset: number, type: string, data: Record<string, unknown> = {}): LoggedEvent => ({
  ...event(offset, type, data),
  execution,
});
const says = (execution: string, offset: number, text: string) =>
  of(execution, offset, 'agent', { type: 'assistant', message: { id: `m${offset}`, content: [{ type: 'text', text }] } });
const calls = (execution: string, offset: number) =>
  of(execution, offset, 'agent', {
    type: 'assistant',
    message: { id: `m${offset}`, content: [{ type: 'tool_use', id: 't1', name: 'Bash', input: { command: execution } }] },
  });
const returns = (execution: string, offset: number, content: string) =>
  of(execution, offset, 'agent', {
    type: 'user',
    message: { content: [{ type: 'tool_result', tool_use_id: 't1', content }] },
  });
const result = (execution: string, offset: number, tokens: number) =>
  of(execution, offset, 'agent', {
    ...{ type: 'result', subtype: 'success', is_error: false, result: '' },
    ...{ usage: { input_tokens: tokens, output_tokens: 1 }, total_cost_usd: 0.5 },
  });
const asks = (execution: string, offset: number) =>
  of(execution, offset, 'agent', {
    ...{ type: 'control_request', request_id: 'q1' },
    request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: execution }, tool_use_id: 't1' },
  });

const made = (formats: Record<string, 'claude' | null> = {}) => {
  const reader = new TurnsReader((execution) => (execution in formats ? (formats[execution] ?? null) : 'claude'));
  return { reader, model: new ConversationModel(() => reader) };
};

describe('the runs of a session', () => {
  it('are in their order, and each begins with its head', () => {
    const { reader, model } = made();
    model.append([says('e1', 1, 'one'), result('e1', 2, 10), says('e2', 3, 'two'), says('e2', 4, 'three')]);
    expect(model.rows.map(({ turn }) => turn)).toEqual(['e1', undefined, 'e2', undefined]);
    model.append([says('e1', 5, 'late'), says('e2', 6, 'again')]);
    expect(model.rows.map(({ turn }) => turn)).toEqual(['e1', undefined, 'e2', undefined, 'e1', 'e2']);
    expect(reader.turnOf('3')).toBe('e2');
    expect(model.rows.map(({ id }) => id)).toEqual([...new Set(model.rows.map(({ id }) => id))]);
  });

  it('use the same ids for tool calls and questions without being taken for each other', () => {
    const { reader } = made();
    reader.add([calls('e1', 1), calls('e2', 2), asks('e2', 3), returns('e1', 4, 'first')]);
    const tools = reader.items.filter((item) => item.type === 'tool');
    expect(tools.map(({ id, state, output }) => [id, state, output])).toEqual([
      ['e1/t1', 'done', 'first'],
      ['e2/t1', 'running', null],
    ]);
    const [question] = reader.items.filter((item) => item.type === 'question');
    expect(question).toMatchObject({ id: 'e2/q1', tool: 'e2/t1', state: 'open' });
    expect(askedBy(question?.id ?? '')).toEqual({ execution: 'e2', question: 'q1' });
    expect(askedBy('e1/a/b')).toEqual({ execution: 'e1', question: 'a/b' });
    // An agent that ends closes its own question alone.
    reader.add([of('e1', 5, 'execution_completed', { exitCode: 0 })]);
    expect(reader.items.find(({ key }) => key === question?.key)).toMatchObject({ state: 'open' });
    reader.add([of('e2', 6, 'execution_completed', { exitCode: 0 })]);
    expect(reader.items.find(({ key }) => key === question?.key)).toMatchObject({ state: 'cancelled' });
  });

  it('are summed up by the newest of them, with what all have used', () => {
    const { reader } = made();
    expect(reader.summary).toMatchObject({ sessionId: null, usage: { inputTokens: null, costUsd: null } });
    const init = (execution: string, offset: number) =>
      of(execution, offset, 'agent', { type: 'system', subtype: 'init', session_id: `of ${execution}`, model: 'm' });
    reader.add([init('e1', 1), result('e1', 2, 10), init('e2', 3), result('e2', 4, 5)]);
    expect(reader.summary).toMatchObject({ sessionId: 'of e2', usage: { inputTokens: 15, outputTokens: 2, costUsd: 1 } });
  });

  it('that are no conversations are left out', () => {
    const { reader, model } = made({ build: null });
    model.append([
      of('build', 1, 'output', { stream: 'stdout', text: 'x\n' }),
      says('e1', 2, 'one'),
      of('build', 3, 'output', { text: 'y' }),
    ]);
    expect(model.rows.map(({ turn }) => turn)).toEqual(['e1']);
    expect(reader.turnOf('1')).toBeUndefined();
  });
});
