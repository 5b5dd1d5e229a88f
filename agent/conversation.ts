/**
 * The items of one execution, and what all formats do with them.
 *
 * Owns: the list, which items changed, what is still open (tool calls, questions, texts that are
 * being written). Does not own: the shape of any agent's lines.
 *
 *   CV1  An item keeps its place and its key. The list is in the order of the first events.
 *   CV2  Each operation takes time that does not depend on how many items there are.
 */

import type { Author } from '../protocol/index.ts';
import type {
  AgentFormat,
  Answer,
  FileDiff,
  Item,
  ItemBase,
  ItemType,
  JsonValue,
  NoticeItem,
  PlanEntry,
  Question,
  QuestionItem,
  QuestionOption,
  Summary,
  ToolItem,
  ToolState,
  TurnEndItem,
  Usage,
} from './items.ts';
import { OpenQuestions, type QuestionEnd } from './open-questions.ts';
import { amount, sum } from './values.ts';

type ItemOf<T extends ItemType> = Extract<Item, { type: T }>;
type Fields<T extends ItemType> = Omit<ItemOf<T>, keyof ItemBase | 'type'>;

/** Where an item stands in the list. */
export type Place = number;

/** Neighbouring output becomes one item up to this length. */
const RAW_CHARS_MAX = 16 * 1024;

/**
 * The end of a turn repeats the last message. With agents in the background, the ends of several
 * turns come after the messages of all.
 */
const LAST_MESSAGES = 8;

export interface ToolCall {
  name?: string | null;
  title?: string | null;
  input?: unknown;
}

export interface ToolResult {
  state: ToolState;
  output?: string | null;
  diff?: FileDiff[] | null;
}

export class Conversation {
  readonly items: Item[] = [];
  readonly summary: Summary;
  #event = { offset: 0, at: 0 };
  /** The offset at which what the event says began. */
  #from = 0;
  #ofEvent = 0;
  #parent: string | null = null;
  readonly #changed = new Set<Place>();
  /** Only for `takeSettled`. */
  readonly #unsettled = new Set<Place>();
  readonly #tools = new Map<string, Place>();
  readonly #running = new Set<Place>();
  readonly #questions = new Map<string, Place>();
  readonly #open = new OpenQuestions();
  /** Texts that are being written. */
  readonly #writing = new Set<Place>();
  /** Tool calls that a person refused. */
  readonly #refused = new Set<string>();
  /** What was sent to the agent and was not echoed yet, with how often. */
  readonly #sent = new Map<string, number>();
  #plan: Place | null = null;
  /** Something was said or done since the last end of a turn. */
  #inTurn = false;
  /** The last messages of the agent itself. */
  #lastMessages: string[] = [];

  constructor(format: AgentFormat) {
    const usage: Usage = { inputTokens: null, outputTokens: null, costUsd: null };
    this.summary = { format, sessionId: null, model: null, usage, asking: null };
  }

  /** What follows comes from this event. */
  at(event: { offset: number; at: number }): void {
    this.#event = event;
    this.since(event.offset);
    this.#parent = null;
  }

  /** What follows began with an earlier event. */
  since(offset: number): void {
    this.#from = offset;
    this.#ofEvent = 0;
  }

  /** What follows comes from the sub-agent of this tool call. */
  within(parent: string | null): void {
    this.#parent = parent;
  }

  /** The items that changed since the last call. New ones are in their order. */
  takeChanged(): Item[] {
    const changed = [...this.#changed].map((place) => this.items[place] as Item);
    this.#changed.clear();
    return changed;
  }

  /**
   * The items that changed since the last call, for a reader that keeps none: those that will not
   * change any more are forgotten.
   */
  takeSettled(): { item: Item; isSettled: boolean }[] {
    return [...this.#changed].map((place) => {
      this.#changed.delete(place);
      const item = this.items[place] as Item;
      const isSettled = this.#isSettled(place, item);
      if (isSettled) this.#forget(place);
      else this.#unsettled.add(place);
      return { item, isSettled };
    });
  }

  /** The items that may still change. They are forgotten. */
  takeRest(): Item[] {
    return [...this.#unsettled].map((place) => {
      const item = this.items[place] as Item;
      this.#forget(place);
      return item;
    });
  }

  #isSettled(place: Place, item: Item): boolean {
    if (item.type === 'message' || item.type === 'reasoning') return item.partial !== true;
    if (item.type === 'tool') return item.state !== 'running';
    if (item.type === 'question') return item.state !== 'open';
    return place !== this.#plan;
  }

  /** What comes for it later is ignored. */
  #forget(place: Place): void {
    this.#unsettled.delete(place);
    this.items[place] = undefined as never;
  }

  #add<T extends ItemType>(type: T, fields: Fields<T>): Place {
    const { offset, at } = this.#event;
    const from = this.#from;
    const key = this.#ofEvent === 0 ? `${from}` : `${from}.${this.#ofEvent}`;
    this.#ofEvent += 1;
    const base: ItemBase = { key, from, to: offset, at, ...(this.#parent === null ? {} : { parent: this.#parent }) };
    const place = this.items.length;
    this.items.push({ ...base, type, ...fields } as unknown as Item);
    this.#changed.add(place);
    return place;
  }

  #change<T extends ItemType>(type: T, place: Place, fields: Partial<Fields<T>>): void {
    const item = this.items[place];
    if (item?.type !== type) return;
    this.items[place] = { ...item, ...fields, to: Math.max(item.to, this.#event.offset) };
    this.#changed.add(place);
  }

  // Texts.

  /** A whole text. An empty one makes no item. */
  say(type: 'message' | 'reasoning', markdown: string, role: 'user' | 'assistant' = 'assistant'): void {
    this.#inTurn ||= role === 'assistant';
    if (markdown === '') return;
    this.#addText(type, role, markdown);
  }

  /** Begins a text that `write` continues. */
  begin(type: 'message' | 'reasoning', markdown: string, role: 'user' | 'assistant' = 'assistant'): Place {
    this.#inTurn ||= role === 'assistant';
    const place = this.#addText(type, role, markdown, true);
    this.#writing.add(place);
    return place;
  }

  #addText(type: 'message' | 'reasoning', role: 'user' | 'assistant', markdown: string, partial = false): Place {
    const fields = { markdown, ...(partial ? { partial: true as const } : {}) };
    if (type === 'reasoning') return this.#add(type, fields);
    const place = this.#add(type, { role, ...fields });
    if (!partial) this.#keepMessage(this.items[place] as Item);
    return place;
  }

  #keepMessage(item: Item): void {
    if (item.type === 'message' && item.role === 'assistant' && item.parent === undefined)
      this.#lastMessages = [item.markdown, ...this.#lastMessages].slice(0, LAST_MESSAGES);
  }

  write(place: Place, more: string): void {
    const item = this.items[place];
    if (item?.type === 'message' || item?.type === 'reasoning') this.#change(item.type, place, { markdown: item.markdown + more });
  }

  rewrite(place: Place, markdown: string): void {
    const item = this.items[place];
    if (item?.type === 'message' || item?.type === 'reasoning') this.#change(item.type, place, { markdown });
  }

  /** The text is complete; `markdown` replaces what was written so far. */
  finish(place: Place, markdown?: string): void {
    const item = this.items[place];
    if (item?.type !== 'message' && item?.type !== 'reasoning') return;
    const { partial, ...rest } = item;
    this.#writing.delete(place);
    if (!partial && markdown === undefined) return;
    this.items[place] = rest;
    if (markdown === undefined) this.#changed.add(place);
    else this.#change(item.type, place, { markdown });
    this.#keepMessage(this.items[place] as Item);
  }

  /** A message of the user that was sent to the agent; its echo is not shown again. */
  sent(markdown: string): void {
    this.say('message', markdown, 'user');
    this.#sent.set(markdown, (this.#sent.get(markdown) ?? 0) + 1);
  }

  /** Whether an echo of this message is expected. */
  wasSent(markdown: string): boolean {
    return this.#sent.has(markdown);
  }

  /** A message of the user that the agent prints. */
  echoed(markdown: string): void {
    const times = this.#sent.get(markdown) ?? 0;
    if (times === 0) this.say('message', markdown, 'user');
    else if (times === 1) this.#sent.delete(markdown);
    else this.#sent.set(markdown, times - 1);
  }

  // Tool calls.

  tool(id: string): ToolItem | null {
    const item = this.items[this.#tools.get(id) ?? -1];
    return item?.type === 'tool' ? item : null;
  }

  /** Makes a tool call, or adds to one. Fields that are null or absent stay as they are. */
  call(id: string, { name, title, input }: ToolCall): void {
    const known = this.#tools.get(id);
    if (known === undefined) {
      this.#inTurn = true;
      const fields = { id, name: name ?? '', title: title ?? '', input: (input ?? null) as JsonValue };
      const place = this.#add('tool', { ...fields, state: 'running', output: null });
      this.#tools.set(id, place);
      this.#running.add(place);
      return;
    }
    this.#change('tool', known, {
      ...(name ? { name } : {}),
      ...(title ? { title } : {}),
      ...(input === undefined || input === null ? {} : { input: input as JsonValue }),
    });
  }

  /** The result of a tool call. The call is made if it was not printed. */
  result(id: string, { state, output, diff }: ToolResult): void {
    if (!this.#tools.has(id)) this.call(id, {});
    const place = this.#tools.get(id) as Place;
    const isRunning = state === 'running';
    if (!isRunning) this.#running.delete(place);
    this.#change('tool', place, {
      state: state === 'failed' && this.#refused.has(id) ? 'refused' : state,
      ...(output === undefined || output === null ? {} : { output }),
      ...(diff ? { diff } : {}),
      ...(isRunning ? {} : { endedAt: this.#event.at }),
    });
  }

  /** A person or a rule did not allow the call. */
  refuse(id: string): void {
    this.#refused.add(id);
    if (this.tool(id)?.state === 'failed') this.#change('tool', this.#tools.get(id) as Place, { state: 'refused' });
  }

  // Questions.

  ask(question: Question): void {
    if (this.#open.has(question.id)) return;
    this.#inTurn = true;
    this.#questions.set(question.id, this.#add('question', { ...question, state: 'open' }));
    this.#open.add(question);
    this.#findOldest();
  }

  hasAsked(id: string): boolean {
    return this.#questions.has(id);
  }

  /** The options that its wrapper reported of an open question: an answer names one of these. */
  reported(id: string, options: readonly QuestionOption[]): void {
    if (!this.#open.has(id)) return;
    const known = this.#question(id)?.options ?? [];
    if (known.length === options.length && known.every((option, index) => option.id === options[index]?.id)) return;
    this.#change('question', this.#questions.get(id) ?? -1, { options: [...options] });
    this.#findOldest();
  }

  /** Holdfast's own call answered it, or the reply to the agent was seen. */
  answered(id: string, answer: Answer & { by?: Author }): void {
    const item = this.#question(id);
    if (!item || item.answer?.by) return;
    this.#endQuestion(id, { state: 'answered', answer });
    if (item.tool !== undefined && refuses(item, answer)) this.refuse(item.tool);
  }

  /** The reply to a request was seen. Null: the reply withdraws from the question. */
  replied(request: string, answerOf: (question: Question) => Answer | null): void {
    for (const id of this.#open.ofRequest(request)) {
      const answer = answerOf(this.#question(id) as QuestionItem);
      if (answer) this.answered(id, answer);
      else this.#endQuestion(id, { state: 'cancelled' });
    }
  }

  /** A question has been answered or withdrawn. */
  close(end: QuestionEnd): void {
    for (const { id, state } of this.#open.ended(end)) this.#endQuestion(id, { state });
  }

  withdrawn(id: string): void {
    if (this.#open.has(id)) this.#endQuestion(id, { state: 'cancelled' });
  }

  #question(id: string): QuestionItem | null {
    const item = this.items[this.#questions.get(id) ?? -1];
    return item?.type === 'question' ? item : null;
  }

  #endQuestion(id: string, fields: Pick<QuestionItem, 'state' | 'answer'>): void {
    this.#open.delete(id);
    this.#change('question', this.#questions.get(id) ?? -1, fields);
    this.#findOldest();
  }

  #findOldest(): void {
    const oldest = this.#open.oldest;
    this.summary.asking = oldest === null ? null : this.#question(oldest);
  }

  // The rest.

  /** One plan a turn, changed in its place. */
  plan(entries: PlanEntry[]): void {
    this.#inTurn = true;
    if (this.#plan === null) this.#plan = this.#add('plan', { entries });
    else this.#change('plan', this.#plan, { entries });
  }

  notice(level: NoticeItem['level'], text: string): void {
    this.#add('notice', { level, text });
  }

  raw(text: string): void {
    this.#add('raw', { text });
  }

  /** Output that is not a JSON line. */
  output(stream: 'stdout' | 'stderr' | 'tty', text: string): void {
    const place = this.items.length - 1;
    const last = this.items[place];
    if (last?.type === 'raw' && last.stream === stream && last.text.length + text.length <= RAW_CHARS_MAX)
      this.#change('raw', place, { text: last.text + text });
    else this.#add('raw', { text, stream });
  }

  /** What a turn took. */
  usage({ inputTokens, outputTokens, costUsd }: Usage): void {
    const usage = { inputTokens: amount(inputTokens), outputTokens: amount(outputTokens), costUsd: amount(costUsd) };
    if (usage.inputTokens === null && usage.outputTokens === null && usage.costUsd === null) return;
    this.#add('usage', usage);
    const total = this.summary.usage;
    this.summary.usage = {
      inputTokens: sum(total.inputTokens, usage.inputTokens),
      outputTokens: sum(total.outputTokens, usage.outputTokens),
      costUsd: sum(total.costUsd, usage.costUsd),
    };
  }

  endTurn(state: TurnEndItem['state'], text: string | null = null): void {
    for (const place of this.#writing) this.finish(place);
    if (this.#plan !== null) this.#changed.add(this.#plan);
    this.#plan = null;
    this.#add('turn_end', { state, text });
    this.#inTurn = false;
  }

  /** Something happened in this turn that has no item. */
  turnBegan(): void {
    this.#inTurn = true;
  }

  /** Whether one of the agent's last messages is this text. */
  hasSaid(text: string | null): boolean {
    return text !== null && this.#lastMessages.includes(text);
  }

  get inTurn(): boolean {
    return this.#inTurn;
  }

  /** The job has ended: nothing stays open. */
  ended(): void {
    for (const place of this.#writing) this.finish(place);
    this.close({ of: 'all', state: 'cancelled' });
    for (const place of this.#running) this.#change('tool', place, { state: 'unknown', endedAt: this.#event.at });
    this.#running.clear();
    if (this.#inTurn) this.endTurn('unknown');
  }
}

/** Whether this answer says no. A text without an option refuses a permission, or a plan. */
export function refuses(question: Question, answer: Answer): boolean {
  if (answer.option === undefined) return question.kind !== 'question' && answer.text !== undefined;
  return question.options.some(({ id, refuses: saysNo }) => id === answer.option && saysNo === true);
}
