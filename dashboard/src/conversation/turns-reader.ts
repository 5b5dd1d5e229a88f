/**
 * The conversations of a session as one, for the model of the page: the items of all its agents in
 * the order in which they began. Pure.
 *
 *   TR1  An item keeps its key: it is an offset of the session, so it differs between runs. The ids
 *        of tool calls and questions are an agent's own, so they are made different.
 *   TR2  A run without a conversation has no items.
 */

import { type AgentFormat, ConversationReader, type Item, type Summary } from '../../../agent/index.ts';
import type { LoggedEvent } from '../../../client/index.ts';
import type { Reader } from './model.ts';

export const NO_SUMMARY: Summary = new ConversationReader('auto').summary;

export class TurnsReader implements Reader {
  /** Null: it has no conversation. */
  readonly #formatOf: (execution: string) => AgentFormat | null;
  readonly #readers = new Map<string, ConversationReader | null>();
  readonly #items: Item[] = [];
  readonly #places = new Map<string, number>();
  /** By the key of an item. */
  readonly #executions = new Map<string, string>();
  #newest: string | null = null;

  constructor(formatOf: (execution: string) => AgentFormat | null) {
    this.#formatOf = formatOf;
  }

  get items(): readonly Item[] {
    return this.#items;
  }

  /** Of the newest run, with what all of them used. */
  get summary(): Summary {
    const summaries = [...this.#readers.values()].flatMap((reader) => (reader ? [reader.summary] : []));
    const newest = this.#newest === null ? null : this.#readers.get(this.#newest)?.summary;
    const total = (of: 'inputTokens' | 'outputTokens' | 'costUsd') => sumOf(summaries.map(({ usage }) => usage[of]));
    return {
      ...(newest ?? NO_SUMMARY),
      usage: { inputTokens: total('inputTokens'), outputTokens: total('outputTokens'), costUsd: total('costUsd') },
    };
  }

  /** Of one run; null where it has no conversation. */
  summaryOf(execution: string): Summary | null {
    return this.#readers.get(execution)?.summary ?? null;
  }

  add(events: readonly LoggedEvent[]): readonly Item[] {
    const changed: Item[] = [];
    for (const event of events) {
      const { execution } = event;
      let reader = this.#readers.get(execution);
      if (reader === undefined) {
        const format = this.#formatOf(execution);
        reader = format === null ? null : new ConversationReader(format);
        this.#readers.set(execution, reader);
        if (reader) this.#newest = execution;
      }
      for (const item of reader?.add([event]) ?? []) changed.push(this.#keep(execution, ownItem(execution, item)));
    }
    return changed;
  }

  turnOf(key: string): string | undefined {
    return this.#executions.get(key);
  }

  #keep(execution: string, item: Item): Item {
    const place = this.#places.get(item.key);
    if (place === undefined) {
      this.#places.set(item.key, this.#items.length);
      this.#executions.set(item.key, execution);
      this.#items.push(item);
    } else this.#items[place] = item;
    return item;
  }
}

/** Null where no run says it. */
function sumOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

/** TR1 */
function ownItem(execution: string, item: Item): Item {
  const named = item.parent === undefined ? item : { ...item, parent: ownId(execution, item.parent) };
  if (named.type === 'tool') return { ...named, id: ownId(execution, named.id) };
  if (named.type !== 'question') return named;
  const tool = named.tool === undefined ? {} : { tool: ownId(execution, named.tool) };
  return { ...named, id: ownId(execution, named.id), ...tool };
}

const ownId = (execution: string, id: string): string => `${execution}/${id}`;

/** The run that was asked by, and the agent's own id. An id of a run has no slash. */
export function askedBy(id: string): { execution: string; question: string } {
  const at = id.indexOf('/');
  return { execution: id.slice(0, at), question: id.slice(at + 1) };
}
