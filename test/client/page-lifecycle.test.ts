/**
 * Goal: a hidden page uses no connection attempts, a page that becomes visible connects immediately
 * and once, and no order of signals and faults opens two sockets.
 * Method: the decision as a table; a stream between a fake page and a socket that the test steers,
 * under fake timers; seeded random walks over both; the browser's events on a bare EventTarget.
 */

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  connectSession,
  type PageChange,
  pageOf,
  type SessionStream,
  type SessionStreamOptions,
  type SocketEvents,
  STREAM_TIMINGS,
  type StreamState,
} from '../../client/index.ts';
import { type ConnectionFacts, decideOnPage } from '../../client/stream/page-lifecycle.ts';
import { PING } from '../../protocol/index.ts';
import { FakePage } from './fake-page.ts';

const STALE = STREAM_TIMINGS.staleMs;
const CHANGES: readonly PageChange[] = ['hidden', 'visible', 'restored', 'online', 'offline'];

describe('the action for a change of the page', () => {
  const decide = (change: PageChange, facts: Partial<ConnectionFacts>) =>
    decideOnPage(change, { hidden: false, link: 'open', quietMs: 0, ...facts }, STALE);

  test('[P1] hidden: an open connection is kept, and a pending attempt is cancelled', () => {
    for (const change of CHANGES) {
      expect(decide(change, { hidden: true, link: 'open', quietMs: STALE * 9 })).toBe('none');
      expect(decide(change, { hidden: true, link: 'opening', quietMs: STALE * 9 })).toBe('none');
      expect(decide(change, { hidden: true, link: 'none' })).toBe('pause');
    }
  });

  test.each<[PageChange, Partial<ConnectionFacts>, ReturnType<typeof decideOnPage>]>([
    ['visible', { link: 'none' }, 'comeBack'],
    ['restored', { link: 'none' }, 'comeBack'],
    ['online', { link: 'none' }, 'comeBack'],
    ['offline', { link: 'none' }, 'none'],
    ['visible', { link: 'open', quietMs: STALE }, 'none'],
    ['visible', { link: 'open', quietMs: STALE + 1 }, 'probe'],
    ['restored', { link: 'open' }, 'probe'],
    ['online', { link: 'open' }, 'probe'],
    ['offline', { link: 'open' }, 'probe'],
    ['visible', { link: 'opening', quietMs: STALE }, 'none'],
    ['visible', { link: 'opening', quietMs: STALE + 1 }, 'comeBack'],
    ['online', { link: 'opening', quietMs: 0 }, 'none'],
    ['offline', { link: 'opening', quietMs: STALE * 9 }, 'none'],
  ])('[P2] visible, %s with %o: %s', (change, facts, action) => {
    expect(decide(change, facts)).toBe(action);
  });
});

/** A socket as the stream sees it; the test is the other side. */
interface Peer {
  events: SocketEvents;
  sent: string[];
  open: boolean;
}

const HELLO = JSON.stringify({ type: 'hello', session: 's1', earliest: 1, head: 0, executions: [] });
const CAUGHT_UP = JSON.stringify({ type: 'caught_up', offset: 0 });
const eventsFrom = (offset: number, count = 1) =>
  JSON.stringify({
    type: 'events',
    offset,
    execution: 'e1',
    events: Array.from({ length: count }, () => ({ type: 'output', at: 1, data: {} })),
  });

let page: FakePage;
let peers: Peer[];
let states: StreamState[];
let mostOpen: number;
let madeWhileHidden: number;
let streams: SessionStream[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_763_650_000_000 });
  page = new FakePage();
  peers = [];
  states = [];
  streams = [];
  mostOpen = 0;
  madeWhileHidden = 0;
});
afterEach(() => {
  for (const stream of streams) stream.close();
  vi.useRealTimers();
});

function follow(options: Partial<SessionStreamOptions> = {}): SessionStream {
  const stream = connectSession({
    url: 'https://holdfast.example',
    session: 's1',
    ...(options.getTicket ? {} : { apiKey: 'key' }),
    random: () => 0.5,
    pageLifecycle: page,
    connect: (_request, events) => {
      const peer: Peer = { events, sent: [], open: true };
      peers.push(peer);
      if (page.hidden) madeWhileHidden += 1;
      mostOpen = Math.max(mostOpen, peers.filter(({ open }) => open).length);
      return {
        send: (text) => void peer.sent.push(text),
        close: () => {
          peer.open = false;
        },
      };
    },
    onState: (state) => states.push(state),
    ...options,
  });
  streams.push(stream);
  return stream;
}

const newest = (): Peer => peers.at(-1) as Peer;
const openPeers = (): Peer[] => peers.filter(({ open }) => open);
const statuses = () => states.map(({ status }) => status);

function greet(peer = newest()): void {
  peer.events.open();
  peer.events.message(HELLO);
  peer.events.message(CAUGHT_UP);
}

/** The other side, or the network, ends it. */
function lose(peer = newest(), code = 1006, reason = ''): void {
  peer.open = false;
  peer.events.close({ code, reason });
}

describe('a stream in a page', () => {
  test('[P1] a sound connection stays open while the page is hidden, pings included', async () => {
    const stream = follow();
    greet();
    page.hide();
    newest().events.message(eventsFrom(1));
    expect(await stream[Symbol.asyncIterator]().next()).toMatchObject({ value: { offset: 1 } });
    await vi.advanceTimersByTimeAsync(STREAM_TIMINGS.pingMs);
    expect(newest().sent).toContain('ping');
    expect([stream.state.status, peers.length]).toEqual(['live', 1]);
  });

  test('[P1] lost while hidden: paused, without a timer, an attempt or a count', async () => {
    const stream = follow();
    greet();
    await vi.advanceTimersByTimeAsync(60);
    page.hide();
    lose();
    expect(stream.state).toEqual({ status: 'paused', reason: 'the connection was lost' });
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(peers.length).toBe(1);
    page.show();
    expect(peers.length).toBe(2);
    lose();
    expect(stream.state).toMatchObject({ status: 'reconnecting', attempt: 1 });
  });

  test('[P1] hidden while it waits for the next attempt: the wait ends, and the return connects without a delay', async () => {
    const stream = follow();
    for (let index = 0; index < 6; index += 1) {
      lose();
      await vi.advanceTimersToNextTimerAsync();
    }
    lose();
    expect(stream.state).toMatchObject({ status: 'reconnecting', attempt: 7 });
    page.hide();
    expect([stream.state.status, vi.getTimerCount()]).toEqual(['paused', 0]);
    const made = peers.length;
    page.show();
    expect(peers.length).toBe(made + 1);
    greet();
    expect(stream.state.status).toBe('live');
  });

  test('[P1] an attempt in progress may still succeed; when it fails there is no other', async () => {
    const stream = follow();
    page.hide();
    lose();
    expect(stream.state.status).toBe('paused');
    page.show();
    page.hide();
    greet();
    expect(stream.state.status).toBe('live');
    expect([peers.length, madeWhileHidden]).toEqual([2, 0]);
  });

  test('[P1] a page that is opened hidden connects when it first becomes visible', () => {
    page = new FakePage(true);
    const stream = follow();
    expect([stream.state.status, peers.length, vi.getTimerCount()]).toEqual(['paused', 0, 0]);
    page.show();
    expect([stream.state.status, peers.length]).toEqual(['connecting', 1]);
  });

  test('[P1] the budget of giveUpAfterMs does not run while the page is hidden', async () => {
    const stream = follow({ giveUpAfterMs: 10_000 });
    greet();
    await vi.advanceTimersByTimeAsync(6_000);
    page.hide();
    lose();
    await vi.advanceTimersByTimeAsync(3_600_000);
    page.show();
    lose();
    expect(stream.state).toMatchObject({ status: 'reconnecting' });
  });

  test('[P1] a final refusal is final on a hidden page, too', () => {
    const stream = follow();
    greet();
    page.hide();
    lose(newest(), 4404, 'deleted');
    expect(stream.state).toMatchObject({ status: 'failed', code: 'session_not_found' });
    page.show();
    expect(peers.length).toBe(1);
  });

  test('[P1] a ticket that was refused while hidden is replaced on the return, once', async () => {
    let made = 0;
    const stream = follow({ getTicket: () => `t${++made}` });
    await vi.advanceTimersByTimeAsync(0);
    page.hide();
    lose(newest(), 4401, 'ticket_expired');
    expect([stream.state.status, made]).toEqual(['paused', 1]);
    page.show();
    await vi.advanceTimersByTimeAsync(0);
    expect([made, peers.length]).toEqual([2, 2]);
    lose(newest(), 4401, 'ticket_expired');
    expect(stream.state).toMatchObject({ status: 'failed', code: 'unauthorized' });
  });

  test('[P3] visible, pageshow and online together make one connection and one ticket', async () => {
    let made = 0;
    follow({ getTicket: () => `t${++made}` });
    await vi.advanceTimersByTimeAsync(0);
    greet();
    page.hide();
    lose();
    page.show();
    page.tell('restored');
    page.tell('online');
    await vi.advanceTimersByTimeAsync(0);
    page.tell('visible');
    await vi.advanceTimersByTimeAsync(0);
    expect([made, peers.length, openPeers().length]).toEqual([2, 2, 1]);
  });

  test('concurrent calls to reconnect share one attempt, and a later call gets another', async () => {
    const stream = follow();
    greet();
    for (let caller = 0; caller < 5; caller += 1) stream.reconnect();
    expect([peers.length, openPeers().length]).toEqual([2, 1]);
    // The attempt hangs, and the user presses the button.
    await vi.advanceTimersByTimeAsync(3_000);
    stream.reconnect();
    expect([peers.length, openPeers().length]).toEqual([3, 1]);
  });

  test('a failed attempt leaves nothing behind: the next caller gets a new one', async () => {
    let down = true;
    const stream = follow({
      getTicket: () => {
        if (down) throw new Error('no network');
        return 't';
      },
    });
    await vi.advanceTimersByTimeAsync(0);
    expect(stream.state).toMatchObject({ status: 'reconnecting', reason: 'no ticket: no network' });
    down = false;
    stream.reconnect();
    await vi.advanceTimersByTimeAsync(0);
    greet();
    expect([stream.state.status, peers.length]).toEqual(['live', 1]);
  });

  test('a ticket for a superseded attempt opens no socket', async () => {
    const give: ((ticket: string) => void)[] = [];
    const stream = follow({
      getTicket: () => new Promise((resolve) => give.push(resolve)),
      timings: { connectMs: STALE * 2 },
    });
    await vi.advanceTimersByTimeAsync(STALE + 1);
    page.tell('online');
    expect(give.length).toBe(2);
    give[0]?.('old');
    await vi.advanceTimersByTimeAsync(0);
    expect(peers.length).toBe(0);
    give[1]?.('new');
    await vi.advanceTimersByTimeAsync(0);
    expect(peers.length).toBe(1);
    greet();
    expect(stream.state.status).toBe('live');
  });

  test('[P2] after a short time in another tab a fresh connection is not probed', () => {
    follow();
    greet();
    page.hide();
    vi.advanceTimersByTime(5_000);
    page.show();
    expect([newest().sent.filter((text) => text === PING), peers.length]).toEqual([[], 1]);
  });

  test('[P2] a connection that was silent for long has to answer within the short time, or it is replaced', async () => {
    const stream = follow({ timings: { pingMs: 600_000 } });
    greet();
    page.hide();
    await vi.advanceTimersByTimeAsync(STALE + 1);
    page.show();
    page.tell('restored');
    page.tell('online');
    expect(newest().sent.filter((text) => text === PING)).toEqual([PING]); // P3
    newest().events.message('pong');
    await vi.advanceTimersByTimeAsync(60_000);
    expect([peers.length, stream.state.status]).toEqual([1, 'live']);

    page.tell('online');
    await vi.advanceTimersByTimeAsync(STREAM_TIMINGS.probeMs);
    expect(stream.state).toMatchObject({ status: 'reconnecting', reason: 'the connection is silent' });
    await vi.advanceTimersByTimeAsync(1);
    expect([peers.length, openPeers().length]).toEqual([2, 1]);
  });

  test('[P3] repeated signals do not postpone the timeout of a dead connection', async () => {
    const stream = follow({ timings: { pingMs: 600_000 } });
    greet();
    for (let second = 0; second < 5; second += 1) {
      page.tell('online');
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect([newest().sent.length, stream.state.status]).not.toEqual([5, 'live']);
    expect(statuses()).toContain('reconnecting');
  });

  test('[P4] offline alone closes nothing and stops nothing', async () => {
    const stream = follow();
    greet();
    page.tell('offline');
    newest().events.message('pong');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(stream.state.status).toBe('live');
    lose();
    page.tell('offline');
    await vi.advanceTimersByTimeAsync(10);
    expect(peers.length).toBe(2);
  });

  test.each(['reconnect', 'probe'] as const)('%s() on a hidden page works, because the user asked for it', (method) => {
    page = new FakePage(true);
    const stream = follow();
    stream[method]();
    expect([stream.state.status, peers.length]).toEqual(['connecting', 1]);
  });

  test('buffered events are consumed before the return connects, and the state says what it waits for', async () => {
    const stream = follow();
    greet();
    newest().events.message(eventsFrom(1, 2));
    page.hide();
    lose();
    page.show();
    expect(stream.state).toMatchObject({ status: 'reconnecting', reason: 'waiting for the consumer' });
    page.tell('online');
    expect(peers.length).toBe(1);
    const events = stream[Symbol.asyncIterator]();
    await events.next();
    await events.next();
    const third = events.next();
    await vi.advanceTimersByTimeAsync(0);
    expect([peers.length, stream.state.status]).toEqual([2, 'connecting']);
    greet();
    newest().events.message(eventsFrom(3));
    expect(await third).toMatchObject({ value: { offset: 3 } });
  });

  const verdict = { type: 'events', offset: 1, execution: 'e1', events: [{ type: 'execution_completed', at: 1, data: {} }] };

  test.each([
    ['its verdict', verdict, 1006, ''],
    ['its end', { type: 'end', execution: 'e1', status: 'completed' }, 1000, 'ended'],
  ])(
    'a stream that has received %s is complete: a return does not connect it again, nor is it paused',
    async (_what, frame, code, reason) => {
      const stream = follow({ execution: 'e1' });
      greet();
      newest().events.message(JSON.stringify(frame));
      lose(newest(), code, reason);
      page.hide();
      page.show();
      page.tell('online');
      expect(peers.length).toBe(1);
      for await (const event of stream) expect(event.offset).toBe(1);
      expect(statuses()).toEqual(['connecting', 'replaying', 'live', 'ended']);
    },
  );

  test('it removes its listeners when it is over, and adds them again with reconnect()', () => {
    const stream = follow();
    expect(page.listeners.size).toBe(1);
    lose(newest(), 4404);
    expect(page.listeners.size).toBe(0);
    stream.reconnect();
    expect(page.listeners.size).toBe(1);
    stream.close();
    expect(page.listeners.size).toBe(0);
  });

  test('without a page (null) nothing is paused', async () => {
    page = new FakePage(true);
    const stream = follow({ pageLifecycle: null });
    expect(stream.state.status).toBe('connecting');
    lose();
    await vi.advanceTimersByTimeAsync(0);
    expect(peers.length).toBe(2);
  });
});

describe('any sequence of events', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('hide' as const, 'show' as const) },
    { weight: 2, arbitrary: fc.constantFrom('restored' as const, 'online' as const, 'offline' as const, 'visible' as const) },
    {
      weight: 4,
      arbitrary: fc.constantFrom('greet' as const, 'lose' as const, 'events' as const, 'refuse' as const, 'take' as const),
    },
    { weight: 2, arbitrary: fc.nat(40_000).map((ms) => ({ ms })) },
  );

  test('[P1] [P3] never two sockets, no attempt on a hidden page, no timer while paused, and a visible page can always make progress', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), fc.boolean(), async (steps, startHidden) => {
        page = new FakePage(startHidden);
        peers = [];
        mostOpen = 0;
        let begunWhileHidden = 0;
        let offset = 0;
        let refusals = 0;
        // The start of an attempt. Its socket may open after the page was hidden: an attempt in
        // progress is kept.
        const getTicket = () => {
          if (page.hidden) begunWhileHidden += 1;
          return 't';
        };
        const stream = follow({ getTicket, timings: { soundMs: 0 } });
        const events = stream[Symbol.asyncIterator]();
        const attempts = () => (stream.state.status === 'reconnecting' ? stream.state.attempt : 0);
        try {
          for (const action of steps) {
            const before = { attempts: attempts(), hidden: page.hidden };
            const peer = peers.at(-1);
            if (typeof action === 'object') await vi.advanceTimersByTimeAsync(action.ms);
            else if (action === 'hide') page.hide();
            else if (action === 'show') page.show();
            else if (action === 'take') void events.next();
            else if (action === 'greet') {
              if (peer?.open) {
                greet(peer);
                refusals = 0;
              }
            } else if (action === 'lose') {
              if (peer?.open) lose(peer);
            } else if (action === 'refuse') {
              if (peer?.open && refusals++ === 0) lose(peer, 4401);
            } else if (action === 'events') {
              if (peer?.open) {
                greet(peer);
                refusals = 0;
                peer.events.message(eventsFrom(++offset));
              }
            } else page.tell(action);
            await vi.advanceTimersByTimeAsync(0);
            if (before.hidden && page.hidden) expect(attempts()).toBeLessThanOrEqual(before.attempts);
            if (stream.state.status === 'paused') {
              expect(page.hidden).toBe(true);
              expect(vi.getTimerCount()).toBe(0);
              expect(openPeers().length).toBe(0);
            }
            if (stream.state.status === 'failed') return;
          }
          expect(mostOpen).toBeLessThanOrEqual(1);
          expect(begunWhileHidden).toBe(0);
          page.show();
          for (let index = 0; index < offset + 1; index += 1) void events.next();
          await vi.advanceTimersByTimeAsync(30_000);
          expect(openPeers().length + vi.getTimerCount()).toBeGreaterThan(0);
        } finally {
          stream.close();
          expect(openPeers().length).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("the browser's events", () => {
  class Document extends EventTarget {
    visibilityState = 'visible';
  }
  class Scope extends EventTarget {
    document = new Document();
  }

  test('visibilitychange, pageshow of a restored page, resume, online and offline are forwarded; a first pageshow is not', () => {
    const scope = new Scope();
    const told: string[] = [];
    const lifecycle = pageOf(scope);
    const leave = lifecycle?.onChange((change) => told.push(change));
    const show = (persisted: boolean) => scope.dispatchEvent(Object.assign(new Event('pageshow'), { persisted }));
    show(false);
    scope.document.visibilityState = 'hidden';
    scope.document.dispatchEvent(new Event('visibilitychange'));
    expect(lifecycle?.hidden).toBe(true);
    scope.document.visibilityState = 'visible';
    scope.document.dispatchEvent(new Event('visibilitychange'));
    show(true);
    scope.document.dispatchEvent(new Event('resume'));
    scope.dispatchEvent(new Event('online'));
    scope.dispatchEvent(new Event('offline'));
    expect(told).toEqual(['hidden', 'visible', 'restored', 'restored', 'online', 'offline']);
    leave?.();
    show(true);
    expect(told.length).toBe(6);
  });

  test('there is no page in Node, in a Worker, or with an incomplete document', () => {
    expect(pageOf()).toBe(null);
    expect(pageOf(new EventTarget())).toBe(null);
    expect(pageOf({ document: {} })).toBe(null);
    expect(pageOf({ document: new Document() })).toBe(null);
  });
});
