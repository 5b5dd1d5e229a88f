/** What a line of stdin means. Pure. */

import { nestsWithin } from '../protocol/events.ts';
import { isObject, type JsonObject, parseJson } from '../protocol/json.ts';
import { EVENT_DEPTH_MAX } from '../protocol/limits.ts';

export type Input =
  | { kind: 'nothing' }
  | { kind: 'message'; prompt: JsonObject[] }
  /** To a request of the agent: a permission or a form. */
  | { kind: 'reply'; line: JsonObject }
  /** Ends the turn, not the program. */
  | { kind: 'cancel' }
  | { kind: 'unknown'; why: string };

export const textPrompt = (text: string): JsonObject[] => [{ type: 'text', text }];

/**
 * A line that is no JSON object is a message. A JSON object is a message of this protocol:
 * `session/prompt`, `session/cancel`, or a response.
 */
export function readInput(line: string): Input {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (text.trim() === '') return { kind: 'nothing' };
  const json = parseJson(text);
  if (!isObject(json)) return { kind: 'message', prompt: textPrompt(text) };
  // It is written as JSON again, which overflows the stack of a deep value.
  if (!nestsWithin(json, EVENT_DEPTH_MAX)) return unknown(`a line that nests more than ${EVENT_DEPTH_MAX} levels deep`);
  if (json.method === 'session/prompt') return promptOf(json);
  if (json.method === 'session/cancel') return { kind: 'cancel' };
  if (json.method !== undefined) return unknown(`a line with the method ${JSON.stringify(json.method)}`);
  if (json.id !== undefined && (isObject(json.result) || isObject(json.error))) return { kind: 'reply', line: json };
  return unknown('a JSON object that is neither session/prompt nor a response');
}

function promptOf({ params }: JsonObject): Input {
  const prompt = isObject(params) ? params.prompt : null;
  const isPrompt = Array.isArray(prompt) && prompt.length > 0 && prompt.every(isObject);
  return isPrompt ? { kind: 'message', prompt } : unknown('a session/prompt without a list of blocks in params.prompt');
}

const unknown = (what: string): Input => ({ kind: 'unknown', why: `ignored ${what} on stdin` });
