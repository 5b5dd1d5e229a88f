/**
 * A conversation as its readers give it: what an agent said, did and asked, whatever program it is.
 *
 * An item is never changed in place: a change makes a new object with the same `key`.
 */

import type { Author, OutputFormat } from '../protocol/index.ts';

/**
 * `auto` decides from the lines. `jsonl` is any program that prints JSON lines; all of its lines
 * are `raw`.
 */
export type AgentFormat = Exclude<OutputFormat, 'text'>;
export const AGENT_FORMATS = ['claude', 'codex', 'opencode', 'acp', 'jsonl', 'auto'] as const satisfies readonly AgentFormat[];

/** The formats in which an agent can ask, and take an answer. `auto` may turn out to be one. */
export const ASKING_FORMATS: readonly AgentFormat[] = ['claude', 'acp', 'auto'];

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

export interface ItemBase {
  /** Stable while the item lives: for lists and links. */
  key: string;
  /** Offsets of the first and of the last event that made it. */
  from: number;
  to: number;
  /** Time of the first event, in milliseconds. */
  at: number;
  /** Id of the tool call of the sub-agent that this belongs to. */
  parent?: string;
}

export interface MessageItem extends ItemBase {
  type: 'message';
  role: 'user' | 'assistant';
  markdown: string;
  /** It is still being written. */
  partial?: true;
}

export interface ReasoningItem extends ItemBase {
  type: 'reasoning';
  markdown: string;
  partial?: true;
}

/**
 * `refused`: a person or a rule did not allow it. `unknown`: the run ended before the result was
 * printed.
 */
export type ToolState = 'running' | 'done' | 'failed' | 'refused' | 'unknown';

export interface ToolItem extends ItemBase {
  type: 'tool';
  /** The agent's own id of the call. */
  id: string;
  name: string;
  /** What the call is about, in one line: a command, a path. Empty when unknown. */
  title: string;
  input: JsonValue;
  state: ToolState;
  output: string | null;
  diff?: FileDiff[];
  /** Time of the event with the result. */
  endedAt?: number;
}

export interface FileDiff {
  path: string;
  hunks: DiffHunk[];
}

export interface DiffHunk {
  /** Numbers of the first line, before and after. From 1; 0 where there is no file. */
  oldStart: number;
  newStart: number;
  /** Without line ends; the first character is ` `, `-` or `+`. */
  lines: string[];
}

export interface PlanItem extends ItemBase {
  type: 'plan';
  entries: PlanEntry[];
}

export interface PlanEntry {
  text: string;
  state: 'open' | 'active' | 'done';
}

export interface QuestionOption {
  id: string;
  label: string;
  description?: string;
  /** The option says no. */
  refuses?: true;
}

/** What an agent asks, and how it may be answered. */
export interface Question {
  id: string;
  /**
   * Id of the agent's request. A request with several questions gets one reply, when all of them
   * are answered.
   */
  request: string;
  kind: 'permission' | 'question' | 'plan';
  /** Markdown. */
  text: string;
  options: QuestionOption[];
  /** Several options may be chosen. */
  multiple?: true;
  /** A text may be the answer. For a permission or a plan it refuses, and says why. */
  freeText?: true;
  /** Id of the tool call. */
  tool?: string;
}

/** `options`: of a question with `multiple`. */
export interface Answer {
  option?: string;
  options?: string[];
  text?: string;
}

export interface QuestionItem extends ItemBase, Question {
  type: 'question';
  state: 'open' | 'answered' | 'cancelled';
  /** `by` is absent when the answer was not given through Holdfast's own call. */
  answer?: Answer & { by?: Author };
}

/** What one turn took. Null: the agent does not say. */
export interface UsageItem extends ItemBase, Usage {
  type: 'usage';
}

export interface Usage {
  /** With what was read from or written to a cache. */
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
}

export interface TurnEndItem extends ItemBase {
  type: 'turn_end';
  /** `unknown`: the run ended without the agent's own end of the turn. */
  state: 'done' | 'failed' | 'interrupted' | 'unknown';
  /** What the agent says about it, when no message says it. */
  text: string | null;
}

export interface NoticeItem extends ItemBase {
  type: 'notice';
  level: 'info' | 'warning' | 'error';
  text: string;
}

/** What the reader does not know: nothing is hidden. Neighbouring output is one item. */
export interface RawItem extends ItemBase {
  type: 'raw';
  text: string;
  /** Absent: a JSON line. `stdout`: output that is not JSON. */
  stream?: 'stdout' | 'stderr' | 'tty';
}

export type Item =
  | MessageItem
  | ReasoningItem
  | ToolItem
  | PlanItem
  | QuestionItem
  | UsageItem
  | TurnEndItem
  | NoticeItem
  | RawItem;

export type ItemType = Item['type'];

export interface Summary {
  /** What `auto` has decided, or `auto`. */
  format: AgentFormat;
  /** The agent's own id, with which it resumes. */
  sessionId: string | null;
  model: string | null;
  /** Of all turns. */
  usage: Usage;
  /** The oldest open question. */
  asking: QuestionItem | null;
}

/** An event as every reader of a log gets it. */
export interface ConversationEvent {
  offset: number;
  type: string;
  at: number;
  data: { [key: string]: unknown };
}
