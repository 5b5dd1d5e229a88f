/**
 * `vi.waitFor` gives up after one second by itself, which a loaded machine takes for a single step. What is waited for here either comes or never does, so the
 * limit may be long: a test that passes does not take longer for it.
 */
import { vi } from 'vitest';

const WAIT_MS = 20_000;

const { waitFor } = vi;
vi.waitFor = (look, options) => waitFor(look, typeof options === 'number' ? options : { timeout: WAIT_MS, ...options });
