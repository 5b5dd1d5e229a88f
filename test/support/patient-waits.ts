/**
 * Raises the default timeout of `vi.waitFor`, which is one second. On a loaded machine a single
 * step can take that long. The limit may be long: a passing test does not take longer for it.
 */
import { vi } from 'vitest';

const WAIT_MS = 20_000;

const { waitFor } = vi;
vi.waitFor = (look, options) => waitFor(look, typeof options === 'number' ? options : { timeout: WAIT_MS, ...options });
