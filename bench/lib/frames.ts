/**
 * What is sent: event lines of an exact size, joined to frames beforehand, so that the generator
 * does nothing but write them.
 */

import { encodeEventsFrame } from '../../protocol/index.ts';

/**
 * Stands in the last event of a series, so that a viewer knows the end without parsing what it
 * gets.
 */
export const LAST_MARK = '~last~';
const TIME = 1_763_650_000_000;

/** An `output` event as a wrapper writes it, `bytes` long as a line without its end. */
export function eventLine(bytes: number, n: number, last = false): string {
  const line = (text: string): string =>
    `{"type":"output","at":${TIME},"data":{"stream":"stdout","text":"${text}\\n","line":${n + 1}}}`;
  const room = bytes - line('').length;
  // Too small for the whole envelope: the shortest event that a wrapper could send.
  if (room < LAST_MARK.length) {
    const small = `{"type":"x","at":1,"data":{"n":"`;
    const fill = last ? LAST_MARK : String(n % 1000);
    return `${small}${fill.padEnd(Math.max(fill.length, bytes - small.length - 3), 'x')}"}}`;
  }
  return line(last ? LAST_MARK.padStart(room, 'x') : `${n} `.slice(0, room).padEnd(room, 'x'));
}

export interface Prepared {
  count: number;
  /** Header line and event lines of an ingest frame, at these seqs. */
  frame: Buffer;
}

/**
 * `events` lines of `bytes` each in frames of `perFrame`, beginning at `firstSeq`. The last event
 * carries the mark.
 */
export function prepare(events: number, bytes: number, perFrame: number, firstSeq = 1): Prepared[] {
  const body = Array.from({ length: perFrame }, (_, index) => eventLine(bytes, index)).join('\n');
  const frames: Prepared[] = [];
  for (let done = 0; done < events; ) {
    const count = Math.min(perFrame, events - done);
    const isLast = done + count === events;
    const whole = count === perFrame && !isLast;
    const lines = whole
      ? body
      : Array.from({ length: count }, (_, index) => eventLine(bytes, index, isLast && index === count - 1)).join('\n');
    frames.push({ count, frame: Buffer.from(encodeEventsFrame(firstSeq + done, count, lines)) });
    done += count;
  }
  return frames;
}

/** The same events as messages of their own, without any header. */
export function prepareSingles(events: number, bytes: number): Prepared[] {
  const one = Buffer.from(eventLine(bytes, 0));
  return Array.from({ length: events }, (_, index) => ({
    count: 1,
    frame: index === events - 1 ? Buffer.from(eventLine(bytes, 0, true)) : one,
  }));
}
