/**
 * Goal: a question of an agent is shown while it waits and is answered once, with the right to do
 * so. Every other answer is refused by name and changes nothing.
 * Method: the real Worker and object, wrappers that the test steers.
 */

import { exports } from 'cloudflare:workers';
import { expect, test, vi } from 'vitest';
import {
  type AskingData,
  FEATURE_ASKING,
  FEATURE_INPUT2,
  type HoldfastEvent,
  QUESTIONS_OPEN_MAX,
  type StartRequest,
} from '../../../protocol/index.ts';
import { signTicket, type TicketClaims } from '../../../src/platform/tokens.ts';
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
  typesOf,
  WrapperPeer,
} from '../support/peers.ts';

const features = [FEATURE_INPUT2, FEATURE_ASKING];
const AT = 1_763_650_000_000;
const QUESTION: AskingData = {
  id: 'q1',
  kind: 'permission',
  text: 'Allow Bash: make?',
  options: [
    { id: 'allow', label: 'Allow' },
    { id: 'deny', label: 'Deny', refuses: true },
  ],
  tool: 'toolu_1',
};
const asking = (data: Partial<AskingData> = {}): HoldfastEvent => ({ type: 'asking', at: AT, data: { ...QUESTION, ...data } });
const ended = (id: string): HoldfastEvent => ({ type: 'asking_ended', at: AT, data: { id, reason: 'cancelled' } });

const pathOf = ({ session, execution }: Run): string => `/v1/sessions/${session}/executions/${execution.id}/answer`;
const answer = (run: Run, body: object, options: { key?: string; headers?: Record<string, string> } = {}) =>
  ask('POST', pathOf(run), { body, ...options });
const answersIn = async (run: Run) =>
  (await readLog(run.session)).filter(({ type }) => type === 'answered').map(({ data }) => data);

/** A running execution whose agent has asked this. */
async function asked(events: HoldfastEvent[] = [asking()], request: Partial<StartRequest> = {}) {
  const run = await start(newSession(), { openStdin: true, ...request });
  const peer = await WrapperPeer.welcomed(run, { features });
  expect(await peer.deliver(1, events)).toEqual({ type: 'ack', seq: events.length });
  return { run, peer, nextSeq: events.length + 1 };
}

/** The request is refused so, and neither the log nor the execution changes. */
async function refused(run: Run, body: object, code: Parameters<typeof expectProblem>[1]) {
  const before = [await readLog(run.session), (await get(run)).asking];
  const problem = expectProblem(await answer(run, body), code);
  expect([await readLog(run.session), (await get(run)).asking]).toEqual(before);
  return problem;
}

test('[ASK2] [ASK3] an open question is in the view, in both lists and in the summary, also after a wake', async () => {
  const { run } = await asked([output('x\n'), asking({ multiple: true, freeText: true })]);
  const question = { ...QUESTION, multiple: true, freeText: true, at: AT };
  const seen = async () => {
    const sessions = (await api('GET', '/v1/sessions?limit=200')).body.data as Record<string, unknown>[];
    return {
      view: (await get(run)).asking,
      list: (await api('GET', `/v1/sessions/${run.session}/executions`)).body.data,
      summary: (await api('GET', `/v1/sessions/${run.session}`)).body.asking,
      entry: sessions.find(({ id }) => id === run.session),
    };
  };
  await vi.waitFor(async () => expect((await seen()).entry).toMatchObject({ asking: true }));
  expect(await seen()).toMatchObject({ view: question, list: [{ asking: question }], summary: true });
  // The directory keeps no texts of questions.
  expect((await seen()).entry?.execution).not.toHaveProperty('asking');
  await putToSleep(stubOf(run.session));
  expect((await get(run)).asking).toEqual(question);
  expect(await get(run)).not.toHaveProperty('askingCount');
});

test('[ASK2] the oldest of several is shown with their number, and the next one when it has ended', async () => {
  const { run, peer } = await asked([asking(), asking({ id: 'q2' }), asking({ id: 'q3' })]);
  expect(await get(run)).toMatchObject({ asking: { id: 'q1' }, askingCount: 3 });
  await peer.deliver(4, [ended('q1'), ended('unknown')]);
  expect(await get(run)).toMatchObject({ asking: { id: 'q2' }, askingCount: 2 });
  expect((await answer(run, { id: 'q3', option: 'deny' })).status).toBe(202);
  const last = await get(run);
  expect(last.asking?.id).toBe('q2');
  expect(last).not.toHaveProperty('askingCount');
  // The same id again is another question, in the place of the newest.
  expect(await peer.next()).toMatchObject({ command: 'answer' });
  await peer.deliver(6, [asking({ id: 'q3', text: 'again' }), asking({ id: 'q2', text: 'changed' })]);
  expect(await get(run)).toMatchObject({ asking: { id: 'q3', text: 'again' }, askingCount: 2 });
});

test('[ASK2] a question that is sent again with a repeated frame is open once', async () => {
  const { run, peer } = await asked([output('x\n'), asking()]);
  expect((await answer(run, { id: 'q1', option: 'allow' })).status).toBe(202);
  await peer.next();
  expect(await peer.deliver(1, [output('x\n'), asking(), output('y\n')])).toEqual({ type: 'ack', seq: 3 });
  expect(await get(run)).not.toHaveProperty('asking');
  expect(typesOf(await readLog(run.session)).filter((type) => type === 'asking')).toHaveLength(1);
});

test(`[ASK2] a further one than ${QUESTIONS_OPEN_MAX} is in the log, and cannot be answered`, async () => {
  const many = Array.from({ length: QUESTIONS_OPEN_MAX + 1 }, (_, index) => asking({ id: `q${index + 1}` }));
  const { run } = await asked(many);
  expect((await get(run)).askingCount).toBe(QUESTIONS_OPEN_MAX);
  await refused(run, { id: `q${QUESTIONS_OPEN_MAX + 1}`, option: 'allow' }, 'not_asking');
});

test('[ASK2] a verdict ends all questions, also one in its own frame', async () => {
  const { run, peer } = await asked();
  peer.events(2, [asking({ id: 'q2' }), exit(0)]);
  expect(await peer.closed).toMatchObject({ code: 4000 });
  expect(await get(run)).not.toHaveProperty('asking');
  const problem = await refused(run, { id: 'q1', option: 'allow' }, 'not_asking');
  expect(problem).toMatchObject({ question: 'q1', executionStatus: 'completed' });
  await vi.waitFor(async () => {
    const sessions = (await api('GET', '/v1/sessions?limit=200')).body.data as Record<string, unknown>[];
    expect(sessions.find(({ id }) => id === run.session)).not.toHaveProperty('asking');
  });
});

test('[ASK1] a frame with a question of another shape is refused as a whole', async () => {
  for (const data of [
    { id: '' },
    { kind: 'riddle' },
    { options: [{ id: 'a' }] },
    { options: [QUESTION.options[0], QUESTION.options[0]] },
  ]) {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run, { features });
    peer.events(1, [output('x\n'), asking(data as Partial<AskingData>)]);
    expect(await peer.closed).toMatchObject({ code: 4400 });
    expect(typesOf(await readLog(run.session))).not.toContain('asking');
  }
});

test('[ASK4] [ASK7] an accepted answer is an event with its author, closes the question, and reaches the wrapper behind earlier input', async () => {
  const { run, peer } = await asked([asking({ multiple: true }), asking({ id: 'q2', freeText: true })]);
  const input = `/v1/sessions/${run.session}/executions/${run.execution.id}/input`;
  expect((await ask('POST', input, { body: { text: 'first\n' } })).status).toBe(202);
  const done = await answer(run, { id: 'q1', options: ['deny', 'allow'] });
  expect([done.status, Object.keys(done.body)]).toEqual([202, ['commandId']]);
  expect((await answer(run, { id: 'q2', text: 'wörth' })).status).toBe(202);
  expect([await peer.next(), await peer.next(), await peer.next()]).toMatchObject([
    { command: 'input', data: { text: 'first\n' } },
    { command: 'answer', id: done.body.commandId, data: { question: 'q1', options: ['deny', 'allow'] } },
    { command: 'answer', data: { question: 'q2', text: 'wörth' } },
  ]);
  const by = { kind: 'key', id: expect.stringMatching(/^key_[0-9a-f]{8}$/) };
  expect(await answersIn(run)).toEqual([
    { id: 'q1', by, options: ['deny', 'allow'] },
    { id: 'q2', by, text: 'wörth' },
  ]);
  expect(await get(run)).not.toHaveProperty('asking');
});

test('[ASK4] one option of a question with `multiple` is a list of one', async () => {
  const { run, peer } = await asked([asking({ multiple: true })]);
  expect((await answer(run, { id: 'q1', option: 'allow' })).status).toBe(202);
  expect(await peer.next()).toMatchObject({ data: { question: 'q1', options: ['allow'] } });
});

test.each([
  ['an option that it does not have', { option: 'maybe' }, 'option', /does not have the option maybe; its options are allow, deny/],
  ['several options', { options: ['allow', 'deny'] }, 'options', /one option/],
  ['a text', { text: 'no' }, 'text', /takes no text/],
  ['nothing', {}, 'option', /exactly one/],
  ['two forms', { option: 'allow', text: 'x' }, 'text', /exclude each other/],
  ['an option twice', { options: ['allow', 'allow'] }, 'options', /twice/],
  ['an empty list', { options: [] }, 'options', /./],
])('[ASK4] %s is refused with its field, and changes nothing', async (_, choice, field, detail) => {
  const { run } = await asked();
  const problem = await refused(run, { id: 'q1', ...choice }, 'bad_request');
  expect(problem.field).toBe(field);
  expect(problem.detail).toMatch(detail);
});

test('[ASK5] a second answer is refused and says whose the first was; so is one after the end of the run', async () => {
  const { run, peer } = await asked();
  expect((await answer(run, { id: 'q1', option: 'allow' }, { key: await ticketFor(run, { can: ['input'] }) })).status).toBe(202);
  const problem = await refused(run, { id: 'q1', option: 'allow' }, 'already_answered');
  expect(problem).toMatchObject({ question: 'q1', answeredByKind: 'ticket', answeredBy: expect.stringMatching(/^t_/) });
  expect(problem.answeredAt).toBeGreaterThan(1_700_000_000_000);
  expect(problem.detail).toMatch(/was answered by ticket t_\S+ at 20\d\d-/);
  await peer.next();
  peer.events(2, [exit(0)]);
  await peer.closed;
  await refused(run, { id: 'q1', option: 'deny' }, 'already_answered');
});

test('[ASK5] an answer to a question that was withdrawn, or never asked, is refused', async () => {
  const { run, peer } = await asked();
  await peer.deliver(2, [ended('q1')]);
  await refused(run, { id: 'q1', option: 'allow' }, 'not_asking');
  await refused(run, { id: 'other', option: 'allow' }, 'not_asking');
  const waiting = await start(newSession(), { openStdin: true });
  await refused(waiting, { id: 'q1', option: 'allow' }, 'not_asking');
});

test('[ASK6] a repeat with the same id is answered as the first, by body or header, also after the end', async () => {
  const { run, peer } = await asked();
  const first = await answer(run, { id: 'q1', option: 'allow', answerId: 'a1' });
  const again = () => answer(run, { id: 'q1', option: 'allow' }, { headers: { 'idempotency-key': 'a1' } });
  expect((await again()).body).toEqual(first.body);
  expect(expectProblem(await answer(run, { id: 'q1', option: 'deny', answerId: 'a1' }), 'already_answered').answeredByKind).toBe(
    'key',
  );
  expect(expectProblem(await answer(run, { id: 'q1', option: 'allow', answerId: 'a2' }), 'already_answered').question).toBe('q1');
  const both = await answer(run, { id: 'q1', option: 'allow', answerId: 'a1' }, { headers: { 'idempotency-key': 'a2' } });
  expect(expectProblem(both, 'bad_request').field).toBe('answerId');
  await peer.next();
  peer.events(2, [exit(0)]);
  await peer.closed;
  expect((await again()).body).toEqual(first.body);
  expect(await answersIn(run)).toHaveLength(1);
});

test('[ASK7] an answer waits for a wrapper that is away, and for one that knows it', async () => {
  const { run, peer } = await asked();
  peer.close();
  await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
  expect((await answer(run, { id: 'q1', option: 'allow' })).status).toBe(202);
  const welcome = async (known: string[]) => {
    const back = await WrapperPeer.hello(run, { features: known, nextSeq: 2, bootId: `b_${known.length}` });
    const frame = await back.next();
    if (frame === null || frame === 'pong' || frame.type !== 'welcome') throw new Error('no welcome');
    return frame.commands;
  };
  expect(await welcome([FEATURE_INPUT2])).toEqual([]);
  expect(await welcome(features)).toMatchObject([{ command: 'answer', data: { question: 'q1', option: 'allow' } }]);
});

test('[ASK7] a wrapper cannot write an answer into the log', async () => {
  const { run, peer } = await asked();
  peer.events(2, [{ type: 'answered', at: AT, data: { id: 'q1', by: { kind: 'key', id: 'key_1' }, option: 'allow' } }]);
  expect(await peer.closed).toMatchObject({ code: 4400 });
  expect(await answersIn(run)).toEqual([]);
});

test('[ASK7] an answer is refused when the stdin was ended, and when the present wrapper takes none', async () => {
  const { run, peer } = await asked();
  const input = `/v1/sessions/${run.session}/executions/${run.execution.id}/input`;
  expect((await ask('POST', input, { body: { eof: true } })).status).toBe(202);
  await refused(run, { id: 'q1', option: 'allow' }, 'stdin_closed');
  peer.close();
  const other = await asked();
  await WrapperPeer.welcomed(other.run, { features: [FEATURE_INPUT2], nextSeq: 2, bootId: 'b_2' });
  await refused(other.run, { id: 'q1', option: 'allow' }, 'wrapper_too_old');
});

const ticketFor = (run: Run, claims: Partial<TicketClaims>) =>
  signTicket(
    [new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS))],
    { tenant: 'acme', session: run.session, ...claims },
    60,
    Date.now(),
  );

test('[HTTP21] a ticket with the right `input` answers, in the execution that it names', async () => {
  const { run } = await asked();
  const may = async (claims: Partial<TicketClaims>) =>
    answer(run, { id: 'q1', option: 'allow' }, { key: await ticketFor(run, claims) });
  for (const claims of [
    {},
    { can: ['read' as const] },
    { can: ['interrupt' as const] },
    { can: ['input' as const], execution: 'other' },
  ]) {
    expect(expectProblem(await may(claims), 'unauthorized').reason).toBe('ticket_scope');
  }
  expect((await may({ can: ['input'], execution: run.execution.id, types: ['output'] })).status).toBe(202);
  expect(await answersIn(run)).toMatchObject([{ by: { kind: 'ticket' }, option: 'allow' }]);
});

test('RPC takes the same answer, and is the author', async () => {
  const { run, peer } = await asked();
  const rpc = exports.Holdfast({ props: { tenant: 'acme' } });
  const { session, execution } = run;
  const given = { id: 'q1', option: 'allow', answerId: 'a1' };
  const first = await rpc.answerQuestion(session, execution.id, given);
  expect(first).toMatchObject({ ok: true });
  expect(await rpc.answerQuestion(session, execution.id, given)).toEqual(first);
  expect(await rpc.answerQuestion(session, execution.id, { id: 'q1', option: 'deny' })).toMatchObject({ code: 'already_answered' });
  expect(await peer.next()).toMatchObject({ command: 'answer', data: { option: 'allow' } });
  expect(await answersIn(run)).toMatchObject([{ by: { kind: 'rpc', id: 'acme' } }]);
});

test('a deleted session takes its answers along', async () => {
  const session = newSession();
  const first = await start(session, { id: 'e1', openStdin: true });
  const peer = await WrapperPeer.welcomed(first, { features });
  await peer.deliver(1, [asking()]);
  expect((await answer(first, { id: 'q1', option: 'allow', answerId: 'a1' })).status).toBe(202);
  expect((await api('DELETE', `/v1/sessions/${session}`, { key: ACME_KEY })).status).toBe(204);
  const second = await start(session, { id: 'e1', openStdin: true });
  await refused(second, { id: 'q1', option: 'allow', answerId: 'a1' }, 'not_asking');
});
