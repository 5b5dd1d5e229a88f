/**
 * Files share one workerd. Each begins without the objects of the file before it, whose alarms would go off in its middle. The second deletion takes what a
 * message on its way between two objects made after the first.
 */
import { reset } from 'cloudflare:test';
import { afterAll, beforeAll } from 'vitest';

beforeAll(() => reset());
afterAll(() => reset());
