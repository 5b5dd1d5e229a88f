/**
 * Files share one workerd. Each file begins without the objects of the previous one, whose alarms
 * would otherwise fire in its middle. The second deletion removes objects that a message in flight
 * created after the first.
 */
import { reset } from 'cloudflare:test';
import { afterAll, beforeAll } from 'vitest';

beforeAll(() => reset());
afterAll(() => reset());
