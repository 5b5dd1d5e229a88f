/** Goal: a job that is asked to stop does stop, and is never asked more gently than before. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dueRungs, interruptLadder, mergeLadders } from '../../wrapper/job/interrupt.ts';

describe('the ladder', () => {
  it('SIGINT now, SIGTERM at half, SIGKILL at the end', () => {
    expect(interruptLadder('SIGINT', 10_000, 100)).toEqual([
      { at: 100, signal: 'SIGINT' },
      { at: 5100, signal: 'SIGTERM' },
      { at: 10_100, signal: 'SIGKILL' },
    ]);
  });

  it('leaves out what would be weaker than the first', () => {
    expect(interruptLadder('SIGTERM', 1000, 0).map(({ signal }) => signal)).toEqual(['SIGTERM', 'SIGKILL']);
    expect(interruptLadder('SIGKILL', 1000, 0)).toEqual([{ at: 0, signal: 'SIGKILL' }]);
  });

  it('[IN1] [IN2] a second request only brings the end nearer', () => {
    const ladder = fc
      .tuple(fc.constantFrom('SIGINT', 'SIGTERM', 'SIGKILL'), fc.nat(20_000), fc.nat(20_000))
      .map(([signal, force, now]) => interruptLadder(signal, force, now));
    const killAt = (rungs: { at: number; signal: string }[]) => rungs.find(({ signal }) => signal === 'SIGKILL')?.at ?? Infinity;
    fc.assert(
      fc.property(ladder, ladder, (first, second) => {
        const merged = mergeLadders(first, second);
        expect(killAt(merged)).toBe(Math.min(killAt(first), killAt(second)));
        expect(merged.at(-1)?.signal).toBe('SIGKILL');
        expect(merged.map(({ at }) => at)).toEqual(merged.map(({ at }) => at).sort((a, b) => a - b));
      }),
    );
  });

  it('gives the rungs that are due', () => {
    const ladder = interruptLadder('SIGINT', 1000, 0);
    expect(dueRungs(ladder, 500)).toEqual({ due: ladder.slice(0, 2), later: ladder.slice(2) });
  });
});
