/**
 * What a frame does to the stream: the cursor judges it, the buffer takes it, and the outcome says what is left for the stream to do.
 *
 * Owns nothing; it is the one place where cursor and buffer move together. No timer, no socket, no listener.
 */

import type { StreamEvents, StreamFrame, StreamHello } from '../../protocol/index.ts';
import type { StreamBuffer } from './stream-buffer.ts';
import type { StreamCursor } from './stream-cursor.ts';
import type { StreamEnds } from './stream-ends.ts';
import { LOG_REPLACED, LOG_REPLACED_REASON } from './stream-loss.ts';

export interface Intake {
  readonly cursor: StreamCursor;
  readonly buffer: StreamBuffer;
  readonly ends: StreamEnds;
}

export type IntakeOutcome =
  | { kind: 'hello' | 'events' | 'caught_up' | 'end' }
  | { kind: 'nothing_new' }
  | { kind: 'no_room' }
  /** The connection can not be read on from here; another one can. */
  | { kind: 'lost'; reason: string }
  | { kind: 'fail'; code: string; reason: string };

/** `hello` is the connection's own, `chars` the length of the frame's text. */
export function takeIn(intake: Intake, frame: StreamFrame, hello: StreamHello | undefined, chars: number): IntakeOutcome {
  const { cursor, buffer, ends } = intake;
  switch (frame.type) {
    case 'hello': {
      if (cursor.isOtherLog(frame)) return { kind: 'fail', code: LOG_REPLACED, reason: LOG_REPLACED_REASON };
      const begun = cursor.hello(frame);
      if (begun !== null) buffer.begin(begun);
      return { kind: 'hello' };
    }
    case 'events':
      return takeEvents(intake, frame, chars);
    case 'caught_up':
      if (cursor.caughtUp(frame.offset) === 'tail_moved_on') return restartTail(intake);
      buffer.addCaughtUp(frame.offset, ends.settledAt(hello));
      return { kind: 'caught_up' };
    case 'end':
      buffer.addEnd(frame.execution, frame.status, false);
      return { kind: 'end' };
    default:
      return frame satisfies never;
  }
}

function takeEvents(intake: Intake, frame: StreamEvents, chars: number): IntakeOutcome {
  const { cursor, buffer } = intake;
  const verdict = cursor.judge(frame);
  switch (verdict.kind) {
    case 'nothing_new':
      return verdict;
    case 'tail_moved_on':
      return restartTail(intake);
    case 'gap': {
      const { received } = cursor;
      return cursor.noteGap() === 'again'
        ? { kind: 'fail', code: 'gap', reason: `the coordinator skipped events after offset ${received}` }
        : { kind: 'lost', reason: `events after offset ${received} are missing` };
    }
    case 'news':
      // R5: what finds no room is not received, so the next connection brings it again (R2).
      if (!buffer.hasRoomFor(chars)) return { kind: 'no_room' };
      cursor.commit(frame);
      buffer.addEvents(frame, verdict.next, chars);
      return { kind: 'events' };
    default:
      return verdict satisfies never;
  }
}

function restartTail({ cursor, buffer }: Intake): IntakeOutcome {
  buffer.begin(cursor.restartTail());
  return { kind: 'lost', reason: 'the tail moved on before it was read' };
}
