/**
 * Goal: the search finds what the rows of a conversation show, also where it is folded.
 * Method: the search of the log over items; its matches compared with those of each line.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Item } from '../../../agent/index.ts';
import { SearchedConversation } from '../../../dashboard/src/conversation/searched.ts';
import { ALL } from '../../../dashboard/src/log/rows.ts';
import { Search } from '../../../dashboard/src/log/search.ts';

class Items {
  items: Item[] = [];
  version = 0;
  set(items: Item[]): void {
    this.items = items;
    this.version += 1;
  }
  subscribe(): () => void {
    return () => {};
  }
}

const base = (at: number) => ({ key: `${at}`, from: at, to: at, at });
const message = (at: number, markdown: string): Item => ({ ...base(at), type: 'message', role: 'assistant', markdown });

async function found(items: Item[], text: string): Promise<{ keys: string[]; texts: string[] }> {
  const model = new Items();
  model.set(items);
  const searched = new SearchedConversation(model);
  const search = new Search(searched, ALL, { text, regex: false }, null);
  await search.step(() => true);
  const { total } = search.state;
  const matches = Array.from({ length: total }, () => search.move(1, 0));
  return {
    keys: matches.map((match) => searched.itemAt(match?.id ?? -1)?.key ?? ''),
    texts: matches.map((match) => {
      const at = searched.position(match?.id ?? 0);
      return at?.chunk.line(at.index).slice(match?.start, match?.end) ?? '';
    }),
  };
}

describe('the search of a conversation', () => {
  it('finds every part of an item', async () => {
    const input = { command: 'x needle', long: `${'y'.repeat(200)}\nneedle` };
    const hunks = [{ oldStart: 1, newStart: 1, lines: ['-needle', '+ok'] }];
    const diff = [{ path: 'needle.ts', hunks }];
    const tool = {
      ...base(2),
      type: 'tool',
      id: 't',
      name: 'needle',
      title: 'a needle',
      input,
      state: 'done',
      output: '1\nneedle\n',
    };
    const question = {
      ...base(4),
      ...{ type: 'question', id: 'q', request: 'q', kind: 'question', text: '**nee**dle?', state: 'answered' },
      ...{ options: [{ id: '1', label: 'needle', description: 'needle' }], answer: { text: 'needle' } },
    };
    const items = [
      message(1, 'a **nee**dle and `needle`'),
      { ...tool, diff },
      { ...base(3), type: 'plan', entries: [{ text: 'needle', state: 'open' }] },
      question,
      { ...base(5), type: 'turn_end', state: 'failed', text: 'needle' },
      { ...base(6), type: 'notice', level: 'info', text: 'needle' },
      { ...base(7), type: 'raw', text: '\u001b[1mneedle' },
    ] as Item[];
    expect((await found(items, 'needle')).keys.join('')).toBe('11222222234444567');
  });

  it('finds as often as a line has the text, whatever the texts are', async () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '*', '\u202e', 'é', '\r\n'), maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 200 }), async (texts) => {
        const items = texts.map((each, at) => ({ ...base(at), type: 'notice', level: 'info', text: each })) as Item[];
        const { keys, texts: matched } = await found(items, 'ab');
        expect(keys).toEqual(texts.flatMap((each, at) => [...each.matchAll(/ab/g)].map(() => `${at}`)));
        expect(matched.every((each) => each === 'ab')).toBe(true);
      }),
    );
  });

  it('a changed item makes only the lines of its chunk again', () => {
    const model = new Items();
    const items = Array.from({ length: 200 }, (_, at) => message(at, `text ${at}`));
    model.set(items);
    const searched = new SearchedConversation(model);
    const before = searched.chunks.map(({ version }) => version);
    model.set(items.with(150, message(150, 'another text')).concat(message(200, 'more')));
    expect(searched.chunks.map(({ version }, at) => version - (before[at] ?? 0))).toEqual([0, 0, 1, 1]);
    expect(searched.linesOf(items[70] as Item)).toMatchObject({ from: 6, to: 7 });
    model.set(items.slice(0, 3));
    expect(searched.chunks.length).toBe(1);
    expect(searched.position(2 ** 32)).toBeNull();
  });
});
