/** Goal: [TTY13] a screen is written after much output and before a pause, and not for nothing. */

import { expect, test } from 'vitest';
import { isScreenDue, QUIET_MS, quietScreenAt, SCREEN_EVERY_BYTES } from '../../wrapper/terminal/screen-policy.ts';

test('[TTY13] much output is due at once, at its edge', () => {
  expect(isScreenDue({ bytes: SCREEN_EVERY_BYTES - 1, stale: true })).toBe(false);
  expect(isScreenDue({ bytes: SCREEN_EVERY_BYTES, stale: false })).toBe(true);
});

test('[TTY13] a pause is due a second after the last output, if there was enough since', () => {
  expect(quietScreenAt({ bytes: 16 * 1024 - 1, stale: false }, 5000)).toBeNull();
  expect(quietScreenAt({ bytes: 16 * 1024, stale: false }, 5000)).toBe(5000 + QUIET_MS);
  expect(quietScreenAt({ bytes: 0, stale: true }, 5000)).toBe(5000 + QUIET_MS);
});
