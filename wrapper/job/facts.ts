/**
 * Facts that a job reports in its JSON lines instead of printing them: its progress and its status
 * (SPL26). Pure.
 *
 *   JF1  Such a line is an object whose field `holdfast` is "progress" or "status", with exactly
 *        the fields of that event. The marker is the name of this program, because `type`, `event`
 *        and `kind` belong to the job: an agent that prints `{"type":"progress"}` addresses its own
 *        reader.
 *   JF2  Any other line stays an unchanged `agent` event. So a mistake loses nothing, and a line
 *        with more than the event can hold is not truncated.
 *   JF3  No other event can be created this way. A line of a job cannot forge how a run ended or
 *        what the coordinator reports.
 */

import { type JsonObject, type ProgressData, REASON_CHARS_MAX, type StatusData } from '../../protocol/index.ts';

/** The field that marks a line (JF1). */
export const JOB_FACT_MARKER = 'holdfast';

/** Longer messages do not fit a status line or a progress bar. */
export const JOB_MESSAGE_CHARS_MAX = REASON_CHARS_MAX;

export type JobFact = { type: 'progress'; data: ProgressData } | { type: 'status'; data: StatusData };

/** The fact in a line of the job; null if the line is not one (JF2). */
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

/** Many encoders write `null` for a missing value. */
function progressOf({ current, total = null, message = null, ...more }: JsonObject): JobFact | null {
  if (!isAmount(current) || !(total === null || isAmount(total)) || !(message === null || isMessage(message)) || !isEmpty(more))
    return null;
  const data = { current, ...(total === null ? {} : { total }), ...(message === null ? {} : { message }) };
  return { type: 'progress', data };
}

/** JSON.parse turns 1e999 into Infinity, which JSON cannot represent. */
const isAmount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isMessage = (value: unknown): value is string => typeof value === 'string' && value.length <= JOB_MESSAGE_CHARS_MAX;
const isEmpty = (fields: JsonObject): boolean => Object.keys(fields).length === 0;
