/**
 * Reads `claude --output-format stream-json`, with and without `--include-partial-messages`.
 *
 * A line holds whole blocks of a message. Deltas of a block come before its line, which replaces
 * them and comes before `content_block_stop`.
 */

import type { JsonObject } from '../protocol/json.ts';
import { claudeAnswer, claudeEnds, claudeQuestions } from './claude-asking.ts';
import type { Conversation, Place } from './conversation.ts';
import { diffOfTexts, hunksOf } from './diff.ts';
import type { FileDiff, PlanEntry } from './items.ts';
import { titleOf } from './title.ts';
import { number, object, objects, sum, text } from './values.ts';

/** Progress that has no item of its own: it adds nothing to what other lines say. */
const PROGRESS_TYPES = new Set([
  'keep_alive',
  'tool_progress',
  'auth_status',
  'rate_limit_event',
  'tool_use_summary',
  'prompt_suggestion',
  'control_cancel_request',
]);
const PROGRESS_SUBTYPES = new Set([
  'thinking_tokens',
  'status',
  'task_started',
  'task_progress',
  'task_updated',
  'background_tasks_changed',
  'hook_started',
  'hook_progress',
  'session_state_changed',
  'files_persisted',
]);
const STREAM_PROGRESS = new Set(['content_block_stop', 'message_delta', 'message_stop', 'ping']);

/** Further ones are not in the plan, which is made again for each of its lines (AGT3). */
const TASKS_MAX = 200;

/** The block that deltas are being received for, of one sequence of lines. */
interface OpenBlock {
  message: string;
  kind: unknown;
  /** Null until its first text, so an empty block makes no item. */
  place: Place | null;
}

export class ClaudeReader {
  readonly #items: Conversation;
  /** By sub-agent: its lines come between those of others. */
  readonly #blocks = new Map<string | null, OpenBlock>();
  readonly #messages = new Map<string | null, string>();
  /** Calls of agents that run in the background. */
  readonly #launched = new Set<string>();
  #tasks = new Map<string, PlanEntry>();
  /** `total_cost_usd` of the last result. */
  #costUsd = 0;

  constructor(items: Conversation) {
    this.#items = items;
  }

  /** False: the line is not known. */
  line(line: JsonObject): boolean {
    const parent = text(line.parent_tool_use_id);
    this.#items.within(parent);
    const end = line.type === 'control_response' ? null : claudeEnds(line);
    switch (line.type) {
      case 'system':
        return this.#system(line);
      case 'stream_event':
        return this.#stream(parent, object(line.event));
      case 'assistant':
        return this.#assistant(parent, object(line.message));
      case 'user': {
        const known = this.#user(line);
        if (end) this.#items.close(end);
        return known;
      }
      case 'result':
        if (end) this.#items.close(end);
        return this.#result(line);
      case 'control_request':
        return this.#asked(line);
      case 'control_response':
        return this.#replied(line);
      default:
        if (end) this.#items.close(end);
        return PROGRESS_TYPES.has(line.type as string);
    }
  }

  /** A line that was written to the agent. */
  input(line: JsonObject): boolean {
    if (line.type === 'user') {
      const said = textsOf(object(line.message).content);
      if (said === null) return false;
      this.#items.sent(said);
      return true;
    }
    if (line.type === 'control_response') return this.#replied(line);
    return line.type === 'control_request' && object(line.request).subtype === 'interrupt';
  }

  #system(line: JsonObject): boolean {
    const { subtype } = line;
    if (subtype === 'init') {
      const { summary } = this.#items;
      summary.sessionId = text(line.session_id) ?? summary.sessionId;
      summary.model = text(line.model) ?? summary.model;
      this.#items.turnBegan();
      return true;
    }
    if (subtype === 'api_retry') {
      const of = [number(line.attempt), number(line.max_retries)].filter((each) => each !== null).join(' of ');
      const status = number(line.error_status);
      this.#items.notice(
        'warning',
        `Retry ${of}: ${text(line.error) ?? 'the model server failed'}${status === null ? '' : ` (${status})`}`,
      );
      return true;
    }
    if (subtype === 'compact_boundary') {
      this.#items.notice('info', 'The conversation was compacted');
      return true;
    }
    if (subtype === 'task_notification') {
      const id = text(line.tool_use_id);
      const state = line.status === 'completed' ? 'done' : 'failed';
      if (id !== null && this.#launched.delete(id)) this.#items.result(id, { state, output: text(line.summary) });
      return true;
    }
    return PROGRESS_SUBTYPES.has(subtype as string);
  }

  #stream(parent: string | null, event: JsonObject): boolean {
    if (event.type === 'message_start') {
      this.#items.turnBegan();
      this.#messages.set(parent, text(object(event.message).id) ?? '');
      this.#blocks.delete(parent);
      return true;
    }
    if (event.type === 'content_block_start') {
      const block = object(event.content_block);
      this.#blocks.set(parent, { message: this.#messages.get(parent) ?? '', kind: block.type, place: null });
      const id = text(block.id);
      if (block.type === 'tool_use' && id !== null) this.#items.call(id, { name: text(block.name) });
      return true;
    }
    if (event.type === 'content_block_delta') {
      const delta = object(event.delta);
      const more = text(delta.text) ?? text(delta.thinking);
      if (more !== null) this.#delta(parent, delta.type === 'thinking_delta' ? 'reasoning' : 'message', more);
      return more !== null || text(delta.type) !== null;
    }
    if (event.type === 'content_block_stop') {
      const place = this.#blocks.get(parent)?.place ?? null;
      if (place !== null) this.#items.finish(place);
      this.#blocks.delete(parent);
    }
    return STREAM_PROGRESS.has(event.type as string);
  }

  #delta(parent: string | null, type: 'message' | 'reasoning', more: string): void {
    const block = this.#blocks.get(parent) ?? { message: '', kind: null, place: null };
    this.#blocks.set(parent, block);
    if (block.place !== null) this.#items.write(block.place, more);
    else if (more !== '') block.place = this.#items.begin(type, more);
  }

  #assistant(parent: string | null, message: JsonObject): boolean {
    this.#items.turnBegan();
    const blocks = objects(message.content);
    for (const block of blocks) this.#block(parent, message.id, block);
    return Array.isArray(message.content) && blocks.length === message.content.length;
  }

  #block(parent: string | null, message: unknown, block: JsonObject): void {
    const { type } = block;
    const whole = text(block.text) ?? text(block.thinking);
    if ((type === 'text' || type === 'thinking') && whole !== null) {
      const open = this.#blocks.get(parent);
      const isOpen = open?.message === message && open?.kind === type;
      if (isOpen) this.#blocks.delete(parent);
      if (isOpen && open.place !== null) this.#items.finish(open.place, whole);
      else this.#items.say(type === 'text' ? 'message' : 'reasoning', whole);
      return;
    }
    const id = text(block.id);
    if ((type === 'tool_use' || type === 'server_tool_use') && id !== null)
      this.#items.call(id, { name: text(block.name), title: titleOf(block.input), input: block.input });
    else if (type !== 'redacted_thinking') this.#items.raw(JSON.stringify(block));
  }

  #user(line: JsonObject): boolean {
    const { content } = object(line.message);
    const said = textsOf(content);
    if (said?.startsWith('[Request interrupted by user')) this.#items.notice('info', 'Interrupted by the user');
    else if (said !== null && line.isReplay === true) this.#items.echoed(said);
    else if (said !== null) this.#items.say('message', said, 'user');
    const blocks = objects(content);
    const results = blocks.filter(isResult);
    for (const result of results) this.#toolResult(result, results.length === 1 ? line.tool_use_result : undefined);
    for (const block of blocks) if (!isResult(block) && !isText(block)) this.#items.raw(JSON.stringify(block));
    return typeof content === 'string' || (Array.isArray(content) && content.length === blocks.length);
  }

  #toolResult(block: JsonObject, details: unknown): void {
    const id = text(block.tool_use_id) ?? '';
    const isError = block.is_error === true;
    const more = object(details);
    // The result of a background agent only says that it was launched.
    if (more.isAsync === true) {
      this.#launched.add(id);
      return;
    }
    const stdout = text(more.stdout);
    const stderr = text(more.stderr) ?? '';
    const said = textsOf(typeof more.agentId === 'string' ? more.content : block.content);
    // `content` of long output is a preview.
    const output = isError || stdout === null ? said : [stdout, stderr].filter((each) => each !== '').join('\n');
    this.#items.result(id, { state: isError ? 'failed' : 'done', output, diff: diffOf(more) });
    if (details === 'User rejected tool use') this.#items.refuse(id);
    if (!isError) this.#planned(id, more);
  }

  /** Tools of a plan count when they have succeeded: they are often disabled. */
  #planned(id: string, result: JsonObject): void {
    const call = this.#items.tool(id);
    const input = object(call?.input);
    if (call?.name === 'TodoWrite') {
      this.#items.plan(
        objects(input.todos).map(({ content, status }) => ({ text: text(content) ?? '', state: planState(status) })),
      );
      return;
    }
    if (call?.name === 'TaskCreate') {
      if (this.#tasks.size >= TASKS_MAX) return;
      this.#tasks.set(text(object(result.task).id) ?? '', { text: text(input.subject) ?? '', state: 'open' });
    } else if (call?.name === 'TaskUpdate') this.#updateTask(input);
    else return;
    this.#items.plan([...this.#tasks.values()]);
  }

  #updateTask(input: JsonObject): void {
    const id = text(input.taskId) ?? '';
    const task = this.#tasks.get(id);
    if (input.status === 'deleted') this.#tasks.delete(id);
    else if (task)
      this.#tasks.set(id, {
        text: text(input.subject) ?? task.text,
        state: input.status === undefined ? task.state : planState(input.status),
      });
  }

  #result(line: JsonObject): boolean {
    const usage = object(line.usage);
    const costUsd = number(line.total_cost_usd);
    // A running total. It begins again in another process.
    const since = costUsd === null ? null : costUsd < this.#costUsd ? costUsd : costUsd - this.#costUsd;
    this.#costUsd = costUsd ?? this.#costUsd;
    for (const denied of objects(line.permission_denials)) this.#items.refuse(text(denied.tool_use_id) ?? '');
    this.#items.usage({
      inputTokens: sum(usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens),
      outputTokens: number(usage.output_tokens),
      costUsd: since,
    });
    const said = text(line.result) ?? errorsOf(line);
    if (text(line.terminal_reason)?.startsWith('aborted')) this.#items.endTurn('interrupted');
    // `subtype` is "success" after an error of the model server.
    else if (line.is_error === true) this.#items.endTurn('failed', said);
    else this.#items.endTurn('done', this.#items.hasSaid(said) ? null : said);
    return true;
  }

  #asked(line: JsonObject): boolean {
    const questions = claudeQuestions(line);
    const request = object(line.request);
    const [first] = questions;
    if (first?.tool !== undefined) {
      this.#items.call(first.tool, { name: text(request.tool_name), title: titleOf(request.input), input: request.input });
    }
    for (const question of questions) this.#items.ask(question);
    return questions.length > 0;
  }

  /** A reply to a question, or the agent's to an interrupt. */
  #replied(line: JsonObject): boolean {
    const { request_id: id, response } = object(line.response);
    if (typeof id === 'string') this.#items.replied(id, (question) => claudeAnswer(question, object(response)));
    return true;
  }
}

const planState = (status: unknown): PlanEntry['state'] =>
  status === 'completed' ? 'done' : status === 'in_progress' ? 'active' : 'open';

const errorsOf = (line: JsonObject): string | null => {
  const errors = Array.isArray(line.errors) ? line.errors.filter((each) => typeof each === 'string') : [];
  return errors.length === 0 ? null : errors.join('\n');
};

const isResult = ({ type, tool_use_id }: JsonObject): boolean => type === 'tool_result' && typeof tool_use_id === 'string';
const isText = ({ type, text: said }: JsonObject): boolean => (type === 'text' && typeof said === 'string') || type === 'image';

/** The texts of a message's content; null when it has none. */
function textsOf(content: unknown): string | null {
  if (typeof content === 'string') return content;
  const texts = objects(content).filter(isText);
  return texts.length === 0 ? null : texts.map((block) => text(block.text) ?? '[image]').join('\n');
}

function diffOf(result: JsonObject): FileDiff[] | null {
  const path = text(result.filePath);
  if (path === null || !Array.isArray(result.structuredPatch)) return null;
  const hunks = hunksOf(result.structuredPatch);
  if (hunks.length > 0) return [{ path, hunks }];
  return result.type === 'create' ? [diffOfTexts(path, text(result.originalFile), text(result.content) ?? '')] : null;
}
