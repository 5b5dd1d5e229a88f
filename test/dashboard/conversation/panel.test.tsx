/**
 * Goal: the page of an agent's run shows the conversation, and lets a person answer.
 * Method: the whole page of a run in a DOM, over a run in memory; recordings of the real agents,
 * and lines in their shape.
 */

import { readFileSync } from 'node:fs';
import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type HoldfastClient, HoldfastError, type LoggedEvent, type SessionStreamOptions } from '../../../client/index.ts';
import { rightsOn } from '../../../dashboard/src/app/access.ts';
import { type AppContext, AppContextSlot, type Credential, type KeyBinding } from '../../../dashboard/src/app/context.ts';
import { LocationSlot } from '../../../dashboard/src/app/location.ts';
import { ExecutionPage } from '../../../dashboard/src/execution/execution-page.tsx';
import type { Execution } from '../../../dashboard/src/execution/model.ts';
import { FakeRun, FakeStream } from '../execution/fake-run.ts';
import { ended, event, madeExecution } from '../execution/made.ts';

let root: HTMLElement;
let answers: unknown[];
let inputs: unknown[];
let starts: unknown[];
let listed: Execution[];
let visited: string[];
let refusal: unknown;
let keys: KeyBinding[];

beforeEach(() => {
  root = document.createElement('div');
  document.body.append(root);
  answers = [];
  inputs = [];
  starts = [];
  listed = [];
  visited = [];
  refusal = null;
  keys = [];
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
  document.title = '';
  window.location.hash = '';
});

const settle = () =>
  act(async () => {
    for (let i = 0; i < 8; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  });

async function show(execution: Execution, log: LoggedEvent[], { ticket = '', hash = '' } = {}): Promise<FakeRun> {
  const run = new FakeRun(execution, log);
  const connect = (options: SessionStreamOptions) => {
    const stream = new FakeStream(options);
    run.streams.push(stream);
    return stream;
  };
  const credential: Credential = ticket ? { kind: 'ticket', ticket, session: 's1' } : { kind: 'key', apiKey: 'k' };
  const app: AppContext = {
    credential,
    client: {
      ...run.options().client,
      list: async () => ({ data: listed, next: null }),
      sendInput: async (...args: unknown[]) => {
        inputs.push(args);
      },
      start: async (...args: unknown[]) => {
        starts.push(args.slice(0, 2));
        if (refusal) throw refusal;
        return { execution: { ...execution, id: 'e2', status: 'pending', firstOffset: 20 } };
      },
      events: () => {
        const types = ['execution_pending', 'execution_running'];
        return Object.assign(
          (async function* () {
            yield* types.map((type, i) => event(20 + i, type));
          })(),
          { close() {} },
        );
      },
      answer: async (...args: unknown[]) => {
        answers.push(args);
        if (refusal) throw refusal;
      },
    } as unknown as HoldfastClient,
    readOnly: credential.kind === 'ticket',
    may: rightsOn(credential),
    getTicket: async () => 't',
    signOut: () => {},
    navigate: (path) => void visited.push(path),
    toast: () => {},
    registerKeys: (bindings) => {
      keys.push(...bindings);
      return () => {
        keys = keys.filter((key) => !bindings.includes(key));
      };
    },
  };
  const location = { pathname: '/', search: '', hash, scrollY: null };
  act(() =>
    render(
      <LocationSlot.Provider value={{ location, navigate: () => {} }}>
        <AppContextSlot.Provider value={app}>
          <ExecutionPage session="s1" execution="e1" connect={connect} />
        </AppContextSlot.Provider>
      </LocationSlot.Provider>,
      root,
    ),
  );
  await settle();
  run.replay();
  await settle();
  run.catchUp();
  await expect.poll(() => root.querySelector('.talk, .log'), { timeout: 20_000 }).not.toBeNull();
  await settle();
  return run;
}

const lines = (name: string): LoggedEvent[] =>
  readFileSync(`test/agent/transcripts/${name}.jsonl`, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((text, i) => event(i + 1, 'agent', JSON.parse(text)));

const running = (fields: Partial<Execution> = {}) => madeExecution({ format: 'claude', openStdin: true, ...fields });
const asks = (offset: number, id = 'q1', tool = 't1'): LoggedEvent[] => [
  event(offset, 'agent', {
    type: 'assistant',
    message: {
      id: `m${offset}`,
      content: [{ type: 'tool_use', id: tool, name: 'Bash', input: { command: 'rm -r *_old', timeout: 5 } }],
    },
  }),
  event(offset + 1, 'agent', {
    type: 'control_request',
    request_id: id,
    request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'rm -r *_old', timeout: 5 }, tool_use_id: tool },
  }),
  event(offset + 2, 'asking', {
    id,
    kind: 'permission',
    text: 'Allow Bash: rm -r *_old?',
    options: [
      { id: 'allow', label: 'Allow' },
      { id: 'deny', label: 'Deny' },
    ],
  }),
];

const text = () => root.textContent ?? '';
const all = (selector: string): string[] => [...root.querySelectorAll(selector)].map((element) => element.textContent ?? '');
const button = (name: string | RegExp): HTMLButtonElement => {
  const found = [...root.querySelectorAll('button')].find((element) => {
    const said = element.getAttribute('aria-label') ?? element.textContent?.trim() ?? '';
    return typeof name === 'string' ? said === name : name.test(said);
  });
  if (!found) throw new Error(`there is no button ${name}`);
  return found;
};
const click = async (element: HTMLElement) => {
  act(() => element.click());
  await settle();
};

describe('a run of an agent', () => {
  it('opens with its conversation, and has the log beside it', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'));
    expect(all('[role=tab]').slice(0, 2)).toEqual(['Conversation', 'Log']);
    expect(root.querySelector('[role=tab][aria-selected=true]')?.textContent).toBe('Conversation');
    expect(all('.say-assistant .md')[0]).toBe('I will look at the files.');
    expect(all('.tool-name')).toEqual(['Bash', 'Read', 'Bash', 'Edit', 'TodoWrite']);
    expect(all('.tool-word')).toEqual(['failed', 'failed']);
    expect(text()).toContain('785 tokens in · 100 out · $0.0053');
    await click(button('Log'));
    expect(root.querySelector('.log')).not.toBeNull();
    expect(root.querySelector('.talk')).toBeNull();
    await click(button('Conversation'));
    expect(all('.tool-name')).toHaveLength(5);
  });

  it.each(['text', 'jsonl'] as const)('is a log alone when its format is %s', async (format) => {
    await show(madeExecution({ format }), [event(1, 'agent', { a: 1 })]);
    expect(all('.exec-main-tabs')).toEqual([]);
    expect(root.querySelector('.log')).not.toBeNull();
  });

  it('a tool call shows its input and output when it is opened, and a diff its changed lines with signs', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'));
    const [bash] = root.querySelectorAll<HTMLButtonElement>('.tool-head');
    expect(bash?.getAttribute('aria-expanded')).toBe('false');
    await click(bash as HTMLButtonElement);
    const [opened] = root.querySelectorAll('.tool');
    expect(opened?.querySelector('.tool-head')?.getAttribute('aria-expanded')).toBe('true');
    expect(opened?.textContent).toContain('ls; echo done');
    expect(opened?.querySelector('.talk-pre')?.textContent).toContain('hello.txt');
    expect(all('.diff-removed')).toEqual(['1−removed: hello']);
    expect(all('.diff-added')).toEqual(['1+added: hello, world']);
    expect(all('.diff-count')).toEqual(['+1 −1']);
  });

  it('reasoning is folded; everything can be expanded at once', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'));
    expect(root.querySelector('.think .md')).toBeNull();
    expect(all('.think-preview')[0]).toContain('The user wants to see the files.');
    await click(button('Expand all'));
    expect(all('.think .md')[0]).toContain('The user wants to see the files.');
    expect(all('.tool-body')).toHaveLength(5);
    act(() => keys.findLast((key) => key.keys.includes('x'))?.run(new KeyboardEvent('keydown', { key: 'x' })));
    await settle();
    expect(all('.tool-body')).toHaveLength(0);
  });

  it('a text that is still being written is one message, marked until it is complete', async () => {
    const stream = (offset: number, inner: Record<string, unknown>) =>
      event(offset, 'agent', { type: 'stream_event', event: inner });
    const run = await show(running(), [
      stream(1, { type: 'message_start', message: { id: 'm1' } }),
      stream(2, { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
      stream(3, { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'I am **wri' } }),
    ]);
    expect(all('.say-assistant .md')).toEqual(['I am **wri']);
    expect(root.querySelectorAll('[data-partial]')).toHaveLength(1);
    run.stream.send(
      stream(4, { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'ting**.' } }),
      event(5, 'agent', { type: 'assistant', message: { id: 'm1', content: [{ type: 'text', text: 'I am **writing**.' }] } }),
      stream(6, { type: 'content_block_stop', index: 0 }),
    );
    await settle();
    expect(all('.say-assistant .md strong')).toEqual(['writing']);
    expect(root.querySelectorAll('.say-assistant')).toHaveLength(1);
    expect(root.querySelectorAll('[data-partial]')).toHaveLength(0);
  });

  it('a plan is one checklist that changes in its place', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-plan-tasks'));
    expect(all('.plan')).toHaveLength(1);
    expect(all('.plan li')).toEqual(['☑Read the file done', '☐Say so open']);
  });

  it('an item leads to its line in the log, and the event of a line back to the item', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'));
    const tool = root.querySelector('.talk-tool');
    const key = tool?.getAttribute('data-key');
    await click(tool?.querySelector('.talk-log') as HTMLButtonElement);
    expect(root.querySelector('[role=tab][aria-selected=true]')?.textContent).toBe('Log');
    const line = root.querySelector('.log-selected');
    expect(line?.textContent).toContain('"tool_use"');
    await click(line?.querySelector('.log-inspect') as HTMLButtonElement);
    await click(button('Show in the conversation'));
    expect(root.querySelector('[role=tab][aria-selected=true]')?.textContent).toBe('Conversation');
    expect(window.location.hash).toBe(`#item-${key?.split('.')[0]}`);
  });

  it('opens at the item that the address names', async () => {
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'), { hash: '#item-9' });
    expect(root.querySelectorAll('.talk-selected')).toHaveLength(1);
    render(null, root);
    await show(ended('completed', { format: 'claude' }), lines('claude-tools'), { hash: '#L1' });
    expect(root.querySelector('[role=tab][aria-selected=true]')?.textContent).toBe('Log');
  });

  it('lines that no reader knows are shown as they are', async () => {
    await show(running(), [
      event(1, 'agent', { type: 'of a later version', data: 'x'.repeat(400) }),
      event(2, 'output', { stream: 'stdout', text: 'no \u001b[31mJSON\u001b[0m\n' }),
      event(3, 'output', { stream: 'stderr', text: 'a warning\n' }),
    ]);
    expect(all('.raw-name')).toEqual(['stdout', 'stderr']);
    expect(all('.talk-pre')).toEqual(['no JSON', 'a warning']);
    expect(all('.raw-preview')[0]).toContain('of a later version');
  });
});

describe('the search', () => {
  const use = { type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'make' } };
  const result = { type: 'tool_result', tool_use_id: 't1', content: `${'line\n'.repeat(100)}the needle` };
  const log = [
    event(1, 'agent', { type: 'assistant', message: { id: 'm1', content: [use] } }),
    event(2, 'agent', { type: 'user', message: { content: [result] } }),
    event(3, 'agent', { type: 'assistant', message: { id: 'm2', content: [{ type: 'text', text: 'Done, a **nee**dle.' }] } }),
  ];
  const search = async (text: string) => {
    const field = root.querySelector<HTMLInputElement>('input[aria-label="Search in the conversation"]');
    if (!field) throw new Error('there is no search');
    field.value = text;
    act(() => void field.dispatchEvent(new Event('input', { bubbles: true })));
    await settle();
  };
  const press = async (key: string) => {
    act(() => keys.findLast((binding) => binding.keys.includes(key))?.run(new KeyboardEvent('keydown', { key })));
    await settle();
  };

  it('opens what a match is folded into, with the keys of the log', async () => {
    await show(running(), log);
    expect(text()).not.toContain('the needle');
    await search('needle');
    expect(all('.log-outcome')).toEqual(['1 of 2']);
    expect(text()).toContain('the needle');
    await press('n');
    expect(all('.log-outcome')).toEqual(['2 of 2']);
    await press('N');
    expect(all('.log-outcome')).toEqual(['1 of 2']);
    await press('/');
    expect(document.activeElement?.getAttribute('type')).toBe('search');
    await search('nothing like it');
    expect(all('.log-outcome')).toEqual(['no match']);
  });
});

describe('a message to the agent', () => {
  const write = async (words: string) => {
    const field = root.querySelector<HTMLTextAreaElement>('.exec-input textarea') as HTMLTextAreaElement;
    act(() => {
      field.value = words;
      field.dispatchEvent(new Event('input', { bubbles: true }));
    });
    act(() => root.querySelector<HTMLFormElement>('.exec-input')?.requestSubmit());
    await settle();
  };

  it('is sent as the line that Claude Code reads; beside the log the text is sent as it is', async () => {
    await show(running(), lines('claude-tools').slice(0, 6));
    expect(root.querySelector('.exec-input textarea')?.getAttribute('aria-label')).toBe('Message to the agent');
    await write('And the docs?');
    const line = { type: 'user', message: { role: 'user', content: [{ type: 'text', text: 'And the docs?' }] } };
    expect(inputs).toEqual([['s1', 'e1', { text: `${JSON.stringify(line)}\n` }]]);
    await click(button('Log'));
    await write('raw');
    expect(inputs[1]).toEqual(['s1', 'e1', { text: 'raw\n' }]);
  });

  it('is not offered where the agent reads none', async () => {
    await show(running({ format: 'codex' }), []);
    expect(root.querySelector('.exec-input')).toBeNull();
    render(null, root);
    await show(running({ openStdin: false }), []);
    expect(root.querySelector('.exec-input')).toBeNull();
  });
});

describe('a question', () => {
  it('makes the run wait for a person, in the badge, the title and the live region', async () => {
    await show(running(), asks(1));
    expect(root.querySelector('.status')?.textContent).toBe('Waits for you');
    expect(document.title).toContain('Waits for you');
    expect(all('.ask-text')).toEqual(['Allow Bash: rm -r *_old?']);
    expect(all('.ask-about dd')).toEqual(['rm -r *_old', '5']);
  });

  it('is answered by a button, and says who answered when the log says so', async () => {
    const run = await show(running(), asks(1));
    await click(button('Allow'));
    expect(answers).toEqual([['s1', 'e1', { id: 'q1', option: 'allow' }]]);
    expect(text()).toContain('Accepted. It is on its way to the agent.');
    expect(button('Deny').disabled).toBe(true);
    run.stream.send(event(4, 'answered', { id: 'q1', option: 'allow', by: { kind: 'key', id: 'key_1', name: 'ops' } }));
    await settle();
    expect(all('.ask-outcome')).toEqual(['Answer: Allow by the key ops']);
    expect(root.querySelector('.status')?.textContent).toBe('Running');
    expect(document.title).toContain('Running');
  });

  it('a mark that changes the direction of text is visible in what is asked', async () => {
    const options = [{ id: '1', label: 'No\u202eseY', description: '\u2066' }];
    await show(running(), [event(1, 'asking', { id: 'q1', kind: 'permission', text: 'Allow Bash: rm \u202egpj.exe?', options })]);
    expect(all('.ask-text')).toEqual(['Allow Bash: rm ⟨U+202E⟩gpj.exe?']);
    expect(all('.ask-options .button')).toEqual(['No⟨U+202E⟩seY⟨U+2066⟩']);
  });

  it('a refused answer says why, and can be given again', async () => {
    refusal = new HoldfastError({
      code: 'already_answered',
      message: 'x',
      status: 409,
      retryable: false,
      facts: { answeredBy: 'ana' },
    } as ConstructorParameters<typeof HoldfastError>[0]);
    await show(running(), asks(1));
    await click(button('Deny'));
    expect(text()).toContain('answered before, by ana');
    expect(button('Allow').disabled).toBe(false);
  });

  it('takes a text, and several options, where it says so', async () => {
    await show(running(), [
      event(1, 'asking', {
        id: 'q2',
        kind: 'question',
        text: 'Which **parts**?',
        options: [
          { id: '1', label: 'Tests' },
          { id: '2', label: 'Docs', description: 'All pages' },
          { id: '3', label: 'Code' },
        ],
        multiple: true,
        freeText: true,
      }),
    ]);
    expect(all('.ask .md strong')).toEqual(['parts']);
    const [, docs, code] = root.querySelectorAll<HTMLInputElement>('.ask-choice input');
    await click(code as HTMLInputElement);
    await click(docs as HTMLInputElement);
    act(() => root.querySelector<HTMLFormElement>('.ask-choices')?.requestSubmit());
    await settle();
    expect(answers).toEqual([['s1', 'e1', { id: 'q2', options: ['2', '3'] }]]);
    render(null, root);
    answers = [];
    await show(running(), asks(1).slice(0, 2));
    const field = root.querySelector<HTMLTextAreaElement>('.ask textarea') as HTMLTextAreaElement;
    act(() => {
      field.value = 'use trash instead';
      field.dispatchEvent(new Event('input', { bubbles: true }));
    });
    act(() => root.querySelector<HTMLFormElement>('.ask-text-form')?.requestSubmit());
    await settle();
    expect(answers).toEqual([['s1', 'e1', { id: 'q1', text: 'use trash instead' }]]);
  });

  it('has no buttons for a link that allows no input, and none when the run has ended', async () => {
    const payload = btoa(
      JSON.stringify({ session: 's1', execution: 'e1', exp: Math.floor(Date.now() / 1000) + 3600, can: ['read'] }),
    ).replace(/=+$/, '');
    await show(running(), asks(1), { ticket: `e30.${payload}.x` });
    expect(root.querySelectorAll('.ask button')).toHaveLength(0);
    expect(all('.ask-outcome')).toEqual(['It waits for an answer. This link allows no input.']);
    render(null, root);
    await show(ended('failed', { format: 'claude' }), [...asks(1), event(4, 'execution_failed', { code: 'wrapper_disconnected' })]);
    expect(root.querySelectorAll('.ask button')).toHaveLength(0);
    expect(all('.ask-outcome')).toEqual(['Not answered: the agent does not wait any more.']);
  });

  it('is announced above the log, with the way to it', async () => {
    await show(running(), asks(1), { hash: '#L1' });
    expect(text()).toContain('The agent waits for an answer');
    await click(button('Show the question'));
    expect(root.querySelector('.ask')).not.toBeNull();
  });
});

describe('the next message', () => {
  const CODEX = { format: 'codex', command: ['codex', 'exec', '--json', 'Fix it'] } as const;
  const STREAM = ['claude', '-p', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'];
  const field = () => root.querySelector<HTMLTextAreaElement>('[aria-label="Next message to the agent"] textarea');
  async function send(message: string): Promise<void> {
    act(() => {
      const box = field() as HTMLTextAreaElement;
      box.value = message;
      box.dispatchEvent(new Event('input', { bubbles: true }));
    });
    act(() => root.querySelector<HTMLFormElement>('form[aria-label="Next message to the agent"]')?.requestSubmit());
    await settle();
  }

  it('[TRN1] begins a run that continues this one, with its terms, and shows it', async () => {
    const log = [event(1, 'agent', { type: 'thread.started', thread_id: 'thread-1' })];
    await show(ended('completed', { ...CODEX, command: [...CODEX.command], cwd: '/repo', pool: 'gpu' }), log);
    await send(' And the docs? ');
    expect(starts).toEqual([
      [
        's1',
        expect.objectContaining({
          command: ['codex', 'exec', '--json', 'resume', 'thread-1', 'And the docs?'],
          continues: 'e1',
          cwd: '/repo',
          pool: 'gpu',
          format: 'codex',
          openStdin: false,
        }),
      ],
    ]);
    expect(visited).toEqual(['/sessions/s1/executions/e2']);
    expect(inputs).toEqual([]);
  });

  it('[TRN4] is an input to an agent that reads messages, when its run has begun', async () => {
    const log = [event(1, 'agent', { type: 'system', subtype: 'init', session_id: 'c1', uuid: 'u' })];
    await show(ended('completed', { format: 'claude', command: STREAM, openStdin: true }), log);
    await send('More');
    expect(starts).toEqual([['s1', expect.objectContaining({ command: [...STREAM, '--resume', 'c1'], continues: 'e1' })]]);
    expect(inputs).toEqual([['s1', 'e2', { text: expect.stringContaining('"text":"More"') }, expect.anything()]]);
    expect(visited).toEqual(['/sessions/s1/executions/e2']);
  });

  it('[LIF41] links the run before, and those that continue this one', async () => {
    listed = [madeExecution({ id: 'e3', continues: 'e1' }), madeExecution({ id: 'e2' })];
    await show(ended('completed', { ...CODEX, command: [...CODEX.command], continues: 'e0' }), []);
    const links = [...root.querySelectorAll<HTMLAnchorElement>('.talk-facts a')].map((link) => link.getAttribute('href'));
    expect(links).toEqual(['/sessions/s1/executions/e0', '/sessions/s1/executions/e3']);
    expect(text()).toContain('Continued by');
  });

  it('stays in the box when the start is refused, and says why', async () => {
    const log = [event(1, 'agent', { type: 'thread.started', thread_id: 'thread-1' })];
    await show(ended('completed', { ...CODEX, command: [...CODEX.command] }), log);
    refusal = new HoldfastError({ code: 'execution_in_progress', message: 'x', status: 409, retryable: true, requestId: 'r' });
    await send('More');
    expect(field()?.value).toBe('More');
    expect(root.querySelector('[role=alert]')?.textContent).not.toBe('');
    expect(visited).toEqual([]);
  });

  it('[TRN2] is not offered where the command cannot be known, while the run goes on, or by a link', async () => {
    const log = [event(1, 'agent', { type: 'thread.started', thread_id: 'thread-1' })];
    await show(ended('completed', { format: 'codex', command: ['sh', '-c', 'codex exec'] }), log);
    expect(field()).toBeNull();
    expect(text()).toContain('its command is not that of a known agent');
    render(null, root);
    await show(ended('failed', { ...CODEX, command: [...CODEX.command] }), [event(1, 'output', { stream: 'stderr', text: 'x' })]);
    expect(text()).toContain('the agent did not name it');
    render(null, root);
    await show(madeExecution({ ...CODEX, command: [...CODEX.command] }), log);
    expect([field(), root.querySelector('.talk-next-none')]).toEqual([null, null]);
    render(null, root);
    const payload = btoa(JSON.stringify({ session: 's1', execution: 'e1', exp: Math.floor(Date.now() / 1000) + 3600 }));
    await show(ended('completed', { ...CODEX, command: [...CODEX.command] }), log, {
      ticket: `e30.${payload.replace(/=+$/, '')}.x`,
    });
    expect([field(), root.querySelector('.talk-next-none')]).toEqual([null, null]);
  });
});
