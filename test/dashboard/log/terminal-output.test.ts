/**
 * Goal: the log of a run with a terminal reads as text. Method: the model, fed with events of a
 * terminal, and the timeline's entries of the same events.
 */

import { expect, test } from 'vitest';
import type { LoggedEvent } from '../../../client/index.ts';
import { timelineEntry } from '../../../dashboard/src/execution/timeline.ts';
import { shownText } from '../../../dashboard/src/log/line.ts';
import { LogModel } from '../../../dashboard/src/log/model.ts';

const by = { kind: 'key', id: 'k' };
const EVENTS: [string, Record<string, unknown>][] = [
  ['output', { stream: 'tty', text: 'on' }],
  ['input', { by, bytes: 1 }],
  ['output', { stream: 'tty', text: 'e\r\n\u001b[3' }],
  ['screen', { cols: 80, rows: 24, data: 'one', modes: '' }],
  ['resize', { cols: 90, rows: 24, by }],
  ['output', { stream: 'tty', text: '1mtwo\u001b[0m\r\nthree' }],
  ['output', { stream: 'tty', text: '' }],
  ['output', { stream: 'tty', text: '\r\n' }],
  ['input', { by, bytes: 2, text: 'x\n' }],
];
const events: LoggedEvent[] = EVENTS.map(([type, data], at) => ({ offset: at + 1, execution: 'e1', type, at: 0, data }));

test('lines continue over events, and keys, sizes and screens are no lines', () => {
  const model = new LogModel();
  for (const event of events) model.append([event]);
  const lines = model.chunks.flatMap((chunk) => Array.from({ length: chunk.count }, (_, index) => shownText(chunk.line(index))));
  expect(lines.map((line) => line.trim())).toEqual(['one', 'two', 'three', expect.stringContaining('input')]);
});

test('a typed key is no entry of the timeline; a text that was sent is', () => {
  const entries = events.map(timelineEntry).filter((entry) => entry !== null);
  expect(entries.map(({ type, detail }) => [type, detail])).toEqual([['input', 'x']]);
});
