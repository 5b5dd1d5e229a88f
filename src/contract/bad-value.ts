/**
 * What is wrong with one value of a caller, in words: what is allowed, and what came. zod's own
 * texts are for programmers ("Too small: expected number to be >=1000"). Pure.
 *
 * Values of a caller are never quoted, because any of them may be a secret in the wrong place. Their
 * kind and length are named instead, and numbers. An unknown field is named: its name is the mistake.
 */

import type * as z from 'zod';

/** Undefined: zod's own text. */
export function describeBadValue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `is missing: it must be ${noun(issue.expected)}`
        : `must be ${noun(issue.expected)}, not ${kindOf(issue.input)}`;
    case 'too_small':
      if (issue.minimum === 1 && sizeOf(issue.input) === 0) return 'must not be empty';
      return `must ${amount('at least', Number(issue.minimum), issue.input)}`;
    case 'too_big':
      return `must ${amount('at most', Number(issue.maximum), issue.input)}`;
    case 'invalid_value':
      return `must be ${listOf(issue.values.map(String))}, not ${typeof issue.input === 'string' ? 'another text' : kindOf(issue.input)}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'must be an http:// or https:// URL' : undefined;
    case 'unrecognized_keys':
      return `has no field ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`;
    default:
      return undefined;
  }
}

const NOUNS: Readonly<Record<string, string>> = {
  string: 'a text',
  // The API has no numbers with a fraction.
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

const noun = (expected: string): string => NOUNS[expected] ?? expected;

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'a text that is no number';
  return typeof value === 'boolean' ? String(value) : (NOUNS[typeof value] ?? typeof value);
}

const sizeOf = (value: unknown): number | null => (typeof value === 'string' || Array.isArray(value) ? value.length : null);

function amount(bound: string, limit: number, value: unknown): string {
  const size = sizeOf(value);
  if (size === null) return `be ${bound} ${limit}, not ${kindOf(value)}`;
  const unit = Array.isArray(value) ? (limit === 1 ? 'entry' : 'entries') : limit === 1 ? 'character' : 'characters';
  return `have ${bound} ${limit} ${unit}, not ${size}`;
}

const listOf = (values: readonly string[]): string =>
  values.length < 2 ? values.join() : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
