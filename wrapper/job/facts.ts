/**
 * What a job says of itself in its JSON lines, instead of printing it: how far it is, and what it is at (SPL26). Pure.
 *
 *   JF1  Such a line is an object whose field `holdfast` is "progress" or "status", with the fields of that event and no other. The name of this program
 *        is the marker, because `type`, `event` and `kind` are the job's own words: an agent that prints `{"type":"progress"}` means its own reader.
 *   JF2  A line that is not exactly that stays what it was, an `agent` event to the letter. So nothing is lost by a mistake, and a line that says more than
 *        its event can hold is not cut down to it.
 *   JF3  No other event can be had so. How a run ended, and what the coordinator says of it, no line of a job can forge.
 */

import { type JsonObject, type ProgressData, REASON_CHARS_MAX, type StatusData } from '../../protocol/index.ts';

/** The field that marks a line (JF1). */
export const JOB_FACT_MARKER = 'holdfast';

/** A line at the foot of a terminal, or over a bar: what is longer is no such message. */
export const JOB_MESSAGE_CHARS_MAX = REASON_CHARS_MAX;

export type JobFact = { type: 'progress'; data: ProgressData } | { type: 'status'; data: StatusData };

/** The fact that a line of the job is, or null: then it is its own (JF2). */
export function jobFactOf(line: JsonObject): JobFact | null {
  const { [JOB_FACT_MARKER]: type, ...fields } = line;
  switch (type) {
    case 'progress':
      return progressOf(fields);
    case 'status': {
      const { message, ...more } = fields;
      return isMessage(message) && message !== '' && isEmpty(more) ? { type, data: { message } } : null;
    }
    default:
      return null; // JF3
  }
}

/** `null` is how many encoders write what is not there. */
function progressOf({ current, total = null, message = null, ...more }: JsonObject): JobFact | null {
  if (!isCount(current) || !(total === null || isCount(total)) || !(message === null || isMessage(message)) || !isEmpty(more))
    return null;
  const data = { current, ...(total === null ? {} : { total }), ...(message === null ? {} : { message }) };
  return { type: 'progress', data };
}

/** JSON.parse makes Infinity of 1e999, and JSON has no word for that. */
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isMessage = (value: unknown): value is string => typeof value === 'string' && value.length <= JOB_MESSAGE_CHARS_MAX;
const isEmpty = (fields: JsonObject): boolean => Object.keys(fields).length === 0;
