/**
 * Goal: a 400 says in plain words what is allowed and what came, for each kind of mistake, and never
 * quotes a text of the caller. Method: the schemas of the API, and values that each of them refuses.
 */

import { expect, test } from 'vitest';
import type * as z from 'zod';
import { badInput } from '../../src/contract/failure.ts';
import { inputSchema, listSchema, runnerKeySchema, startSchema, terminalSchema, ticketSchema } from '../../src/contract/schemas.ts';

function messageOf(schema: z.ZodType, value: unknown): string {
  const parsed = schema.safeParse(value);
  if (parsed.success) throw new Error('the value was accepted');
  return badInput(parsed.error).message;
}

const command = ['true'];

test.each<[z.ZodType, unknown, string]>([
  [startSchema, null, 'must be an object, not null'],
  [startSchema, {}, 'command: is missing: it must be a list'],
  [startSchema, { command: 'make test' }, 'command: must be a list, not a text'],
  [startSchema, { command: ['make', 3] }, 'command.1: must be a text, not 3'],
  [startSchema, { command: Array(2000).fill('x') }, 'command: must have at most 1024 entries, not 2000'],
  [startSchema, { command, cwd: '' }, 'cwd: must not be empty'],
  [startSchema, { command, waitMs: 0 }, 'waitMs: must be at least 1000, not 0'],
  [startSchema, { command, waitMs: 1000.5 }, 'waitMs: must be a whole number, not 1000.5'],
  [startSchema, { command, waitMs: '1 h' }, 'waitMs: must be a whole number, not a text'],
  [startSchema, { command, waitMs: 1e300 }, 'waitMs: must be at most 9007199254740991, not 1e+300'],
  [startSchema, { command, priority: 11 }, 'priority: must be at most 10, not 11'],
  [startSchema, { command, openStdin: 'yes' }, 'openStdin: must be true or false, not a text'],
  [startSchema, { command, env: ['A=1'] }, 'env: must be an object, not a list'],
  [startSchema, { command, onBusy: 'hf_secret' }, 'onBusy: must be reject, queue or replace, not another text'],
  [startSchema, { command, onBusy: 4 }, 'onBusy: must be reject, queue or replace, not 4'],
  [startSchema, { command, callback: { url: 'hf_secret' } }, 'callback.url: must be an http:// or https:// URL'],
  [startSchema, { command, comand: [] }, 'has no field "comand"'],
  [startSchema, { command, concurrency: { key: 'k' } }, 'concurrency.limit: is missing: it must be a whole number'],
  [runnerKeySchema, { name: 'x'.repeat(300) }, 'name: must have at most 128 characters, not 300'],
  [listSchema, { limit: Number.NaN }, 'limit: must be a whole number, not a text that is no number'],
  [terminalSchema, { cols: 80, rows: 201 }, 'rows: must be at most 200, not 201'],
  [ticketSchema, { can: [] }, 'can: must not be empty'],
  [inputSchema, { text: 'a', secret: null }, 'secret: must be true or false, not null'],
])('[HTTP6] the refusal of a value names the field, what is allowed and what came, %#', (schema, value, message) => {
  expect(messageOf(schema, value)).toBe(message);
});
