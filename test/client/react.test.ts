/**
 * Goal: a component sees the events of a session and its state, and there is one stream however
 * often the component mounts and unmounts.
 * Method: React in happy-dom against a coordinator that a test steers. The tests count the
 * WebSocket upgrades that arrive there.
 */

import { GlobalRegistrator } from './happy-dom.ts';

const dom = new GlobalRegistrator();

import { createElement, type ReactNode, StrictMode } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import {
  type ConnectSocket,
  connectorOf,
  createClient,
  type HoldfastClient,
  type WebSocketConstructor,
} from '../../client/index.ts';
import { type UseExecution, type UseSession, type UseSessionOptions, useExecution, useSession } from '../../client/react.ts';
import { FakeSession, until } from '../support/fake-session.ts';

const connect: ConnectSocket = connectorOf(WebSocket as unknown as WebSocketConstructor);

let fake: FakeSession;
let client: HoldfastClient;
let roots: Root[];
let renderings: number;
let seen: UseSession | null;

beforeEach(async () => {
  fake = await new FakeSession().start();
  fake.addExecution('e1');
  client = createClient({ url: fake.url, apiKey: 'key', connect, fetch });
  roots = [];
  renderings = 0;
  seen = null;
});
afterEach(async () => {
  for (const root of roots) root.unmount();
  await fake.stop();
});
afterAll(() => dom.close());

function put(node: ReactNode): Root {
  const root = createRoot(dom.element() as never);
  roots.push(root);
  root.render(node);
  return root;
}

const View = (options: Partial<UseSessionOptions> & { tell?: (session: UseSession) => void }) => {
  const { tell, ...rest } = options;
  const session = useSession({ client, session: 's1', ...rest } as UseSessionOptions);
  renderings += 1;
  seen = session;
  tell?.(session);
  return createElement('p', null, session.events.map(({ data }) => data.text as string).join(''));
};

const offsets = (session: UseSession | null): number[] => (session?.events ?? []).map(({ offset }) => offset);
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const settle = (ms = 60) => new Promise((resolve) => setTimeout(resolve, ms));

describe('one stream', () => {
  test('in Strict Mode, which mounts every component twice', async () => {
    fake.lines('e1', 3);
    put(createElement(StrictMode, null, createElement(View)));
    await until('live', () => seen?.state.status === 'live' && seen.events.length === 3);
    fake.lines('e1', 2, 4);
    await until('five', () => seen?.events.length === 5);
    await settle();
    expect(fake.upgrades.length).toBe(1);
    expect(offsets(seen)).toEqual(upTo(5));
  });

  test('for several components with the same request, each with functions of its own', async () => {
    fake.lines('e1', 3);
    const all = new Map<number, UseSession>();
    const views = upTo(5).map((key) =>
      createElement(View, {
        key,
        ...({ client: undefined, url: fake.url, getTicket: () => `t${key}` } as object),
        connect,
        tell: (session: UseSession) => all.set(key, session),
      }),
    );
    put(createElement(StrictMode, null, views));
    await until('all', () => all.size === 5 && [...all.values()].every(({ events }) => events.length === 3));
    await settle();
    expect(fake.upgrades.length).toBe(1);
    expect(new Set([...all.values()].map(({ events }) => events)).size).toBe(1);
  });

  test('for a component that unmounts and mounts again, with all of its events', async () => {
    fake.lines('e1', 3);
    const root = put(createElement(View));
    await until('three', () => seen?.events.length === 3);
    root.render(null);
    await settle();
    seen = null;
    root.render(createElement(View));
    await until('at once', () => seen !== null);
    expect(offsets(seen)).toEqual(upTo(3));
    await settle();
    expect(fake.upgrades.length).toBe(1);
  });

  test('which is closed a moment after the last component has unmounted', async () => {
    const root = put(createElement(View));
    await until('live', () => seen?.state.status === 'live');
    root.unmount();
    await settle();
    expect(fake.openViewers.length).toBe(1);
    await until('closed', () => fake.openViewers.length === 0);
  });

  test('a different request is another stream: session, filter, tail, client, scope', async () => {
    fake.lines('e1', 3);
    const other = createClient({ url: fake.url, apiKey: 'key', connect, fetch });
    const options: Partial<UseSessionOptions>[] = [{}, { types: ['output'] }, { tail: 1 }, { client: other }, { scope: 'b' }];
    put(options.map((item, key) => createElement(View, { key, ...item })));
    await until('five', () => fake.viewers.length === 5);
    await settle();
    expect(fake.upgrades.length).toBe(5);
  });

  test('a changed request leads to the new stream, and the old events are not shown for it', async () => {
    fake.lines('e1', 3);
    const root = put(createElement(View));
    await until('three', () => seen?.events.length === 3);
    root.render(createElement(View, { tail: 1 }));
    await until('the tail', () => fake.viewers.length === 2 && seen?.events.length === 1);
    expect(offsets(seen)).toEqual([3]);
  });

  test('a mounted component provides the credential, not an unmounted one', async () => {
    const asked: string[] = [];
    const view = (name: string) =>
      createElement(View, {
        ...({ client: undefined, url: fake.url } as object),
        connect,
        timings: { retryBaseMs: 1 },
        getTicket: () => {
          asked.push(name);
          return 't';
        },
      });
    const first = put(view('first'));
    await until('live', () => seen?.state.status === 'live');
    put(view('second'));
    await settle();
    first.unmount();
    await settle();
    fake.cut();
    await until('again', () => fake.viewers.length === 2);
    expect(asked).toEqual(['first', 'second']);
  });

  test('the credential function of the newest rendering is used', async () => {
    const asked: number[] = [];
    const view = (rendering: number) =>
      createElement(View, {
        ...({ client: undefined, url: fake.url } as object),
        connect,
        timings: { retryBaseMs: 1 },
        getTicket: () => {
          asked.push(rendering);
          return 't';
        },
      });
    const root = put(view(1));
    await until('live', () => seen?.state.status === 'live');
    root.render(view(2));
    await settle();
    fake.cut();
    await until('again', () => fake.viewers.length === 2);
    expect(asked).toEqual([1, 2]);
  });

  test('no stream while it is not enabled, nor on a server', async () => {
    put(createElement(View, { enabled: false }));
    await until('rendered', () => seen !== null);
    expect(renderToString(createElement(View))).toBe('<p></p>');
    await settle();
    expect(fake.upgrades.length).toBe(0);
    expect(seen?.state).toEqual({ status: 'connecting', attempt: 0 });
  });
});

describe('what a component sees', () => {
  test('a replay of thousands of events in few renderings, bounded by maxEvents', async () => {
    fake.lines('e1', 4_000);
    put(createElement(View, { maxEvents: 500 }));
    await until('all', () => seen?.caughtUp === true && seen.events.at(-1)?.offset === 4_000);
    expect(seen?.events.length).toBe(500);
    expect(offsets(seen)).toEqual(upTo(4_000, 3_501));
    expect(seen?.dropped).toBe(3_500);
    // At most one for each of the 80 frames, on the slowest machine.
    expect(renderings).toBeLessThan(90);
    const before = seen?.events;
    fake.lines('e1', 1, 4_001);
    await until('one more', () => seen?.dropped === 3_501);
    expect(before?.length).toBe(500);
    expect(seen?.events).not.toBe(before);
  });

  test('the state of the connection, and the way back from a failure', async () => {
    fake.behaviours.push({ close: 4404, reason: 'session_not_found' });
    put(createElement(View));
    await until('failed', () => seen?.error?.code === 'session_not_found');
    expect(seen?.state).toMatchObject({ status: 'failed', code: 'session_not_found' });
    fake.lines('e1', 2);
    seen?.reconnect();
    await until('live', () => seen?.state.status === 'live' && seen.events.length === 2);
    expect(seen?.error).toBe(null);
    fake.lines('e1', 1, 3);
    await until('three', () => seen?.events.length === 3);
  });

  test('[STR30] after the session was created again reconnect() begins with the new log, and keeps no event of the old one', async () => {
    fake.generation = 'g1';
    fake.lines('e1', 5);
    put(createElement(View, { after: 2 }));
    await until('old', () => seen?.events.length === 3);
    fake.generation = 'g2';
    fake.log.length = 0;
    fake.cut();
    fake.lines('e1', 2);
    await until('failed', () => seen?.error?.code === 'log_replaced');
    expect(offsets(seen)).toEqual([3, 4, 5]);
    seen?.reconnect();
    await until('new', () => seen?.state.status === 'live' && seen.events.length === 2);
    expect(offsets(seen)).toEqual([1, 2]);
    expect([seen?.error, seen?.dropped]).toEqual([null, 0]);
  });

  test("statuses: the coordinator's current ones, not those of old log entries", async () => {
    fake.append('e1', [
      { type: 'execution_pending', data: {} },
      { type: 'execution_running', data: {} },
    ]);
    fake.settle('e1', 'completed');
    fake.addExecution('e2');
    put(createElement(View, { types: ['execution_pending', 'execution_running'] }));
    await until('live', () => seen?.caughtUp === true && seen.events.length === 2);
    expect(Object.fromEntries(seen?.statuses ?? [])).toEqual({ e1: 'completed', e2: 'running' });
    fake.addExecution('e3', { status: 'pending' });
    fake.append('e3', [{ type: 'execution_pending', data: {} }]);
    await until('the third', () => seen?.statuses.get('e3') === 'pending');
  });

  test('nothing renders while nothing happens', async () => {
    put(createElement(View));
    await until('live', () => seen?.state.status === 'live' && seen.caughtUp);
    await settle(40);
    const before = renderings;
    await settle(200);
    expect(renderings).toBe(before);
  });
});

describe('useExecution', () => {
  let run: UseExecution | null;
  const statuses: (string | null)[] = [];
  const Run = (options: { withClient?: boolean }) => {
    const credential = options.withClient === false ? { url: fake.url, getTicket: () => 't', connect } : { client };
    run = useExecution({ ...credential, session: 's1', execution: 'e1' });
    if (statuses.at(-1) !== run.status) statuses.push(run.status);
    return createElement('p', null, run.status);
  };
  beforeEach(() => {
    run = null;
    statuses.length = 0;
  });

  test('the status is the newest one: a replay does not run through the old ones', async () => {
    fake.append('e1', [
      { type: 'execution_pending', data: {} },
      { type: 'execution_running', data: {} },
    ]);
    fake.lines('e1', 100);
    put(createElement(StrictMode, null, createElement(Run)));
    await until('live', () => run?.state.status === 'live' && run.caughtUp);
    fake.settle('e1', 'failed', { exitCode: 3 });
    await until('ended', () => run?.state.status === 'ended' && run.status === 'failed');
    expect(statuses).toEqual([null, 'running', 'failed']);
    expect(run?.events.length).toBe(103);
    expect(fake.upgrades.length).toBe(1);
  });

  test('interrupt and send, with a client; without one they are not offered', async () => {
    put(createElement(Run));
    await until('live', () => run?.state.status === 'live');
    await run?.send?.('yes\n');
    expect(fake.inputs).toEqual(['yes\n']);
    fake.onInterrupt = ({ id }) => fake.settle(id, 'interrupted', { reason: 'enough' });
    expect(await run?.interrupt?.({ reason: 'enough' })).toMatchObject({ accepted: true });
    await until('interrupted', () => run?.status === 'interrupted');
    put(createElement(Run, { withClient: false }));
    await until('rendered', () => run !== null && run.interrupt === undefined);
    expect(run?.send).toBe(undefined);
  });
});
