/**
 * Goal: JSON text is cut where a parser would cut it, and nothing in it changes. Method: any value,
 * written in any layout, is cut, and the parts are compared with what a parser makes of the whole.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { elementsOf, membersOf } from '../../src/operations/json-text.ts';

const layout = fc.constantFrom('', ' ', '\n', '\t ', '\r\n');
const anyJson = fc
  .tuple(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 1, 3))
  .map(([value, indent]) => JSON.stringify(value, null, indent));

describe('[STR24] cutting JSON text', () => {
  test('elements of an array, as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(layout, anyJson, layout)), layout, (parts, inside) => {
        const texts = parts.map((part) => part.join(''));
        const array = parts.length === 0 ? `[${inside}]` : `[${texts.join(',')}]`;
        expect(elementsOf(array)).toEqual(texts);
      }),
      { numRuns: 1000 },
    );
  });

  test('members of an object, by name; the last of a name counts', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(layout, fc.string({ unit: 'binary' }), layout, layout, anyJson, layout)), (parts) => {
        const members = parts.map(([a, name, b, c, value, d]) => `${a}${JSON.stringify(name)}${b}:${c}${value}${d}`);
        const object = `{${members.join(',')}}`;
        const expected = new Map(parts.map(([, name, , c, value, d]) => [name, `${c}${value}${d}`]));
        expect(membersOf(object)).toEqual(expected);
        for (const [name, text] of membersOf(object)) {
          const [, , , , value] = parts.findLast((part) => part[1] === name) ?? [];
          expect(JSON.parse(text)).toEqual(JSON.parse(value ?? ''));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('text inside a string that looks like the end of a string, an array or an object is ignored', () => {
    expect(elementsOf(String.raw`["a\"],[","\\",{"x":"}"},[]]`)).toEqual([
      String.raw`"a\"],["`,
      String.raw`"\\"`,
      '{"x":"}"}',
      '[]',
    ]);
    expect([...membersOf(String.raw`{"a\u0062":1,"c:":{"d":[":"]},"":-0.0}`)]).toEqual([
      ['ab', '1'],
      ['c:', '{"d":[":"]}'],
      ['', '-0.0'],
    ]);
    expect(elementsOf('[]')).toEqual([]);
    expect(membersOf(' { } ').size).toBe(0);
  });
});
