/**
 * Goal: the page of a session shows the turns of all its runs, answers the run that asks, and takes
 * the next message.
 * Method: the component in a DOM, over a stream and a client in memory.
 */

import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { HoldfastClient, LoggedEvent, SessionStreamOptions } from '../../../client/index.ts';
import { rightsOn } from '../../../dashboard/src/app/access.ts';
import { type AppContext, AppContextSlot, type Credential } from '../../../dashboard/src/app/context.ts';
import { LocationSlot } from '../../../dashboard/src/app/location.ts';
import { SessionConversation } from '../../../dashboard/src/conversation/session-conversation.tsx';
import type { Execution } from '../../../dashboard/src/execution/model.ts';
import { FakeStream } from '../execution/fake-run.ts';
import { ended, event, madeExecution } from '../execution/made.ts';

let root: HTMLElement;
let streams: FakeStream[];
let runs: Execution[];
let calls: unknown[];
let visited: string[];
let trouble: unknown;
let isCut: boolean;
/** The run that was begun from here gets this event. */
let begins: (type: string) => void;

beforeEach(() => {
  root = document.createElement('div');
  document.body.append(root);
  streams = [];
  runs = [];
  calls = [];
  visited = [];
  trouble = null;
  isCut = false;
  // happy-dom lays nothing out: a view in which every row is 40 px high.
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(1200);
  vi.spyOn(HTMLElement.prototype, 'offsetHeight', 'get').mockReturnValue(40);
  vi.spyOn(HTMLElement.prototype, 'offsetTop', 'get').mockImplementation(function (this: HTMLElement) {
    return [...(this.parentElement?.children ?? [])].indexOf(this) * 40;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  render(null, root);
  root.remove();
});

const settle = () =>
  act(async () => {
    for (let i = 0; i < 8; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  });

async function show({ ticket = '' } = {}): Promise<void> {
  const credential: Credential = ticket ? { kind: 'ticket', ticket, session: 's1' } : { kind: 'key', apiKey: 'k' };
  const app: AppContext = {
    credential,
    client: {
      list: async () => {
        if (trouble) throw trouble;
        return { data: runs, next: isCut ? 'more' : null };
      },
      get: async (_session: string, id: string) => runs.find((run) => run.id === id),
      answer: async (...args: unknown[]) => void calls.push(['answer', ...args]),
      start: async (...args: unknown[]) => {
        calls.push(['start', ...args.slice(0, 2)]);
        return { execution: second({ status: 'pending' }) };
      },
      events: () =>
        Object.assign(
          (async function* () {
            yield of(
              'e2',
              11,
              await new Promise<string>((resolve) => {
                begins = resolve;
              }),
            );
          })(),
          { close() {} },
        ),
      sendInput: async (session: string, id: string, input: object, options?: { signal?: AbortSignal }) => {
        options?.signal?.throwIfAborted();
        calls.push(['input', session, id, input]);
      },
    } as unknown as HoldfastClient,
    readOnly: credential.kind === 'ticket',
    may: rightsOn(credential),
    getTicket: async () => 't',
    signOut: () => {},
    navigate: (path) => void visited.push(path),
    toast: () => {},
    registerKeys: () => () => {},
  };
  const location = { pathname: '/', search: '', hash: '', scrollY: null };
  act(() =>
    render(
      <LocationSlot.Provider value={{ location, navigate: () => {} }}>
        <AppContextSlot.Provider value={app}>
          <SessionConversation
            session="s1"
            connect={(options: SessionStreamOptions) => {
              const stream = new FakeStream(options);
              streams.push(stream);
              return stream;
            }}
          />
        </AppContextSlot.Provider>
      </LocationSlot.Provider>,
      root,
    ),
  );
  await settle();
}

async function send(...events: LoggedEvent[]): Promise<void> {
  streams.at(-1)?.send(...events);
  await settle();
}
async function catchUp(): Promise<void> {
  act(() => streams.at(-1)?.options.onControl?.({ type: 'caught_up', offset: 99 }));
  await settle();
}

const of = (execution: string, offset: number, type: string, data: Record<string, unknown> = {}): LoggedEvent => ({
  ...event(offset, type, data),
  execution,
});
const says = (execution: string, offset: number, text: string) =>
  of(execution, offset, 'agent', { type: 'assistant', message: { id: `m${offset}`, content: [{ type: 'text', text }] } });
const all = (selector: string): string[] => [...root.querySelectorAll(selector)].map((element) => element.textContent ?? '');
const button = (name: string): HTMLButtonElement => {
  const found = [...root.querySelectorAll('button')].find((element) => element.textContent?.trim() === name);
  if (!found) throw new Error(`there is no button ${name}`);
  return found;
};

const write = (text: string): void => {
  const field = root.querySelector('textarea') as HTMLTextAreaElement;
  field.value = text;
  act(() => void field.dispatchEvent(new Event('input', { bubbles: true })));
};

const first = () => ended('completed', { id: 'e1', format: 'claude', command: ['claude', '-p', 'one'], firstOffset: 5 });
const second = (fields: Partial<Execution> = {}) =>
  madeExecution({ id: 'e2', format: 'claude', command: ['claude', '-p', 'two'], firstOffset: 10, openStdin: true, ...fields });

it('shows the turns in their order, each with its status, its command and a link', async () => {
  runs = [second(), first(), ended('completed', { id: 'e0', firstOffset: 1 })];
  await show();
  // The text run before the first agent is not read.
  expect(streams[0]?.options).toMatchObject({ session: 's1', after: 4 });
  await send(says('e1', 6, 'Done one.'), of('e1', 8, 'execution_completed', { exitCode: 0 }));
  await send(of('e2', 10, 'execution_pending'), of('e2', 11, 'execution_running'), says('e2', 12, 'Doing two.'));
  await catchUp();
  expect(all('.say-assistant .md')).toEqual(['Done one.', 'Doing two.']);
  expect(all('.talk-turn a')).toEqual(['claude -p one', 'claude -p two']);
  expect([...root.querySelectorAll('.talk-turn a')].map((link) => link.getAttribute('href'))).toEqual([
    '/sessions/s1/executions/e1',
    '/sessions/s1/executions/e2',
  ]);
  expect(all('.talk-turn .badge, .talk-turn [class*=status]').join(' ')).toMatch(/Completed.*Running/s);
});

it('answers the run that asks', async () => {
  runs = [second(), first()];
  await show();
  const request = { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'ls' } };
  await send(
    of('e2', 10, 'execution_running'),
    of('e2', 11, 'agent', { type: 'control_request', request_id: 'q1', request }),
    of('e2', 12, 'asking', { id: 'q1', kind: 'permission', text: 'Allow?', options: [{ id: 'allow', label: 'Allow' }] }),
  );
  await catchUp();
  act(() => button('Allow').click());
  await settle();
  expect(calls).toEqual([['answer', 's1', 'e2', { id: 'q1', option: 'allow' }]]);
});

it('sends a message to the run that goes on, and offers the next run when it has ended', async () => {
  runs = [second(), first()];
  await show();
  const init = of('e2', 11, 'agent', { type: 'system', subtype: 'init', session_id: 'abc', model: 'm' });
  await send(of('e2', 10, 'execution_running'), init, says('e2', 12, 'Yes?'));
  await catchUp();
  const field = root.querySelector('textarea') as HTMLTextAreaElement;
  expect(field.getAttribute('aria-label')).toBe('Message to the agent');
  field.value = 'hello';
  act(() => void field.dispatchEvent(new Event('input', { bubbles: true })));
  act(() => button('Send').click());
  await expect.poll(() => calls).toHaveLength(1);
  expect(calls[0]).toMatchObject(['input', 's1', 'e2', { text: expect.stringContaining('hello') }]);

  runs = [{ ...ended('completed'), ...second({ status: 'completed' }) }, first()];
  await send(of('e2', 13, 'execution_completed', { exitCode: 0 }));
  await settle();
  expect(root.querySelector('textarea')?.getAttribute('aria-label')).toBe('Next message to the agent');
});

it('sends the next message also when the run that it begins is seen before it has the message', async () => {
  runs = [ended('completed', { ...first(), command: ['claude', '-p', '--input-format', 'stream-json'], openStdin: true })];
  await show();
  const init = of('e1', 6, 'agent', { type: 'system', subtype: 'init', session_id: 'abc', model: 'm' });
  await send(of('e1', 5, 'execution_running'), init, of('e1', 7, 'execution_completed', { exitCode: 0 }));
  await catchUp();
  const field = root.querySelector('textarea') as HTMLTextAreaElement;
  field.value = 'and now?';
  act(() => void field.dispatchEvent(new Event('input', { bubbles: true })));
  act(() => button('Send').click());
  await settle();
  expect(calls).toMatchObject([['start', 's1', { continues: 'e1', command: expect.arrayContaining(['--resume', 'abc']) }]]);
  runs = [second({ id: 'e2' }), ...runs];
  await send(of('e2', 10, 'execution_pending'), of('e2', 11, 'execution_running'));
  begins('execution_running');
  await expect.poll(() => calls).toHaveLength(2);
  expect(calls[1]).toMatchObject(['input', 's1', 'e2', { text: expect.stringContaining('and now?') }]);
  await settle();
  expect(root.querySelector('textarea')?.getAttribute('aria-label')).toBe('Message to the agent');
});

it('leaves out a build that begins while it is shown, and takes the next message meanwhile', async () => {
  runs = [first()];
  await show();
  const init = of('e1', 6, 'agent', { type: 'system', subtype: 'init', session_id: 'abc', model: 'm' });
  await send(of('e1', 5, 'execution_running'), init, says('e1', 7, 'Done.'), of('e1', 8, 'execution_completed', { exitCode: 0 }));
  await catchUp();
  write('half a sen');
  runs = [madeExecution({ id: 'build', format: 'text', firstOffset: 10 }), ...runs];
  await send(of('build', 10, 'execution_pending'), of('build', 11, 'execution_running'));
  await send(of('build', 12, 'output', { stream: 'stdout', text: 'compiling\n' }), of('build', 13, 'execution_completed'));
  expect(root.textContent).not.toContain('compiling');
  expect(all('.talk-turn a')).toEqual(['claude -p one']);
  const field = root.querySelector('textarea');
  expect([field?.getAttribute('aria-label'), field?.value]).toEqual(['Next message to the agent', 'half a sen']);
});

it('keeps what is written while runs begin and end', async () => {
  runs = [second(), first()];
  await show();
  const init = of('e2', 11, 'agent', { type: 'system', subtype: 'init', session_id: 'abc', model: 'm' });
  await send(of('e2', 10, 'execution_running'), init);
  await catchUp();
  write('half a sen');
  runs = [{ ...ended('completed'), ...second({ status: 'completed' }) }, first()];
  await send(of('e2', 13, 'execution_completed', { exitCode: 0 }));
  await settle();
  const field = () => root.querySelector('textarea');
  expect([field()?.getAttribute('aria-label'), field()?.value]).toEqual(['Next message to the agent', 'half a sen']);
  // Another one begins elsewhere: it waits for a runner, then runs.
  runs = [second({ id: 'e3', firstOffset: 20, status: 'pending', continues: 'e2' }), ...runs];
  await send(of('e3', 20, 'execution_pending'));
  expect(field()).toBeNull();
  runs = [second({ id: 'e3', firstOffset: 20, continues: 'e2' }), ...runs.slice(1)];
  await send(of('e3', 21, 'execution_running'));
  expect([field()?.getAttribute('aria-label'), field()?.value]).toEqual(['Message to the agent', 'half a sen']);
});

it('keeps a message whose run ended before its agent had it, and sends it to the next one', async () => {
  const command = ['claude', '-p', '--input-format', 'stream-json'];
  runs = [ended('completed', { ...first(), command, openStdin: true })];
  await show();
  const init = of('e1', 6, 'agent', { type: 'system', subtype: 'init', session_id: 'abc', model: 'm' });
  await send(of('e1', 5, 'execution_running'), init, of('e1', 7, 'execution_completed', { exitCode: 0 }));
  await catchUp();
  write('and now?');
  act(() => button('Send').click());
  await settle();
  runs = [{ ...ended('interrupted'), ...second({ id: 'e2', command, status: 'interrupted', continues: 'e1' }) }, ...runs];
  await send(of('e2', 10, 'execution_pending'), of('e2', 11, 'execution_interrupted'));
  begins('execution_interrupted');
  await settle();
  expect(root.querySelector('[role=alert]')?.textContent).toContain('ended before its agent had the message');
  expect(root.querySelector('textarea')?.value).toBe('and now?');
  act(() => button('Send').click());
  await settle();
  expect(calls).toMatchObject([
    ['start', 's1', { continues: 'e1', command: expect.arrayContaining(['--resume', 'abc']) }],
    ['start', 's1', { continues: 'e2', command: expect.arrayContaining(['--resume', 'abc']) }],
  ]);
});

it('offers neither answer nor message to a link that only reads', async () => {
  runs = [second(), first()];
  await show({ ticket: 'a.b.c' });
  await send(of('e2', 10, 'execution_running'), says('e2', 11, 'Yes?'));
  await catchUp();
  expect(root.querySelector('textarea')).toBeNull();
});

it('says that older runs are not shown, that there is no agent, and why it could not be loaded', async () => {
  runs = [ended('completed', { id: 'e0' })];
  isCut = true;
  await show();
  expect(root.textContent).toContain('Loading the conversation…');
  await catchUp();
  expect(root.textContent).toContain('The newest 200 runs of this session are shown.');
  expect(root.textContent).toContain('No agent has run in this session yet.');

  act(() => streams.at(-1)?.setState({ status: 'failed', code: 'expired', reason: 'gone' }));
  await settle();
  expect(root.querySelector('[role=alert]')?.textContent).toContain('could not be loaded');
  trouble = Object.assign(new Error('no'), { code: 'session_not_found', status: 404 });
  act(() => button('Try again').click());
  await settle();
  expect(root.querySelector('[role=alert]')?.textContent).toContain('could not be loaded');
  trouble = null;
  act(() => button('Try again').click());
  await settle();
  expect(streams).toHaveLength(2);
});
