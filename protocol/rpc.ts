/** The Workers RPC as another Worker sees it: the type of a service binding with `entrypoint = "Holdfast"`. Its page is docs/rpc.md. */

import type { Execution, IngestAccess, LoggedEvent, Result, SessionEntry, SessionSummary, StartRequest } from './api.ts';
import type { Status } from './statuses.ts';

export interface ServiceVersion {
  /** Newest version of the ingest protocol that is spoken. */
  protocol: number;
  /** Of this program; methods and fields are only ever added within a major version. */
  version: string;
}

export interface ListQuery {
  status?: Status;
  /** At most so many: 50 when left out, 200 at most. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}

export interface TicketRequest {
  execution?: string;
  types?: string[];
  /** 60 when left out, 3600 at most. After that no connection can be made with it. */
  ttlSeconds?: number;
  /** After that a connection that was made with it ends. Not below `ttlSeconds`; an hour more when left out. */
  untilSeconds?: number;
}

/**
 * Nothing expected is thrown: what was not done as wished is `{ok: false, code, …}`. A call rejects only when the call itself broke. All but `sendInput`
 * may be made again then, and `startExecution` when its request has an `id`.
 */
export interface HoldfastRpc {
  startExecution(
    session: string,
    request: StartRequest,
  ): Promise<Result<{ execution: Execution; ingest: IngestAccess; created: boolean }>>;
  /** `waitSeconds`: answers when it has ended, or after so long as it is then; 55 at most. */
  getExecution(session: string, execution: string, options?: { waitSeconds?: number }): Promise<Result<{ execution: Execution }>>;
  listExecutions(session: string, query?: ListQuery): Promise<Result<{ data: Execution[]; next: string | null }>>;
  /** `accepted`: it had not ended before. `settled`: it has now; a running one ends when its job does. */
  interruptExecution(
    session: string,
    execution: string,
    options?: { reason?: string; force?: boolean },
  ): Promise<Result<{ execution: Execution; settled: boolean; accepted: boolean }>>;
  failExecution(
    session: string,
    execution: string,
    failed: { code: string; message: string },
  ): Promise<Result<{ execution: Execution; settled: boolean }>>;
  sendInput(session: string, execution: string, data: string): Promise<Result<{ commandId: number }>>;
  /**
   * Events after the offset `after`; `next` is the `after` of the next page, which is empty when it is the `head`. At most 1000.
   * Hand `generation` of the page before to the next call: `log_replaced` when the session was deleted and made again since.
   */
  readEvents(
    session: string,
    query?: { after?: number; limit?: number; generation?: string },
  ): Promise<Result<{ events: LoggedEvent[]; next: number; head: number; generation: string }>>;
  createTicket(session: string, request?: TicketRequest): Promise<Result<{ ticket: string; expiresAt: number; until?: number }>>;
  getSession(session: string): Promise<Result<{ session: SessionSummary }>>;
  listSessions(query?: ListQuery): Promise<Result<{ data: SessionEntry[]; next: string | null }>>;
  deleteSession(session: string): Promise<Result<object>>;
  version(): Promise<ServiceVersion>;
}
