/**
 * Reads `opencode run --format json`.
 *
 * It prints each part once, when the part has ended: a long tool call shows nothing before. It
 * cannot ask. A turn has steps; the last one has another reason than `tool-calls`.
 */

import type { JsonObject } from '../protocol/json.ts';
import type { Conversation } from './conversation.ts';
import { diffOfPatch } from './diff.ts';
import type { PlanEntry, Usage } from './items.ts';
import { titleOf } from './title.ts';
import { number, object, objects, sum, text } from './values.ts';

const NOTHING: Usage = { inputTokens: null, outputTokens: null, costUsd: null };
const REFUSED = /^The user (rejected permission|has specified a rule)/;

export class OpencodeReader {
  readonly #items: Conversation;
  /** Of the steps of this turn. */
  #spent: Usage = NOTHING;

  constructor(items: Conversation) {
    this.#items = items;
  }

  /** False: the line is not known. */
  line(line: JsonObject): boolean {
    const { summary } = this.#items;
    summary.sessionId ??= text(line.sessionID);
    const part = object(line.part);
    const said = text(part.text);
    switch (line.type) {
      case 'step_start':
        this.#items.turnBegan();
        return true;
      case 'text':
      case 'reasoning':
        if (said !== null) this.#items.say(line.type === 'text' ? 'message' : 'reasoning', said);
        return said !== null;
      case 'tool_use':
        return this.#tool(part);
      case 'step_finish':
        return this.#step(part);
      case 'error': {
        const { name, data } = object(line.error);
        this.#endTurn('failed', text(object(data).message) ?? text(name) ?? JSON.stringify(line));
        return true;
      }
      default:
        return false;
    }
  }

  /** The job has ended. After a refused tool there is no end of the turn. */
  end(): void {
    this.#items.usage(this.#spent);
    this.#spent = NOTHING;
  }

  #tool(part: JsonObject): boolean {
    const id = text(part.callID);
    if (id === null) return false;
    const state = object(part.state);
    const name = text(part.tool);
    const metadata = object(state.metadata);
    const input = object(state.input);
    this.#items.call(id, { name, title: text(state.title) || titleOf(input), input: state.input });
    const patch = text(metadata.diff);
    const diff = patch ? [diffOfPatch(text(object(metadata.filediff).file) ?? text(input.filePath) ?? '', patch)] : null;
    const error = text(state.error);
    if (state.status === 'error')
      this.#items.result(id, { state: REFUSED.test(error ?? '') ? 'refused' : 'failed', output: error });
    else if (state.status === 'completed') {
      // A command that failed is `completed` as well.
      const failed = (number(metadata.exit) ?? 0) !== 0;
      this.#items.result(id, { state: failed ? 'failed' : 'done', output: text(state.output), diff });
    }
    if (name === 'todowrite' && state.status === 'completed')
      this.#items.plan(
        objects(input.todos).map(({ content, status }) => ({ text: text(content) ?? '', state: planState(status) })),
      );
    return true;
  }

  #step({ tokens, cost, reason }: JsonObject): boolean {
    const { input, output, reasoning, cache } = object(tokens);
    this.#spent = {
      inputTokens: sum(this.#spent.inputTokens, input, object(cache).read, object(cache).write),
      outputTokens: sum(this.#spent.outputTokens, output, reasoning),
      costUsd: sum(this.#spent.costUsd, number(cost)),
    };
    if (reason === 'stop') this.#endTurn('done', null);
    else if (reason !== 'tool-calls') this.#endTurn('failed', `The model ended with: ${text(reason) ?? 'unknown'}`);
    return true;
  }

  #endTurn(state: 'done' | 'failed', why: string | null): void {
    this.end();
    this.#items.endTurn(state, why);
  }
}

const planState = (status: unknown): PlanEntry['state'] =>
  status === 'completed' ? 'done' : status === 'in_progress' ? 'active' : 'open';
