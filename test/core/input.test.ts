/**
 * Goal: an input is taken only while the session has room for its event; the end of stdin always
 * is.
 */

import { expect, it } from 'vitest';
import { SESSION_BYTES_MAX, utf8Bytes } from '../../protocol/index.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';
import { decideInput, type NormalInput } from '../../src/core/input.ts';

const running = { id: 'e1', status: 'running', launcher: 'none', features: ['input2'] } as unknown as ExecutionRecord;
const TEXT: NormalInput = {
  text: 'yes\n',
  base64: null,
  bytes: 4,
  sha256: 'x',
  eof: false,
  inputId: null,
  secret: false,
  by: { kind: 'key', id: 'k1' },
};
const EVENT_BYTES = utf8Bytes(JSON.stringify({ by: TEXT.by, bytes: 4, text: TEXT.text }));

const decide = (input: NormalInput, databaseBytes: number, reservedBytes = 0) =>
  decideInput(running, input, { noted: null, waiting: { count: 0, bytes: 0 }, storage: { databaseBytes, reservedBytes } });

it('[HTTP34] is taken when its event just fits, and refused when it does not', () => {
  expect(decide(TEXT, SESSION_BYTES_MAX - EVENT_BYTES).kind).toBe('accept');
  expect(decide(TEXT, SESSION_BYTES_MAX - EVENT_BYTES + 1)).toMatchObject({ kind: 'refuse', failure: { code: 'storage_full' } });
});

it('[HTTP34] leaves what is reserved for the output of the active execution', () => {
  expect(decide(TEXT, 0, SESSION_BYTES_MAX - EVENT_BYTES).kind).toBe('accept');
  expect(decide(TEXT, 1, SESSION_BYTES_MAX - EVENT_BYTES).kind).toBe('refuse');
});

it('[HTTP34] takes a bare end of stdin however full the session is', () => {
  const end: NormalInput = { ...TEXT, text: null, bytes: 0, eof: true };
  expect(decide(end, SESSION_BYTES_MAX * 2)).toMatchObject({ kind: 'accept', transition: { patch: { stdinEnded: true } } });
});

it('[HTTP34] a repeat is answered however full the session is', () => {
  const noted = { digest: 'x', commandId: 7 };
  const storage = { databaseBytes: SESSION_BYTES_MAX * 2, reservedBytes: 0 };
  const input = { ...TEXT, inputId: 'i1' };
  expect(decideInput(running, input, { noted, waiting: { count: 0, bytes: 0 }, storage })).toEqual({
    kind: 'repeat',
    commandId: 7,
  });
});
