/**
 * What is written to an agent's stdin: answers, messages, interrupts. Pure: text out, ending with a
 * line end. Null: this agent takes no such thing, or not yet.
 */

import type { JsonObject } from '../protocol/json.ts';
import { acpCancelled, acpQuestions, acpRefusal, acpReply } from './acp-asking.ts';
import { claudeQuestions, claudeRefusal, claudeReply } from './claude-asking.ts';
import { detectFormat } from './detect.ts';
import type { AgentFormat, Answer, Question } from './items.ts';

const lineOf = (reply: JsonObject): string => `${JSON.stringify(reply)}\n`;

const decided = (format: AgentFormat, line: JsonObject): AgentFormat =>
  format === 'auto' ? (detectFormat(line) ?? format) : format;

/** The questions that a line of an agent asks. */
export function questionsIn(format: AgentFormat, line: JsonObject): Question[] {
  const is = decided(format, line);
  return is === 'claude' ? claudeQuestions(line) : is === 'acp' ? acpQuestions(line) : [];
}

/**
 * The reply to the request `line`, which must not be redacted. `answers`: by id of the question.
 * Null while an answer is missing.
 */
export function encodeAnswer(format: AgentFormat, line: JsonObject, answers: Readonly<Record<string, Answer>>): string | null {
  const is = decided(format, line);
  const reply = is === 'claude' ? claudeReply(line, answers) : is === 'acp' ? acpReply(line, answers) : null;
  return reply && lineOf(reply);
}

/** The reply that says no to the whole request `line`, where no person can be asked. */
export function encodeRefusal(format: AgentFormat, line: JsonObject, message: string): string | null {
  const is = decided(format, line);
  const reply = is === 'claude' ? claudeRefusal(line, message) : is === 'acp' ? acpRefusal(line) : null;
  return reply && lineOf(reply);
}

/** A message of the user. For ACP it is read by holdfast-acp, the client of the connection. */
export function encodeMessage(format: AgentFormat, text: string): string | null {
  const content = [{ type: 'text', text }];
  if (format === 'acp') return lineOf({ jsonrpc: '2.0', method: 'session/prompt', params: { prompt: content } });
  return format === 'claude' ? lineOf({ type: 'user', message: { role: 'user', content } }) : null;
}

/**
 * Asks the agent to end its turn. `id`: of this request, for Claude. `sessionId`: the agent's own.
 * `open`: the lines of the requests that are open.
 */
export function encodeInterrupt(
  format: AgentFormat,
  { id, sessionId, open }: { id: string; sessionId: string | null; open: readonly JsonObject[] },
): string | null {
  if (format === 'claude') return lineOf({ type: 'control_request', request_id: id, request: { subtype: 'interrupt' } });
  if (format !== 'acp' || sessionId === null) return null;
  const cancel = { jsonrpc: '2.0', method: 'session/cancel', params: { sessionId } };
  return [cancel, ...open.map(acpCancelled)].map(lineOf).join('');
}

/** Why this is no answer to the question, as a sentence; null when it is one. */
export function answerError(question: Pick<Question, 'options' | 'multiple' | 'freeText'>, answer: Answer): string | null {
  const { option, options, text } = answer;
  const chosen = [...(option === undefined ? [] : [option]), ...(options ?? [])];
  const known = question.options.map(({ id }) => id);
  if (chosen.length === 0 && text === undefined) return 'an answer has an option or a text';
  const unknown = chosen.find((each) => !known.includes(each));
  if (unknown !== undefined)
    return `the question has no option "${unknown}"; it has ${known.map((each) => `"${each}"`).join(', ') || 'none'}`;
  if (new Set(chosen).size > 1 && question.multiple !== true) return 'the question takes one option';
  if (text !== undefined && question.freeText !== true) return 'the question takes no text; choose an option';
  return text === '' && chosen.length === 0 ? 'the text is empty' : null;
}
