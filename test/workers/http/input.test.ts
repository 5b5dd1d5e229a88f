/**
 * Goal: input reaches the wrapper once, in order, with its end, and is logged with its author. What
 * a wrapper cannot take is refused and never lost silently.
 * Method: the real Worker and object, wrappers that the test steers.
 */

import { runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { expect, test, vi } from 'vitest';
import { FEATURE_INPUT2, INPUT_BYTES_MAX, type ProblemCode } from '../../../protocol/index.ts';
import { signTicket, type TicketClaims } from '../../../src/platform/tokens.ts';
import { ask, expectProblem } from '../support/http.ts';
import { ACME_KEY, exit, get, newSession, type Run, readLog, start, stubOf, testEnv, WrapperPeer } from '../support/peers.ts';

const features = [FEATURE_INPUT2];
const pathOf = ({ session, execution }: Run, what: string): string => `/v1/sessions/${session}/executions/${execution.id}/${what}`;
const send = (run: Run, body: object, key: string = ACME_KEY) => ask('POST', pathOf(run, 'input'), { body, key });
const inputsIn = async (run: Run) => (await readLog(run.session)).filter(({ type }) => type === 'input').map(({ data }) => data);

async function running(hello: { features?: string[] } = { features }) {
  const run = await start(newSession(), { openStdin: true });
  return { run, peer: await WrapperPeer.welcomed(run, hello) };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

const ticketFor = (run: Run, claims: Partial<TicketClaims>) =>
  signTicket(
    [new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS))],
    { tenant: 'acme', session: run.session, ...claims },
    60,
    Date.now(),
  );

test('[HTTP34] text, data, bytes and the end reach the wrapper in order, each as the caller gave it', async () => {
  const { run, peer } = await running();
  const bytes = Uint8Array.of(0, 255, 10, 128);
  const base64 = btoa(String.fromCharCode(...bytes));
  expect((await send(run, { text: 'a\n' })).status).toBe(202);
  expect((await send(run, { data: 'b\n' })).status).toBe(202);
  expect((await send(run, { base64 })).status).toBe(202);
  expect((await send(run, { text: 'c', eof: true })).status).toBe(202);
  const commands = [await peer.next(), await peer.next(), await peer.next(), await peer.next()];
  expect(commands.map((frame) => frame !== null && frame !== 'pong' && frame.type === 'command' && frame.data)).toEqual([
    { text: 'a\n' },
    { text: 'b\n' },
    { base64 },
    { text: 'c', eof: true },
  ]);
  const by = { kind: 'key', id: expect.stringMatching(/^key_[0-9a-f]{8}$/) };
  expect(await inputsIn(run)).toEqual([
    { by, bytes: 2, text: 'a\n' },
    { by, bytes: 2, text: 'b\n' },
    { by, bytes: 4, sha256: await sha256(bytes) },
    { by, bytes: 1, text: 'c', eof: true },
  ]);
});

test('[HTTP34] the end ends it: a later input is refused, and the execution says so', async () => {
  const { run, peer } = await running();
  expect((await get(run)).stdinEnded).toBeUndefined();
  expect((await send(run, { eof: true })).status).toBe(202);
  expect(await peer.next()).toMatchObject({ command: 'input', data: { eof: true } });
  expect((await get(run)).stdinEnded).toBe(true);
  expectProblem(await send(run, { text: 'late' }), 'stdin_closed');
  expectProblem(await send(run, { eof: true }), 'stdin_closed');
  expect(await inputsIn(run)).toHaveLength(1);
});

test('[HTTP34] a repeat with the same id and content is answered as the first was, and changes nothing, also after the end', async () => {
  const { run, peer } = await running();
  const body = { text: 'once\n', inputId: 'i1', eof: true };
  const first = await send(run, body);
  expect(first.status).toBe(202);
  const command = await peer.next();
  expect(command).toMatchObject({ id: first.body.commandId });
  for (const again of [body, { data: 'once\n', inputId: 'i1', eof: true }, { base64: btoa('once\n'), inputId: 'i1', eof: true }]) {
    expect(await send(run, again)).toMatchObject({ status: 202, body: first.body });
  }
  peer.send(`{"type":"command_ack","id":${first.body.commandId}}`);
  await peer.deliver(1, [exit(0)]);
  expect(await send(run, body)).toMatchObject({ status: 202, body: first.body });
  expect(peer.received.filter((frame) => frame !== 'pong' && frame.type === 'command')).toHaveLength(1);
  expect(await inputsIn(run)).toHaveLength(1);
});

test.each([
  ['another text', { text: 'two', inputId: 'i1' }],
  ['an end', { text: 'one', inputId: 'i1', eof: true }],
  ['a secret', { text: 'one', inputId: 'i1', secret: true }],
])('[HTTP34] the same id with %s is a conflict', async (_, other) => {
  const { run } = await running();
  expect((await send(run, { text: 'one', inputId: 'i1' })).status).toBe(202);
  expectProblem(await send(run, other), 'input_id_conflict');
  expect(await inputsIn(run)).toHaveLength(1);
  // The id belongs to this execution alone.
  const elsewhere = await running();
  expect((await send(elsewhere.run, other)).status).toBe(202);
});

test('[HTTP34] a secret is in no event, and once acknowledged in no row', async () => {
  const { run, peer } = await running();
  const secret = 'correct-horse-5d1f';
  const { body } = await send(run, { text: secret, secret: true, inputId: 'i1' });
  const file = await send(run, { base64: btoa('a file of bytes'), inputId: 'i2' });
  expect(await inputsIn(run)).toMatchObject([{ bytes: secret.length, secret: true }, { bytes: 15 }]);
  expect(Object.keys((await inputsIn(run))[0] ?? {}).sort()).toEqual(['by', 'bytes', 'secret']);
  for (const id of [body.commandId, file.body.commandId]) peer.send(`{"type":"command_ack","id":${id}}`);
  await peer.next();
  await peer.next();
  await peer.deliver(1, [{ type: 'status', at: 1, data: { message: 'acknowledged' } }]);
  await runInDurableObject(stubOf(run.session), (_, { storage: { sql } }) => {
    for (const table of ['log', 'commands', 'inputs', 'executions', 'outbox', 'meta']) {
      const rows = JSON.stringify(sql.exec(`SELECT * FROM ${table}`).toArray());
      expect(rows, table).not.toContain(secret);
      expect(rows, table).not.toContain(btoa('a file of bytes'));
    }
  });
});

test.each([
  ['bytes', { base64: 'eA==' }],
  ['an end', { eof: true }],
  ['text and an end', { text: 'x', eof: true }],
])('[ING21] %s for a wrapper without input2 is refused, and plain text is not', async (_, body) => {
  const { run, peer } = await running({ features: [] });
  expectProblem(await send(run, body), 'wrapper_too_old');
  expect((await send(run, { text: 'x' })).status).toBe(202);
  expect(await peer.next()).toMatchObject({ data: { text: 'x' } });
  expect(await inputsIn(run)).toHaveLength(1);
});

test('[ING21] an earlier version on the same spool is not given what it cannot read, and a later one gets all of it in order', async () => {
  const { run } = await running();
  for (const body of [{ text: '1' }, { base64: btoa('2') }, { text: '3' }]) await send(run, body);
  const commandsOf = async (hello: { features?: string[] }) => {
    const peer = await WrapperPeer.hello(run, hello);
    const welcome = await peer.next();
    if (welcome === null || welcome === 'pong' || welcome.type !== 'welcome') throw new Error('no welcome');
    return welcome.commands.map(({ data }) => data);
  };
  expect(await commandsOf({ features: [] })).toEqual([{ text: '1' }]);
  expect(await commandsOf({ features })).toEqual([{ text: '1' }, { base64: btoa('2') }, { text: '3' }]);
});

test('[HTTP19] input to an execution that waits for its wrapper is refused, with its status, and not kept', async () => {
  const run = await start(newSession(), { openStdin: true });
  const problem = expectProblem(await send(run, { text: 'x', inputId: 'i1' }), 'not_running');
  expect(problem.executionStatus).toBe('pending');
  await WrapperPeer.welcomed(run, { features });
  expect(await inputsIn(run)).toEqual([]);
  expect((await send(run, { text: 'x', inputId: 'i1' })).status).toBe(202);
});

test('[HTTP28] a full execution says when to ask again, and takes the same input then', async () => {
  const { run, peer } = await running();
  const base64 = btoa('x'.repeat(INPUT_BYTES_MAX));
  let sent = 0;
  let answer = await send(run, { base64, inputId: `i${sent}` });
  while (answer.status === 202) {
    sent += 1;
    answer = await send(run, { base64, inputId: `i${sent}` });
  }
  expectProblem(answer, 'input_full');
  expect(answer.headers.get('retry-after')).toBe('1');
  expect(sent).toBeGreaterThan(40);
  const first = await peer.next();
  if (first === null || first === 'pong' || first.type !== 'command') throw new Error('no command');
  peer.send(`{"type":"command_ack","id":${first.id}}`);
  await vi.waitFor(async () => expect((await send(run, { base64, inputId: `i${sent}` })).status).toBe(202));
  expect(await inputsIn(run)).toHaveLength(sent + 1);
});

test('[ING13] a wrapper cannot write an input into the log', async () => {
  const { run, peer } = await running();
  peer.events(1, [{ type: 'input', at: 1, data: { by: { kind: 'key', id: 'key_1' }, bytes: 1, text: 'x' } }]);
  expect(await peer.closed).toMatchObject({ code: 4400 });
  expect(await inputsIn(run)).toEqual([]);
});

test('[DIR1] an input sends nothing to the directory', async () => {
  const { run } = await running();
  const version = () =>
    runInDurableObject(
      stubOf(run.session),
      (_, { storage: { sql } }) => sql.exec("SELECT version FROM outbox WHERE topic = 'directory'").one().version,
    );
  const before = await version();
  await send(run, { text: 'x' });
  expect(await version()).toBe(before);
});

test('[HTTP21] a ticket does what it allows, in the execution that it names, and is the author', async () => {
  const { run } = await running();
  const { execution } = run;
  const may = async (claims: Partial<TicketClaims>, what: 'input' | 'interrupt') => {
    const key = await ticketFor(run, claims);
    return ask('POST', pathOf(run, what), { key, body: what === 'input' ? { text: 'x' } : {} });
  };
  for (const claims of [{}, { can: ['read' as const] }]) {
    expect(expectProblem(await may(claims, 'input'), 'unauthorized').reason).toBe('ticket_scope');
    expect(expectProblem(await may(claims, 'interrupt'), 'unauthorized').reason).toBe('ticket_scope');
  }
  expect(expectProblem(await may({ can: ['input'] }, 'interrupt'), 'unauthorized').reason).toBe('ticket_scope');
  expect(expectProblem(await may({ can: ['input'], execution: 'other' }, 'input'), 'unauthorized').reason).toBe('ticket_scope');
  expect((await may({ can: ['input'], execution: execution.id, types: ['output'] }, 'input')).status).toBe(202);
  expect(await inputsIn(run)).toMatchObject([{ by: { kind: 'ticket', id: expect.stringMatching(/^t_/) }, text: 'x' }]);
  expect((await may({ can: ['interrupt'] }, 'interrupt')).status).toBe(202);
  // Without `read` it reads nothing.
  const only = await ticketFor(run, { can: ['input'] });
  expect(expectProblem(await ask('GET', `/v1/sessions/${run.session}`, { key: only }), 'unauthorized').reason).toBe('ticket_scope');
});

test('RPC takes the same input, or a string, and is the author', async () => {
  const { run, peer } = await running();
  const rpc = exports.Holdfast({ props: { tenant: 'acme' } });
  const { session, execution } = run;
  const first = await rpc.sendInput(session, execution.id, { base64: 'AP8=', inputId: 'i1' });
  expect(first).toMatchObject({ ok: true });
  expect(await rpc.sendInput(session, execution.id, { base64: 'AP8=', inputId: 'i1' })).toEqual(first);
  expect(await rpc.sendInput(session, execution.id, 'text')).toMatchObject({ ok: true });
  const refused: ProblemCode = 'bad_request';
  expect(await rpc.sendInput(session, execution.id, { text: 'x', base64: 'eA==' })).toMatchObject({ ok: false, code: refused });
  expect([await peer.next(), await peer.next()]).toMatchObject([{ data: { base64: 'AP8=' } }, { data: { text: 'text' } }]);
  const by = { kind: 'rpc', id: 'acme' };
  expect(await inputsIn(run)).toMatchObject([
    { by, bytes: 2 },
    { by, bytes: 4, text: 'text' },
  ]);
});
