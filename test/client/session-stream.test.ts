/**
 * Goal: whatever happens to the connection, the consumer sees each event once, in order, and learns
 * how the stream ended.
 * Method: a real WebSocket server that a test steers (fake-session), with shortened timings so that
 * a test takes milliseconds.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import {
  type ConnectSocket,
  connectSession,
  type SessionStream,
  type SessionStreamOptions,
  type SocketEvents,
  type StreamControl,
  StreamFailure,
  type StreamState,
  type WebSocketConstructor,
} from '../../client/index.ts';
import { type LoggedEvent, VIEWER_WINDOW_BYTES } from '../../protocol/index.ts';
import { FakeSession, until } from '../support/fake-session.ts';

/** Reconnects at once. Detects no silence within a test, however slow the machine is. */
const TIMINGS = {
  ...{ connectMs: 20_000, pingMs: 60_000, pongMs: 20_000, probeMs: 20_000, staleMs: 60_000 },
  ...{ retryBaseMs: 10, retryCapMs: 40, soundMs: 80, refusedMs: 300 },
};
/** For the tests of silence: long enough for every response to arrive. */
const QUICK = { ...TIMINGS, pingMs: 60, pongMs: 1000, probeMs: 1000 };
const WebSocketImpl = WebSocket as unknown as WebSocketConstructor;

let fake: FakeSession;
let streams: SessionStream[] = [];
let states: StreamState[] = [];
let controls: StreamControl[] = [];

beforeEach(async () => {
  fake = await new FakeSession().start();
  fake.addExecution('e1');
  streams = [];
  states = [];
  controls = [];
});

afterEach(async () => {
  for (const stream of streams) stream.close();
  await fake.stop();
});

function follow(options: Partial<SessionStreamOptions> = {}): SessionStream {
  const stream = connectSession({
    url: fake.url,
    session: 's1',
    ...(options.getTicket ? {} : { apiKey: 'key' }),
    WebSocketImpl,
    timings: TIMINGS,
    onState: (state) => states.push(state),
    onControl: (control) => controls.push(control),
    ...options,
  });
  streams.push(stream);
  return stream;
}

async function take(stream: SessionStream, count: number): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  const iterator = stream[Symbol.asyncIterator]();
  while (events.length < count) {
    const { value, done } = await iterator.next();
    if (done) break;
    events.push(value);
  }
  return events;
}

async function takeAll(stream: SessionStream): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

const offsets = (events: readonly LoggedEvent[]): number[] => events.map(({ offset }) => offset);
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const statuses = (): string[] => states.map(({ status }) => status);

describe('exactly once, in order', () => {
  test('[G2] replays from the start, goes live, and ends with the execution', async () => {
    fake.lines('e1', 120);
    const stream = follow({ execution: 'e1' });
    const first = await take(stream, 120);
    expect(offsets(first)).toEqual(upTo(120));
    await until('live', () => stream.state.status === 'live');
    fake.lines('e1', 3, 121);
    fake.settle('e1', 'completed', { exitCode: 0 });
    const rest = await takeAll(stream);
    expect(offsets(rest)).toEqual(upTo(124, 121));
    expect(stream.state).toEqual({ status: 'ended', execution: 'e1', executionStatus: 'completed' });
    expect(stream.ends.get('e1')).toBe('completed');
    expect(statuses()).toEqual(
      ['replaying', 'live', 'ended'].flatMap((status) => (status === 'replaying' ? ['connecting', status] : [status])),
    );
  });

  test('[G2] a cut after every few frames loses and repeats nothing, and every connection resumes after the last received offset', async () => {
    fake.batchEvents = 7;
    fake.lines('e1', 500);
    for (let cuts = 0; cuts < 20; cuts += 1) fake.behaviours.push({ cutAfterFrames: 1 + (cuts % 4) });
    fake.settle('e1', 'completed');
    const events = await takeAll(follow({ execution: 'e1' }));
    expect(offsets(events)).toEqual(upTo(501));
    expect(fake.viewers.length).toBe(21);
    const resumes = fake.viewers.map(({ query }) => Number(query.get('after')));
    expect(resumes).toEqual([...resumes].sort((a, b) => a - b));
    expect(new Set(resumes).size).toBe(resumes.length);
  });

  test('[G2] equal lines are all kept: only offsets decide what is a repeat', async () => {
    for (let index = 0; index < 5; index += 1) fake.output('e1', 'same\n');
    const stream = follow();
    const before = await take(stream, 5);
    fake.cut();
    await until('a second viewer', () => fake.viewers.length === 2 && fake.newest.live);
    for (let index = 0; index < 3; index += 1) fake.output('e1', 'same\n');
    expect(offsets([...before, ...(await take(stream, 3))])).toEqual(upTo(8));
  });

  test('[G2] events that a coordinator sends twice are delivered once', async () => {
    fake.lines('e1', 4);
    const stream = follow();
    await take(stream, 4);
    const again = fake.log.map(({ type, at, data }) => ({ type, at, data }));
    fake.lines('e1', 1, 5);
    fake.newest.socket.send(JSON.stringify({ type: 'events', offset: 1, execution: 'e1', events: again }));
    fake.lines('e1', 1, 6);
    expect(offsets(await take(stream, 2))).toEqual([5, 6]);
    expect(fake.viewers.length).toBe(1);
  });

  test('[G2] of an overlapping frame only the new events are delivered, with a filter too', async () => {
    fake.lines('e1', 4);
    const stream = follow({ types: ['output'] });
    await take(stream, 4);
    const events = ['3 again', '4 again', 'five'].map((text) => ({ type: 'output', at: 1, data: { text } }));
    fake.newest.socket.send(JSON.stringify({ type: 'events', offsets: [3, 4, 5], execution: 'e1', events }));
    expect(await take(stream, 1)).toMatchObject([{ offset: 5, data: { text: 'five' } }]);
    expect(fake.viewers.length).toBe(1);
  });

  test('[G2] a hole is never delivered: it reconnects once, and fails when the hole stays', async () => {
    fake.lines('e1', 2);
    const stream = follow();
    await take(stream, 2);
    const skip = () =>
      fake.newest.socket.send(
        JSON.stringify({ type: 'events', offset: 4, execution: 'e1', events: [{ type: 'output', at: 1, data: {} }] }),
      );
    skip();
    await until('a second viewer', () => fake.viewers.length === 2 && fake.newest.live);
    expect(fake.newest.query.get('after')).toBe('2');
    skip();
    await expect(take(stream, 1)).rejects.toMatchObject({ code: 'gap' });
  });

  test('[G2] after reconnect() a hole causes one more attempt again', async () => {
    fake.lines('e1', 2);
    const stream = follow();
    await take(stream, 2);
    const skip = () =>
      fake.newest.socket.send(
        JSON.stringify({ type: 'events', offset: 4, execution: 'e1', events: [{ type: 'output', at: 1, data: {} }] }),
      );
    for (let viewers = 1; viewers <= 2; viewers += 1) {
      await until('live', () => fake.viewers.length === viewers && fake.newest.live);
      skip();
    }
    await until('failed', () => stream.state.status === 'failed');
    stream.reconnect();
    await until('a third viewer', () => fake.viewers.length === 3 && fake.newest.live);
    skip();
    await until('a fourth viewer', () => fake.viewers.length === 4 && fake.newest.live);
    fake.lines('e1', 2, 3);
    expect(offsets(await take(stream, 2))).toEqual([3, 4]);
  });

  test('[G2] nor are events that a caught_up counts and that never came', async () => {
    fake.lines('e1', 2);
    const stream = follow();
    await take(stream, 2);
    await until('live', () => fake.newest.live);
    const claim = () => fake.newest.socket.send(JSON.stringify({ type: 'caught_up', offset: 4 }));
    claim();
    await until('a second viewer', () => fake.viewers.length === 2 && fake.newest.live);
    expect(fake.newest.query.get('after')).toBe('2');
    claim();
    await expect(take(stream, 1)).rejects.toMatchObject({ code: 'gap' });
    expect(stream.lastOffset).toBe(2);
  });

  test.each(['hello', 'events', 'caught_up', 'end'])(
    '[STR2] an unreadable %s frame costs a connection and no event, with a filter too',
    async (type) => {
      fake.lines('e1', 2);
      const stream = follow({ types: ['output'] });
      await take(stream, 2);
      await until('live', () => fake.newest.live);
      fake.newest.socket.send(`{"type":"${type}","offsets":[3],"execution":"e1","events":[{"type":"output`);
      await until('a second viewer', () => fake.viewers.length === 2 && fake.newest.live);
      expect(fake.newest.query.get('after')).toBe('2');
      fake.lines('e1', 1, 3);
      expect(offsets(await take(stream, 1))).toEqual([3]);
    },
  );

  test('[STR2] frames of other types and text that is no frame are skipped', async () => {
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    for (const text of ['{"type":"events2"}', '{"type":"later","offset":1}', '{}', 'null', 'text']) fake.newest.socket.send(text);
    fake.lines('e1', 1);
    expect(offsets(await take(stream, 1))).toEqual([1]);
    expect(fake.viewers.length).toBe(1);
  });

  test('a filter may leave holes, and the cursor advances over filtered events', async () => {
    fake.lines('e1', 3);
    fake.append('e1', [{ type: 'status', data: { message: 'x' } }]);
    fake.lines('e1', 2, 4);
    const stream = follow({ types: ['status'] });
    expect(offsets(await take(stream, 1))).toEqual([4]);
    const next = take(stream, 1);
    await until('caught up', () => controls.length === 1);
    expect(stream.lastOffset).toBe(6);
    fake.cut();
    await until('a second viewer', () => fake.viewers.length === 2 && fake.newest.live);
    expect(fake.newest.query.get('after')).toBe('6');
    fake.append('e1', [{ type: 'status', data: { message: 'y' } }]);
    expect(offsets(await next)).toEqual([7]);
  });

  test('"from the start" of a log that has lost its beginning begins with the oldest kept event', async () => {
    fake.lines('e1', 10);
    fake.earliest = 6;
    const stream = follow();
    expect(offsets(await take(stream, 5))).toEqual(upTo(10, 6));
  });

  test('caught_up and end arrive as control messages, in order with the data and separate from it', async () => {
    fake.addExecution('e2');
    fake.lines('e1', 2);
    const seen: string[] = [];
    const stream = follow({ onControl: ({ type }) => seen.push(type) });
    const reading = (async () => {
      for await (const { type } of stream) seen.push(type);
    })();
    await until('caught up', () => seen.includes('caught_up'));
    fake.settle('e1', 'failed', { exitCode: 1 });
    fake.lines('e2', 1);
    await until('all', () => seen.length === 6);
    expect(seen).toEqual(['output', 'output', 'caught_up', 'end', 'execution_failed', 'output']);
    expect(stream.state.status).toBe('live');
    stream.close();
    await reading;
  });

  test('batches() yields what is available at once', async () => {
    fake.lines('e1', 200);
    fake.settle('e1', 'completed');
    const sizes: number[] = [];
    const seen: number[] = [];
    const stream = follow({ execution: 'e1' });
    await until('live', () => stream.state.status === 'live');
    for await (const batch of stream.batches()) {
      sizes.push(batch.length);
      seen.push(...offsets(batch));
    }
    expect(seen).toEqual(upTo(201));
    expect(sizes.length).toBeLessThan(3);
  });
});

describe('tail', () => {
  test('the first connection asks for the tail, every later one resumes by offset', async () => {
    fake.lines('e1', 100);
    const stream = follow({ tail: 10 });
    expect(offsets(await take(stream, 4))).toEqual(upTo(94, 91));
    fake.cut();
    expect(offsets(await take(stream, 6))).toEqual(upTo(100, 95));
    await until('a second viewer', () => fake.viewers.length === 2);
    expect(fake.viewers.map(({ query }) => [query.get('tail'), query.get('after')])).toEqual([
      ['10', null],
      [null, '100'],
    ]);
  });

  test('cut after the hello and before any event: no event of the meantime is skipped', async () => {
    fake.lines('e1', 100);
    fake.behaviours.push({ close: 1012, afterHello: true });
    const stream = follow({ tail: 5 });
    await until('the first hello', () => fake.viewers.length === 1);
    fake.lines('e1', 30, 101);
    expect(offsets(await take(stream, 35))).toEqual(upTo(130, 96));
  });

  test('the same with a filter: at least the tail, and every event since the first hello', async () => {
    fake.lines('e1', 100);
    fake.behaviours.push({ close: 1012, afterHello: true });
    const stream = follow({ tail: 5, types: ['output'] });
    await until('the first hello', () => statuses().includes('replaying'));
    fake.lines('e1', 30, 101);
    expect(offsets(await take(stream, 30))).toEqual(upTo(130, 101));
  });

  test('tail=0 means only what is new', async () => {
    fake.lines('e1', 20);
    const stream = follow({ tail: 0 });
    await until('live', () => stream.state.status === 'live');
    expect(stream.lastOffset).toBe(20);
    fake.lines('e1', 1, 21);
    expect(offsets(await take(stream, 1))).toEqual([21]);
  });
});

describe('the generation of the log', () => {
  test('[STR30] every connection after the first names the log that the first hello named', async () => {
    fake.generation = 'g1';
    fake.lines('e1', 6);
    fake.behaviours.push({ cutAfterFrames: 1 });
    fake.batchEvents = 3;
    const stream = follow();
    expect((await take(stream, 6)).map(({ offset }) => offset)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(fake.viewers.map(({ query }) => query.get('generation'))).toEqual([null, 'g1']);
    expect(stream.hello?.generation).toBe('g1');
  });

  test('[STR30] a session that was deleted and made again ends the stream with the cause and the next step', async () => {
    fake.generation = 'g1';
    fake.lines('e1', 10);
    const stream = follow();
    await take(stream, 10);
    fake.generation = 'g2';
    fake.cut();
    const failure = await takeAll(stream).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StreamFailure);
    expect(failure).toMatchObject({
      code: 'log_replaced',
      reason: 'the session was deleted and made again; start from the beginning',
    });
    // It asks for the old log as often as it is asked to, and never continues in the new one.
    stream.reconnect();
    await expect(takeAll(stream)).rejects.toMatchObject({ code: 'log_replaced' });
    expect(fake.viewers.map(({ query }) => query.get('generation'))).toEqual([null, 'g1', 'g1']);
  });

  test('[STR30] so does a hello of another log, from a coordinator that did not check', async () => {
    fake.generation = 'g1';
    fake.lines('e1', 10);
    const stream = follow();
    await take(stream, 10);
    fake.checksGeneration = false;
    fake.generation = 'g2';
    fake.cut();
    fake.lines('e1', 5, 11);
    await expect(takeAll(stream)).rejects.toMatchObject({ code: 'log_replaced' });
    expect(stream.lastOffset).toBe(10);
  });

  test('[STR30] a stored cursor includes its log', async () => {
    fake.generation = 'g2';
    fake.lines('e1', 12);
    await expect(takeAll(follow({ after: 10, generation: 'g1' }))).rejects.toMatchObject({ code: 'log_replaced' });
    expect((await take(follow({ after: 10, generation: 'g2' }), 2)).map(({ offset }) => offset)).toEqual([11, 12]);
  });

  test('[VER2] a coordinator of 0.1.0 sends no generation, and receives none', async () => {
    fake.lines('e1', 6);
    fake.behaviours.push({ cutAfterFrames: 1 });
    fake.batchEvents = 3;
    expect(await take(follow(), 6)).toHaveLength(6);
    expect(fake.viewers.map(({ query }) => query.has('generation'))).toEqual([false, false]);
  });
});

describe('flow', () => {
  test('acks follow the consumer: a stalled one stops the coordinator at its window, a resumed one gets everything', async () => {
    const text = `${'x'.repeat(10_000)}\n`;
    fake.batchEvents = 10;
    fake.append(
      'e1',
      Array.from({ length: 600 }, () => ({ type: 'output', data: { stream: 'stdout', text } })),
    );
    fake.settle('e1', 'completed');
    const stream = follow({ execution: 'e1' });
    await until('the window is full', () => (fake.viewers[0]?.unackedMax ?? 0) >= VIEWER_WINDOW_BYTES);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(fake.newest.acks).toEqual([]);
    expect(fake.newest.sent).toBeLessThan(120);
    expect(offsets(await takeAll(stream))).toEqual(upTo(601));
    expect(fake.viewers.length).toBe(1);
    expect(fake.newest.unackedMax).toBeLessThan(VIEWER_WINDOW_BYTES + 200_000);
    // Every 64 KiB at the latest: 6 MB are about ninety acks.
    expect(fake.newest.acks.length).toBeGreaterThan(80);
  });

  test('a lost connection is not replaced while the consumer has enough buffered: the bound holds over any number of cuts', async () => {
    fake.lines('e1', 200);
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    fake.cut();
    await until('lost', () => stream.state.status === 'reconnecting');
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(fake.upgrades.length).toBe(1);
    fake.lines('e1', 1, 201);
    expect(offsets(await take(stream, 201))).toEqual(upTo(201));
    expect(fake.upgrades.length).toBe(2);
  });

  test('the time that a connection waits for the consumer does not count against giveUpAfterMs', async () => {
    fake.lines('e1', 5);
    const stream = follow({ giveUpAfterMs: 200 });
    await until('live', () => stream.state.status === 'live');
    fake.behaviours.push({ status: 503 });
    fake.cut();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(fake.upgrades.length).toBe(1);
    expect(offsets(await take(stream, 5))).toEqual([1, 2, 3, 4, 5]);
    await until('live again', () => fake.viewers.length === 2 && stream.state.status === 'live');
    expect(fake.upgrades.length).toBe(3);
  });

  test('an ack is sent whenever the buffer is empty, however little was consumed', async () => {
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    for (const offset of [1, 2, 3]) {
      fake.lines('e1', 1, offset);
      await take(stream, 1);
      await until('the ack', () => fake.newest.acks.length === offset + 1);
    }
    expect(fake.newest.acks).toEqual([0, 1, 2, 3]);
  });

  test('[STR11] it acknowledges once on every connection, also without any consumed event: only consumed offsets', async () => {
    fake.lines('e1', 20);
    const stream = follow({ after: 5 });
    await until('live', () => stream.state.status === 'live');
    await until('the ack', () => fake.newest.acks.length > 0);
    expect(fake.newest.acks).toEqual([5]);
    stream.reconnect();
    await take(stream, 15);
    await until('live on the next', () => fake.viewers.length === 2 && stream.state.status === 'live');
    await until('its ack', () => fake.newest.acks.length > 0);
    expect(fake.newest.acks).toEqual([20]);
  });

  test('without flow control it sends no flow=ack, and a flood does not fill the memory of a stalled consumer', async () => {
    const text = `${'x'.repeat(20_000)}\n`;
    fake.append(
      'e1',
      Array.from({ length: 400 }, () => ({ type: 'output', data: { stream: 'stdout', text } })),
    );
    fake.settle('e1', 'completed');
    const stream = follow({ execution: 'e1', flow: false });
    await until('too much', () => stream.state.status === 'reconnecting');
    expect(fake.openViewers.length).toBeLessThan(2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(fake.viewers.length).toBe(1);
    expect(offsets(await takeAll(stream))).toEqual(upTo(401));
    expect(fake.viewers.every(({ query }) => query.get('flow') === null)).toBe(true);
    expect(fake.viewers.length).toBeGreaterThan(1);
  });
});

describe('reconnecting', () => {
  test('exactly one socket per attempt, and never two at once', async () => {
    let open = 0;
    let most = 0;
    class Counting extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        open += 1;
        most = Math.max(most, open);
        this.once('close', () => {
          open -= 1;
        });
      }
    }
    fake.behaviours.push({ status: 503 }, { close: 1013 }, { cutAfterFrames: 1 }, { status: 502 });
    fake.lines('e1', 60);
    const stream = follow({ WebSocketImpl: Counting as unknown as WebSocketConstructor });
    expect(offsets(await take(stream, 60))).toEqual(upTo(60));
    expect(fake.upgrades.length).toBe(5);
    expect(most).toBe(1);
  });

  test('frames and closes of an old socket change nothing', async () => {
    const sockets: SocketEvents[] = [];
    const connect: ConnectSocket = (_request, events) => {
      sockets.push(events);
      return { send: () => {}, close: () => {} };
    };
    const stream = follow({ connect });
    const hello = JSON.stringify({ type: 'hello', session: 's1', earliest: 1, head: 0, executions: [] });
    const events = (offset: number, text: string) =>
      JSON.stringify({ type: 'events', offset, execution: 'e1', events: [{ type: 'output', at: 1, data: { text } }] });
    sockets[0]?.open();
    sockets[0]?.message(hello);
    sockets[0]?.message(events(1, 'first'));
    expect(offsets(await take(stream, 1))).toEqual([1]);
    stream.reconnect();
    expect(sockets.length).toBe(2);
    sockets[1]?.message(hello);
    sockets[0]?.message(events(2, 'late'));
    sockets[0]?.close({ code: 4404, reason: 'late' });
    sockets[1]?.message(events(2, 'right'));
    expect(await take(stream, 1)).toMatchObject([{ offset: 2, data: { text: 'right' } }]);
    expect(stream.state.status).toBe('replaying');
    expect(sockets.length).toBe(2);
  });

  test('a socket that opens after its attempt timed out is closed', async () => {
    fake.behaviours.push({ delayMs: 300 });
    const stream = follow({ timings: { ...TIMINGS, connectMs: 100 } });
    await until('live on a second socket', () => stream.state.status === 'live');
    await until('the first came to nothing', () => fake.openViewers.length === 1);
    expect(states.filter(({ status }) => status === 'reconnecting')).toHaveLength(1);
  });

  test.each(['hang', 'mute'] as const)('the watchdog ends a handshake that makes no progress (%s)', async (behaviour) => {
    fake.behaviours.push(behaviour);
    const stream = follow({ timings: { ...TIMINGS, connectMs: 100 } });
    await until('live', () => stream.state.status === 'live');
    expect(fake.upgrades.length).toBe(2);
  });

  test('the missing pong reveals a connection that died without a close', async () => {
    fake.lines('e1', 2);
    fake.behaviours.push('half-open');
    expect(offsets(await take(follow({ timings: QUICK }), 2))).toEqual([1, 2]);
    expect(fake.viewers[0]?.pings).toBe(1);
    expect(fake.viewers.length).toBe(2);
  });

  test('a quiet connection that answers pings is kept', async () => {
    const stream = follow({ timings: QUICK });
    await new Promise((resolve) => setTimeout(resolve, QUICK.pongMs + 500));
    await until('several pings', () => (fake.viewers[0]?.pings ?? 0) >= 4);
    expect(fake.viewers.length).toBe(1);
    expect(stream.state.status).toBe('live');
  });

  test.each([1000, 1001, 1011, 1012, 1013, 1014, 4408, 4413, 4429])('close %i is retried', async (close) => {
    fake.behaviours.push({ close, reason: 'ended' });
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    expect(fake.viewers.length).toBe(2);
  });

  test('[STR13] after 4413 the first retry is immediate, and later ones without a hello are not', async () => {
    const delays: number[] = [];
    for (let refusals = 0; refusals < 3; refusals += 1) fake.behaviours.push({ close: 4413, reason: 'unread' });
    const stream = follow({
      onState: (state) => {
        if (state.status === 'reconnecting') delays.push(state.retryInMs);
      },
      random: () => 0.99,
    });
    await until('live', () => stream.state.status === 'live');
    expect(delays).toHaveLength(3);
    expect(delays[0]).toBe(0);
    for (const delay of delays.slice(1)) expect(delay).toBeGreaterThan(0);
  });

  test.each([
    [4000, '{"status":"completed"}', 'closed_4000'],
    [4001, '', 'closed_4001'],
    [4400, 'bad_request: after: must be a whole number', 'bad_request'],
    [4404, '', 'not_found'],
    [4404, 'session_not_found', 'session_not_found'],
    [4410, 'offset_expired', 'offset_expired'],
    [4410, 'offset_ahead', 'offset_ahead'],
    [4999, '', 'closed_4999'],
  ])('close %i (%s) is final: %s', async (close, reason, code) => {
    fake.behaviours.push({ close, reason });
    const stream = follow();
    await expect(takeAll(stream)).rejects.toMatchObject({ name: 'StreamFailure', code });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(fake.upgrades.length).toBe(1);
    expect(stream.state).toMatchObject({ status: 'failed', code });
  });

  test('events received before a final refusal are still delivered, then the failure is thrown', async () => {
    fake.lines('e1', 3);
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    fake.newest.socket.close(4404, 'deleted');
    await until('failed', () => stream.state.status === 'failed');
    expect(offsets(await take(stream, 3))).toEqual([1, 2, 3]);
    await expect(take(stream, 1)).rejects.toBeInstanceOf(StreamFailure);
  });

  describe('[CLS19] a refusal after the first hello', () => {
    const REFUSALS: [what: string, close: number, reason: string, code: string][] = [
      ['another signing key', 4401, 'unauthorized', 'unauthorized'],
      ['an empty data folder', 4404, 'session_not_found', 'session_not_found'],
    ];

    test.each(REFUSALS)('a temporary %s does not end the stream: nothing is lost', async (_what, close, reason) => {
      fake.lines('e1', 2);
      const stream = follow({ timings: { ...TIMINGS, refusedMs: 60_000 } });
      expect(offsets(await take(stream, 2))).toEqual([1, 2]);
      for (let index = 0; index < 6; index += 1) fake.behaviours.push({ close, reason });
      fake.cut();
      await until('all refusals are heard', () => fake.behaviours.length === 0);
      fake.lines('e1', 2);
      expect(offsets(await take(stream, 2))).toEqual([3, 4]);
      expect(fake.upgrades.length).toBeGreaterThanOrEqual(8);
    });

    test.each(REFUSALS)('a permanent %s is final', async (_what, close, reason, code) => {
      const stream = follow();
      await until('live', () => stream.state.status === 'live');
      for (let index = 0; index < 500; index += 1) fake.behaviours.push({ close, reason });
      const cutAt = performance.now();
      fake.cut();
      await expect(takeAll(stream)).rejects.toMatchObject({ code });
      expect(performance.now() - cutAt).toBeGreaterThan(TIMINGS.refusedMs);
      expect(fake.upgrades.length).toBeGreaterThan(3);
    });

    test.each([
      ['deleted', 4404, 'deleted', 'session_not_found'],
      ['another log', 4410, 'log_replaced', 'log_replaced'],
      ['a bad frame', 4400, '', 'bad_request'],
    ])('%s is final at once', async (_what, close, reason, code) => {
      const stream = follow();
      await until('live', () => stream.state.status === 'live');
      fake.behaviours.push({ close, reason });
      fake.cut();
      await expect(takeAll(stream)).rejects.toMatchObject({ code });
      expect(fake.upgrades.length).toBe(2);
    });

    test('a temporary refusal of a ticket does not end it either', async () => {
      let refused = 0;
      const stream = follow({
        timings: { ...TIMINGS, refusedMs: 60_000 },
        getTicket: () => {
          if (refused === 0) return 't';
          refused -= 1;
          throw Object.assign(new Error('no'), { retryable: false, code: 'unauthorized', status: 401 });
        },
      });
      await until('live', () => stream.state.status === 'live');
      refused = 4;
      fake.cut();
      fake.lines('e1', 1);
      expect(offsets(await take(stream, 1))).toEqual([1]);
      expect(refused).toBe(0);
    });
  });

  test('delays grow to the cap, and the count starts again with a hello', async () => {
    for (let index = 0; index < 5; index += 1) fake.behaviours.push({ close: 1013 });
    const stream = follow({ random: () => 0 });
    await until('live', () => stream.state.status === 'live');
    const delays = () => states.flatMap((state) => (state.status === 'reconnecting' ? [[state.attempt, state.retryInMs]] : []));
    expect(delays()).toEqual([
      [1, 0],
      [2, 5],
      [3, 10],
      [4, 20],
      [5, 20],
    ]);
    fake.lines('e1', 1);
    await take(stream, 1);
    states = [];
    fake.cut();
    await until('live again', () => statuses().at(-1) === 'live');
    expect(delays()).toEqual([[1, 0]]);
  });

  test('a coordinator that greets and closes at once is not flooded with attempts', async () => {
    for (let index = 0; index < 200; index += 1) fake.behaviours.push({ close: 1011, afterHello: true });
    follow({ timings: { ...TIMINGS, retryBaseMs: 40, retryCapMs: 200 } });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(fake.upgrades.length).toBeGreaterThan(2);
    expect(fake.upgrades.length).toBeLessThan(12);
  });

  test('giveUpAfterMs ends it as unreachable, and reconnect() is the way back', async () => {
    for (let index = 0; index < 200; index += 1) fake.behaviours.push({ close: 1013, reason: 'draining' });
    fake.lines('e1', 2);
    const stream = follow({ giveUpAfterMs: 150 });
    await expect(take(stream, 1)).rejects.toMatchObject({ code: 'unreachable' });
    fake.behaviours.length = 0;
    stream.reconnect();
    expect(offsets(await take(stream, 2))).toEqual([1, 2]);
  });

  test('a listener that reconnects while events are still buffered leads to one connection, and none after close()', async () => {
    fake.behaviours.push({ cutAfterFrames: 1 });
    for (let batch = 0; batch < 4; batch += 1) fake.lines('e1', 1);
    // The consumer arrives at that very moment, too, and drains the buffer before any timer can
    // fire.
    let taking: Promise<LoggedEvent[]> | null = null;
    const stream: SessionStream = follow({
      onState: (state) => {
        if (state.status !== 'reconnecting' || taking) return;
        stream.reconnect();
        taking = take(stream, 4);
      },
    });
    await until('cut', () => taking !== null);
    expect(offsets((await taking) ?? [])).toEqual([1, 2, 3, 4]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(fake.upgrades.length).toBe(2);
    stream.close();
    await until('all closed', () => fake.openViewers.length === 0);
  });

  test('close() also ends a reconnect() that waits for the consumer after a failure', async () => {
    fake.lines('e1', 2);
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    fake.newest.socket.close(4404, 'deleted');
    await until('failed', () => stream.state.status === 'failed');
    stream.reconnect();
    expect(stream.state).toMatchObject({ status: 'reconnecting', reason: 'waiting for the consumer' });
    stream.close();
    expect(await takeAll(stream)).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect([stream.state.status, fake.upgrades.length]).toEqual(['closed', 1]);
  });

  test('an explicit close never reconnects, and ends the iteration', async () => {
    const stream = follow();
    const reading = takeAll(stream);
    await until('live', () => stream.state.status === 'live');
    stream.close();
    expect(await reading).toEqual([]);
    stream.reconnect();
    stream.probe();
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(fake.upgrades.length).toBe(1);
    expect(fake.openViewers.length).toBe(0);
    expect(stream.state.status).toBe('closed');
  });

  test('events that were received but not consumed before close() are never delivered', async () => {
    fake.lines('e1', 5);
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    expect(offsets(await take(stream, 2))).toEqual([1, 2]);
    stream.close();
    expect(await takeAll(stream)).toEqual([]);
    expect(stream.lastOffset).toBe(2);
  });

  test('a close while waiting to retry cancels the retry', async () => {
    fake.behaviours.push({ close: 1013 }, { close: 1013 }, { close: 1013 });
    const stream = follow({ timings: { ...TIMINGS, retryBaseMs: 200, retryCapMs: 200 } });
    await until('waiting', () => states.some((state) => state.status === 'reconnecting' && state.retryInMs > 50));
    stream.close();
    const made = fake.upgrades.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(fake.upgrades.length).toBe(made);
  });

  test('the signal and leaving the loop both close', async () => {
    const controller = new AbortController();
    const stream = follow({ signal: controller.signal });
    const reading = takeAll(stream);
    controller.abort();
    expect(await reading).toEqual([]);
    expect(stream.state.status).toBe('closed');
    fake.lines('e1', 2);
    const other = follow();
    for await (const _event of other) break;
    expect(other.state.status).toBe('closed');
    expect(
      connectSession({ url: fake.url, session: 's1', apiKey: 'k', WebSocketImpl, signal: controller.signal }).state.status,
    ).toBe('closed');
  });

  test.each(['events', 'batches'] as const)(
    'return() of %s closes at once, while next() waits and before the first next()',
    async (kind) => {
      const iteratorOf = (stream: SessionStream) => (kind === 'events' ? stream[Symbol.asyncIterator]() : stream.batches());
      const stream = follow();
      const iterator = iteratorOf(stream);
      const waiting = iterator.next();
      await until('live', () => stream.state.status === 'live');
      const left = iterator.return();
      expect(stream.state.status).toBe('closed');
      expect(await waiting).toEqual({ done: true, value: undefined });
      expect(await left).toEqual({ done: true, value: undefined });
      const unread = follow();
      expect(await iteratorOf(unread).return()).toEqual({ done: true, value: undefined });
      expect(unread.state.status).toBe('closed');
      await until('no viewer', () => fake.openViewers.length === 0);
    },
  );

  test('return() after a failure leaves the way back open, and close() takes it', async () => {
    fake.behaviours.push({ close: 4404 });
    const stream = follow();
    const iterator = stream[Symbol.asyncIterator]();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'not_found' });
    await iterator.return();
    expect(stream.state.status).toBe('failed');
    stream.close();
    expect(stream.state.status).toBe('closed');
    expect(statuses().slice(-2)).toEqual(['failed', 'closed']);
    stream.reconnect();
    expect(stream.state.status).toBe('closed');
    expect(await takeAll(stream)).toEqual([]);
  });

  test('a signal keeps no listener of a stream that is over', async () => {
    const { signal } = new AbortController();
    const listeners: unknown[] = [];
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (type: string, listener: EventListener) => {
      listeners.push(listener);
      add(type, listener);
    };
    signal.removeEventListener = (type: string, listener: EventListener) => {
      if (listeners.includes(listener)) listeners.splice(listeners.indexOf(listener), 1);
      remove(type, listener);
    };
    fake.settle('e1', 'completed');
    const ended = follow({ execution: 'e1', signal });
    const closed = follow({ signal });
    expect(listeners.length).toBe(2);
    await takeAll(ended);
    expect(listeners.length).toBe(1);
    closed.close();
    expect(listeners).toEqual([]);
  });

  test('probe() keeps a sound connection and replaces a dead one', async () => {
    const timings = { ...QUICK, pingMs: 60_000 };
    const stream = follow({ timings });
    await until('live', () => stream.state.status === 'live');
    stream.probe();
    await until('the ping', () => fake.newest.pings === 1);
    await new Promise((resolve) => setTimeout(resolve, QUICK.probeMs + 500));
    expect(fake.viewers.length).toBe(1);
    fake.newest.pongs = false;
    stream.probe();
    await until('a second connection', () => fake.viewers.length === 2);
  });
});

describe('credentials', () => {
  test('a ticket is minted for every connection and travels as second subprotocol', async () => {
    let made = 0;
    const stream = follow({
      getTicket: () => {
        made += 1;
        return `ticket-${made}`;
      },
    });
    await until('live', () => stream.state.status === 'live');
    fake.cut();
    await until('a second viewer', () => fake.viewers.length === 2);
    expect(fake.viewers.map(({ protocols }) => protocols)).toEqual([
      ['holdfast.stream.v1', 'holdfast.ticket.ticket-1'],
      ['holdfast.stream.v1', 'holdfast.ticket.ticket-2'],
    ]);
    expect(fake.viewers.every(({ headers, query }) => headers.authorization === undefined && !query.has('ticket'))).toBe(true);
  });

  test('an API key travels as a header only', async () => {
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    expect(fake.newest.headers.authorization).toBe('Bearer key');
    expect(fake.upgrades[0]?.url).not.toContain('key');
  });

  test('4401 is answered with one fresh ticket, without a delay', async () => {
    fake.acceptTicket = (ticket) => ticket === 't2';
    let made = 0;
    const stream = follow({
      getTicket: () => {
        made += 1;
        return `t${made}`;
      },
    });
    await until('live', () => stream.state.status === 'live');
    expect(statuses()).toEqual(['connecting', 'refreshing-credential', 'replaying', 'live']);
  });

  test('a listener that closes or reconnects on a refused credential leads to no second connection of the client', async () => {
    fake.acceptTicket = () => false;
    const closing: SessionStream = follow({
      getTicket: () => 't',
      onState: ({ status }) => {
        if (status === 'refreshing-credential') closing.close();
      },
    });
    await until('closed', () => closing.state.status === 'closed');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(fake.upgrades.length).toBe(1);

    fake.acceptTicket = (ticket) => ticket === 't2';
    let made = 0;
    const restarting: SessionStream = follow({
      getTicket: () => {
        made += 1;
        return `t${made}`;
      },
      onState: ({ status }) => {
        if (status === 'refreshing-credential') restarting.reconnect();
      },
    });
    await until('live', () => restarting.state.status === 'live');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(fake.upgrades.length).toBe(3);
    expect(made).toBe(2);
  });

  test('a second 4401 is final, and so is the first one of an API key', async () => {
    fake.acceptTicket = () => false;
    await expect(takeAll(follow({ getTicket: () => 't' }))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(fake.upgrades.length).toBe(2);
    await expect(takeAll(follow({ apiKey: 'wrong' }))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(fake.upgrades.length).toBe(3);
  });

  test('a credential that is refused right after each hello does not cause endless reconnects', async () => {
    for (let index = 0; index < 200; index += 1) fake.behaviours.push({ close: 4401, afterHello: true });
    await expect(takeAll(follow({ getTicket: () => 't' }))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(fake.upgrades.length).toBeLessThan(200);
  });

  test('a ticket that expires after a sound period is refreshed each time', async () => {
    const stream = follow({ getTicket: () => 't' });
    for (let round = 1; round <= 3; round += 1) {
      await until('live', () => fake.viewers.length === round && stream.state.status === 'live');
      await new Promise((resolve) => setTimeout(resolve, TIMINGS.soundMs + 40));
      fake.newest.socket.close(4401, 'ticket_expired');
    }
    await until('live', () => fake.viewers.length === 4 && stream.state.status === 'live');
  });

  test('a ticket that expires soon after each hello is replaced again and again, with growing delays', async () => {
    let made = 0;
    for (let index = 0; index < 40; index += 1) fake.behaviours.push({ close: 4401, reason: 'ticket_expired', afterHello: true });
    const stream = follow({
      getTicket: () => {
        made += 1;
        return `t${made}`;
      },
    });
    await until('live', () => stream.state.status === 'live');
    expect(made).toBe(41);
    expect(statuses().filter((status) => status === 'refreshing-credential')).toHaveLength(1);
    expect(statuses()).not.toContain('failed');
  });

  test('a ticket service that is down is retried; one that refuses is final', async () => {
    let calls = 0;
    const stream = follow({
      getTicket: () => {
        calls += 1;
        if (calls < 3) throw new Error('down');
        return 't';
      },
    });
    await until('live', () => stream.state.status === 'live');
    expect(calls).toBe(3);
    const refused = follow({
      getTicket: () => {
        throw Object.assign(new Error('no'), { retryable: false, code: 'session_not_found' });
      },
    });
    await expect(takeAll(refused)).rejects.toMatchObject({ code: 'session_not_found' });
  });

  test('a ticket that arrives after close() opens no socket', async () => {
    let give: (ticket: string) => void = () => {};
    let sockets = 0;
    const stream = follow({
      connect: () => {
        sockets += 1;
        return { send: () => {}, close: () => {} };
      },
      getTicket: () =>
        new Promise<string>((resolve) => {
          give = resolve;
        }),
    });
    stream.close();
    give('late');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sockets).toBe(0);
  });

  test('a ticket for one execution ends the stream with it, although the whole session was asked for', async () => {
    const stream = follow({ getTicket: () => 't' });
    await until('live', () => stream.state.status === 'live');
    fake.newest.waitingFor = ['e1'];
    fake.newest.query.set('execution', 'e1');
    fake.lines('e1', 1);
    fake.settle('e1', 'completed');
    expect(offsets(await takeAll(stream))).toEqual([1, 2]);
    expect(stream.state.status).toBe('ended');
  });
});

describe('[G6] the end', () => {
  test('a connection that an intermediary closes politely right after an end is replaced: only the coordinator confirms completeness', async () => {
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    fake.lines('e1', 1);
    fake.settle('e1', 'completed');
    fake.newest.socket.send(JSON.stringify({ type: 'end', execution: 'e1', status: 'completed' }));
    fake.newest.socket.close(1000, 'idle');
    expect(offsets(await take(stream, 2))).toEqual([1, 2]);
    await until('a second connection', () => fake.viewers.length === 2 && stream.state.status === 'live');
  });

  test('an execution that ended before is ended, without a wait', async () => {
    fake.lines('e1', 2);
    fake.settle('e1', 'interrupted');
    expect(offsets(await takeAll(follow({ execution: 'e1' })))).toEqual([1, 2, 3]);
    expect(await takeAll(follow({ execution: 'e1', after: 3 }))).toEqual([]);
    expect(await takeAll(follow({ execution: 'e1', types: ['status'] }))).toEqual([]);
    expect(await takeAll(follow({ execution: 'e1', tail: 0 }))).toEqual([]);
  });

  const LATE = [
    { type: 'output', data: { stream: 'stdout', text: 'RESULT\n' } },
    { type: 'exit', data: { exitCode: 0, signal: null } },
  ];

  test('[STR34] a stream of an execution that ended before goes on behind the verdict, to its late events', async () => {
    fake.lines('e1', 2);
    fake.settle('e1', 'failed', { code: 'wrapper_disconnected' });
    fake.append('e1', LATE, { late: true });
    const events = await takeAll(follow({ execution: 'e1' }));
    expect(events.map(({ offset, late }) => [offset, late])).toEqual([
      [1, undefined],
      [2, undefined],
      [3, undefined],
      [4, true],
      [5, true],
    ]);
    expect(offsets(await takeAll(follow({ execution: 'e1', after: 3 })))).toEqual([4, 5]);
  });

  test('[STR34] so does one whose connection is lost between the verdict and the late events', async () => {
    fake.lines('e1', 2);
    fake.settle('e1', 'failed', { code: 'wrapper_disconnected' });
    fake.append('e1', LATE, { late: true });
    fake.batchEvents = 3;
    fake.behaviours.push({ cutAfterFrames: 1 });
    expect(offsets(await takeAll(follow({ execution: 'e1' })))).toEqual([1, 2, 3, 4, 5]);
  });

  test('[STR34] a stream of the session gets them after the end', async () => {
    const stream = follow();
    await until('live', () => stream.state.status === 'live');
    fake.settle('e1', 'failed', { code: 'wrapper_disconnected' });
    await take(stream, 1);
    expect(stream.ends.get('e1')).toBe('failed');
    fake.append('e1', LATE, { late: true });
    expect((await take(stream, 2)).map(({ late }) => late)).toEqual([true, true]);
  });

  test('an end frame that was lost with the connection is replaced by the verdict', async () => {
    fake.tellsEnds = false;
    const stream = follow({ execution: 'e1' });
    const reading = takeAll(stream);
    await until('live', () => stream.state.status === 'live');
    fake.settle('e1', 'completed');
    expect(offsets(await reading)).toEqual([1]);
    expect(controls.at(-1)).toEqual({ type: 'end', execution: 'e1', status: 'completed' });
  });

  test('or, when verdicts are filtered out, by the hello of the next connection', async () => {
    fake.tellsEnds = false;
    const stream = follow({ execution: 'e1', types: ['output'] });
    const reading = takeAll(stream);
    await until('live', () => stream.state.status === 'live');
    fake.settle('e1', 'interrupted');
    fake.cut();
    expect(await reading).toEqual([]);
    expect(stream.state).toMatchObject({ status: 'ended', executionStatus: 'interrupted' });
  });

  test('a complete stream with unread events is not requested again', async () => {
    fake.lines('e1', 2);
    fake.settle('e1', 'completed');
    const stream = follow({ execution: 'e1' });
    await until('all was sent', () => fake.viewers.length === 1 && fake.openViewers.length === 0);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(statuses()).not.toContain('reconnecting');
    expect(offsets(await takeAll(stream))).toEqual([1, 2, 3]);
    expect(stream.state.status).toBe('ended');
  });

  test('nor does reconnect() request it again', async () => {
    fake.lines('e1', 2);
    fake.settle('e1', 'completed');
    let sockets = 0;
    const stream = follow({
      execution: 'e1',
      WebSocketImpl: class extends WebSocket {
        constructor(...args: ConstructorParameters<typeof WebSocket>) {
          super(...args);
          sockets += 1;
        }
      } as unknown as WebSocketConstructor,
    });
    await until('all was sent', () => fake.viewers.length === 1 && fake.openViewers.length === 0);
    expect(offsets(await take(stream, 1))).toEqual([1]);
    stream.reconnect();
    expect(offsets(await takeAll(stream))).toEqual([2, 3]);
    expect(stream.state.status).toBe('ended');
    expect(sockets).toBe(1);
    expect(statuses()).not.toContain('reconnecting');
  });

  test.each([1006, 4404])('nor is one whose verdict has arrived when the connection is lost with %i', async (code) => {
    fake.tellsEnds = false;
    fake.lines('e1', 2);
    fake.settle('e1', 'completed');
    const stream = follow({ execution: 'e1', types: ['output', 'execution_completed'] });
    await until('all was sent', () => stream.state.status === 'live');
    if (code === 1006) fake.cut();
    else fake.newest.socket.close(code, 'session_not_found');
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(statuses()).toEqual(['connecting', 'replaying', 'live']);
    expect(offsets(await takeAll(stream))).toEqual([1, 2, 3]);
    expect(stream.state.status).toBe('ended');
  });

  test('with several executions it ends with the last of them', async () => {
    fake.addExecution('e2');
    const stream = follow({ execution: ['e1', 'e2'] });
    const reading = takeAll(stream);
    await until('live', () => stream.state.status === 'live');
    fake.settle('e1', 'completed');
    await until('the first end', () => stream.ends.size === 1);
    expect(stream.state.status).toBe('live');
    fake.settle('e2', 'failed');
    expect(offsets(await reading)).toEqual([1, 2]);
    expect(stream.state).toMatchObject({ execution: 'e2', executionStatus: 'failed' });
  });
});

describe('options', () => {
  test.each([
    [{ session: 'no/slash' }, /session/],
    [{ after: 1, tail: 1 }, /exclude/],
    [{ after: -1 }, /after/],
    [{ tail: 1.5 }, /tail/],
    [{ url: 'not a url' }, /URL/],
    [{ execution: [] }, /execution is empty: leave it out/],
    [{ types: [] }, /types is empty: leave it out/],
  ])('%o is refused at once', (options, message) => {
    expect(() => follow(options as Partial<SessionStreamOptions>)).toThrow(message);
  });

  test('an API key without a socket that supports headers is refused at once', () => {
    expect(() => connectSession({ url: fake.url, session: 's1', apiKey: 'key' })).toThrow(/browser/);
    expect(() => connectSession({ url: fake.url, session: 's1' })).toThrow(/getTicket or apiKey/);
  });

  test("a listener's error does not stop the stream", async () => {
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', onError);
    try {
      fake.lines('e1', 1);
      fake.settle('e1', 'completed');
      const stream = follow({
        execution: 'e1',
        onState: () => {
          throw new Error('mine');
        },
      });
      expect(offsets(await takeAll(stream))).toEqual([1, 2]);
      await until('the error was reported', () => errors.length > 0);
    } finally {
      process.removeListener('uncaughtException', onError);
      for (const listener of before) process.on('uncaughtException', listener);
    }
  });
});
