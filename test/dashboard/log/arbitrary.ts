/**
 * Logs as a wrapper writes them, cut anywhere: any pieces of any text, partial where a piece does
 * not end a line.
 */

import fc from 'fast-check';
import type { LoggedEvent } from '../../../client/index.ts';
import { event, output } from './lines.ts';

const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\n', '\n', '\r', '\u001b[31m', 'é', '😀', ' '), maxLength: 12 });

type Piece = { stream: 'stdout' | 'stderr'; text: string } | { agent: string };

const piece: fc.Arbitrary<Piece> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ stream: fc.constantFrom('stdout' as const, 'stderr' as const), text }) },
  { weight: 1, arbitrary: fc.record({ agent: text }) },
);

/**
 * `numbered`: as by a wrapper that gives `line`. `flush`: now and then a line is ended by an event
 * without a line feed. From some event on all are late.
 */
export const log = (numbered: boolean): fc.Arbitrary<LoggedEvent[]> =>
  fc.tuple(fc.array(fc.tuple(piece, fc.nat(9)), { maxLength: 40 }), fc.nat(80)).map(([pieces, lateFrom]) => {
    let begun = 0;
    const open = { stdout: false, stderr: false };
    const events = pieces.map(([made, chance], offset) => {
      if ('agent' in made) return event(offset, 'agent', { text: made.agent || 'x' });
      const { stream, text: written } = made;
      const partial = !written.endsWith('\n') && chance !== 0;
      const segments = written.match(/[^\n]*\n|[^\n]+/g) ?? [];
      const begins = segments.length - (open[stream] && segments.length > 0 ? 1 : 0);
      const line = begun + 1;
      begun += begins;
      open[stream] = partial && (segments.length > 0 || open[stream]);
      return output(offset, written, {
        stream,
        ...(partial ? { partial } : {}),
        ...(numbered && begins > 0 ? { line } : {}),
      });
    });
    return events.map((made) => (made.offset >= lateFrom ? { ...made, late: true as const } : made));
  });

/** Cuts a list into runs at any places. */
export const cut = <T>(list: readonly T[], places: readonly number[]): T[][] => {
  const at = [...new Set(places.map((place) => (list.length === 0 ? 0 : place % (list.length + 1))))].sort((a, b) => a - b);
  return [...at, list.length].map((to, i) => list.slice(i === 0 ? 0 : at[i - 1], to));
};
