/**
 * Goal: the page of the runners as its reader meets it. Method: the whole page in happy-dom, against
 * an API in memory.
 */

import { render } from 'preact';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { App } from '../../../dashboard/src/app/app.tsx';
import { FakeApi, madePool, madeRunner } from '../app/fake-api.ts';

let api: FakeApi;
let root: HTMLElement;

beforeEach(() => {
  api = new FakeApi();
  vi.stubGlobal('fetch', api.fetch);
  vi.spyOn(window, 'scrollTo').mockImplementation(() => {});
  sessionStorage.clear();
  localStorage.clear();
  root = document.createElement('div');
  document.body.replaceChildren(root);
});
afterEach(() => {
  render(null, root);
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function open(path = '/runners', { signedIn = true } = {}): void {
  if (signedIn) sessionStorage.setItem('holdfast.apiKey', api.key);
  history.replaceState(null, '', path);
  render(<App />, root);
}
const text = (): string => root.textContent ?? '';
const until = (check: () => void): Promise<void> => vi.waitFor(check, { interval: 10 });
const region = (name: string): HTMLElement => {
  const found = root.querySelector<HTMLElement>(`section[aria-labelledby="pool-${name}"]`);
  if (!found) throw new Error(`there is no pool ${name}: ${text()}`);
  return found;
};
const rows = (pool: string): HTMLElement[] => [
  ...root.querySelectorAll<HTMLElement>(`ol[aria-label="runners of the pool ${pool}"] > li`),
];
const button = (label: string): HTMLButtonElement => {
  const found = [...root.querySelectorAll('button')].find(
    (one) => one.textContent === label || one.getAttribute('aria-label')?.startsWith(label),
  );
  if (!found) throw new Error(`there is no button "${label}": ${text()}`);
  return found;
};
const press = (key: string): boolean => {
  const target = document.activeElement ?? document.body;
  return target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
};
const reads = (path: string): number => api.asked.filter((asked) => asked === `GET ${path}`).length;

describe('the page of the runners', () => {
  it('is reached from the sessions by the entry of the header', async () => {
    open('/');
    await until(() => expect(text()).toContain('No sessions yet'));
    const entry = [...root.querySelectorAll<HTMLAnchorElement>('nav[aria-label="Pages"] a')].find(
      (link) => link.textContent === 'Runners',
    );
    entry?.click();
    await until(() => expect(text()).toContain('No runners yet'));
    expect(location.pathname).toBe('/runners');
    expect(document.title).toBe('Runners · Holdfast');
    expect(entry?.isConnected && entry.getAttribute('aria-current')).toBe('page');
    expect(document.activeElement?.textContent).toBe('Runners');
  });

  it('without a pool it names the commands that make a key and join a machine', async () => {
    open();
    await until(() => expect(text()).toContain('No runners yet'));
    expect(text()).toContain("holdfast runners key create --name 'my machines' > runner.key");
    expect(text()).toContain(`holdfast-wrapper serve --url ${location.origin} --key-file runner.key`);
    button('Copy the command that joins a machine');
  });

  it('shows each runner with state, slots, labels, version, and links to what runs there', async () => {
    const runs = [
      { session: 'train', execution: 'e1', state: 'running' as const, since: Date.now() - 90_000 },
      { session: 'train-2', execution: 'e7', state: 'starting' as const },
    ];
    api.pools.set(
      'gpu',
      madePool('gpu', [
        madeRunner('gpu-1', { labels: { gpu: 'a100', os: 'linux' }, slots: 4, busy: 2, runs }),
        madeRunner('gpu-2', { state: 'draining' }),
        madeRunner('gpu-3', { state: 'too_old', version: '0.0.9' }),
        madeRunner('gpu-4', { state: 'lost', busy: 1, lastHeardAt: Date.now() - 3 * 60_000 }),
      ]),
    );
    open();
    await until(() => expect(rows('gpu')).toHaveLength(4));
    const words = rows('gpu').map((row) => row.textContent ?? '');
    expect(words[0]).toMatch(/gpu-3.*Too old.*gets nothing: upgrade it.*0\.0\.9/);
    expect(words[1]).toMatch(/gpu-4.*Lost.*its jobs go on.*last heard 3 m ago/);
    expect(words[2]).toMatch(/gpu-1.*gpu a100.*os linux.*Connected.*2 of 4.*1 m 3.*starting.*0\.2\.0.*last heard just now/);
    expect(words[3]).toMatch(/gpu-2.*Draining.*takes nothing new.*nothing/);
    expect([...root.querySelectorAll('.runs .run-link')].map((link) => link.getAttribute('href'))).toEqual([
      '/sessions/train/executions/e1',
      '/sessions/train-2/executions/e7',
    ]);
    expect(region('gpu').textContent).toContain('1 connected, 1 draining, 1 too old, 1 lost');
  });

  it('[POOL8] says how many wait, for how long, and why the first of them wait', async () => {
    const since = Date.now() - 5 * 60_000;
    const waiting = (['no_runner', 'busy', 'concurrency'] as const).map((reason, at) => {
      return { session: `s${at}`, execution: 'e1', priority: at, since: since + at * 1_000, reason };
    });
    api.pools.set('default', madePool('default', [madeRunner('a')], { waiting: 60, queue: waiting, oldestWaitingAt: since }));
    open();
    await until(() => expect(text()).toContain('First of those that wait'));
    const queue = [...root.querySelectorAll('.queue-rows > li')].map((row) => row.textContent ?? '');
    expect(queue[0]).toMatch(/s0 \/ e1no connected runner has its labels.*waits 5 m/);
    expect(queue[1]).toMatch(/every runner with its labels is busy, or rests after a launch that failed · priority 1/);
    expect(queue[2]).toMatch(/its concurrency limit is reached/);
    expect(text()).toContain('57 more wait.');
    expect(region('default').textContent).toMatch(/Waiting60Oldest wait5 m/);
  });

  it('a pool whose runners are all lost says how to join one', async () => {
    api.pools.set('gpu', madePool('gpu', [madeRunner('gpu-1', { state: 'lost' })]));
    open();
    await until(() => expect(text()).toContain('No runner is connected'));
    expect(text()).toContain(`holdfast-wrapper serve --url ${location.origin} --pool gpu --key-file runner.key`);
    expect(rows('gpu')).toHaveLength(1);
  });

  it('[POOL24] a runner that is gone can be removed, and one that is connected cannot', async () => {
    const gone = madeRunner('gpu-2', { state: 'ended' });
    api.pools.set('gpu', madePool('gpu', [madeRunner('gpu-1'), gone, madeRunner('gpu-3', { state: 'lost' })]));
    open();
    await until(() => expect(rows('gpu')).toHaveLength(3));
    expect(rows('gpu').map((row) => row.querySelector('button')?.getAttribute('aria-label') ?? null)).toEqual([
      'Remove gpu-3 from the list',
      null,
      'Remove gpu-2 from the list',
    ]);
    button('Remove gpu-2').click();
    await until(() => expect(rows('gpu')).toHaveLength(2));
    expect(text()).toContain('gpu-2 is removed from the pool gpu.');
    // It came back a moment ago.
    api.pools.set('gpu', madePool('gpu', [madeRunner('gpu-1'), madeRunner('gpu-3')]));
    button('Remove gpu-3').click();
    await until(() => expect(text()).toContain('gpu-3 could not be removed: '));
    await until(() => expect(root.querySelector('button[aria-label^="Remove"]')).toBeNull());
  });

  it('draws many runners, runs and labels only when asked', async () => {
    const runs = Array.from({ length: 9 }, (_, at) => ({ session: `s${at}`, execution: 'e', state: 'running' as const, since: 1 }));
    const many = Array.from({ length: 60 }, (_, at) => madeRunner(`m-${at}`, at === 0 ? { runs, slots: 16, busy: 9 } : {}));
    api.pools.set('default', madePool('default', many));
    open();
    await until(() => expect(rows('default')).toHaveLength(50));
    expect(root.querySelectorAll('.runs .run-link')).toHaveLength(4);
    button('5 more runs').click();
    await until(() => expect(root.querySelectorAll('.runs .run-link')).toHaveLength(9));
    button('Show all 60 runners').click();
    await until(() => expect(rows('default')).toHaveLength(60));
  });

  it('reads the runners of the first pools only, and of another when it is opened', async () => {
    for (const id of ['a', 'b', 'c', 'd', 'e']) api.pools.set(id, madePool(id, [madeRunner(`of-${id}`)]));
    open();
    await until(() => expect(rows('d')).toHaveLength(1));
    expect(reads('/v1/pools/e')).toBe(0);
    expect(region('e').textContent).toContain('1 connected');
    const more = button('Runners of the pool e');
    expect(more.getAttribute('aria-expanded')).toBe('false');
    more.click();
    await until(() => expect(rows('e')).toHaveLength(1));
    expect(more.getAttribute('aria-expanded')).toBe('true');
  });

  it('j and k move along the runs, r refreshes, u leads to the sessions', async () => {
    const runs = ['s1', 's2'].map((session) => ({ session, execution: 'e', state: 'running' as const, since: 1 }));
    api.pools.set('default', madePool('default', [madeRunner('a', { runs, slots: 2, busy: 2 })]));
    open();
    await until(() => expect(root.querySelectorAll('.run-link')).toHaveLength(2));
    press('j');
    press('j');
    expect(document.activeElement?.getAttribute('href')).toBe('/sessions/s2/executions/e');
    press('k');
    expect(document.activeElement?.getAttribute('href')).toBe('/sessions/s1/executions/e');
    const before = reads('/v1/pools');
    press('r');
    await until(() => expect(reads('/v1/pools')).toBe(before + 1));
    press('u');
    await until(() => expect(text()).toContain('No sessions yet'));
  });
});

describe('the page of the runners in trouble', () => {
  it('says why nothing could be loaded, and tries again when asked', async () => {
    api.trouble = { status: 403, code: 'forbidden' };
    open();
    await until(() => expect(text()).toContain('The pools could not be loaded: forbidden.'));
    api.trouble = null;
    button('Try again').click();
    await until(() => expect(text()).toContain('No runners yet'));
  });

  it('keeps what it has when a refresh fails, and says that it may be old', async () => {
    api.pools.set('default', madePool('default', [madeRunner('a')]));
    open();
    await until(() => expect(rows('default')).toHaveLength(1));
    api.trouble = { status: 403, code: 'forbidden' };
    button('Refresh').click();
    await until(() => expect(text()).toContain('What you see may be old.'));
    expect(rows('default')).toHaveLength(1);
  });

  it('a pool that cannot be read does not hide the others', async () => {
    api.pools.set('default', madePool('default', [madeRunner('a')]));
    api.poolTrouble = { status: 403, code: 'forbidden' };
    open();
    await until(() => expect(text()).toContain('The runners of this pool could not be read: forbidden.'));
    expect(region('default').textContent).toContain('1 connected');
    api.poolTrouble = null;
    button('Try again').click();
    await until(() => expect(rows('default')).toHaveLength(1));
  });

  it('does not read while the tab is hidden, and reads again when it is shown', async () => {
    const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('visible');
    vi.useFakeTimers({ shouldAdvanceTime: true });
    try {
      api.pools.set('default', madePool('default', [madeRunner('a')]));
      open();
      await until(() => expect(rows('default')).toHaveLength(1));
      const first = reads('/v1/pools');
      await vi.advanceTimersByTimeAsync(12_000);
      await until(() => expect(reads('/v1/pools')).toBeGreaterThan(first));
      visibility.mockReturnValue('hidden');
      document.dispatchEvent(new Event('visibilitychange'));
      await vi.advanceTimersByTimeAsync(1_000);
      const hidden = reads('/v1/pools');
      await vi.advanceTimersByTimeAsync(120_000);
      expect(reads('/v1/pools')).toBe(hidden);
      visibility.mockReturnValue('visible');
      document.dispatchEvent(new Event('visibilitychange'));
      await until(() => expect(reads('/v1/pools')).toBeGreaterThan(hidden));
    } finally {
      vi.useRealTimers();
    }
  });

  it('needs an API key: without one it asks for it, and a link has no entry to it', async () => {
    open('/runners', { signedIn: false });
    await until(() => expect(text()).toContain('Sign in'));
    expect(api.asked).toEqual([]);
    expect(root.querySelector('nav[aria-label="Pages"]')).toBeNull();
  });
});
