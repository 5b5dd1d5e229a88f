/**
 * Reads `codex exec --json`.
 *
 * Items are printed when they begin, change and end, with the same `id`. There are no deltas, and
 * it cannot ask.
 */

import type { JsonObject } from '../protocol/json.ts';
import type { Conversation, Place, ToolCall, ToolResult } from './conversation.ts';
import type { ToolState, Usage } from './items.ts';
import { titleOf } from './title.ts';
import { lookUp, number, object, objects, oneLine, text } from './values.ts';

const STATES: Readonly<Record<string, ToolState>> = {
  in_progress: 'running',
  completed: 'done',
  failed: 'failed',
  declined: 'refused',
};

type Tool = (item: JsonObject) => ToolCall & Pick<ToolResult, 'output'>;

const TOOLS: Readonly<Record<string, Tool>> = {
  command_execution: ({ command, aggregated_output }) => ({
    name: 'shell',
    title: oneLine(withoutShell(text(command) ?? '')),
    input: { command },
    output: text(aggregated_output) || null,
  }),
  file_change: ({ changes }) => ({
    name: 'file_change',
    title: oneLine(
      objects(changes)
        .flatMap(({ path }) => text(path) ?? [])
        .join(', '),
    ),
    input: changes,
  }),
  mcp_tool_call: ({ server, tool, arguments: input, result, error }) => ({
    name: [server, tool].filter((each) => typeof each === 'string').join('.'),
    title: titleOf(input),
    input,
    output: text(object(error).message) ?? contentOf(result),
  }),
  web_search: ({ query, action }) => ({ name: 'web_search', title: oneLine(text(query) ?? ''), input: action ?? { query } }),
  collab_tool_call: ({ tool, prompt, receiver_thread_ids: agents }) => ({
    name: text(tool) ?? 'collab',
    title: oneLine(text(prompt) ?? ''),
    input: { prompt, agents },
  }),
};

export class CodexReader {
  readonly #items: Conversation;
  /** Texts by the id of their item. */
  readonly #texts = new Map<string, Place>();
  /** The usage of the last turn: a total of the thread. */
  #total: JsonObject = {};

  constructor(items: Conversation) {
    this.#items = items;
  }

  /** False: the line is not known. */
  line(line: JsonObject): boolean {
    switch (line.type) {
      case 'thread.started':
        this.#items.summary.sessionId = text(line.thread_id);
        return true;
      case 'turn.started':
        this.#items.turnBegan();
        return true;
      case 'turn.completed':
        this.#items.usage(this.#spent(object(line.usage)));
        this.#items.endTurn('done');
        return true;
      case 'turn.failed':
        this.#items.endTurn('failed', text(object(line.error).message));
        return true;
      case 'error':
        // Before a retry too; a turn that failed says so itself.
        this.#items.notice('warning', text(line.message) ?? JSON.stringify(line));
        return true;
      case 'item.started':
      case 'item.updated':
      case 'item.completed':
        return this.#item(object(line.item), line.type === 'item.completed');
      default:
        return false;
    }
  }

  #item(item: JsonObject, isCompleted: boolean): boolean {
    const id = text(item.id);
    const type = text(item.type) ?? '';
    if (id === null) return false;
    if (type === 'agent_message' || type === 'reasoning') {
      const said = text(item.text);
      if (said !== null) this.#say(id, type === 'reasoning' ? 'reasoning' : 'message', said, isCompleted);
      return said !== null;
    }
    if (type === 'error') {
      this.#items.notice('warning', text(item.message) ?? JSON.stringify(item));
      return true;
    }
    if (type === 'todo_list') {
      const entries = objects(item.items);
      this.#items.plan(
        entries.map((entry) => ({ text: text(entry.text) ?? '', state: entry.completed === true ? 'done' : 'open' })),
      );
      return true;
    }
    const tool = lookUp(TOOLS, type);
    if (!tool) return false;
    const { output, ...call } = tool(item);
    this.#items.call(id, call);
    // A search has no status.
    const state = lookUp(STATES, text(item.status)) ?? (isCompleted ? 'done' : 'running');
    if (state !== 'running' || output) this.#items.result(id, { state, output: output ?? null });
    return true;
  }

  #say(id: string, type: 'message' | 'reasoning', said: string, isCompleted: boolean): void {
    const place = this.#texts.get(id);
    if (place !== undefined) {
      if (isCompleted) this.#items.finish(place, said);
      else this.#items.rewrite(place, said);
    } else if (isCompleted) this.#items.say(type, said);
    else this.#texts.set(id, this.#items.begin(type, said));
  }

  #spent(usage: JsonObject): Usage {
    const before = this.#total;
    this.#total = usage;
    const since = (field: string): number | null => {
      const now = number(usage[field]);
      return now === null ? null : Math.max(0, now - (number(before[field]) ?? 0));
    };
    return { inputTokens: since('input_tokens'), outputTokens: since('output_tokens'), costUsd: null };
  }
}

/** `/bin/bash -lc 'ls'` is `ls`. */
function withoutShell(command: string): string {
  const inner = /^\S*\/?(?:ba|z|da)?sh -l?c (['"]?)([\s\S]*)\1$/.exec(command)?.[2];
  return inner ?? command;
}

function contentOf(result: unknown): string | null {
  const texts = objects(object(result).content).flatMap((block) => text(block.text) ?? []);
  return texts.length === 0 ? null : texts.join('\n');
}
