/**
 * Goal: the plain text of a conversation is what a person needs, whole, and independent of how the
 * events come.
 * Method: `transcripts/NAME.txt` states the text of a recording; the other tests compare ways to
 * the same text.
 */

import { describe, expect, it } from 'vitest';
import { type AgentFormat, ConversationReader, ConversationText, type Item } from '../../agent/index.ts';
import { agentEvent, asEvents, recorded, recordings } from './recorded.ts';

const textOf = (name: string, format: AgentFormat, groups = 1): string => {
  const text = new ConversationText(format);
  const events = recorded(name);
  const size = Math.ceil(events.length / groups);
  const pieces = Array.from({ length: groups }, (_, at) => text.add(events.slice(at * size, (at + 1) * size)));
  return [...pieces.flat(), ...text.rest()].map((piece) => piece.text).join('');
};

describe('[AGT5] the text', () => {
  it.each([
    ['claude-tools', 'claude'],
    ['claude-perm-deny', 'claude'],
    ['claude-sub', 'claude'],
    ['claude-interrupt', 'claude'],
    ['codex-tools', 'codex'],
    ['opencode-tools', 'opencode'],
    ['acp-claude-tools', 'acp'],
    ['acp-codex-perm', 'acp'],
  ] as const)('of %s', async (name, format) => {
    await expect(textOf(name, format)).toMatchFileSnapshot(`transcripts/${name}.txt`);
  });

  it.each(
    ['claude', 'codex', 'opencode', 'acp'].flatMap((format) =>
      recordings(format).map((name) => [name, format as AgentFormat] as const),
    ),
  )('of %s has all that the items say, whatever the groups', (name, format) => {
    const whole = textOf(name, format);
    expect(textOf(name, format, 7)).toBe(whole);
    expect(textOf(name, format, 1000)).toBe(whole);
    const reader = new ConversationReader(format);
    reader.add(recorded(name));
    for (const word of reader.items.flatMap(wordsOf)) expect(whole).toContain(word);
  });
});

const wordsOf = (item: Item): string[] => {
  const lines = (text: string): string[] => text.split('\n').filter(Boolean);
  if (item.type === 'message' || item.type === 'reasoning') return lines(item.markdown.trim());
  if (item.type === 'tool') return [item.name, item.title, ...(item.diff?.length ? [] : lines(item.output ?? ''))];
  if (item.type === 'plan') return item.entries.map(({ text }) => text);
  if (item.type === 'question') return [...lines(item.text), ...item.options.map(({ label }) => label)];
  if (item.type === 'turn_end') return lines(item.text ?? '');
  return item.type === 'notice' || item.type === 'raw' ? lines(item.text) : [];
};

describe('the writer', () => {
  it('keeps nothing of what it has printed', () => {
    const text = new ConversationText('claude');
    const call = (at: number): object[] => [
      {
        type: 'assistant',
        message: { id: `m${at}`, content: [{ type: 'tool_use', id: `t${at}`, name: 'Bash', input: { command: 'ls' } }] },
      },
      { type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: `t${at}`, content: 'x'.repeat(100) }] } },
    ];
    const events = asEvents(Array.from({ length: 50 }, (_, at) => call(at).map((line) => agentEvent({ ...line }))).flat());
    expect(text.add(events).length).toBe(50);
    expect(text.rest()).toEqual([]);
  });

  it('prints what is not complete where reading ends', () => {
    const text = new ConversationText('claude');
    const delta = { type: 'stream_event', event: { type: 'content_block_delta', delta: { type: 'text_delta', text: 'half a' } } };
    expect(text.add(asEvents([agentEvent(delta)]))).toEqual([]);
    expect(text.rest()).toMatchObject([{ text: 'half a\n', at: 1000 }]);
  });

  it('cuts long output in the middle, if asked to', () => {
    const text = new ConversationText('codex', { outputLinesMax: 5 });
    const item = {
      id: 'i',
      type: 'command_execution',
      command: 'seq 9',
      aggregated_output: '1\n2\n3\n4\n5\n6\n7\n8\n9\n',
      status: 'completed',
    };
    const [piece] = text.add(asEvents([agentEvent({ type: 'item.completed', item })]));
    expect(piece?.text).toBe('[tool] shell: seq 9\n  1\n  2\n  … 5 more lines …\n  8\n  9\n');
  });
});
