/**
 * What was received and not yet taken, between a socket that pushes and a consumer that pulls.
 *
 * Owns the items, their weight, what is to be acked, and the offset that the consumer has come to. Does not own the consumer's pace, nor
 * the connection: it says when there is no room and when an ack is due, and the stream acts on it.
 *
 * R5  The buffer is bounded: acks say what the consumer took, and a lost connection is replaced only when the buffer is empty of events.
 *
 * Control items weigh nothing: nobody may be there to take them, and they hold up no connection. That they do not pile up is seen to
 * where they are added.
 */

import {
  FRAME_BYTES_MAX,
  type LoggedEvent,
  offsetOf,
  type StreamEvents,
  type TerminalStatus,
  terminalStatusOf,
  VIEWER_WINDOW_BYTES,
} from '../../protocol/index.ts';
import type { SettledExecution } from './stream-ends.ts';

/** Consumed text after which an ack goes out although more is buffered. */
const ACK_CHARS = 64 * 1024;
/** What an honest coordinator can have on the wire: its window and one batch. More is not buffered (R5). A character is at least a byte. */
const BUFFER_CHARS_MAX = VIEWER_WINDOW_BYTES + 2 * FRAME_BYTES_MAX;

type EventsItem = { kind: 'events'; frame: StreamEvents; next: number; charsPerEvent: number };

type ControlItem =
  | { kind: 'caught_up'; offset: number; settled: readonly SettledExecution[] }
  /** `last`: nothing follows, whatever this stream asked for. */
  | { kind: 'end'; execution: string; status: TerminalStatus; last: boolean };

export type Taken = { kind: 'event'; event: LoggedEvent } | ControlItem;

export class StreamBuffer {
  #items: (EventsItem | ControlItem)[] = [];
  #chars = 0;
  #unackedChars = 0;
  #taken: number | null;

  constructor(taken: number | null) {
    this.#taken = taken;
  }

  /** Newest offset that was taken, or that was filtered out before it. Null until a tail has begun. */
  get taken(): number | null {
    return this.#taken;
  }

  /** No event is left; control items do not count. */
  get drained(): boolean {
    return !this.#items.some(({ kind }) => kind === 'events');
  }

  /** R5: a coordinator that keeps to the window always finds room; without flow control a slow consumer may leave none. */
  hasRoomFor(chars: number): boolean {
    return this.drained || this.#chars + chars <= BUFFER_CHARS_MAX;
  }

  /** The stream begins after this offset. What is still to be taken comes first, and says itself where it is. */
  begin(offset: number): void {
    if (this.#items.length === 0) this.#taken = offset;
  }

  /** The events of `frame` from `next` on. The skipped ones count for nothing, so the rest shares the whole weight of the frame. */
  addEvents(frame: StreamEvents, next: number, chars: number): void {
    this.#items.push({ kind: 'events', frame, next, charsPerEvent: chars / (frame.events.length - next) });
    this.#chars += chars;
  }

  addCaughtUp(offset: number, settled: readonly SettledExecution[]): void {
    // Two in a row are one, or the reconnects of a night would pile up in front of an absent consumer.
    if (this.#items.at(-1)?.kind === 'caught_up') this.#items.pop();
    this.#items.push({ kind: 'caught_up', offset, settled });
  }

  addEnd(execution: string, status: TerminalStatus, last: boolean): void {
    this.#items.push({ kind: 'end', execution, status, last });
  }

  /** The next event or control item, in the order in which they came; null when there is none. */
  take(): Taken | null {
    const item = this.#items[0];
    if (!item) return null;
    if (item.kind === 'events') return { kind: 'event', event: this.#takeFrom(item) };
    this.#items.shift();
    if (item.kind === 'caught_up') this.#taken = Math.max(this.#taken ?? 0, item.offset);
    return item;
  }

  #takeFrom(item: EventsItem): LoggedEvent {
    const { frame, next } = item;
    const { type, at, data } = frame.events[next] as StreamEvents['events'][number];
    const offset = offsetOf(frame, next);
    item.next += 1;
    if (item.next === frame.events.length) this.#items.shift();
    this.#chars -= item.charsPerEvent;
    this.#unackedChars += item.charsPerEvent;
    this.#taken = offset;
    return { offset, execution: frame.execution, type, at, data };
  }

  /** R5: the offset to ack, if it is time for one. It counts as acked from here on, whether or not there is a connection to say it on. */
  collectAck(): number | null {
    const { drained } = this;
    // Shares of a frame need not add up to it exactly.
    if (drained) this.#chars = 0;
    if (this.#unackedChars === 0 || !(drained || this.#unackedChars >= ACK_CHARS)) return null;
    this.#unackedChars = 0;
    return this.#taken;
  }

  /** The connection that this was owed to is gone. */
  forgetAck(): void {
    this.#unackedChars = 0;
  }

  /** Executions whose end is in here, by verdict, `end` or `caught_up`. */
  endedExecutions(): Set<string> {
    const ended = new Set<string>();
    for (const item of this.#items) {
      if (item.kind === 'end') ended.add(item.execution);
      if (item.kind === 'caught_up') for (const { execution } of item.settled) ended.add(execution);
      if (item.kind === 'events' && item.frame.events.some(({ type }) => terminalStatusOf(type))) ended.add(item.frame.execution);
    }
    return ended;
  }

  clear(): void {
    this.#items = [];
    this.#chars = 0;
  }
}
