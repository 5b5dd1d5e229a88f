/**
 * Goal: every limit of the protocol is exact: a value at its edge is accepted, and one past it is
 * refused as documented, without a change. A limit without a case here fails the tests. The other
 * cases are in limit-edges-starts.test.ts and limit-edges-sessions.test.ts.
 * Method: the table of cases is compared with the exports of protocol/. Edges are tested over HTTP
 * and over RPC where possible. Bytes are counted with three-byte characters, UTF-16 units with
 * characters of two units. What is too many to create (30,000 viewers) is tested on the function
 * that decides.
 */

import { expect, test } from 'vitest';
import * as protocol from '../../../protocol/index.ts';
import * as limits from '../../../protocol/limits.ts';
import { tryEdges } from './cases/edges.ts';
import { FRAMES } from './cases/frames.ts';
import { POOLS } from './cases/pools.ts';
import { SESSIONS } from './cases/sessions.ts';
import { STARTS } from './cases/starts.ts';

const constants = (module: object): string[] =>
  Object.entries(module)
    .filter(([, value]) => typeof value === 'number' || value instanceof RegExp)
    .map(([name]) => name);

/** PROTOCOL.md has them too (test/contract/protocol-doc.test.ts). */
const isLimit = (name: string): boolean => /_(MAX|BYTES|DEFAULT|MS|PATTERN)$/.test(name);

test('every limit has exactly one case, and every case is of a limit', () => {
  expect(constants(limits).filter((name) => !isLimit(name))).toEqual([]);
  const cases = [STARTS, FRAMES, SESSIONS, POOLS].flatMap((table) => Object.keys(table));
  expect(cases.sort()).toEqual(constants(protocol).filter(isLimit).sort());
});

tryEdges(FRAMES);
tryEdges(POOLS);
