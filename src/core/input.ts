/**
 * Whether an input for a job's stdin is accepted, and what follows. Pure.
 *
 * An input is written once: its event, its command and its id are rows of one transaction. So a
 * repeat with the same id finds what the first call did, whichever of the two answers was lost.
 */

import {
  type AnswerCommandData,
  type Author,
  COMMANDS_WAITING_BYTES_MAX,
  COMMANDS_WAITING_MAX,
  type Command,
  type Failure,
  FEATURE_ASKING,
  FEATURE_INPUT2,
  type InputCommandData,
  type InputData,
  isTerminal,
  utf8Bytes,
} from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import type { Transition } from './lifecycle.ts';
import { hasRoom, type StorageLoad } from './log-limit.ts';

/** A validated input. At most one of `text` and `base64` is given. */
export interface NormalInput {
  text: string | null;
  base64: string | null;
  /** Of the decoded input. */
  bytes: number;
  /** Of the decoded input, in hexadecimal. */
  sha256: string;
  eof: boolean;
  inputId: string | null;
  secret: boolean;
  by: Author;
}

/** What is kept of an accepted input that had an id. */
export interface NotedInput {
  digest: string;
  commandId: number;
}

export interface InputFacts {
  /** The accepted input of this id, if there is one. */
  noted: NotedInput | null;
  /** Commands that the wrapper has not acknowledged. */
  waiting: { count: number; bytes: number };
  storage: StorageLoad;
}

export type InputDecision =
  | { kind: 'accept'; transition: Transition }
  | { kind: 'repeat'; commandId: number }
  | { kind: 'refuse'; failure: Failure };

/** When the caller of a full execution may ask again: a job that reads frees room at once. */
const FULL_RETRY_SECONDS = 1;

/** Two inputs with the same digest are the same input. */
export const digestOfInput = ({ sha256, eof, secret }: NormalInput): string =>
  [sha256, ...(eof ? ['eof'] : []), ...(secret ? ['secret'] : [])].join(' ');

const commandOf = ({ text, base64, eof }: NormalInput): InputCommandData => ({
  ...(text === null ? {} : { text }),
  ...(base64 === null ? {} : { base64 }),
  ...(eof ? { eof: true } : {}),
});

/**
 * TTY6: what is typed into a terminal is logged as a count. It may be a password, and the hash of
 * one key would give the key away.
 */
const eventOf = ({ text, base64, bytes, sha256, eof, secret, by }: NormalInput, typed: boolean): InputData => ({
  by,
  bytes,
  ...(text === null || secret || typed ? {} : { text }),
  ...(base64 === null || secret || typed ? {} : { sha256 }),
  ...(eof ? { eof: true } : {}),
  ...(secret ? { secret: true } : {}),
});

/** A wrapper before 0.2.0 knows text only, and never ends the stdin of its job. */
export const needsInput2 = ({ base64, eof }: { base64?: string | null | undefined; eof?: boolean | undefined }): boolean =>
  (base64 ?? null) !== null || eof === true;

/** Why no further command for the job's stdin is accepted now; null: one is. */
export function inputsFull(
  execution: string,
  waiting: InputFacts['waiting'],
  data: InputCommandData | AnswerCommandData,
): Failure | null {
  const bytes = waiting.bytes + utf8Bytes(JSON.stringify(data));
  if (waiting.count < COMMANDS_WAITING_MAX && bytes <= COMMANDS_WAITING_BYTES_MAX) return null;
  return {
    ok: false,
    code: 'input_full',
    message: `${waiting.count} commands wait for the wrapper of execution ${execution} already.`,
    facts: { execution, waiting: waiting.count, retryAfterSeconds: FULL_RETRY_SECONDS },
  };
}

export function decideInput(record: ExecutionRecord, input: NormalInput, { noted, waiting, storage }: InputFacts): InputDecision {
  const { id } = record;
  const refuse = (
    code: Failure['code'],
    message: string,
    facts: NonNullable<Failure['facts']> = { execution: id },
  ): InputDecision => ({
    kind: 'refuse',
    failure: { ok: false, code, message, facts },
  });
  if (noted) {
    if (noted.digest === digestOfInput(input)) return { kind: 'repeat', commandId: noted.commandId };
    return refuse('input_id_conflict', `Input ${input.inputId} of execution ${id} had other content. Use another inputId.`);
  }
  if (record.status !== 'running') {
    const next = isTerminal(record.status)
      ? 'It takes no input any more; start another execution.'
      : 'Send the input again when it runs, with the same inputId.';
    return refuse('not_running', `Execution ${id} is ${record.status}. ${next}`, { executionStatus: record.status });
  }
  // A wrapper that a launcher started has the stdin that was requested. Only the wrapper itself
  // knows the stdin of one that the caller started.
  if (record.launcher !== 'none' && !record.openStdin) {
    return refuse(
      'stdin_closed',
      `Execution ${id} was started without openStdin. Start another one with openStdin: true to send it input.`,
    );
  }
  if (record.stdinEnded)
    return refuse(
      'stdin_closed',
      `The stdin of execution ${id} was ended by an earlier input (eof: true). Start another execution to send more.`,
    );
  if (needsInput2(input) && !(record.features ?? []).includes(FEATURE_INPUT2)) {
    const upgrade = 'Send text without eof, or upgrade the runner, the image or the wrapper.';
    return refuse('wrapper_too_old', `The wrapper of execution ${id} takes neither bytes nor the end of stdin. ${upgrade}`);
  }
  const data = commandOf(input);
  const full = inputsFull(id, waiting, data);
  if (full) return { kind: 'refuse', failure: full };
  const hasTerminal = Boolean(record.terminal);
  const event = eventOf(input, hasTerminal);
  // The end of stdin is always taken: without it a job may never end.
  if (input.bytes > 0 && !hasRoom(storage, utf8Bytes(JSON.stringify(event)))) {
    return refuse('storage_full', `The session of execution ${id} has no room for the event of this input.`);
  }
  return {
    kind: 'accept',
    transition: {
      // TTY7: Ctrl-D closes nothing.
      patch: input.eof && !hasTerminal ? { stdinEnded: true } : {},
      events: [{ type: 'input', data: { ...event } }],
      commands: [{ command: 'input', data }],
    },
  };
}

/**
 * The waiting commands that a wrapper with these features can carry out. An input or an answer that
 * it does not know stays, and so does every input and answer behind it, so that their order is kept
 * for a later wrapper (VER4).
 */
export function commandsFor(features: readonly string[], waiting: readonly Command[]): Command[] {
  const knows = ({ command, data }: Command): boolean =>
    (command !== 'input' || features.includes(FEATURE_INPUT2) || !needsInput2(data)) &&
    (command !== 'answer' || features.includes(FEATURE_ASKING));
  const first = waiting.findIndex((command) => !knows(command));
  const isForStdin = ({ command }: Command): boolean => command === 'input' || command === 'answer';
  return first === -1 ? [...waiting] : waiting.filter((command, index) => index < first || !isForStdin(command));
}
