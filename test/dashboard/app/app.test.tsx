/**
 * Goal: the shell as its reader meets it: signing in and out, links, lists that live. Method: the
 * whole page in happy-dom, against an API in memory.
 */

import { render } from 'preact';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { App } from '../../../dashboard/src/app/app.tsx';
import type { Status } from '../../../protocol/index.ts';
import { FakeApi, made } from './fake-api.ts';

let api: FakeApi;
let root: HTMLElement;
const T0 = Date.UTC(2026, 10, 21, 5, 0, 0);

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
  delete document.documentElement.dataset.theme;
});

function open(path: string, { signedIn = true } = {}): void {
  if (signedIn) sessionStorage.setItem('holdfast.apiKey', api.key);
  history.replaceState(null, '', path);
  render(<App />, root);
}
const text = (): string => root.textContent ?? '';
const names = (): string[] => [...root.querySelectorAll('.row-link')].map((link) => link.textContent ?? '');
const button = (label: string): HTMLButtonElement => {
  const found = [...root.querySelectorAll('button')].find(
    (one) => one.textContent === label || one.getAttribute('aria-label')?.startsWith(label),
  );
  if (!found) throw new Error(`there is no button "${label}": ${text()}`);
  return found;
};
const link = (label: string): HTMLAnchorElement => {
  const found = [...root.querySelectorAll('a')].find(
    (one) => one.textContent === label || (one.closest('.filter') && one.textContent?.startsWith(label)),
  );
  if (!found) throw new Error(`there is no link "${label}": ${text()}`);
  return found;
};
const until = (check: () => void): Promise<void> => vi.waitFor(check, { interval: 10 });
const press = (key: string, target: EventTarget = document.activeElement ?? document.body): boolean =>
  target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

async function enterKey(key: string): Promise<void> {
  await until(() => expect(root.querySelector('#api-key')).not.toBeNull());
  const input = root.querySelector('#api-key') as HTMLInputElement;
  input.value = key;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  await until(() => expect((root.querySelector('#api-key') as HTMLInputElement).value).toBe(key));
  root.querySelector('form')?.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
}

describe('signing in', () => {
  it('shows the page that was asked for, keeps the key in this tab only, and names the page', async () => {
    api.start(made('s1', 'e1', 'completed', T0, { startedAt: T0, endedAt: T0 + 5_000, exitCode: 0 }));
    open('/sessions/s1?status=completed', { signedIn: false });
    expect(text()).toContain('Sign in');
    await enterKey(' hf_good ');
    await until(() => expect(names()).toEqual(['e1']));
    expect(location.pathname + location.search).toBe('/sessions/s1?status=completed');
    expect(sessionStorage.getItem('holdfast.apiKey')).toBe('hf_good');
    expect(JSON.stringify({ ...localStorage })).not.toContain('hf_good');
    expect(document.cookie).not.toContain('hf_good');
    await until(() => expect(document.title).toBe('s1 · Holdfast'));
  });

  it.each([
    ['a wrong key', () => {}, 'hf_bad', 'does not know that key'],
    ['no network', () => (api.trouble = 'unreachable'), 'hf_good', 'could not be reached'],
    ['a deployment without keys', () => (api.trouble = { status: 503, code: 'not_configured' }), 'hf_good', 'no API keys yet'],
    ['nothing', () => {}, '  ', 'Enter an API key'],
    ['something else', () => {}, 'my key', 'That is no API key'],
  ])('%s is distinguished, and nothing is stored', async (_what, arrange, key, words) => {
    arrange();
    open('/', { signedIn: false });
    await enterKey(key);
    await until(() => expect(root.querySelector('#api-key-problem')?.textContent).toContain(words));
    expect(sessionStorage.getItem('holdfast.apiKey')).toBeNull();
    expect(document.activeElement?.id).toBe('api-key');
  });

  it('a key that is refused later leads back here, with the reason, and then on where one was', async () => {
    api.start(made('s1', 'e1', 'queued', T0));
    open('/sessions/s1');
    await until(() => expect(names()).toEqual(['e1']));
    api.key = 'hf_new';
    button('Refresh').click();
    await until(() => expect(text()).toContain('not accepted any more'));
    expect(sessionStorage.getItem('holdfast.apiKey')).toBeNull();
    await enterKey('hf_new');
    await until(() => expect(names()).toEqual(['e1']));
    expect(location.pathname).toBe('/sessions/s1');
  });

  it('signing out forgets the key', async () => {
    open('/');
    await until(() => expect(text()).toContain('No sessions yet'));
    button('Sign out').click();
    await until(() => expect(text()).toContain('You are signed out'));
    expect(sessionStorage.length).toBe(0);
  });
});

describe('a ticket link', () => {
  beforeEach(() => {
    api.start(made('s1', 'e1', 'running', T0, { startedAt: T0, connected: true }));
    api.ticket = { text: 'a.b.c', session: 's1', state: 'good' };
  });

  it('leaves the address bar at once, reads, is labelled, and offers no actions', async () => {
    open('/sessions/s1#ticket=a.b.c', { signedIn: false });
    expect(location.href).not.toContain('ticket');
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).toContain('A shared link');
    expect(text()).not.toContain('Delete');
    expect(text()).not.toContain('Sign out');
    expect([...root.querySelectorAll('.crumbs a')].map((one) => one.textContent)).toEqual(['s1']);
  });

  it('that has expired is reported; an API key then shows the same page', async () => {
    open('/sessions/s1#ticket=a.b.c', { signedIn: false });
    await until(() => expect(names()).toEqual(['e1']));
    api.ticket = { text: 'a.b.c', session: 's1', state: 'expired' };
    button('Refresh').click();
    await until(() => expect(text()).toContain('This link has expired'));
    await enterKey('hf_good');
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).toContain('Delete');
  });

  it('that expires in a tab with a key continues with the key and reports that', async () => {
    open('/sessions/s1#ticket=a.b.c');
    await until(() => expect(text()).toContain('A shared link'));
    api.ticket = { text: 'a.b.c', session: 's1', state: 'expired' };
    button('Refresh').click();
    await until(() => expect(text()).toContain('You see this with your API key now'));
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).not.toContain('A shared link');
  });

  it('that is not valid is reported as invalid instead', async () => {
    api.ticket = { text: 'a.b.c', session: 's1', state: 'invalid' };
    open('/sessions/s1#ticket=a.b.c', { signedIn: false });
    await until(() => expect(text()).toContain('not valid for this page'));
  });

  it('[K3] names whose session it shows, and is dropped when a reader with a key comes back to it', async () => {
    const globex = `a.${btoa(JSON.stringify({ sub: 'globex', sid: 's1', exp: 4_000_000_000 }))}.c`;
    api.ticket = { text: globex, session: 's1', state: 'good' };
    open(`/sessions/s1#ticket=${globex}`);
    await until(() => expect(text()).toContain('A shared link to the session s1 of globex'));
    expect(text()).toContain('It takes the place of what your API key shows');
    // A click before the page listens would be the browser's own.
    await until(() => expect(names()).toEqual(['e1']));
    link('Holdfast').click();
    await until(() => expect(location.pathname).toBe('/'));
    await until(() => expect(names()).toEqual(['s1']));
    expect(sessionStorage.getItem('holdfast.ticket.s1')).toBeNull();
    link('s1').click();
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).not.toContain('A shared link');
    expect(text()).toContain('Delete');
  });

  it('[K3] without a key it stays, and an API key that is entered elsewhere takes its place', async () => {
    open('/sessions/s1#ticket=a.b.c', { signedIn: false });
    await until(() => expect(names()).toEqual(['e1']));
    link('Holdfast').click();
    await until(() => expect(document.activeElement?.id).toBe('api-key'));
    history.back();
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).toContain('A shared link');
    link('Holdfast').click();
    await enterKey('hf_good');
    await until(() => expect(names()).toEqual(['s1']));
    link('s1').click();
    await until(() => expect(names()).toEqual(['e1']));
    expect(text()).not.toContain('A shared link');
  });

  it('pasted over the address of the open page is taken, too', async () => {
    open('/sessions/s1', { signedIn: false });
    await until(() => expect(document.activeElement?.id).toBe('api-key'));
    history.replaceState(null, '', '/sessions/s1#ticket=a.b.c');
    window.dispatchEvent(new Event('hashchange'));
    await until(() => expect(names()).toEqual(['e1']));
    expect(location.hash).toBe('');
  });

  it('to one execution lists it, though the session’s facts are not for it to read', async () => {
    const { fetch } = api;
    vi.stubGlobal('fetch', async (input: URL, init?: RequestInit) =>
      new URL(String(input)).pathname === '/v1/sessions/s1'
        ? new Response(JSON.stringify({ code: 'unauthorized', reason: 'ticket_scope', status: 401 }), { status: 401 })
        : fetch(input, init),
    );
    open('/sessions/s1#ticket=a.b.c', { signedIn: false });
    await until(() => expect(names()).toEqual(['e1']));
    await new Promise((done) => setTimeout(done, 50));
    expect(names()).toEqual(['e1']);
  });
});

describe('the lists', () => {
  it('show status, command, labels, result and length of each', async () => {
    api.start(
      made('a', 'e1', 'failed', T0, {
        startedAt: T0,
        endedAt: T0 + 96_000,
        exitCode: 2,
        code: 'exit_nonzero',
        labels: { team: 'data' },
      }),
    );
    api.start(made('b', 'e2', 'running', T0 + 1, { startedAt: T0 + 1, connected: false, graceUntil: Date.now() + 30_000 }));
    api.start(made('c', 'e3', 'failed', T0 + 2, { code: 'wrapper_never_connected', endedAt: T0 + 3 }));
    open('/');
    await until(() => expect(names()).toEqual(['c', 'b', 'a']));
    const rows = [...root.querySelectorAll('.rows > li')].map((row) => row.textContent ?? '');
    expect(rows[2]).toMatch(/Failed.*make all.*team data.*exit 2.*1 m 36 s/);
    expect(rows[1]).toMatch(/Disconnected 2\d s/);
    expect(rows[0]).toMatch(/wrapper_never_connected.*never ran/);
  });

  it('say of a session what its newest execution does not: that an older one runs, or that more wait', async () => {
    const statuses: Record<string, Status[]> = {
      a: ['completed', 'running'],
      b: ['running', 'queued'],
      c: ['pending', 'queued', 'queued', 'queued'],
      d: ['queued', 'queued', 'running'],
      e: ['running', 'interrupted'],
      f: ['failed', 'completed'],
    };
    for (const [session, all] of Object.entries(statuses))
      for (const [i, status] of all.entries()) api.start(made(session, `${session}${i}`, status, T0 - session.charCodeAt(0)));
    open('/');
    await until(() => expect(names()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']));
    expect([...root.querySelectorAll('.rows .row-status')].map((status) => status.textContent)).toEqual([
      'Running',
      'Queued 1 running',
      'Queued 1 preparing, +2 queued',
      'Running 2 queued',
      'Interrupted 1 running',
      'Completed',
    ]);
  });

  it('load page by page, and are all there on the way back', async () => {
    for (let i = 1; i <= 120; i += 1) api.start(made(`s${i}`, `e${i}`, 'completed', T0 + i));
    open('/');
    await until(() => expect(names()).toHaveLength(50));
    button('Load more').click();
    await until(() => expect(names()).toHaveLength(100));
    button('Load more').click();
    await until(() => expect(text()).toContain('120 sessions'));
    link('s3').click();
    await until(() => expect(root.querySelector('h1')?.textContent).toBe('s3'));
    expect(document.activeElement?.tagName).toBe('H1');
    api.trouble = 'unreachable';
    history.back();
    await until(() => expect(names()).toHaveLength(120));
  });

  it('have their filter in the URL', async () => {
    api.start(made('a', 'e1', 'failed', T0));
    api.start(made('b', 'e2', 'running', T0 + 1, { startedAt: T0 }));
    open('/');
    await until(() => expect(names()).toEqual(['b', 'a']));
    link('Failed').click();
    await until(() => expect(names()).toEqual(['a']));
    expect(location.search).toBe('?status=failed');
    expect(link('Failed').getAttribute('aria-current')).toBe('true');
    link('Queued').click();
    await until(() => expect(text()).toContain('No sessions are queued'));
    history.back();
    await until(() => expect(names()).toEqual(['a']));
  });

  it('say what is wrong, try again, and keep what they have', async () => {
    api.trouble = { status: 500, code: 'internal' };
    open('/');
    await until(() => expect(text()).toContain('could not be loaded: internal'));
    api.trouble = null;
    api.start(made('a', 'e1', 'completed', T0));
    button('Try again').click();
    await until(() => expect(names()).toEqual(['a']));
    api.trouble = { status: 500, code: 'internal' };
    button('Refresh').click();
    await until(() => expect(text()).toContain('could not be refreshed: internal'));
    expect(names()).toEqual(['a']);
  });

  it('refresh by themselves while they are seen, and not when that is switched off', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      open('/');
      await vi.waitFor(async () => {
        await vi.advanceTimersByTimeAsync(10);
        expect(text()).toContain('No sessions yet');
      });
      api.start(made('a', 'e1', 'queued', T0));
      await vi.advanceTimersByTimeAsync(5_100);
      expect(names()).toEqual(['a']);

      const hidden = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
      document.dispatchEvent(new Event('visibilitychange'));
      const asked = api.asked.length;
      await vi.advanceTimersByTimeAsync(60_000);
      expect(api.asked).toHaveLength(asked);
      hidden.mockRestore();
      document.dispatchEvent(new Event('visibilitychange'));
      await vi.advanceTimersByTimeAsync(50);
      expect(api.asked.length).toBe(asked + 1);

      button('Live').click();
      await vi.advanceTimersByTimeAsync(50);
      const off = api.asked.length;
      await vi.advanceTimersByTimeAsync(60_000);
      expect(api.asked).toHaveLength(off);
      expect(localStorage.getItem('holdfast.live')).toBe('off');
    } finally {
      vi.useRealTimers();
    }
  });

  it('refresh a settled session less often', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      api.start(made('s1', 'e1', 'completed', T0));
      open('/sessions/s1');
      await vi.advanceTimersByTimeAsync(50);
      expect(names()).toEqual(['e1']);
      const asked = api.asked.length;
      await vi.advanceTimersByTimeAsync(19_000);
      expect(api.asked).toHaveLength(asked);
      await vi.advanceTimersByTimeAsync(1_500);
      expect(api.asked.slice(asked)).toEqual(['GET /v1/sessions/s1/executions?limit=50']);
      api.start(made('s1', 'e2', 'running', T0 + 1, { startedAt: T0 }));
      await vi.advanceTimersByTimeAsync(20_500);
      const running = api.asked.length;
      await vi.advanceTimersByTimeAsync(5_500);
      expect(api.asked.slice(running)).toEqual(['GET /v1/sessions/s1/executions?limit=50', 'GET /v1/sessions/s1']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('hold new rows back while one reads further down, and let them in on demand', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      api.start(made('a', 'e1', 'running', T0, { startedAt: T0 }));
      open('/');
      await vi.advanceTimersByTimeAsync(50);
      expect(names()).toEqual(['a']);
      Object.defineProperty(window, 'scrollY', { value: 500, configurable: true });
      api.start(made('b', 'e2', 'queued', T0 + 1));
      api.sessions.set('a', [made('a', 'e1', 'completed', T0, { startedAt: T0, endedAt: T0 + 1 })]);
      await vi.advanceTimersByTimeAsync(5_100);
      expect(names()).toEqual(['a']);
      expect(root.querySelector('.rows')?.textContent).toContain('Completed');
      button('1 newer').click();
      await vi.advanceTimersByTimeAsync(50);
      expect(names()).toEqual(['b', 'a']);
    } finally {
      Object.defineProperty(window, 'scrollY', { value: 0, configurable: true });
      vi.useRealTimers();
    }
  });

  it('are walked with j and k, which rest while one types', async () => {
    for (const [i, id] of ['a', 'b', 'c'].entries()) api.start(made(id, `e${i}`, 'queued', T0 - i));
    open('/');
    await until(() => expect(names()).toEqual(['a', 'b', 'c']));
    const at = (): string | null | undefined => document.activeElement?.textContent;
    press('j');
    expect(at()).toBe('a');
    press('j');
    press('j');
    press('j');
    expect(at()).toBe('c');
    press('k');
    expect(at()).toBe('b');
    const input = document.createElement('input');
    root.append(input);
    input.focus();
    expect(press('j')).toBe(true);
    expect(document.activeElement).toBe(input);
    input.remove();
  });
});

describe('a session', () => {
  it('is deleted after a question that names what is lost', async () => {
    api.start(made('s1', 'e1', 'completed', T0));
    api.start(made('s1', 'e2', 'failed', T0 + 1));
    open('/sessions/s1');
    await until(() => expect(text()).toContain('Events in the log'));
    button('Delete').click();
    await until(() => expect(root.querySelector('dialog')?.textContent).toMatch(/s1 goes with 2 executions and 12 events/));
    expect(api.asked.some((call) => call.startsWith('DELETE'))).toBe(false);
    button('Delete session').click();
    await until(() => expect(location.pathname).toBe('/'));
    await until(() => expect(text()).toContain('Session s1 is deleted.'));
    expect(api.sessions.has('s1')).toBe(false);
  });

  it('in which an agent has run has its conversation beside the executions, also by its address', async () => {
    api.start(made('s1', 'e1', 'completed', T0, { format: 'claude' }));
    open('/sessions/s1');
    await until(() =>
      expect([...root.querySelectorAll('[role=tab]')].map((tab) => tab.textContent)).toEqual(['Executions', 'Conversation']),
    );
    expect(root.querySelector('[role=tabpanel] .row')).not.toBeNull();
    button('Conversation').click();
    await until(() => expect(location.search).toBe('?view=conversation'));
    await until(() =>
      expect(root.querySelector('[role=tabpanel]')?.getAttribute('aria-labelledby')).toBe('session-tab-conversation'),
    );
    expect(root.querySelector('.row')).toBeNull();
  });

  it('in which no agent has run is its executions alone', async () => {
    api.start(made('s1', 'e1', 'completed', T0));
    open('/sessions/s1');
    await until(() => expect(root.querySelector('.row')).not.toBeNull());
    expect(root.querySelector('[role=tab]')).toBeNull();
  });

  it('that is missing is reported', async () => {
    open('/sessions/nope');
    await until(() => expect(root.querySelector('h1')?.textContent).toBe('No such session'));
  });
});

describe('the frame', () => {
  it('reports a missing page, signed in or not', async () => {
    open('/settings', { signedIn: false });
    expect(root.querySelector('h1')?.textContent).toBe('Not found');
    await until(() => expect(document.title).toBe('Not found · Holdfast'));
  });

  it('lists the keys of the page', async () => {
    open('/');
    await until(() => expect(text()).toContain('No sessions yet'));
    press('?', document.body);
    await until(() => expect(root.querySelector('dialog')?.textContent).toMatch(/Next row.*Previous row.*Refresh/));
  });

  it('keeps the chosen colours', async () => {
    open('/');
    button('Colours').click();
    await until(() => expect(root.querySelectorAll('[role=menuitemradio]')).toHaveLength(3));
    button('Dark').click();
    expect(document.documentElement.dataset.theme).toBe('dark');
    expect(localStorage.getItem('holdfast.theme')).toBe('dark');
    await until(() => expect(root.querySelector('[role=menu]')).toBeNull());
    button('Colours').click();
    await until(() => expect(root.querySelector('[aria-checked=true]')?.textContent).toBe('Dark'));
    button('As the system').click();
    expect(document.documentElement.dataset.theme).toBeUndefined();
  });

  it('has landmarks, a skip link, and one heading of the first rank', async () => {
    open('/');
    await until(() => expect(text()).toContain('No sessions yet'));
    expect(root.querySelector('a')?.getAttribute('href')).toBe('#main');
    expect(root.querySelectorAll('main#main')).toHaveLength(1);
    expect(root.querySelectorAll('h1')).toHaveLength(1);
    expect(root.querySelector('[aria-live=polite]')).not.toBeNull();
  });
});
