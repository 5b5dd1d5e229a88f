/**
 * Goal: the coordinator's part of a terminal: who may start and resize one, what the log says of
 * it, and where a reader of its screen begins.
 * Method: the real Worker and object, wrappers and viewers that the test steers.
 */

import { runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { expect, test } from 'vitest';
import {
  FEATURE_INPUT2,
  FEATURE_TTY,
  type HoldfastEvent,
  type LoggedEvent,
  type StartRequest,
  type WelcomeFrame,
} from '../../../protocol/index.ts';
import { signTicket } from '../../../src/platform/tokens.ts';
import { ask, expectProblem } from '../support/http.ts';
import {
  ACME_KEY,
  api,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  testEnv,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

const features = [FEATURE_TTY, FEATURE_INPUT2];
const terminal = { cols: 80, rows: 24 };
const pathOf = ({ session, execution }: Run, what: string): string => `/v1/sessions/${session}/executions/${execution.id}/${what}`;
const resize = (run: Run, body: object, key = ACME_KEY) => ask('POST', pathOf(run, 'resize'), { body, key });
const begin = (session: string, body: object) =>
  api('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...body } });
const tty = (text: string): HoldfastEvent => ({ type: 'output', at: 1, data: { stream: 'tty', text } });
const screen = (data: string): HoldfastEvent => ({ type: 'screen', at: 1, data: { ...terminal, data, modes: '' } });
const eventsOf = async (run: Run, type: string): Promise<Record<string, unknown>[]> =>
  (await readLog(run.session)).filter((event) => event.type === type).map(({ data }) => data);

async function running(request: Partial<StartRequest> = {}) {
  const run = await start(newSession(), { terminal, ...request });
  return { run, peer: await WrapperPeer.welcomed(run, { features }) };
}

const jobOf = (peer: WrapperPeer) => (peer.received[0] as WelcomeFrame).job;

test('[TTY2] [TTY5] the execution shows its terminal, the wrapper hears of it, and stdin is open', async () => {
  const { run, peer } = await running({ openStdin: false });
  expect(run.execution).toMatchObject({ terminal, openStdin: true });
  expect(jobOf(peer)).toMatchObject({ terminal });
  expect(await get(run)).toMatchObject({ status: 'running', terminal });
  const viewer = await ViewerPeer.connect(run.session, `?execution=${run.execution.id}`);
  expect(await viewer.next()).toMatchObject({ executions: [{ id: run.execution.id, terminal }] });
  viewer.close();
  const plain = await start(newSession());
  expect(plain.execution).not.toHaveProperty('terminal');
  expect((jobOf(await WrapperPeer.welcomed(plain)) ?? {}) as object).not.toHaveProperty('terminal');
});

test.each([
  ['terminal', { terminal: 'yes' }],
  ['terminal', { terminal: null }],
  ['terminal.rows', { terminal: { cols: 80 } }],
  ['terminal.cols', { terminal: { cols: 0, rows: 24 } }],
  ['terminal.cols', { terminal: { cols: 80.5, rows: 24 } }],
  ['terminal', { terminal: { ...terminal, more: 1 } }],
  ['stdin', { terminal, stdin: '' }],
  ['merge', { terminal, merge: true }],
  ['format', { terminal, format: 'jsonl' }],
  ['format', { terminal, format: 'auto' }],
  ['output', { terminal, output: 'bytes' }],
])('[TTY1] a start is refused, by the field %s: %j', async (field, body) => {
  const session = newSession();
  const answer = await begin(session, body);
  expect(answer.status).toBe(400);
  expect(answer.body).toMatchObject({ code: 'bad_request', field });
  expect((await api('GET', `/v1/sessions/${session}`)).status).toBe(404);
});

test('[TTY1] what is the default anyway may stand beside it', async () => {
  const body = { terminal, merge: false, format: 'text', output: 'text', openStdin: true };
  expect((await begin(newSession(), body)).status).toBe(201);
});

test('[LIF28] a start without a terminal is what it was, and a terminal is part of a start', async () => {
  const session = newSession();
  expect((await begin(session, { id: 'e1', terminal })).status).toBe(201);
  expect((await begin(session, { id: 'e1', terminal })).status).toBe(200);
  expect((await begin(session, { id: 'e1', terminal, openStdin: true })).status).toBe(200);
  expect((await begin(session, { id: 'e1', openStdin: true })).status).toBe(409);
  expect((await begin(session, { id: 'e1', terminal: { cols: 81, rows: 24 } })).status).toBe(409);
});

test('[LIF28] a start that is repeated after a resize finds its execution', async () => {
  const session = newSession();
  const run = await start(session, { id: 'e1', terminal });
  expect((await resize(run, { cols: 100, rows: 30 })).body).toEqual({ terminal: { cols: 100, rows: 30 }, changed: true });
  expect((await begin(session, { id: 'e1', terminal })).status).toBe(200);
});

test.each([
  ['no features', undefined],
  ['all others', [FEATURE_INPUT2, 'bytes', 'merge']],
])('[TTY3] a wrapper with %s is refused before the command runs', async (_, others) => {
  const run = await start(newSession(), { terminal });
  const peer = await WrapperPeer.hello(run, others ? { features: others } : {});
  expect(await peer.closed).toMatchObject({ code: 4000, reason: '{"status":"failed"}' });
  expect(peer.received).toEqual([]);
  const failed = await get(run);
  expect(failed).toMatchObject({ status: 'failed', code: 'wrapper_too_old' });
  expect(failed.error).toContain('does not know terminal');
});

test('[TTY6] an input is logged as a count, whatever its form', async () => {
  const { run, peer } = await running();
  for (const body of [{ text: 'hunter2\n' }, { base64: btoa('hunter2') }, { data: 'x', inputId: 'i1' }]) {
    expect((await ask('POST', pathOf(run, 'input'), { body, key: ACME_KEY })).status).toBe(202);
  }
  expect(await peer.next()).toMatchObject({ command: 'input', data: { text: 'hunter2\n' } });
  const by = { kind: 'key', id: expect.any(String) };
  expect(await eventsOf(run, 'input')).toEqual([
    { by, bytes: 8 },
    { by, bytes: 7 },
    { by, bytes: 1 },
  ]);
});

test('[TTY7] an end of input closes nothing', async () => {
  const { run, peer } = await running();
  expect((await ask('POST', pathOf(run, 'input'), { body: { eof: true }, key: ACME_KEY })).status).toBe(202);
  expect(await peer.next()).toMatchObject({ data: { eof: true } });
  expect((await ask('POST', pathOf(run, 'input'), { body: { text: 'more' }, key: ACME_KEY })).status).toBe(202);
  expect(await get(run)).not.toHaveProperty('stdinEnded');
  expect(await eventsOf(run, 'input')).toMatchObject([{ bytes: 0, eof: true }, { bytes: 4 }]);
});

test('[TTY8] a resize is an event with its author and a command, and an equal size is neither', async () => {
  const { run, peer } = await running();
  const size = { cols: 132, rows: 50 };
  expect(await resize(run, size)).toMatchObject({ status: 200, body: { terminal: size, changed: true } });
  expect(await peer.next()).toMatchObject({ type: 'command', command: 'resize', data: size });
  expect(await resize(run, size)).toMatchObject({ status: 200, body: { terminal: size, changed: false } });
  const rpc = exports.Holdfast({ props: { tenant: 'acme' } });
  expect(await rpc.resizeTerminal(run.session, run.execution.id, terminal)).toEqual({ ok: true, terminal, changed: true });
  expect(await peer.next()).toMatchObject({ command: 'resize', data: terminal });
  expect(await get(run)).toMatchObject({ terminal });
  expect(await eventsOf(run, 'resize')).toEqual([
    { ...size, by: { kind: 'key', id: expect.any(String) } },
    { ...terminal, by: { kind: 'rpc', id: 'acme' } },
  ]);
  expect(peer.received).toHaveLength(3);
});

test('[TTY8] a size before the program begins is in the welcome, and is no command', async () => {
  const run = await start(newSession(), { terminal });
  expect((await resize(run, { cols: 90, rows: 30 })).status).toBe(200);
  const peer = await WrapperPeer.welcomed(run, { features });
  expect(peer.received[0]).toMatchObject({ commands: [], job: { terminal: { cols: 90, rows: 30 } } });
});

test('[TTY8] of many sizes for a wrapper that is away, the last one waits', async () => {
  const { run, peer } = await running();
  peer.close();
  for (const cols of [81, 82, 83]) await resize(run, { cols, rows: 24 });
  const again = await WrapperPeer.welcomed(run, { features, bootId: 'b_2' });
  const { commands } = again.received[0] as WelcomeFrame;
  expect(commands).toMatchObject([{ command: 'resize', data: { cols: 83, rows: 24 } }]);
  again.send(`{"type":"command_ack","id":${commands[0]?.id}}`);
  await again.deliver(1, [tty('x')]);
  const third = await WrapperPeer.welcomed(run, { features, bootId: 'b_3', nextSeq: 2 });
  expect(third.received[0]).toMatchObject({ commands: [] });
});

test('[TTY8] without a terminal, after the end, and of nothing: each is refused by its code', async () => {
  const plain = await start(newSession(), { openStdin: true });
  expectProblem(await resize(plain, terminal), 'not_a_terminal');
  const { run, peer } = await running();
  await peer.deliver(1, [exit(0)]);
  expect(expectProblem(await resize(run, { cols: 9, rows: 9 }), 'not_running').executionStatus).toBe('completed');
  expect(expectProblem(await resize(run, { cols: 9 }), 'bad_request').field).toBe('rows');
  expectProblem(
    await ask('POST', `/v1/sessions/${run.session}/executions/none/resize`, { body: terminal, key: ACME_KEY }),
    'execution_not_found',
  );
  expectProblem(
    await ask('POST', '/v1/sessions/none/executions/e1/resize', { body: terminal, key: ACME_KEY }),
    'session_not_found',
  );
});

test('[TTY8] a ticket resizes with the right to input, and a reader never does', async () => {
  const { run } = await running();
  const ticket = (can?: ('read' | 'input' | 'interrupt')[]) =>
    signTicket(
      [new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS))],
      { tenant: 'acme', session: run.session, ...(can ? { can } : {}) },
      60,
      Date.now(),
    );
  for (const can of [undefined, ['read' as const], ['interrupt' as const]]) {
    expect(expectProblem(await resize(run, { cols: 9, rows: 9 }, await ticket(can)), 'unauthorized').reason).toBe('ticket_scope');
  }
  expect((await resize(run, { cols: 9, rows: 9 }, await ticket(['input']))).status).toBe(200);
  expect(await eventsOf(run, 'resize')).toMatchObject([{ cols: 9, by: { kind: 'ticket' } }]);
});

test('[ING13] a wrapper cannot write a resize into the log', async () => {
  const { run, peer } = await running();
  peer.events(1, [{ type: 'resize', at: 1, data: { ...terminal, by: { kind: 'key', id: 'key_1' } } }]);
  expect(await peer.closed).toMatchObject({ code: 4400 });
  expect(await eventsOf(run, 'resize')).toEqual([]);
});

const seenBy = async (run: Run, query: string): Promise<LoggedEvent[]> => {
  const viewer = await ViewerPeer.connect(run.session, `?execution=${run.execution.id}&${query}`);
  const seen: LoggedEvent[] = [];
  for (let frame = await viewer.next(); frame && frame.type !== 'caught_up'; frame = await viewer.next()) {
    if (frame.type !== 'events') continue;
    const { offset, offsets, events, execution } = frame;
    for (const [index, event] of events.entries()) {
      seen.push({ ...event, execution, offset: offsets?.[index] ?? Number(offset) + index });
    }
  }
  viewer.close();
  return seen;
};

test('[TTY9] a reader of the screen begins with the newest one, also in the middle of a frame', async () => {
  const { run, peer } = await running();
  const first = await seenBy(run, 'from=screen');
  expect(first[0]).toMatchObject({ type: 'execution_pending' });
  await peer.deliver(1, [tty('a'), screen('a'), tty('b'), screen('ab'), tty('c')]);
  await peer.deliver(6, [tty('d')]);
  const begins = async () => (await seenBy(run, 'from=screen')).map(({ type, data }) => [type, data.data ?? data.text]);
  expect(await begins()).toEqual([
    ['screen', 'ab'],
    ['output', 'c'],
    ['output', 'd'],
  ]);
  // A prefix that is known already does not move the place.
  await peer.deliver(5, [tty('c'), tty('d'), screen('abcd'), tty('e')]);
  expect(await begins()).toEqual([
    ['screen', 'abcd'],
    ['output', 'e'],
  ]);
  // A frame of which nothing is new does not either.
  await peer.deliver(1, [tty('a'), screen('a')]);
  expect((await begins())[0]).toEqual(['screen', 'abcd']);
  await putToSleep(stubOf(run.session));
  expect((await begins())[0]).toEqual(['screen', 'abcd']);
  const all = await seenBy(run, 'after=0');
  const [at] = await seenBy(run, 'from=screen');
  expect(all.find(({ offset }) => offset === at?.offset)).toEqual(at);
});

test('[TTY9] a filter without screens begins with the first event, and one with them does not', async () => {
  const { run, peer } = await running();
  await peer.deliver(1, [tty('a'), screen('a'), tty('b')]);
  expect((await seenBy(run, 'from=screen&types=output')).map(({ data }) => data.text)).toEqual(['a', 'b']);
  expect((await seenBy(run, 'from=screen&types=output,screen')).map(({ type }) => type)).toEqual(['screen', 'output']);
});

test('[TTY9] an event stream begins in the same place, and resumes after the last id', async () => {
  const { run, peer } = await running();
  await peer.deliver(1, [tty('a'), screen('a'), tty('b'), exit(0)]);
  const path = `/v1/sessions/${run.session}/stream?execution=${run.execution.id}&from=screen`;
  const read = async (headers: Record<string, string>) => {
    const answer = await exports.default.fetch(`https://holdfast.test${path}`, {
      headers: { authorization: `Bearer ${ACME_KEY}`, accept: 'text/event-stream', ...headers },
    });
    return [...(await answer.text()).matchAll(/^event: (.*)$/gm)].map(([, type]) => type);
  };
  expect((await read({})).slice(0, 3)).toEqual(['screen', 'output', 'exit']);
  const offset = (await seenBy(run, 'from=screen'))[1]?.offset;
  expect((await read({ 'last-event-id': String(offset) }))[0]).toBe('exit');
});

test.each([
  ['from=start', 'another place'],
  ['from=screen&after=0', 'an offset'],
  ['from=screen&tail=1', 'a tail'],
])('[TTY9] %s is refused', async (query) => {
  const { run } = await running();
  const viewer = await ViewerPeer.connect(run.session, `?execution=${run.execution.id}&${query}`);
  expect(await viewer.closed).toMatchObject({ code: 4400, reason: expect.stringMatching(/^bad_request: from/) });
});

test.each(['', 'execution=a,b&'])('[TTY9] the screen of %j executions is refused', async (query) => {
  const { run } = await running();
  const viewer = await ViewerPeer.connect(run.session, `?${query}from=screen`);
  expect(await viewer.closed).toMatchObject({ code: 4400, reason: expect.stringContaining('exactly one execution') });
});

test('[TTY10] [TTY11] the log has the text of the terminal, and neither screens nor sizes', async () => {
  const { run, peer } = await running();
  await peer.deliver(1, [tty('\u001b[1'), screen('x'), tty('mbold\r\n')]);
  await resize(run, { cols: 9, rows: 9 });
  await peer.deliver(4, [output('pipe\n'), tty('$ '), exit(0)]);
  const answer = await exports.default.fetch(`https://holdfast.test${pathOf(run, 'log')}`, {
    headers: { authorization: `Bearer ${ACME_KEY}` },
  });
  expect(await answer.text()).toBe('\u001b[1mbold\r\npipe\n$ ');
});

test('[TTY12] a screen writes the row of its execution once, and output writes only its own', async () => {
  const { run, peer } = await running();
  const written = () =>
    runInDurableObject(stubOf(run.session), (_, { storage: { sql } }) =>
      Number(sql.exec('SELECT screen_offset AS at FROM executions').one().at),
    );
  await peer.deliver(1, [tty('a'), tty('b')]);
  expect(await written()).toBe(0);
  await peer.deliver(3, [screen('ab')]);
  const at = await written();
  await peer.deliver(4, [tty('c')]);
  expect(await written()).toBe(at);
  expect((await readLog(run.session)).find(({ offset }) => offset === at)?.type).toBe('screen');
});

test.each([
  ['cols', { cols: 0 }],
  ['rows', { rows: 201 }],
  ['data', { data: 1 }],
  ['modes', { modes: null }],
  ['title', { title: 1 }],
  ['colours', { colours: 'no' }],
])('[ING8] a screen with a wrong %s is a bad frame', async (_, wrong) => {
  const { peer } = await running();
  peer.events(1, [{ type: 'screen', at: 1, data: { ...terminal, data: '', modes: '', ...wrong } }]);
  expect(await peer.closed).toMatchObject({ code: 4400 });
});
