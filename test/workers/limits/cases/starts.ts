/** Limits of what a caller sends: the start request, and the calls about an existing run. */

import { expect } from 'vitest';
import {
  ANSWER_BYTES_MAX,
  CALLBACK_URL_CHARS_MAX,
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  ERROR_MESSAGE_CHARS_MAX,
  FEATURE_ASKING,
  FEATURE_INPUT2,
  INPUT_BASE64_CHARS_MAX,
  INPUT_BYTES_MAX,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  REASON_CHARS_MAX,
  SECRET_NAMES_MAX,
  START_BODY_BYTES_MAX,
  STDIN_BYTES_MAX,
  TERMINAL_COLS_MAX,
  TERMINAL_ROWS_MAX,
  utf8Bytes,
} from '../../../../protocol/index.ts';
import { checkInputForm } from '../../../../src/operations/bound-input.ts';
import { ask, expectProblem } from '../../support/http.ts';
import { newSession, start, WrapperPeer } from '../../support/peers.ts';
import {
  type Edge,
  executionsOf,
  expectRefused,
  refusedByForm,
  rpc,
  startEdge,
  startField,
  textOfBytes,
  textOfChars,
  unchanged,
} from './edges.ts';

const entries = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`K${index}`, 'v']));

/** Text that makes the JSON text around it exactly this many bytes long. */
const filling = (bytes: number, around: (text: string) => unknown): string =>
  textOfBytes(bytes - utf8Bytes(JSON.stringify(around(''))));

/** A field of a call about a running execution, over HTTP and over RPC. */
function callEdge(
  route: string,
  method: string,
  field: string,
  edge: number,
  make: (size: number) => { body: Record<string, unknown>; arg: unknown },
  seen: (body: Record<string, unknown>) => object,
): Edge {
  return {
    async taken() {
      for (const over of ['http', 'rpc']) {
        const run = await start(newSession(), { id: 'e1' });
        const peer = await WrapperPeer.welcomed(run, { features: [FEATURE_INPUT2] });
        const { body, arg } = make(edge);
        const path = `${executionsOf(run.session)}/e1/${route}`;
        if (over === 'http') expect((await ask('POST', path, { body })).status).toBeLessThan(300);
        else expect(await rpc[method]?.(run.session, 'e1', arg)).toMatchObject({ ok: true });
        if (route === 'fail') expect((await ask('GET', `${executionsOf(run.session)}/e1`)).body).toMatchObject(seen(body));
        else expect(await peer.next()).toMatchObject(seen(body));
      }
    },
    async refused() {
      const { session } = await start(newSession(), { id: 'e1' });
      const { body, arg } = make(edge + 1);
      await unchanged(session, async () => {
        const answer = await ask('POST', `${executionsOf(session)}/e1/${route}`, { body });
        expect(expectProblem(answer, 'bad_request').field).toBe(field);
        expectRefused(await rpc[method]?.(session, 'e1', arg), 'bad_request', field);
      });
    },
  };
}

/** A run whose agent has asked for a text. */
async function asked() {
  const run = await start(newSession(), { id: 'e1' });
  const peer = await WrapperPeer.welcomed(run, { features: [FEATURE_ASKING] });
  const data = { id: 'q1', kind: 'question', text: 'Which?', options: [], freeText: true };
  expect(await peer.deliver(1, [{ type: 'asking', at: 1, data }])).toEqual({ type: 'ack', seq: 1 });
  return { run, peer };
}

/** Base64 of `INPUT_BYTES_MAX` bytes, or the same with more characters. */
const base64OfChars = (chars: number): string => btoa('x'.repeat(INPUT_BYTES_MAX)).padEnd(chars, 'A');

const failure = (fields: { code?: string; message?: string }) => {
  const body = { code: 'x', message: 'x', ...fields };
  return { body, arg: body };
};

export const STARTS = {
  START_BODY_BYTES_MAX: {
    async taken() {
      const body = JSON.stringify({ command: ['job'] }).padEnd(START_BODY_BYTES_MAX, ' ');
      expect((await ask('POST', executionsOf(newSession()), { body })).status).toBe(201);
      // Over RPC it is counted as if it were JSON.
      const data = filling(START_BODY_BYTES_MAX, (text) => ({ data: text }));
      expect(utf8Bytes(JSON.stringify({ data }))).toBe(START_BODY_BYTES_MAX);
      expect(checkInputForm({ data })).toBeNull();
    },
    async refused() {
      const body = JSON.stringify({ command: ['job'] }).padEnd(START_BODY_BYTES_MAX + 1, ' ');
      expectProblem(await refusedByForm('POST', executionsOf('s'), { body }), 'too_large');
      const data = filling(START_BODY_BYTES_MAX + 1, (text) => ({ data: text }));
      expect(checkInputForm({ data })).toMatchObject({ code: 'too_large' });
      const session = newSession();
      const more = { command: ['job'], more: textOfBytes(START_BODY_BYTES_MAX) };
      expectRefused(await rpc.startExecution?.(session, more), 'too_large');
      expect(await rpc.getSession?.(session)).toMatchObject({ code: 'session_not_found' });
    },
  },
  COMMAND_ARGS_MAX: startField('command', COMMAND_ARGS_MAX, (size) => ({ command: Array<string>(size).fill('x') })),
  COMMAND_BYTES_MAX: startField('command', COMMAND_BYTES_MAX, (size) => ({
    command: ['job', filling(size, (text) => ['job', text])],
  })),
  ENV_VARS_MAX: startField('env', ENV_VARS_MAX, (size) => ({ env: entries(size) })),
  SECRET_NAMES_MAX: startField('secretNames', SECRET_NAMES_MAX, (size) => ({ secretNames: Object.keys(entries(size)).sort() })),
  ENV_NAME_PATTERN: startField('env', 256, (size) => ({ env: { ['A'.repeat(size)]: 'x' } })),
  ENV_BYTES_MAX: startField('env', ENV_BYTES_MAX, (size) => ({ env: { A: filling(size, (text) => ({ A: text })) } })),
  STDIN_BYTES_MAX: startField('stdin', STDIN_BYTES_MAX, (size) => ({ stdin: textOfBytes(size) })),
  CWD_BYTES_MAX: startField('cwd', CWD_BYTES_MAX, (size) => ({ cwd: textOfBytes(size) })),
  TERMINAL_COLS_MAX: startField('terminal.cols', TERMINAL_COLS_MAX, (cols) => ({ terminal: { cols, rows: 24 } })),
  TERMINAL_ROWS_MAX: startField('terminal.rows', TERMINAL_ROWS_MAX, (rows) => ({ terminal: { cols: 80, rows } })),
  CALLBACK_URL_CHARS_MAX: startField('callback.url', CALLBACK_URL_CHARS_MAX, (size) => ({
    callback: { url: 'https://example.com/'.padEnd(size, 'x') },
  })),
  LABELS_MAX: startField('labels', LABELS_MAX, (size) => ({ labels: entries(size) })),
  LABEL_KEY_PATTERN: startField('labels', 63, (size) => ({ labels: { ['k'.repeat(size)]: 'v' } })),
  LABEL_VALUE_CHARS_MAX: startField('labels.a', LABEL_VALUE_CHARS_MAX, (size) => ({ labels: { a: textOfChars(size) } })),
  ID_PATTERN: startEdge('id', { id: `A9._:-z${'x'.repeat(121)}` }, { id: 'x'.repeat(129) }),

  INPUT_BYTES_MAX: callEdge(
    'input',
    'sendInput',
    'data',
    INPUT_BYTES_MAX,
    (size) => ({ body: { data: textOfBytes(size) }, arg: textOfBytes(size) }),
    ({ data }) => ({ command: 'input', data: { text: data } }),
  ),
  INPUT_BASE64_CHARS_MAX: callEdge(
    'input',
    'sendInput',
    'base64',
    INPUT_BASE64_CHARS_MAX,
    // One past it is no base64 of any length.
    (size) => ({ body: { base64: base64OfChars(size) }, arg: { base64: base64OfChars(size) } }),
    ({ base64 }) => ({ command: 'input', data: { base64 } }),
  ),
  ANSWER_BYTES_MAX: {
    async taken() {
      const { run, peer } = await asked();
      const text = textOfBytes(ANSWER_BYTES_MAX);
      expect((await ask('POST', `${executionsOf(run.session)}/e1/answer`, { body: { id: 'q1', text } })).status).toBe(202);
      expect(await peer.next()).toMatchObject({ command: 'answer', data: { question: 'q1', text } });
      const other = await asked();
      expect(await rpc.answerQuestion?.(other.run.session, 'e1', { id: 'q1', text })).toMatchObject({ ok: true });
    },
    async refused() {
      const { session } = (await asked()).run;
      const body = { id: 'q1', text: textOfBytes(ANSWER_BYTES_MAX + 1) };
      await unchanged(session, async () => {
        const answer = await ask('POST', `${executionsOf(session)}/e1/answer`, { body });
        expect(expectProblem(answer, 'bad_request').field).toBe('text');
        expectRefused(await rpc.answerQuestion?.(session, 'e1', body), 'bad_request', 'text');
      });
    },
  },
  REASON_CHARS_MAX: callEdge(
    'interrupt',
    'interruptExecution',
    'reason',
    REASON_CHARS_MAX,
    (size) => ({ body: { reason: textOfChars(size) }, arg: { reason: textOfChars(size) } }),
    ({ reason }) => ({ command: 'interrupt', data: { reason } }),
  ),
  ERROR_MESSAGE_CHARS_MAX: callEdge(
    'fail',
    'failExecution',
    'message',
    ERROR_MESSAGE_CHARS_MAX,
    (size) => failure({ message: textOfChars(size) }),
    ({ message }) => ({ status: 'failed', error: message }),
  ),
  FAILURE_CODE_PATTERN: callEdge(
    'fail',
    'failExecution',
    'code',
    64,
    (size) => failure({ code: 'x'.repeat(size) }),
    ({ code }) => ({ status: 'failed', code }),
  ),
} satisfies Record<string, Edge>;
