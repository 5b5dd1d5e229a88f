/**
 * Goal: a caller of the RPC may pass any value that the platform can carry, and a body of HTTP may
 * be any JSON. Each is answered with a documented refusal, and touches no session. Nothing throws.
 * Method: the real entrypoint over its loopback binding, so that arguments are serialised like
 * those of another Worker.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { START_BODY_BYTES_MAX, STDIN_BYTES_MAX, utf8Bytes } from '../../../protocol/index.ts';
import { checkInputForm } from '../../../src/operations/bound-input.ts';
import { executionsOf, refusedByForm, rowsOf, rpc } from '../limits/cases/edges.ts';
import { ask, expectProblem } from '../support/http.ts';
import { newSession, start, WrapperPeer } from '../support/peers.ts';

const cyclic = (): Record<string, unknown> => {
  const request: Record<string, unknown> = { command: ['job'] };
  request.labels = request;
  return request;
};
const loop: unknown[] = ['job'];
loop.push(loop);
const deep = (levels: number): unknown => {
  let value: unknown = 'x';
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
};
/** A list of 2^levels items, in `levels` objects. */
const doubled = (levels: number): unknown => {
  let value: unknown = 'x';
  for (let level = 0; level < levels; level += 1) value = [value, value];
  return value;
};
const MIB = 1024 * 1024;

describe('[HTTP29] startExecution', () => {
  const ODD: [what: string, request: () => unknown, code: 'bad_request' | 'too_large'][] = [
    ['a map', () => new Map([['command', ['job']]]), 'bad_request'],
    ['a set', () => new Set(['job']), 'bad_request'],
    ['a date', () => new Date(0), 'bad_request'],
    ['a regular expression', () => /x/, 'bad_request'],
    ['an error', () => new Error('x'), 'bad_request'],
    ['bytes', () => new Uint8Array(10), 'bad_request'],
    ['a request', () => new Request('https://example.com'), 'bad_request'],
    ['a function of the caller', () => () => ({ command: ['job'] }), 'bad_request'],
    ['a bigint', () => 7n, 'bad_request'],
    ['a list', () => [{ command: ['job'] }], 'bad_request'],
    ['an object that holds itself', cyclic, 'too_large'],
    ['a command that holds itself', () => ({ command: loop }), 'too_large'],
    // Within the limit of its field. An HTTP body could not hold it, nor could the body of a runner
    // request.
    ['text that JSON makes too long', () => ({ command: ['job'], stdin: '\u0001'.repeat(STDIN_BYTES_MAX) }), 'too_large'],
    ['a command that is a function', () => ({ command: () => ['job'] }), 'bad_request'],
    ['a command with a function in it', () => ({ command: ['job', () => 'x'] }), 'bad_request'],
    ['a command with a hole', () => ({ command: Object.assign(Array(3), { 0: 'job', 2: 'x' }) }), 'bad_request'],
    ['a command of bytes', () => ({ command: [new Uint8Array(3)] }), 'bad_request'],
    ['labels that are a map', () => ({ command: ['job'], labels: new Map([['a', 'b']]) }), 'bad_request'],
    ['a policy of NaN', () => ({ command: ['job'], policy: { heartbeatMs: Number.NaN } }), 'bad_request'],
    ['a policy of a bigint', () => ({ command: ['job'], policy: { heartbeatMs: 1000n } }), 'bad_request'],
    ['a policy that is a date', () => ({ command: ['job'], policy: new Date() }), 'bad_request'],
    ['a field that is undefined and not known', () => ({ command: ['job'], more: undefined }), 'bad_request'],
    ['a thousand levels', () => ({ command: ['job'], labels: deep(1000) }), 'bad_request'],
    ['20 MiB of text', () => ({ command: ['x'.repeat(20 * MIB)] }), 'too_large'],
    ['20 MiB of text in a field that is not known', () => ({ command: ['job'], more: 'x'.repeat(20 * MIB) }), 'too_large'],
    ['a name of 20 MiB', () => ({ command: ['job'], labels: { ['x'.repeat(20 * MIB)]: 'v' } }), 'too_large'],
    ['as many arguments as it has bytes', () => ({ command: Array(START_BODY_BYTES_MAX).fill('') }), 'too_large'],
    [
      'as many lists as it has bytes',
      () => ({ command: ['job'], more: Array.from({ length: START_BODY_BYTES_MAX }, () => []) }),
      'too_large',
    ],
    [
      'text that is too long one level down',
      () => ({ command: ['job'], more: { inner: 'x'.repeat(START_BODY_BYTES_MAX) } }),
      'too_large',
    ],
    [
      'very many variables',
      () => ({ command: ['job'], env: Object.fromEntries(Array.from({ length: 30_000 }, (_, index) => [`V${index}`, ''])) }),
      'too_large',
    ],
  ];
  test.each(ODD)('%s', async (_, request, code) => {
    const session = newSession();
    expect(await rpc.startExecution?.(session, request())).toMatchObject({ ok: false, code });
    expect(await rpc.getSession?.(session)).toMatchObject({ code: 'session_not_found' });
  });

  test('few objects with very many references count once per reference, and counting stops at the limit', () => {
    expect(checkInputForm(doubled(40))).toMatchObject({ code: 'too_large' });
    // A stream that is never read keeps the call open. The runtime then takes the whole test run
    // for hung, and sometimes ends it.
    expect(checkInputForm(new Blob(['x']).stream())).toMatchObject({ code: 'bad_request' });
  });

  test('plain data is accepted, whatever created it', async () => {
    const shared = { a: 'b' };
    const request = { command: ['job'], labels: shared, env: shared, cwd: undefined };
    expect(await rpc.startExecution?.(newSession(), request)).toMatchObject({ ok: true });
    expect(checkInputForm(Object.assign(Object.create(null), request))).toBeNull();
    expect(checkInputForm({ labels: shared, again: shared, list: [shared, null, 1, true, undefined] })).toBeNull();
  });
});

test('[HTTP29] the size of plain data is that of its JSON text, to the byte', () => {
  const json = fc.jsonValue({ depthSize: 'medium', stringUnit: 'binary' });
  fc.assert(
    fc.property(json, fc.integer({ min: -2, max: 2 }), (value, past) => {
      const around = utf8Bytes(JSON.stringify({ value, pad: '' }));
      fc.pre(around < START_BODY_BYTES_MAX);
      const whole = { value, pad: 'x'.repeat(START_BODY_BYTES_MAX - around + past) };
      expect(checkInputForm(whole)?.code).toBe(past > 0 ? 'too_large' : undefined);
    }),
    { numRuns: 20 },
  );
});

describe('[HTTP29] every other method', () => {
  const BAD = [new Map(), new Date(), cyclic(), () => ({}), [], 7, 'text', null, 7n, { more: 1 }, 'x'.repeat(MIB)];
  test.each([
    ['interruptExecution', true],
    ['failExecution', true],
    ['sendInput', true],
    ['getExecution', true],
    ['listExecutions', false],
    ['readEvents', false],
    ['createTicket', false],
  ] as const)('%s refuses what is no object of its options, and changes nothing', async (method, ofExecution) => {
    const run = await start(newSession(), { id: 'e1' });
    await WrapperPeer.welcomed(run);
    const before = await rowsOf(run.session);
    for (const bad of BAD) {
      if (method === 'sendInput' && bad === 'text') continue;
      const args = ofExecution ? [run.session, 'e1', bad] : [run.session, bad];
      const result = await rpc[method]?.(...args);
      expect(result, String(bad).slice(0, 20)).toMatchObject({
        ok: false,
        code: expect.stringMatching(/^(bad_request|too_large)$/),
      });
    }
    expect(await rowsOf(run.session)).toEqual(before);
  });

  test('an overlong name of a session or an execution is not read to its end', async () => {
    for (const name of ['x'.repeat(20 * MIB), new Map(), () => 's', cyclic(), 7n, Symbol.iterator.toString()]) {
      expect(await rpc.getSession?.(name)).toMatchObject({ ok: false, code: 'bad_request', facts: { field: 'session' } });
      expect(await rpc.getExecution?.('s', name)).toMatchObject({ ok: false, code: 'bad_request', facts: { field: 'execution' } });
    }
  });
});

describe('[HTTP6] JSON that is nested too deeply for a parser', () => {
  const levels = START_BODY_BYTES_MAX / 2 - 20;
  test.each([
    ['a list in a list', () => '['.repeat(levels) + ']'.repeat(levels)],
    ['in a field', () => `{"command":["job"],"labels":${'['.repeat(levels - 20)}${']'.repeat(levels - 20)}}`],
    ['in a field that is not known', () => `{"command":["job"],"x":${'['.repeat(levels - 20)}${']'.repeat(levels - 20)}}`],
    ['an object in an object', () => `${'{"a":'.repeat(levels / 3)}1${'}'.repeat(levels / 3)}`],
  ])('%s', async (_, body) => {
    expectProblem(await refusedByForm('POST', executionsOf('s'), { body: body() }), 'bad_request');
  });
});

describe('[HTTP6] half a surrogate pair', () => {
  const half = '\ud83e';
  test.each([
    ['command.1', { command: ['job', `a${half}`] }],
    ['cwd', { command: ['job'], cwd: `/${half}` }],
    ['env.A', { command: ['job'], env: { A: half } }],
    ['stdin', { command: ['job'], stdin: half }],
  ])('in %s would reach the job as another character, so it is refused', async (field, body) => {
    const problem = expectProblem(await refusedByForm('POST', executionsOf('s'), { body }), 'bad_request');
    expect([problem.field, problem.detail]).toEqual([field, `${field}: must not contain half a surrogate pair`]);
    expect(await rpc.startExecution?.(newSession(), body)).toMatchObject({ ok: false, code: 'bad_request' });
  });

  test('in text that people read it becomes U+FFFD, over HTTP and RPC', async () => {
    const session = newSession();
    const labels = { note: `a${half}` };
    const run = await start(session, { id: 'e1', labels });
    expect(run.execution.labels).toEqual({ note: 'a\ufffd' });
    expect((await start(session, { id: 'e1', labels })).execution.id).toBe('e1');
    const peer = await WrapperPeer.welcomed(run);
    const path = `${executionsOf(session)}/e1`;
    expect((await ask('POST', `${path}/interrupt`, { body: { reason: `b${half}` } })).status).toBe(202);
    expect(await peer.next()).toMatchObject({ command: 'interrupt', data: { reason: 'b\ufffd' } });
    const other = await start(newSession(), { id: 'e1' });
    const failed = { code: 'gone', message: `c${half}` };
    expect(await rpc.failExecution?.(other.session, 'e1', failed)).toMatchObject({ ok: true });
    const { body } = await ask('GET', `${executionsOf(other.session)}/e1`);
    expect(body).toMatchObject({ status: 'failed', error: 'c\ufffd' });
  });

  test('in input, too; a whole pair is accepted and arrives', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const peer = await WrapperPeer.welcomed(run);
    const path = `${executionsOf(run.session)}/e1/input`;
    expectProblem(await ask('POST', path, { body: { data: half } }), 'bad_request');
    const data = '🦀'.repeat(STDIN_BYTES_MAX / 4);
    expect(utf8Bytes(data)).toBe(STDIN_BYTES_MAX);
    expect((await ask('POST', path, { body: { data } })).status).toBe(202);
    expect(await peer.next()).toMatchObject({ command: 'input', data: { text: data } });
  });
});
