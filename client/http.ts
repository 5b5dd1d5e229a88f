/**
 * A small client for the HTTP API. An answer that is not the wanted one is thrown as a `HoldfastError`, which carries the problem document.
 *
 * What may be repeated is: everything but `sendInput`, whose text would reach the job twice. `start` may, because the execution id is made
 * here before the first attempt, and a start with a known id and the same request answers with the execution that exists.
 */

import {
  type Execution,
  type IngestAccess,
  isTerminal,
  newExecutionId,
  nextStepAfterStatus,
  type ProblemCode,
  retryAfterMs,
  retryDelayMs,
  type SessionSummary,
  type StartRequest,
  type Status,
  WAIT_SECONDS_MAX,
  withinBudget,
} from '../protocol/index.ts';

export interface ClientOptions {
  /** Base URL of the deployment. */
  url: string;
  apiKey: string;
  fetch?: typeof globalThis.fetch;
  /** Total time that one call may spend on attempts and pauses. */
  retryBudgetMs?: number;
  /** One attempt, without the time that a long poll asks the server to wait. */
  attemptTimeoutMs?: number;
  /** Told before each pause, so that a person need not wonder. */
  onRetry?: (error: HoldfastError, delayMs: number) => void;
  random?: () => number;
}

export const CLIENT_DEFAULTS = { retryBudgetMs: 30_000, attemptTimeoutMs: 20_000, retryBaseMs: 250, retryCapMs: 4_000 } as const;

/** `unreachable`: no answer. `timeout`: none in time. `bad_answer`: one that is not the API's, such as a proxy's error page. */
export type ClientErrorCode = ProblemCode | 'unreachable' | 'timeout' | 'bad_answer';

export interface HoldfastErrorFields {
  code: ClientErrorCode;
  message: string;
  retryable: boolean;
  /** 0 when there was no answer. */
  status: number;
  requestId?: string | undefined;
  /** Fields of the problem document that belong to its code: `activeExecutionId`, `earliest`, … */
  facts?: Record<string, unknown>;
  retryAfterMs?: number | null;
  cause?: unknown;
}

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ClientErrorCode;
  readonly retryable: boolean;
  readonly status: number;
  readonly requestId: string | undefined;
  readonly facts: Record<string, unknown>;
  readonly retryAfterMs: number | null;

  constructor({ code, message, retryable, status, requestId, facts = {}, retryAfterMs = null, cause }: HoldfastErrorFields) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.status = status;
    this.requestId = requestId;
    this.facts = facts;
    this.retryAfterMs = retryAfterMs;
  }
}

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
  execution?: Execution | null;
  [field: string]: unknown;
}

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
  createTicket(
    session: string,
    request?: { execution?: string; types?: readonly string[]; ttlSeconds?: number },
    options?: CallOptions,
  ): Promise<Ticket>;
}

export interface ListQuery {
  status?: Status;
  limit?: number;
  cursor?: string;
}

interface Call {
  method: 'GET' | 'POST';
  path: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  repeatable: boolean;
  /** The server was asked to hold its answer for so long. */
  heldMs?: number;
}

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

export function createClient(options: ClientOptions): HoldfastClient {
  const base = options.url.replace(/\/+$/, '').replace(/^ws/, 'http');
  // Throws here, at the call that has the mistake, when it is none.
  new URL(base);
  const send = options.fetch ?? globalThis.fetch;
  const { retryBudgetMs, attemptTimeoutMs, retryBaseMs, retryCapMs } = { ...CLIENT_DEFAULTS, ...defined(options) };
  const random = options.random ?? Math.random;

  async function attempt(call: Call, signal: AbortSignal | undefined): Promise<Answer> {
    const url = new URL(`${base}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const timeout = AbortSignal.timeout(attemptTimeoutMs + (call.heldMs ?? 0));
    try {
      const response = await send(url, {
        method: call.method,
        headers: {
          accept: 'application/json',
          authorization: `Bearer ${options.apiKey}`,
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...call.headers,
        },
        body: call.body === undefined ? null : JSON.stringify(call.body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      return readAnswer(response.status, await response.text(), response.headers);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (signal?.aborted) throw signal.reason;
      const late = timeout.aborted;
      throw new HoldfastError({
        code: late ? 'timeout' : 'unreachable',
        message: late ? `no answer from ${url.origin} in time` : `could not reach ${url.origin}: ${transportMessage(error)}`,
        retryable: true,
        status: 0,
        cause: error,
      });
    }
  }

  async function request(call: Call, signal?: AbortSignal): Promise<Answer> {
    let startedAt = Date.now();
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      try {
        return await attempt(call, signal);
      } catch (error) {
        if (!(error instanceof HoldfastError) || !mayRepeat(error, call)) throw error;
        const now = Date.now();
        // A poll that was held for a minute before it broke has not used up the budget of an outage.
        if (tries === 1 && call.heldMs) startedAt = now;
        const delayMs = retryDelayMs(
          tries,
          { baseMs: retryBaseMs, capMs: retryCapMs, firstImmediate: false, random },
          error.retryAfterMs,
        );
        if (!withinBudget(startedAt, now, delayMs, retryBudgetMs)) throw error;
        options.onRetry?.(error, delayMs);
        await pause(delayMs, signal);
      }
    }
  }

  const executionPath = (session: string, execution: string): string =>
    `/v1/sessions/${encodeURIComponent(session)}/executions/${encodeURIComponent(execution)}`;
  const executionsPath = (session: string): string => `/v1/sessions/${encodeURIComponent(session)}/executions`;

  const client: HoldfastClient = {
    async start(session, startRequest, { signal } = {}) {
      const id = startRequest.id ?? newExecutionId();
      const { status, body } = await request(
        {
          method: 'POST',
          path: executionsPath(session),
          body: { ...startRequest, id },
          headers: { 'idempotency-key': id },
          repeatable: true,
        },
        signal,
      );
      return { created: status === 201, execution: body.execution as Execution, ingest: body.ingest as IngestAccess };
    },

    async get(session, execution, { signal, waitSeconds } = {}) {
      const { body } = await request(
        {
          method: 'GET',
          path: executionPath(session, execution),
          query: { wait: waitSeconds },
          repeatable: true,
          heldMs: (waitSeconds ?? 0) * 1000,
        },
        signal,
      );
      return body as unknown as Execution;
    },

    async wait(session, execution, { signal } = {}) {
      for (;;) {
        const askedAt = Date.now();
        const found = await client.get(session, execution, { waitSeconds: WAIT_SECONDS_MAX, ...(signal ? { signal } : {}) });
        if (isTerminal(found.status)) return found;
        // A server that does not hold its answer must not be asked in a hot loop.
        if (Date.now() - askedAt < 1000) await pause(1000, signal);
      }
    },

    async list(session, { signal, ...query } = {}) {
      const { body } = await request(
        { method: 'GET', path: executionsPath(session), query: { ...query }, repeatable: true },
        signal,
      );
      return pageOf<Execution>(body);
    },

    async sessions({ signal, ...query } = {}) {
      const { body } = await request({ method: 'GET', path: '/v1/sessions', query: { ...query }, repeatable: true }, signal);
      return pageOf<SessionItem>(body);
    },

    async session(session, { signal } = {}) {
      const path = `/v1/sessions/${encodeURIComponent(session)}`;
      return (await request({ method: 'GET', path, repeatable: true }, signal)).body as unknown as SessionSummary;
    },

    async interrupt(session, execution, interruptRequest = {}, { signal } = {}) {
      const path = `${executionPath(session, execution)}/interrupt`;
      const { status, body } = await request({ method: 'POST', path, body: interruptRequest, repeatable: true }, signal);
      return { accepted: status === 202, settled: body.settled === true, execution: body.execution as Execution };
    },

    async fail(session, execution, failRequest, { signal } = {}) {
      const path = `${executionPath(session, execution)}/fail`;
      const { body } = await request({ method: 'POST', path, body: failRequest, repeatable: true }, signal);
      return { settled: body.settled === true };
    },

    async sendInput(session, execution, data, { signal } = {}) {
      const path = `${executionPath(session, execution)}/input`;
      await request({ method: 'POST', path, body: { data }, repeatable: false }, signal);
    },

    async createTicket(session, ticketRequest = {}, { signal } = {}) {
      const path = `/v1/sessions/${encodeURIComponent(session)}/tickets`;
      return (await request({ method: 'POST', path, body: ticketRequest, repeatable: true }, signal)).body as unknown as Ticket;
    },
  };
  return client;
}

function readAnswer(status: number, text: string, headers: Headers): Answer {
  const body = parseObject(text);
  const ok = status >= 200 && status < 300;
  if (ok && (body || text.trim() === '')) return { status, body: body ?? {} };
  const isProblem = !ok && body !== null && typeof body.code === 'string';
  const {
    type: _type,
    title,
    status: _status,
    detail,
    code,
    retryable,
    requestId,
    ...facts
  } = isProblem ? body : ({} as Record<string, unknown>);
  throw new HoldfastError({
    code: isProblem ? (code as ProblemCode) : 'bad_answer',
    message: isProblem
      ? String(detail || title || code)
      : ok
        ? 'the answer is not JSON: is this the URL of a Holdfast deployment?'
        : `HTTP ${status} without a problem document: something between here and the coordinator answered`,
    retryable: isProblem ? retryable === true : !ok && nextStepAfterStatus(status) === 'retry',
    status,
    requestId: typeof requestId === 'string' ? requestId : (headers.get('x-request-id') ?? undefined),
    facts,
    retryAfterMs: retryAfterMs(headers.get('retry-after'), Date.now()),
  });
}

/**
 * Busy sessions (409) are `retryable` for a caller who wants to wait for them; that is not this function's to decide. Input may go out
 * again only after an answer that says that nothing was done with it.
 */
function mayRepeat({ status, retryable }: HoldfastError, { repeatable }: Call): boolean {
  if (!retryable || status === 409) return false;
  return repeatable || status === 429;
}

function pageOf<T>(body: Record<string, unknown>): Page<T> {
  return { data: Array.isArray(body.data) ? (body.data as T[]) : [], next: typeof body.next === 'string' ? body.next : null };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** `fetch` says only "fetch failed"; the cause has the reason. */
function transportMessage(error: unknown): string {
  const cause = error instanceof Error ? (error.cause as { code?: string; message?: string } | undefined) : undefined;
  return cause?.code ?? cause?.message ?? (error instanceof Error ? error.message : String(error));
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
