/**
 * A connection ends with its ticket (STR33): `exp` limits connecting, `until` the connection.
 * Method: tickets of the API, of today's signer and of 0.1.0, on the real objects; the clock is
 * set, and the alarm is run as the platform would, or not at all.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { SignJWT } from 'jose';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE, TICKET_UNTIL_SECONDS_DEFAULT, TICKET_UNTIL_SECONDS_MAX } from '../../../protocol/index.ts';
import { ask, expectProblem } from '../support/http.ts';
import {
  exit,
  newSession,
  output,
  putToSleep,
  type Run,
  start,
  stubOf,
  testEnv,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';
import { SseReader, TextReader } from '../support/readers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
/** A whole second, as the claims are. */
const begin = (): number => {
  const now = Math.ceil(Date.now() / 1000) * 1000;
  at(now);
  return now;
};
const ticketOf = async (session: string, body: object): Promise<string> => {
  const made = await ask('POST', `/v1/sessions/${session}/tickets`, { body });
  expect(made.status, made.text).toBe(201);
  return String(made.body.ticket);
};
const watch = (session: string, ticket: string, query = '') =>
  ViewerPeer.connect(session, `?ticket=${ticket}${query}`, { key: '' });
const over = { code: CLOSE.credentialRefused, reason: 'ticket_expired' };
const alarmOf = (session: string) => runInDurableObject(stubOf(session), (_, { storage }) => storage.getAlarm());

async function running(): Promise<{ run: Run; wrapper: WrapperPeer }> {
  const run = await start(newSession(), { id: 'e1' });
  const wrapper = await WrapperPeer.welcomed(run);
  await wrapper.deliver(1, [output('one\n')]);
  return { run, wrapper };
}

describe('a WebSocket', () => {
  test('[STR33] ends 4401 at `until`, by the alarm of the object, which may have hibernated', async () => {
    const now = begin();
    const { run } = await running();
    const viewer = await watch(run.session, await ticketOf(run.session, { ttlSeconds: 1, untilSeconds: 1 }));
    await viewer.until('caught_up');
    expect(await alarmOf(run.session)).toBeLessThanOrEqual(now + 1000);
    await putToSleep(stubOf(run.session));
    at(now + 1000);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await viewer.closed).toEqual(over);
  });

  test('[STR33] receives nothing more after that moment, also when the alarm is late', async () => {
    const now = begin();
    const { run, wrapper } = await running();
    const viewer = await watch(run.session, await ticketOf(run.session, { ttlSeconds: 1, untilSeconds: 1 }));
    await viewer.until('caught_up');
    at(now + 999);
    await wrapper.deliver(2, [output('in time\n')]);
    at(now + 1000);
    await wrapper.deliver(3, [output('too late\n')]);
    expect(await viewer.closed).toEqual(over);
    expect(viewer.events.map(({ data }) => data.text)).toContain('in time\n');
    expect(viewer.events.map(({ data }) => data.text)).not.toContain('too late\n');
  });

  test('[STR33] without `until` it lasts an hour longer than its ticket could connect', async () => {
    const now = begin();
    const { run, wrapper } = await running();
    const ticket = await ticketOf(run.session, { ttlSeconds: 60 });
    const viewer = await watch(run.session, ticket);
    await viewer.until('caught_up');
    at(now + 60_000);
    expect(await (await watch(run.session, ticket)).closed).toEqual(over);
    const end = now + (60 + TICKET_UNTIL_SECONDS_DEFAULT) * 1000;
    at(end - 1);
    await wrapper.deliver(2, [output('in time\n')]);
    expect(await viewer.until('events')).not.toBeNull();
    at(end);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await viewer.closed).toEqual(over);
  });

  test('[STR33] [VER1] also with a ticket of 0.1.0, which has no such claim', async () => {
    const now = begin();
    const { run } = await running();
    const sign = (claims: Record<string, unknown>) =>
      new SignJWT({ sid: run.session, ...claims })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuer('holdfast')
        .setAudience('holdfast.stream')
        .setSubject('acme')
        .setIssuedAt(now / 1000)
        .setExpirationTime(now / 1000 + 5)
        .sign(new TextEncoder().encode(testEnv.HOLDFAST_SIGNING_KEYS));
    const viewer = await watch(run.session, await sign({}));
    await viewer.until('caught_up');
    at(now + (5 + TICKET_UNTIL_SECONDS_DEFAULT) * 1000);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await viewer.closed).toEqual(over);

    at(now);
    // An unreadable claim does not permit an endless connection; an expired one opens nothing.
    for (const [until, reason] of [
      ['soon', 'ticket_invalid'],
      [null, 'ticket_invalid'],
      [now / 1000, 'ticket_expired'],
    ] as const) {
      expect(await (await watch(run.session, await sign({ until }))).closed).toEqual({ ...over, reason });
    }
  });

  test('[STR33] each ends at its own time, and one with an API key does not end', async () => {
    const now = begin();
    const { run } = await running();
    const tickets = await Promise.all([2, 1, 3].map((untilSeconds) => ticketOf(run.session, { ttlSeconds: 1, untilSeconds })));
    const viewers = await Promise.all(tickets.map((ticket) => watch(run.session, ticket)));
    const keyed = await ViewerPeer.connect(run.session);
    for (const viewer of [...viewers, keyed]) await viewer.until('caught_up');
    for (const seconds of [1, 2, 3]) {
      expect(await alarmOf(run.session)).toBeLessThanOrEqual(now + seconds * 1000);
      at(now + seconds * 1000);
      await runDurableObjectAlarm(stubOf(run.session));
    }
    for (const viewer of viewers) expect(await viewer.closed).toEqual(over);
    expect(
      await runInDurableObject(
        stubOf(run.session),
        (_, ctx) => ctx.getWebSockets('viewer').filter((ws) => ws.readyState === 1).length,
      ),
    ).toBe(1);
    keyed.close();
  });
});

describe('over HTTP', () => {
  test('[STR33] SSE and a followed log end too: the first as at any cut, the second aborted', async () => {
    const now = begin();
    const { run } = await running();
    const ticket = await ticketOf(run.session, { ttlSeconds: 1, untilSeconds: 1 });
    const base = `/v1/sessions/${run.session}`;
    const sse = await SseReader.open(`${base}/stream?ticket=${ticket}`, { key: null });
    const streams = await SseReader.open(`${base}/events?offset=-1&live=sse&ticket=${ticket}`, { key: null });
    const log = await TextReader.open(`${base}/executions/e1/log?follow=1&ticket=${ticket}`, { key: null });
    const poll = ask('GET', `${base}/events?offset=now&live=long-poll&ticket=${ticket}`, { key: null });
    await vi.waitFor(() => expect(sse.names).toContain('caught_up'));
    await vi.waitFor(() => expect(log.text).toContain('one'));
    await vi.waitFor(() => expect(streams.names).toContain('control'));
    await vi.waitFor(async () =>
      expect(await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.getWebSockets('viewer').length)).toBe(4),
    );
    at(now + 1000);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await sse.reader.ended).toBe('whole');
    expect(await streams.reader.ended).toBe('whole');
    expect(await log.ended).toBe('broken');
    expect((await poll).status).toBe(204);
    const again = await ask('GET', `${base}/stream?ticket=${ticket}`, { key: null, headers: { accept: 'text/event-stream' } });
    expect(expectProblem(again, 'unauthorized').reason).toBe('ticket_expired');
  });
});

describe('making one', () => {
  test('[HTTP21] `untilSeconds` is answered as `until`; without it the response is as before', async () => {
    const now = begin();
    const session = newSession();
    const path = `/v1/sessions/${session}/tickets`;
    const shared = await ask('POST', path, { body: { ttlSeconds: 300, untilSeconds: 300 } });
    expect(shared.body).toEqual({ ticket: expect.any(String), expiresAt: now + 300_000, until: now + 300_000 });
    expect((await ask('POST', path, { body: { ttlSeconds: 300 } })).body).toEqual({
      ticket: expect.any(String),
      expiresAt: now + 300_000,
    });
    expect((await ask('POST', path, { body: { ttlSeconds: 3600, untilSeconds: TICKET_UNTIL_SECONDS_MAX } })).status).toBe(201);
    for (const untilSeconds of [59, 0, -1, 1.5, '60', TICKET_UNTIL_SECONDS_MAX + 1]) {
      expect(expectProblem(await ask('POST', path, { body: { untilSeconds } }), 'bad_request').field).toBe('untilSeconds');
    }
  });
});

describe('caches', () => {
  test('[HTTP20] no cache stores a response to a ticket in the address', async () => {
    const { run, wrapper } = await running();
    await wrapper.deliver(2, [exit(0)]);
    const ticket = await ticketOf(run.session, {});
    const base = `/v1/sessions/${run.session}`;
    const paths: [string, string][] = [
      [`${base}/stream?execution=e1`, 'text/event-stream'],
      [`${base}/executions/e1/log?`, '*/*'],
      [`${base}/executions/e1/events?offset=-1`, '*/*'],
      [`${base}/executions/e1/events?offset=-1&live=sse`, '*/*'],
      [`${base}/executions/e1/events?offset=-1&live=long-poll`, '*/*'],
      [`${base}/executions/e1?`, '*/*'],
    ];
    for (const [path, accept] of paths) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(method, `${path}&ticket=${ticket}`, { key: null, headers: { accept } });
        expect([answer.status, answer.headers.get('cache-control')?.split(',')[0]], path).toEqual([200, 'no-store']);
      }
    }
  });

  test('[HTTP20] a response over https tells browsers to stay on https', async () => {
    expect((await ask('GET', '/v1/sessions')).headers.get('strict-transport-security')).toBe('max-age=31536000');
  });
});
