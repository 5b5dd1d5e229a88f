/** Goal: what a launch request may be, and which two requests are the same job. Method: tables. */

import { describe, expect, it } from 'vitest';
import { COMMAND_ARGS_MAX, ENV_VARS_MAX, STDIN_BYTES_MAX } from '../../protocol/index.ts';
import { folderName, readLaunchRequest, requestDigest } from '../../wrapper/runner-request.ts';

const good = {
  id: 'e1',
  session: 's1',
  command: ['sh', '-c', 'true'],
  ingest: { url: 'http://127.0.0.1:1/v1/sessions/s1/executions/e1/ingest', token: 't' },
};

describe('readLaunchRequest', () => {
  it('fills in what may be left out', () => {
    expect(readLaunchRequest(good)).toEqual({
      ok: true,
      request: { ...good, tenant: '', cwd: null, env: {}, stdin: null, openStdin: false, format: 'text', traceparent: null },
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
    ['env that would configure the wrapper', 'env', { ...good, env: { HOLDFAST_INGEST_TOKEN: 'x' } }],
    ['env with a bad name', 'env', { ...good, env: { 'A=B': '' } }],
    [
      'too many variables',
      'env',
      { ...good, env: Object.fromEntries(Array.from({ length: ENV_VARS_MAX + 1 }, (_, i) => [`V${i}`, ''])) },
    ],
    ['too much stdin', 'stdin', { ...good, stdin: 'x'.repeat(STDIN_BYTES_MAX + 1) }],
    ['openStdin as text', 'openStdin', { ...good, openStdin: 'yes' }],
    ['an unknown format', 'format', { ...good, format: 'xml' }],
    ['no ingest', 'ingest', { ...good, ingest: undefined }],
    ['an empty token', 'ingest.token', { ...good, ingest: { ...good.ingest, token: '' } }],
    ['a relative URL', 'ingest.url', { ...good, ingest: { ...good.ingest, url: '/v1' } }],
    ['a file URL', 'ingest.url', { ...good, ingest: { ...good.ingest, url: 'file:///etc/passwd' } }],
  ])('refuses %s and names the field', (_, field, value) => {
    expect(readLaunchRequest(value)).toMatchObject({ ok: false, field });
  });

  it('takes what stands exactly at the limits', () => {
    expect(readLaunchRequest({ ...good, command: Array(COMMAND_ARGS_MAX).fill('a') }).ok).toBe(true);
    expect(readLaunchRequest({ ...good, stdin: 'x'.repeat(STDIN_BYTES_MAX) }).ok).toBe(true);
  });
});

describe('requestDigest', () => {
  const digest = (value: object) => {
    const reading = readLaunchRequest(value);
    if (!reading.ok) throw new Error(reading.message);
    return requestDigest(reading.request);
  };

  it('is the same for another token, another order of env, and defaults written out', () => {
    const env = { A: '1', B: '2' };
    expect(digest({ ...good, env: { B: '2', A: '1' }, ingest: { url: 'http://other/', token: 'new' }, format: 'text' })).toBe(
      digest({ ...good, env }),
    );
  });

  it.each([
    { command: ['sh', '-c', 'false'] },
    { command: ['sh', '-c true'] },
    { cwd: '/tmp' },
    { env: { A: '1' } },
    { stdin: '' },
    { openStdin: true },
    { format: 'jsonl' },
    { session: 's2' },
    { tenant: 't2' },
  ])('differs for %j', (change) => {
    expect(digest({ ...good, ...change })).not.toBe(digest(good));
  });
});

describe('folderName', () => {
  it('differs where a file system would not, and is short and harmless', () => {
    const names = ['a', 'A', 'a:b', 'a_b', 'a.b', 'x'.repeat(128), `${'x'.repeat(127)}y`].map(folderName);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z0-9_-]{1,48}\.[0-9a-f]{24}$/);
  });
});
