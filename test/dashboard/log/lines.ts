/**
 * Help for the tests of the log: events, and the lines they must give, made in the plainest way
 * there is.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import { KINDS, type KindName } from '../../../dashboard/src/log/chunk.ts';
import { describeEvent } from '../../../dashboard/src/log/describe.ts';
import type { LogModel } from '../../../dashboard/src/log/model.ts';

export interface Line {
  kind: KindName;
  text: string;
  offset: number;
  number: number | null;
}

export const event = (offset: number, type: string, data: LoggedEvent['data'], at = 1000 + offset): LoggedEvent => ({
  offset,
  execution: 'e1',
  type,
  at,
  data,
});

export const output = (
  offset: number,
  text: string,
  more: { stream?: 'stdout' | 'stderr'; partial?: boolean; line?: number } = {},
): LoggedEvent => event(offset, 'output', { stream: 'stdout', text, ...more });

/** One forward pass over everything, an object for each line. */
export function reference(events: readonly LoggedEvent[]): Line[] {
  const lines: Line[] = [];
  const open: Record<string, Line | null> = { stdout: null, stderr: null };
  let number = 0;
  for (const [index, { type, data, offset, at, late }] of events.entries()) {
    const previous = events[index - 1];
    if (late && previous && !previous.late)
      lines.push({ kind: 'status', text: 'delivered after the verdict:', offset, number: null });
    if (type !== 'output') {
      const described = describeEvent({ type, data, offset, at, execution: 'e1' });
      if (described === null) continue;
      for (const text of described.text.replace(/\n$/, '').split('\n'))
        lines.push({ kind: KINDS[described.kind], text, offset, number: null });
      continue;
    }
    const stream = data.stream as 'stdout' | 'stderr';
    for (const character of data.text as string) {
      let line = open[stream];
      if (line == null) {
        line = { kind: stream, text: '', offset, number: ++number };
        lines.push(line);
      }
      open[stream] = character === '\n' ? null : line;
      if (character !== '\n') line.text += character;
    }
    if (data.partial !== true) open[stream] = null;
  }
  return lines;
}

export function linesOf(model: LogModel): Line[] {
  const lines: Line[] = [];
  for (let id = model.first; id < model.end; id++) {
    const position = model.position(id);
    if (position === null) throw new Error(`no line ${id}`);
    const { chunk, index } = position;
    lines.push({
      kind: KINDS[chunk.kind(index)],
      text: chunk.line(index),
      offset: chunk.offset(index),
      number: model.number(position),
    });
  }
  return lines;
}
