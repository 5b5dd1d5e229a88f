/**
 * Goal: what holdfast-acp prints, sends and answers, and how it ends.
 * Method: an agent in memory, made with the protocol's own library, which the test steers; lines
 * as stdin and stdout would have them.
 */

import { realpathSync } from 'node:fs';
import { type AgentApp, agent, methods, RequestError } from '@agentclientprotocol/sdk';
import { afterAll, describe, expect, it } from 'vitest';
import type { AgentEnd, AgentPort } from '../../acp/agent-process.ts';
import { Bridge } from '../../acp/bridge.ts';
import { Files } from '../../acp/files.ts';
import type { Options } from '../../acp/options.ts';
import { Services } from '../../acp/services.ts';
import { Terminals } from '../../acp/terminals.ts';
import { AskingReader, ConversationReader, encodeAnswer, encodeMessage } from '../../agent/index.ts';
import type { JsonObject } from '../../protocol/json.ts';
import { removeTemporaryFolders, temporaryFolder, until } from '../support/wrapper-run.ts';

afterAll(removeTemporaryFolders);

const OPTIONS: Options = {
  agent: ['/opt/bin/robot', 'acp'],
  prompt: null,
  cwd: '/',
  resume: null,
  auth: null,
  mode: null,
  model: null,
  files: true,
  terminal: true,
  startTimeoutMs: 5000,
};

/** Connects an agent of the library by lines. */
class MemoryAgent implements AgentPort {
  readonly ended: Promise<AgentEnd>;
  end: (how: AgentEnd) => void = () => {};
  /** Lines that it has read. */
  readonly read: JsonObject[] = [];
  #send: (line: JsonObject) => void = () => {};

  constructor(app: AgentApp, onLine: (line: Buffer) => void) {
    this.ended = new Promise((ended) => {
      this.end = ended;
    });
    app.connect({
      readable: new ReadableStream({
        start: (controller) => {
          this.#send = (line) => controller.enqueue(line as never);
        },
      }),
      writable: new WritableStream({ write: (message) => onLine(Buffer.from(JSON.stringify(message))) }),
    });
  }

  write(text: string): void {
    const line = JSON.parse(text) as JsonObject;
    this.read.push(line);
    this.#send(line);
  }

  async stop(_atOnce: boolean): Promise<void> {
    this.end({ kind: 'exited', exitCode: 0, signal: null });
  }
}

interface Turn {
  text: string;
  say(text: string): Promise<void>;
  ask(): Promise<unknown>;
  fill(): Promise<unknown>;
  cancelled: Promise<void>;
}

interface Case {
  options?: Partial<Options>;
  capabilities?: object;
  authMethods?: object[];
  /** What session/new and its kin answer. */
  opens?: (params: JsonObject, client: { notify(method: string, params: unknown): Promise<void> }) => unknown;
  turn?: (turn: Turn) => Promise<string | { stopReason: string }>;
  cancelMs?: number;
}

const PERMISSION = {
  toolCall: { toolCallId: 'call-1', title: 'make', kind: 'execute' },
  options: [
    { optionId: 'once', kind: 'allow_once', name: 'Allow once' },
    { optionId: 'no', kind: 'reject_once', name: 'Reject' },
  ],
};

const FORM = {
  mode: 'form',
  message: 'Which colour?',
  requestedSchema: { type: 'object', properties: { colour: { type: 'string', enum: ['Red', 'Blue'] } } },
};

function start({ options, capabilities = {}, authMethods = [], opens, turn, cancelMs = 5000 }: Case) {
  const printed: JsonObject[] = [];
  const other: string[] = [];
  const remarks: string[] = [];
  let cancel: () => void = () => {};
  let login: string | null = null;
  const open = async (params: unknown, client: never): Promise<never> =>
    ((await opens?.({ ...(params as JsonObject), login }, client)) ?? { sessionId: 'session-1' }) as never;
  const app = agent({ name: 'robot' })
    .onRequest(methods.agent.initialize, () => ({ protocolVersion: 1, agentCapabilities: capabilities, authMethods }) as never)
    .onRequest(methods.agent.authenticate, ({ params }) => {
      login = params.methodId;
    })
    .onRequest(methods.agent.session.new, ({ params, client }) => open(params, client as never))
    .onRequest(methods.agent.session.load, ({ params, client }) => open(params, client as never))
    .onRequest(methods.agent.session.resume, ({ params, client }) => open(params, client as never))
    .onRequest(methods.agent.session.setMode, () => ({}))
    .onRequest(methods.agent.session.setConfigOption, () => ({ configOptions: [] }))
    .onNotification(methods.agent.session.cancel, () => cancel())
    .onRequest(methods.agent.session.prompt, async ({ params, client }) => {
      const { sessionId } = params;
      const text = params.prompt.map((block) => (block.type === 'text' ? block.text : '')).join('\n');
      const say = (said: string) =>
        client.notify(methods.client.session.update, {
          sessionId,
          update: { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: said } },
        });
      const ask = async () =>
        (
          await client.request<{ outcome: unknown }>(methods.client.session.requestPermission, {
            sessionId,
            ...PERMISSION,
          } as never)
        ).outcome;
      const fill = () => client.request(methods.client.elicitation.create, { sessionId, ...FORM } as never);
      const cancelled = new Promise<void>((done) => {
        cancel = done;
      });
      const ended = (await turn?.({ text, say, ask, fill, cancelled })) ?? 'end_turn';
      return (typeof ended === 'string' ? { stopReason: ended } : ended) as never;
    });
  let robot: MemoryAgent | null = null;
  const cwd = realpathSync(temporaryFolder());
  const given = { ...OPTIONS, cwd, ...options };
  const bridge = new Bridge(given, {
    startAgent: (onLine) => (robot = new MemoryAgent(app, onLine)),
    print: (line) => {
      const text = line.toString();
      if (text.startsWith('{')) printed.push(JSON.parse(text));
      else other.push(text);
    },
    printed: async () => {},
    remark: (text) => remarks.push(text),
    services: new Services({
      files: new Files(cwd),
      terminals: new Terminals(),
      root: cwd,
      offers: { files: given.files, terminal: given.terminal },
    }),
    cancelMs,
  });
  const exit = bridge.run();
  return { bridge, exit, printed, other, remarks, cwd, agent: robot as unknown as MemoryAgent };
}

const said = (printed: readonly JsonObject[]): string[] => {
  const reader = new ConversationReader('acp');
  const items = reader.add(
    printed.filter(({ holdfast }) => !holdfast).map((data, offset) => ({ offset, at: offset, type: 'agent', data })),
  );
  return items.map((item) => ('markdown' in item ? item.markdown : item.type === 'turn_end' ? item.state : item.type));
};

describe('turns', () => {
  it('[ACP3] the message of --prompt, then those of stdin, one after the other', async () => {
    const turn = async ({ text, say }: Turn) => {
      await say(`heard ${text}`);
      return 'end_turn';
    };
    const { bridge, exit, printed, agent: robot } = start({ options: { prompt: 'one' }, turn });
    bridge.input('two\r');
    bridge.input('');
    bridge.input(encodeMessage('acp', 'three\nlines')?.trimEnd() as string);
    bridge.inputEnded();
    expect(await exit).toBe(0);
    const prompts = robot.read
      .filter(({ method }) => method === 'session/prompt')
      .map(({ params }) => (params as JsonObject).prompt);
    expect(prompts).toEqual(['one', 'two', 'three\nlines'].map((text) => [{ type: 'text', text }]));
    expect(said(printed)).toEqual(['one', 'heard one', 'done', 'heard two', 'done', 'heard three\nlines', 'done']);
  });

  it('[ACP3] the text of a message from stdin is not printed: it may be secret', async () => {
    const { bridge, exit, printed } = start({});
    bridge.input('the secret');
    bridge.inputEnded();
    expect(await exit).toBe(0);
    expect(JSON.stringify(printed)).not.toContain('the secret');
    expect(printed).toContainEqual({ jsonrpc: '2.0', method: 'session/prompt', params: { sessionId: 'session-1' } });
  });

  it.each([
    ['end_turn', 0],
    ['refusal', 1],
    ['max_tokens', 1],
    ['max_turn_requests', 1],
    ['cancelled', 130],
  ])('the exit code is that of the last turn: %s', async (reason, code) => {
    const { bridge, exit } = start({ turn: async ({ text }) => text });
    for (const text of ['refusal', reason]) bridge.input(text);
    bridge.inputEnded();
    expect(await exit).toBe(code);
  });

  it('a turn that fails, and one with a reply that is not of the protocol', async () => {
    const failing = start({
      options: { prompt: 'go' },
      turn: async () => {
        throw new RequestError(-32603, 'the model is away');
      },
    });
    failing.bridge.inputEnded();
    expect([await failing.exit, said(failing.printed)]).toEqual([1, ['go', 'failed']]);
    const strange = start({ options: { prompt: 'go' }, turn: async () => ({ stopReason: 'because' }) });
    strange.bridge.inputEnded();
    expect(await strange.exit).toBe(1);
  });

  it('stdin that ends without a message is wrong usage', async () => {
    const { bridge, exit, remarks } = start({});
    bridge.inputEnded();
    expect([await exit, remarks[0]]).toEqual([2, expect.stringContaining('no message came')]);
  });

  it('[ACP2] lines on stdin that mean nothing are named, and change nothing', async () => {
    const { bridge, exit, remarks, agent: robot } = start({});
    bridge.input('{"type":"user"}');
    bridge.input('{"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[]}}');
    bridge.input('{"jsonrpc":"2.0","method":"session/set_mode","params":{}}');
    bridge.input('{"jsonrpc":"2.0","id":77,"result":{}}');
    bridge.input('hello');
    bridge.inputEnded();
    expect(await exit).toBe(0);
    expect(remarks).toHaveLength(4);
    expect(robot.read.filter(({ method }) => method === 'session/prompt')).toHaveLength(1);
  });
});

describe('questions', () => {
  const asks = async ({ ask, say }: Turn) => {
    await say(JSON.stringify(await ask()));
    return 'end_turn';
  };
  const question = (printed: readonly JsonObject[]) => printed.find(({ method }) => method === 'session/request_permission');

  it('[ACP4] a question is printed as it came, and the answer that Holdfast writes reaches the agent once', async () => {
    const { bridge, exit, printed, remarks } = start({ options: { prompt: 'go' }, turn: asks });
    await until(() => question(printed) !== undefined, 'the question');
    const line = question(printed) as JsonObject;
    const [asked] = new AskingReader('acp').line(line).asked;
    const answer = encodeAnswer('acp', line, { [asked?.id as string]: { option: 'once' } })?.trimEnd() as string;
    bridge.input(answer);
    bridge.input(answer);
    bridge.inputEnded();
    expect(await exit).toBe(0);
    expect(said(printed)).toContain('{"outcome":"selected","optionId":"once"}');
    expect(remarks).toEqual([expect.stringContaining('no such open question')]);
    expect(printed).toContainEqual(JSON.parse(answer));
  });

  it('[ACP4] the end of stdin refuses what is open and what comes later', async () => {
    const twice = async (turn: Turn) => {
      await asks(turn);
      return asks(turn);
    };
    const { bridge, exit, printed } = start({ options: { prompt: 'go' }, turn: twice });
    await until(() => question(printed) !== undefined, 'the question');
    bridge.inputEnded();
    expect(await exit).toBe(0);
    expect(said(printed).filter((each) => each === '{"outcome":"selected","optionId":"no"}')).toHaveLength(1 + 1);
    expect(printed.filter(({ holdfast }) => holdfast === 'status')).toHaveLength(2);
  });

  it('an error as the reply reaches the agent, and is not printed as its own', async () => {
    const turn = async ({ ask, say }: Turn) => {
      await ask().catch(({ code, message }) => say(`${code} ${message}`));
      return 'end_turn';
    };
    const { bridge, exit, printed } = start({ options: { prompt: 'go' }, turn });
    await until(() => question(printed) !== undefined, 'the question');
    bridge.input(JSON.stringify({ jsonrpc: '2.0', id: question(printed)?.id, error: { code: -32000, message: 'no' } }));
    bridge.inputEnded();
    expect([await exit, said(printed)]).toEqual([0, ['go', 'tool', 'question', '-32000 no', 'done']]);
  });

  it('[ACP2] [ACP4] session/cancel on stdin ends the turn and its questions, and the next message follows', async () => {
    const turn = async ({ text, ask, cancelled }: Turn) => {
      if (text !== 'go') return 'end_turn';
      await ask();
      await ask();
      await cancelled;
      return 'cancelled';
    };
    const { bridge, exit, printed } = start({ options: { prompt: 'go' }, turn });
    await until(() => question(printed) !== undefined, 'the question');
    bridge.input('{"jsonrpc":"2.0","method":"session/cancel"}');
    bridge.input('more');
    bridge.inputEnded();
    expect([await exit, said(printed)]).toEqual([0, ['go', 'tool', 'question', 'question', 'interrupted', 'done']]);
  });

  it('a form has its answer', async () => {
    const turn = async ({ say, fill }: Turn) => {
      await say(JSON.stringify(await fill()));
      return 'end_turn';
    };
    const { bridge, exit, printed } = start({ options: { prompt: 'go' }, turn });
    const form = () => printed.find(({ method }) => method === 'elicitation/create');
    await until(() => form() !== undefined, 'the form');
    const [asked] = new AskingReader('acp').line(form() as JsonObject).asked;
    bridge.input(encodeAnswer('acp', form() as JsonObject, { [asked?.id as string]: { option: 'Blue' } })?.trimEnd() as string);
    bridge.inputEnded();
    expect([await exit, said(printed)]).toEqual([0, expect.arrayContaining(['{"action":"accept","content":{"colour":"Blue"}}'])]);
  });
});

describe('the start', () => {
  it('the agent gets the working directory, and what is offered', async () => {
    const all = start({ options: { prompt: 'go' } });
    all.bridge.inputEnded();
    await all.exit;
    expect(all.agent.read[0]).toMatchObject({
      method: 'initialize',
      params: { protocolVersion: 1, clientCapabilities: { fs: { readTextFile: true, writeTextFile: true }, terminal: true } },
    });
    expect(all.agent.read[1]).toMatchObject({ method: 'session/new', params: { cwd: all.cwd, mcpServers: [] } });
    const none = start({ options: { prompt: 'go', files: false, terminal: false } });
    none.bridge.inputEnded();
    await none.exit;
    expect(none.agent.read[0]).toMatchObject({
      params: { clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false } },
    });
  });

  const opens = async ({ sessionId }: JsonObject, client: { notify(method: string, params: unknown): Promise<void> }) => {
    const update = { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'earlier' } };
    await client.notify(methods.client.session.update, { sessionId, update });
    return {};
  };

  it('[ACP1] --resume takes session/resume, else session/load, whose history is not printed', async () => {
    const options = { prompt: 'go', resume: 'before' };
    const resumed = start({
      options,
      opens: async () => ({}),
      capabilities: { loadSession: true, sessionCapabilities: { resume: {} } },
    });
    resumed.bridge.inputEnded();
    expect(await resumed.exit).toBe(0);
    expect(resumed.agent.read.map(({ method }) => method)).toEqual(['initialize', 'session/resume', 'session/prompt']);
    expect(resumed.agent.read[2]).toMatchObject({ params: { sessionId: 'before' } });
    const loaded = start({ options, opens, capabilities: { loadSession: true } });
    loaded.bridge.inputEnded();
    expect(await loaded.exit).toBe(0);
    expect(loaded.agent.read.map(({ method }) => method)).toEqual(['initialize', 'session/load', 'session/prompt']);
    expect(said(loaded.printed)).toEqual(['go', 'done']);
    expect(loaded.printed).toContainEqual({ holdfast: 'status', message: expect.stringContaining('in 1 lines') });
    const neither = start({ options });
    expect([await neither.exit, neither.remarks[0]]).toEqual([
      3,
      expect.stringContaining('neither session/resume nor session/load'),
    ]);
  });

  it('a conversation that the agent does not know', async () => {
    const { exit, remarks } = start({
      options: { prompt: 'go', resume: 'gone' },
      capabilities: { loadSession: true },
      opens: () => {
        throw RequestError.resourceNotFound();
      },
    });
    expect([await exit, remarks[0]]).toEqual([3, expect.stringContaining('robot does not continue gone: Resource not found')]);
  });

  const modes = {
    currentModeId: 'auto',
    availableModes: [
      { id: 'auto', name: 'Auto' },
      { id: 'plan', name: 'Plan' },
    ],
  };
  const setting = (id: string, values: string[]) => ({
    id,
    name: id,
    category: id,
    type: 'select',
    currentValue: values[0],
    options: values.map((value) => ({ value, name: value })),
  });

  it('--mode and --model are set before the first turn', async () => {
    const configOptions = [setting('mode', ['x']), setting('model', ['small', 'large'])];
    const run = start({
      options: { prompt: 'go', mode: 'plan', model: 'large' },
      opens: () => ({ sessionId: 's', modes, configOptions }),
    });
    run.bridge.inputEnded();
    expect(await run.exit).toBe(0);
    expect(run.agent.read.slice(2, 4)).toMatchObject([
      { method: 'session/set_mode', params: { sessionId: 's', modeId: 'plan' } },
      { method: 'session/set_config_option', params: { sessionId: 's', configId: 'model', value: 'large' } },
    ]);
  });

  it.each([
    [{ mode: 'other' }, 'robot has no mode "other"; it has auto, plan'],
    [{ model: 'other' }, `robot has no model "other"; it offers none over ACP: set it in the agent's own command`],
  ])('%o is not known', async (wanted, sentence) => {
    const { exit, remarks } = start({ options: { prompt: 'go', ...wanted }, opens: () => ({ sessionId: 's', modes }) });
    expect([await exit, remarks]).toEqual([2, [sentence]]);
  });

  const authMethods = [
    { id: 'key', name: 'API key', description: 'Set ROBOT_KEY' },
    { id: 'browser', name: 'Log in', type: 'terminal', args: ['login'] },
    { id: 'old', name: 'Log in', _meta: { 'terminal-auth': { command: 'robot-login', args: ['--now'] } } },
  ];
  const needsKey = ({ login }: JsonObject) => {
    if (login !== 'key') throw RequestError.authRequired();
    return { sessionId: 's' };
  };

  it('[ACP8] a missing login names the methods, and the command of those made in a terminal', async () => {
    const { exit, remarks } = start({ options: { prompt: 'go' }, authMethods, opens: needsKey });
    expect(await exit).toBe(4);
    expect(remarks[0]).toContain('key: API key. Set ROBOT_KEY');
    expect(remarks[0]).toContain('browser: Log in (in a terminal: /opt/bin/robot acp login)');
    expect(remarks[0]).toContain('old: Log in (in a terminal: robot-login --now)');
    expect(remarks[0]).toContain('--auth METHOD');
  });

  it('--auth logs in with a method that the agent has', async () => {
    const run = start({ options: { prompt: 'go', auth: 'key' }, authMethods, opens: needsKey });
    run.bridge.inputEnded();
    expect(await run.exit).toBe(0);
    const unknown = start({ options: { prompt: 'go', auth: 'other' }, authMethods });
    expect([await unknown.exit, unknown.remarks[0]]).toEqual([2, expect.stringContaining('it has key, browser, old')]);
    const terminal = start({ options: { prompt: 'go', auth: 'browser' }, authMethods });
    expect([await terminal.exit, terminal.remarks[0]]).toEqual([4, expect.stringContaining('/opt/bin/robot acp login')]);
  });

  it('a login that is missing at the first message', async () => {
    const { exit, remarks } = start({
      options: { prompt: 'go' },
      turn: async () => {
        throw RequestError.authRequired();
      },
    });
    expect([await exit, remarks[0]]).toEqual([4, expect.stringContaining('robot needs a login')]);
  });

  it('[ACP8] a session that is opened too late', async () => {
    const { exit, remarks } = start({ options: { prompt: 'go', startTimeoutMs: 100 }, opens: () => new Promise(() => {}) });
    expect([await exit, remarks[0]]).toEqual([3, expect.stringContaining('robot did not open a session within 0.1 s')]);
  });
});

describe('the end', () => {
  const waits = async ({ cancelled }: Turn) => {
    await cancelled;
    return 'cancelled';
  };

  it('[ACP7] an interrupt cancels the turn, and ends when the agent has ended it', async () => {
    const { bridge, exit, printed, agent: robot } = start({ options: { prompt: 'go' }, turn: waits });
    await until(() => robot.read.some(({ method }) => method === 'session/prompt'), 'the turn');
    bridge.interrupt();
    expect([await exit, said(printed)]).toEqual([130, ['go', 'interrupted']]);
    expect(robot.read.at(-1)).toMatchObject({ method: 'session/cancel', params: { sessionId: 'session-1' } });
  });

  it('[ACP7] an agent that does not end its turn is ended after a time, or by a second interrupt', async () => {
    const deaf = () => new Promise<string>(() => {});
    const slow = start({ options: { prompt: 'go' }, turn: deaf, cancelMs: 50 });
    await until(() => slow.agent.read.some(({ method }) => method === 'session/prompt'), 'the turn');
    slow.bridge.interrupt();
    expect([await slow.exit, slow.remarks[0]]).toEqual([130, expect.stringContaining('did not end its turn')]);
    const twice = start({ options: { prompt: 'go' }, turn: deaf });
    await until(() => twice.agent.read.some(({ method }) => method === 'session/prompt'), 'the turn');
    twice.bridge.interrupt();
    twice.bridge.interrupt();
    expect(await twice.exit).toBe(130);
  });

  it.each([
    ['a second SIGINT', (bridge: Bridge) => bridge.interrupt(), 130],
    ['SIGTERM', (bridge: Bridge) => bridge.terminate(), 130],
  ])('[ACP7] %s does not wait for an agent that does not end with its stdin', async (_, hurry, code) => {
    const { bridge, exit, printed, agent: robot } = start({ options: { prompt: 'go' } });
    const stops: boolean[] = [];
    robot.stop = (atOnce: boolean) => {
      stops.push(atOnce);
      return atOnce ? Promise.resolve() : new Promise(() => {});
    };
    await until(() => said(printed).includes('done'), 'the end of the turn');
    bridge.interrupt();
    await until(() => stops.length === 1, 'the end of its stdin');
    hurry(bridge);
    expect([await exit, stops]).toEqual([code, [false, true]]);
  });

  it('an interrupt between two turns, and SIGTERM', async () => {
    const idle = start({ options: { prompt: 'go' } });
    await until(() => said(idle.printed).includes('done'), 'the end of the turn');
    idle.bridge.interrupt();
    expect(await idle.exit).toBe(130);
    const killed = start({ options: { prompt: 'go' }, turn: waits });
    killed.bridge.terminate();
    expect(await killed.exit).toBe(143);
  });

  it.each([
    ['exited', { kind: 'exited', exitCode: 7, signal: null }, 'robot ended with exit code 7 before its turn was over.'],
    [
      'was killed',
      { kind: 'exited', exitCode: null, signal: 'SIGKILL' },
      'robot ended with the signal SIGKILL before its turn was over.',
    ],
    ['closed its stdout', { kind: 'closed' }, 'robot closed its stdout before its turn was over.'],
  ] as [string, AgentEnd, string][])('an agent that %s in a turn', async (_, end, sentence) => {
    const { exit, remarks, agent: robot } = start({ options: { prompt: 'go' }, turn: waits });
    await until(() => robot.read.some(({ method }) => method === 'session/prompt'), 'the turn');
    robot.end(end);
    expect([await exit, remarks]).toEqual([5, [sentence]]);
  });

  it('an agent that ends between two turns', async () => {
    const { exit, printed, remarks, agent: robot } = start({ options: { prompt: 'go' } });
    await until(() => said(printed).includes('done'), 'the end of the turn');
    robot.end({ kind: 'exited', exitCode: 0, signal: null });
    expect([await exit, remarks]).toEqual([5, ['robot ended with exit code 0 between two turns.']]);
  });
});
