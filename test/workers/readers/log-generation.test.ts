/**
 * The generation of a log (STR29 to STR32): a session that is deleted and created again under its
 * name has another log, and a reader of the old log must not continue in the new one.
 * Method: the real objects. A reader receives 10 events, the session is deleted and created again
 * with more events than that, and the reader returns with its old offset, over every way of
 * reading.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE } from '../../../protocol/index.ts';
import { ask, expectProblem } from '../support/http.ts';
import {
  callsOf,
  exit,
  newSession,
  output,
  putToSleep,
  type Run,
  start,
  stubOf,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';
import { read, SseReader, TextReader } from '../support/readers.ts';

afterEach(() => void vi.useRealTimers());

const lines = (name: string, count: number) => Array.from({ length: count }, (_, i) => output(`${name} ${i + 1}\n`));

/** A session with one running execution `e1` and more than 10 events. */
async function fill(session: string, name: string): Promise<{ run: Run; wrapper: WrapperPeer }> {
  const run = await start(session, { id: 'e1' });
  const wrapper = await WrapperPeer.welcomed(run);
  await wrapper.deliver(1, lines(name, 20));
  return { run, wrapper };
}

const generationOf = async (session: string): Promise<string> => {
  const viewer = await ViewerPeer.connect(session, '?after=0');
  const hello = await viewer.until('hello');
  viewer.close();
  return hello?.generation ?? '';
};

const remove = async (session: string): Promise<void> => {
  expect((await ask('DELETE', `/v1/sessions/${session}`)).status).toBe(204);
};

/** Deleted and created again, while a reader that has 10 events was away. */
async function replaced(): Promise<{ session: string; old: string; now: string; wrapper: WrapperPeer }> {
  const session = newSession();
  await fill(session, 'old');
  const old = await generationOf(session);
  await remove(session);
  const { wrapper } = await fill(session, 'new');
  return { session, old, now: await generationOf(session), wrapper };
}

describe('the generation', () => {
  test('[STR29] the hello has it: the time at which the session was created, in base 36', async () => {
    const session = newSession();
    await fill(session, 'x');
    const { body } = await ask('GET', `/v1/sessions/${session}`);
    expect(await generationOf(session)).toBe(Number(body.createdAt).toString(36));
  });

  test('[STR29] a session that is deleted and created again within one millisecond has another one', async () => {
    vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
    const session = newSession();
    const seen = new Set<string>();
    for (let time = 0; time < 3; time += 1) {
      await start(session, { id: 'e1', launcher: 'none' });
      seen.add(await generationOf(session));
      await remove(session);
    }
    expect(seen.size).toBe(3);
  });

  test('[STR29] also when the object was evicted in between and its directory could not be updated', async () => {
    vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
    const session = newSession();
    await start(session, { id: 'e1', launcher: 'none' });
    const old = await generationOf(session);
    // The directory has a newer version, so it does not accept the session's update at once, and
    // the outbox row stays.
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      storage.transactionSync(() => {
        for (const table of ['executions', 'commands', 'log', 'meta']) storage.sql.exec(`DELETE FROM ${table}`);
        storage.sql.exec('UPDATE outbox SET version = version + 1');
      });
    });
    await putToSleep(stubOf(session));
    await start(session, { id: 'e1', launcher: 'none' });
    expect(await generationOf(session)).not.toBe(old);
  });
});

describe('a reader that comes back after its session was created again', () => {
  test('[STR30] WebSocket: 4410 log_replaced, whatever offset it sends', async () => {
    const { session, old } = await replaced();
    for (const place of [
      'after=10',
      'after=0',
      'tail=5',
      'after=10&execution=e1&flow=ack',
      'after=999999',
      'after=10&execution=gone',
    ]) {
      const viewer = await ViewerPeer.connect(session, `?${place}&generation=${old}`);
      expect(await viewer.closed, place).toEqual({ code: CLOSE.offsetUnavailable, reason: 'log_replaced' });
      expect(viewer.received).toEqual([]);
    }
  });

  test('[STR30] with the right one it continues, and without one nothing is checked', async () => {
    const { session, now } = await replaced();
    for (const query of [`?after=10&generation=${now}`, '?after=10']) {
      const viewer = await ViewerPeer.connect(session, query);
      await viewer.until('caught_up');
      expect(viewer.offsets[0]).toBe(11);
    }
  });

  test('[STR30] an invalid generation is 4400 over WebSocket and 400 over HTTP', async () => {
    const { session } = await replaced();
    for (const bad of ['', 'A', 'a.b', 'x'.repeat(12)]) {
      const viewer = await ViewerPeer.connect(session, `?generation=${bad}`);
      expect((await viewer.closed).code).toBe(CLOSE.badFrame);
      for (const path of ['stream', 'events', 'executions/e1/log']) {
        const headers = path === 'stream' ? { accept: 'text/event-stream' } : {};
        const answer = await ask('GET', `/v1/sessions/${session}/${path}?generation=${bad}`, { headers });
        expect(expectProblem(answer, 'bad_request').field).toBe('generation');
      }
    }
  });

  test('[STR30] a deleted session is reported as deleted, as without a generation', async () => {
    const session = newSession();
    await fill(session, 'x');
    const old = await generationOf(session);
    await remove(session);
    const viewer = await ViewerPeer.connect(session, `?after=10&generation=${old}`);
    expect(await viewer.closed).toEqual({ code: CLOSE.notFound, reason: 'session_not_found' });
    expectProblem(await ask('GET', `/v1/sessions/${session}/events?offset=0000000000000010_${old}`), 'session_not_found');
  });

  test('[STR31] SSE: ids contain the generation; 410 log_replaced for one of the old log; plain ids continue', async () => {
    const { session, old, now } = await replaced();
    const path = `/v1/sessions/${session}/stream`;
    const reader = await SseReader.open(`${path}?after=10`);
    await vi.waitFor(() => expect(reader.names).toContain('caught_up'));
    expect(reader.events.map(({ id }) => id)).toEqual(reader.events.map(({ data }) => `${data.offset}@${now}`));
    await reader.reader.leave();

    const accept = { accept: 'text/event-stream' };
    const refused = [
      await ask('GET', path, { headers: { ...accept, 'last-event-id': `10@${old}` } }),
      await ask('GET', `${path}?after=10&generation=${old}`, { headers: accept }),
      // The id is newer than the address.
      await ask('GET', `${path}?after=0&generation=${now}`, { headers: { ...accept, 'last-event-id': `10@${old}` } }),
      await ask('GET', `${path}?after=0&generation=${old}`, { headers: { ...accept, 'last-event-id': '10' } }),
    ];
    for (const answer of refused) expect(expectProblem(answer, 'log_replaced').generation).toBe(now);

    for (const id of ['10', `10@${now}`]) {
      const resumed = await SseReader.open(path, { headers: { 'last-event-id': id } });
      await vi.waitFor(() => expect(resumed.names).toContain('caught_up'));
      expect(resumed.events[0]?.data.offset).toBe(11);
      await resumed.reader.leave();
    }
  });

  test('[STR25] [STR31] the id of the last end has a generation too, and a reader that returns with it is answered 204', async () => {
    const { session, now, wrapper } = await replaced();
    await wrapper.deliver(21, [exit(0)]);
    const path = `/v1/sessions/${session}/stream?execution=e1`;
    const reader = await SseReader.open(path);
    await reader.reader.ended;
    const id = reader.events.at(-1)?.id ?? '';
    expect(id).toMatch(new RegExp(`^\\d+@${now}\\.end$`));
    for (const seen of [id, '25.end']) {
      const again = await ask('GET', path, { headers: { accept: 'text/event-stream', 'last-event-id': seen } });
      expect(again.status).toBe(204);
    }
  });

  test('[STR32] Durable Streams: offsets contain the generation, for catch-up, long poll and SSE; 410 log_replaced', async () => {
    const { session, old, now, wrapper } = await replaced();
    await wrapper.deliver(21, [exit(0)]);
    for (const path of [`/v1/sessions/${session}/events`, `/v1/sessions/${session}/executions/e1/events`]) {
      for (const offset of ['-1', 'now', '0000000000000010', `0000000000000010_${now}`]) {
        const next = (await ask('GET', `${path}?offset=${offset}`)).headers.get('stream-next-offset') ?? '';
        expect(next).toMatch(new RegExp(`^\\d{16}_${now}$`));
        const head = await ask('HEAD', `${path}?offset=${offset}`);
        expect(head.headers.get('stream-next-offset')).toMatch(new RegExp(`^\\d{16}_${now}$`));
      }
      for (const live of ['', '&live=long-poll', '&live=sse']) {
        const answer = await ask('GET', `${path}?offset=0000000000000010_${old}${live}`);
        expect(expectProblem(answer, 'log_replaced').generation).toBe(now);
      }
      expect((await ask('HEAD', `${path}?offset=0000000000000010_${old}`)).status).toBe(410);
      expectProblem(await ask('GET', `${path}?offset=0000000000000010&generation=${old}`), 'log_replaced');
    }
    const gone = await ask('GET', `/v1/sessions/${session}/executions/gone/events?offset=0000000000000010_${old}`);
    expectProblem(gone, 'log_replaced');
    const live = await TextReader.open(`/v1/sessions/${session}/executions/e1/events?offset=-1&live=sse`);
    await live.ended;
    expect(live.text).toMatch(new RegExp(`"streamNextOffset":"\\d{16}_${now}"`));
  });

  test('[STR32] the client of version 0.1.0, which requests only JSON and accepts only digits, receives only digits', async () => {
    const { session } = await replaced();
    const answer = await read(`/v1/sessions/${session}/events?offset=-1`, { headers: { accept: 'application/json' } });
    expect(answer.headers.get('stream-next-offset')).toMatch(/^\d{16}$/);
    await answer.body?.cancel();
  });

  test('[STR30] log: 410, and a followed one is cut when its session is created again', async () => {
    const { session, old, now } = await replaced();
    const path = `/v1/sessions/${session}/executions/e1/log`;
    expectProblem(await ask('GET', `${path}?generation=${old}`), 'log_replaced');
    const reader = await TextReader.open(`${path}?follow=1&generation=${now}`);
    await vi.waitFor(() => expect(reader.text).toContain('new 20'));
    await remove(session);
    await fill(session, 'third');
    expect(await reader.ended).toBe('broken');
    expect(reader.text).not.toContain('third');
  });

  test('[STR30] RPC: readEvents returns the log that it read, and refuses another', async () => {
    const { session, old, now } = await replaced();
    const page = await callsOf(session).readEvents({ after: 10, limit: 2, generation: now });
    expect(page).toMatchObject({ ok: true, generation: now });
    const refused = await callsOf(session).readEvents({ after: 10, limit: 2, generation: old });
    expect(refused).toMatchObject({ ok: false, code: 'log_replaced', facts: { generation: now } });
  });
});
