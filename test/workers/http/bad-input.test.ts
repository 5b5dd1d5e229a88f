/**
 * The response of every route to bad input, as a table: the documented code, the name of the field,
 * and nothing created or changed. Limits of protocol/limits.ts are tested at the edge and one past
 * it.
 *
 * Method: "nothing created" is shown in two ways. Input of an invalid form goes to a deployment
 * whose sessions must not be touched. Input about an existing execution goes to a real one, whose
 * rows are compared.
 */

import { runInDurableObject } from 'cloudflare:test';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  ERROR_MESSAGE_CHARS_MAX,
  FILTER_ITEMS_MAX,
  INPUT_BYTES_MAX,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  POLICY_BOUNDS,
  POLICY_KEYS,
  REASON_CHARS_MAX,
  START_BODY_BYTES_MAX,
  STDIN_BYTES_MAX,
  TICKET_TTL_SECONDS_MAX,
  utf8Bytes,
} from '../../../protocol/index.ts';
import { type Asking, ask, deployment, expectProblem, untouchable } from '../support/http.ts';
import { newSession, type Run, start, stubOf, WrapperPeer } from '../support/peers.ts';

/**
 * Requests to a deployment without sessions, so that a request that gets that far fails the test.
 */
async function refused(method: string, path: string, asking: Asking = {}) {
  const { SESSIONS, touched } = untouchable();
  const answer = await ask(method, path, { ...asking, env: deployment({ SESSIONS }) });
  expect(touched).toEqual([]);
  return answer;
}

const EXECUTION = '/v1/sessions/s/executions/e';

describe('HTTP5: an invalid id in the path', () => {
  const ROUTES: [method: string, path: string, body?: unknown][] = [
    ['POST', '/v1/sessions/:session/executions', { command: ['job'] }],
    ['GET', '/v1/sessions/:session/executions'],
    ['GET', '/v1/sessions/:session'],
    ['POST', '/v1/sessions/:session/tickets', {}],
    ...(['session', 'execution'] as const).flatMap((which): [string, string, unknown?][] => {
      const path = which === 'session' ? '/v1/sessions/:session/executions/e' : '/v1/sessions/s/executions/:execution';
      return [
        ['GET', path],
        ['GET', `${path}?wait=1`],
        ['POST', `${path}/interrupt`, {}],
        ['POST', `${path}/fail`, { code: 'x', message: 'x' }],
        ['POST', `${path}/input`, { data: 'x' }],
      ];
    }),
  ];
  const BAD_IDS: [what: string, id: string][] = [
    ['an encoded slash', 'a%2Fb'],
    ['an encoded step up', '..%2fother'],
    ['another tenant by an encoded slash', 'globex%2Fs1'],
    ['a twice encoded slash', 'a%252Fb'],
    ['129 characters', 'x'.repeat(129)],
    ['a dot in front', '.hidden'],
    ['a hyphen in front', '-option'],
    ['an encoded space', 'a%20b'],
    ['an encoded NUL', 'a%00b'],
    ['an encoded line end', 'a%0Ab'],
    ['a line end behind', 'a%0A'],
    ['letters beyond ASCII', '%C3%A9'],
    ['bytes that are no UTF-8', '%FF'],
    ['a percent sign that encodes nothing', '%zz'],
    ['an encoded question mark', 'a%3Fb'],
    ['an asterisk', '*'],
    ['a name of a route parameter', ':session'],
  ];
  test.each(ROUTES.flatMap(([method, path, body]) => BAD_IDS.map(([what, id]) => [method, path, what, id, body] as const)))(
    '[HTTP5] %s %s with %s',
    async (method, path, _, id, body) => {
      const answer = await refused(method, path.replace(/:session|:execution/, id), { body });
      const problem = expectProblem(answer, 'bad_request');
      expect(problem.field).toBe(path.includes(':session') ? 'session' : 'execution');
    },
  );

  test('[HTTP5] an id of 128 characters, with every allowed character, is valid', async () => {
    const id = 'A9._:-z'.padEnd(128, 'x');
    expectProblem(await ask('GET', `/v1/sessions/${id}`), 'session_not_found');
    const session = newSession();
    expect((await start(session, { id })).execution.id).toBe(id);
    expect((await ask('GET', `/v1/sessions/${session}/executions/${id}`)).body).toMatchObject({ id });
    expect((await ask('GET', `/v1/sessions/${session}/executions/${encodeURIComponent(id)}`)).body).toMatchObject({ id });
  });
});

const BODIES: [route: string, path: string, good: unknown][] = [
  ['start', '/v1/sessions/s/executions', { command: ['job'] }],
  ['interrupt', `${EXECUTION}/interrupt`, {}],
  ['fail', `${EXECUTION}/fail`, { code: 'x', message: 'x' }],
  ['input', `${EXECUTION}/input`, { data: 'x' }],
  ['tickets', '/v1/sessions/s/tickets', {}],
];

describe('HTTP6: an invalid body', () => {
  const utf8 = new TextEncoder();
  const BAD: [what: string, body: (good: string) => string | Uint8Array][] = [
    ['cut off', (good) => good.slice(0, -1)],
    ['followed by more', (good) => `${good}{}`],
    ['only spaces', () => '  '],
    ['a form', () => 'command=job'],
    ['NaN', () => 'NaN'],
    ['single quotes', () => "{'command':['job']}"],
    ['null', () => 'null'],
    ['a list', (good) => `[${good}]`],
    ['a number', () => '1'],
    ['a text', (good) => JSON.stringify(good)],
    ['a key that is not known', (good) => good.replace(/\}$/, `${good === '{}' ? '' : ','}"unknown":1}`)],
    ['a key in another case', (good) => good.replace(/\}$/, `${good === '{}' ? '' : ','}"Command":["job"]}`)],
    ['a key __proto__', (good) => good.replace(/\}$/, `${good === '{}' ? '' : ','}"__proto__":{}}`)],
    ['UTF-16', (good) => new Uint8Array([...good].flatMap((char) => [char.charCodeAt(0), 0]))],
    ['invalid UTF-8 in a text', () => new Uint8Array([...utf8.encode('{"reason":"'), 0xc3, 0x28, ...utf8.encode('"}')])],
    ['a cut off UTF-8 sequence', (good) => new Uint8Array([...utf8.encode(good), 0xe2, 0x82])],
    ['a surrogate in UTF-8', () => new Uint8Array([...utf8.encode('{"reason":"'), 0xed, 0xa0, 0x80, ...utf8.encode('"}')])],
  ];
  test.each(
    BODIES.flatMap(([route, path, good]) => BAD.map(([what, body]) => [route, what, path, body(JSON.stringify(good))] as const)),
  )('[HTTP6] %s: %s', async (_, __, path, body) => {
    expectProblem(await refused('POST', path, { body }), 'bad_request');
  });

  test.each(['start', 'fail', 'input'])('[HTTP6] %s: without a body', async (wanted) => {
    const [, path] = BODIES.find(([route]) => route === wanted) ?? [];
    expectProblem(await refused('POST', String(path)), 'bad_request');
    expectProblem(await refused('POST', String(path), { body: '' }), 'bad_request');
  });

  test('a byte order mark and spaces around the JSON text are accepted', async () => {
    const path = `/v1/sessions/${newSession()}/executions`;
    const body = new Uint8Array([0xef, 0xbb, 0xbf, ...utf8.encode(' {"command":["job"]}\r\n')]);
    expect((await ask('POST', path, { body })).status).toBe(201);
  });
});

describe('HTTP7: a body over START_BODY_BYTES_MAX', () => {
  const padded = (good: unknown, bytes: number): string => JSON.stringify(good).padEnd(bytes, ' ');
  const streamed = (text: string): ReadableStream =>
    new Blob([text]).stream().pipeThrough(new TransformStream<Uint8Array, Uint8Array>());

  test.each(BODIES)(
    '[HTTP7] [LIM12] %s: one byte more is answered 413, with and without a declared length',
    async (_, path, good) => {
      const tooLong = padded(good, START_BODY_BYTES_MAX + 1);
      for (const body of [tooLong, streamed(tooLong)]) {
        const problem = expectProblem(await refused('POST', path, { body }), 'too_large');
        expect(problem.limit).toBe(START_BODY_BYTES_MAX);
      }
    },
  );

  test('[HTTP7] [LIM12] it is counted in bytes, not in characters', async () => {
    const body = JSON.stringify({ command: ['job'], labels: { x: 'é'.repeat(START_BODY_BYTES_MAX / 2) } });
    expect(body.length).toBeLessThan(START_BODY_BYTES_MAX);
    expectProblem(await refused('POST', '/v1/sessions/s/executions', { body }), 'too_large');
  });

  test('[LIM12] one of exactly that size is taken', async () => {
    for (const form of [(text: string) => text, streamed]) {
      const path = `/v1/sessions/${newSession()}/executions`;
      expect((await ask('POST', path, { body: form(padded({ command: ['job'] }, START_BODY_BYTES_MAX)) })).status).toBe(201);
    }
  });
});

// ── start ─────────────────────────────────────────────────────────────────────────────────────

/** A command whose JSON text has this many bytes. */
const commandOf = (bytes: number): string[] => ['job', 'x'.repeat(bytes - utf8Bytes('["job",""]'))];
const envOf = (bytes: number): Record<string, string> => ({ A: 'x'.repeat(bytes - utf8Bytes('{"A":""}')) });
const entries = (count: number, prefix = 'K'): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, 'v']));
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('start: a field of a wrong type, or past its limit', () => {
  const BAD: [what: string, field: string, body: Record<string, unknown>][] = [
    ['no command', 'command', { command: undefined }],
    ['command null', 'command', { command: null }],
    ['command a text', 'command', { command: 'make all' }],
    ['command empty', 'command', { command: [] }],
    ['a program without a name', 'command', { command: ['', 'a'] }],
    ['an argument that is a number', 'command.1', { command: ['job', 1] }],
    ['an argument that is null', 'command.1', { command: ['job', null] }],
    ['NUL in the program', 'command.0', { command: ['jo\0b'] }],
    ['NUL in an argument', 'command.2', { command: ['job', 'a', 'b\0'] }],
    ['COMMAND_ARGS_MAX and one more', 'command', { command: Array(COMMAND_ARGS_MAX + 1).fill('x') }],
    ['COMMAND_BYTES_MAX and one more', 'command', { command: commandOf(COMMAND_BYTES_MAX + 1) }],
    ['COMMAND_BYTES_MAX passed in bytes only', 'command', { command: ['job', 'é'.repeat(COMMAND_BYTES_MAX / 2)] }],
    ['id empty', 'id', { id: '' }],
    ['id of 129 characters', 'id', { id: 'x'.repeat(129) }],
    ['id with a slash', 'id', { id: 'a/b' }],
    ['id ..', 'id', { id: '..' }],
    ['id with a line end', 'id', { id: 'a\n' }],
    ['id a number', 'id', { id: 7 }],
    ['id null', 'id', { id: null }],
    ['cwd empty', 'cwd', { cwd: '' }],
    ['cwd with NUL', 'cwd', { cwd: '/a\0' }],
    ['cwd a number', 'cwd', { cwd: 1 }],
    ['CWD_BYTES_MAX and one more', 'cwd', { cwd: `/${'x'.repeat(CWD_BYTES_MAX)}` }],
    ['CWD_BYTES_MAX passed in bytes only', 'cwd', { cwd: 'é'.repeat(CWD_BYTES_MAX / 2 + 1) }],
    ['env a list', 'env', { env: ['A=1'] }],
    ['env null', 'env', { env: null }],
    ['a variable that is a number', 'env.A', { env: { A: 1 } }],
    ['a variable that is null', 'env.A', { env: { A: null } }],
    ['NUL in a variable', 'env.A', { env: { A: 'x\0' } }],
    ['a variable without a name', 'env', { env: { '': 'x' } }],
    ['a variable name with =', 'env', { env: { 'A=B': 'x' } }],
    ['a variable name with NUL', 'env', { env: { 'A\0': 'x' } }],
    ['a variable name that begins with a digit', 'env', { env: { '1A': 'x' } }],
    ['a variable that the wrapper sets', 'env', { env: { HOLDFAST_SESSION: 's' } }],
    ['ENV_VARS_MAX and one more', 'env', { env: entries(ENV_VARS_MAX + 1) }],
    ['ENV_BYTES_MAX and one more', 'env', { env: envOf(ENV_BYTES_MAX + 1) }],
    ['stdin a list', 'stdin', { stdin: ['x'] }],
    ['STDIN_BYTES_MAX and one more', 'stdin', { stdin: 'x'.repeat(STDIN_BYTES_MAX + 1) }],
    ['STDIN_BYTES_MAX passed in bytes only', 'stdin', { stdin: 'é'.repeat(STDIN_BYTES_MAX / 2 + 1) }],
    ['openStdin as text', 'openStdin', { openStdin: 'yes' }],
    ['a format that is none', 'format', { format: 'xml' }],
    ['a launcher that is none', 'launcher', { launcher: 'docker' }],
    ['an onBusy that is none', 'onBusy', { onBusy: 'wait' }],
    ['labels a list', 'labels', { labels: ['a'] }],
    ['a label that is a number', 'labels.a', { labels: { a: 1 } }],
    ['a label without a name', 'labels', { labels: { '': 'x' } }],
    ['a label name of 64 characters', 'labels', { labels: { ['x'.repeat(64)]: 'v' } }],
    ['a label name with a space', 'labels', { labels: { 'a b': 'x' } }],
    ['LABELS_MAX and one more', 'labels', { labels: entries(LABELS_MAX + 1) }],
    ['LABEL_VALUE_CHARS_MAX and one more', 'labels.a', { labels: { a: 'x'.repeat(LABEL_VALUE_CHARS_MAX + 1) } }],
    ['a callback without url', 'callback.url', { callback: {} }],
    ['a callback that is no URL', 'callback.url', { callback: { url: 'example' } }],
    ['a callback to a file', 'callback.url', { callback: { url: 'file:///etc/passwd' } }],
    ['a callback to a script', 'callback.url', { callback: { url: 'javascript:alert(1)' } }],
    ['a callback with more than url', 'callback', { callback: { url: 'https://example.com', secret: 'x' } }],
    ['a traceparent that is none', 'traceparent', { traceparent: '00-abc-def-01' }],
    ['a traceparent in capitals', 'traceparent', { traceparent: TRACE.toUpperCase() }],
    ['a policy that is a list', 'policy', { policy: [] }],
    ['a policy with an unknown time', 'policy', { policy: { graceMs: 1000 } }],
  ];
  test.each(BAD)('[HTTP6] [HTTP7] %s', async (_, field, body) => {
    const answer = await refused('POST', '/v1/sessions/s/executions', { body: { command: ['job'], ...body } });
    const problem = expectProblem(answer, 'bad_request');
    expect(problem.field).toBe(field);
    expect(problem.detail).toContain(field);
  });

  test.each(['env', 'labels'])('[HTTP6] a key __proto__ in %s is refused, not left out', async (field) => {
    const body = `{"command":["job"],"${field}":{"A":"1","__proto__":"x"}}`;
    expect(expectProblem(await refused('POST', '/v1/sessions/s/executions', { body }), 'bad_request').field).toBe(field);
  });

  test('[HTTP20] an invalid env name is not repeated: it may contain a misplaced value', async () => {
    for (const body of [{ env: { 'TOKEN=secret-1f3a': '' } }, { labels: { 'secret-1f3a=': '' } }]) {
      const answer = await refused('POST', '/v1/sessions/s/executions', { body: { command: ['job'], ...body } });
      expectProblem(answer, 'bad_request');
      expect(answer.text).not.toContain('secret-1f3a');
    }
  });

  const EDGE: [what: string, body: Record<string, unknown>][] = [
    ['COMMAND_ARGS_MAX', { command: Array(COMMAND_ARGS_MAX).fill('x') }],
    ['COMMAND_BYTES_MAX', { command: commandOf(COMMAND_BYTES_MAX) }],
    ['empty arguments', { command: ['job', '', ''] }],
    ['id of 128 characters', { id: 'x'.repeat(128) }],
    ['CWD_BYTES_MAX', { cwd: `/${'x'.repeat(CWD_BYTES_MAX - 1)}` }],
    ['ENV_VARS_MAX', { env: entries(ENV_VARS_MAX) }],
    ['ENV_BYTES_MAX', { env: envOf(ENV_BYTES_MAX) }],
    ['an empty variable, and a name that begins with _', { env: { _A1: '' } }],
    ['STDIN_BYTES_MAX', { stdin: 'é'.repeat(STDIN_BYTES_MAX / 2) }],
    ['NUL in stdin', { stdin: 'a\0b' }],
    ['LABELS_MAX', { labels: entries(LABELS_MAX) }],
    ['a label name of 63 characters', { labels: { ['x'.repeat(63)]: 'v' } }],
    ['LABEL_VALUE_CHARS_MAX', { labels: { a: 'é'.repeat(LABEL_VALUE_CHARS_MAX) } }],
    ['a callback and a trace', { callback: { url: 'http://localhost:1/hook?x=1' }, traceparent: TRACE }],
    [
      'every limit of the process at once',
      { env: envOf(ENV_BYTES_MAX), command: commandOf(COMMAND_BYTES_MAX), stdin: 'x'.repeat(STDIN_BYTES_MAX) },
    ],
  ];
  test.each(EDGE)('[LIM8] [LIM12] the edge is taken: %s', async (_, body) => {
    const session = newSession();
    const answer = await ask('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...body } });
    expect(answer.status, answer.text.slice(0, 300)).toBe(201);
    const { env: _env, stdin: _stdin, callback: _callback, ...seen } = body;
    expect(answer.body.execution).toMatchObject(seen);
  });

  test.each(['a/b', '', 'x'.repeat(129), '..', 'a b', '"a"'])('[HTTP5] the Idempotency-Key %j is answered 400', async (key) => {
    const asking = { body: { command: ['job'] }, headers: { 'idempotency-key': key } };
    const answer = await refused('POST', '/v1/sessions/s/executions', asking);
    expect(expectProblem(answer, 'bad_request').field).toBe('idempotency-key');
  });

  test('an Idempotency-Key that differs from the id is answered 400', async () => {
    for (const key of ['other', 'E1', '']) {
      const asking = { body: { id: 'e1', command: ['job'] }, headers: { 'idempotency-key': key } };
      expect(expectProblem(await refused('POST', '/v1/sessions/s/executions', asking), 'bad_request').field).toBe('id');
    }
  });
});

describe('HTTP16: policy', () => {
  const starting = (policy: Record<string, unknown>) =>
    refused('POST', '/v1/sessions/s/executions', { body: { command: ['job'], policy } });

  test.each(
    POLICY_KEYS.flatMap((key) =>
      [POLICY_BOUNDS[key].min - 1, POLICY_BOUNDS[key].max + 1, 0, -1, 1500.5, '5000', null, true].map(
        (value) => [key, value] as const,
      ),
    ),
  )('[HTTP16] [LIM9] %s = %j is answered 400', async (key, value) => {
    expect(expectProblem(await starting({ [key]: value }), 'bad_request').field).toBe(`policy.${key}`);
  });

  test.each(POLICY_KEYS.flatMap((key) => [POLICY_BOUNDS[key].min, POLICY_BOUNDS[key].max].map((value) => [key, value] as const)))(
    '[LIM9] %s = %i is taken',
    async (key, value) => {
      const companion = key === 'heartbeatMs' ? { silenceTimeoutMs: POLICY_BOUNDS.silenceTimeoutMs.max } : {};
      const { execution } = await start(newSession(), { policy: { ...companion, [key]: value } });
      expect(execution.policy[key]).toBe(value);
    },
  );

  test('[HTTP16] [LIF17] a heartbeat of more than half the silence limit is refused, of half of it taken', async () => {
    for (const policy of [{ heartbeatMs: 30_001 }, { silenceTimeoutMs: 10_000, heartbeatMs: 5001 }]) {
      expect(expectProblem(await starting(policy), 'bad_request').field).toBe('policy.heartbeatMs');
    }
    const { execution } = await start(newSession(), { policy: { silenceTimeoutMs: 10_000, heartbeatMs: 5000 } });
    expect(execution.policy).toMatchObject({ silenceTimeoutMs: 10_000, heartbeatMs: 5000 });
  });
});

// ── interrupt, fail, input ────────────────────────────────────────────────────────────────────

describe('an execution that runs is not changed by bad input', () => {
  let run: Run;
  let peer: WrapperPeer;
  beforeAll(async () => {
    run = await start(newSession());
    peer = await WrapperPeer.welcomed(run);
  });

  const rows = () =>
    runInDurableObject(stubOf(run.session), (_, { storage }) =>
      ['executions', 'log', 'commands'].map((table) => storage.sql.exec(`SELECT * FROM ${table}`).toArray()),
    );

  const BAD: [route: string, what: string, field: string | undefined, body: unknown][] = [
    ['interrupt', 'REASON_CHARS_MAX and one more', 'reason', { reason: 'x'.repeat(REASON_CHARS_MAX + 1) }],
    ['interrupt', 'a reason that is a number', 'reason', { reason: 1 }],
    ['interrupt', 'a reason that is null', 'reason', { reason: null }],
    ['interrupt', 'force as text', 'force', { force: 'true' }],
    ['interrupt', 'a signal', undefined, { signal: 'SIGKILL' }],
    ['fail', 'no code', 'code', { message: 'x' }],
    ['fail', 'no message', 'message', { code: 'x' }],
    ['fail', 'a code in capitals', 'code', { code: 'Gave_up', message: 'x' }],
    ['fail', 'an empty code', 'code', { code: '', message: 'x' }],
    ['fail', 'a code of 65 characters', 'code', { code: 'x'.repeat(65), message: 'x' }],
    ['fail', 'a code with a line end', 'code', { code: 'x\n', message: 'x' }],
    ['fail', 'ERROR_MESSAGE_CHARS_MAX and one more', 'message', { code: 'x', message: 'x'.repeat(ERROR_MESSAGE_CHARS_MAX + 1) }],
    ['fail', 'a message that is a list', 'message', { code: 'x', message: ['x'] }],
    ['input', 'nothing', 'text', {}],
    ['input', 'no end', 'text', { eof: false }],
    ['input', 'two forms', 'base64', { text: 'x', base64: 'eA==' }],
    ['input', 'the same text twice', 'data', { text: 'x', data: 'x' }],
    ['input', 'base64 without padding', 'base64', { base64: 'eA' }],
    ['input', 'base64 of the URL alphabet', 'base64', { base64: '__8=' }],
    ['input', 'an end that is text', 'eof', { eof: 'yes' }],
    ['input', 'an id that is none', 'inputId', { text: 'x', inputId: 'a/b' }],
    ['input', 'a secret that is text', 'secret', { text: 'x', secret: 'yes' }],
    ['input', 'INPUT_BYTES_MAX and one more, as base64', 'base64', { base64: btoa('x'.repeat(INPUT_BYTES_MAX + 1)) }],
    ['input', 'data that is a number', 'data', { data: 1 }],
    ['input', 'INPUT_BYTES_MAX and one more', 'data', { data: 'x'.repeat(INPUT_BYTES_MAX + 1) }],
    ['input', 'INPUT_BYTES_MAX passed in bytes only', 'data', { data: 'é'.repeat(INPUT_BYTES_MAX / 2 + 1) }],
  ];
  test.each(BAD)('[HTTP6] [HTTP7] %s: %s', async (route, _, field, body) => {
    const before = await rows();
    const answer = await ask('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/${route}`, { body });
    expect(expectProblem(answer, 'bad_request').field).toBe(field);
    expect(await rows()).toEqual(before);
  });

  test('[LIM12] the edges are accepted, and arrive whole', async () => {
    const path = `/v1/sessions/${run.session}/executions/${run.execution.id}`;
    const data = 'é'.repeat(INPUT_BYTES_MAX / 2);
    expect((await ask('POST', `${path}/input`, { body: { data } })).status).toBe(202);
    expect(await peer.next()).toMatchObject({ command: 'input', data: { text: data } });
    const reason = 'é'.repeat(REASON_CHARS_MAX);
    expect((await ask('POST', `${path}/interrupt`, { body: { reason } })).status).toBe(202);
    expect(await peer.next()).toMatchObject({ command: 'interrupt', data: { reason } });
    const failed = { code: 'x'.repeat(64), message: 'é'.repeat(ERROR_MESSAGE_CHARS_MAX) };
    const answer = await ask('POST', `${path}/fail`, { body: failed });
    expect(answer.body).toMatchObject({ settled: true, execution: { code: failed.code, error: failed.message } });
  });
});

// ── tickets ───────────────────────────────────────────────────────────────────────────────────

describe('tickets', () => {
  const types = (count: number) => Array.from({ length: count }, (_, index) => `type${index}`);

  const BAD: [what: string, field: string, body: unknown][] = [
    ['ttlSeconds 0', 'ttlSeconds', { ttlSeconds: 0 }],
    ['ttlSeconds negative', 'ttlSeconds', { ttlSeconds: -1 }],
    ['ttlSeconds a fraction', 'ttlSeconds', { ttlSeconds: 1.5 }],
    ['ttlSeconds a text', 'ttlSeconds', { ttlSeconds: '60' }],
    ['TICKET_TTL_SECONDS_MAX and one more', 'ttlSeconds', { ttlSeconds: TICKET_TTL_SECONDS_MAX + 1 }],
    ['an execution that is no id', 'execution', { execution: '../x' }],
    ['types a text', 'types', { types: 'output' }],
    ['types empty', 'types', { types: [] }],
    ['a type that is none', 'types.1', { types: ['output', '<b>'] }],
    ['a type of 65 characters', 'types.0', { types: ['x'.repeat(65)] }],
    ['FILTER_ITEMS_MAX and one more', 'types', { types: types(FILTER_ITEMS_MAX + 1) }],
  ];
  test.each(BAD)('[HTTP6] [HTTP7] %s', async (_, field, body) => {
    expect(expectProblem(await refused('POST', '/v1/sessions/s/tickets', { body }), 'bad_request').field).toBe(field);
  });

  test.each([
    ['TICKET_TTL_SECONDS_MAX', { ttlSeconds: TICKET_TTL_SECONDS_MAX }],
    ['one second', { ttlSeconds: 1 }],
    ['FILTER_ITEMS_MAX', { types: types(FILTER_ITEMS_MAX) }],
    ['a type of 64 characters', { types: ['x'.repeat(64)] }],
  ])('[LIM13] the edge is taken: %s', async (_, body) => {
    expect((await refused('POST', '/v1/sessions/s/tickets', { body })).status).toBe(201);
  });
});
