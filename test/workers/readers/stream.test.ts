/**
 * Reading a session over WebSocket (PROTOCOL.md, STR rules; guarantee G2).
 * Method: a viewer collects frames, and what it received is compared with the log, offset by
 * offset.
 */

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { CLOSE, encodeEventsFrame, STREAM_SUBPROTOCOL, VIEWER_WINDOW_BYTES } from '../../../protocol/index.ts';
import { fill } from '../support/fill.ts';
import {
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
  texts,
  typesOf,
  upgrade,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

describe('replay', () => {
  let session: string;
  let log: Seen[];

  beforeAll(async () => {
    session = newSession();
    const peer = await fill(await start(session), 996);
    await peer.deliver(997, [exit(0)]);
    await peer.closed;
    log = await readLog(session);
  });

  test('[G2] from offsets all over a log of 1,000 events gives exactly what follows it', async () => {
    expect(log.map(({ offset }) => offset)).toEqual(Array.from({ length: 1001 }, (_, index) => index + 1));
    // stream-offsets.long.test.ts covers every offset.
    const offsets = [0, 1, 2, 3, ...Array.from({ length: 20 }, (_, index) => 40 + index * 47), log.length - 1, log.length];
    for (const after of offsets) {
      const viewer = await ViewerPeer.connect(session, `?after=${after}`);
      expect(await viewer.until('caught_up')).toEqual({ type: 'caught_up', offset: log.length });
      expect(viewer.offsets).toEqual(log.slice(after).map(({ offset }) => offset));
      expect(viewer.events).toEqual(log.slice(after));
      viewer.close();
    }
  });

  test('[STR] the hello describes the log before anything else is sent', async () => {
    const viewer = await ViewerPeer.connect(session);
    expect(await viewer.next()).toMatchObject({
      type: 'hello',
      session,
      earliest: 1,
      head: 1001,
      executions: [{ status: 'completed' }],
    });
  });

  test('[STR] tail=K gives the last K, and all when there are fewer', async () => {
    for (const [tail, expected] of [
      [0, 0],
      [1, 1],
      [10, 10],
      [1001, 1001],
      [5000, 1001],
    ]) {
      const viewer = await ViewerPeer.connect(session, `?tail=${tail}`);
      await viewer.until('caught_up');
      expect(viewer.offsets).toEqual(log.slice(log.length - (expected ?? 0)).map(({ offset }) => offset));
    }
  });

  test('[STR] types= leaves holes, and the frame lists its offsets', async () => {
    const viewer = await ViewerPeer.connect(session, '?types=exit,execution_completed,wrapper_connected');
    expect(await viewer.until('caught_up')).toMatchObject({ offset: 1001 });
    expect(viewer.events.map(({ offset, type }) => [offset, type])).toEqual([
      [2, 'wrapper_connected'],
      [1000, 'exit'],
      [1001, 'execution_completed'],
    ]);
  });

  test('[STR] an execution that has ended: events, caught_up, end, then close 1000', async () => {
    const [{ execution } = { execution: '' }] = log;
    for (const after of [0, 500, 1001]) {
      const viewer = await ViewerPeer.connect(session, `?execution=${execution}&after=${after}`);
      expect(await viewer.closed).toMatchObject({ code: CLOSE.done });
      expect(viewer.received.slice(-2)).toEqual([
        { type: 'caught_up', offset: 1001 },
        { type: 'end', execution, status: 'completed' },
      ]);
    }
  });

  test('[STR] flow=ack keeps at most the window in flight, and continues with the acks', async () => {
    const big = newSession();
    const run = await start(big);
    await fill(run, 120, (n) => `${n} ${'x'.repeat(40_000)}\n`);
    const viewer = await ViewerPeer.connect(big, '?flow=ack');
    await viewer.until('events');
    await scheduler.wait(200);
    const bytes = () => viewer.events.reduce((sum, { data }) => sum + String(data.text ?? '').length, 0);
    expect(bytes()).toBeGreaterThan(VIEWER_WINDOW_BYTES / 2);
    expect(bytes()).toBeLessThan(VIEWER_WINDOW_BYTES + 7 * 41_000);
    await putToSleep(stubOf(big));
    await vi.waitFor(
      () => {
        viewer.send(JSON.stringify({ type: 'ack', offset: viewer.offsets.at(-1) }));
        expect(viewer.received.at(-1)).toMatchObject({ type: 'caught_up' });
      },
      { timeout: 10_000, interval: 20 },
    );
    expect(viewer.offsets).toEqual((await readLog(big)).map(({ offset }) => offset));
  });
});

describe('live', () => {
  test('[G2] a viewer sees each event once, whether it came before, during or after the replay', async () => {
    const run = await start(newSession());
    const peer = await fill(run, 50);
    const viewers = await Promise.all([ViewerPeer.connect(run.session), ViewerPeer.connect(run.session, '?flow=ack&after=20')]);
    for (let seq = 51; seq <= 100; seq += 1) await peer.deliver(seq, [output(`line ${seq}\n`)]);
    await peer.deliver(101, [exit(0)]);
    for (const viewer of viewers) await viewer.until('end');
    const log = await readLog(run.session);
    expect(viewers[0]?.events).toEqual(log);
    expect(viewers[1]?.events).toEqual(log.slice(20));
  });

  test('[STR] end follows the verdict for every viewer; only the one that asked for the execution is closed', async () => {
    const run = await start(newSession());
    const all = await ViewerPeer.connect(run.session);
    const one = await ViewerPeer.connect(run.session, `?execution=${run.execution.id}`);
    const other = await start(run.session, { onBusy: 'queue' });
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [exit(3)]);
    expect(await one.closed).toMatchObject({ code: CLOSE.done });
    expect(one.received.at(-1)).toEqual({ type: 'end', execution: run.execution.id, status: 'failed' });
    expect(await all.until('end')).toEqual({ type: 'end', execution: run.execution.id, status: 'failed' });
    const types = typesOf(all.events);
    await vi.waitFor(() => expect(all.events.at(-1)).toMatchObject({ type: 'execution_pending', execution: other.execution.id }));
    expect(types.indexOf('execution_failed')).toBeGreaterThan(types.indexOf('exit'));
    expect(typesOf(one.events)).not.toContain('execution_queued');
  });

  test('[G2] after hibernation a live viewer continues with the next event', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const plain = await ViewerPeer.connect(run.session);
    const flow = await ViewerPeer.connect(run.session, '?flow=ack&types=output');
    await Promise.all([plain.until('caught_up'), flow.until('caught_up')]);
    for (let seq = 1; seq <= 10; seq += 1) {
      await putToSleep(stubOf(run.session));
      expect(await peer.deliver(seq, [output(`${seq}\n`)])).toEqual({ type: 'ack', seq });
    }
    const log = await readLog(run.session);
    await vi.waitFor(() => expect(plain.events).toEqual(log));
    await vi.waitFor(() => expect(texts(flow.events)).toBe('1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n'));
  });
});

describe('refusals are an accepted socket that closes with a code', () => {
  const refused = async (session: string, query: string, options: Parameters<typeof ViewerPeer.connect>[2] = {}) => {
    const viewer = await ViewerPeer.connect(session, query, options);
    const closed = await viewer.closed;
    expect(viewer.received).toEqual([]);
    return closed;
  };
  let run: Run;
  beforeAll(async () => {
    run = await start(newSession());
  });

  test.each([
    '?after=-1',
    '?after=1e3',
    '?after=01',
    '?after=',
    '?after=9007199254740993',
    '?tail=x',
    '?after=1&tail=1',
    '?flow=yes',
    '?types=',
    '?types=a,,b',
    '?types=%3Cb%3E',
    '?execution=../x',
  ])('[STR] %s closes 4400', async (query) => expect(await refused(run.session, query)).toMatchObject({ code: CLOSE.badFrame }));

  test('[STR] an offset ahead of the log closes 4410 offset_ahead; the head itself is fine', async () => {
    expect(await refused(run.session, '?after=2')).toEqual({ code: CLOSE.offsetUnavailable, reason: 'offset_ahead' });
    const viewer = await ViewerPeer.connect(run.session, '?after=1');
    expect(await viewer.until('caught_up')).toEqual({ type: 'caught_up', offset: 1 });
  });

  test('[STR] an unknown session or execution closes 4404, and asking does not create it', async () => {
    expect(await refused('never-started', '')).toEqual({ code: CLOSE.notFound, reason: 'session_not_found' });
    expect(await refused(run.session, '?execution=unknown')).toEqual({ code: CLOSE.notFound, reason: 'execution_not_found' });
    expect((await api('GET', '/v1/sessions/never-started')).body).toMatchObject({ code: 'session_not_found' });
  });

  test('[STR] credentials: absent, a wrong key, another tenant', async () => {
    expect(await refused(run.session, '', { key: '' })).toMatchObject({ code: CLOSE.credentialRefused });
    expect(await refused(run.session, '', { key: 'no-such-key-at-all-here' })).toMatchObject({ code: CLOSE.credentialRefused });
    expect(await refused(run.session, '', { key: 'globex-key-0123456789abcdef' })).toMatchObject({ code: CLOSE.notFound });
  });

  test('[STR] a foreign origin', async () => {
    const response = await upgrade(`${ORIGIN}/v1/sessions/${run.session}/stream`, { origin: 'https://evil.example' });
    const closed = new Promise((resolve) =>
      response.webSocket?.addEventListener('close', ({ code, reason }) => resolve({ code, reason })),
    );
    response.webSocket?.accept();
    expect(await closed).toEqual({ code: CLOSE.credentialRefused, reason: 'forbidden_origin' });
  });

  test('[STR] anything but an ack closes 4400', async () => {
    for (const frame of ['hello', '{"type":"ack","offset":-1}', '{"type":"ack","offset":99999}', '{"type":"events"}']) {
      const viewer = await ViewerPeer.connect(run.session);
      await viewer.until('caught_up');
      viewer.send(frame);
      expect(await viewer.closed).toMatchObject({ code: CLOSE.badFrame });
    }
  });

  test('without an upgrade it is 426', async () => {
    expect(await api('GET', `/v1/sessions/${run.session}/stream`)).toMatchObject({
      status: 426,
      body: { code: 'upgrade_required' },
    });
  });
});

describe('tickets', () => {
  const ticketFor = async (session: string, body: unknown) =>
    String((await api('POST', `/v1/sessions/${session}/tickets`, { body })).body.ticket);

  test('[STR] a ticket reads its session, as query and as subprotocol', async () => {
    const run = await start(newSession());
    const ticket = await ticketFor(run.session, {});
    const byQuery = await ViewerPeer.connect(run.session, `?ticket=${ticket}`, { key: '' });
    expect(await byQuery.until('caught_up')).toMatchObject({ offset: 1 });
    const byProtocol = await ViewerPeer.connect(run.session, '', {
      key: '',
      protocols: `${STREAM_SUBPROTOCOL}, holdfast.ticket.${ticket}`,
    });
    expect(await byProtocol.until('caught_up')).toMatchObject({ offset: 1 });
  });

  test('[STR] a ticket opens no other session, is no API key, and ends', async () => {
    const run = await start(newSession());
    const other = await start(newSession());
    const ticket = await ticketFor(run.session, { ttlSeconds: 60 });
    const foreign = await ViewerPeer.connect(other.session, `?ticket=${ticket}`, { key: '' });
    expect(await foreign.closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_invalid' });
    expect((await api('POST', `/v1/sessions/${run.session}/tickets`, { key: ticket })).status).toBe(401);
    vi.useFakeTimers({ now: Date.now() + 61_000, toFake: ['Date'] });
    const late = await ViewerPeer.connect(run.session, `?ticket=${ticket}`, { key: '' });
    vi.useRealTimers();
    expect(await late.closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_expired' });
  });

  test('[STR] a ticket for one execution and some types opens no more', async () => {
    const run = await start(newSession());
    const ticket = await ticketFor(run.session, { execution: run.execution.id, types: ['output'] });
    const peer = await WrapperPeer.welcomed(run);
    peer.send(encodeEventsFrame(1, 1, JSON.stringify(output('seen\n'))));
    await peer.next();
    const viewer = await ViewerPeer.connect(run.session, `?ticket=${ticket}`, { key: '' });
    await viewer.until('caught_up');
    expect(typesOf(viewer.events)).toEqual(['output']);
    const more = await ViewerPeer.connect(run.session, `?ticket=${ticket}&types=output,exit`, { key: '' });
    expect(await more.closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_scope' });
  });
});
