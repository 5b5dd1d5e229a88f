/**
 * The whole page of a run in a DOM, over a run in memory: what a person sees in each state, and
 * what each action asks for.
 */

import { type ComponentChildren, render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HoldfastClient, SessionStreamOptions } from '../../../client/index.ts';
import { rightsOn } from '../../../dashboard/src/app/access.ts';
import { type AppContext, AppContextSlot, type Credential, type KeyBinding } from '../../../dashboard/src/app/context.ts';
import { LocationSlot } from '../../../dashboard/src/app/location.ts';
import { ExecutionPage } from '../../../dashboard/src/execution/execution-page.tsx';
import type { Execution } from '../../../dashboard/src/execution/model.ts';
import { FakeRun, FakeStream, problem } from './fake-run.ts';
import { ended, event, line, madeExecution } from './made.ts';

let root: HTMLElement;
let asked: { call: string; body: unknown }[];
let keys: KeyBinding[];
let toasts: string[];
let visited: string[];
let answers: Partial<Record<string, (...args: unknown[]) => unknown>>;

beforeEach(() => {
  root = document.createElement('div');
  document.body.append(root);
  asked = [];
  keys = [];
  toasts = [];
  visited = [];
  answers = {};
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.useRealTimers();
});

const settle = () =>
  act(async () => {
    for (let i = 0; i < 6; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  });

function Shell({ run, credential, children }: { run: FakeRun; credential: Credential; children: ComponentChildren }) {
  const { client } = run.options();
  const record =
    (call: string, fallback: (...args: unknown[]) => unknown) =>
    async (...args: unknown[]) => {
      asked.push({ call, body: args });
      return (answers[call] ?? fallback)(...args);
    };
  const app: AppContext = {
    credential,
    client: {
      ...client,
      interrupt: record('interrupt', () => ({ accepted: true, settled: false, execution: run.execution })),
      sendInput: record('sendInput', () => undefined),
      start: record('start', () => ({ created: true, execution: { ...run.execution, id: 'e2' }, ingest: { url: '', token: '' } })),
      createTicket: record('createTicket', () => ({ ticket: 'jwt', expiresAt: Date.now() + 3_600_000 })),
      list: async () => ({ data: [], next: null }),
    } as unknown as HoldfastClient,
    readOnly: credential.kind === 'ticket',
    may: rightsOn(credential),
    getTicket: async () => 't',
    signOut: (reason) => visited.push(`sign-out:${reason}`),
    navigate: (path) => visited.push(path),
    toast: (text) => toasts.push(text),
    registerKeys: (bindings) => {
      keys.push(...bindings);
      return () => {
        keys = keys.filter((key) => !bindings.includes(key));
      };
    },
  };
  const location = { pathname: '/', search: '', hash: '', scrollY: null };
  return (
    <LocationSlot.Provider value={{ location, navigate: () => {} }}>
      <AppContextSlot.Provider value={app}>{children}</AppContextSlot.Provider>
    </LocationSlot.Provider>
  );
}

async function show(
  execution: Execution,
  setup: (run: FakeRun) => void = () => {},
  ticket: string | null = null,
): Promise<FakeRun> {
  const run = new FakeRun(execution);
  setup(run);
  run.head = run.log.at(-1)?.offset ?? run.head;
  const connect = (options: SessionStreamOptions) => {
    const stream = new FakeStream(options);
    run.streams.push(stream);
    return stream;
  };
  const credential: Credential = ticket ? { kind: 'ticket', ticket, session: 's1' } : { kind: 'key', apiKey: 'k' };
  act(() =>
    render(
      <Shell run={run} credential={credential}>
        <ExecutionPage session="s1" execution="e1" connect={connect} />
      </Shell>,
      root,
    ),
  );
  await settle();
  return run;
}

async function live(run: FakeRun): Promise<void> {
  run.replay();
  await settle();
  run.catchUp();
  await settle();
}

const text = () => root.textContent ?? '';
const button = (name: string | RegExp, within: ParentNode = document): HTMLButtonElement => {
  const found = [...within.querySelectorAll('button')].find((element) => {
    const said = element.getAttribute('aria-label') ?? element.textContent?.trim() ?? '';
    return typeof name === 'string' ? said === name : name.test(said);
  });
  if (!found) throw new Error(`there is no button ${name}`);
  return found;
};
const dialog = (): HTMLDialogElement => {
  const found = document.querySelector('dialog');
  if (!found) throw new Error('there is no dialog');
  return found;
};
const click = async (element: HTMLElement) => {
  act(() => element.click());
  await settle();
};
const type = (element: HTMLInputElement | HTMLTextAreaElement, value: string) =>
  act(() => {
    element.value = value;
    element.dispatchEvent(new Event('input', { bubbles: true }));
  });
const field = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const press = (key: string) =>
  act(() => keys.findLast((binding) => binding.keys.includes(key))?.run(new KeyboardEvent('keydown', { key })));

describe('what a person sees', () => {
  test('a running one: its status, its command, since when, and that the page is live', async () => {
    const run = await show(madeExecution({ startedAt: Date.now() - 96_000 }), (made) => {
      made.log = [line(1, 'hello\n', 1)];
    });
    expect(text()).toContain('Connecting');
    await live(run);
    expect(root.querySelector('h1')?.textContent).toBe('make test');
    expect(text()).toMatch(/running for 1 m 3\d s/);
    expect(root.querySelector('[aria-label="Connection"]')?.textContent).toContain('Live');
    expect(document.title).toBe('Running · make · Holdfast');
  });

  test('running without output', async () => {
    await live(await show(madeExecution()));
    expect(text()).toContain('Running, without output yet');
  });

  test('queued: which one is active, with a link to it', async () => {
    const { pendingAt: _p, startedAt: _s, connected: _c, ...queued } = madeExecution({ id: 'e1', status: 'queued', epoch: 0 });
    const run = await show(queued, (made) => {
      const { client } = made.options();
      made.options = ((options) => () => ({
        ...options,
        client: { ...client, session: async (...call: [string]) => ({ ...(await client.session(...call)), active: 'e0' }) },
      }))(made.options());
    });
    await live(run);
    expect(text()).toContain('Waiting for its turn');
    expect([...root.querySelectorAll('a')].map((link) => link.getAttribute('href'))).toContain('/sessions/s1/executions/e0');
    expect(button('Cancel')).toBeTruthy();
  });

  test('preparing: since when, and until when it may take', async () => {
    const { startedAt: _s, connected: _c, ...pending } = madeExecution({ status: 'pending', pendingAt: Date.now(), epoch: 0 });
    await live(await show(pending));
    expect(text()).toContain('Waiting for the wrapper');
    expect(text()).toMatch(/fails in (5 m 00 s|4 m 5\d s)/);
  });

  test('[POOL8] waiting for a runner: pool, reason in words, position, and until when', async () => {
    const { startedAt: _s, connected: _c, ...pending } = madeExecution({ status: 'pending', launcher: 'pool', epoch: 0 });
    const waiting = { pool: 'gpu', reason: 'no_runner' as const, position: 4 };
    await live(await show({ ...pending, pool: 'gpu', waiting, waitUntil: Date.now() + 600_000, requires: { gpu: 'a100' } }));
    expect(root.querySelector('.status')?.textContent).toContain('Waiting');
    expect(text()).toContain('Pool gpu: no connected runner has its labels. Position 4.');
    expect(text()).toMatch(/fails in (10 m 00|9 m 5\d) s if no runner takes it/);
    expect([...root.querySelectorAll('a')].map((link) => link.getAttribute('href'))).toContain('/runners');
    expect(root.querySelector('.exec-head-facts')?.textContent).toContain('in pool gpu');
    await click(root.querySelector('#exec-tab-details') as HTMLElement);
    expect(text()).toContain('gpu=a100');
  });

  test('names its runner and pool, while it runs and after its end', async () => {
    const place = { launcher: 'pool', pool: 'default', runner: { id: 'r_1', name: 'gpu-3' } } as const;
    await live(await show(madeExecution(place)));
    expect(root.querySelector('.exec-head-facts')?.textContent).toContain('Runner gpu-3, pool default');
    render(null, root);
    await live(await show(ended('completed', { ...place, exitCode: 0 })));
    expect(root.querySelector('.exec-head-facts')?.textContent).toContain('Runner gpu-3, pool default');
  });

  test('disconnected: the grace, and that the job may still run', async () => {
    await live(await show(madeExecution({ connected: false, graceUntil: Date.now() + 40_000 })));
    expect(text()).toContain('The wrapper is disconnected');
    expect(text()).toMatch(/fails in (40|39) s/);
    expect(root.querySelector('.status')?.textContent).toContain('Disconnected');
  });

  test('failed: the meaning, the message, the code', async () => {
    await live(await show(ended('failed', { code: 'exit_nonzero', error: 'the command exited with code 2', exitCode: 2 })));
    const box = root.querySelector('[aria-label="The command failed"]');
    expect(box?.textContent).toContain('reported failure by its exit code');
    expect(box?.textContent).toContain('code: exit_nonzero');
    expect(text()).toContain('ran for 59 s');
    expect(text()).toContain('This run printed nothing');
  });

  test('a log whose beginning has expired', async () => {
    await show(madeExecution(), (run) => {
      run.log = [line(1, 'a\n'), line(2, 'b\n'), line(3, 'c\n')];
      run.earliest = 3;
    });
    expect(text()).toContain('The log begins at offset 3');
  });

  test('one that is missing, one that may not be read, one that could not be requested', async () => {
    await show(madeExecution(), (run) => {
      run.getErrors.push(problem(404, 'execution_not_found'));
    });
    expect(text()).toContain('There is no such run');
    await act(() => render(null, root));
    await show(
      madeExecution(),
      (run) => {
        run.getErrors.push(problem(401, 'unauthorized'));
      },
      't',
    );
    expect(text()).toContain('No access');
    await click(button('Sign in'));
    expect(visited).toEqual(['sign-out:expired']);
    await act(() => render(null, root));
    const run = await show(madeExecution(), (made) => {
      made.getErrors.push(problem(0, 'unreachable'));
    });
    expect(text()).toContain('The run could not be loaded');
    await click(button('Try again'));
    expect(run.gets).toBe(2);
    expect(root.querySelector('h1')?.textContent).toBe('make test');
  });

  test('one that is deleted while it is watched', async () => {
    const run = await show(madeExecution(), (made) => {
      made.log = [line(1, 'hello\n', 1)];
    });
    await live(run);
    run.getErrors.push(problem(404, 'session_not_found'));
    act(() => run.stream.setState({ status: 'failed', code: 'not_found', reason: 'x' }));
    await settle();
    expect(text()).toContain('This run was deleted while you were watching');
    // It says "running" no more, and offers nothing that could only fail.
    expect(root.querySelector('.status')?.textContent).toBe('Deleted');
    expect(text()).toContain('was running when it was deleted');
    expect(text()).not.toContain('running for');
    for (const name of ['Interrupt', 'Share', 'Reconnect']) expect(() => button(name), name).toThrow();
  });

  test('the connection: a countdown while it reconnects, and a button that does', async () => {
    const run = await show(madeExecution());
    await live(run);
    act(() => run.stream.setState({ status: 'reconnecting', attempt: 2, retryInMs: 60_000, code: 1006, reason: '' }));
    await settle();
    expect(root.querySelector('[aria-label="Connection"]')?.textContent).toMatch(/Reconnecting.*attempt 2, in (60|59) s/);
    expect(root.querySelector('[role="status"].exec-hidden')?.textContent).toBe('Connection: Reconnecting');
    await click(button('Reconnect'));
    expect(run.stream.reconnects).toBe(1);
  });

  test('a permanently failed stream is reopened by the same button, and the run is read again', async () => {
    const run = await show(madeExecution(), (made) => {
      made.log = [line(1, 'hello\n', 1)];
    });
    await live(run);
    act(() => run.stream.setState({ status: 'failed', code: 'offset_expired', reason: 'x' }));
    await settle();
    expect(text()).toContain('The connection of this page failed');
    await click(button('Reconnect'));
    expect(run.streams).toHaveLength(2);
    expect(run.streams[0]?.closed).toBe(true);
  });

  test('the verdict arrives while it is watched: the time stops, and it is announced once', async () => {
    const run = await show(madeExecution());
    await live(run);
    run.execution = ended('completed', { exitCode: 0, lastOffset: 5 });
    run.stream.send(event(5, 'execution_completed', { exitCode: 0 }, Date.now()));
    await settle();
    expect(root.querySelector('.status')?.textContent).toBe('Completed');
    expect(root.querySelector('[role="status"].exec-hidden')?.textContent).toBe('Run: Completed');
    expect(() => button('Interrupt')).toThrow();
  });
});

describe('interrupting', () => {
  test('confirms first, shows the pending interrupt, and then offers force', async () => {
    const run = await show(madeExecution());
    await live(run);
    press('i');
    expect(dialog().textContent).toContain('Interrupt this run?');
    type(field<HTMLInputElement>('interrupt-reason'), 'enough');
    await click(button('Interrupt', dialog()));
    expect(asked).toEqual([{ call: 'interrupt', body: ['s1', 'e1', { force: false, reason: 'enough' }] }]);
    run.stream.send(event(4, 'interrupt_requested', { reason: 'enough', force: false, cause: 'request' }));
    await settle();
    expect(text()).toContain('Interrupting…');
    await click(button('Force'));
    expect(dialog().textContent).toContain('killed at once');
    await click(button('Force the end', dialog()));
    expect(asked[1]?.body).toEqual(['s1', 'e1', { force: true }]);
    expect(button('Forcing…').disabled).toBe(true);
    run.stream.send(event(9, 'execution_interrupted', { reason: 'enough', forced: true }));
    await settle();
    expect(text()).toContain('Interrupted by force');
  });

  test('one that had already ended is not an error', async () => {
    const run = await show(madeExecution());
    await live(run);
    answers.interrupt = () => ({ accepted: false, settled: false, execution: ended('completed') });
    await click(button('Interrupt'));
    await click(button('Interrupt', dialog()));
    expect(toasts).toEqual(['The run had already ended: completed.']);
    expect(root.querySelector('.status')?.textContent).toBe('Completed');
  });

  test('a refusal leaves the button as it was', async () => {
    await live(await show(madeExecution()));
    answers.interrupt = () => Promise.reject(problem(0, 'unreachable'));
    await click(button('Interrupt'));
    await click(button('Interrupt', dialog()));
    expect(toasts[0]).toContain('could not be reached');
    expect(button('Interrupt').disabled).toBe(false);
  });
});

describe('input', () => {
  const area = () => root.querySelector<HTMLTextAreaElement>('.exec-input textarea') as HTMLTextAreaElement;
  const enter = async () => {
    act(() => {
      area().dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    });
    await settle();
  };

  test('is offered only while it is read, and sent with a newline', async () => {
    await live(await show(madeExecution()));
    expect(root.querySelector('.exec-input')).toBeNull();
    await act(() => render(null, root));
    const run = await show(madeExecution({ openStdin: true }));
    await live(run);
    press('s');
    expect(document.activeElement).toBe(area());
    type(area(), 'yes\nplease');
    await enter();
    expect(asked).toEqual([{ call: 'sendInput', body: ['s1', 'e1', { text: 'yes\nplease\n' }] }]);
    expect(text()).toContain('accepted');
    expect(area().value).toBe('');
  });

  test('a ticket offers the input box and the interrupt exactly as far as it allows them', async () => {
    const offered = async (can: string[] | undefined, execution = madeExecution({ openStdin: true })) => {
      const run = await show(execution, () => {}, `h.${btoa(JSON.stringify({ sid: 's1', ...(can ? { can } : {}) }))}.s`);
      await live(run);
      const buttons = [...root.querySelectorAll('button')].map(({ textContent }) => textContent);
      const seen = [root.querySelector('.exec-input') !== null, buttons.includes('Interrupt'), buttons.includes('Rerun')];
      await act(() => render(null, root));
      return seen;
    };
    expect(await offered(undefined)).toEqual([false, false, false]);
    expect(await offered(['read'])).toEqual([false, false, false]);
    expect(await offered(['read', 'input'])).toEqual([true, false, false]);
    expect(await offered(['read', 'interrupt'])).toEqual([false, true, false]);
    expect(await offered(['read', 'input'], madeExecution({ openStdin: true, stdinEnded: true }))).toEqual([false, false, false]);
  });

  test('a refusal is explained and gives the text back; a lost answer is not sent again', async () => {
    await live(await show(madeExecution({ openStdin: true })));
    answers.sendInput = () => Promise.reject(problem(409, 'not_running'));
    type(area(), 'hello');
    await enter();
    expect(text()).toContain('its input is not read');
    expect(area().value).toBe('hello');
    answers.sendInput = () => Promise.reject(problem(0, 'timeout'));
    await enter();
    expect(text()).toContain('may or may not have reached the job');
    expect(area().value).toBe('');
    expect(asked).toHaveLength(2);
  });
});

describe('running again', () => {
  const original = ended('completed', { command: ['sh', '-c', 'echo hi'], cwd: '/srv', labels: { team: 'a' }, exitCode: 0 });

  test('starts the same, linked to the first, and goes there', async () => {
    await live(await show(original));
    press('r');
    await settle();
    expect(dialog().textContent).toContain('were not kept');
    type(field<HTMLTextAreaElement>('rerun-env'), 'TOKEN=x');
    await click(button('Queue it', dialog()));
    expect(asked[0]?.body).toEqual([
      's1',
      {
        command: ['sh', '-c', 'echo hi'],
        cwd: '/srv',
        format: 'text',
        launcher: 'container',
        policy: original.policy,
        onBusy: 'queue',
        labels: { team: 'a', 'rerun-of': 'e1' },
        env: { TOKEN: 'x' },
      },
      expect.anything(),
    ]);
    expect(visited).toEqual(['/sessions/s1/executions/e2']);
  });

  test('[HTTP38] a run of 0.1.0 with the launcher runner, which is gone, is started again by the default one', async () => {
    await live(await show(ended('completed', { launcher: 'runner', exitCode: 0 })));
    press('r');
    await settle();
    await click(button('Queue it', dialog()));
    expect(asked[0]?.body).toEqual(['s1', expect.not.objectContaining({ launcher: expect.anything() }), expect.anything()]);
  });

  test('what is secret in the first is secret in the next: the names are kept, the values are not', async () => {
    await live(await show(ended('completed', { secretNames: ['DEPLOY'], exitCode: 0 })));
    press('r');
    await settle();
    await click(button('Queue it', dialog()));
    expect(asked[0]?.body).toEqual(['s1', expect.objectContaining({ secretNames: ['DEPLOY'] }), expect.anything()]);
  });

  test('how the output of the first is kept is how that of the next is', async () => {
    await live(await show(ended('completed', { merge: true, output: 'bytes', exitCode: 0 })));
    press('r');
    await settle();
    await click(button('Queue it', dialog()));
    expect(asked[0]?.body).toEqual(['s1', expect.objectContaining({ merge: true, output: 'bytes' }), expect.anything()]);
  });

  test('an error is shown at its field, and nothing is started', async () => {
    await live(await show(original));
    await click(button('Rerun'));
    type(field<HTMLTextAreaElement>('rerun-command'), "echo 'a");
    type(field<HTMLTextAreaElement>('rerun-env'), 'nonsense');
    await click(button('Queue it', dialog()));
    expect(field('rerun-command-error').textContent).toBe('A single quote is not closed.');
    expect(field('rerun-env-error').textContent).toBe('Line 1 is not name=value.');
    expect(asked).toEqual([]);
  });
});

test('a link to one run does not ask for its session, which it may not read; one to all of a session does', async () => {
  const ticketOf = (claims: object): string => `h.${btoa(JSON.stringify(claims))}.s`;
  const log = [line(1, 'hello\n', 1), line(2, 'again\n', 2)];
  const printed = (run: FakeRun) => {
    run.log = log;
  };
  const bound = await show(madeExecution(), printed, ticketOf({ sid: 's1', eid: 'e1' }));
  expect([bound.sessionReads, bound.reads]).toEqual([0, ['tail']]);
  expect(bound.stream.options.after).toBe(0);
  render(null, root);
  const wide = await show(madeExecution(), printed, ticketOf({ sid: 's1' }));
  expect([wide.sessionReads > 0, wide.reads]).toEqual([true, []]);
});

test('a link that is shared carries the ticket behind the #, for the time that was chosen', async () => {
  await live(await show(madeExecution()));
  await click(button('Share'));
  await click(button('Make a link', dialog()));
  expect(asked[0]?.body).toEqual(['s1', { execution: 'e1', ttlSeconds: 3600, untilSeconds: 3600 }, expect.anything()]);
  expect(field<HTMLInputElement>('share-link').value).toMatch(/\/sessions\/s1\/executions\/e1#ticket=jwt$/);
});

test('an event of the timeline is shown as it is stored', async () => {
  const run = await show(madeExecution(), (made) => {
    made.log = [event(1, 'execution_pending', { launcher: 'container' }), event(2, 'status', { message: 'cloning' })];
  });
  await live(run);
  await click(button('cloning'));
  expect(dialog().textContent).toContain('"message": "cloning"');
  await click(button('Close', dialog()));
  expect(document.querySelector('dialog')).toBeNull();
});

test('who came by a link can read and nothing else', async () => {
  await live(await show(madeExecution({ openStdin: true }), undefined, 't'));
  for (const name of ['Interrupt', 'Rerun', 'Share', 'Send']) expect(() => button(name), name).toThrow();
  press('i');
  press('r');
  expect(document.querySelector('dialog')).toBeNull();
});

test('[F5] leaving the page closes what it opened', async () => {
  const run = await show(madeExecution());
  await live(run);
  await act(() => render(null, root));
  expect(run.stream.closed).toBe(true);
  expect(keys).toEqual([]);
});

describe('a shared link', () => {
  const linkOf = (expiresAt: number): string => `a.${btoa(JSON.stringify({ sid: 's1', eid: 'e1', exp: expiresAt / 1000 }))}.c`;

  test('[STR33] on expiry the coordinator is asked at once, even while the connection still looks live', async () => {
    const expiresAt = Math.ceil(Date.now() / 1000) * 1000;
    const run = await show(
      madeExecution(),
      (made) => {
        made.ticketOnly = true;
      },
      linkOf(expiresAt),
    );
    await live(run);
    const before = run.gets;
    await vi.waitFor(() => expect(run.gets).toBe(before + 1), { timeout: 10_000 });
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
  });

  test('[STR33] the page that shares asks that the link and what it opens end together', async () => {
    await show(madeExecution());
    act(() => button('Share').click());
    expect(dialog().textContent).toContain('until the link expires. A page that is open then stops as well.');
  });
});

describe('a session that is made again', () => {
  test('[STR30] the page reports it, offers the new log, and no longer acts on the old run', async () => {
    const run = await show(madeExecution());
    await live(run);
    act(() => run.stream.setState({ status: 'failed', code: 'log_replaced', reason: 'x' }));
    run.execution = madeExecution({ createdAt: run.execution.createdAt + 1 });
    await settle();
    expect(text()).toContain('This session was deleted and created again');
    expect(() => button('Interrupt')).toThrow('there is no button');
    const streams = run.streams.length;
    await act(async () => button('Show the new log').click());
    await settle();
    expect(run.streams.length).toBe(streams + 1);
    expect(text()).not.toContain('This session was deleted and created again');
  });
});
