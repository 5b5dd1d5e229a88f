/**
 * Goal: the hooks work in Preact, where a bundler replaces React with `preact/compat`.
 * Method: the same replacement by the test runner; a component mounted twice in happy-dom, against
 * a coordinator that a test steers.
 */

import { GlobalRegistrator } from './happy-dom.ts';

const dom = new GlobalRegistrator();

import { createElement, render } from 'preact/compat';
import { afterAll, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { connectorOf, createClient, type WebSocketConstructor } from '../../client/index.ts';
import { type UseExecution, useExecution } from '../../client/react.ts';
import { FakeSession, until } from '../support/fake-session.ts';

vi.mock('react', () => import('preact/compat'));

afterAll(() => dom.close());

test('useExecution in Preact: two components and a remount see one stream, live and to its end', async () => {
  const fake = await new FakeSession().start();
  fake.addExecution('e1');
  fake.lines('e1', 3);
  const connect = connectorOf(WebSocket as unknown as WebSocketConstructor);
  const client = createClient({ url: fake.url, apiKey: 'key', connect });
  const seen = new Map<string, UseExecution>();
  const Run = ({ name }: { name: string }) => {
    const run = useExecution({ client, session: 's1', execution: 'e1' });
    seen.set(name, run);
    return createElement('p', null, `${run.status} ${run.events.length}`);
  };
  const element = dom.element() as Parameters<typeof render>[1] & { textContent: string };
  const both = () => createElement('div', null, createElement(Run, { name: 'a' }), createElement(Run, { name: 'b' }));
  try {
    render(both(), element);
    await until('three', () => seen.get('a')?.events.length === 3 && seen.get('b')?.status === 'running');
    render(null, element);
    render(both(), element);
    fake.settle('e1', 'completed', { exitCode: 0 });
    await until('ended', () => seen.get('a')?.state.status === 'ended' && seen.get('b')?.state.status === 'ended');
    await until('shown', () => element.textContent === 'completed 4completed 4');
    expect(fake.upgrades.length).toBe(1);
  } finally {
    render(null, element);
    await fake.stop();
  }
});
