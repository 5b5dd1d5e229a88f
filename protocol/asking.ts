/**
 * Questions of an agent: what its wrapper reports, what the coordinator keeps, and what a person
 * answers. The wrapper reads the question from the job's output, and writes the answer in the form
 * of that agent. The coordinator parses no output.
 */

import type { Author } from './author.ts';
import { isObject, type JsonObject } from './json.ts';
import { exceedsUtf8Bytes, QUESTION_BYTES_MAX, QUESTION_ID_CHARS_MAX, QUESTION_OPTIONS_MAX, REASON_CHARS_MAX } from './limits.ts';

/** `plan`: whether to begin with what the agent has planned. */
export const QUESTION_KINDS = ['permission', 'question', 'plan'] as const;
export type QuestionKind = (typeof QUESTION_KINDS)[number];

/** The formats in which an agent can ask. `auto` may turn out to be one. */
export const mayAsk = (format: string): boolean => format === 'claude' || format === 'acp' || format === 'auto';

export interface QuestionOption {
  id: string;
  label: string;
  description?: string;
  /** The option says no. */
  refuses?: true;
}

/** An agent asks, and waits for the answer. Fact of the wrapper. */
export interface AskingData {
  /** Unique among the open questions of the execution. */
  id: string;
  kind: QuestionKind;
  text: string;
  options: QuestionOption[];
  /** Several options may be chosen. */
  multiple?: true;
  /** It may be answered with any text. */
  freeText?: true;
  /** The tool call that it is about, as the agent names it. */
  tool?: string;
}

/** The agent does not wait any more. Fact of the wrapper. */
export interface AskingEndedData {
  id: string;
  /** `cancelled`: the agent withdrew it. */
  reason: 'cancelled' | 'job_ended';
}

/** A question that can be answered, in the view of its execution. */
export interface OpenQuestion extends AskingData {
  /** When the wrapper read it. Milliseconds since the epoch. */
  at: number;
}

/** What was chosen: one option, several of a question with `multiple`, or a text. */
export interface AnswerChoice {
  option?: string;
  options?: string[];
  text?: string;
}

/** An accepted answer, as the coordinator logs it. */
export interface AnsweredData extends AnswerChoice {
  /** Of the question. */
  id: string;
  by: Author;
}

/** The answer to a question: exactly one of `option`, `options` and `text`. */
export interface AnswerRequest extends AnswerChoice {
  /** Of the question. */
  id: string;
  /**
   * A repeat with the same id and content is answered as the first was, and changes nothing.
   */
  answerId?: string;
}

const isLabel = (value: unknown): value is string => typeof value === 'string' && value !== '';

export const isQuestionId = (value: unknown): value is string => isLabel(value) && value.length <= QUESTION_ID_CHARS_MAX;

const isOption = (value: unknown): boolean =>
  isObject(value) &&
  isQuestionId(value.id) &&
  typeof value.label === 'string' &&
  (value.description === undefined || typeof value.description === 'string') &&
  (value.refuses === undefined || typeof value.refuses === 'boolean');

const hasDistinctIds = (options: readonly unknown[]): boolean =>
  new Set(options.map((option) => (option as QuestionOption).id)).size === options.length;

/** What is wrong with the data of an `asking`; null when it is valid. */
export function askingError(data: JsonObject): string | null {
  const { id, kind, text, options, multiple, freeText, tool } = data;
  return (
    (!isQuestionId(id) && `asking.id must be a text of 1 to ${QUESTION_ID_CHARS_MAX} characters`) ||
    (!QUESTION_KINDS.includes(kind as QuestionKind) && `asking.kind must be ${QUESTION_KINDS.join(' or ')}`) ||
    (typeof text !== 'string' && 'asking.text must be a string') ||
    (!(Array.isArray(options) && options.length <= QUESTION_OPTIONS_MAX && options.every(isOption)) &&
      `asking.options must be at most ${QUESTION_OPTIONS_MAX} options with id and label`) ||
    (!hasDistinctIds(options as unknown[]) && 'asking.options must have different ids') ||
    (multiple !== undefined && typeof multiple !== 'boolean' && 'asking.multiple must be a boolean') ||
    (freeText !== undefined && typeof freeText !== 'boolean' && 'asking.freeText must be a boolean') ||
    (tool !== undefined && typeof tool !== 'string' && 'asking.tool must be a string') ||
    (exceedsUtf8Bytes(JSON.stringify(data), QUESTION_BYTES_MAX) && `asking may have at most ${QUESTION_BYTES_MAX} bytes`) ||
    null
  );
}

/** A reason of a later version is text. */
export const askingEndedError = ({ id, reason }: JsonObject): string | null =>
  (!isQuestionId(id) && `asking_ended.id must be a text of 1 to ${QUESTION_ID_CHARS_MAX} characters`) ||
  (!(isLabel(reason) && reason.length <= REASON_CHARS_MAX) && 'asking_ended.reason must be a text') ||
  null;

/** For people: the chosen options by their labels, or the text. */
export function choiceText({ option, options, text }: AnswerChoice, of: readonly QuestionOption[] = []): string {
  const label = (id: string): string => of.find((each) => each.id === id)?.label ?? id;
  return text ?? (options ?? (option === undefined ? [] : [option])).map(label).join(', ');
}
