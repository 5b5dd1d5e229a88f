/**
 * Goal: a stream that begins with the screen of a terminal asks for it until it has an event, and
 * resumes after that event from then on. Method: the buffer, fed with frames.
 */

import { expect, test } from 'vitest';
import { StreamBuffer } from '../../client/stream/buffer.ts';
import { addressOf, checkOptions } from '../../client/stream/options.ts';
import type { StreamFrame } from '../../protocol/index.ts';

const options = { url: 'http://x', session: 's1', execution: 'e1', getTicket: () => 't', WebSocketImpl: class {} as never };
const hello = (head: number): StreamFrame => ({ type: 'hello', session: 's1', earliest: 1, head, generation: 'g', executions: [] });
const screen = { type: 'screen', at: 1, data: { cols: 9, rows: 9, data: '', modes: '' } };

test('[TTY9] the place is the screen until an event was received, whatever a cut connection promised', () => {
  const settings = checkOptions({ ...options, from: 'screen' });
  const buffer = new StreamBuffer(settings);
  const query = () => new URL(addressOf(settings, buffer.place)).searchParams;
  expect(query().get('from')).toBe('screen');
  expect(query().get('tail')).toBeNull();
  buffer.accept(hello(10), 1);
  expect(query().get('from')).toBe('screen');
  buffer.accept(hello(50), 1);
  expect(buffer.accept({ type: 'events', execution: 'e1', offset: 40, events: [screen] }, 1)).toEqual({ type: 'progress' });
  expect(query().get('from')).toBeNull();
  expect(query().get('after')).toBe('40');
});

test.each([
  { from: 'start' as never },
  { from: 'screen' as const, after: 0 },
  { from: 'screen' as const, tail: 0 },
  { from: 'screen' as const, execution: ['e1', 'e2'] },
  { from: 'screen' as const, execution: undefined as never },
])('[TTY9] %j is a mistake', (wrong) => {
  expect(() => checkOptions({ ...options, ...wrong })).toThrow(TypeError);
});
