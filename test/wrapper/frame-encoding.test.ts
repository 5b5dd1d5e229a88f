/**
 * Goal: whatever is stored becomes frames that the coordinator's parser takes, each event under its
 * own seq.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EventsFrame, parseWrapperFrame } from '../../protocol/index.ts';
import { encodeEvent } from '../../wrapper/output/event-lines.ts';
import { encodeFrames } from '../../wrapper/transport/frame-encoding.ts';

const decode = (frames: Buffer[]): EventsFrame[] =>
  frames.map((frame) => {
    const parsed = parseWrapperFrame(frame);
    if (!parsed.ok || parsed.frame.type !== 'events') throw new Error('not an events frame');
    return parsed.frame;
  });

const line = (n: number, length: number) =>
  encodeEvent({ type: 'output', at: n, data: { stream: 'stdout', text: 'x'.repeat(length) } });

describe('frames', () => {
  it('[FE1] holds every event once, in order, within the limit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 400, max: 5000 }),
        (sizes, limit) => {
          const lines = Buffer.concat(sizes.map((size, index) => line(index, size)));
          const frames = encodeFrames({ seq: 7, count: sizes.length, lines }, limit, 0);
          for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(limit);
          const seqs = decode(frames).flatMap(({ seq, events }) => events.map((event, index) => ({ seq: seq + index, event })));
          expect(seqs.map(({ seq }) => seq)).toEqual(sizes.map((_, index) => 7 + index));
          for (const [index, { event }] of seqs.entries()) {
            const size = line(index, sizes[index] as number).length;
            if (event.type === 'gap')
              expect([event.data.bytes, size > limit - 128]).toEqual([size, true]); // FE2
            else expect(event.at).toBe(index);
          }
        },
      ),
    );
  });
});
