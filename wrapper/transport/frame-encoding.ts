/**
 * Encodes stored event lines as frames. Pure.
 *
 *   FE1  A frame has at most `frameBytes`. A longer plan (a chunk from before the coordinator
 *        lowered its limit) becomes several frames, cut at line ends.
 *   FE2  A single event that is too long for this coordinator is replaced by a `gap` under the same
 *        seq. Sent unchanged, it would be refused forever and block everything after it.
 */

import { encodeEventsFrame } from '../../protocol/index.ts';
import { encodeEvent } from '../output/event-lines.ts';
import { FRAME_HEADER_BYTES } from '../spool/sender.ts';

const NEWLINE = 0x0a;

export interface EventRun {
  seq: number;
  count: number;
  /** Event lines, each with its line end. */
  lines: Buffer;
}

export function encodeFrames({ seq, count, lines }: EventRun, frameBytes: number, now: number): Buffer[] {
  const room = frameBytes - FRAME_HEADER_BYTES;
  if (lines.length <= room) return [frame(seq, count, lines)];
  const frames: Buffer[] = [];
  let firstSeq = seq;
  let from = 0;
  let held = 0;
  const give = (to: number) => {
    if (held > 0) frames.push(frame(firstSeq, held, lines.subarray(from, to)));
    firstSeq += held;
    held = 0;
    from = to;
  };
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(NEWLINE, start) + 1;
    if (end - from > room) give(start);
    if (end - start > room) {
      frames.push(encodeGap(firstSeq, end - start, 'event_too_large', now));
      firstSeq += 1;
      from = end;
    } else {
      held += 1;
    }
    start = end;
  }
  give(lines.length);
  return frames;
}

/** Replaces one event that cannot be sent, under its seq. */
export const encodeGap = (seq: number, bytes: number, reason: 'event_too_large' | 'line_too_slow', now: number): Buffer =>
  frame(seq, 1, encodeEvent({ type: 'gap', at: now, data: { events: 1, bytes, reason } }));

function frame(seq: number, count: number, lines: Buffer): Buffer {
  return Buffer.concat([Buffer.from(encodeEventsFrame(seq, count, '')), lines.subarray(0, lines.length - 1)]);
}
