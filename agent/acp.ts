/**
 * Reads the lines of the Agent Client Protocol, version 1: those of the agent, and those of its
 * client where they are printed too.
 *
 * A text comes in chunks: neighbours with the same role and the same `messageId`, which is optional.
 */

import type { JsonObject } from '../protocol/json.ts';
import { acpAnswer, acpEnds, acpQuestions, isAcpReply, rpcId } from './acp-asking.ts';
import type { Conversation, Place } from './conversation.ts';
import { diffsOfContent } from './diff.ts';
import type { PlanEntry, ToolState, TurnEndItem } from './items.ts';
import { titleOf } from './title.ts';
import { lookUp, number, object, objects, sum, text } from './values.ts';

/** Updates without an item of their own. */
const PROGRESS_UPDATES = new Set([
  'available_commands_update',
  'config_option_update',
  'current_mode_update',
  'session_info_update',
]);

const CHUNKS: Readonly<Record<string, ['message' | 'reasoning', 'user' | 'assistant']>> = {
  user_message_chunk: ['message', 'user'],
  agent_message_chunk: ['message', 'assistant'],
  agent_thought_chunk: ['reasoning', 'assistant'],
};

/** Requests between client and agent that are no part of the conversation. */
const REQUEST =
  /^(initialize|authenticate|logout|fs\/|terminal\/|mcp\/|session\/(new|load|resume|set_|list|close|fork|delete|cancel))/;

/** Printed by holdfast-acp when a command has ended that the agent ran through it. */
const TERMINAL_ENDED = '_holdfast/terminal';

const TOOL_STATES: Readonly<Record<string, ToolState>> = {
  pending: 'running',
  in_progress: 'running',
  completed: 'done',
  failed: 'failed',
};

/** Reasons of an end that are no success, in words. */
const STOPS: Readonly<Record<string, [TurnEndItem['state'], string | null]>> = {
  end_turn: ['done', null],
  cancelled: ['interrupted', null],
  refusal: ['failed', 'The agent refused to go on'],
  max_tokens: ['failed', 'The limit of tokens was reached'],
  max_turn_requests: ['failed', 'The limit of requests in one turn was reached'],
};

export class AcpReader {
  readonly #items: Conversation;
  #text: { kind: string; message: string | null; place: Place; next: number } | null = null;
  /** Output of a terminal that is printed in parts (codex-acp). */
  readonly #terminals = new Map<string, string>();
  /** Terminals of the client, until both their tool call and their output are known. */
  readonly #ofClient = new Map<string, { tool?: string; output?: string }>();
  /** The running total of the last `usage_update`, and what of it belongs to ended turns. */
  #costUsd: number | null = null;
  #endedCostUsd = 0;

  constructor(items: Conversation) {
    this.#items = items;
  }

  /** False: the line is not known. */
  line(line: JsonObject): boolean {
    if (line.method === 'session/prompt') return this.#turnBegins(object(line.params));
    const end = isAcpReply(line) ? null : acpEnds(line);
    const known = this.#line(line);
    if (end) this.#items.close(end);
    return known;
  }

  /** A line that was written to the agent. */
  input(line: JsonObject): boolean {
    return line.jsonrpc === '2.0' && this.#line(line);
  }

  #line(line: JsonObject): boolean {
    const { method } = line;
    const params = object(line.params);
    if (typeof method === 'string') {
      if (method === 'session/update') return this.#update(params, object(params.update));
      if (method === 'session/request_permission' || method === 'elicitation/create') return this.#asked(line, params);
      if (method === 'session/prompt') return this.#prompt(params);
      if (method === TERMINAL_ENDED) return this.#terminal(text(params.terminalId), { output: text(params.output) ?? '' });
      return method.startsWith('_') || method.startsWith('$/') || REQUEST.test(method);
    }
    if (line.error !== undefined) return this.#failed(object(line.error));
    return line.result !== undefined && this.#result(line, object(line.result));
  }

  #prompt(params: JsonObject): boolean {
    const said = promptOf(params);
    this.#items.sent(said);
    this.#items.turnBegan();
    return said !== '';
  }

  /** Printed by holdfast-acp. The prompt is left out where the log has it as an input. */
  #turnBegins(params: JsonObject): boolean {
    const said = promptOf(params);
    if (said !== '' && !this.#items.wasSent(said)) this.#items.sent(said);
    this.#items.turnBegan();
    this.#items.summary.sessionId = text(params.sessionId) ?? this.#items.summary.sessionId;
    return true;
  }

  #update(params: JsonObject, update: JsonObject): boolean {
    const kind = text(update.sessionUpdate) ?? '';
    const { summary } = this.#items;
    const meta = object(update._meta);
    summary.sessionId = text(params.sessionId) ?? summary.sessionId;
    this.#items.within(text(object(meta.claudeCode).parentToolUseId));
    const chunk = lookUp(CHUNKS, kind);
    if (chunk) return this.#chunk(kind, chunk, update);
    if (kind === 'tool_call' || kind === 'tool_call_update') return this.#tool(update, kind === 'tool_call_update');
    if (kind === 'plan') {
      const entries = objects(update.entries);
      this.#items.plan(entries.map(({ content, status }) => ({ text: text(content) ?? '', state: planState(status) })));
      return Array.isArray(update.entries) && entries.length === update.entries.length;
    }
    if (kind === 'usage_update') {
      this.#costUsd = number(object(update.cost).amount) ?? this.#costUsd;
      summary.model = text(meta['_claude/model']) ?? summary.model;
      return true;
    }
    return PROGRESS_UPDATES.has(kind);
  }

  #chunk(kind: string, [type, role]: ['message' | 'reasoning', 'user' | 'assistant'], update: JsonObject): boolean {
    const more = markdownOf(object(update.content));
    const message = text(update.messageId);
    if (more === '') return true;
    const open = this.#text;
    // A message without an id ends where another item begins.
    const isSame = open?.kind === kind && open.message === message && (message !== null || open.next === this.#items.items.length);
    if (isSame) this.#items.write(open.place, more);
    else {
      this.#finishText();
      if (role === 'user' && this.#items.wasSent(more)) this.#items.echoed(more);
      else {
        const place = this.#items.begin(type, more, role);
        this.#text = { kind, message, place, next: this.#items.items.length };
      }
    }
    return true;
  }

  #finishText(): void {
    if (this.#text) this.#items.finish(this.#text.place);
    this.#text = null;
  }

  /** Agents send a call, an update or a question first. */
  #tool(call: JsonObject, isUpdate: boolean): boolean {
    const id = text(call.toolCallId);
    if (id === null) return false;
    const known = this.#items.tool(id);
    if (!known) this.#finishText();
    const meta = object(call._meta);
    const claude = object(meta.claudeCode);
    const name = text(call.name) ?? text(claude.toolName) ?? (known ? null : text(call.kind));
    this.#items.call(id, { name, title: text(call.title) ?? (known ? null : titleOf(call.rawInput)), input: call.rawInput });
    // OpenCode completes a command whatever its exit code.
    const exit = number(object(object(call.rawOutput).metadata).exit) ?? 0;
    const state = exit === 0 ? (lookUp(TOOL_STATES, text(call.status)) ?? null) : 'failed';
    const output = this.#output(id, call, meta, state === 'done' || state === 'failed' || (isUpdate && state !== null));
    const diff = diffsOfContent(call.content);
    for (const { type, terminalId } of objects(call.content))
      if (type === 'terminal') this.#terminal(text(terminalId), { tool: id });
    if (claude.nonExecutionKind === 'user-rejected') this.#items.refuse(id);
    if (state !== null || output !== null || diff)
      this.#items.result(id, { state: state ?? known?.state ?? 'running', output, diff });
    return true;
  }

  /** A command that the agent ran through holdfast-acp: its output is that of the tool. */
  #terminal(id: string | null, known: { tool?: string; output?: string }): boolean {
    if (id === null) return false;
    const { tool, output } = { ...this.#ofClient.get(id), ...known };
    if (tool === undefined || output === undefined) this.#ofClient.set(id, { ...this.#ofClient.get(id), ...known });
    else {
      this.#ofClient.delete(id);
      this.#items.result(tool, { state: this.#items.tool(tool)?.state ?? 'running', output });
    }
    return true;
  }

  /** The content of a call that has not begun describes it, and is no output. */
  #output(id: string, call: JsonObject, meta: JsonObject, hasOutput: boolean): string | null {
    const part = text(object(meta.terminal_output_delta).data) ?? text(object(meta.terminal_output).data);
    if (part !== null) this.#terminals.set(id, (this.#terminals.get(id) ?? '') + part);
    if (part !== null) return this.#terminals.get(id) as string;
    const raw = text(call.rawOutput) ?? text(object(call.rawOutput).output);
    if (raw !== null || !hasOutput) return raw;
    const texts = objects(call.content).filter(({ type }) => type === 'content');
    return texts.length === 0 ? null : texts.map(({ content }) => markdownOf(object(content))).join('\n');
  }

  #asked(line: JsonObject, params: JsonObject): boolean {
    const questions = acpQuestions(line);
    if (questions.length === 0) return false;
    this.#finishText();
    if (line.method === 'session/request_permission') this.#tool(object(params.toolCall), false);
    for (const question of questions) this.#items.ask(question);
    return true;
  }

  #result(line: JsonObject, result: JsonObject): boolean {
    const { summary } = this.#items;
    const id = rpcId(line);
    if (isAcpReply(line)) {
      if (id !== null) this.#items.replied(id, (question) => acpAnswer(question, result));
      return true;
    }
    summary.sessionId = text(result.sessionId) ?? summary.sessionId;
    summary.model = text(object(result.models).currentModelId) ?? summary.model;
    const reason = text(result.stopReason);
    if (reason === null) return true;
    this.#finishText();
    this.#spent(object(object(object(result._meta).quota).token_count));
    const [state, why] = lookUp(STOPS, reason) ?? ['unknown', reason];
    this.#items.endTurn(state, why);
    return true;
  }

  /** Where the agent gives a total, its cached tokens are not in `inputTokens`. */
  #spent(tokens: JsonObject): void {
    const output = number(tokens.outputTokens) ?? number(tokens.output_tokens);
    const total = number(tokens.totalTokens);
    const input = total !== null && output !== null ? total - output : sum(tokens.inputTokens, tokens.input_tokens);
    const costUsd = this.#costUsd === null ? null : Math.max(0, this.#costUsd - this.#endedCostUsd);
    this.#endedCostUsd = this.#costUsd ?? 0;
    this.#items.usage({ inputTokens: input, outputTokens: output, costUsd });
  }

  #failed({ code, message, data }: JsonObject): boolean {
    const details = text(object(data).details) ?? text(object(data).message) ?? text(data);
    const why = [text(message) ?? 'The agent reports an error', ...(details === null ? [] : [details])].join(': ');
    const shown = number(code) === null ? why : `${why} (${code})`;
    if (this.#items.inTurn) this.#items.endTurn('failed', shown);
    else this.#items.notice('error', shown);
    return true;
  }
}

const planState = (status: unknown): PlanEntry['state'] =>
  status === 'completed' ? 'done' : status === 'in_progress' ? 'active' : 'open';

const promptOf = (params: JsonObject): string => objects(params.prompt).map(markdownOf).join('\n');

/** A block of content as Markdown. */
function markdownOf(block: JsonObject): string {
  if (block.type === 'text') return text(block.text) ?? '';
  if (block.type === 'resource_link') return `[${text(block.name) ?? text(block.uri) ?? ''}](${text(block.uri) ?? ''})`;
  const resource = text(object(block.resource).text);
  return resource ?? `[${text(block.type) ?? 'content'}]`;
}
