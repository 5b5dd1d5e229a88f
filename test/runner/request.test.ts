/**
 * Goal: what a launch request may contain, and which two requests are the same job.
 * Method: tables.
 */

import { describe, expect, it } from 'vitest';
import {
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CREDENTIAL_CHARS_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  STDIN_BYTES_MAX,
} from '../../protocol/index.ts';
import { INGEST_URL_CHARS_MAX, readLaunchRequest, TRACEPARENT_CHARS_MAX } from '../../protocol/launch.ts';
import { requestDigest } from '../../runner/digest.ts';
import { folderName } from '../../runner/folder.ts';

const good = {
  id: 'e1',
  session: 's1',
  command: ['sh', '-c', 'true'],
  ingest: { url: 'http://127.0.0.1:1/v1/sessions/s1/executions/e1/ingest', token: 't' },
};

describe('readLaunchRequest', () => {
  it('fills in optional fields', () => {
    expect(readLaunchRequest(good)).toEqual({
      ok: true,
      launch: {
        ...good,
        tenant: '',
        cwd: null,
        env: {},
        stdin: null,
        openStdin: false,
        format: 'text',
        merge: false,
        output: 'text',
        terminal: null,
        traceparent: null,
      },
    });
  });

  it.each<[string, string, object | string | null]>([
    ['no object', '', 'text'],
    ['null', '', null],
    ['a bad id', 'id', { ...good, id: '../e' }],
    ['a bad session', 'session', { ...good, session: '' }],
    ['a bad tenant', 'tenant', { ...good, tenant: 'a/b' }],
    ['no command', 'command', { ...good, command: undefined }],
    ['an empty command', 'command', { ...good, command: [] }],
    ['a command as text', 'command', { ...good, command: 'ls' }],
    ['an empty program', 'command', { ...good, command: [''] }],
    ['a NUL in the command', 'command', { ...good, command: ['a\0b'] }],
    ['too many arguments', 'command', { ...good, command: Array(COMMAND_ARGS_MAX + 1).fill('a') }],
    ['an empty cwd', 'cwd', { ...good, cwd: '' }],
    ['env as a list', 'env', { ...good, env: [] }],
    ['env with a number', 'env', { ...good, env: { A: 1 } }],
    ['env with a variable that the wrapper sets', 'env', { ...good, env: { HOLDFAST_SESSION: 'x' } }],
    ['env with a bad name', 'env', { ...good, env: { 'A=B': '' } }],
    [
      'too many variables',
      'env',
      { ...good, env: Object.fromEntries(Array.from({ length: ENV_VARS_MAX + 1 }, (_, i) => [`V${i}`, ''])) },
    ],
    ['too much stdin', 'stdin', { ...good, stdin: 'x'.repeat(STDIN_BYTES_MAX + 1) }],
    ['openStdin as text', 'openStdin', { ...good, openStdin: 'yes' }],
    ['an unknown format', 'format', { ...good, format: 'xml' }],
    ['merge as text', 'merge', { ...good, merge: 'yes' }],
    ['an unknown output', 'output', { ...good, output: 'base64' }],
    ['no ingest', 'ingest', { ...good, ingest: undefined }],
    ['an empty token', 'ingest.token', { ...good, ingest: { ...good.ingest, token: '' } }],
    ['a relative URL', 'ingest.url', { ...good, ingest: { ...good.ingest, url: '/v1' } }],
    ['a file URL', 'ingest.url', { ...good, ingest: { ...good.ingest, url: 'file:///etc/passwd' } }],
  ])('refuses %s and names the field', (_, field, value) => {
    expect(readLaunchRequest(value)).toMatchObject({ ok: false, field });
  });

  /** Text of this many bytes, mostly of three-byte characters. */
  const bytes = (count: number) => '漢'.repeat(Math.floor(count / 3)) + 'x'.repeat(count % 3);
  const url = (chars: number) => 'https://example.com/'.padEnd(chars, 'x');

  it.each<[string, string, number, (size: number) => object]>([
    ['COMMAND_ARGS_MAX', 'command', COMMAND_ARGS_MAX, (size) => ({ command: Array(size).fill('a') })],
    ['COMMAND_BYTES_MAX', 'command', COMMAND_BYTES_MAX, (size) => ({ command: ['a', bytes(size - 2)] })],
    ['CWD_BYTES_MAX', 'cwd', CWD_BYTES_MAX, (size) => ({ cwd: bytes(size) })],
    [
      'ENV_VARS_MAX',
      'env',
      ENV_VARS_MAX,
      (size) => ({ env: Object.fromEntries(Array.from({ length: size }, (_, index) => [`V${index}`, ''])) }),
    ],
    ['ENV_BYTES_MAX', 'env', ENV_BYTES_MAX, (size) => ({ env: { A: bytes(size - 3) } })],
    ['STDIN_BYTES_MAX', 'stdin', STDIN_BYTES_MAX, (size) => ({ stdin: bytes(size) })],
    ['TRACEPARENT_CHARS_MAX', 'traceparent', TRACEPARENT_CHARS_MAX, (size) => ({ traceparent: 'x'.repeat(size) })],
    ['INGEST_URL_CHARS_MAX', 'ingest.url', INGEST_URL_CHARS_MAX, (size) => ({ ingest: { ...good.ingest, url: url(size) } })],
    [
      'CREDENTIAL_CHARS_MAX',
      'ingest.token',
      CREDENTIAL_CHARS_MAX,
      (size) => ({ ingest: { ...good.ingest, token: 'x'.repeat(size) } }),
    ],
    ['an id', 'id', 128, (size) => ({ id: 'x'.repeat(size) })],
    ['a session', 'session', 128, (size) => ({ session: 'x'.repeat(size) })],
    ['a tenant', 'tenant', 128, (size) => ({ tenant: 'x'.repeat(size) })],
  ])('%s: takes its edge, and refuses one past it', (_, field, edge, make) => {
    expect(readLaunchRequest({ ...good, ...make(edge) })).toMatchObject({ ok: true });
    expect(readLaunchRequest({ ...good, ...make(edge + 1) })).toMatchObject({ ok: false, field });
  });

  it.each([
    ['command', { command: ['a', '\ud83e'] }],
    ['cwd', { cwd: '/\ud83e' }],
    ['env', { env: { A: '\ud83e' } }],
    ['env', { env: { 'A\ud83e': '' } }],
    ['stdin', { stdin: 'a\ud83e' }],
    ['stdin', { stdin: '\udd80a' }],
    ['ingest.url', { ingest: { ...good.ingest, url: 'http://example.com/\ud83e' } }],
    ['ingest.token', { ingest: { ...good.ingest, token: '\ud83e' } }],
    ['traceparent', { traceparent: '\ud83e' }],
  ])('half a surrogate pair in %s would reach the job as another character', (field, more) => {
    expect(readLaunchRequest({ ...good, ...more })).toMatchObject({ ok: false, field });
  });

  it('a NUL and a whole pair reach the job through stdin', () => {
    const stdin = 'a\0b\u{1f980}';
    expect(readLaunchRequest({ ...good, stdin })).toMatchObject({ ok: true, launch: { stdin } });
  });

  it.each(['a b', 'a\n', 'a\r\nX-Other: 1', '\ta', 'a\0', 'a\x7f', 'é', '漢', '\u00a0'])(
    'refuses the token %j, which no header can carry, and does not repeat it',
    (token) => {
      const reading = readLaunchRequest({ ...good, ingest: { ...good.ingest, token } });
      expect(reading).toEqual({
        ok: false,
        field: 'ingest.token',
        message: 'ingest.token must be one or more visible ASCII characters.',
      });
    },
  );
});

describe('requestDigest', () => {
  const digest = (value: object) => {
    const reading = readLaunchRequest(value);
    if (!reading.ok) throw new Error(reading.message);
    return requestDigest(reading.launch);
  };

  it('is the same for another token, another order of env, and defaults written out', () => {
    const env = { A: '1', B: '2' };
    expect(digest({ ...good, env: { B: '2', A: '1' }, ingest: { url: 'http://other/', token: 'new' }, format: 'text' })).toBe(
      digest({ ...good, env }),
    );
  });

  it('is that of 0.1.0 for a launch that 0.1.0 could send (VER7)', () => {
    const expected = 'a8d4d1fcb40f769469b6a58c240cffc5769bdb1266297d1efdeaf73d1961779e';
    expect(digest(good)).toBe(expected);
    expect(digest({ ...good, merge: false, output: 'text', terminal: null })).toBe(expected);
  });

  it.each([
    { command: ['sh', '-c', 'false'] },
    { command: ['sh', '-c true'] },
    { cwd: '/tmp' },
    { env: { A: '1' } },
    { stdin: '' },
    { openStdin: true },
    { format: 'jsonl' },
    { merge: true },
    { output: 'bytes' },
    { terminal: { cols: 80, rows: 24 } },
    { session: 's2' },
    { tenant: 't2' },
  ])('differs for %j', (change) => {
    expect(digest({ ...good, ...change })).not.toBe(digest(good));
  });
});

describe('folderName', () => {
  it('differs also on a case-insensitive file system, and is short and safe', () => {
    const names = ['a', 'A', 'a:b', 'a_b', 'a.b', 'x'.repeat(128), `${'x'.repeat(127)}y`].map(folderName);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z0-9_-]{1,48}\.[0-9a-f]{24}$/);
  });
});
