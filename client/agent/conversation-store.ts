/**
 * The conversations of a session for a user interface: one immutable snapshot at a time.
 *
 * CS1  A new snapshot holds everything since the last one: one rendering for a batch.
 * CS2  An item that did not change is the same object in the next snapshot.
 * CS3  A snapshot holds events of one log; after `log_replaced` it begins again.
 */

import { type AgentFormat, ConversationReader, type Item, type Summary } from '../../agent/index.ts';
import { isStatus, type Status } from '../../protocol/index.ts';
import { FrameTimer } from '../stream/frame-timer.ts';
import { LOG_REPLACED, StreamFailure, type StreamState } from '../stream/options.ts';
import type { SessionStream } from '../stream/session-stream.ts';
import { formatOf } from './read-agent.ts';

/** What one execution added to the conversation. */
export interface Turn {
  readonly execution: string;
  readonly items: readonly Item[];
  readonly summary: Readonly<Summary>;
}

export interface ConversationSnapshot {
  /** The executions in the order of their first events. */
  readonly turns: readonly Turn[];
  /** The items of all turns. */
  readonly items: readonly Item[];
  readonly state: StreamState;
  /** Every event that was in the log when the stream began has been read. */
  readonly caughtUp: boolean;
  readonly statuses: ReadonlyMap<string, Status>;
  /** Why the stream failed. */
  readonly error: StreamFailure | null;
}

export const INITIAL_CONVERSATION: ConversationSnapshot = {
  turns: [],
  items: [],
  state: { status: 'connecting', attempt: 0 },
  caughtUp: false,
  statuses: new Map(),
  error: null,
};

export interface ConversationHooks {
  onState: () => void;
  onControl: (control: { type: string }) => void;
}

export class ConversationStore {
  readonly #open: (hooks: ConversationHooks) => SessionStream;
  readonly #listener: (snapshot: ConversationSnapshot) => void;
  readonly #format: AgentFormat | undefined;
  #stream: SessionStream;
  #readers = new Map<string, ConversationReader>();
  #turns = new Map<string, Turn>();
  #changed = new Set<string>();
  #statuses = new Map<string, Status>();
  #caughtUp = false;
  #error: StreamFailure | null = null;
  /** CS1 */
  readonly #timer = new FrameTimer(() => this.#listener(this.#take()));

  constructor(
    open: (hooks: ConversationHooks) => SessionStream,
    listener: (snapshot: ConversationSnapshot) => void,
    format?: AgentFormat,
  ) {
    this.#open = open;
    this.#listener = listener;
    this.#format = format;
    this.#stream = this.#begin();
  }

  /** Connects again at once, after a failure too. */
  reconnect(): void {
    if (this.#error?.code === LOG_REPLACED) this.#clear();
    if (this.#error) this.#stream = this.#begin();
    else this.#stream.reconnect();
  }

  close(): void {
    this.#timer.stop();
    this.#stream.close();
  }

  #begin(): SessionStream {
    this.#clear();
    this.#error = null;
    const stream = this.#open({
      onState: () => this.#timer.request(),
      onControl: ({ type }) => {
        if (type === 'caught_up') this.#caughtUp = true;
        this.#timer.request();
      },
    });
    void this.#read(stream);
    return stream;
  }

  #clear(): void {
    this.#readers = new Map();
    this.#turns = new Map();
    this.#changed = new Set();
    this.#statuses = new Map();
    this.#caughtUp = false;
  }

  async #read(stream: SessionStream): Promise<void> {
    try {
      for await (const batch of stream.batches()) {
        for (const event of batch) {
          const { execution, type } = event;
          const reader = this.#readers.get(execution) ?? new ConversationReader(this.#format ?? formatOf(stream, execution));
          this.#readers.set(execution, reader);
          reader.add([event]);
          this.#changed.add(execution);
          const status = type.slice('execution_'.length);
          if (type.startsWith('execution_') && isStatus(status)) this.#statuses = new Map(this.#statuses).set(execution, status);
        }
        this.#timer.request();
      }
    } catch (error) {
      this.#error = error instanceof StreamFailure ? error : new StreamFailure('internal', String(error));
    }
    this.#timer.request();
  }

  #take(): ConversationSnapshot {
    for (const execution of this.#changed) {
      const { items, summary } = this.#readers.get(execution) as ConversationReader;
      this.#turns.set(execution, { execution, items: [...items], summary: { ...summary } });
    }
    this.#changed = new Set();
    const turns = [...this.#turns.values()];
    return {
      turns,
      items: turns.flatMap(({ items }) => items),
      state: this.#stream.state,
      caughtUp: this.#caughtUp,
      statuses: this.#statuses,
      error: this.#error,
    };
  }
}
