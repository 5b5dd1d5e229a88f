/**
 * Reading a session as Server-Sent Events (PROTOCOL.md, STR20, STR21 and after; guarantees G2 and
 * G7).
 * Method: what a reader received over all its connections, each resumed with the last received id,
 * is compared with the log. The object must be evictable at any time while readers are connected.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { encodeEventsFrame, generationOf } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import { eventStreamOf, SSE_PING_MS, SSE_RECYCLE_MS, SSE_STALL_MS } from '../../../src/http/sse.ts';
import { Feed } from '../../../src/operations/feed.ts';
import { ask, deployment, expectProblem, request, untouchable } from '../support/http.ts';
import {
  api,
  exit,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  testEnv,
  WrapperPeer,
} from '../support/peers.ts';
import { read, SseReader } from '../support/readers.ts';

afterEach(() => void vi.useRealTimers());

const streamOf = ({ session }: Pick<Run, 'session'>, query = ''): string => `/v1/sessions/${session}/stream${query}`;

const viewersOf = (run: Run): Promise<number> =>
  runInDurableObject(
    stubOf(run.session),
    (_, ctx) => ctx.getWebSockets('viewer').filter(({ readyState }) => readyState === 1).length,
  );

/** Waits on the runtime's own clock, which no test replaces. */
async function until(check: () => void): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return check();
    } catch (error) {
      if (tries > 200) throw error;
      await scheduler.wait(10);
    }
  }
}

const asEvents = { accept: 'text/event-stream' };

describe('events', () => {
  test('[STR20] id, event and data of each; caught_up; end', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const sse = await SseReader.open(streamOf(run));
    const peer = await WrapperPeer.welcomed(run);
    await vi.waitFor(() => expect(sse.names).toContain('caught_up'));
    await peer.deliver(1, [output('one\n'), output('two\n', 'stderr')]);
    await peer.deliver(3, [exit(0)]);
    await vi.waitFor(() => expect(sse.names.at(-1)).toBe('end'));
    const log = await readLog(run.session);
    const { body } = await ask('GET', `/v1/sessions/${run.session}`);
    const generation = generationOf(Number(body.createdAt));
    expect(sse.events.filter(({ data }) => 'at' in data).map(({ id, event, data }) => [id, event, data])).toEqual(
      log.map(({ offset, execution, type, data }) => [
        `${offset}@${generation}`,
        type,
        { offset, execution, at: expect.any(Number), data },
      ]),
    );
    expect(sse.events.at(-1)).toEqual({
      id: undefined,
      event: 'end',
      data: { execution: 'e1', status: 'completed' },
      text: '{"execution":"e1","status":"completed"}',
    });
    const { headers } = sse.reader.response;
    expect(headers.get('content-type')).toBe('text/event-stream');
    expect(headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(headers.get('x-accel-buffering')).toBe('no');
    expect(headers.get('x-request-id')).toMatch(/\S/);
    expect(sse.retry).toBeGreaterThan(0);
    await sse.reader.leave();
  });

  test('[STR24] stored events are passed on unchanged: numbers, order of keys, spaces, text', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const peer = await WrapperPeer.welcomed(run);
    const data = [
      '{"n":12345678901234567890.10,"e":1e400,"z":-0.0,"a":{"b":[1,{"c":"}],\\"\\\\"},[]]}}',
      '{"b":1,"a":2,"b":3}',
      '{"text":"\\u0000\\u2028 \u2028 \\ud83d\\ude00 id: 7\\n\\ndata: x"}',
      '{ }',
    ];
    const lines = [
      `{"type":"custom","at":1763650000000,"data":${data[0]}}`,
      `{ "data" : ${data[1]} , "type":"cust\\u006fm", "more":[{"data":1}], "at" : 1763650000000.0 }`,
      `{"at":17636500E5,"type":"custom","data":{"old":1},"data":${data[2]}}`,
      `{"type":"custom","at":1,\r"data":${data[3]}\r}`,
    ];
    peer.send(encodeEventsFrame(1, 4, lines.join('\n')));
    expect(await peer.next()).toEqual({ type: 'ack', seq: 4 });
    const sse = await SseReader.open(streamOf(run, '?types=custom'));
    await vi.waitFor(() => expect(sse.names).toContain('caught_up'));
    expect(sse.events.slice(0, 4).map(({ text }) => text)).toEqual([
      `{"offset":4,"execution":"e1","at":1763650000000,"data":${data[0]}}`,
      `{"offset":5,"execution":"e1","at":1763650000000.0,"data":${data[1]}}`,
      `{"offset":6,"execution":"e1","at":17636500E5,"data":${data[2]}}`,
      `{"offset":7,"execution":"e1","at":1,"data":${data[3]}}`,
    ]);
    expect(sse.names.slice(0, 4)).toEqual(['custom', 'custom', 'custom', 'custom']);
    await sse.reader.leave();
  });

  test('[STR20] the filters are those of the WebSocket; with execution= the response ends after the end', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const next = await start(run.session, { id: 'e2', onBusy: 'queue' });
    const peer = await WrapperPeer.welcomed(run);
    const both = await SseReader.open(streamOf(run, '?execution=e1,e2&types=output&after=3'));
    const one = await SseReader.open(streamOf(run, '?execution=e1&types=output'));
    await peer.deliver(1, [output('a\n'), exit(0)]);
    expect(await one.reader.ended).toBe('whole');
    expect(one.names).toEqual(['caught_up', 'output', 'end']);
    expect(one.events.at(-1)).toMatchObject({
      id: expect.stringMatching(new RegExp(`^${one.offsets.at(-1)}@\\w+\\.end$`)),
      data: { status: 'completed' },
    });
    const second = await WrapperPeer.welcomed(next);
    await second.deliver(1, [output('b\n'), exit(2)]);
    expect(await both.reader.ended).toBe('whole');
    expect(both.events.filter(({ event }) => event === 'end').map(({ id, data }) => [id === undefined, data.status])).toEqual([
      [true, 'completed'],
      [false, 'failed'],
    ]);
    const tail = await SseReader.open(streamOf(run, '?tail=2&execution=e1,e2'));
    expect(await tail.reader.ended).toBe('whole');
    expect(tail.offsets).toEqual((await readLog(run.session)).slice(-2).map(({ offset }) => offset));
  });

  test('[STR25] a reader that returns with the id of the last end is answered 204, which stops a browser from reconnecting', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(run)).deliver(1, [exit(0)]);
    const sse = await SseReader.open(streamOf(run, '?execution=e1'));
    await sse.reader.ended;
    const last = sse.events.at(-1)?.id ?? '';
    expect(last).toMatch(/^\d+@\w+\.end$/);
    const { SESSIONS } = untouchable();
    const again = await ask('GET', streamOf(run, '?execution=e1'), {
      headers: { ...asEvents, 'last-event-id': last },
      env: deployment({ SESSIONS }),
    });
    expect(again).toMatchObject({ status: 204, text: '' });
    // A verdict is not the end: a reader that received only the verdict gets the rest.
    const verdict = await SseReader.open(streamOf(run, '?execution=e1'), {
      headers: { 'last-event-id': last.replace('.end', '') },
    });
    await verdict.reader.ended;
    expect(verdict.names).toEqual(['caught_up', 'end']);
  });
});

describe('resuming', () => {
  test('[STR21] Last-Event-ID wins over after and tail', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('1'), output('2'), output('3')]);
    for (const query of ['?after=0', '?after=5', '?tail=1', '?after=4711']) {
      const sse = await SseReader.open(streamOf(run, query), { headers: { 'last-event-id': '3' } });
      await vi.waitFor(() => expect(sse.names).toContain('caught_up'));
      expect(sse.offsets).toEqual([4, 5, 6]);
      await sse.reader.leave();
    }
    const sse = await SseReader.open(streamOf(run, '?after=5'), { headers: { 'last-event-id': '' } });
    await vi.waitFor(() => expect(sse.offsets).toEqual([6]));
    await sse.reader.leave();
  });

  test('[G2] [G7] readers keep no object awake, and through cuts they receive every event once', {
    timeout: 60_000,
  }, async () => {
    const run = await start(newSession());
    let peer = await WrapperPeer.welcomed(run);
    const quiet = await SseReader.open(streamOf(run, '?types=exit'));
    const all: number[] = [];
    let sse = await SseReader.open(streamOf(run));
    for (let seq = 1; seq <= 40; seq += 1) {
      if (seq % 4 === 0) {
        const before = Date.now();
        await putToSleep(stubOf(run.session));
        expect(Date.now() - before).toBeLessThan(20_000);
      }
      await peer.deliver(seq, [output(`${seq}\n`)]);
      if (seq % 10 !== 0) continue;
      if (seq % 20 === 0) {
        // The object and all its sockets are gone, as at a deploy: the response ends and the reader
        // reconnects.
        await putToSleep(stubOf(run.session), { webSockets: 'close' });
        expect(await sse.reader.ended).toBe('whole');
        peer = await WrapperPeer.welcomed(run, { nextSeq: seq + 1 });
      } else {
        await sse.reader.leave();
      }
      all.push(...sse.offsets);
      const id = sse.events.findLast((event) => event.id !== undefined)?.id ?? '0';
      sse = await SseReader.open(streamOf(run), { headers: { 'last-event-id': id } });
    }
    expect(await quiet.reader.ended).toBe('whole');
    await peer.deliver(41, [exit(0)]);
    await vi.waitFor(() => expect(sse.names).toContain('end'));
    all.push(...sse.offsets);
    expect(all).toEqual((await readLog(run.session)).map(({ offset }) => offset));
    await sse.reader.leave();
  });

  test('[STR21] a comment every 15 s while nothing happens; the object hibernates through it', async () => {
    const run = await start(newSession());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const response = await app.fetch(request('GET', streamOf(run), { headers: asEvents }), testEnv);
    const sse = new SseReader(response);
    await until(() => expect(sse.names).toContain('caught_up'));
    for (let count = 1; count <= 3; count += 1) {
      await scheduler.wait(20);
      vi.advanceTimersByTime(SSE_PING_MS - 1);
      await scheduler.wait(20);
      expect(sse.comments).toHaveLength(count - 1);
      vi.advanceTimersByTime(1);
      await until(() => expect(sse.comments).toHaveLength(count));
    }
    vi.useRealTimers();
    await putToSleep(stubOf(run.session));
    await sse.reader.leave();
  });

  test('[STR21] a session that does not answer for 15 s times out, so that the reader reconnects', async () => {
    const { 0: near, 1: far } = new WebSocketPair();
    far.accept();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const sse = new SseReader(
      eventStreamOf(new Feed(near), ': hello\n\n', SSE_RECYCLE_MS, () => ({ text: '', last: false }), {
        tenant: 'acme',
        session: 's',
      }),
    );
    await until(() => expect(sse.comments).toEqual(['hello']));
    await scheduler.wait(20);
    vi.advanceTimersByTime(SSE_PING_MS);
    await until(() => expect(sse.comments).toEqual(['hello', 'ping']));
    await scheduler.wait(20);
    vi.advanceTimersByTime(SSE_PING_MS);
    expect(await sse.reader.ended).toBe('whole');
    expect(sse.comments).toEqual(['hello', 'ping']);
  });

  test('[STR21] the response ends after a few minutes, and its socket is closed', async () => {
    const run = await start(newSession());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const sse = new SseReader(await app.fetch(request('GET', streamOf(run), { headers: asEvents }), testEnv));
    await scheduler.wait(50);
    vi.advanceTimersByTime(SSE_RECYCLE_MS);
    expect(await sse.reader.ended).toBe('whole');
    expect(sse.names).toEqual(['execution_pending', 'caught_up']);
    vi.useRealTimers();
    await vi.waitFor(async () => expect(await viewersOf(run)).toBe(0));
  });

  test('[STR21] a reader that stopped reading is cut off some time later', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    for (let seq = 1; seq <= 8; seq += 1) await peer.deliver(seq, [output('x'.repeat(300_000))]);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const response = await app.fetch(request('GET', streamOf(run), { headers: asEvents }), testEnv);
    await scheduler.wait(50);
    vi.advanceTimersByTime(SSE_RECYCLE_MS);
    await scheduler.wait(50);
    vi.advanceTimersByTime(SSE_STALL_MS);
    await scheduler.wait(50);
    vi.useRealTimers();
    await expect(response.text()).rejects.toThrow();
    await vi.waitFor(async () => expect(await viewersOf(run)).toBe(0));
  });

  test('[STR21] the socket of a reader that left is closed', async () => {
    const run = await start(newSession());
    const leaving = new AbortController();
    const gone = await SseReader.open(streamOf(run), { signal: leaving.signal });
    await vi.waitFor(() => expect(gone.names).toContain('caught_up'));
    expect(await viewersOf(run)).toBe(1);
    leaving.abort();
    await vi.waitFor(async () => expect(await viewersOf(run)).toBe(0));
  });
});

describe('refusals are HTTP responses', () => {
  const sse = (path: string, asking: Parameters<typeof ask>[2] = {}) =>
    ask('GET', path, { ...asking, headers: { ...asEvents, ...asking.headers } });

  test('[STR26] 400, 401, 404, 409 with head, 410 with earliest', async () => {
    const run = await start(newSession());
    await (await WrapperPeer.welcomed(run)).deliver(1, [output('x'), output('y')]);
    for (const query of ['?after=-1', '?after=1e3', '?tail=x', '?after=1&tail=1', '?flow=ack', '?types=', '?execution=..%2Fx']) {
      expectProblem(await sse(streamOf(run, query)), 'bad_request');
    }
    for (const id of ['x', '-1', '1.5', '9007199254740993', '1.end.end']) {
      expectProblem(await sse(streamOf(run), { headers: { 'last-event-id': id } }), 'bad_request');
    }
    expectProblem(await sse('/v1/sessions/a%2Fb/stream'), 'bad_request');
    const none = expectProblem(await sse(streamOf(run), { key: null }), 'unauthorized');
    expect(none.reason).toBe('credential_needed');
    expectProblem(await sse('/v1/sessions/never/stream'), 'session_not_found');
    expectProblem(await sse(streamOf(run, '?execution=never')), 'execution_not_found');
    expect(expectProblem(await sse(streamOf(run, '?after=6')), 'offset_ahead').head).toBe(5);
    expect(expectProblem(await sse(streamOf(run), { headers: { 'last-event-id': '6' } }), 'offset_ahead').head).toBe(5);
    await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.storage.sql.exec('DELETE FROM log WHERE first_offset < 3'));
    expect(expectProblem(await sse(streamOf(run, '?after=0')), 'offset_expired').earliest).toBe(4);
    const rest = await SseReader.open(streamOf(run, '?after=3'));
    await vi.waitFor(() => expect(rest.offsets).toEqual([4, 5]));
    await rest.reader.leave();
  });

  test('[STR26] a refused reader touches no session', async () => {
    const { SESSIONS, touched } = untouchable();
    const env = deployment({ SESSIONS });
    expectProblem(await sse('/v1/sessions/s/stream', { key: null, env }), 'unauthorized');
    expectProblem(await sse('/v1/sessions/s/stream?after=x', { env }), 'bad_request');
    expectProblem(await sse('/v1/sessions/s/stream', { env, headers: { origin: 'https://evil.example' } }), 'forbidden_origin');
    expect(touched).toEqual([]);
  });

  test('[STR16] a ticket reads what it names, and no more', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(run)).deliver(1, [output('x'), exit(0)]);
    const made = await api('POST', `/v1/sessions/${run.session}/tickets`, { body: { execution: 'e1', types: ['output'] } });
    const ticket = `ticket=${made.body.ticket}`;
    const reader = await SseReader.open(streamOf(run, `?${ticket}`), { key: null });
    await reader.reader.ended;
    expect(reader.names).toEqual(['output', 'caught_up', 'end']);
    for (const query of [`?${ticket}&types=exit`, `?${ticket}&execution=e2`]) {
      expect(expectProblem(await sse(streamOf(run, query), { key: null }), 'unauthorized').reason).toBe('ticket_scope');
    }
    expectProblem(await sse(`/v1/sessions/other/stream?${ticket}`, { key: null }), 'unauthorized');
  });

  test('without the header a request that is no upgrade still gets 426', async () => {
    const { session } = await start(newSession());
    for (const accept of ['*/*', 'text/html', 'text/event-streams']) {
      expectProblem(await ask('GET', streamOf({ session }), { headers: { accept } }), 'upgrade_required');
    }
    const answer = await ask('HEAD', streamOf({ session }), { headers: { accept: 'text/html, Text/Event-Stream;q=0.5' } });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
  });
});

describe('pages of other origins', () => {
  const env = deployment({ HOLDFAST_ALLOWED_ORIGINS: 'https://app.example' });
  const from = (origin: string, method = 'GET', headers: Record<string, string> = {}) =>
    ask(method, '/v1/sessions/never/stream', { headers: { ...asEvents, origin, ...headers }, env });

  test('[STR27] an allowed one sees the response, refusals too; any other is refused and sees nothing', async () => {
    const allowed = await from('https://app.example');
    expectProblem(allowed, 'session_not_found');
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(allowed.headers.get('vary')).toContain('Origin');
    const foreign = await from('https://evil.example');
    expectProblem(foreign, 'forbidden_origin');
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    expect((await read('/v1/sessions/never/stream', { headers: asEvents })).headers.get('access-control-allow-origin')).toBeNull();
  });

  test('[STR27] a preflight is answered without credential, for allowed origins and readers only', async () => {
    const asks = { 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' };
    const preflight = (origin: string, path = '/v1/sessions/s/stream') =>
      ask('OPTIONS', path, { key: null, headers: { origin, ...asks }, env });
    const allowed = await preflight('https://app.example');
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
    expect((await preflight('https://app.example', '/v1/sessions/s/executions/e/log')).status).toBe(204);
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();
    expectProblem(await preflight('https://app.example', '/v1/sessions/s/tickets'), 'unauthorized');
  });
});
