/**
 * The events of a stream between the socket, which pushes, and the consumer, which pulls.
 *
 * Owns the newest offset received, the items that are not taken yet, the newest offset taken, the
 * acks that are due, and which executions have ended for the consumer. Has no timer, no socket and
 * no listener.
 *
 * R1  An event is passed on once, in the order of offsets. Only offsets decide what is a repeat.
 * R2  A connection resumes after the newest offset received; `tail` counts for the first one only.
 *     Without a filter the hello gives the place of a tail. With one, the first events or
 *     `caught_up` give it, and until then each connection asks for the tail again.
 * R5  The buffer is bounded. Acks follow the consumer, and a lost connection is replaced only when
 *     no event is left in the buffer.
 * R7  An offset belongs to one log. A session that was deleted and made again has another log with
 *     another generation; the stream never continues in that one.
 *
 * Control items have no weight and hold up no connection, because a consumer may never take them.
 */

import {
  FRAME_BYTES_MAX,
  isTerminal,
  type LoggedEvent,
  offsetOf,
  type StreamEvents,
  type StreamFrame,
  type StreamHello,
  type TerminalStatus,
  terminalStatusOf,
  VIEWER_WINDOW_BYTES,
} from '../../protocol/index.ts';
import { LOG_REPLACED, LOG_REPLACED_REASON, type Place, type StreamControl, type StreamSettings } from './options.ts';
import type { SocketEnd } from './socket.ts';

/** An ack is sent after this much taken text, even when more is buffered. */
const ACK_CHARS = 64 * 1024;
/**
 * The window of the coordinator and one batch: the most it has on the wire (R5). A character is at
 * least a byte.
 */
const BUFFER_CHARS_MAX = VIEWER_WINDOW_BYTES + 2 * FRAME_BYTES_MAX;

export interface ExecutionEnd {
  execution: string;
  status: TerminalStatus;
}

type EventsItem = { kind: 'events'; frame: StreamEvents; next: number; charsPerEvent: number };

type Item =
  | EventsItem
  /** `settled`: executions that the hello reported as ended. Their events have all arrived now. */
  | { kind: 'caught_up'; offset: number; settled: readonly ExecutionEnd[] }
  /** `final`: the coordinator closed the stream after it. */
  | { kind: 'end'; end: ExecutionEnd; final: boolean };

export interface Taken {
  event: LoggedEvent | null;
  /** For the listener, before the event is handed out. */
  controls: readonly StreamControl[];
  /** The end that completes the stream. */
  last: ExecutionEnd | null;
}

/** What a frame means for the connection. */
export type FrameOutcome =
  | { type: 'hello' | 'progress' | 'caught_up' | 'no_room' }
  /** Another connection may bring what this one did not. */
  | { type: 'lost'; end: SocketEnd }
  | { type: 'fail'; code: string; reason: string };

const NO_CONTROLS: readonly StreamControl[] = [];

export class StreamBuffer {
  readonly #settings: StreamSettings;
  readonly #tail: number;
  /** R1, R2: newest offset received or filtered out. Null until the place of the tail is known. */
  #received: number | null;
  /** Head of the first hello of a filtered tail. Every later event belongs to this stream. */
  #tailHead: number | null = null;
  #tailRequests = 0;
  #gapAfter: number | null = null;
  /** R7: unknown until the options or a hello name it. */
  #generation: string | undefined;
  #hello: StreamHello | null = null;
  #items: Item[] = [];
  #chars = 0;
  #unackedChars = 0;
  #taken: number | null;
  readonly #ends = new Map<string, TerminalStatus>();

  constructor(settings: StreamSettings) {
    const { after = 0, tail, from, generation } = settings.options;
    this.#settings = settings;
    this.#generation = generation;
    this.#tail = tail ?? 0;
    this.#received = tail === undefined && from === undefined ? after : null;
    this.#taken = this.#received;
  }

  /** R2. */
  get place(): Place {
    const { from } = this.#settings.options;
    const begin = from === undefined ? { tail: this.#tail } : { from };
    return {
      ...(this.#received === null ? begin : { after: this.#received }),
      ...(this.#generation === undefined ? {} : { generation: this.#generation }),
    };
  }

  /** Of the newest connection that had one. */
  get hello(): StreamHello | null {
    return this.#hello;
  }

  /** Newest offset that was taken, or filtered out before it. Null until a tail has begun. */
  get taken(): number | null {
    return this.#taken;
  }

  /** No event is left. Control items do not count. */
  get drained(): boolean {
    return !this.#items.some(({ kind }) => kind === 'events');
  }

  /** Executions whose end the consumer has reached. */
  get ends(): ReadonlyMap<string, TerminalStatus> {
    return this.#ends;
  }

  /**
   * All that was asked for has been received, though perhaps not taken. Never true for a whole
   * session.
   */
  get complete(): boolean {
    const ended = new Set<string>();
    for (const item of this.#items) {
      switch (item.kind) {
        case 'end':
          if (item.final) return true;
          ended.add(item.end.execution);
          break;
        case 'caught_up':
          for (const { execution } of item.settled) ended.add(execution);
          break;
        case 'events':
          if (item.frame.events.some((_, index) => this.#endAt(item.frame, index))) ended.add(item.frame.execution);
          break;
        default:
          item satisfies never;
      }
    }
    return this.#allEnded(ended);
  }

  // ── the socket's side ────────────────────────────────────────────────────────────────────────

  /** `chars` is the length of the frame's text. Null: nothing changes for the connection. */
  accept(frame: StreamFrame, chars: number): FrameOutcome | null {
    switch (frame.type) {
      case 'hello':
        return this.#acceptHello(frame);
      case 'events':
        return this.#acceptEvents(frame, chars);
      case 'caught_up':
        return this.#acceptCaughtUp(frame.offset);
      case 'end':
        this.addEnd(frame, false);
        return null;
      default:
        return frame satisfies never;
    }
  }

  addEnd({ execution, status }: ExecutionEnd, final: boolean): void {
    this.#items.push({ kind: 'end', end: { execution, status }, final });
  }

  #acceptHello(frame: StreamHello): FrameOutcome {
    const { generation, earliest, head } = frame;
    // R7. The coordinator refuses another log itself, unless it is older than this check.
    this.#generation ??= generation;
    if (generation !== undefined && this.#generation !== generation) {
      return { type: 'fail', code: LOG_REPLACED, reason: LOG_REPLACED_REASON };
    }
    this.#hello = frame;
    if (this.#received === null && this.#settings.options.from !== undefined) {
      // Whichever screen is the newest when a connection begins is a complete beginning.
    } else if (this.#received === null && this.#settings.filtered) {
      this.#tailHead ??= head;
      this.#tailRequests += 1;
    } else if (this.#received === null) {
      this.#beginAt(Math.max(earliest - 1, head - this.#tail, 0)); // R2
    } else if (this.#received === 0 && earliest > 1) {
      // "From the start" means from the oldest event that is kept.
      this.#beginAt(earliest - 1);
    }
    return { type: 'hello' };
  }

  #acceptEvents(frame: StreamEvents, chars: number): FrameOutcome | null {
    const count = frame.events.length;
    if (count === 0) return null;
    if (this.#tailMoved(offsetOf(frame, 0))) return this.#restartTail();
    const received = this.#received;
    // R1: skips the part of the frame that was received before.
    let next = 0;
    while (next < count && received !== null && offsetOf(frame, next) <= received) next += 1;
    if (next === count) return null;
    if (this.#settings.complete && received !== null && offsetOf(frame, next) !== received + 1) return this.#gap();
    // R5: an honest coordinator always finds room. What finds none is not received, so the next
    // connection brings it again (R2).
    if (!this.drained && this.#chars + chars > BUFFER_CHARS_MAX) return { type: 'no_room' };
    this.#received = offsetOf(frame, count - 1);
    // The skipped events weigh nothing; the others share the weight of the frame.
    this.#items.push({ kind: 'events', frame, next, charsPerEvent: chars / (count - next) });
    this.#chars += chars;
    return { type: 'progress' };
  }

  #acceptCaughtUp(offset: number): FrameOutcome {
    if (this.#tailMoved(offset - this.#tail + 1)) return this.#restartTail();
    if (this.#settings.complete && this.#received !== null && offset > this.#received) return this.#gap();
    this.#received = Math.max(this.#received ?? 0, offset);
    // Two in a row become one. Otherwise they would pile up while a consumer is away for a night.
    if (this.#items.at(-1)?.kind === 'caught_up') this.#items.pop();
    const settled = (this.#hello?.executions ?? []).flatMap(({ id, status }) =>
      this.#settings.executions.includes(id) && isTerminal(status) ? [{ execution: id, status }] : [],
    );
    this.#items.push({ kind: 'caught_up', offset, settled });
    return { type: 'caught_up' };
  }

  /** A gap is never passed on. A second one at the same offset is not the fault of a connection. */
  #gap(): FrameOutcome {
    const received = this.#received;
    if (this.#gapAfter === received) {
      return { type: 'fail', code: 'gap', reason: `the coordinator skipped events after offset ${received}` };
    }
    this.#gapAfter = received;
    return { type: 'lost', end: { code: 1006, reason: `events after offset ${received} are missing` } };
  }

  forgetGap(): void {
    this.#gapAfter = null;
  }

  /**
   * R2: a filtered tail was cut before its first event and asked for again. It now begins later
   * than the first hello promised, so events between the two may be missing.
   */
  #tailMoved(first: number): boolean {
    return this.#received === null && this.#tailHead !== null && first > this.#tailHead + 1 && this.#tailRequests > 1;
  }

  /** Reading on from the head of the first hello brings every event since then. */
  #restartTail(): FrameOutcome {
    this.#beginAt(this.#tailHead ?? 0);
    return { type: 'lost', end: { code: 1006, reason: 'the tail moved on before it was read' } };
  }

  #beginAt(offset: number): void {
    this.#received = offset;
    // Items that are still to be taken set `taken` themselves.
    if (this.#items.length === 0) this.#taken = offset;
  }

  // ── the consumer's side ──────────────────────────────────────────────────────────────────────

  /** The next item in the order of arrival; null when there is none. */
  next(): Taken | null {
    const item = this.#items[0];
    if (!item) return null;
    switch (item.kind) {
      case 'events': {
        const status = this.#endAt(item.frame, item.next);
        const event = this.#takeEvent(item);
        // The `end` frame may be lost.
        if (!status) return { event, controls: NO_CONTROLS, last: null };
        return this.#reach([{ execution: event.execution, status }], { event });
      }
      case 'caught_up':
        this.#items.shift();
        this.#taken = Math.max(this.#taken ?? 0, item.offset);
        return this.#reach(item.settled, { controls: [{ type: 'caught_up', offset: item.offset }] });
      case 'end':
        this.#items.shift();
        return this.#reach([item.end], { last: item.final ? item.end : null });
      default:
        return item satisfies never;
    }
  }

  #takeEvent(item: EventsItem): LoggedEvent {
    const { frame, next } = item;
    const { type, at, data } = frame.events[next] as StreamEvents['events'][number];
    const offset = offsetOf(frame, next);
    item.next += 1;
    if (item.next === frame.events.length) this.#items.shift();
    this.#chars -= item.charsPerEvent;
    this.#unackedChars += item.charsPerEvent;
    this.#taken = offset;
    return { offset, ...(frame.late === true ? { late: true } : {}), execution: frame.execution, type, at, data };
  }

  /**
   * The verdict at this place, if it ends its execution here. Only late events may follow a verdict
   * (G3). One that was not the newest event when the connection opened may have them behind it: a
   * stream of executions then goes on until `end` or `caught_up`.
   */
  #endAt(frame: StreamEvents, index: number): TerminalStatus | null {
    const isOfAll = this.#settings.executions.length === 0;
    if (!isOfAll && offsetOf(frame, index) < (this.#hello?.head ?? 0)) return null;
    return terminalStatusOf(frame.events[index]?.type ?? '');
  }

  /** An end may be reported by a verdict, an `end` frame and a hello. The first one counts. */
  #reach(ends: readonly ExecutionEnd[], { event = null, controls = NO_CONTROLS, last = null }: Partial<Taken>): Taken {
    const all = [...controls];
    for (const { execution, status } of ends) {
      if (this.#ends.has(execution)) continue;
      this.#ends.set(execution, status);
      all.push({ type: 'end', execution, status });
      if (this.#allEnded()) last ??= { execution, status };
    }
    return { event, controls: all, last };
  }

  #allEnded(more?: ReadonlySet<string>): boolean {
    const { executions } = this.#settings;
    return executions.length > 0 && executions.every((id) => this.#ends.has(id) || more?.has(id));
  }

  /**
   * R5: the offset to ack now, if one is due. The caller sends it, or drops it when there is no
   * connection.
   */
  takeAck(): number | null {
    const { drained } = this;
    // The shares of a frame may not add up to it exactly.
    if (drained) this.#chars = 0;
    if (this.#unackedChars === 0 || !(drained || this.#unackedChars >= ACK_CHARS)) return null;
    this.#unackedChars = 0;
    return this.#taken;
  }

  /** The connection that waited for this ack is gone. */
  forgetAck(): void {
    this.#unackedChars = 0;
  }

  clear(): void {
    this.#items = [];
    this.#chars = 0;
  }
}
