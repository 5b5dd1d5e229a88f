/**
 * The terminal of an execution, as far as the coordinator knows it: its size, and where a reader of
 * its screen begins. Pure.
 */

import { type Author, type Failure, isTerminal, type ResizeData, type TerminalSize, utf8Bytes } from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import type { Transition } from './lifecycle.ts';
import { hasRoom, type StorageLoad } from './log-limit.ts';

export type ResizeDecision = { kind: 'resize'; transition: Transition } | { kind: 'same' } | { kind: 'refuse'; failure: Failure };

/**
 * TTY8. A size that is accepted before the job runs is the one that it begins with: the welcome
 * names it.
 */
export function decideResize(
  record: Pick<ExecutionRecord, 'id' | 'status' | 'terminal'>,
  { cols, rows }: TerminalSize,
  by: Author,
  storage: StorageLoad,
): ResizeDecision {
  const { id, status, terminal } = record;
  const refuse = (code: Failure['code'], message: string, facts: NonNullable<Failure['facts']>): ResizeDecision => ({
    kind: 'refuse',
    failure: { ok: false, code, message, facts },
  });
  if (terminal === null) {
    const next = 'Start it with terminal: {cols, rows} to give it one.';
    return refuse('not_a_terminal', `Execution ${id} has no terminal. ${next}`, { execution: id });
  }
  if (isTerminal(status))
    return refuse('not_running', `Execution ${id} is ${status}. Its terminal is closed, and has no size any more.`, {
      executionStatus: status,
    });
  if (terminal.cols === cols && terminal.rows === rows) return { kind: 'same' };
  const event: ResizeData = { cols, rows, by };
  if (!hasRoom(storage, utf8Bytes(JSON.stringify(event)))) {
    return refuse('storage_full', `The session of execution ${id} has no room for the event of this change.`, { execution: id });
  }
  return {
    kind: 'resize',
    transition: {
      patch: { terminal: { cols, rows } },
      events: [{ type: 'resize', data: { ...event } }],
      commands: status === 'running' ? [{ command: 'resize', data: { cols, rows } }] : [],
    },
  };
}

/**
 * TTY9: the offset before the first event for a reader that begins with the screen. A reader that
 * would not get the screen itself gets everything.
 */
export function beforeScreen(
  { firstOffset, screenOffset }: Pick<ExecutionRecord, 'firstOffset' | 'screenOffset'>,
  types: readonly string[] | null,
): number {
  const begin = types === null || types.includes('screen') ? (screenOffset ?? firstOffset) : firstOffset;
  return begin - 1;
}
