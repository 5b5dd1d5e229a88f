/**
 * Ingest by HTTP POST (PROTOCOL.md, ING18 and on): the same frames, rules and codes as over a
 * socket.
 */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { afterEach, expect, test, vi } from 'vitest';
import { CLOSE, encodeEventsFrame, type HoldfastEvent, POST_BODY_BYTES_MAX } from '../../../protocol/index.ts';
import {
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
  texts,
  typesOf,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const hello = (fields: object = {}): string =>
  JSON.stringify({ type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 1, lost: 0, ...fields });

const events = (seq: number, list: HoldfastEvent[]): string =>
  encodeEventsFrame(seq, list.length, list.map((event) => JSON.stringify(event)).join('\n'));

async function post(
  { ingest }: Pick<Run, 'ingest'>,
  frames: string[],
  token = ingest.token,
): Promise<{ status: number; lines: unknown[] }> {
  const response = await exports.default.fetch(ingest.url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: frames.join('\n'),
  });
  const text = await response.text();
  return {
    status: response.status,
    lines: text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  };
}

test('[ING18] a whole run by POST: welcome, acks, and a clean end', async () => {
  const run = await start(newSession());
  const first = await post(run, [hello(), events(1, [output('a\n'), output('b\n')]), events(3, [output('c\n')])]);
  expect(first.status).toBe(200);
  expect(first.lines).toMatchObject([
    { type: 'welcome', epoch: 1, ackedSeq: 0 },
    { type: 'ack', seq: 2 },
    { type: 'ack', seq: 3 },
  ]);
  await putToSleep(stubOf(run.session));
  const second = await post(run, [hello({ nextSeq: 5 }), events(3, [output('c\n'), output('d\n'), exit(0)])]);
  expect(second.lines).toMatchObject([
    { type: 'welcome', epoch: 1, ackedSeq: 3 },
    { type: 'ack', seq: 5 },
    { type: 'close', code: CLOSE.settled, reason: '{"status":"completed"}' },
  ]);
  const log = await readLog(run.session);
  expect(texts(log)).toBe('a\nb\nc\nd\n');
  expect(typesOf(log).filter((type) => type.startsWith('wrapper_'))).toEqual(['wrapper_connected']);
});

test('[ING19] posts of one boot are one connection: no epoch, no event, and it survives hibernation', async () => {
  const run = await start(newSession());
  for (let round = 0; round < 3; round += 1) {
    expect((await post(run, [hello()])).lines).toMatchObject([{ type: 'welcome', epoch: 1 }]);
    await putToSleep(stubOf(run.session));
  }
  expect(await get(run)).toMatchObject({ status: 'running', connected: true, epoch: 1 });
  expect((await post(run, [hello({ bootId: 'b_2' })])).lines).toMatchObject([{ type: 'welcome', epoch: 2 }]);
});

test('[ING19] a late post of the same boot joins the socket: nothing is superseded, nothing stored twice', async () => {
  const run = await start(newSession());
  const socket = await WrapperPeer.welcomed(run);
  await socket.deliver(1, [output('once\n')]);
  expect((await post(run, [hello({ nextSeq: 2 }), events(1, [output('once\n')])])).lines).toMatchObject([
    { type: 'welcome', epoch: 1, ackedSeq: 1 },
    { type: 'ack', seq: 1 },
  ]);
  expect(await socket.deliver(2, [output('on\n')])).toEqual({ type: 'ack', seq: 2 });
  expect(texts(await readLog(run.session))).toBe('once\non\n');
});

test('[ING19] a post of another boot takes over from a socket, and a socket from posts', async () => {
  const run = await start(newSession());
  const socket = await WrapperPeer.welcomed(run);
  await socket.deliver(1, [output('by socket\n')]);
  expect((await post(run, [hello({ nextSeq: 3, bootId: 'b_2' }), events(2, [output('by post\n')])])).lines).toMatchObject([
    { epoch: 2, ackedSeq: 1 },
    { seq: 2 },
  ]);
  expect(await socket.closed).toMatchObject({ code: CLOSE.superseded });
  const again = await WrapperPeer.hello(run, { nextSeq: 3 });
  expect(await again.next()).toMatchObject({ epoch: 3, ackedSeq: 2 });
});

test('[ING19] silence between posts begins the grace, a post ends it', async () => {
  const run = await start(newSession(), { policy: { silenceTimeoutMs: 20_000, heartbeatMs: 5_000 } });
  await post(run, [hello()]);
  const { startedAt = 0 } = await get(run);
  const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
  at(startedAt + 15_000);
  await post(run, [hello()]);
  await putToSleep(stubOf(run.session));
  at(startedAt + 34_000);
  await runDurableObjectAlarm(stubOf(run.session));
  expect(await get(run)).toMatchObject({ connected: true });
  at(startedAt + 36_000);
  await runDurableObjectAlarm(stubOf(run.session));
  expect(await get(run)).toMatchObject({ connected: false });
  expect((await post(run, [hello()])).lines).toMatchObject([{ type: 'welcome', epoch: 2 }]);
  expect(await get(run)).toMatchObject({ connected: true, status: 'running' });
});

test('[ING19] commands come with every welcome until they are acked', async () => {
  const run = await start(newSession());
  await post(run, [hello()]);
  await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: {} });
  const { lines } = await post(run, [hello()]);
  const [{ commands } = { commands: [] }] = lines as { commands: { id: number }[] }[];
  expect(commands).toMatchObject([{ command: 'interrupt' }]);
  await post(run, [hello(), JSON.stringify({ type: 'command_ack', id: commands[0]?.id })]);
  expect((await post(run, [hello()])).lines).toMatchObject([{ commands: [] }]);
});

test.each([
  ['no hello first', [events(1, [output('x\n')])], CLOSE.badFrame],
  ['another wrapper', [hello({ wrapperId: 'w_2' })], CLOSE.claimed],
  [
    'a bad frame after a good one',
    [hello(), events(1, [output('kept\n')]), '{"type":"events","seq":2,"count":3}', '{}'],
    CLOSE.badFrame,
  ],
  ['nonsense', ['<html>'], CLOSE.badFrame],
])('[ING18] %s is the last line, a close', async (_, frames, code) => {
  const run = await start(newSession());
  await post(run, [hello()]);
  const { lines } = await post(run, frames);
  expect(lines.at(-1)).toMatchObject({ type: 'close', code });
  expect(texts(await readLog(run.session))).toBe(frames.length > 2 ? 'kept\n' : '');
});

test('[ING18] requests that never reach the object: no token, a body too long; and an unknown execution', async () => {
  const run = await start(newSession());
  expect((await post(run, [hello()], 'no.such.token')).status).toBe(401);
  const long = await post(run, [hello(), 'x'.repeat(POST_BODY_BYTES_MAX)]);
  expect(long).toMatchObject({ status: 413, lines: [{ code: 'too_large' }] });
  expect((await get(run)).status).toBe('pending');
});
