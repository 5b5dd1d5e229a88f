/**
 * What the consumer takes from the buffer, and what that sets off: controls in order with the data, ends, acks.
 *
 * Owns nothing of its own; buffer and ends are the intake's. Does not wait (stream-reader) and does not send.
 */

import { type LoggedEvent, type TerminalStatus, terminalStatusOf } from '../../protocol/index.ts';
import type { Intake } from './stream-intake.ts';
import type { StreamControl } from './stream-types.ts';

/** The stream's side. Any of these may close the stream. */
export interface ConsumerPort {
  tell(control: StreamControl): void;
  /** The consumer has come to the end of all that was asked for. May be called more than once. */
  finish(execution: string, status: TerminalStatus): void;
  /** After every take. `ack`: the offset to acknowledge now, if any. `drained`: no event is left. */
  taken(ack: number | null, drained: boolean): void;
}

export class StreamConsumer {
  readonly #intake: Intake;
  readonly #port: ConsumerPort;

  constructor(intake: Intake, port: ConsumerPort) {
    this.#intake = intake;
    this.#port = port;
  }

  /** The next event in the buffer, with every control item before it told; null when there is none. */
  take(): LoggedEvent | null {
    const { buffer } = this.#intake;
    for (let taken = buffer.take(); taken; taken = buffer.take()) {
      switch (taken.kind) {
        case 'event': {
          const { event } = taken;
          this.#afterTaking();
          const status = terminalStatusOf(event.type);
          // The verdict is the last event of its execution (G3), so the `end` frame after it may be lost with the connection.
          if (status) this.#tellEnd(event.execution, status);
          return event;
        }
        case 'end':
          this.#tellEnd(taken.execution, taken.status);
          if (taken.last) this.#port.finish(taken.execution, taken.status);
          break;
        case 'caught_up':
          this.#port.tell({ type: 'caught_up', offset: taken.offset });
          for (const { execution, status } of taken.settled) this.#tellEnd(execution, status);
          break;
        default:
          taken satisfies never;
      }
    }
    this.#afterTaking();
    return null;
  }

  #afterTaking(): void {
    const { buffer } = this.#intake;
    const { drained } = buffer;
    this.#port.taken(buffer.collectAck(), drained);
  }

  #tellEnd(execution: string, status: TerminalStatus): void {
    const { ends } = this.#intake;
    if (!ends.add(execution, status)) return;
    this.#port.tell({ type: 'end', execution, status });
    if (ends.complete()) this.#port.finish(execution, status);
  }
}
