/**
 * What a session and its executions are, for whoever may read them: by API key, or by a ticket of that session (HTTP21). A ticket reads what it names and
 * changes nothing: one that is bound to an execution is shown that one alone, and one that is bound to event types is shown events alone.
 */

import type { Failure, Result } from '../../protocol/index.ts';
import { WAIT_SECONDS_MAX } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import * as service from '../operations/service.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { originAllowed } from './auth.ts';
import { numberParam } from './params.ts';
import { authenticateReader, beyondTicket, type ReadingTicket, readerRefused } from './readers.ts';

type Reading = { ok: true; caller: service.Caller; ticket: ReadingTicket | null } | Failure;

/** Credential before ids, as with every route that takes an API key: a stranger is told nothing about paths. */
async function reading(request: Request, env: Env, config: Config, session: string): Promise<Reading> {
  if (!originAllowed(request, config)) return failure('forbidden_origin', 'Pages of this origin may not read here.');
  const reader = await authenticateReader(request, env, config, session);
  if (!reader.ok) return readerRefused(reader);
  const { tenant, ticket } = reader;
  if (ticket?.types) return beyondTicket();
  return { ok: true, ticket, caller: { env, config, tenant, origin: new URL(request.url).origin } };
}

const json = <T extends object>(result: Result<T>, render: (value: T) => unknown): Response | Failure =>
  result.ok ? Response.json(render(result)) : result;

/** Counts and head tell of every execution, so this needs a ticket that is bound to none. */
export async function readSession(
  request: Request,
  env: Env,
  config: Config,
  { session }: { session: string },
): Promise<Response | Failure> {
  const reader = await reading(request, env, config, session);
  if (!reader.ok) return reader;
  if (reader.ticket?.execution !== undefined) return beyondTicket();
  return json(await service.getSession(reader.caller, session), (result) => result.session);
}

export async function readExecutions(
  request: Request,
  env: Env,
  config: Config,
  { session }: { session: string },
): Promise<Response | Failure> {
  const reader = await reading(request, env, config, session);
  if (!reader.ok) return reader;
  const query = listParams(new URL(request.url).searchParams);
  if ('code' in query) return query;
  const listed = await service.listExecutions(reader.caller, session, query, reader.ticket?.execution);
  return json(listed, ({ data, next }) => ({ data, next }));
}

export async function readExecution(
  request: Request,
  env: Env,
  config: Config,
  { session, execution }: { session: string; execution: string },
): Promise<Response | Failure> {
  const reader = await reading(request, env, config, session);
  if (!reader.ok) return reader;
  const bound = reader.ticket?.execution;
  if (bound !== undefined && bound !== execution) return beyondTicket();
  const asked = new URL(request.url).searchParams.get('wait');
  const waitSeconds = asked === null ? 0 : numberParam(asked);
  if (waitSeconds === null || waitSeconds === undefined || waitSeconds > WAIT_SECONDS_MAX) {
    return failure('bad_request', `wait: must be 0 to ${WAIT_SECONDS_MAX} seconds`, { field: 'wait' });
  }
  // STR33: the answer is not held past the end of what the ticket allows.
  const left = reader.ticket ? Math.floor((reader.ticket.until - Date.now()) / 1000) : WAIT_SECONDS_MAX;
  const held = { waitSeconds: Math.max(0, Math.min(waitSeconds, left)) };
  return json(await service.getExecution(reader.caller, session, execution, held), (result) => result.execution);
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
