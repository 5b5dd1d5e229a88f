/** Goal: what the recordings do not show: other events of a log, odd lines, prompts in commands. */

import { describe, expect, it } from 'vitest';
import { type AgentFormat, ConversationReader, type Item, promptOf, type QuestionItem } from '../../agent/index.ts';
import { agentEvent, asEvents, inputEvent, shown } from './recorded.ts';

type Event = { type: string; data: { [key: string]: unknown } };

function read(format: AgentFormat, ...events: Event[]): ConversationReader {
  const reader = new ConversationReader(format);
  reader.add(asEvents(events));
  return reader;
}
const itemsOf = (format: AgentFormat, ...events: Event[]): string[] => read(format, ...events).items.map(shown);

const output = (text: string, stream = 'stdout'): Event => ({ type: 'output', data: { stream, text } });
const claude = (content: unknown[], more = {}): Event =>
  agentEvent({ type: 'assistant', message: { id: 'm1', content }, session_id: 's', uuid: 'u', ...more });
const acpUpdate = (update: Event['data']): Event =>
  agentEvent({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update } });
const permission = agentEvent({
  type: 'control_request',
  request_id: 'r1',
  request: { subtype: 'can_use_tool', tool_name: 'Write', input: { file_path: '/a' }, tool_use_id: 't1' },
});

describe('other events of the log', () => {
  it('output that is not JSON is raw, and neighbouring output is one item', () => {
    expect(itemsOf('claude', output('one\n'), output('two\n'), output('why\n', 'stderr'), output('three\n'))).toEqual([
      '1-2      raw stdout: one\\ntwo\\n',
      '3        raw stderr: why\\n',
      '4        raw stdout: three\\n',
    ]);
  });

  it('much output is several items', () => {
    const many = Array.from({ length: 5 }, () => output('x'.repeat(5000)));
    expect(read('codex', ...many).items.length).toBe(2);
  });

  it('a gap, an error and a status are notices', () => {
    expect(
      itemsOf(
        'jsonl',
        { type: 'gap', data: { events: 3, bytes: 10, reason: 'spool_full' } },
        { type: 'gap', data: { events: 1, bytes: 1, reason: 'placeholder' } },
        { type: 'error', data: { error: 'cannot start' } },
        { type: 'status', data: { message: 'cloning' } },
      ),
    ).toEqual(['1        warning: 3 events (10 bytes) are missing here', '3        error: cannot start', '4        info: cloning']);
  });

  it('the prompt in the command is a message of the user, once', () => {
    const started = { type: 'started', data: { pid: 1, command: ['claude', '-p', 'Fix it', '--output-format', 'stream-json'] } };
    const echo = agentEvent({ type: 'user', message: { content: 'Fix it' }, isReplay: true, session_id: 's', uuid: 'u' });
    expect(itemsOf('auto', started, echo)).toEqual(['1        user: Fix it']);
  });

  it('an input is a message of the user, an answer, or a notice when its text is not in the log', () => {
    const user = { type: 'user', message: { role: 'user', content: [{ type: 'text', text: 'Hello' }] } };
    expect(
      itemsOf(
        'auto',
        inputEvent(user),
        { type: 'input', data: { bytes: 4, text: 'yes\n' } },
        { type: 'input', data: { bytes: 9, secret: true } },
        { type: 'input', data: { bytes: 12, sha256: 'ab' } },
        { type: 'input', data: { bytes: 0, eof: true } },
      ),
    ).toEqual([
      '1        user: Hello',
      '2        user: yes',
      '3        info: A secret input was sent',
      '4        info: Input of 12 bytes was sent',
    ]);
  });

  it('an answer has its author, and the question is no longer asked', () => {
    const by = { kind: 'key', id: 'k1' };
    const reader = read('claude', permission);
    expect(reader.summary.asking?.id).toBe('r1');
    const changed = reader.add([{ offset: 9, type: 'answered', at: 9, data: { id: 'r1', by, option: 'deny' } }]);
    expect(changed).toMatchObject([{ type: 'question', state: 'answered', answer: { by, option: 'deny' } }]);
    expect(reader.summary.asking).toBeNull();
  });

  it('a question that only the wrapper knows is shown, and ends', () => {
    const data = { id: 'q1', kind: 'question', text: 'Go on?', options: [{ id: 'y', label: 'Yes' }], freeText: true };
    const reader = read('jsonl', { type: 'asking', data });
    expect(reader.items[0]).toMatchObject({ ...data, type: 'question', state: 'open', request: 'q1' });
    reader.add([{ offset: 2, type: 'asking_ended', at: 2, data: { id: 'q1', reason: 'cancelled' } }]);
    expect((reader.items[0] as QuestionItem).state).toBe('cancelled');
  });

  it('the report of a question that the line made is no second question', () => {
    expect(
      read('claude', permission, { type: 'asking', data: { id: 'r1', kind: 'permission', text: '', options: [] } }).items.length,
    ).toBe(2);
  });
});

describe('the report of a question', () => {
  it('has the options that can be answered, also where the line has others', () => {
    const options = [
      { id: '1', label: 'Yes' },
      { id: '2', label: 'No' },
    ];
    const data = { id: 'r1', kind: 'permission', text: '', options };
    const reader = read('claude', permission, { type: 'asking', data });
    expect(reader.summary.asking).toMatchObject({ id: 'r1', text: 'Allow Write: /a?', options });
  });
});

describe('lines of Claude', () => {
  it('a block of a kind that is not known is raw, beside the known ones', () => {
    expect(
      itemsOf(
        'claude',
        claude([
          { type: 'text', text: 'Hi' },
          { type: 'hologram', x: 1 },
        ]),
      ),
    ).toEqual(['1        assistant: Hi', '1.1      raw: {\\"type\\":\\"hologram\\",\\"x\\":1}']);
  });

  it('a line of a type that is not known is raw', () => {
    expect(itemsOf('claude', agentEvent({ type: 'telepathy', uuid: 'u' }))).toEqual([
      '1        raw: {\\"type\\":\\"telepathy\\",\\"uuid\\":\\"u\\"}',
    ]);
  });

  it('deltas of a sub-agent and of the agent do not mix', () => {
    const delta = (parent: string | null, text: string): Event =>
      agentEvent({
        type: 'stream_event',
        parent_tool_use_id: parent,
        event: { type: 'content_block_delta', delta: { type: 'text_delta', text } },
      });
    expect(itemsOf('claude', delta(null, 'a'), delta('t1', 'x'), delta(null, 'b'), delta('t1', 'y'))).toEqual([
      '1-3      assistant (partial): ab',
      '2-4 in t1 assistant (partial): xy',
    ]);
  });

  it('the question may come before its tool call', () => {
    const call = claude([{ type: 'tool_use', id: 't1', name: 'Write', input: { file_path: '/a' } }]);
    expect(itemsOf('claude', permission, call).map((line) => line.split('\n')[0])).toEqual([
      '1-2      tool t1 Write, running: /a',
      '1.1      permission r1, open: Allow Write: /a?',
    ]);
  });

  it('the cost of a turn is what the total grew by', () => {
    const result = (total: number): Event =>
      agentEvent({ type: 'result', usage: { input_tokens: 1, output_tokens: 2 }, total_cost_usd: total });
    const reader = read('claude', result(0.5), result(0.75), result(0.1));
    expect(reader.items.flatMap((item: Item) => (item.type === 'usage' ? [item.costUsd] : []))).toEqual([0.5, 0.25, 0.1]);
    expect(reader.summary.usage.costUsd).toBeCloseTo(0.85);
  });
});

describe('auto', () => {
  it('keeps lines before the first that tells as raw', () => {
    const reader = read('auto', agentEvent({ level: 'info' }), claude([{ type: 'text', text: 'Hi' }]));
    expect(reader.items.map(shown)).toEqual(['1        raw: {\\"level\\":\\"info\\"}', '2        assistant: Hi']);
    expect(reader.summary.format).toBe('claude');
  });
});

describe('the prompt in a command', () => {
  it.each<[command: string[], prompt: string | null]>([
    [['claude', '-p', 'Fix it', '--verbose'], 'Fix it'],
    [['claude', '--model', 'opus', '--print', '--output-format', 'stream-json', '--verbose', 'Fix it'], 'Fix it'],
    [['/usr/bin/claude', '-p', '--allowedTools', 'Bash', 'Read', '--verbose', 'Fix it'], 'Fix it'],
    [['claude', '-p', '--input-format', 'stream-json', '--output-format', 'stream-json'], null],
    [['claude', '-p', '--resume', 'abc', '--', '-v is broken'], '-v is broken'],
    [['npx', '-y', '@anthropic-ai/claude-code@2.1.197', '-p', 'Fix it'], 'Fix it'],
    [['codex', 'exec', '--json', '--sandbox', 'workspace-write', 'Fix it'], 'Fix it'],
    [['codex', 'exec', 'resume', '--json', 'thread-1', 'More'], 'More'],
    [['codex', 'exec', 'resume', '--last', 'More'], 'More'],
    [['codex', 'exec', '--json', '-'], null],
    [['codex', 'login'], null],
    [['opencode', 'run', '--format', 'json', '--thinking', 'Fix', 'it'], 'Fix it'],
    [['opencode', 'acp'], null],
    [['sh', '-c', 'claude -p x'], null],
    [[], null],
  ])('%j: %j', (command, prompt) => {
    expect(promptOf(command)).toBe(prompt);
  });
});

describe('hostile numbers', () => {
  it('a negative number of tokens, or a negative cost, is not counted', () => {
    const usage = { input_tokens: -5, output_tokens: 7 };
    const { items, summary } = read('claude', agentEvent({ type: 'result', usage, total_cost_usd: -3 }));
    expect(items[0]).toMatchObject({ type: 'usage', inputTokens: null, outputTokens: 7, costUsd: null });
    expect(summary.usage).toEqual({ inputTokens: null, outputTokens: 7, costUsd: null });
  });

  it('[AGT3] a plan has 200 tasks at most', () => {
    const lines = Array.from({ length: 201 }, (_, i) => [
      agentEvent({ type: 'assistant', message: { content: [{ type: 'tool_use', id: `t${i}`, name: 'TaskCreate', input: {} }] } }),
      agentEvent({
        type: 'user',
        message: { content: [{ type: 'tool_result', tool_use_id: `t${i}`, content: 'ok' }] },
        tool_use_result: { task: { id: `${i}` } },
      }),
    ]);
    const { items } = read('claude', ...lines.flat());
    expect(items.find(({ type }) => type === 'plan')).toMatchObject({ entries: { length: 200 } });
  });
});

describe('tool calls of ACP and Codex', () => {
  it.each(['constructor', 'toString', '__proto__'])('a name that every object has, %s, is no state of a tool', (status) => {
    const acp = read('acp', acpUpdate({ sessionUpdate: 'tool_call', toolCallId: 't', title: 'make', status }));
    const item = { id: 'i', type: 'command_execution', command: 'make', aggregated_output: 'done', status };
    const codex = read('codex', agentEvent({ type: 'item.completed', item }));
    expect(acp.items).toMatchObject([{ type: 'tool', state: 'running' }]);
    expect(codex.items).toMatchObject([{ type: 'tool', state: 'done', output: 'done' }]);
  });

  it('a call of ACP that is printed once, when it has ended, has its output', () => {
    const content = [{ type: 'content', content: { type: 'text', text: 'done' } }];
    const call = { sessionUpdate: 'tool_call', toolCallId: 't', title: 'make', status: 'completed', content };
    expect(read('acp', acpUpdate(call)).items).toMatchObject([{ type: 'tool', state: 'done', output: 'done' }]);
  });
});

describe('what holdfast-acp prints beside the lines of its agent', () => {
  const prompt = (text?: string): Event =>
    agentEvent({
      jsonrpc: '2.0',
      method: 'session/prompt',
      params: { sessionId: 's1', ...(text === undefined ? {} : { prompt: [{ type: 'text', text }] }) },
    });
  const ended = agentEvent({ jsonrpc: '2.0', id: 2, result: { stopReason: 'end_turn' } });
  const failed = agentEvent({ jsonrpc: '2.0', id: 3, error: { code: -32603, message: 'away' } });
  const inputText = (text: string): Event => ({ type: 'input', data: { text, bytes: text.length } });
  const exited = { type: 'exit', data: { exitCode: 1, signal: null } };

  it('a message is shown once: as input, or as the prompt of the command', () => {
    expect(itemsOf('acp', prompt('one'), ended, inputText('two\n'), prompt(), ended)).toEqual([
      '1        user: one',
      '2        end of turn, done',
      '3        user: two',
      '5        end of turn, done',
    ]);
    expect(itemsOf('auto', prompt('one'), inputText('two'), prompt('two'))).toEqual(['1        user: one', '2        user: two']);
    const line = JSON.stringify(prompt('a\nb').data);
    expect(itemsOf('acp', inputText(line), prompt())).toEqual(['1        user: a\\nb']);
  });

  it('a turn that fails or whose job ends at once is a turn, and the session is known', () => {
    const reader = read('acp', prompt(), failed, prompt(), exited);
    expect(reader.items.map(shown)).toEqual(['2        end of turn, failed: away (-32603)', '4        end of turn, unknown']);
    expect(reader.summary.sessionId).toBe('s1');
  });

  it('the output of a command is that of the tool call that names its terminal, in any order', () => {
    const terminal = (terminalId: string, output: string): Event =>
      agentEvent({ jsonrpc: '2.0', method: '_holdfast/terminal', params: { terminalId, output, truncated: false, exitCode: 0 } });
    const call = (toolCallId: string, terminalId: string): Event =>
      acpUpdate({
        sessionUpdate: 'tool_call',
        toolCallId,
        title: 'make',
        status: 'in_progress',
        content: [{ type: 'terminal', terminalId }],
      });
    const done = (toolCallId: string): Event => acpUpdate({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed' });
    const { items } = read(
      'acp',
      call('t1', 'a'),
      terminal('a', 'first'),
      done('t1'),
      terminal('b', 'second'),
      done('t2'),
      call('t2', 'b'),
    );
    expect(items).toMatchObject([
      { type: 'tool', id: 't1', state: 'done', output: 'first' },
      { type: 'tool', id: 't2', output: 'second' },
    ]);
    expect(items).toHaveLength(2);
  });
});
