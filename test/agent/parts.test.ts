/**
 * Goal: a long line that came in parts is one line for every reader, or is marked (AGT6).
 * Method: lines cut at random places, with parts lost, in any order, and joined in any groups.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConversationEvent, ConversationReader, ConversationText, LineParts } from '../../agent/index.ts';
import { AGENT_LINE_BYTES_MAX, type AgentPartData } from '../../protocol/index.ts';
import { agentEvent, asEvents, shown } from './recorded.ts';

type Event = { type: string; data: { [key: string]: unknown } };

const partEvent = (part: number, parts: number, text: string): Event => ({ type: 'agent_part', data: { part, parts, text } });
const said = (text: string) => ({ type: 'assistant', message: { id: 'm', content: [{ type: 'text', text }] } });

/** The line in parts of so many characters. */
function partsOf(line: string, chars: number): Event[] {
  const texts = Array.from({ length: Math.ceil(line.length / chars) }, (_, at) => line.slice(at * chars, (at + 1) * chars));
  return texts.map((text, at) => partEvent(at + 1, texts.length, text));
}

const read = (...events: Event[]): string[] => {
  const reader = new ConversationReader('claude');
  reader.add(asEvents(events));
  return reader.items.map((item) => (item.type === 'raw' ? `${item.from}-${item.to} raw: ${item.text}` : shown(item)));
};

describe('[AGT6] a conversation', () => {
  const parts = partsOf(JSON.stringify(said('Hello')), 30);

  it('has a line in parts as one item, from its first part to its last', () => {
    expect(parts.length).toBe(3);
    expect(read(...parts, agentEvent(said('there')))).toEqual(['1-3      assistant: Hello', '4        assistant: there']);
  });

  it('is not disturbed by what the coordinator logs between two parts', () => {
    const between = [
      { type: 'wrapper_reconnected', data: { epoch: 2 } },
      { type: 'status', data: { message: 'slow' } },
    ];
    expect(read(parts[0] as Event, ...between, ...parts.slice(1))).toEqual(['3        info: slow', '1-5      assistant: Hello']);
  });

  it('has what there is of a line as it was printed, and says which part is missing', () => {
    const [first, second, third] = parts as [Event, Event, Event];
    const gap = { type: 'gap', data: { events: 1, bytes: 30, reason: 'spool_damaged' } };
    expect(read(first, gap, third, agentEvent(said('there')))).toEqual([
      `1-2 raw: ${first.data.text}[part 2 of 3 of this line is not here]`,
      '2        warning: 1 event (30 bytes) is missing here',
      `3-3 raw: [part 2 of 3 of this line is not here]${third.data.text}`,
      '4        assistant: there',
    ]);
    // A reader that begins within the line.
    expect(read(second, third)).toEqual([`1-2 raw: [part 1 of 3 of this line is not here]${second.data.text}${third.data.text}`]);
    expect(read(first, second, { type: 'exit', data: { exitCode: 0 } })).toEqual([
      `1-3 raw: ${first.data.text}${second.data.text}[part 3 of 3 of this line is not here]`,
    ]);
    expect(read(first, ...parts)).toHaveLength(2);
  });

  it('as text has the beginning of a line that is not complete yet', () => {
    const text = new ConversationText('claude');
    expect(text.add(asEvents(parts.slice(0, 1)))).toEqual([]);
    expect(text.rest().map((piece) => piece.text)).toEqual([`${parts[0]?.data.text}[part 2 of 3 of this line is not here]\n`]);
  });

  it('shows a line of parts that are no JSON, and data that is no part, as it is', () => {
    expect(read(partEvent(1, 2, '{"a":'), partEvent(2, 2, 'x}'), partEvent(3, 2, 'no'), partEvent(1, 1, 'a\nb'))).toEqual([
      '1-2 raw: {"a":x}',
      '3-3 raw: {"part":3,"parts":2,"text":"no"}',
      '4-4 raw: {"part":1,"parts":1,"text":"a\\nb"}',
    ]);
  });

  it('keeps at most 8 MiB of a line that has no end', () => {
    const reader = new ConversationReader('claude');
    const text = 'x'.repeat(AGENT_LINE_BYTES_MAX / 4);
    const items = Array.from({ length: 9 }, (_, at) => reader.add(asEvents([partEvent(at + 1, 1_000_000, text)])).length);
    expect(items).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1]);
    const line = JSON.stringify(said('y'.repeat(AGENT_LINE_BYTES_MAX - JSON.stringify(said('')).length)));
    expect(line.length).toBe(AGENT_LINE_BYTES_MAX);
    const whole = new ConversationReader('claude').add(asEvents(partsOf(line, 64 * 1024)));
    expect(whole.map(({ type }) => type)).toEqual(['message']);
  });
});

describe('[AGT6] the text of parts', () => {
  it('is each line, and a line with a missing part is no JSON', () => {
    const line = fc.object({ key: fc.string({ unit: 'binary' }) }).map((value) => JSON.stringify({ value }));
    const lines = fc.array(fc.tuple(line, fc.integer({ min: 1, max: 9 })), { maxLength: 6 });
    fc.assert(
      fc.property(lines, fc.array(fc.nat(), { maxLength: 3 }), (given, lost) => {
        const all = given.flatMap(([text, chars], of) => partsOf(text, chars).map(({ data }) => ({ of, data })));
        const kept = all.filter((_, at) => !lost.some((each) => all.length > 0 && each % all.length === at));
        const parts = new LineParts();
        const text = kept.map(({ data }) => parts.add(data as unknown as AgentPartData)).join('') + parts.close();
        const printed = text.split('\n').slice(0, -1);
        const whole = given.filter((_, of) => all.filter((each) => each.of === of).every((each) => kept.includes(each)));
        const isJson = (each: string): boolean => {
          try {
            JSON.parse(each);
            return true;
          } catch {
            return false;
          }
        };
        expect(printed.filter(isJson)).toEqual(whole.map(([each]) => each));
        for (const each of printed) if (!isJson(each)) expect(each).toMatch(/\[part \d+ of \d+ of this line is not here\]/);
      }),
    );
  });

  it('does not depend on how the events are grouped', () => {
    const events: ConversationEvent[] = asEvents([
      ...partsOf(JSON.stringify(said('one')), 7),
      partEvent(2, 4, 'x'),
      agentEvent(said('two')),
      ...partsOf(JSON.stringify(said('three')), 50).slice(0, 1),
      { type: 'exit', data: { exitCode: 0 } },
    ]);
    const all = new ConversationReader('claude');
    all.add(events);
    const single = new ConversationReader('claude');
    for (const event of events) single.add([event]);
    expect(single.items).toEqual(all.items);
    expect(all.items.map(({ type }) => type)).toEqual(['message', 'raw', 'message', 'raw', 'turn_end']);
  });
});
