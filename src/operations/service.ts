/**
 * The operations of a tenant, for HTTP and RPC alike: validate, call the session, add tokens, which
 * only the Worker can sign. Inputs are `unknown`, because RPC callers are trusted no more than HTTP
 * callers.
 */

import type * as z from 'zod';
import {
  type Author,
  CALLBACK_EVENTS,
  type CallbackEvent,
  DEFAULT_POOL,
  type Execution,
  type Failure,
  type IngestAccess,
  isId,
  isTerminal,
  LIST_LIMIT_DEFAULT,
  type LoggedEvent,
  newExecutionId,
  READ_LIMIT_MAX,
  type RecordedLauncher,
  type Result,
  resolvePolicy,
  type SessionEntry,
  type SessionSummary,
  type TerminalSize,
  TICKET_TTL_SECONDS_DEFAULT,
  WAIT_MS_DEFAULT,
} from '../../protocol/index.ts';
import { checkCallback } from '../callbacks/admission.ts';
import { normaliseAnswer } from '../contract/answer.ts';
import { badInput, failure } from '../contract/failure.ts';
import { normaliseInput } from '../contract/input.ts';
import {
  answerSchema,
  failSchema,
  inputSchema,
  interruptSchema,
  listSchema,
  readSchema,
  type StartBody,
  startSchema,
  terminalSchema,
  ticketSchema,
  waitSchema,
} from '../contract/schemas.ts';
import { checkTerminal } from '../contract/terminal.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import { startText } from '../core/start-digest.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { sha256Hex } from '../platform/runner-keys.ts';
import { ingestTtlSeconds, signIngestToken, signTicket } from '../platform/tokens.ts';
import { ingestUrl } from '../platform/urls.ts';
import { callDirectory, callSession } from '../session/call-object.ts';
import type { NormalStart, SessionCalls } from '../session/contract.ts';
import { checkInputForm } from './bound-input.ts';
import { decodeOrdinalCursor, decodeSessionCursor, encodeOrdinalCursor, encodeSessionCursor } from './cursors.ts';
import { checkPool, withPlace } from './pools.ts';
import { waitForEnd } from './wait-for-end.ts';

export interface Caller {
  env: Env;
  config: Config;
  tenant: string;
  /** Who makes the change, for the log. */
  author: Author;
  /**
   * The origin of the request, which wrappers dial unless HOLDFAST_PUBLIC_URL is set; null for RPC.
   */
  origin: string | null;
}

export type StartAnswer = Result<{ execution: Execution; ingest: IngestAccess; created: boolean }>;

function parse<S extends z.ZodType>(schema: S, input: unknown): { ok: true; value: z.infer<S> } | Failure {
  const malformed = checkInputForm(input);
  if (malformed) return malformed;
  const parsed = schema.safeParse(input);
  return parsed.success ? { ok: true, value: parsed.data } : badInput(parsed.error);
}

/**
 * Ids come from paths and from other Workers. An invalid session name would address a stray object.
 */
function checkIds(session: unknown, execution?: unknown): Failure | null {
  if (!isId(session)) return failure('bad_request', 'session: is not a valid id', { field: 'session' });
  if (execution !== undefined && !isId(execution))
    return failure('bad_request', 'execution: is not a valid id', { field: 'execution' });
  return null;
}

export async function startExecution(
  caller: Caller,
  session: string,
  input: unknown,
  idempotencyKey?: string,
): Promise<StartAnswer> {
  const { env, config, tenant } = caller;
  const bad = checkIds(session);
  if (bad) return bad;
  const parsed = parse(startSchema, input);
  if (!parsed.ok) return parsed;
  if (idempotencyKey !== undefined && parsed.value.id !== undefined && parsed.value.id !== idempotencyKey) {
    return failure('bad_request', 'Idempotency-Key and id differ: the key is the execution id', { field: 'id' });
  }
  if (idempotencyKey !== undefined && !isId(idempotencyKey)) {
    return failure('bad_request', 'Idempotency-Key: is not a valid id', { field: 'idempotency-key' });
  }
  const id = parsed.value.id ?? idempotencyKey;
  const normal = await normalise(caller, { ...parsed.value, id });
  if (!normal.ok) return normal;
  const { request, refusal } = normal;
  // A generated id cannot name an earlier execution.
  if (refusal && id === undefined) return refusal;
  const started = await callSession(env, tenant, session, (stub) => stub.startExecution(request, refusal));
  if (!started.ok) return started;
  const { execution, created } = started;
  const claims = { tenant, session, execution: execution.id };
  const token = await signIngestToken(config.signingKeys, claims, ingestTtlSeconds(execution.policy), Date.now());
  return { ok: true, created, execution, ingest: { url: ingestUrl(request.origin, session, execution.id), token } };
}

/**
 * `refusal`: why this deployment, as configured now, starts nothing new for the request. An
 * execution that exists is returned all the same (LIF28).
 */
async function normalise(
  { env, config, tenant, origin }: Caller,
  body: StartBody,
): Promise<{ ok: true; request: NormalStart; refusal: Failure | null } | Failure> {
  const clash = checkTerminal(body);
  if (clash) return clash;
  const given = withoutUndefined(body.policy ?? {});
  const policy = resolvePolicy(given);
  if (!policy.ok) return failure('bad_request', policy.message, { field: `policy.${policy.key}` });
  const launcher = body.launcher ?? config.launcher;
  const terms = poolTerms(body, launcher);
  if ('code' in terms) return terms;
  const refusal =
    checkLauncher(config, body, launcher) ??
    (terms.pool === null ? null : await checkPool({ env, tenant }, terms.pool)) ??
    (body.callback ? checkCallback(env, config, tenant, body.callback.url) : null);
  const where = config.publicUrl ?? origin;
  if (where === null)
    return failure('not_configured', 'HOLDFAST_PUBLIC_URL is not set, so wrappers have no address to connect to. Set it.');
  const work = {
    command: body.command,
    cwd: body.cwd ?? null,
    env: body.env ?? null,
    stdin: body.stdin ?? null,
    // TTY5: whatever the start says of its stdin.
    openStdin: body.terminal !== undefined || (body.openStdin ?? false),
    format: body.format ?? 'text',
    launcher,
    labels: body.labels ?? {},
    callbackUrl: body.callback?.url ?? null,
  };
  const names = [...new Set(body.secretNames)].sort();
  const secretNames = names.length === 0 ? null : names;
  const { merge = false, output = 'text', terminal = null, maxActive = 1, continues = null } = body;
  const callbackEvents = wantedOf(body.callback?.events);
  const later = { secretNames, callbackEvents, merge, output, terminal, maxActive, continues };
  return {
    ok: true,
    refusal,
    request: {
      ...work,
      policy: policy.policy,
      id: body.id ?? newExecutionId(),
      digest: await sha256Hex(startText(work, given, { ...later, ...givenTerms(terms) })),
      // LIF28: where `runner` was the default launcher, another one has to be the default now.
      digestOfRunner:
        body.launcher === undefined ? await sha256Hex(startText({ ...work, launcher: 'runner' }, given, later)) : null,
      secretNames,
      callbackEvents,
      merge,
      output,
      terminal,
      maxActive,
      continues,
      ...terms,
      onBusy: body.onBusy ?? 'reject',
      traceparent: body.traceparent ?? null,
      origin: where,
    },
  };
}

/** Each once and in one order, so that two spellings are one request. Null: of the verdict alone. */
function wantedOf(events: readonly CallbackEvent[] = ['settled']): CallbackEvent[] | null {
  const wanted = CALLBACK_EVENTS.filter((event) => events.includes(event));
  return wanted.length === 1 && wanted[0] === 'settled' ? null : wanted;
}

type PoolTerms = Pick<ExecutionRecord, 'pool' | 'requires' | 'priority' | 'concurrency' | 'waitMs'>;

/** What only a pool knows has no meaning for another launcher, so it is refused there. */
function poolTerms({ pool, requires, priority, concurrency, waitMs }: StartBody, launcher: RecordedLauncher): PoolTerms | Failure {
  const given = { pool, requires, priority, concurrency, waitMs };
  if (launcher !== 'pool') {
    const [field] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
    if (field !== undefined) return failure('bad_request', `${field}: is for the launcher pool only`, { field });
    return { pool: null, requires: null, priority: null, concurrency: null, waitMs: null };
  }
  return {
    pool: pool ?? DEFAULT_POOL,
    requires: requires === undefined || Object.keys(requires).length === 0 ? null : requires,
    priority: priority ?? 0,
    concurrency: concurrency ?? null,
    waitMs: waitMs ?? WAIT_MS_DEFAULT,
  };
}

/** For the digest, in which a launcher without a pool has none of them. */
const givenTerms = (terms: PoolTerms): Partial<PoolTerms> => (terms.pool === null ? {} : terms);

function checkLauncher({ containers }: Config, body: StartBody, launcher: RecordedLauncher): Failure | null {
  const { maxActive = 1 } = body;
  if (launcher === 'runner') {
    const message =
      body.launcher === undefined
        ? 'launcher: the default of this deployment, runner (HOLDFAST_LAUNCHER), was removed; name the launcher pool, or set HOLDFAST_LAUNCHER to pool (docs/runners.md)'
        : 'launcher: runner was removed; use pool, whose runners dial out (docs/runners.md)';
    return failure('bad_request', message, { field: 'launcher' });
  }
  if (launcher === 'container' && maxActive > 1) {
    const message = 'maxActive: a container runs one execution at a time; leave maxActive out or use another launcher';
    return failure('bad_request', message, { field: 'maxActive' });
  }
  if (launcher !== 'container' || containers) return null;
  return failure('bad_request', `launcher: ${launcher} is not configured in this deployment`, { field: 'launcher' });
}

function withoutUndefined<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

export async function getExecution(
  { env, tenant }: Caller,
  session: string,
  execution: string,
  options: unknown = {},
): Promise<Result<{ execution: Execution }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(waitSchema, options);
  if (!parsed.ok) return parsed;
  const { waitSeconds = 0 } = parsed.value;
  const read = async () => {
    const found = await callSession(env, tenant, session, (stub) => stub.getExecution(execution));
    if (!found.ok || !found.execution.waiting) return found;
    const waiting = await withPlace({ env, tenant }, session, execution, found.execution.waiting);
    return { ...found, execution: { ...found.execution, waiting } };
  };
  const first = await read();
  if (!first.ok || waitSeconds === 0 || isTerminal(first.execution.status)) return first;
  await waitForEnd(env, tenant, session, execution, waitSeconds * 1000);
  return read();
}

/** `only`: a reader that may see a single execution gets a list of at most that one. */
export async function listExecutions(
  { env, tenant }: Caller,
  session: string,
  query: unknown,
  only?: string,
): Promise<Result<{ data: Execution[]; next: string | null }>> {
  const bad = checkIds(session);
  if (bad) return bad;
  const parsed = parse(listSchema, query);
  if (!parsed.ok) return parsed;
  const { status, limit = LIST_LIMIT_DEFAULT, cursor } = parsed.value;
  const before = cursor === undefined ? undefined : decodeOrdinalCursor(cursor);
  if (before === null) return failure('bad_request', 'cursor: is not a cursor of this list', { field: 'cursor' });
  const listed = await callSession(env, tenant, session, (stub) => stub.listExecutions({ status, limit, before, only }));
  return listed.ok ? { ok: true, data: listed.data, next: listed.next === null ? null : encodeOrdinalCursor(listed.next) } : listed;
}

/**
 * The tenant's sessions, most recently changed first. The list comes from the directory, which is
 * behind the sessions by moments at most, unless it could not be reached.
 */
export async function listSessions(
  { env, tenant }: Caller,
  query: unknown,
): Promise<Result<{ data: SessionEntry[]; next: string | null }>> {
  const parsed = parse(listSchema, query);
  if (!parsed.ok) return parsed;
  const { status, limit = LIST_LIMIT_DEFAULT, cursor } = parsed.value;
  const after = cursor === undefined ? undefined : decodeSessionCursor(cursor);
  if (after === null) return failure('bad_request', 'cursor: is not a cursor of this list', { field: 'cursor' });
  const page = await callDirectory(env, tenant, (stub) => stub.list({ status, limit, after }));
  if ('code' in page) return page;
  return { ok: true, data: page.data, next: page.next === null ? null : encodeSessionCursor(page.next) };
}

/** A second call changes nothing but answers differently: there is no session to delete. */
export async function deleteSession({ env, tenant }: Caller, session: string): Promise<Result<object>> {
  return checkIds(session) ?? callSession(env, tenant, session, (stub) => stub.deleteSession());
}

export async function interruptExecution(
  { env, tenant }: Caller,
  session: string,
  execution: string,
  input: unknown,
): Promise<Result<{ execution: Execution; settled: boolean; accepted: boolean }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(interruptSchema, input);
  if (!parsed.ok) return parsed;
  const options = { reason: parsed.value.reason ?? '', force: parsed.value.force ?? false };
  return callSession(env, tenant, session, (stub) => stub.interruptExecution(execution, options));
}

export async function failExecution(
  { env, tenant }: Caller,
  session: string,
  execution: string,
  input: unknown,
): Promise<Result<{ settled: boolean; execution: Execution }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(failSchema, input);
  if (!parsed.ok) return parsed;
  return callSession(env, tenant, session, (stub) => stub.failExecution(execution, parsed.value));
}

export async function sendInput(
  { env, tenant, author }: Caller,
  session: string,
  execution: string,
  input: unknown,
): Promise<Result<{ commandId: number }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(inputSchema, input);
  if (!parsed.ok) return parsed;
  const normal = await normaliseInput(parsed.value, author);
  if (!normal.ok) return normal;
  const accepted = normal.input;
  const { inputId, text } = accepted;
  const plain = text !== null && inputId === null && !accepted.eof && !accepted.secret;
  const call = (stub: SessionCalls) => (plain ? stub.sendInput(execution, text, accepted) : stub.acceptInput(execution, accepted));
  return callSession(env, tenant, session, call, { idempotent: inputId !== null });
}

export async function answerQuestion(
  { env, tenant, author }: Caller,
  session: string,
  execution: string,
  input: unknown,
  idempotencyKey?: string,
): Promise<Result<{ commandId: number }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(answerSchema, input);
  if (!parsed.ok) return parsed;
  if (idempotencyKey !== undefined && !isId(idempotencyKey)) {
    return failure('bad_request', 'Idempotency-Key: is not a valid id', { field: 'idempotency-key' });
  }
  const normal = normaliseAnswer(parsed.value, author, idempotencyKey);
  if (!normal.ok) return normal;
  const { answer } = normal;
  return callSession(env, tenant, session, (stub) => stub.answerQuestion(execution, answer), {
    idempotent: answer.answerId !== null,
  });
}

export async function resizeTerminal(
  { env, tenant, author }: Caller,
  session: string,
  execution: string,
  input: unknown,
): Promise<Result<{ terminal: TerminalSize; changed: boolean }>> {
  const bad = checkIds(session, execution);
  if (bad) return bad;
  const parsed = parse(terminalSchema, input);
  if (!parsed.ok) return parsed;
  return callSession(env, tenant, session, (stub) => stub.resizeTerminal(execution, parsed.value, author));
}

export async function getSession({ env, tenant }: Caller, session: string): Promise<Result<{ session: SessionSummary }>> {
  return checkIds(session) ?? callSession(env, tenant, session, (stub) => stub.getSession());
}

export async function readEvents(
  { env, tenant }: Caller,
  session: string,
  query: unknown,
): Promise<Result<{ events: LoggedEvent[]; next: number; head: number; generation: string }>> {
  const bad = checkIds(session);
  if (bad) return bad;
  const parsed = parse(readSchema, query);
  if (!parsed.ok) return parsed;
  const { after = 0, limit = READ_LIMIT_MAX, generation } = parsed.value;
  return callSession(env, tenant, session, (stub) => stub.readEvents({ after, limit, generation }));
}

/** Needs no session: a ticket says what may be read, not that it exists. */
export async function createTicket(
  { config, tenant }: Caller,
  session: string,
  input: unknown,
): Promise<Result<{ ticket: string; expiresAt: number; until?: number }>> {
  const bad = checkIds(session);
  if (bad) return bad;
  const parsed = parse(ticketSchema, input);
  if (!parsed.ok) return parsed;
  const { execution, types, can, ttlSeconds = TICKET_TTL_SECONDS_DEFAULT, untilSeconds } = parsed.value;
  if (untilSeconds !== undefined && untilSeconds < ttlSeconds) {
    return failure('bad_request', 'untilSeconds: must not be below ttlSeconds', { field: 'untilSeconds' });
  }
  const now = Date.now();
  const ticket = await signTicket(config.signingKeys, { tenant, session, execution, types, can }, ttlSeconds, now, untilSeconds);
  const after = (seconds: number): number => (Math.floor(now / 1000) + seconds) * 1000;
  const until = untilSeconds === undefined ? {} : { until: after(untilSeconds) };
  return { ok: true, ticket, expiresAt: after(ttlSeconds), ...until };
}
