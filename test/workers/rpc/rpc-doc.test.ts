/**
 * Goal: docs/rpc.md, the type for callers (HoldfastRpc) and the class itself have the same methods.
 * Method: the page's tables are compared with the class's prototype and with PROBLEMS; the compiler
 * compares the two types.
 */

import type { WorkerEntrypoint } from 'cloudflare:workers';
import { expect, test } from 'vitest';
import page from '../../../docs/rpc.md?raw';
import {
  type HoldfastRpc,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  PROBLEMS,
  READ_LIMIT_MAX,
  WAIT_SECONDS_MAX,
} from '../../../protocol/index.ts';
import { Holdfast } from '../../../src/rpc.ts';

/**
 * `implements` checks that the class has the whole interface. This checks that the interface has
 * the whole class.
 */
type Offered = Exclude<keyof Holdfast, keyof WorkerEntrypoint | symbol>;
type Missing = Exclude<Offered, keyof HoldfastRpc>;
const nothingMissing: [Missing] extends [never] ? true : Missing = true;

/** Problems that only HTTP can return. */
const HTTP_ONLY = [
  'key_not_found',
  'keys_full',
  'pools_full',
  'forbidden_origin',
  'not_found',
  'method_not_allowed',
  'upgrade_required',
];

const rows = [...page.matchAll(/^\| `(\w+)\(([^|]*)\)` \| ([^|]*) \|([^|]*)\|$/gm)];
const codesIn = (text: string): string[] => [...text.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code as string);

test('the page has every method of the class, once', () => {
  const methods = Object.getOwnPropertyNames(Holdfast.prototype).filter((name) => name !== 'constructor');
  expect(rows.map(([, name]) => name).sort()).toEqual(methods.sort());
  expect(nothingMissing).toBe(true);
});

test('each method is shown with its number of arguments', () => {
  for (const [, name = '', args = ''] of rows) {
    const shown = args
      .replace(/\{.*\}/, 'options')
      .split(',')
      .filter(Boolean).length;
    const { length } = Holdfast.prototype[name as Offered] as { length: number };
    // Optional ones are not in `length`: at most one, and it is an object.
    const optional = /\{.*\?\}/.test(args) ? 1 : 0;
    expect([name, shown - optional]).toEqual([name, length]);
  }
});

test('its codes are exactly those with which a call can be refused', () => {
  const common = [...page.matchAll(/^\| `([a-z_]+)` \| /gm)].map(([, code]) => code as string);
  const own = rows.flatMap(([, , , , codes = '']) => codesIn(codes));
  expect([...new Set([...common, ...own])].sort()).toEqual(
    Object.keys(PROBLEMS)
      .filter((code) => !HTTP_ONLY.includes(code))
      .sort(),
  );
});

test('its numbers are the limits', () => {
  expect(page).toContain(`\`waitSeconds\` (at most ${WAIT_SECONDS_MAX})`);
  expect(page).toContain(`${LIST_LIMIT_DEFAULT} when left out, ${LIST_LIMIT_MAX} at most`);
  expect(page).toContain(`at most ${READ_LIMIT_MAX} and some 4 MB`);
});
