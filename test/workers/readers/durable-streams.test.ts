/**
 * The read side of the Durable Streams protocol (PROTOCOL.md, STR22 and after).
 * Method: the cases of the public conformance suite about reading JSON are run here on a real log
 * (the suite itself creates its streams by PUT, which this deployment does not accept). The public
 * client reads whole runs in each of its modes, and its result is compared with the log.
 */

import { runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { stream } from '@durable-streams/client';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { encodeEventsFrame } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import { LONG_POLL_MS } from '../../../src/http/durable-streams.ts';
import { type Answer, ask, deployment, expectProblem, request } from '../support/http.ts';
import {
  ACME_KEY,
  api,
  exit,
  newSession,
  ORIGIN,
  output,
  putToSleep,
  type Run,
  readLog,
  type Seen,
  start,
  stubOf,
  testEnv,
  WrapperPeer,
} from '../support/peers.ts';
import { SseReader } from '../support/readers.ts';

afterEach(() => void vi.useRealTimers());

const ofSession = ({ session }: Pick<Run, 'session'>): string => `/v1/sessions/${session}/events`;
const ofExecution = ({ session, execution }: Pick<Run, 'session' | 'execution'>): string =>
  `/v1/sessions/${session}/executions/${execution.id}/events`;
const both = (run: Run): string[] => [ofSession(run), ofExecution(run)];

const messages = ({ text }: Answer): Seen[] =>
  (JSON.parse(text) as (Seen & { at: number })[]).map(({ offset, execution, type, at, data }) => {
    expect(at).toEqual(expect.any(Number));
    return { offset, execution, type, data };
  });
/** The offset alone, without the log's generation behind it (STR32; log-generation.test.ts). */
const digits = (answer: Pick<Answer, 'headers'>): string => next(answer).split('_')[0] ?? '';
const next = ({ headers }: Pick<Answer, 'headers'>): string => headers.get('stream-next-offset') ?? '';
const upToDate = ({ headers }: Pick<Answer, 'headers'>): boolean => headers.get('stream-up-to-date') === 'true';
const closed = ({ headers }: Pick<Answer, 'headers'>): boolean => headers.get('stream-closed') === 'true';

/** A run with some output, open. */
async function running(lines = 3): Promise<{ run: Run; peer: WrapperPeer }> {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  if (lines > 0) {
    await peer.deliver(
      1,
      Array.from({ length: lines }, (_, index) => output(`line ${index + 1}\n`)),
    );
  }
  return { run, peer };
}

describe('catch-up', () => {
  let run: Run;
  let log: Seen[];
  beforeAll(async () => {
    const one = await running();
    run = one.run;
    log = await readLog(run.session);
  });

  test('[STR22] without offset and with -1: the whole log, as a JSON array of events', async () => {
    for (const path of both(run)) {
      for (const query of ['', '?offset=-1']) {
        const answer = await ask('GET', path + query);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('content-type')).toBe('application/json');
        expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
        expect(messages(answer)).toEqual(log);
        expect([digits(answer), upToDate(answer), closed(answer)]).toEqual([String(log.length).padStart(16, '0'), true, false]);
      }
    }
  });

  test('[STR22] [G2] from every offset: what follows it; at the tail an empty array', async () => {
    for (let after = 0; after <= log.length; after += 1) {
      const answer = await ask('GET', `${ofSession(run)}?offset=${String(after).padStart(16, '0')}`);
      expect(messages(answer)).toEqual(log.slice(after));
      expect(upToDate(answer)).toBe(true);
    }
  });

  test('[STR22] now: nothing, and the tail', async () => {
    for (const path of both(run)) {
      const answer = await ask('GET', `${path}?offset=now`);
      expect(answer).toMatchObject({ status: 200, text: '[]' });
      expect(answer.headers.get('cache-control')).toContain('no-store');
      expect([next(answer), upToDate(answer)]).toEqual([next(await ask('HEAD', path)), true]);
    }
  });

  test('[STR22] HEAD: the tail, without a body and without a reader', async () => {
    for (const path of both(run)) {
      const answer = await ask('HEAD', path);
      expect(answer).toMatchObject({ status: 200, text: '' });
      expect(answer.headers.get('content-type')).toBe('application/json');
      expect(answer.headers.get('cache-control')).toContain('no-store');
      expect(digits(answer)).toBe(String(log.length).padStart(16, '0'));
      expect(closed(answer)).toBe(false);
    }
    await vi.waitFor(async () =>
      expect(await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.getWebSockets('viewer').length)).toBe(0),
    );
  });

  test('[STR22] offsets sort as text, and are opaque: any other is 400', async () => {
    const { run: long, peer } = await running(0);
    const seen: string[] = [];
    for (let seq = 1; seq <= 12; seq += 1) {
      await peer.deliver(seq, [output(`${seq}\n`)]);
      seen.push(next(await ask('GET', `${ofSession(long)}?offset=now`)));
    }
    expect(seen).toEqual([...new Set(seen)].sort());
    const bad = [
      '',
      '1',
      '-2',
      '00',
      'a',
      '0000000000000001,2',
      '0000000000000001%20',
      '0000000000000001%0A',
      '../1',
      '9007199254740993',
      'NOW',
      '-1&offset=-1',
    ];
    for (const offset of bad) expectProblem(await ask('GET', `${ofSession(run)}?offset=${offset}`), 'bad_request');
    expectProblem(await ask('GET', `${ofSession(run)}?live=long-poll`), 'bad_request');
    expectProblem(await ask('GET', `${ofSession(run)}?live=sse`), 'bad_request');
    expectProblem(await ask('GET', `${ofSession(run)}?offset=-1&live=yes`), 'bad_request');
    expect((await ask('GET', `${ofSession(run)}?offset=-1&unknown=1`)).status).toBe(200);
  });

  test('[STR22] an ETag: 304 while nothing changed, another when something did', async () => {
    const { run: more, peer } = await running();
    for (const path of both(more)) {
      const first = await ask('GET', path);
      const etag = String(first.headers.get('etag'));
      expect(etag).toMatch(/^".+"$/);
      const same = await ask('GET', path, { headers: { 'if-none-match': etag } });
      expect([same.status, same.text, same.headers.get('etag'), next(same)]).toEqual([304, '', etag, next(first)]);
      expect((await ask('GET', path, { headers: { 'if-none-match': `"other", W/${etag}` } })).status).toBe(304);
      expect((await ask('GET', path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
      expect((await ask('GET', `${path}?offset=${next(first)}`, { headers: { 'if-none-match': etag } })).status).toBe(200);
    }
    const before = String((await ask('GET', ofExecution(more))).headers.get('etag'));
    await peer.deliver(4, [output('more\n')]);
    const after = await ask('GET', ofExecution(more), { headers: { 'if-none-match': before } });
    expect([after.status, after.headers.get('etag') === before]).toEqual([200, false]);
  });

  test('[STR22] a session that was created again under the same name has other ETags', async () => {
    const session = newSession();
    const fill = async (text: string): Promise<Answer> => {
      const begun = await start(session, { id: 'exec_same' });
      const wrapper = await WrapperPeer.welcomed(begun);
      await wrapper.deliver(1, [output(text), exit(0)]);
      return ask('GET', ofExecution(begun));
    };
    const old = await fill('old\n');
    expect((await ask('DELETE', `/v1/sessions/${session}`)).status).toBe(204);
    const anew = await fill('new\n');
    expect(digits(anew)).toBe(digits(old));
    const asked = { headers: { 'if-none-match': String(old.headers.get('etag')) } };
    const answer = await ask('GET', `/v1/sessions/${session}/executions/exec_same/events`, asked);
    expect([answer.status, answer.text]).toEqual([200, anew.text]);
  });

  test('[STR22] a long log comes in chunks, each with the offset of the next; only the last is up to date', async () => {
    const { run: big, peer } = await running(0);
    const text = 'x'.repeat(100_000);
    for (let seq = 1; seq <= 40; seq += 1) await peer.deliver(seq, [output(`${seq} ${text}`)]);
    await peer.deliver(41, [exit(0)]);
    const all: Seen[] = [];
    let offset = '-1';
    let chunks = 0;
    for (;;) {
      const answer = await ask('GET', `${ofExecution(big)}?offset=${offset}`);
      all.push(...messages(answer));
      chunks += 1;
      offset = next(answer);
      expect(closed(answer)).toBe(upToDate(answer));
      // Revalidated each time, and not shared between credentials.
      expect(answer.headers.get('cache-control')).toBe('private, no-cache');
      expect(answer.headers.get('vary')).toMatch(/\bauthorization\b/i);
      if (upToDate(answer)) break;
    }
    expect(chunks).toBeGreaterThan(3);
    expect(all).toEqual(await readLog(big.session));
  });

  test('[STR24] stored events are passed on unchanged', async () => {
    const { run: exact, peer } = await running(0);
    const data = '{"n":12345678901234567890.10,"e":1e400,"text":"a\\u2028\\n"}';
    peer.send(encodeEventsFrame(1, 1, `{"type":"custom","at":1,"data":${data}}`));
    await peer.next();
    expect((await ask('GET', ofExecution(exact))).text).toContain(`"type":"custom","at":1,"data":${data}}`);
  });
});

describe('an execution that has settled is closed', () => {
  test('[STR22] Stream-Closed with its last event and after it, and not before', async () => {
    const { run, peer } = await running();
    expect(closed(await ask('GET', ofExecution(run)))).toBe(false);
    await peer.deliver(4, [exit(0)]);
    const log = await readLog(run.session);
    // The session continues after it.
    await start(run.session);
    const tail = String(log.length).padStart(16, '0');
    for (const query of ['', '?offset=-1', `?offset=${tail}`, '?offset=now', '?offset=-1&live=long-poll']) {
      const answer = await ask('GET', ofExecution(run) + query);
      expect([answer.status, digits(answer), upToDate(answer), closed(answer)]).toEqual([200, tail, true, true]);
      expect(messages(answer)).toEqual(/now|0/.test(query) ? [] : log);
    }
    const head = await ask('HEAD', ofExecution(run));
    expect([digits(head), closed(head)]).toEqual([tail, true]);
    expect(closed(await ask('GET', ofSession(run)))).toBe(false);
  });

  test('[STR22] a long poll at its end does not wait: 204, closed', async () => {
    const { run, peer } = await running();
    await peer.deliver(4, [exit(0)]);
    const tail = next(await ask('HEAD', ofExecution(run)));
    for (const offset of [tail, 'now']) {
      const answer = await ask('GET', `${ofExecution(run)}?offset=${offset}&live=long-poll`);
      expect([answer.status, answer.text, next(answer), upToDate(answer), closed(answer)]).toEqual([204, '', tail, true, true]);
    }
  });
});

describe('long-poll', () => {
  test('[STR22] existing events are answered at once, with a cursor; a cursor is answered by a later one', async () => {
    const { run } = await running();
    const first = await ask('GET', `${ofSession(run)}?offset=-1&live=long-poll`);
    expect(first.status).toBe(200);
    expect(messages(first)).toEqual(await readLog(run.session));
    expect(upToDate(first)).toBe(true);
    const cursor = String(first.headers.get('stream-cursor'));
    expect(cursor).toMatch(/^\d+$/);
    const second = await ask('GET', `${ofSession(run)}?offset=-1&live=long-poll&cursor=${cursor}`);
    expect(Number(second.headers.get('stream-cursor'))).toBeGreaterThan(Number(cursor));
  });

  test('[STR22] [G7] at the tail it waits, while the object sleeps, for the next event', async () => {
    const { run, peer } = await running();
    for (const [index, path] of both(run).entries()) {
      const polls = ['now', next(await ask('HEAD', path))].map((offset) => ask('GET', `${path}?offset=${offset}&live=long-poll`));
      await vi.waitFor(async () =>
        expect(
          await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.getWebSockets('viewer').length),
        ).toBeGreaterThanOrEqual(2),
      );
      await scheduler.wait(50);
      await putToSleep(stubOf(run.session));
      await peer.deliver(4 + index, [output('new\n')]);
      for (const poll of polls) {
        const answer = await poll;
        expect(answer.status).toBe(200);
        expect(messages(answer).map(({ data }) => data.text)).toEqual(['new\n']);
        expect(upToDate(answer)).toBe(true);
      }
    }
  });

  test('[STR22] the end of the execution ends the wait', async () => {
    const { run, peer } = await running();
    const poll = ask('GET', `${ofExecution(run)}?offset=now&live=long-poll`);
    await scheduler.wait(50);
    await peer.deliver(4, [exit(0)]);
    const answer = await poll;
    expect(messages(answer).map(({ type }) => type)).toEqual(['exit', 'execution_completed']);
  });

  test('[STR22] without new events: 204 after a while, with the next offset and a cursor', async () => {
    const { run } = await running();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const poll = app.fetch(request('GET', `${ofSession(run)}?offset=now&live=long-poll`), testEnv);
    await scheduler.wait(100);
    vi.advanceTimersByTime(LONG_POLL_MS);
    const answer = await poll;
    vi.useRealTimers();
    expect([answer.status, next(answer), upToDate(answer), closed(answer)]).toEqual([
      204,
      next(await ask('HEAD', ofSession(run))),
      true,
      false,
    ]);
    expect(answer.headers.get('stream-cursor')).toMatch(/^\d+$/);
  });
});

describe('sse', () => {
  interface Control {
    streamNextOffset: string;
    streamCursor?: string;
    upToDate?: true;
    streamClosed?: true;
  }
  const controls = (sse: SseReader): Control[] =>
    sse.events.filter(({ event }) => event === 'control').map(({ data }) => data as unknown as Control);
  const received = (sse: SseReader): Seen[] =>
    sse.events.filter(({ event }) => event === 'data').flatMap(({ data }) => data as unknown as Seen[]);

  test('[STR22] data and control alternate; up to date at the tail; closed at the end, without a cursor', async () => {
    const { run, peer } = await running();
    await peer.deliver(4, [output('a\n')]);
    const sse = await SseReader.open(`${ofExecution(run)}?offset=-1&live=sse`);
    expect(sse.reader.response.headers.get('content-type')).toBe('text/event-stream');
    expect(sse.reader.response.headers.get('cache-control')).toContain('no-cache');
    await vi.waitFor(() => expect(controls(sse).at(-1)?.upToDate).toBe(true));
    await putToSleep(stubOf(run.session));
    await peer.deliver(5, [output('b\n')]);
    await peer.deliver(6, [exit(0)]);
    expect(await sse.reader.ended).toBe('whole');
    for (const [index, { event }] of sse.events.entries()) if (event === 'data') expect(sse.names[index + 1]).toBe('control');
    expect(received(sse).map(({ offset }) => offset)).toEqual((await readLog(run.session)).map(({ offset }) => offset));
    const last = controls(sse).at(-1);
    expect(last).toEqual({ streamNextOffset: next(await ask('HEAD', ofExecution(run))), upToDate: true, streamClosed: true });
    const places = controls(sse)
      .slice(0, -1)
      .map(({ streamNextOffset }) => streamNextOffset);
    expect(places).toEqual([...new Set(places)].sort());
    expect(controls(sse)[0]?.streamCursor).toMatch(/^\d+$/);
  });

  test('[STR22] [G2] resumed after each control: no gap, no repeat', async () => {
    const { run, peer } = await running();
    const all: Seen[] = [];
    let offset = '-1';
    for (let seq = 4; seq <= 8; seq += 1) {
      const sse = await SseReader.open(`${ofSession(run)}?offset=${offset}&live=sse`);
      await vi.waitFor(() => expect(controls(sse).at(-1)?.upToDate).toBe(true));
      const count = received(sse).length;
      await peer.deliver(seq, [output(`${seq}\n`)]);
      await vi.waitFor(() => expect(received(sse).length).toBe(count + 1));
      await vi.waitFor(() => expect(sse.names.at(-1)).toBe('control'));
      all.push(...received(sse));
      offset = controls(sse).at(-1)?.streamNextOffset ?? '';
      await sse.reader.leave();
    }
    expect(all.map(({ offset: place }) => place)).toEqual((await readLog(run.session)).map(({ offset: place }) => place));
  });

  test('[STR22] now: no data, only where the tail is; a cursor is answered by a later one', async () => {
    const { run } = await running();
    const sse = await SseReader.open(`${ofSession(run)}?offset=now&live=sse`);
    await vi.waitFor(() => expect(controls(sse)).toHaveLength(1));
    expect(controls(sse)[0]).toMatchObject({ streamNextOffset: next(await ask('HEAD', ofSession(run))), upToDate: true });
    const cursor = controls(sse)[0]?.streamCursor;
    const again = await SseReader.open(`${ofSession(run)}?offset=now&live=sse&cursor=${cursor}`);
    await vi.waitFor(() => expect(controls(again)).toHaveLength(1));
    expect(Number(controls(again)[0]?.streamCursor)).toBeGreaterThan(Number(cursor));
    await sse.reader.leave();
    await again.reader.leave();
  });

  test('[STR22] of a closed stream: the rest of it, and the connection ends', async () => {
    const { run, peer } = await running();
    await peer.deliver(4, [exit(0)]);
    const tail = next(await ask('HEAD', ofExecution(run)));
    for (const [offset, count] of [
      ['-1', Number(tail.split('_')[0])],
      [tail, 0],
      ['now', 0],
    ]) {
      const sse = await SseReader.open(`${ofExecution(run)}?offset=${offset}&live=sse`);
      expect(await sse.reader.ended).toBe('whole');
      expect(received(sse)).toHaveLength(Number(count));
      expect(controls(sse).at(-1)).toEqual({ streamNextOffset: tail, upToDate: true, streamClosed: true });
    }
  });
});

describe('the public client', () => {
  const fetcher = ((input: RequestInfo | URL, init?: RequestInit) =>
    exports.default.fetch(input as string, init as never)) as unknown as typeof globalThis.fetch;
  const options = (path: string) => ({
    url: `${ORIGIN}${path}`,
    headers: { authorization: `Bearer ${ACME_KEY}` },
    fetch: fetcher,
    warnOnHttp: false,
  });

  test.each([['long-poll'], ['sse']] as const)('[STR22] follows a run to its end by %s', { timeout: 60_000 }, async (live) => {
    const { run, peer } = await running();
    const response = await stream<Seen>({ ...options(ofExecution(run)), offset: '-1', live });
    const seen: Seen[] = [];
    response.subscribeJson<Seen>(async (batch) => void seen.push(...batch.items));
    for (let seq = 4; seq <= 12; seq += 1) {
      await peer.deliver(seq, [output(`line ${seq}\n`)]);
      if (seq % 3 === 0) {
        await vi.waitFor(() => expect(seen.at(-1)?.data.text).toBe(`line ${seq}\n`), { timeout: 10_000 });
        await putToSleep(stubOf(run.session));
      }
    }
    await peer.deliver(13, [exit(0)]);
    await response.closed;
    const log = await readLog(run.session);
    expect(seen.map(({ offset, execution, type, data }) => ({ offset, execution, type, data }))).toEqual(log);
    expect(response.streamClosed).toBe(true);
  });

  test('[STR22] reads to the tail, and later continues from there', async () => {
    const { run, peer } = await running();
    const first = await stream<Seen>({ ...options(ofSession(run)), live: false });
    const items = await first.json();
    expect(first.upToDate).toBe(true);
    await peer.deliver(4, [output('later\n')]);
    const second = await stream<Seen>({ ...options(ofSession(run)), offset: first.offset, live: false });
    items.push(...(await second.json()));
    expect(items.map(({ offset }) => offset)).toEqual((await readLog(run.session)).map(({ offset }) => offset));
  });
});

describe('refusals', () => {
  test('[STR22] [STR26] 401, 404, 405, 409 and 410, as elsewhere', async () => {
    const { run } = await running();
    for (const path of both(run)) {
      expectProblem(await ask('GET', path, { key: null }), 'unauthorized');
      for (const method of ['POST', 'PUT', 'DELETE']) expectProblem(await ask(method, path), 'method_not_allowed');
      expect(expectProblem(await ask('GET', `${path}?offset=0000000000004711`), 'offset_ahead').head).toBe(6);
    }
    for (const query of ['', '?offset=now', '?offset=now&live=long-poll', '?offset=now&live=sse']) {
      expectProblem(await ask('GET', `/v1/sessions/never/events${query}`), 'session_not_found');
      expectProblem(await ask('GET', `/v1/sessions/${run.session}/executions/never/events${query}`), 'execution_not_found');
    }
    expect((await ask('HEAD', '/v1/sessions/never/events')).status).toBe(404);
    await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.storage.sql.exec('DELETE FROM log WHERE first_offset < 4'));
    const expired = await ask('GET', `${ofSession(run)}?offset=0000000000000000`);
    expect(expectProblem(expired, 'offset_expired').earliest).toBe(4);
    expect(messages(await ask('GET', `${ofSession(run)}?offset=-1`)).map(({ offset }) => offset)).toEqual([4, 5, 6]);
  });

  test('[STR16] [STR22] with a ticket of one execution the stream of the session ends with that execution', async () => {
    const { run, peer } = await running();
    const made = await api('POST', `/v1/sessions/${run.session}/tickets`, { body: { execution: run.execution.id } });
    const withTicket = (query: string, method = 'GET') =>
      ask(method, `${ofSession(run)}?ticket=${made.body.ticket}&${query}`, { key: null });
    expect(closed(await withTicket('offset=-1'))).toBe(false);
    await peer.deliver(4, [exit(0)]);
    const whole = await withTicket('offset=-1');
    expect([upToDate(whole), closed(whole)]).toEqual([true, true]);
    for (const live of ['', '&live=long-poll']) expect(closed(await withTicket(`offset=${next(whole)}${live}`)), live).toBe(true);
    expect(closed(await withTicket('', 'HEAD'))).toBe(true);
  });

  test('[STR16] [STR27] a ticket reads what it names; a page of an allowed origin sees the headers', async () => {
    const { run } = await running();
    const made = await api('POST', `/v1/sessions/${run.session}/tickets`, {
      body: { execution: run.execution.id, types: ['output'] },
    });
    const withTicket = (path: string) => ask('GET', `${path}?ticket=${made.body.ticket}`, { key: null });
    const types = messages(await withTicket(ofExecution(run))).map(({ type }) => type);
    expect([...new Set(types)]).toEqual(['output']);
    expect([...new Set(messages(await withTicket(ofSession(run))).map(({ type }) => type))]).toEqual(['output']);
    expectProblem(await withTicket(`/v1/sessions/${run.session}/executions/other/events`), 'unauthorized');
    const env = deployment({ HOLDFAST_ALLOWED_ORIGINS: 'https://app.example' });
    const answer = await ask('GET', ofSession(run), { headers: { origin: 'https://app.example' }, env });
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(answer.headers.get('access-control-expose-headers')).toMatch(/stream-next-offset/);
    expectProblem(await ask('GET', ofSession(run), { headers: { origin: 'https://evil.example' }, env }), 'forbidden_origin');
  });
});
