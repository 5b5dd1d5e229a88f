/**
 * Which executions have ended, as far as the consumer has come.
 *
 * Owns the list of ends. An end has three sources, since any of them may be lost with a connection: the verdict, which is the last event
 * of its execution (G3); the `end` frame after it; and a hello that knew the execution as ended, once `caught_up` says that its events
 * have come. Whichever is taken first counts; an end is told once.
 */

import { isTerminal, type StreamHello, type TerminalStatus } from '../../protocol/index.ts';

export interface SettledExecution {
  execution: string;
  status: TerminalStatus;
}

export class StreamEnds {
  readonly #asked: readonly string[];
  readonly #ends = new Map<string, TerminalStatus>();

  constructor(asked: readonly string[]) {
    this.#asked = asked;
  }

  get all(): ReadonlyMap<string, TerminalStatus> {
    return this.#ends;
  }

  /** Whether it was news. */
  add(execution: string, status: TerminalStatus): boolean {
    if (this.#ends.has(execution)) return false;
    this.#ends.set(execution, status);
    return true;
  }

  /** Every execution that was asked for has ended, or would have with `more`. Never, when the whole session was asked for. */
  complete(more?: ReadonlySet<string>): boolean {
    return this.#asked.length > 0 && this.#asked.every((id) => this.#ends.has(id) || more?.has(id));
  }

  /** An execution that was over at the hello has nothing more to come after the replay. */
  settledAt(hello: StreamHello | undefined): SettledExecution[] {
    return (hello?.executions ?? []).flatMap(({ id, status }) =>
      this.#asked.includes(id) && isTerminal(status) ? [{ execution: id, status }] : [],
    );
  }
}
