/**
 * Follows a session: one async iterable over every event, through cuts, redeploys and expired tickets.
 *
 *   stream-types     options, states, controls, the failure: what the caller sees
 *   stream-request   the options, checked, and the address of a connection
 *   stream-cursor    what was received: repeats, gaps, the place of a tail          R1 R2 R7
 *   stream-buffer    what was received and not taken, with its acks                 R5
 *   stream-ends      which executions have ended
 *   stream-intake    a frame, through the three above
 *   stream-consumer  what is taken, and what that sets off
 *   stream-reader    the consumer's loops
 *   stream-attempts  one connection attempt after the other, and the state          R3 R4 R5 R6
 *   stream-link      one connection attempt, its socket and timers                  R3 R4
 *   heartbeat        whether a silent connection lives
 *   stream-loss      what follows a lost connection
 *   stream-page      a page that is hidden or comes back; decided in page-lifecycle P1 P2 P3 P4
 *
 * This file is what the caller holds. Two sides meet in it: the attempts bring, the consumer takes. The diagram of the states is in stream-attempts.
 *
 * R6  After close() nothing reconnects.
 *
 * A listener (`onState`, `onControl`) may call close() or reconnect(): after telling it, nothing is taken for granted.
 */

import type { LoggedEvent, StreamHello, TerminalStatus } from '../../protocol/index.ts';
import { guarded } from './listener.ts';
import { StreamAttempts } from './stream-attempts.ts';
import { StreamBuffer } from './stream-buffer.ts';
import { StreamConsumer } from './stream-consumer.ts';
import { StreamCursor } from './stream-cursor.ts';
import { StreamEnds } from './stream-ends.ts';
import type { Intake } from './stream-intake.ts';
import { StreamReader } from './stream-reader.ts';
import { requestOf } from './stream-request.ts';
import { type SessionStreamOptions, StreamFailure, type StreamState } from './stream-types.ts';

export class SessionStream implements AsyncIterable<LoggedEvent> {
  readonly #intake: Intake;
  readonly #consumer: StreamConsumer;
  readonly #attempts: StreamAttempts;
  readonly #reader = new StreamReader({
    take: () => this.#consumer.take(),
    over: () => {
      const { state, over } = this.#attempts;
      if (state.status === 'failed') throw new StreamFailure(state.code, state.reason);
      return over;
    },
    leave: () => this.close(),
  });

  constructor(options: SessionStreamOptions) {
    const { after, tail, generation, signal } = options;
    const request = requestOf(options);
    const cursor = new StreamCursor({ after, tail, generation, ...request });
    this.#intake = { cursor, buffer: new StreamBuffer(cursor.received), ends: new StreamEnds(request.executions) };
    this.#consumer = new StreamConsumer(this.#intake, {
      tell: (control) => guarded(options.onControl, control),
      finish: (execution, executionStatus) => this.#attempts.end({ status: 'ended', execution, executionStatus }, 'ended'),
      taken: (ack, drained) => this.#attempts.taken(ack, drained),
    });
    this.#attempts = new StreamAttempts(options, request, this.#intake, () => this.#reader.wake());
    if (this.#attempts.over) return; // The signal came first.
    signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#attempts.start();
  }

  get state(): StreamState {
    return this.#attempts.state;
  }

  /**
   * Newest offset that the consumer has taken, or that was filtered out before it: the place to resume from, together with
   * `hello.generation`. Null until a tail has begun.
   */
  get lastOffset(): number | null {
    return this.#intake.buffer.taken;
  }

  /** What the coordinator said at the start of the newest connection: the head of its log, and the executions with their status then. */
  get hello(): StreamHello | null {
    return this.#attempts.hello;
  }

  /** Executions whose end the consumer has come to. */
  get ends(): ReadonlyMap<string, TerminalStatus> {
    return this.#intake.ends.all;
  }

  /**
   * Drops the connection, if there is one, and makes a new one at once, on a hidden page too. An attempt that has only just begun is shared, so
   * callers who ask together make one connection. Also the way back from `failed`; then iterate again.
   */
  reconnect(): void {
    if (!this.#attempts.over || this.state.status === 'failed') this.#attempts.reconnect(); // R6
  }

  /**
   * Cuts a waiting time short, and makes a silent connection prove that it lives. Unlike reconnect() it leaves a sound connection alone.
   * For signals of a return that the page lifecycle does not know.
   */
  probe(): void {
    const { status } = this.state;
    if (status === 'reconnecting' || status === 'paused') this.reconnect();
    else this.#attempts.probe();
  }

  /** Ends the stream for good. What was received but not taken is dropped. */
  close(): void {
    this.#attempts.end({ status: 'closed' }, 'closed by the viewer');
  }

  /** All iterators take from the same buffer; leaving a loop closes the stream. */
  [Symbol.asyncIterator](): AsyncGenerator<LoggedEvent, void, undefined> {
    return this.#reader.iterate((first) => first);
  }

  /** The same events, as many at a time as are there: one rendering for a whole replay. */
  batches(): AsyncGenerator<LoggedEvent[], void, undefined> {
    return this.#reader.iterate((first) => {
      const batch = [first];
      for (let event = this.#consumer.take(); event !== null; event = this.#consumer.take()) batch.push(event);
      return batch;
    });
  }
}

export function connectSession(options: SessionStreamOptions): SessionStream {
  return new SessionStream(options);
}
