/**
 * Late results (LIF38, ING22, STR34): what a wrapper delivers after a verdict that did not come
 * from it, against the real object. Method: the clock of the object is moved past a deadline, and
 * the wrapper then returns; every reader is asked what it sees.
 */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE, type Execution, LATE_MS_MAX } from '../../../protocol/index.ts';
import {
  ACME_KEY,
  api,
  callsOf,
  exit,
  get,
  type Hello,
  newSession,
  ORIGIN,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  texts,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const alarm = (run: Run): Promise<boolean> => runDurableObjectAlarm(stubOf(run.session));
const SHORT = { disconnectGraceMs: 5_000, interruptGraceMs: 3_000, maxRuntimeMs: 60_000 } as const;
const SETTLED = { code: CLOSE.settled, reason: '{"status":"failed"}' };
const line = (text: string) => output(`${text}\n`);

/** An execution whose wrapper delivered one line and was then away for longer than the grace. */
async function abandoned(request: Parameters<typeof start>[1] = {}): Promise<Run> {
  const run = await start(newSession(), { policy: SHORT, ...request });
  const peer = await WrapperPeer.welcomed(run);
  await peer.deliver(1, [line('before')]);
  peer.close();
  await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
  at(Date.now() + SHORT.disconnectGraceMs + 1);
  await alarm(run);
  expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
  return run;
}

const back = (run: Run, hello: Hello = {}): Promise<WrapperPeer> =>
  WrapperPeer.hello(run, { bootId: 'b_1', nextSeq: 4, late: true, ...hello });

const LATE = [line('RESULT'), exit(0)];

/** Returns and delivers everything. */
async function delivered(request: Parameters<typeof start>[1] = {}): Promise<Run> {
  const run = await abandoned(request);
  const peer = await back(run);
  await peer.next();
  await peer.deliver(2, LATE);
  expect(await peer.closed).toEqual(SETTLED);
  return run;
}

const verdictFields = ({ late: _, logBytes: __, epoch: ___, ...rest }: Execution) => rest;

async function readText(run: Run, query = ''): Promise<string> {
  const response = await exports.default.fetch(`${ORIGIN}/v1/sessions/${run.session}/executions/${run.execution.id}/log${query}`, {
    headers: { authorization: `Bearer ${ACME_KEY}` },
  });
  return response.text();
}

describe('a wrapper that returns', () => {
  test('[ING22 LIF38] is welcomed late, delivers, and is closed 4000; the verdict is unchanged', async () => {
    const run = await abandoned();
    const before = await get(run);
    const peer = await back(run);
    expect(await peer.next()).toMatchObject({
      type: 'welcome',
      late: true,
      ackedSeq: 1,
      epoch: 2,
      commands: [],
      features: expect.arrayContaining(['secretNames', 'late']),
    });
    expect(await peer.deliver(2, [line('RESULT')])).toEqual({ type: 'ack', seq: 2 });
    expect((await get(run)).late).toEqual({ events: 1, exitCode: null, signal: null, at: Date.now() });
    at(Date.now() + 1000);
    expect(await peer.deliver(3, [line('done'), exit(0)])).toEqual({ type: 'ack', seq: 4 });
    expect(await peer.closed).toEqual(SETTLED);
    const after = await get(run);
    expect(verdictFields(after)).toEqual(verdictFields(before));
    expect(after.late).toEqual({ events: 3, exitCode: 0, signal: null, at: Date.now() });
    expect(texts(await readLog(run.session))).toBe('before\nRESULT\ndone\n');
  });

  test('[ING22] without `late` in its hello, as 0.1.0, it is closed 4000 and nothing is stored', async () => {
    const run = await abandoned();
    const head = (await readLog(run.session)).length;
    const peer = await WrapperPeer.hello(run, { nextSeq: 4 });
    expect(await peer.closed).toEqual(SETTLED);
    expect(await readLog(run.session)).toHaveLength(head);
  });

  test('[ING2] another wrapper is closed 4000', async () => {
    const run = await abandoned();
    expect(await (await back(run, { wrapperId: 'w_other' })).closed).toEqual(SETTLED);
  });

  test('[LIF38] a wrapper that returns in the moment of the verdict, before any alarm, delivers late', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    const peer = await WrapperPeer.connect(run);
    at(Date.now() + SHORT.disconnectGraceMs + 1);
    peer.sayHello({ nextSeq: 3, late: true });
    expect(await peer.next()).toMatchObject({ type: 'welcome', late: true, ackedSeq: 0 });
    expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
  });

  test('[LIF38] it may return until 7 days after the verdict, and not later', async () => {
    const run = await abandoned();
    const verdictAt = (await get(run)).endedAt as number;
    at(verdictAt + LATE_MS_MAX - 1);
    const peer = await back(run);
    expect(await peer.next()).toMatchObject({ late: true });
    at(verdictAt + LATE_MS_MAX);
    peer.events(2, [line('too late')]);
    expect(await peer.closed).toEqual(SETTLED);
    expect(await (await WrapperPeer.connect(run)).closed).toEqual(SETTLED);
    expect((await get(run)).late).toBeUndefined();
  });

  test('[LIF38] after its terminal fact nothing more is taken', async () => {
    const run = await delivered();
    expect(await (await WrapperPeer.connect(run)).closed).toEqual(SETTLED);
    expect((await get(run)).late).toMatchObject({ events: 2 });
  });

  test('[ING5] repeats, prefixes and holes are answered as before the verdict, also after an eviction', async () => {
    const run = await abandoned();
    const first = await back(run);
    await first.next();
    await first.deliver(2, [line('a'), line('b')]);
    await putToSleep(stubOf(run.session), { webSockets: 'close' });
    const again = await back(run, { bootId: 'b_2', nextSeq: 6 });
    expect(await again.next()).toMatchObject({ late: true, ackedSeq: 3, epoch: 3 });
    expect(await again.deliver(2, [line('a')])).toEqual({ type: 'ack', seq: 3 });
    expect(await again.deliver(5, [exit(0)])).toEqual({ type: 'nack', expected: 4 });
    expect(await again.deliver(3, [line('b'), line('c'), exit(3)])).toEqual({ type: 'ack', seq: 5 });
    expect(texts(await readLog(run.session))).toBe('before\na\nb\nc\n');
    expect((await get(run)).late).toMatchObject({ events: 4, exitCode: 3 });
  });

  test('[ING4] a newer connection supersedes an older late one, whose frames then change nothing', async () => {
    const run = await abandoned();
    const older = await back(run);
    await older.next();
    const newer = await back(run, { bootId: 'b_2' });
    await newer.next();
    expect((await older.closed).code).toBe(CLOSE.superseded);
    await newer.deliver(2, LATE);
    expect((await get(run)).late).toMatchObject({ events: 2, exitCode: 0 });
  });

  test('[ING18] posts deliver late too, and the last one carries the close', async () => {
    const run = await abandoned();
    const post = async (frames: string[]) => {
      const hello = { type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 4, lost: 0, late: true };
      const response = await exports.default.fetch(run.ingest.url.replace(/^ws/, 'http'), {
        method: 'POST',
        headers: { authorization: `Bearer ${run.ingest.token}` },
        body: [JSON.stringify(hello), ...frames].join('\n'),
      });
      return (await response.text())
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text));
    };
    expect(await post([])).toMatchObject([{ type: 'welcome', late: true, epoch: 1 }]);
    expect(await post([`{"type":"events","seq":2,"count":1}\n${JSON.stringify(line('RESULT'))}`])).toMatchObject([
      { type: 'welcome', late: true },
      { type: 'ack', seq: 2 },
    ]);
    expect(await post([`{"type":"events","seq":3,"count":1}\n${JSON.stringify(exit(0))}`])).toMatchObject([
      { type: 'welcome' },
      { type: 'ack', seq: 3 },
      { type: 'close', code: 4000, reason: '{"status":"failed"}' },
    ]);
    expect((await get(run)).late).toMatchObject({ events: 2, exitCode: 0 });
  });

  test('[LIF38] another run that is active meanwhile is untouched, and its signs of life are its own', async () => {
    const run = await abandoned();
    const other = await start(run.session, { id: 'second', policy: { ...SHORT, interruptGraceMs: 3_000 } });
    const wrapper = await WrapperPeer.welcomed(other, { wrapperId: 'w_2' });
    await api('POST', `/v1/sessions/${run.session}/executions/second/interrupt`, { body: {} });
    const before = await get(other);
    at(Date.now() + 2_000);
    const peer = await back(run);
    await peer.next();
    await peer.deliver(2, LATE);
    expect(await get(other)).toEqual(before);
    // LIF36: only its own frames extend the wait for its answer.
    at(Date.now() + 1_500);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await get(other)).toMatchObject({ status: 'interrupted', forced: true });
    wrapper.close();
  });
});

describe('which verdicts', () => {
  test('[LIF38] an interrupt that the absent wrapper did not answer', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: {} });
    at(Date.now() + 60_000);
    await alarm(run);
    at(Date.now() + 60_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'interrupted', forced: true });
    const peer = await back(run, { nextSeq: 3 });
    expect(await peer.next()).toMatchObject({ late: true });
    await peer.deliver(1, LATE);
    expect(await get(run)).toMatchObject({ status: 'interrupted', forced: true, late: { events: 2, exitCode: 0 } });
  });

  test('[LIF38] log_full takes nothing', async () => {
    const run = await start(newSession(), { policy: { ...SHORT, maxLogBytes: 1_048_576 } });
    const peer = await WrapperPeer.welcomed(run);
    for (let seq = 1; seq <= 3; seq += 1) peer.events(seq, [line('x'.repeat(400_000))]);
    expect(await peer.closed).toEqual(SETTLED);
    expect(await get(run)).toMatchObject({ code: 'log_full' });
    expect(await (await WrapperPeer.connect(run)).closed).toEqual(SETTLED);
  });

  test('[LIF38] a failure by a caller takes nothing, whatever its code', async () => {
    const body = { code: 'wrapper_disconnected', message: 'gone' };
    const run = await start(newSession(), { policy: SHORT });
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/fail`, { body });
    expect(await (await WrapperPeer.connect(run)).closed).toEqual(SETTLED);
  });

  test('[LIF38] an execution that another one replaced takes nothing', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    await start(run.session, { id: 'next', onBusy: 'replace' });
    at(Date.now() + 6_000);
    await alarm(run);
    expect((await get(run)).status).not.toBe('running');
    expect((await (await WrapperPeer.connect(run)).closed).code).toBe(CLOSE.settled);
  });

  test('[CLS17] in a session that was deleted nothing is taken', async () => {
    const run = await abandoned();
    await api('DELETE', `/v1/sessions/${run.session}`);
    expect((await (await WrapperPeer.connect(run)).closed).code).toBe(CLOSE.notFound);
  });

  test('[LIF34] a late frame beyond 110 % of maxLogBytes ends the delivery; the end of the job still fits', async () => {
    const run = await abandoned({ policy: { ...SHORT, maxLogBytes: 1_048_576 } });
    const peer = await back(run, { nextSeq: 9 });
    await peer.next();
    const half = 'x'.repeat(400_000);
    await peer.deliver(2, [line(half)]);
    await peer.deliver(3, [line(half)]);
    peer.events(4, [line(half)]);
    expect(await peer.closed).toEqual(SETTLED);
    expect((await get(run)).late).toMatchObject({ events: 2, exitCode: null });
    expect(await (await WrapperPeer.connect(run)).closed).toEqual(SETTLED);
  });
});

describe('readers', () => {
  test('[STR34] a viewer that still follows the session gets late events, marked, after the `end`', async () => {
    const run = await abandoned();
    const viewer = await ViewerPeer.connect(run.session, '?after=0');
    await viewer.until('caught_up');
    const peer = await back(run);
    await peer.next();
    await peer.deliver(2, LATE);
    const frame = await viewer.until('events');
    expect(frame).toMatchObject({ late: true, execution: run.execution.id, events: LATE });
    expect(frame?.offset).toBe(((await get(run)).lastOffset as number) + 1);
    expect(viewer.received.filter(({ type }) => type === 'end')).toHaveLength(1);
    viewer.close();
  });

  test('[STR34 STR9] a later reader of the execution gets verdict and late events once each, then one `end`', async () => {
    const run = await delivered();
    const viewer = await ViewerPeer.connect(run.session, `?after=0&execution=${run.execution.id}`);
    expect(await viewer.closed).toMatchObject({ code: CLOSE.done, reason: 'ended' });
    const lastOffset = (await get(run)).lastOffset as number;
    expect(viewer.offsets).toEqual(Array.from({ length: lastOffset + 2 }, (_, index) => index + 1));
    const frames = viewer.received.flatMap((frame) => (frame.type === 'events' ? [frame] : []));
    for (const frame of frames) expect(frame.late ?? false).toBe((frame.offset as number) > lastOffset);
    expect(viewer.received.slice(-2).map(({ type }) => type)).toEqual(['caught_up', 'end']);
  });

  test('[STR34] a filter by type keeps the mark', async () => {
    const run = await delivered();
    const viewer = await ViewerPeer.connect(run.session, `?after=0&execution=${run.execution.id}&types=exit`);
    await viewer.closed;
    expect(viewer.received.filter(({ type }) => type === 'events')).toMatchObject([{ late: true, events: [{ type: 'exit' }] }]);
  });

  test('[STR34] RPC and SSE say `late` beside the offset', async () => {
    const run = await delivered();
    const page = await callsOf(run.session).readEvents({ after: 0, limit: 100 });
    const lastOffset = (await get(run)).lastOffset as number;
    expect(page.ok && page.events.filter(({ late }) => late).map(({ offset, type }) => [offset, type])).toEqual([
      [lastOffset + 1, 'output'],
      [lastOffset + 2, 'exit'],
    ]);
    const response = await exports.default.fetch(
      `${ORIGIN}/v1/sessions/${run.session}/stream?after=0&execution=${run.execution.id}`,
      { headers: { authorization: `Bearer ${ACME_KEY}`, accept: 'text/event-stream' } },
    );
    const text = await response.text();
    expect(text).toContain(`data: {"offset":${lastOffset + 1},"late":true,"execution":"${run.execution.id}","at":`);
    expect(text).toContain(`data: {"offset":${lastOffset},"execution"`);
    expect(text.indexOf('event: end')).toBeGreaterThan(text.indexOf('"late":true'));
  });

  test('[STR34] the plain log marks where late lines begin', async () => {
    const run = await delivered();
    expect(await readText(run)).toBe('before\n[holdfast: what follows arrived after the verdict]\nRESULT\n');
    expect(await readText(run, '?follow=1')).toBe(await readText(run));
  });

  test('[STR22] the stream of the execution stays closed and unchanged; the stream of the session goes on', async () => {
    const run = await abandoned();
    const read = async (path: string) => {
      const response = await exports.default.fetch(`${ORIGIN}/v1/sessions/${run.session}${path}?offset=-1`, {
        headers: { authorization: `Bearer ${ACME_KEY}`, accept: 'application/json, */*' },
      });
      const { headers } = response;
      const events = (await response.json()) as { offset: number; late?: true }[];
      return { events, closed: headers.get('stream-closed'), next: headers.get('stream-next-offset'), etag: headers.get('etag') };
    };
    const own = `/executions/${run.execution.id}/events`;
    const closed = await read(own);
    expect(closed.closed).toBe('true');
    const peer = await back(run);
    await peer.next();
    await peer.deliver(2, LATE);
    expect(await read(own)).toEqual(closed);
    const session = await read('/events');
    expect(session.events.slice(closed.events.length).map(({ late }) => late)).toEqual([true, true]);
  });

  test('[DIR1] the list of sessions stays with the verdict', async () => {
    const run = await delivered();
    const { body } = await api('GET', '/v1/sessions');
    const entry = (body.data as { id: string; execution: Execution }[]).find(({ id }) => id === run.session);
    expect(entry?.execution).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
  });
});
