/** Files share one workerd. Each begins without the objects of the file before it, whose alarms would go off in its middle. */
import { reset } from 'cloudflare:test';
import { beforeAll } from 'vitest';

beforeAll(() => reset());
