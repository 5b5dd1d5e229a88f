/**
 * Goal: the rows of a conversation are the same however its events arrive, and stay the same rows.
 * Method: recordings of the real agents, cut in every way; a reader that counts its work.
 */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type AgentFormat, ConversationReader } from '../../../agent/index.ts';
import type { LoggedEvent } from '../../../client/index.ts';
import { ConversationModel } from '../../../dashboard/src/conversation/model.ts';
import { AgentEvents } from '../../../dashboard/src/execution/agent-events.ts';
import { event } from '../execution/made.ts';

const transcript = (name: string): LoggedEvent[] =>
  readFileSync(`test/agent/transcripts/${name}.jsonl`, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => event(i + 1, 'agent', JSON.parse(line)));

const modelOf = (format: AgentFormat = 'claude') => new ConversationModel(() => new ConversationReader(format));
const told = (model: ConversationModel) =>
  model.rows.map(({ item, depth, usage, steps }) => [depth, item, usage ?? null, steps ?? null]);

describe('the rows', () => {
  it.each([
    ['claude', 'claude-tools'],
    ['claude', 'claude-partial'],
    ['claude', 'claude-sub'],
    ['claude', 'claude-perm-two'],
    ['acp', 'acp-claude-tools'],
  ] as const)('%s, %s: are the same one event at a time, in batches, and from the end upwards', (format, name) => {
    vi.useFakeTimers();
    try {
      const events = transcript(name);
      const whole = modelOf(format);
      whole.append(events);
      const opened = modelOf(format);
      opened.append(events);
      for (const { item } of whole.rows) if (item.type === 'tool') opened.toggle(item.id);
      fc.assert(
        fc.property(fc.array(fc.nat(events.length), { maxLength: 4 }), fc.nat(events.length), fc.boolean(), (cuts, tail, open) => {
          const model = modelOf(format);
          const places = [tail, ...cuts.filter((cut) => cut > tail), events.length].sort((a, b) => a - b);
          for (const [i, from] of places.slice(0, -1).entries()) model.append(events.slice(from, places[i + 1]));
          if (open) for (const { item } of whole.rows) if (item.type === 'tool') model.toggle(item.id);
          const middle = Math.floor(tail / 2);
          model.prepend(events.slice(middle, tail));
          vi.runAllTimers();
          model.prepend(events.slice(0, middle));
          model.atStart();
          vi.runAllTimers();
          expect(told(model)).toEqual(told(open ? opened : whole));
        }),
        { numRuns: 25 },
      );
    } finally {
      vi.useRealTimers();
    }
  });

  it('keep their numbers when older events arrive', () => {
    vi.useFakeTimers();
    const events = transcript('claude-tools');
    const model = modelOf();
    model.append(events.slice(8));
    const before = new Map(model.rows.map(({ item, id }) => [item.key, id]));
    model.prepend(events.slice(0, 8));
    expect(model.isCurrent).toBe(false);
    vi.runAllTimers();
    vi.useRealTimers();
    expect(model.isCurrent).toBe(true);
    const kept = model.rows.filter(({ item }) => before.has(item.key));
    expect(kept.length).toBeGreaterThan(2);
    for (const { item, id } of kept) expect(id).toBe(before.get(item.key));
    for (const [at, { id }] of model.rows.entries()) expect(model.row(id)).toBe(at);
    expect(new Set(model.rows.map(({ id }) => id)).size).toBe(model.count);
  });

  it('what a turn took is in the row of its end', () => {
    const model = modelOf();
    model.append(transcript('claude-two-turns'));
    const ends = model.rows.filter(({ item }) => item.type === 'turn_end');
    expect(ends).toHaveLength(2);
    for (const { usage } of ends) expect(usage?.outputTokens).toBeGreaterThan(0);
    expect(model.rows.some(({ item }) => item.type === 'usage')).toBe(false);
  });

  it('the steps of a sub-agent are below its tool call, once that is opened', () => {
    const model = modelOf();
    model.append(transcript('claude-sub'));
    const call = model.rows.find(({ steps }) => steps);
    if (call?.item.type !== 'tool') throw new Error('there is no sub-agent');
    expect(call.steps?.isOpen).toBe(false);
    expect(model.rows.every(({ depth }) => depth === 0)).toBe(true);
    model.toggle(call.item.id);
    const at = model.row(call.id);
    const count = model.rows[at]?.steps?.count ?? 0;
    expect(count).toBeGreaterThan(0);
    expect(model.rows.slice(at + 1, at + 1 + count).map(({ depth }) => depth)).toEqual(Array(count).fill(1));
    expect(model.rows[at + 1 + count]?.depth).toBe(0);
    model.toggle(call.item.id);
    expect(model.rows.every(({ depth }) => depth === 0)).toBe(true);
  });

  it('a link to a step opens the sub-agent that it is inside of', () => {
    const model = modelOf();
    model.append(transcript('claude-sub'));
    const { items } = new ConversationReader('claude');
    expect(items).toEqual([]);
    const reader = new ConversationReader('claude');
    reader.add(transcript('claude-sub'));
    const step = reader.items.find(({ parent }) => parent !== undefined);
    const id = model.reveal(step?.key ?? '');
    expect(model.rows[model.row(id ?? -1)]?.item.key).toBe(step?.key);
    expect(model.reveal('99999')).toBeNull();
  });

  it('an open question is shown although its sub-agent is closed, and goes back when it was answered', () => {
    const model = modelOf();
    const line = (offset: number, data: Record<string, unknown>) => event(offset, 'agent', data);
    const call = { type: 'tool_use', id: 't1', name: 'Agent', input: { description: 'Count' } };
    const inner = { type: 'tool_use', id: 't2', name: 'Bash', input: { command: 'ls' } };
    model.append([
      line(1, { type: 'assistant', message: { id: 'm1', content: [call] }, parent_tool_use_id: null }),
      line(2, { type: 'assistant', message: { id: 'm2', content: [inner] }, parent_tool_use_id: 't1' }),
      line(3, {
        type: 'control_request',
        request_id: 'q1',
        request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'ls' }, tool_use_id: 't2' },
      }),
    ]);
    expect(model.rows.some(({ item }) => item.type === 'question' && item.state === 'open')).toBe(true);
    expect(model.summary.asking?.id).toBe('q1');
    model.append([event(4, 'answered', { id: 'q1', option: 'allow', by: { kind: 'key', id: 'k', name: 'ci' } })]);
    expect(model.summary.asking).toBeNull();
    for (const { item } of model.rows) expect(item.type === 'question' && item.state === 'open').toBe(false);
  });

  it('an event that changed an older item leads to that item', () => {
    const model = modelOf();
    const events = transcript('claude-tools');
    model.append(events);
    const tool = model.rows.find(({ item }) => item.type === 'tool' && item.to > item.from)?.item;
    expect(model.keyAt(tool?.to ?? 0)).toBe(tool?.key);
    expect(model.keyAt(tool?.from ?? 0)).toBe(tool?.key);
  });
});

describe('the work', () => {
  const message = (offset: number): LoggedEvent =>
    event(offset, 'agent', {
      type: 'assistant',
      message: { id: `m${offset}`, content: [{ type: 'text', text: `text ${offset}` }] },
    });

  it('new events make only their own rows, however many there are', () => {
    const model = modelOf();
    model.append(Array.from({ length: 2_000 }, (_, i) => message(i + 1)));
    const before = [...model.rows];
    model.append([message(2_001)]);
    expect(model.count).toBe(2_001);
    expect(model.rows.slice(0, 2_000).every((row, i) => row === before[i])).toBe(true);
  });

  it('older events that arrive in one go are read again once', () => {
    vi.useFakeTimers();
    let readers = 0;
    const model = new ConversationModel(() => {
      readers += 1;
      return new ConversationReader('claude');
    });
    model.append([message(100)]);
    for (let at = 99; at > 0; at -= 1) model.prepend([message(at)]);
    vi.runAllTimers();
    vi.useRealTimers();
    expect(readers).toBe(2);
    expect(model.count).toBe(100);
    model.close();
  });
});

describe('the events of a run', () => {
  it('are kept until the conversation is loaded, and then handed on in their order', () => {
    const events = new AgentEvents(() => true);
    events.append([event(5, 'agent', {}), event(6, 'agent', {})]);
    events.prepend([event(3, 'agent', {}), event(4, 'agent', {})]);
    const seen: string[] = [];
    const made = () => ({
      append: (list: readonly LoggedEvent[]) => seen.push(`append ${list.map(({ offset }) => offset)}`),
      prepend: (list: readonly LoggedEvent[]) => seen.push(`prepend ${list.map(({ offset }) => offset)}`),
      atStart: () => seen.push('start'),
    });
    const sink = events.sink(made);
    events.append([event(7, 'agent', {})]);
    events.prepend([event(2, 'agent', {})]);
    events.atStart();
    expect(seen).toEqual(['append 3,4,5,6', 'append 7', 'prepend 2', 'start']);
    expect(events.sink(made)).toBe(sink);
  });

  it('of a run without a conversation are not kept', () => {
    const events = new AgentEvents(() => false);
    events.append([event(1, 'output', { text: 'x' })]);
    events.atStart();
    const seen: unknown[] = [];
    events.sink(() => ({ append: (list) => seen.push(...list), prepend: () => {}, atStart: () => seen.push('start') }));
    expect(seen).toEqual(['start']);
  });
});
