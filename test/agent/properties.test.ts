/**
 * Goal: AGT2 and AGT3 hold for whatever a program prints.
 * Method: random events are made of the lines of all recordings, whole, cut, mixed and with random
 * values in their fields, in any order.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AGENT_FORMATS, type AgentFormat, AskingReader, type ConversationEvent, ConversationReader } from '../../agent/index.ts';
import { agentEvent, asEvents, linesOf, recorded, recordings } from './recorded.ts';

type Line = { [key: string]: unknown };
type Event = { type: string; data: Line };

const PROGRAMS = ['claude', 'acp', 'codex', 'opencode', 'gemini'];
const LINES: Line[] = PROGRAMS.flatMap(recordings)
  .flatMap(linesOf)
  .flatMap((line) => {
    try {
      return [JSON.parse(line) as Line];
    } catch {
      return [];
    }
  });

/** The line with one of its values, at any depth, replaced. */
function withValue(line: Line, path: number, value: unknown): Line {
  const copy = structuredClone(line);
  const places: [Line, string][] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Line, key]);
      walk((node as Line)[key]);
    }
  };
  walk(copy);
  const [holder, key] = places[path % places.length] as [Line, string];
  holder[key] = value;
  return copy;
}

const line = fc.nat(LINES.length - 1).map((at) => LINES[at] as Line);
const anyLine: fc.Arbitrary<Line> = fc.oneof(
  { weight: 4, arbitrary: line },
  {
    weight: 4,
    arbitrary: fc.tuple(line, fc.nat(200), fc.jsonValue()).map(([whole, path, value]) => withValue(whole, path, value)),
  },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('type', '__proto__', 'constructor')), fc.jsonValue()),
  },
);

const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 12, arbitrary: anyLine.map(agentEvent) },
  {
    weight: 2,
    arbitrary: fc
      .record({ stream: fc.constantFrom('stdout', 'stderr', 'tty'), text: fc.string({ unit: 'binary' }) })
      .map((data) => ({ type: 'output', data })),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        anyLine.map((each) => JSON.stringify(each)),
        fc.string({ unit: 'binary' }),
      )
      .map((text) => ({ type: 'input', data: { bytes: text.length, text } })),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ part: fc.integer({ min: 1, max: 3 }), parts: fc.integer({ min: 1, max: 3 }), text: fc.constantFrom('{"a":', '1}') })
      .map((data) => ({ type: 'agent_part', data })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          'answered',
          'asking',
          'asking_ended',
          'gap',
          'error',
          'status',
          'exit',
          'started',
          'input',
          'execution_failed',
          'own',
        ),
        fc.dictionary(
          fc.constantFrom('id', 'text', 'option', 'options', 'by', 'kind', 'command', 'events', 'message'),
          fc.jsonValue(),
        ),
      )
      .map(([type, data]) => ({ type, data })),
  },
);

const events = fc.array(anyEvent, { maxLength: 60 }).map(asEvents);
const format = fc.constantFrom<AgentFormat>(...AGENT_FORMATS);

function readerOf(of: AgentFormat, groups: readonly ConversationEvent[][]): ConversationReader {
  const reader = new ConversationReader(of);
  for (const group of groups) reader.add(group);
  return reader;
}

/** Lines that say nothing that could be shown. */
function isProgress(data: Line): boolean {
  const type = data.type as string;
  if (['assistant', 'user'].includes(type)) {
    const { content } = data.message as Line;
    const isEmpty = (block: Line): boolean => block.text === '' || block.thinking === '' || block.type === 'redacted_thinking';
    const isLaunch = (data.tool_use_result as Line | undefined)?.isAsync === true;
    return data.isReplay === true || isLaunch || content === '' || (content as Line[]).every(isEmpty);
  }
  const said = (data.part ?? data.item) as Line | undefined;
  if (said?.text === '') return true;
  const isOfAcp = typeof data.method === 'string' || data.result !== undefined;
  return isOfAcp || ['system', 'stream_event', ...OTHER_PROGRESS].includes(type);
}
const OTHER_PROGRESS = [
  'control_response',
  'control_request',
  'control_cancel_request',
  'keep_alive',
  'tool_progress',
  'rate_limit_event',
  'step_start',
  'step_finish',
  'thread.started',
  'turn.started',
];

describe('[AGT2] [AGT3]', () => {
  it('any events, added one by one or in groups, make the same items', () => {
    fc.assert(
      fc.property(format, events, fc.array(fc.nat(60)), (of, all, cuts) => {
        const at = [0, ...cuts.map((cut) => Math.min(cut, all.length)).sort((one, other) => one - other), all.length];
        const groups = at.slice(1).map((end, index) => all.slice(at[index], end));
        const [whole, single, grouped] = [[all], all.map((event) => [event]), groups].map((each) => readerOf(of, each));
        expect(single?.items).toEqual(whole?.items);
        expect(grouped?.items).toEqual(whole?.items);
        expect(single?.summary).toEqual(whole?.summary);
      }),
      { numRuns: 300 },
    );
  });

  it('the returned items, put together by key, are the items', () => {
    fc.assert(
      fc.property(format, events, (of, all) => {
        const reader = new ConversationReader(of);
        const byKey = new Map(all.flatMap((event) => reader.add([event])).map((item) => [item.key, item]));
        expect([...byKey.values()].sort((one, other) => one.from - other.from || (one.key < other.key ? -1 : 1))).toEqual(
          [...reader.items].sort((one, other) => one.from - other.from || (one.key < other.key ? -1 : 1)),
        );
        expect(byKey.size).toBe(reader.items.length);
      }),
      { numRuns: 200 },
    );
  });

  it('each agent line changes an item, or is progress of a kind that its reader knows', () => {
    fc.assert(
      fc.property(format, events, (of, all) => {
        const reader = new ConversationReader(of);
        for (const event of all) {
          const changed = reader.add([event]);
          if (event.type !== 'agent' || changed.length > 0) continue;
          expect(['claude', 'codex', 'opencode', 'acp']).toContain(reader.summary.format);
          expect({ line: event.data, isProgress: isProgress(event.data) }).toMatchObject({ isProgress: true });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('the lines of all other programs are raw', () => {
    const reader = new ConversationReader('jsonl');
    reader.add(asEvents(LINES.map(agentEvent)));
    expect(reader.items.map((item) => item.type === 'raw' && JSON.parse(item.text))).toEqual(LINES);
  });

  it('the reader of questions takes any line, and only knows those that are open', () => {
    fc.assert(
      fc.property(format, fc.array(anyLine, { maxLength: 60 }), (of, lines) => {
        const reader = new AskingReader(of);
        const open = new Set<string>();
        for (const each of lines) {
          const { asked, ended } = reader.line(each);
          for (const id of ended) expect(open.delete(id)).toBe(true);
          for (const { id } of asked) {
            expect(open.has(id)).toBe(false);
            open.add(id);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('[AGT3]', () => {
  it.each(['claude-partial', 'claude-perm-two', 'acp-claude-tools'])(
    '%s, a hundred times over, changes as many items for each event',
    (name) => {
      const changes = (times: number): number => {
        const reader = new ConversationReader(name.startsWith('acp') ? 'acp' : 'claude');
        const once = recorded(name).filter(({ type }) => type !== 'exit');
        let count = 0;
        let offset = 0;
        for (let time = 0; time < times; time += 1)
          for (const event of once) count += reader.add([{ ...event, offset: ++offset, data: renamed(event.data, time) }]).length;
        return count;
      };
      const ten = changes(10);
      expect(changes(100)).toBeLessThanOrEqual(ten * 10);
    },
  );
});

/** Each repetition has ids of its own. */
const renamed = (data: Line, time: number): Line =>
  JSON.parse(JSON.stringify(data).replaceAll(/"(toolu_|msg_|[0-9a-f]{8}-)/g, `"$1${time}x`)) as Line;
