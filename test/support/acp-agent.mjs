/**
 * An agent that speaks the Agent Client Protocol and does what its prompt says, a line each. Plain
 * JSON lines and no library, so that it can also break the rules.
 *
 *   node acp-agent.mjs [SETTINGS]      SETTINGS: JSON, fields below
 *
 *   say TEXT         a chunk of a message
 *   ask              asks for a permission, and says what was chosen
 *   read PATH        reads a file through the client, and says its text or the error
 *   write PATH TEXT  writes one
 *   run COMMAND      runs a command in a terminal of the client, and says its output
 *   plain TEXT       prints a line that is no JSON
 *   flood COUNT      prints so many lines of 1000 characters
 *   last COUNT       prints them when stdin has ended
 *   wait             ends when the turn is cancelled
 *   deaf             ignores that the turn is cancelled, and the end of stdin
 *   fail TEXT        ends the turn with an error
 *   stop REASON      ends the turn with this reason
 *   exit CODE        ends the process
 */

import { createInterface } from 'node:readline';

const settings = {
  /** Lines that are printed first. */
  prints: [],
  /** Never answers `initialize`. */
  isSilent: false,
  protocolVersion: 1,
  capabilities: {},
  authMethods: [],
  /** The login without which no session is opened. */
  needsLogin: null,
  modes: null,
  configOptions: null,
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const print = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const flood = (count) => {
  for (let line = 0; line < count; line += 1) process.stdout.write(`flood ${line} ${'x'.repeat(1000)}\n`);
};
const pending = new Map();
let ids = 0;
let cancel = () => {};
let login = null;
let isDeaf = false;
let lastLines = 0;

const call = (method, params) =>
  new Promise((replied) => {
    const id = ids;
    ids += 1;
    pending.set(id, replied);
    print({ id, method, params });
  });

const update = (sessionId, fields) => print({ method: 'session/update', params: { sessionId, update: fields } });

async function turn(sessionId, text) {
  const cancelled = new Promise((done) => {
    cancel = () => done({ result: { stopReason: 'cancelled' } });
  });
  const say = (said) => update(sessionId, { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: said } });
  const told = ({ result, error }, of) => say(error ? `[${error.code}] ${error.message}` : of(result));
  for (const line of text.split('\n')) {
    const [, verb, rest] = /^(\w+) ?(.*)$/.exec(line) ?? [null, 'say', line];
    const [first, ...others] = rest.split(' ');
    if (verb === 'say') say(rest);
    else if (verb === 'plain') process.stdout.write(`${rest}\n`);
    else if (verb === 'flood') flood(Number(rest));
    else if (verb === 'last') lastLines = Number(rest);
    else if (verb === 'ask') {
      const toolCall = {
        toolCallId: `call-${ids}`,
        title: 'make',
        kind: 'execute',
        status: 'pending',
        rawInput: { command: 'make' },
      };
      update(sessionId, { sessionUpdate: 'tool_call', ...toolCall });
      const options = [
        { optionId: 'once', kind: 'allow_once', name: 'Allow once' },
        { optionId: 'no', kind: 'reject_once', name: 'Reject' },
      ];
      const { result } = await call('session/request_permission', { sessionId, toolCall, options });
      const status = result?.outcome?.optionId === 'once' ? 'completed' : 'failed';
      update(sessionId, { sessionUpdate: 'tool_call_update', toolCallId: toolCall.toolCallId, status });
      say(JSON.stringify(result?.outcome ?? null));
    } else if (verb === 'read') told(await call('fs/read_text_file', { sessionId, path: rest }), ({ content }) => content);
    else if (verb === 'write')
      told(await call('fs/write_text_file', { sessionId, path: first, content: others.join(' ') }), () => 'written');
    else if (verb === 'run') {
      const made = await call('terminal/create', { sessionId, command: rest });
      if (made.error) told(made);
      else {
        const { terminalId } = made.result;
        const toolCallId = `run-${ids}`;
        const content = [{ type: 'terminal', terminalId }];
        update(sessionId, { sessionUpdate: 'tool_call', toolCallId, title: rest, kind: 'execute', status: 'in_progress', content });
        const { result } = await call('terminal/wait_for_exit', { sessionId, terminalId });
        told(
          await call('terminal/output', { sessionId, terminalId }),
          ({ output }) => `${output}(${result.exitCode ?? result.signal})`,
        );
        update(sessionId, { sessionUpdate: 'tool_call_update', toolCallId, status: 'completed' });
        await call('terminal/release', { sessionId, terminalId });
      }
    } else if (verb === 'wait') return cancelled;
    else if (verb === 'deaf') {
      isDeaf = true;
      process.on('SIGTERM', () => {});
      return new Promise(() => {});
    } else if (verb === 'fail') return { error: { code: -32603, message: rest } };
    else if (verb === 'stop') return { result: { stopReason: rest } };
    else if (verb === 'exit') {
      process.exitCode = Number(rest);
      process.stdin.destroy();
      return null;
    }
  }
  return { result: { stopReason: 'end_turn' } };
}

async function answer(method, params) {
  const { capabilities: agentCapabilities, protocolVersion, authMethods, modes, configOptions, needsLogin } = settings;
  const opened = { ...(modes ? { modes } : {}), ...(configOptions ? { configOptions } : {}) };
  const isOpening = method === 'session/new' || method === 'session/load' || method === 'session/resume';
  if (isOpening && needsLogin !== login) return { error: { code: -32000, message: 'Authentication required' } };
  switch (method) {
    case 'initialize':
      return settings.isSilent ? null : { result: { protocolVersion, agentCapabilities, authMethods } };
    case 'authenticate':
      login = params.methodId;
      return { result: {} };
    case 'session/new':
      return { result: { sessionId: 'session-1', ...opened } };
    case 'session/resume':
      return { result: opened };
    case 'session/load':
      if (params.sessionId === 'unknown') return { error: { code: -32002, message: 'Resource not found' } };
      update(params.sessionId, { sessionUpdate: 'user_message_chunk', content: { type: 'text', text: 'earlier' } });
      update(params.sessionId, { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'said' } });
      return { result: opened };
    case 'session/prompt':
      return turn(params.sessionId, params.prompt.map(({ text }) => text).join('\n'));
    case 'session/set_mode':
      update(params.sessionId, { sessionUpdate: 'current_mode_update', currentModeId: params.modeId });
      return { result: {} };
    case 'session/set_config_option':
      return { result: { configOptions } };
    default:
      return { error: { code: -32601, message: `no ${method}` } };
  }
}

for (const line of settings.prints) process.stdout.write(`${line}\n`);
createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { id, method, params, ...reply } = JSON.parse(line);
    if (method === undefined) {
      pending.get(id)?.(reply);
      pending.delete(id);
    } else if (method === 'session/cancel') cancel();
    else if (id !== undefined) {
      const answered = await answer(method, params);
      if (answered) print({ id, ...answered });
    }
  })
  .on('close', () => {
    flood(lastLines);
    if (isDeaf) setInterval(() => {}, 1000);
  });
