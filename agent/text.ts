/**
 * A conversation as plain text, for `/log`, downloads and terminals. It is written as it grows: an
 * item is printed when it is complete, a question when it is asked and when it is answered.
 *
 *   TX1  What was printed is forgotten, so memory does not grow with the conversation.
 *   TX2  The text does not depend on how the events are grouped.
 */

import { Conversation } from './conversation.ts';
import type {
  AgentFormat,
  ConversationEvent,
  FileDiff,
  Item,
  PlanEntry,
  QuestionItem,
  Summary,
  ToolItem,
  TurnEndItem,
  Usage,
} from './items.ts';
import { ConversationReader } from './reader.ts';

export interface TextOptions {
  /** Longer output of a tool is cut in the middle. Default: it is whole. */
  outputLinesMax?: number;
}

/** A printed item, with a line end. */
export interface TextPiece {
  text: string;
  at: number;
  item: Item;
}

const PLAN_MARKS: Readonly<Record<PlanEntry['state'], string>> = { open: ' ', active: '>', done: 'x' };

export class ConversationText {
  readonly #options: TextOptions;
  readonly #conversation: Conversation;
  readonly #reader: ConversationReader;
  /** Keys of open questions that were printed. */
  readonly #asked = new Set<string>();
  #usage: Usage | null = null;
  /** What was printed last. */
  #last: Item['type'] | null = null;

  constructor(format: AgentFormat, options: TextOptions = {}) {
    this.#options = options;
    this.#conversation = new Conversation(format);
    this.#reader = new ConversationReader(format, this.#conversation);
  }

  get summary(): Readonly<Summary> {
    return this.#reader.summary;
  }

  add(events: Iterable<ConversationEvent>): TextPiece[] {
    const pieces: TextPiece[] = [];
    for (const event of events) {
      this.#reader.read(event);
      for (const { item, isSettled } of this.#conversation.takeSettled()) this.#print(pieces, item, isSettled);
    }
    return pieces;
  }

  /** What is not complete yet, where nothing more is read. */
  rest(): TextPiece[] {
    const pieces: TextPiece[] = [];
    this.#reader.endLine();
    for (const { item } of this.#conversation.takeSettled()) this.#print(pieces, item, true);
    for (const item of this.#conversation.takeRest()) this.#print(pieces, item, true);
    return pieces;
  }

  #print(pieces: TextPiece[], item: Item, isSettled: boolean): void {
    const text = this.#textOf(item, isSettled);
    if (text === null) return;
    // A message has an empty line before and after.
    const isMessage = item.type === 'message';
    const space = this.#last !== null && (isMessage || this.#last === 'message') ? '\n' : '';
    this.#last = item.type;
    pieces.push({ text: `${space}${item.parent === undefined ? text : indented(text)}\n`, at: item.at, item });
  }

  /** Null: nothing is printed. */
  #textOf(item: Item, isSettled: boolean): string | null {
    if (item.type === 'question') return this.#question(item);
    if (!isSettled) return null;
    switch (item.type) {
      case 'message':
        return item.role === 'user' ? quoted(item.markdown) : item.markdown.trim();
      case 'reasoning':
        return `[thinking] ${item.markdown.trim()}`;
      case 'tool':
        return this.#tool(item);
      case 'plan':
        return ['[plan]', ...item.entries.map(({ text, state }) => `  [${PLAN_MARKS[state]}] ${text}`)].join('\n');
      case 'usage':
        this.#usage = item;
        return null;
      case 'turn_end':
        return this.#turnEnd(item);
      case 'notice':
        return `[${item.level}] ${item.text}`;
      case 'raw':
        return item.text.replace(/\n$/, '');
      default:
        return item satisfies never;
    }
  }

  #tool({ name, title, state, output, diff }: ToolItem): string {
    const head = `[tool] ${name}${title === '' ? '' : `: ${title}`}${state === 'done' ? '' : ` (${state})`}`;
    const body = diff && diff.length > 0 ? diff.flatMap(diffLines) : output ? output.replace(/\n$/, '').split('\n') : [];
    return [head, ...cut(body, this.#options.outputLinesMax).map((line) => `  ${line}`)].join('\n');
  }

  #question(item: QuestionItem): string | null {
    const lines: string[] = [];
    if (!this.#asked.has(item.key)) {
      this.#asked.add(item.key);
      const options = item.options.map(
        ({ id, label, description }) => `  ${id}: ${label}${description ? ` (${description})` : ''}`,
      );
      lines.push(`[question] ${item.text}`, ...options, ...(item.freeText ? ['  or a text'] : []));
    }
    if (item.state === 'cancelled') lines.push('[question] withdrawn');
    if (item.state === 'answered') lines.push(`[answer] ${answerText(item)}`);
    if (item.state !== 'open') this.#asked.delete(item.key);
    return lines.length === 0 ? null : lines.join('\n');
  }

  #turnEnd({ state, text }: TurnEndItem): string {
    const usage = this.#usage ? usageText(this.#usage) : '';
    this.#usage = null;
    const words = state === 'unknown' ? 'the end of the turn is missing' : `turn ${state}`;
    return [...(text === null ? [] : [text]), `[${words}${usage === '' ? '' : `: ${usage}`}]`].join('\n');
  }
}

/** Tokens and cost, as far as they are known. */
export function usageText({ inputTokens, outputTokens, costUsd }: Usage): string {
  const tokens = [
    ...(inputTokens === null ? [] : [`${inputTokens} tokens in`]),
    ...(outputTokens === null ? [] : [`${outputTokens} out`]),
    ...(costUsd === null || costUsd === 0 ? [] : [`$${costUsd < 1 ? Number(costUsd.toPrecision(3)) : costUsd.toFixed(2)}`]),
  ];
  return tokens.join(', ');
}

/** The answer, and who gave it. */
export function answerText({ options, answer }: QuestionItem): string {
  if (!answer) return 'given';
  const chosen = [...(answer.option === undefined ? [] : [answer.option]), ...(answer.options ?? [])];
  const labels = chosen.map((id) => options.find((option) => option.id === id)?.label ?? id);
  const said = [...labels, ...(answer.text === undefined ? [] : [answer.text])].join(', ');
  return answer.by ? `${said} (by ${answer.by.name ?? answer.by.id})` : said;
}

const quoted = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `> ${line}`)
    .join('\n');

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '  ');

const diffLines = ({ path, hunks }: FileDiff): string[] => [
  `${path}:`,
  ...hunks.flatMap(({ lines, newStart }) => [`@@ line ${newStart} @@`, ...lines]),
];

function cut(lines: string[], linesMax: number | undefined): string[] {
  if (linesMax === undefined || lines.length <= linesMax) return lines;
  const head = Math.ceil((linesMax - 1) / 2);
  const tail = linesMax - 1 - head;
  const dropped = lines.length - head - tail;
  return [...lines.slice(0, head), `… ${dropped} more lines …`, ...(tail === 0 ? [] : lines.slice(-tail))];
}
