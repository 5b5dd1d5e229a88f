/** Goal: the length in UTF-8 is that of the encoded text, wherever the scratch buffer ends. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { utf8Bytes } from '../../protocol/index.ts';
import { propertyRuns } from '../support/property-runs.ts';

const SCRATCH_BYTES = 64 * 1024;

it.each(['a', 'é', '€', '😀', '\ud800', 'a😀', '€\udc00'])('[LIM1] texts of %j around the size of the buffer', (unit) => {
  const units = Math.ceil(SCRATCH_BYTES / Buffer.byteLength(unit));
  for (let more = -3; more <= 3; more += 1) {
    for (const before of ['', 'x', 'xy', 'xyz']) {
      const text = before + unit.repeat(units + more);
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
    }
  }
});

it('[LIM1] any text, also several buffers long', () => {
  expect(utf8Bytes('')).toBe(0);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 50 }), fc.nat(6_000), (text, times) => {
      const long = text.repeat(times);
      expect(utf8Bytes(long)).toBe(Buffer.byteLength(long));
    }),
    { numRuns: propertyRuns(300) },
  );
});
