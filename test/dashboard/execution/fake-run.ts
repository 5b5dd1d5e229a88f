/**
 * A run as the dashboard's client sees it, in memory: the object, pages of its log, and streams
 * that a test steers. The log may have holes, be expired below `earliest`, and grow.
 */

import type { LoggedEvent, SessionStreamOptions, StreamState } from '../../../client/index.ts';
import { StreamFailure } from '../../../client/index.ts';
import type { FeedOptions, StreamLike } from '../../../dashboard/src/execution/feed-types.ts';
import { lineOf } from '../../../dashboard/src/execution/line-search.ts';
import type { Execution } from '../../../dashboard/src/execution/model.ts';
import { generationOf } from '../../../protocol/index.ts';

export class FakeModel {
  readonly offsets: number[] = [];
  started = false;
  firstLine: number | null = null;
  readonly lines = new Set<number>();

  append(events: readonly LoggedEvent[]): void {
    for (const { offset } of events) {
      if (offset <= (this.offsets.at(-1) ?? 0)) throw new Error(`appended ${offset} after ${this.offsets.at(-1)}`);
      this.offsets.push(offset);
    }
    this.#number(events);
  }

  prepend(events: readonly LoggedEvent[]): void {
    const last = events.at(-1)?.offset ?? 0;
    if (this.offsets[0] !== undefined && last >= this.offsets[0]) throw new Error(`prepended ${last} before ${this.offsets[0]}`);
    this.offsets.unshift(...events.map(({ offset }) => offset));
    this.#number(events);
  }

  idOf(line: number): number | null {
    return this.lines.has(line) ? line : null;
  }

  atStart(): void {
    this.started = true;
    this.firstLine ??= 1;
  }

  #number(events: readonly LoggedEvent[]): void {
    const lines = events.map(lineOf).filter((line) => line !== null);
    for (const line of lines) this.lines.add(line);
    if (lines.length > 0) this.firstLine = Math.min(...lines, this.firstLine ?? Number.POSITIVE_INFINITY);
  }
}

export class FakeStream implements StreamLike {
  readonly options: SessionStreamOptions;
  state: StreamState = { status: 'connecting', attempt: 0 };
  readonly batchesToCome: LoggedEvent[][] = [];
  reconnects = 0;
  closed = false;
  #wake: (() => void) | null = null;

  constructor(options: SessionStreamOptions) {
    this.options = options;
    options.signal?.addEventListener('abort', () => this.close());
    options.onState?.(this.state);
  }

  setState(state: StreamState): void {
    this.state = state;
    this.options.onState?.(state);
    this.#wake?.();
  }

  send(...events: LoggedEvent[]): void {
    this.batchesToCome.push(events);
    this.#wake?.();
  }

  async *batches(): AsyncGenerator<LoggedEvent[], void, undefined> {
    for (;;) {
      const batch = this.batchesToCome.shift();
      if (batch) yield batch;
      else if (this.state.status === 'failed') throw new StreamFailure(this.state.code, this.state.reason);
      else if (this.closed || this.state.status === 'ended') return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  reconnect(): void {
    this.reconnects += 1;
    this.setState({ status: 'connecting', attempt: 0 });
  }

  probe(): void {}

  close(): void {
    this.closed = true;
    this.#wake?.();
  }
}

export const problem = (status: number, code: string, facts: Record<string, unknown> = {}) =>
  Object.assign(new Error(code), { status, code, facts });

export class FakeRun {
  execution: Execution;
  log: LoggedEvent[] = [];
  earliest = 1;
  head = 0;
  pageEvents = 400;
  /** The credential is a ticket of this run alone. */
  ticketOnly = false;
  sessionReads = 0;
  /** When the session was made. Its log's generation is made of this. */
  sessionMadeAt = 0;
  /** Whether reads say their generation, and check the one that is named. */
  saysGeneration = false;
  readonly generations: (string | undefined)[] = [];
  readonly streams: FakeStream[] = [];
  readonly model = new FakeModel();
  /** Thrown by the next calls, in turn; null answers as usual. */
  readonly getErrors: (unknown | null)[] = [];
  readonly readErrors: (unknown | null)[] = [];
  gets = 0;
  reads: (number | 'tail')[] = [];
  tickets = 0;

  constructor(execution: Execution, log: LoggedEvent[] = []) {
    this.execution = execution;
    this.log = log;
    this.head = log.at(-1)?.offset ?? 0;
  }

  get stream(): FakeStream {
    const stream = this.streams.at(-1);
    if (!stream) throw new Error('there is no stream yet');
    return stream;
  }

  options(line: number | null = null): FeedOptions {
    return {
      session: 's1',
      execution: 'e1',
      url: 'http://localhost',
      line,
      model: this.model,
      readsSession: !this.ticketOnly,
      getTicket: async () => {
        this.tickets += 1;
        return `t${this.tickets}`;
      },
      connect: (options) => {
        const stream = new FakeStream(options);
        this.streams.push(stream);
        return stream;
      },
      client: {
        get: async () => {
          this.gets += 1;
          const error = this.getErrors.shift();
          if (error) throw error;
          return this.execution;
        },
        session: async () => {
          this.sessionReads += 1;
          if (this.ticketOnly) throw problem(401, 'ticket_scope');
          return {
            id: 's1',
            createdAt: this.sessionMadeAt,
            lastActivityAt: 0,
            earliest: this.earliest,
            head: this.head,
            active: 'e1',
            counts: { queued: 0, pending: 0, running: 1, completed: 0, failed: 0, interrupted: 0 },
          };
        },
        readEvents: async (_session, { after, generation, signal }) => {
          this.reads.push(after);
          this.generations.push(generation);
          await Promise.resolve();
          signal?.throwIfAborted();
          const error = this.readErrors.shift();
          if (error) throw error;
          const now = this.saysGeneration ? { generation: generationOf(this.sessionMadeAt) } : {};
          if (generation !== undefined && (now.generation ?? generation) !== generation) throw problem(410, 'log_replaced', now);
          if (after === 'tail') return { events: [], next: this.head, upToDate: true, closed: false, ...now };
          if (after > this.head) throw problem(409, 'offset_ahead', { head: this.head });
          if (after !== 0 && after < this.earliest - 1) throw problem(410, 'offset_expired', { earliest: this.earliest });
          const kept = this.log.filter(({ offset }) => offset > after && offset >= this.earliest);
          const events = kept.slice(0, this.pageEvents);
          const upToDate = events.length === kept.length;
          return { events, next: upToDate ? this.head : (events.at(-1)?.offset ?? after), upToDate, closed: false, ...now };
        },
      },
    };
  }

  /** What the server would replay on the newest stream. */
  replay(): void {
    const { stream } = this;
    const after = stream.options.after ?? 0;
    stream.setState({ status: 'replaying' });
    const events = this.log.filter(({ offset }) => offset > after);
    for (let i = 0; i < events.length; i += 100) stream.send(...events.slice(i, i + 100));
  }

  catchUp(): void {
    this.stream.setState({ status: 'live' });
    this.stream.options.onControl?.({ type: 'caught_up', offset: this.head });
  }
}

/** Lets everything that is ready run. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setTimeout(resolve, 0));
};
