/**
 * The ingest protocol, rule by rule (PROTOCOL.md, ING1–ING10), with a wrapper that the test steers,
 * against the real object.
 * Method: after each refusal the log is read back, because "changes nothing" is half of every rule.
 */

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE, FRAME_BYTES_MAX, UNBOUND_SOCKETS_MAX } from '../../../protocol/index.ts';
import {
  api,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  readLog,
  start,
  stubOf,
  texts,
  typesOf,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

describe('ING1: hello comes first, and soon', () => {
  test('[ING1] any other frame before it closes 4400 and stores nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.connect(run);
    peer.events(1, [output('early\n')]);
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
    expect(typesOf(await readLog(run.session))).toEqual(['execution_pending']);
    expect((await get(run)).status).toBe('pending');
  });

  test('[ING1] a second hello on the same socket closes 4400', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    peer.sayHello();
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
  });

  test('[ING1] silence closes 4408 after ten seconds, also when the object slept meanwhile', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.connect(run);
    await putToSleep(stubOf(run.session));
    const now = Date.now();
    vi.useFakeTimers({ now: now + 9_000, toFake: ['Date'] });
    await runDurableObjectAlarm(stubOf(run.session));
    vi.setSystemTime(now + 10_500);
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await peer.closed).toMatchObject({ code: CLOSE.helloTimeout });
  });

  test('[ING1] more silent sockets than allowed close the oldest', async () => {
    const run = await start(newSession());
    const peers: WrapperPeer[] = [];
    for (let count = 0; count <= UNBOUND_SOCKETS_MAX; count += 1) peers.push(await WrapperPeer.connect(run));
    const [oldest, ...rest] = peers;
    expect(await oldest?.closed).toMatchObject({ code: CLOSE.tooManyConnections });
    expect(rest.every(({ ws }) => ws.readyState === WebSocket.READY_STATE_OPEN)).toBe(true);
  });
});

describe('ING2: the first hello binds the wrapper', () => {
  test('[ING2] another wrapper is refused with 4409 and the first is not disturbed', async () => {
    const run = await start(newSession());
    const first = await WrapperPeer.welcomed(run);
    const second = await WrapperPeer.hello(run, { wrapperId: 'w_2' });
    expect(await second.closed).toMatchObject({ code: CLOSE.claimed });
    expect(await first.deliver(1, [output('still here\n')])).toEqual({ type: 'ack', seq: 1 });
  });

  test('[ING2] however long the first has been away', async () => {
    const run = await start(newSession());
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await first.closed;
    await putToSleep(stubOf(run.session));
    const second = await WrapperPeer.hello(run, { wrapperId: 'w_2' });
    expect(await second.closed).toMatchObject({ code: CLOSE.claimed });
    expect((await get(run)).status).toBe('running');
  });
});

describe('ING3: an accepted hello takes over', () => {
  test('[ING3] it raises the epoch, moves pending to running, and returns the next seq', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.hello(run);
    expect(await peer.next()).toMatchObject({
      type: 'welcome',
      protocol: 1,
      epoch: 1,
      ackedSeq: 0,
      commands: [],
      policy: run.execution.policy,
    });
    expect(await get(run)).toMatchObject({ status: 'running', epoch: 1, connected: true });
    expect(typesOf(await readLog(run.session))).toEqual(['execution_pending', 'wrapper_connected', 'execution_running']);
  });

  test('[ING3] the older socket closes 4001, which starts no grace', async () => {
    const run = await start(newSession());
    const first = await WrapperPeer.welcomed(run);
    await first.deliver(1, [output('a\n')]);
    const second = await WrapperPeer.hello(run, { nextSeq: 4 });
    expect(await second.next()).toMatchObject({ type: 'welcome', epoch: 2, ackedSeq: 1 });
    expect(await first.closed).toMatchObject({ code: CLOSE.superseded });
    expect(await get(run)).toMatchObject({ connected: true, epoch: 2 });
    const events = await readLog(run.session);
    expect(typesOf(events)).not.toContain('wrapper_disconnected');
    expect(events.at(-1)).toMatchObject({
      type: 'wrapper_reconnected',
      data: { epoch: 2, ackedSeq: 1, bufferedEvents: 2, eventsLost: 0 },
    });
  });

  test('[ING3] reconnecting within the grace ends it', async () => {
    const run = await start(newSession(), { policy: { disconnectGraceMs: 30_000 } });
    const first = await WrapperPeer.welcomed(run);
    first.close(1001, 'gone');
    await first.closed;
    await vi.waitFor(async () => expect(await get(run)).toMatchObject({ connected: false }));
    const disconnected = (await readLog(run.session)).at(-1);
    expect(disconnected).toMatchObject({
      type: 'wrapper_disconnected',
      data: { reason: 'closed', wsCloseCode: 1001, wsCloseReason: 'gone' },
    });
    await WrapperPeer.welcomed(run);
    vi.useFakeTimers({ now: Date.now() + 40_000, toFake: ['Date'] });
    await runDurableObjectAlarm(stubOf(run.session));
    vi.useRealTimers();
    const after = await get(run);
    expect(after.status).toBe('running');
    expect(after.graceUntil).toBeUndefined();
  });
});

test('[ING4] frames of a lower epoch are ignored', async () => {
  const run = await start(newSession());
  const old = await WrapperPeer.welcomed(run);
  // The test keeps the old socket open: its close is never answered, as with a stalled network.
  await runInDurableObject(stubOf(run.session), async (instance, state) => {
    const [socket] = state.getWebSockets('ingest');
    if (!socket) throw new Error('no socket');
    const fresh = await WrapperPeer.welcomed(run);
    instance.webSocketMessage(socket, `{"type":"events","seq":1,"count":1}\n${JSON.stringify(output('stale\n'))}`);
    expect(await fresh.deliver(1, [output('fresh\n')])).toEqual({ type: 'ack', seq: 1 });
  });
  expect(texts(await readLog(run.session))).toBe('fresh\n');
  expect(await old.closed).toMatchObject({ code: CLOSE.superseded });
});

describe('ING5: what is stored, acked and refused by seq', () => {
  test('[ING5] a duplicate is acked again and never stored', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    expect(await peer.deliver(1, [output('a\n'), output('b\n')])).toEqual({ type: 'ack', seq: 2 });
    expect(await peer.deliver(1, [output('a\n'), output('b\n')])).toEqual({ type: 'ack', seq: 2 });
    expect(await peer.deliver(2, [output('b\n')])).toEqual({ type: 'ack', seq: 2 });
    expect(texts(await readLog(run.session))).toBe('a\nb\n');
  });

  test('[ING5] of an overlap only the unknown rest is stored', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('1\n'), output('2\n')]);
    expect(await peer.deliver(2, [output('2\n'), output('3\n'), output('4\n')])).toEqual({ type: 'ack', seq: 4 });
    expect(texts(await readLog(run.session))).toBe('1\n2\n3\n4\n');
  });

  test('[ING5] a hole is refused with the seq that is expected', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('1\n')]);
    expect(await peer.deliver(3, [output('3\n')])).toEqual({ type: 'nack', expected: 2 });
    expect(await peer.deliver(Number.MAX_SAFE_INTEGER, [output('far\n')])).toEqual({ type: 'nack', expected: 2 });
    expect(texts(await readLog(run.session))).toBe('1\n');
  });

  test('[ING5] the same after the object was evicted: the acked seq is read from the log', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('1\n'), output('2\n'), output('3\n')]);
    await putToSleep(stubOf(run.session));
    expect(await peer.deliver(2, [output('2\n'), output('3\n'), output('4\n')])).toEqual({ type: 'ack', seq: 4 });
    expect(texts(await readLog(run.session))).toBe('1\n2\n3\n4\n');
  });
});

test('[ING6] an acked event is in the table when the ack arrives, and a viewer does not see it earlier', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  expect(await peer.deliver(1, [output('durable\n')])).toEqual({ type: 'ack', seq: 1 });
  const stored = await runInDurableObject(stubOf(run.session), (_, { storage }) =>
    storage.sql.exec<{ body: string }>('SELECT body FROM log WHERE first_seq = 1').toArray(),
  );
  expect(stored).toEqual([{ body: JSON.stringify(output('durable\n')) }]);
});

describe('ING7: a settled execution', () => {
  test('[ING7] closes 4000 with its status after the terminal event was acked', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    expect(await peer.deliver(1, [output('done\n'), exit(0)])).toEqual({ type: 'ack', seq: 2 });
    expect(await peer.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"completed"}' });
    const events = await readLog(run.session);
    expect(typesOf(events).slice(-2)).toEqual(['exit', 'execution_completed']);
    expect(typesOf(events)).not.toContain('wrapper_disconnected');
  });

  test('[ING7] meets a wrapper that comes back with 4000 at once', async () => {
    const run = await start(newSession());
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/fail`, {
      body: { code: 'gave_up', message: 'no more' },
    });
    const peer = await WrapperPeer.connect(run);
    expect(await peer.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"failed"}' });
  });
});

describe('ING8: a bad frame closes 4400 and stores nothing', () => {
  const line = JSON.stringify(output('x\n'));
  const bad: [string, string | Uint8Array][] = [
    ['is not JSON', '{"type":'],
    ['is empty', ''],
    ['is no object', '[1,2]'],
    ['has no known type', '{"type":"telemetry"}'],
    ['has an event line that is not JSON', '{"type":"events","seq":1,"count":1}\n{"type"'],
    ['has fewer lines than its count', `{"type":"events","seq":1,"count":2}\n${line}`],
    ['has more lines than its count', `{"type":"events","seq":1,"count":1}\n${line}\n${line}`],
    ['has count 0', '{"type":"events","seq":1,"count":0}'],
    ['has a negative seq', `{"type":"events","seq":-1,"count":1}\n${line}`],
    ['has seq 0', `{"type":"events","seq":0,"count":1}\n${line}`],
    ['has a fractional seq', `{"type":"events","seq":1.5,"count":1}\n${line}`],
    ['has a seq past the safe integers', `{"type":"events","seq":9007199254740993,"count":1}\n${line}`],
    ['has a seq that its count carries past them', `{"type":"events","seq":9007199254740991,"count":2}\n${line}\n${line}`],
    ['has an event without data', '{"type":"events","seq":1,"count":1}\n{"type":"output","at":1}'],
    [
      'has a type that only the coordinator writes',
      '{"type":"events","seq":1,"count":1}\n{"type":"execution_completed","at":1,"data":{}}',
    ],
    ['has a terminal fact before its last event', `{"type":"events","seq":1,"count":2}\n${JSON.stringify(exit(0))}\n${line}`],
    ['is binary', new TextEncoder().encode(`{"type":"events","seq":1,"count":1}\n${line}`)],
    ['has 2 MB', `{"type":"events","seq":1,"count":1}\n${JSON.stringify(output('x'.repeat(2_000_000)))}`],
  ];
  test.each(bad)('[ING8] one that %s', async (_, frame) => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('before\n')]);
    peer.send(frame);
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
    expect(texts(await readLog(run.session))).toBe('before\n');
    const events = await readLog(run.session);
    expect(events.at(-1)).toMatchObject({
      type: 'wrapper_disconnected',
      data: { reason: 'bad_frame', wsCloseCode: CLOSE.badFrame },
    });
    const again = await WrapperPeer.hello(run, { nextSeq: 2 });
    expect(await again.next()).toMatchObject({ type: 'welcome', ackedSeq: 1 });
  });

  test('[ING8] the limit is exact: a frame of 512 KiB is accepted, one byte more is not', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const frame = (bytes: number): string => {
      const empty = `{"type":"events","seq":1,"count":1}\n${JSON.stringify(output(''))}`;
      return empty.replace('"text":""', `"text":"${'x'.repeat(bytes - empty.length)}"`);
    };
    peer.send(frame(FRAME_BYTES_MAX));
    expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
    peer.send(frame(FRAME_BYTES_MAX + 1).replace('"seq":1', '"seq":2'));
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
  });
});

describe('ING9: commands are rows', () => {
  const interrupt = (run: { session: string; execution: { id: string } }, body: unknown = {}) =>
    api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body });

  test('[ING9] sent at once when connected, and again in each welcome until acked', async () => {
    const run = await start(newSession());
    const first = await WrapperPeer.welcomed(run);
    expect(await interrupt(run, { reason: 'enough' })).toMatchObject({ status: 202, body: { settled: false } });
    const command = await first.next();
    expect(command).toMatchObject({
      type: 'command',
      command: 'interrupt',
      data: { signal: 'SIGINT', forceAfterMs: 20_000, reason: 'enough' },
    });
    first.close();
    const second = await WrapperPeer.hello(run);
    const welcome = await second.next();
    if (welcome === null || welcome === 'pong' || welcome.type !== 'welcome') throw new Error('no welcome');
    expect(welcome.commands).toHaveLength(1);
    const [{ id } = { id: 0 }] = welcome.commands;
    expect(command).toMatchObject({ id });
    second.send(JSON.stringify({ type: 'command_ack', id }));
    second.close();
    await second.closed;
    const third = await WrapperPeer.hello(run);
    expect(await third.next()).toMatchObject({ type: 'welcome', commands: [] });
  });

  test('[ING9] given while no wrapper is connected, they wait in the rows', async () => {
    const run = await start(newSession());
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect(await get(run)).toMatchObject({ connected: false }));
    await interrupt(run);
    const input = await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/input`, {
      body: { data: 'yes\n' },
    });
    expect(input.status).toBe(202);
    await putToSleep(stubOf(run.session));
    const second = await WrapperPeer.hello(run);
    expect(await second.next()).toMatchObject({
      type: 'welcome',
      commands: [{ command: 'interrupt' }, { command: 'input', data: { text: 'yes\n' } }],
    });
  });

  test('[ING9] the ack of an unknown or foreign id changes nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    await peer.next();
    peer.send('{"type":"command_ack","id":999999}');
    expect(await peer.deliver(1, [output('on\n')])).toEqual({ type: 'ack', seq: 1 });
    peer.close();
    const again = await WrapperPeer.hello(run);
    expect(await again.next()).toMatchObject({ commands: [{ command: 'interrupt' }] });
  });
});

describe('ING10: unknown values', () => {
  test('[ING10] unknown event types are stored and passed on, unknown header fields ignored', async () => {
    const run = await start(newSession());
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    const peer = await WrapperPeer.welcomed(run);
    const event = { type: 'gpu_sample', at: 1, data: { load: 0.5, extra: { deep: [1, 'two', null] } } };
    peer.send(`{"type":"events","seq":1,"count":1,"compression":"none","x":{}}\n${JSON.stringify(event)}`);
    expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
    await vi.waitFor(() => expect(viewer.events.at(-1)).toMatchObject({ type: 'gpu_sample', data: event.data }));
  });

  test('[ING10] a newer protocol is answered with the highest known', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.connect(run);
    peer.send('{"type":"hello","protocol":7,"wrapperId":"w_1","bootId":"b_1","nextSeq":1,"lost":0,"features":["zstd"]}');
    expect(await peer.next()).toMatchObject({ type: 'welcome', protocol: 1 });
  });
});

describe('ING20: invalid UTF-8', () => {
  test('[ING20] bytes that are not UTF-8 arrive as U+FFFD, and close 4400', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    peer.send(`{"type":"events","seq":1,"count":1}\n${JSON.stringify(output('lost: \ufffd\n'))}`);
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
    expect(texts(await readLog(run.session))).toBe('');
  });

  test('[ING20] an escaped U+FFFD is the character itself', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    peer.send(`{"type":"events","seq":1,"count":1}\n${JSON.stringify(output('said: ?\n')).replace('?', '\\ufffd')}`);
    expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
    expect(texts(await readLog(run.session))).toBe('said: \ufffd\n');
  });
});

test('a ping is answered with pong by the platform, without starting the object', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  await putToSleep(stubOf(run.session));
  peer.send('ping');
  expect(await peer.next()).toBe('pong');
  await expect(evictDurableObject(stubOf(run.session))).rejects.toThrow(/not currently running/);
});
