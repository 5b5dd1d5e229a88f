/**
 * The events of an agent's run, for the conversation. Its code is loaded later than the first
 * events: until then they are kept here.
 */

import type { LoggedEvent } from '../../../client/index.ts';

/** As `LogSink`: each event once; older ones right before the oldest. */
export interface EventSink {
  append(events: readonly LoggedEvent[]): void;
  prepend(events: readonly LoggedEvent[]): void;
  /** No older events exist. */
  atStart(): void;
}

export class AgentEvents implements EventSink {
  /** Whether the run has a conversation: known before its first event. */
  readonly #isWanted: () => boolean;
  #kept: LoggedEvent[] = [];
  #isAtStart = false;
  #sink: EventSink | null = null;

  constructor(isWanted: () => boolean) {
    this.#isWanted = isWanted;
  }

  append(events: readonly LoggedEvent[]): void {
    if (this.#sink) this.#sink.append(events);
    else if (this.#isWanted()) for (const event of events) this.#kept.push(event);
  }

  prepend(events: readonly LoggedEvent[]): void {
    if (this.#sink) this.#sink.prepend(events);
    else if (this.#isWanted()) this.#kept = events.concat(this.#kept);
  }

  atStart(): void {
    this.#isAtStart = true;
    this.#sink?.atStart();
  }

  /** The reader of the events: made at the first call, given what was kept, and kept itself. */
  sink<Sink extends EventSink>(make: () => Sink): Sink {
    if (this.#sink) return this.#sink as Sink;
    const sink = make();
    sink.append(this.#kept);
    if (this.#isAtStart) sink.atStart();
    this.#kept = [];
    this.#sink = sink;
    return sink;
  }
}
