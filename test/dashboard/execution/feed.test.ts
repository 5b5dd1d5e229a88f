/**
 * The feed against a run in memory: what it asks for, what the model gets, and what it says when
 * things go wrong.
 */

import { afterEach, describe, expect, test, vi } from 'vitest';
import { ExecutionFeed } from '../../../dashboard/src/execution/feed.ts';
import { FakeRun, problem, settle } from './fake-run.ts';
import { ended, event, line, madeExecution } from './made.ts';

const feeds: ExecutionFeed[] = [];

afterEach(() => {
  for (const feed of feeds.splice(0)) feed.close();
  vi.useRealTimers();
});

async function opened(run: FakeRun, at: number | null = null): Promise<ExecutionFeed> {
  const feed = new ExecutionFeed(run.options(at));
  feeds.push(feed);
  await feed.start();
  return feed;
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => line(index + 1, `l${index + 1}\n`, index + 1));
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe('opening', () => {
  test('a long run opens near the tail and offers what is older', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    expect(run.stream.options).toMatchObject({ after: 4_000, execution: 'e1', session: 's1' });
    run.replay();
    await settle();
    run.catchUp();
    expect(run.model.offsets).toEqual(range(4_001, 5_000));
    expect(feed.snapshot).toMatchObject({
      load: { state: 'ready' },
      caughtUp: true,
      older: { state: 'available' },
      history: 'partial',
    });
    expect(run.model.started).toBe(false);
  });

  test('a settled run opens near its own last offset, whatever followed it in the session', async () => {
    const run = new FakeRun(ended('completed', { lastOffset: 5_000 }), numbered(5_000));
    run.head = 90_000;
    await opened(run);
    expect(run.stream.options.after).toBe(4_000);
  });

  test('with a ticket of the run alone: near the head, without asking for what it may not read', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    run.ticketOnly = true;
    await opened(run);
    expect(run.stream.options.after).toBe(4_000);
    expect(run.reads).toEqual(['tail']);
    expect(run.sessionReads).toBe(0);
  });

  test('with such a ticket and an expired beginning: where the log begins', async () => {
    const run = new FakeRun(madeExecution({ firstOffset: 10 }), numbered(3_000).slice(9));
    run.ticketOnly = true;
    run.earliest = 2_500;
    const feed = await opened(run);
    run.stream.setState({ status: 'failed', code: 'offset_expired', reason: 'x' });
    await settle();
    expect(run.stream.options.after).toBe(2_499);
    expect(feed.snapshot.expiredBefore).toBe(2_500);
  });

  test('a short run is whole at once', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    expect(run.stream.options.after).toBe(0);
    expect(run.model.started).toBe(true);
    expect(feed.snapshot).toMatchObject({ older: { state: 'none' }, history: 'complete', expiredBefore: null });
  });

  test('a log whose beginning has expired shows where it begins, and numbers no lines from there', async () => {
    const run = new FakeRun(madeExecution(), numbered(50));
    run.earliest = 31;
    const feed = await opened(run);
    expect(run.stream.options.after).toBe(30);
    expect(feed.snapshot.expiredBefore).toBe(31);
    expect(run.model.started).toBe(false);
  });

  test('each connection asks for a fresh ticket', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    await opened(run);
    expect([await run.stream.options.getTicket?.(), await run.stream.options.getTicket?.()]).toEqual(['t1', 't2']);
  });

  test.each([
    [problem(404, 'execution_not_found'), 'not_found'],
    [problem(401, 'unauthorized'), 'refused'],
    [problem(0, 'unreachable'), 'failed'],
  ])('load failures are distinguished: %s', async (error, state) => {
    const run = new FakeRun(madeExecution());
    run.getErrors.push(error);
    expect((await opened(run)).snapshot.load.state).toBe(state);
    expect(run.streams).toHaveLength(0);
  });
});

describe('older events', () => {
  test('are loaded upwards until the log is whole', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    run.replay();
    await settle();
    feed.loadOlder();
    await vi.waitFor(() => expect(run.model.offsets[0]).toBe(3_001));
    feed.loadAll();
    await vi.waitFor(() => expect(feed.snapshot.older.state).toBe('none'));
    expect(run.model.offsets).toEqual(range(1, 5_000));
    expect(run.model.started).toBe(true);
    expect(feed.snapshot.history).toBe('complete');
  });

  test('that expire meanwhile end the loading honestly', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.earliest = 2_500;
    feed.loadAll();
    await vi.waitFor(() => expect(feed.snapshot.older.state).toBe('none'));
    expect(run.model.offsets).toEqual(range(2_500, 5_000));
    expect(feed.snapshot.expiredBefore).toBe(2_500);
    expect(run.model.started).toBe(false);
  });

  test('a failure is shown and does not end the feed', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    run.readErrors.push(problem(0, 'unreachable'));
    feed.loadOlder();
    await vi.waitFor(() => expect(feed.snapshot.older).toMatchObject({ state: 'available', error: { code: 'unreachable' } }));
    // The view is still near the top and asks again at once: that must not become a loop of
    // requests.
    const asked = run.reads.length;
    feed.loadOlder();
    await settle();
    expect(run.reads).toHaveLength(asked);
    feed.retryOlder();
    await vi.waitFor(() => expect(run.model.offsets[0]).toBe(3_001));
    expect(feed.snapshot.older.error).toBeNull();
  });
});

describe('going to a line', () => {
  test('of the page that opens: its place is found with few reads, and the log is read on from there', async () => {
    const run = new FakeRun(madeExecution(), numbered(50_000));
    run.pageEvents = 1_000;
    const feed = await opened(run, 12_345);
    expect(run.reads.length).toBeLessThanOrEqual(5);
    expect(run.stream.options.after).toBe(12_144);
    const going = feed.goToLine(12_345);
    run.replay();
    expect(await going).toBe(true);
    expect(run.model.offsets[0]).toBe(12_145);
  });

  test('above what is loaded: older events are loaded until it is there', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    expect(await feed.goToLine(3_500)).toBe(true);
    expect(run.model.offsets[0]).toBe(3_001);
    expect(await feed.goToLine(4_900)).toBe(true);
  });

  test('below the end: the line does not exist', async () => {
    const run = new FakeRun(madeExecution(), numbered(100));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    expect(await feed.goToLine(100)).toBe(true);
    expect(await feed.goToLine(101)).toBe(false);
  });

  test('whose beginning has expired: the line no longer exists', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    run.earliest = 3_000;
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    expect(await feed.goToLine(20)).toBe(false);
    expect(run.model.offsets[0]).toBe(3_000);
  });

  test('a newer wish, a cancel and the end of the page all end an older wish', async () => {
    const run = new FakeRun(madeExecution(), numbered(50_000));
    run.pageEvents = 100;
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    const first = feed.goToLine(10);
    const second = feed.goToLine(20);
    expect(await first).toBe(false);
    expect(feed.snapshot.older.goal).toBe('line');
    feed.cancelLoading();
    expect(await second).toBe(false);
    expect(feed.snapshot.older.goal).toBeNull();
    const third = feed.goToLine(10);
    feed.close();
    expect(await third).toBe(false);
  });
});

describe('an event that a link names', () => {
  test('of the page that opens: the log is read from a little above it', async () => {
    const run = new FakeRun(madeExecution(), numbered(50_000));
    const feed = new ExecutionFeed({ ...run.options(), offset: 12_345 });
    feeds.push(feed);
    await feed.start();
    expect(run.stream.options.after).toBe(12_145);
    const going = feed.goToOffset(12_345);
    run.replay();
    expect(await going).toBe(true);
    expect(run.model.offsets[0]).toBe(12_146);
  });

  test('above what is loaded: older events are loaded until it is there, and loading can be cancelled', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    expect(await feed.goToOffset(3_500)).toBe(true);
    expect(run.model.offsets[0]).toBe(3_001);
    const going = feed.goToOffset(5);
    feed.cancelLoading();
    expect(await going).toBe(false);
  });
});

describe('[F4] the second source of the status', () => {
  test('a stream that fails is followed by a look at the object', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.execution = ended('failed', { code: 'wrapper_disconnected' });
    run.stream.setState({ status: 'failed', code: 'unauthorized', reason: 'x' });
    await settle();
    expect(feed.snapshot.facts?.execution.status).toBe('failed');
    expect(feed.snapshot.stream?.status).toBe('failed');
  });

  test('a doubtful state is looked at again, a live one is not', async () => {
    vi.useFakeTimers();
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.stream.setState({ status: 'live' });
    for (let offset = 21; offset <= 26; offset += 1) {
      await vi.advanceTimersByTimeAsync(10_000);
      run.stream.send(line(offset, 'x\n'));
    }
    expect(run.gets).toBe(1);
    run.stream.setState({ status: 'reconnecting', attempt: 1, retryInMs: 500, code: 1006, reason: '' });
    run.execution = ended('completed');
    await vi.advanceTimersByTimeAsync(16_000);
    expect(feed.snapshot.facts?.execution.status).toBe('completed');
    const asked = run.gets;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(run.gets).toBe(asked);
  });

  test('a quiet wrapper is checked after two heartbeats, then once a minute, and more often when it is silent', async () => {
    vi.useFakeTimers();
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.stream.setState({ status: 'live' });
    run.execution = madeExecution({ lastHeardAt: Date.now() + 25_000 });
    await vi.advanceTimersByTimeAsync(29_000);
    expect(run.gets).toBe(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(run.gets).toBe(2);
    // It was heard 5 s ago, so nothing is wrong yet; then it freezes.
    await vi.advanceTimersByTimeAsync(45_000);
    expect(run.gets).toBe(4);
    expect(feed.snapshot.facts?.execution.lastHeardAt).toBe(run.execution.lastHeardAt);
    run.stream.send(line(21, 'it is back\n'));
    await vi.advanceTimersByTimeAsync(1);
    expect(feed.snapshot.facts?.execution.lastHeardAt).toBeUndefined();
  });

  test('an overdue grace is doubtful even though the stream is live', async () => {
    vi.useFakeTimers();
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.catchUp();
    run.stream.send(event(21, 'wrapper_disconnected', { graceUntil: Date.now() + 5_000 }));
    await vi.advanceTimersByTimeAsync(1);
    expect(feed.snapshot.facts?.wrapper.state).toBe('disconnected');
    run.execution = ended('failed', { code: 'wrapper_disconnected' });
    await vi.advanceTimersByTimeAsync(16_000);
    expect(feed.snapshot.facts?.execution.status).toBe('failed');
  });

  test('a session that is deleted while it is watched keeps its log on the page and is reported', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.getErrors.push(problem(404, 'session_not_found'));
    run.stream.setState({ status: 'failed', code: 'not_found', reason: 'deleted' });
    await settle();
    expect(feed.snapshot.gone).toBe(true);
    expect(run.model.offsets).toHaveLength(20);
    expect(feed.reconnect()).toBe(false);
  });
});

describe('a session that is deleted and made again', () => {
  const shown = async (): Promise<{ run: FakeRun; feed: ExecutionFeed }> => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    run.saysGeneration = true;
    run.sessionMadeAt = 1_000;
    const feed = await opened(run);
    run.replay();
    await settle();
    run.catchUp();
    return { run, feed };
  };
  /** The same names, another run, another log. */
  const makeAgain = (run: FakeRun): void => {
    run.sessionMadeAt = 2_000;
    run.execution = madeExecution({ createdAt: run.execution.createdAt + 60_000 });
    run.log = run.log.map((one) => ({ ...one, data: { ...one.data, text: 'new\n' } }));
  };

  test('[STR30] every read and every stream names the log', async () => {
    const { run, feed } = await shown();
    expect(run.stream.options.generation).toBe('rs');
    feed.loadAll();
    await settle();
    await feed.loadHistory();
    expect(new Set(run.generations)).toEqual(new Set(['rs']));
    expect(run.streams.map(({ options }) => options.generation)).toEqual(run.streams.map(() => 'rs'));
  });

  test('[STR30] with a ticket of the run alone the first page names the log’s generation', async () => {
    const run = new FakeRun(madeExecution(), numbered(5_000));
    run.ticketOnly = true;
    run.saysGeneration = true;
    run.sessionMadeAt = 1_000;
    await opened(run);
    expect(run.stream.options.generation).toBe('rs');
  });

  test('[STR30] older events of the new log are not put before those of the old one', async () => {
    const { run, feed } = await shown();
    makeAgain(run);
    feed.loadAll();
    await settle();
    expect(run.model.offsets).toEqual(range(4_001, 5_000));
    expect(feed.snapshot).toMatchObject({ gone: true, replaced: true, older: { error: null } });
    expect(feed.reconnect()).toBe(false);
  });

  test('[STR30] a stream that is refused for it, and an object that is another run, say the same', async () => {
    for (const find of [
      (run: FakeRun) => run.stream.setState({ status: 'failed', code: 'log_replaced', reason: 'x' }),
      (_run: FakeRun, feed: ExecutionFeed) => void feed.refresh(),
    ]) {
      const { run, feed } = await shown();
      const { facts } = feed.snapshot;
      makeAgain(run);
      find(run, feed);
      await settle();
      expect(feed.snapshot).toMatchObject({ gone: true, replaced: true });
      expect(feed.snapshot.facts?.execution).toEqual(facts?.execution);
      expect(run.stream.closed).toBe(true);
    }
  });

  test('[STR30] where the new session has no such run, it was deleted', async () => {
    const { run, feed } = await shown();
    run.getErrors.push(problem(404, 'execution_not_found'));
    run.stream.setState({ status: 'failed', code: 'log_replaced', reason: 'x' });
    await settle();
    expect(feed.snapshot).toMatchObject({ gone: true, replaced: false });
  });
});

describe('reconnecting', () => {
  test('after a failure the same stream resumes where it stopped', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.stream.setState({ status: 'failed', code: 'unreachable', reason: 'x' });
    await settle();
    expect(feed.reconnect()).toBe(true);
    expect(run.streams).toHaveLength(1);
    run.stream.send(line(21, 'more\n', 21));
    await settle();
    expect(run.model.offsets).toEqual(range(1, 21));
  });

  test('a place that is gone needs a new beginning', async () => {
    const run = new FakeRun(madeExecution(), numbered(20));
    const feed = await opened(run);
    run.replay();
    await settle();
    run.stream.setState({ status: 'failed', code: 'offset_expired', reason: 'x' });
    await settle();
    expect(feed.reconnect()).toBe(false);
  });

  test('events that expired between the read of the log and the connection are skipped automatically, once', async () => {
    const run = new FakeRun(madeExecution(), numbered(3_000));
    const feed = await opened(run);
    expect(run.stream.options.after).toBe(2_000);
    run.earliest = 2_500;
    run.stream.setState({ status: 'failed', code: 'offset_expired', reason: 'x' });
    await settle();
    expect(run.streams).toHaveLength(2);
    expect(run.stream.options.after).toBe(2_499);
    expect(feed.snapshot.expiredBefore).toBe(2_500);
    run.streams[0]?.setState({ status: 'live' });
    expect(feed.snapshot.stream?.status).toBe('connecting');
  });
});

describe('the timeline’s history', () => {
  test('is read by a stream of its own that asks for the facts only', async () => {
    const log = numbered(5_000);
    log[1] = event(2, 'status', { message: 'early' });
    const run = new FakeRun(madeExecution(), log);
    const feed = await opened(run);
    const loading = feed.loadHistory();
    expect(feed.snapshot.history).toBe('loading');
    const { options } = run.stream;
    expect(options).toMatchObject({ after: 0, execution: 'e1' });
    expect(options.types).toContain('wrapper_reconnected');
    expect(options.types).not.toContain('output');
    run.stream.send(event(2, 'status', { message: 'early' }));
    await settle();
    options.onControl?.({ type: 'caught_up', offset: 5_000 });
    await loading;
    expect(run.stream.closed).toBe(true);
    expect(feed.snapshot.history).toBe('complete');
    expect(feed.snapshot.facts?.timeline.entries.map(({ title }) => title)).toEqual(['early']);
    expect(run.model.offsets).toEqual([]);
  });
});

test('[F5] after close nothing is open and nothing changes', async () => {
  const run = new FakeRun(madeExecution(), numbered(20));
  const feed = await opened(run);
  let changes = 0;
  feed.subscribe(() => {
    changes += 1;
  });
  feed.close();
  run.stream.send(line(21, 'x\n'));
  run.stream.setState({ status: 'live' });
  await settle();
  expect(run.stream.closed).toBe(true);
  expect(changes).toBe(0);
  expect(run.model.offsets).toEqual([]);
});
