/**
 * The state of a session and its executions, read by API key or by a ticket of the session
 * (HTTP21). A ticket that is bound to an execution reads that execution only. One that is bound to
 * event types reads no state, which groups.ts checks.
 */

import type { Failure, Result } from '../../protocol/index.ts';
import { WAIT_SECONDS_MAX } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import * as service from '../operations/service.ts';
import { numberParam } from './params.ts';
import { outsideTicketScope, type Reader } from './readers.ts';

const json = <T extends object>(result: Result<T>, render: (value: T) => unknown): Response | Failure =>
  result.ok ? Response.json(render(result)) : result;

/** Counts and head cover every execution, so a ticket must not be bound to one. */
export async function readSession({ caller, ticket }: Reader, session: string): Promise<Response | Failure> {
  if (ticket?.execution !== undefined) return outsideTicketScope();
  return json(await service.getSession(caller, session), (result) => result.session);
}

export async function readExecutions(request: Request, { caller, ticket }: Reader, session: string): Promise<Response | Failure> {
  const query = listParams(new URL(request.url).searchParams);
  if ('code' in query) return query;
  const listed = await service.listExecutions(caller, session, query, ticket?.execution);
  return json(listed, ({ data, next }) => ({ data, next }));
}

export async function readExecution(
  request: Request,
  { caller, ticket }: Reader,
  { session, execution }: { session: string; execution: string },
): Promise<Response | Failure> {
  if (ticket?.execution !== undefined && ticket.execution !== execution) return outsideTicketScope();
  const asked = new URL(request.url).searchParams.get('wait');
  const waitSeconds = asked === null ? 0 : numberParam(asked);
  if (waitSeconds === null || waitSeconds === undefined || waitSeconds > WAIT_SECONDS_MAX) {
    return failure('bad_request', `wait: must be 0 to ${WAIT_SECONDS_MAX} seconds`, { field: 'wait' });
  }
  // STR33: the answer is not delayed past the end of the ticket.
  const left = ticket ? Math.floor((ticket.until - Date.now()) / 1000) : WAIT_SECONDS_MAX;
  const held = { waitSeconds: Math.max(0, Math.min(waitSeconds, left)) };
  return json(await service.getExecution(caller, session, execution, held), (result) => result.execution);
}

export interface ListParams {
  status: string | undefined;
  limit: number | undefined;
  cursor: string | undefined;
}

/** The query of a list. The service checks the rest. */
export function listParams(query: URLSearchParams): ListParams | Failure {
  const limit = numberParam(query.get('limit'));
  if (limit === null) return failure('bad_request', 'limit: must be a whole number', { field: 'limit' });
  return { status: query.get('status') ?? undefined, limit, cursor: query.get('cursor') ?? undefined };
}
