/** Input and output types of the feed, and what is made of them without state. */

import type { HoldfastClient, LoggedEvent, SessionStreamOptions, StreamState } from '../../../client/index.ts';
import type { EventSink } from './agent-events.ts';
import type { HistoryView } from './history-loader.ts';
import type { SessionSummary } from './model.ts';
import type { Facts } from './run-facts.ts';

/** The part of the log model that the feed writes to. */
export interface LogSink extends EventSink {
  readonly firstLine: number | null;
  /** The loaded line with this number. */
  idOf(line: number): number | null;
}

/** A log whose events go to another reader, too. */
export const sinkOf = (log: LogSink, also: EventSink): LogSink => ({
  append(events) {
    log.append(events);
    also.append(events);
  },
  prepend(events) {
    log.prepend(events);
    also.prepend(events);
  },
  atStart() {
    log.atStart();
    also.atStart();
  },
  get firstLine() {
    return log.firstLine;
  },
  idOf: (line) => log.idOf(line),
});

export interface StreamLike {
  readonly state: StreamState;
  readonly hello?: { generation?: string } | null;
  batches(): AsyncIterable<LoggedEvent[]>;
  reconnect(): void;
  probe(): void;
  close(): void;
}

export interface FeedOptions {
  session: string;
  execution: string;
  url: string;
  client: Pick<HoldfastClient, 'get' | 'session' | 'readEvents'>;
  /** False: the credential reads this run alone; a request for its session would be refused. */
  readsSession: boolean;
  /** A fresh ticket for each connection. */
  getTicket(): Promise<string>;
  model: LogSink;
  /** `#L…` when the page opened. */
  line: number | null;
  /** `#item-…` when the page opened: the offset that must be loaded. */
  offset?: number | null;
  connect?: (options: SessionStreamOptions) => StreamLike;
  now?: () => number;
}

export type Load =
  | { state: 'loading'; searching: boolean }
  | { state: 'ready' }
  | { state: 'not_found'; message: string }
  | { state: 'refused'; message: string }
  | { state: 'failed'; error: unknown };

export interface FeedSnapshot {
  readonly load: Load;
  readonly facts: Facts | null;
  readonly summary: SessionSummary | null;
  readonly stream: StreamState | null;
  readonly streamSince: number;
  /** It existed, and was deleted. */
  readonly gone: boolean;
  /** It was deleted, and its session was created again with another log. */
  readonly replaced: boolean;
  /** The generation of this log, once known. A coordinator of 0.1.0 does not report it. */
  readonly generation: string | undefined;
  readonly caughtUp: boolean;
  /** Newest offset that was loaded, or that was the head of the log at the beginning. */
  readonly newest: number;
  readonly older: HistoryView;
  /** Offset at which the log begins now, when its beginning has expired. */
  readonly expiredBefore: number | null;
  /** Whether the timeline has the events from before what was loaded first. */
  readonly history: 'partial' | 'loading' | 'complete' | 'failed';
}

export const startingSnapshot = (now: number): FeedSnapshot => ({
  load: { state: 'loading', searching: false },
  facts: null,
  summary: null,
  stream: null,
  streamSince: now,
  gone: false,
  replaced: false,
  generation: undefined,
  caughtUp: false,
  newest: 0,
  older: { state: 'none', goal: null, share: 1, error: null },
  expiredBefore: null,
  history: 'partial',
});

export function loadFailure(error: unknown): Load {
  const { status, code, message } = (error ?? {}) as { status?: unknown; code?: unknown; message?: unknown };
  const text = typeof message === 'string' ? message : String(error);
  if (status === 404) return { state: 'not_found', message: text };
  if (status === 401 || status === 403 || code === 'unauthorized') return { state: 'refused', message: text };
  return { state: 'failed', error };
}
