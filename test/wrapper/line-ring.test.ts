/**
 * Goal: lines come out of the ring as they went in, whatever their sizes. Method: a seeded queue of
 * arbitrary lines, compared with copies of them.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineRing } from '../../wrapper/spool/line-ring.ts';

it('[LR1 LR2] pending lines stay unchanged, however lines are added and removed', () => {
  let copied = 0;
  let given = 0;
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 64 }),
      fc.array(fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 40 }) }, fc.constant('release' as const)), {
        maxLength: 200,
      }),
      fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
      (size, steps, releases) => {
        const ring = new LineRing(size);
        const waiting: { kept: Buffer; text: string }[] = [];
        let n = 0;
        for (const step of steps) {
          if (step === 'release') {
            ring.release(waiting.splice(0, releases.next().value).map(({ kept }) => kept));
          } else {
            const text = String.fromCharCode(97 + (n % 26)).repeat(step);
            const line = Buffer.from(text);
            const kept = ring.keep(line);
            if (kept === line) given += 1;
            else copied += 1;
            waiting.push({ kept, text });
            n += 1;
          }
          for (const { kept, text } of waiting) expect(kept.toString()).toBe(text);
        }
      },
    ),
    { numRuns: 500 },
  );
  // Both ways were taken, or this says nothing.
  expect(copied).toBeGreaterThan(300);
  expect(given).toBeGreaterThan(300);
});

it('[LR2] an empty ring accepts a line of its own size, and no longer one', () => {
  const ring = new LineRing(8);
  const long = Buffer.alloc(9);
  expect(ring.keep(long)).toBe(long);
  const fits = Buffer.alloc(8, 1);
  const kept = ring.keep(fits);
  expect(kept).not.toBe(fits);
  const next = Buffer.alloc(1);
  expect(ring.keep(next)).toBe(next);
  ring.release([kept]);
  expect(ring.keep(next)).not.toBe(next);
});
