/** Limits of starts on a pool, and of a tenant's pools and keys. */

import { expect } from 'vitest';
import {
  CONCURRENCY_KEY_CHARS_MAX,
  CONCURRENCY_LIMIT_MAX,
  KEY_NAME_CHARS_MAX,
  POOL_KEYS_MAX,
  POOLS_MAX,
  PRIORITY_MAX,
  type StartRequest,
  WAIT_MS_DEFAULT,
  WAIT_MS_MAX,
} from '../../../../protocol/index.ts';
import { ask, expectProblem } from '../../support/http.ts';
import { GLOBEX_KEY, newSession } from '../../support/peers.ts';
import { type Edge, executionsOf, startEdge, textOfChars } from './edges.ts';

const KEYS = '/v1/pools/edges/keys';

/** A field of a start on a pool. The pool is made first. */
function poolEdge(field: string, good: Partial<StartRequest>, bad: Partial<StartRequest>): Edge {
  const edge = startEdge(field, { launcher: 'pool', pool: 'edges', ...good }, { launcher: 'pool', pool: 'edges', ...bad });
  return {
    taken: async () => {
      await ask('POST', KEYS, { body: { name: 'first' } });
      await edge.taken();
    },
    refused: edge.refused,
  };
}

/** One more than can be made is refused, and nothing is made by it. */
function countEdge(edge: number, code: 'pools_full' | 'keys_full', path: (index: number) => string, list: string): Edge {
  const make = (index: number) => ask('POST', path(index), { key: GLOBEX_KEY, body: { name: 'k' } });
  const fill = async (): Promise<number> => {
    const before = await ask('GET', list, { key: GLOBEX_KEY });
    let have = before.status === 404 ? 0 : (before.body.data as unknown[]).length;
    for (; have < edge; have += 1) expect((await make(have)).status).toBe(201);
    return have;
  };
  return {
    taken: async () => {
      expect(await fill()).toBe(edge);
    },
    refused: async () => {
      await fill();
      expectProblem(await make(edge), code);
      const { body } = await ask('GET', list, { key: GLOBEX_KEY });
      expect(body.data).toHaveLength(edge);
    },
  };
}

export const POOLS = {
  PRIORITY_MAX: poolEdge('priority', { priority: -PRIORITY_MAX }, { priority: PRIORITY_MAX + 1 }),
  CONCURRENCY_KEY_CHARS_MAX: poolEdge(
    'concurrency.key',
    { concurrency: { key: textOfChars(CONCURRENCY_KEY_CHARS_MAX), limit: 1 } },
    { concurrency: { key: textOfChars(CONCURRENCY_KEY_CHARS_MAX + 1), limit: 1 } },
  ),
  CONCURRENCY_LIMIT_MAX: poolEdge(
    'concurrency.limit',
    { concurrency: { key: 'k', limit: CONCURRENCY_LIMIT_MAX } },
    { concurrency: { key: 'k', limit: CONCURRENCY_LIMIT_MAX + 1 } },
  ),
  WAIT_MS_MAX: poolEdge('waitMs', { waitMs: WAIT_MS_MAX }, { waitMs: WAIT_MS_MAX + 1 }),
  WAIT_MS_DEFAULT: {
    taken: async () => {
      await ask('POST', KEYS, { body: { name: 'first' } });
      const started = await ask('POST', executionsOf(newSession()), {
        body: { command: ['job'], launcher: 'pool', pool: 'edges' },
      });
      expect(started.body.execution).toMatchObject({ waitMs: WAIT_MS_DEFAULT });
    },
    // A default is not exceeded: the field itself is bounded.
    refused: poolEdge('waitMs', {}, { waitMs: 999 }).refused,
  },
  KEY_NAME_CHARS_MAX: {
    taken: async () => {
      const made = await ask('POST', KEYS, { body: { name: textOfChars(KEY_NAME_CHARS_MAX) } });
      expect(made.body.name).toBe(textOfChars(KEY_NAME_CHARS_MAX));
    },
    refused: async () => {
      const refused = await ask('POST', KEYS, { body: { name: textOfChars(KEY_NAME_CHARS_MAX + 1) } });
      expect(expectProblem(refused, 'bad_request').field).toBe('name');
    },
  },
  POOL_KEYS_MAX: countEdge(POOL_KEYS_MAX, 'keys_full', () => '/v1/pools/full/keys', '/v1/pools/full/keys'),
  POOLS_MAX: countEdge(POOLS_MAX, 'pools_full', (index) => `/v1/pools/p${index}/keys`, '/v1/pools'),
} satisfies Record<string, Edge>;
