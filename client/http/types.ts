/** What the HTTP client takes and gives. All of it is public, nothing runs. */

import type { Execution, IngestAccess, OpenStatus, SessionSummary, StartRequest, Status } from '../../protocol/index.ts';
import type { SessionStreamOptions } from '../stream/options.ts';
import type { SessionStream } from '../stream/session-stream.ts';
import type { ClientCredential } from './credential.ts';
import type { EventPage, ReadEventsOptions } from './read-events.ts';
import type { RequestOptions } from './request.ts';

/** An API key, or a ticket (or a function that gets one) for a client that only reads. */
export type ClientOptions = RequestOptions & ClientCredential & Pick<SessionStreamOptions, 'connect' | 'WebSocketImpl'>;

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Started {
  /** False when this id was started before with the same request. */
  created: boolean;
  execution: Execution;
  ingest: IngestAccess;
}

export interface Page<T> {
  data: T[];
  next: string | null;
}

export interface Ticket {
  ticket: string;
  expiresAt: number;
}

/** A row of the tenant's sessions: the session and its newest execution. */
export interface SessionItem {
  id: string;
  lastActivityAt: number;
  execution: Execution | null;
  /** How many of its executions are not over, that one among them. Absent where the deployment, or the session as it last told, is from before this. */
  open?: Record<OpenStatus, number>;
  [field: string]: unknown;
}

export interface TicketRequest {
  execution?: string;
  types?: readonly string[];
  ttlSeconds?: number;
  /** How long a connection that is made with it may last: not below `ttlSeconds`, an hour more when left out. */
  untilSeconds?: number;
}

/** What `connectSession` takes, without what the client knows. */
export type EventsOptions = Omit<SessionStreamOptions, 'url' | 'session' | 'getTicket' | 'apiKey'>;

export interface HoldfastClient {
  /** The execution id is made here unless the request has one. */
  start(session: string, request: StartRequest, options?: CallOptions): Promise<Started>;
  /** `waitSeconds` answers when the execution has ended, or after that time with what it is then. */
  get(session: string, execution: string, options?: CallOptions & { waitSeconds?: number }): Promise<Execution>;
  /** Asks until the execution has ended. Lasts as long as the execution does; outages longer than the retry budget are thrown. */
  wait(session: string, execution: string, options?: CallOptions): Promise<Execution>;
  list(session: string, options?: CallOptions & ListQuery): Promise<Page<Execution>>;
  sessions(options?: CallOptions & ListQuery): Promise<Page<SessionItem>>;
  session(session: string, options?: CallOptions): Promise<SessionSummary>;
  /** `accepted: false`: it had ended before. `settled`: this call ended it, as nothing ran yet; the verdict of a running one comes later. */
  interrupt(
    session: string,
    execution: string,
    request?: { reason?: string; force?: boolean },
    options?: CallOptions,
  ): Promise<{ accepted: boolean; settled: boolean; execution: Execution }>;
  /** `settled: true`: this call ended it. */
  fail(
    session: string,
    execution: string,
    request: { code: string; message: string },
    options?: CallOptions,
  ): Promise<{ settled: boolean }>;
  sendInput(session: string, execution: string, data: string, options?: CallOptions): Promise<void>;
  createTicket(session: string, request?: TicketRequest, options?: CallOptions): Promise<Ticket>;
  /** Deletes the session with its log. Deleting one that is not there (any more) is refused with `session_not_found`. */
  deleteSession(session: string, options?: CallOptions): Promise<void>;
  /** One page of what is in the log. */
  readEvents(session: string, options: ReadEventsOptions): Promise<EventPage>;
  /** Follows the session, with this client's credential. A stream that is not read to its end is to be closed. */
  events(session: string, options?: EventsOptions): SessionStream;
  /** A handle of one execution. Nothing is asked of anyone before one of its methods is called, not even whether it exists. */
  execution(session: string, id: string): ExecutionHandle;
}

export interface ListQuery {
  status?: Status;
  limit?: number;
  cursor?: string;
}

/** One execution, by name. */
export interface ExecutionHandle {
  readonly session: string;
  readonly id: string;
  get(options?: CallOptions & { waitSeconds?: number }): Promise<Execution>;
  /** Resolves with the execution when it has ended, however it ended. */
  wait(options?: CallOptions): Promise<Execution>;
  interrupt(request?: { reason?: string; force?: boolean }, options?: CallOptions): ReturnType<HoldfastClient['interrupt']>;
  fail(request: { code: string; message: string }, options?: CallOptions): Promise<{ settled: boolean }>;
  /** Text for the job's stdin. It is not sent again when its answer was lost. */
  send(data: string, options?: CallOptions): Promise<void>;
  events(options?: Omit<EventsOptions, 'execution'>): SessionStream;
  readEvents(options: Omit<ReadEventsOptions, 'execution'>): Promise<EventPage>;
  /** A ticket that reads this execution alone. */
  ticket(request?: Omit<TicketRequest, 'execution'>, options?: CallOptions): Promise<Ticket>;
}
