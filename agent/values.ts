/** Reads of JSON of unknown shape. None of them throws. */

import { isObject, type JsonObject } from '../protocol/json.ts';

export const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

export const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** What was used; null for a number that cannot be one. */
export const amount = (value: unknown): number | null => {
  const known = number(value);
  return known === null || known < 0 ? null : known;
};

export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const NOTHING: JsonObject = {};

/** An empty object for anything that is none. */
export const object = (value: unknown): JsonObject => (isObject(value) ? value : NOTHING);

export const objects = (value: unknown): JsonObject[] => list(value).filter(isObject);

/**
 * What a table has for a word of the agent. An agent may print the name of a property that every
 * object has, such as `constructor`.
 */
export const lookUp = <T>(table: Readonly<Record<string, T>>, word: string | null): T | undefined =>
  word !== null && Object.hasOwn(table, word) ? table[word] : undefined;

/** The sum of what is known; null when nothing is. */
export const sum = (...values: unknown[]): number | null =>
  values.reduce<number | null>((total, value) => {
    const each = number(value);
    return each === null ? total : (total ?? 0) + each;
  }, null);

/** The first line, bounded. */
export function oneLine(value: string, charsMax = 200): string {
  const line = value
    .trimStart()
    .slice(0, charsMax + 1)
    .split('\n', 1)[0] as string;
  const cut = line.length > charsMax || line.length < value.trim().length;
  return cut ? `${line.slice(0, charsMax - 1).trimEnd()}…` : line.trimEnd();
}
