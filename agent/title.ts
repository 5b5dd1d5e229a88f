/** The title of a tool call: what it is about. */

import { isObject, type JsonObject } from '../protocol/json.ts';
import { list, oneLine, text } from './values.ts';

/** Fields that say what a call is about, the most telling first. */
const TELLING = [
  'command',
  'file_path',
  'filePath',
  'notebook_path',
  'path',
  'pattern',
  'query',
  'url',
  'subject',
  'description',
  'skill',
  'prompt',
  'plan',
];

export function titleOf(input: unknown): string {
  if (!isObject(input)) return '';
  for (const field of TELLING) {
    const value = text(input[field]);
    if (value) return oneLine(value);
  }
  const [question] = list(input.questions).filter(isObject);
  return oneLine(text((question as JsonObject | undefined)?.question) ?? '');
}
