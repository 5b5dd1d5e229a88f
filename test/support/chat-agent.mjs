/**
 * An agent that talks: what it prints has the form of the program whose name this file was given
 * (`claude.mjs`, `codex.mjs`, `opencode.mjs`). It answers `echo: MESSAGE`.
 *
 *   ask    asks for a permission first (Claude Code)
 *   wait   says so, and ends its turn only when it is interrupted (Claude Code)
 *   fail   ends with exit code 3, without an answer
 *
 * Its arguments are appended to the file `arguments` beside it.
 */

import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const [, file, ...words] = process.argv;
appendFileSync(join(dirname(file), 'arguments'), `${JSON.stringify(words)}\n`);
const after = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const usage = { input_tokens: 10, output_tokens: 2 };

function claude() {
  const session_id = after('--resume') ?? randomUUID();
  const line = (fields) => print({ ...fields, session_id, uuid: randomUUID() });
  const say = (text) =>
    line({ type: 'assistant', message: { id: randomUUID(), role: 'assistant', content: [{ type: 'text', text }] } });
  const answer = (text) => {
    say(text);
    line({ type: 'result', subtype: 'success', is_error: false, result: text, usage, total_cost_usd: 0.01 });
  };
  const input = { file_path: '/repo/new.txt', content: 'x' };
  let asked = null;
  createInterface({ input: process.stdin })
    .on('line', (text) => {
      const { type, message, request, response } = JSON.parse(text);
      if (type === 'control_response') {
        const { behavior } = response.response;
        answer(`${asked}: ${behavior}`);
      }
      if (type === 'control_request' && request.subtype === 'interrupt')
        line({ type: 'result', subtype: 'error_during_execution', is_error: true, usage, terminal_reason: 'aborted_streaming' });
      if (type !== 'user') return;
      const said = message.content[0].text;
      line({ type: 'system', subtype: 'init', model: 'fake', cwd: process.cwd(), tools: [] });
      if (said === 'fail') process.exit(3);
      if (said === 'ask') {
        asked = `q-${randomUUID()}`;
        const tool_use = { tool_name: 'Write', input, tool_use_id: randomUUID() };
        print({ type: 'control_request', request_id: asked, request: { subtype: 'can_use_tool', ...tool_use } });
        asked = said;
      } else if (said === 'wait') say('I wait');
      else answer(`echo: ${said}`);
    })
    .on('close', () => process.exit(0));
}

function codex() {
  const resumes = words.indexOf('resume');
  const [id, ...rest] = resumes === -1 ? [randomUUID(), words.at(-1)] : words.slice(resumes + 1);
  print({ type: 'thread.started', thread_id: id });
  print({ type: 'turn.started' });
  if (rest.at(-1) === 'fail') process.exit(3);
  print({ type: 'item.completed', item: { id: 'item_1', type: 'agent_message', text: `echo: ${rest.at(-1)}` } });
  print({ type: 'turn.completed', usage: { ...usage, cached_input_tokens: 0 } });
}

function opencode() {
  const sessionID = after('--session') ?? `ses_${randomUUID().slice(0, 8)}`;
  const part = (type, fields) =>
    print({ type, timestamp: Date.now(), sessionID, part: { id: randomUUID(), sessionID, ...fields } });
  part('step_start', { type: 'step-start' });
  part('text', { type: 'text', messageID: 'msg_1', text: `echo: ${words.at(-1)}`, time: { start: 1, end: 2 } });
  const tokens = { input: 10, output: 2, reasoning: 0, cache: { read: 0, write: 0 } };
  part('step_finish', { type: 'step-finish', reason: 'stop', tokens, cost: 0.001 });
}

({ claude, codex, opencode })[basename(file, '.mjs')]();
