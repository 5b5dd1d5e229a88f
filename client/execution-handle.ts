/** One execution, by name: the client's calls without repeating which. It keeps nothing and asks nothing by itself. */

import type { Execution } from '../protocol/index.ts';
import type { CallOptions, EventsOptions, HoldfastClient, Ticket, TicketRequest } from './http.ts';
import type { EventPage, ReadEventsOptions } from './read-events.ts';
import type { SessionStream } from './session-stream.ts';

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

export function executionHandle(client: HoldfastClient, session: string, id: string): ExecutionHandle {
  return {
    session,
    id,
    get: (options) => client.get(session, id, options),
    wait: (options) => client.wait(session, id, options),
    interrupt: (request, options) => client.interrupt(session, id, request, options),
    fail: (request, options) => client.fail(session, id, request, options),
    send: (data, options) => client.sendInput(session, id, data, options),
    events: (options) => client.events(session, { ...options, execution: id }),
    readEvents: (options) => client.readEvents(session, { ...options, execution: id }),
    ticket: (request, options) => client.createTicket(session, { ...request, execution: id }, options),
  };
}
