/**
 * Goal: a requested callback arrives, and the usual library accepts its signature, whatever happens
 * to the receiver or the coordinator. Method: the real stack with the runtime's own queue, and a
 * receiver on this machine. The local queue keeps its messages in memory, so a kill loses what it
 * holds, unlike the real one: the kill here comes before the queue has the message, because the
 * binding is missing.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { CallbackPayload } from '../../protocol/index.ts';
import { copyPrograms } from '../../scripts/stack.ts';
import { CallbackReceiver } from '../support/callback-receiver.ts';
import { RealStack, until } from '../support/real-stack.ts';

let folder: string;
let real: RealStack;
const receivers: CallbackReceiver[] = [];
/** A copy whose wrangler.toml this test may change. */
const programs = () => join(folder, 'programs');
const config = () => join(programs(), 'wrangler.toml');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-callbacks-'));
  copyPrograms(programs());
  real = await RealStack.start({ root: programs() });
});
afterEach(async () => {
  for (const receiver of receivers.splice(0)) await receiver.close();
});
afterAll(async () => {
  await real?.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function receive(answer: (attempt: number) => number | string): Promise<CallbackReceiver> {
  const receiver = await CallbackReceiver.start(real.stack.callbackKey, answer);
  receivers.push(receiver);
  return receiver;
}

async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${real.stack.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${real.stack.apiKey}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
}

const ended = async (session: string): Promise<Record<string, unknown>> =>
  (await ask('GET', `/v1/sessions/${session}/executions/e1?wait=30`)).body;
const coordinatorLog = () => readFileSync(join(real.stack.data, 'coordinator.log'), 'utf8');

it('[CB2] [CB4] [CB5] a receiver that fails and redirects before it accepts gets one id, well signed, and no request after it accepted', async () => {
  const other = await receive(() => 200);
  const receiver = await receive((attempt) => [500, other.url][attempt - 1] ?? 204);
  const command = [process.execPath, '-e', 'console.log("wörth"); process.exit(3)'];
  const request = { id: 'e1', command, labels: { team: 'a' }, callback: { url: receiver.url } };
  expect((await ask('POST', '/v1/sessions/told/executions', request)).status).toBe(201);
  const execution = await ended('told');
  expect(execution).toMatchObject({ status: 'failed', exitCode: 3 });

  await until(() => receiver.attempts.length >= 3, 'the third attempt', 60_000);
  expect(receiver.attempts.map(({ answered }) => answered)).toEqual([500, 307, 204]);
  expect(receiver.attempts.map(({ verified }) => verified)).toEqual([true, true, true]);
  expect(new Set(receiver.attempts.map(({ id, body }) => `${id} ${body}`)).size).toBe(1);
  expect(receiver.attempts[0]?.id).toMatch(/^cb_/);
  expect(JSON.parse(receiver.attempts[2]?.body ?? '')).toEqual({
    type: 'execution.failed',
    timestamp: new Date(Number(execution.endedAt)).toISOString(),
    data: { tenant: 'local', session: 'told', execution, offset: Number(execution.lastOffset) },
  } satisfies Record<keyof CallbackPayload, unknown>);
  // The pauses are those of the queue: 5 s, then 10 s.
  const [one, two, three] = receiver.attempts.map(({ at }) => at) as [number, number, number];
  expect(two - one).toBeGreaterThan(4000);
  expect(three - two).toBeGreaterThan(9000);
  await until(() => coordinatorLog().includes('callback_delivered'), 'its line in the log');
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(receiver.attempts).toHaveLength(3);
  expect(other.attempts).toEqual([]);
  expect(coordinatorLog()).not.toMatch(/secret-in-the-address|whsec_/);
});

it('[CB6] a coordinator that is killed between a verdict and the queue sends it when it is back', async () => {
  const receiver = await receive(() => 200);
  const gate = join(folder, 'go');
  const wait =
    'while (!require("fs").existsSync(process.argv[1])) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)';
  const request = { id: 'e1', command: [process.execPath, '-e', wait, gate], callback: { url: receiver.url } };
  expect((await ask('POST', '/v1/sessions/killed/executions', request)).status).toBe(201);
  await until(async () => (await ask('GET', '/v1/sessions/killed/executions/e1')).body.status === 'running', 'the job');

  // A deploy that forgot the queue, while the job runs.
  const whole = readFileSync(config(), 'utf8');
  const producer = whole.slice(whole.indexOf('[[queues.producers]]'), whole.indexOf('# The numbers are those'));
  expect(producer).toContain('CALLBACKS');
  await real.stack.kill();
  writeFileSync(config(), whole.replace(producer, ''));
  await real.stack.restart();
  const refused = await ask('POST', '/v1/sessions/other/executions', { ...request, command: ['true'] });
  expect(refused).toMatchObject({ status: 400, body: { code: 'bad_request', field: 'callback' } });
  writeFileSync(gate, '');
  const execution = await ended('killed');
  expect(execution).toMatchObject({ status: 'completed' });
  await until(() => coordinatorLog().includes('callback_queue_missing'), 'an attempt without a queue');

  await real.stack.kill();
  expect(receiver.attempts).toEqual([]);
  writeFileSync(config(), whole);
  await real.stack.restart();
  // No request reaches the session: its alarm wakes it.
  await until(() => receiver.attempts.length > 0, 'the callback', 90_000);
  expect(receiver.attempts).toMatchObject([{ verified: true, answered: 200 }]);
  expect((JSON.parse(receiver.attempts[0]?.body ?? '') as CallbackPayload).data.execution).toEqual(execution);
});

it('[CB7] a session that is deleted right after its verdict still sends its callback', async () => {
  const receiver = await receive(() => 200);
  const request = { id: 'e1', command: ['true'], callback: { url: receiver.url } };
  expect((await ask('POST', '/v1/sessions/deleted/executions', request)).status).toBe(201);
  const execution = await ended('deleted');
  expect((await ask('DELETE', '/v1/sessions/deleted')).status).toBe(204);
  await until(() => receiver.attempts.length > 0, 'the callback');
  expect((JSON.parse(receiver.attempts[0]?.body ?? '') as CallbackPayload).data.execution).toEqual(execution);
});
