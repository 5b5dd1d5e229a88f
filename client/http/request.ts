/**
 * One call of the HTTP API: the attempts, their credential, and the pauses in between.
 *
 * Q1  Only what may be repeated is repeated, and not past the budget.
 * Q2  A refused credential is replaced once per call, when there is a way to get another. The 401 says that nothing was done, so this holds for
 *     calls that may not be repeated, too.
 */

import {
  delayWithinBudget,
  describeForeignAnswer,
  monotonicNow,
  type ProblemCode,
  readProblem,
  retryAfterMs,
  retryDelayMs,
} from '../../protocol/index.ts';
import type { Credential } from './credential.ts';
import { HoldfastError } from './error.ts';
import { firstAnswer } from './first-answer.ts';

export const CLIENT_DEFAULTS = {
  retryBudgetMs: 30_000,
  refusedBudgetMs: 10_000,
  attemptTimeoutMs: 20_000,
  retryBaseMs: 250,
  retryCapMs: 4_000,
} as const;

export interface RequestOptions {
  /** Base URL of the deployment. */
  url: string;
  fetch?: typeof globalThis.fetch;
  /** Total time that one call may spend on attempts and pauses. */
  retryBudgetMs?: number;
  /** How long `wait` goes on against `unauthorized` and `not_found` once it was answered (CLS19). Covers a restart with another key or folder. */
  refusedBudgetMs?: number;
  /**
   * The same for a call that the coordinator puts off because too many are made (429 `rate_limited`): it says itself when to come again, so a caller who wants to
   * know soon of a coordinator that is not there may wait longer for one that is. `retryBudgetMs` when left out.
   */
  rateLimitBudgetMs?: number;
  /** One attempt, without the time that a long poll asks the server to wait. */
  attemptTimeoutMs?: number;
  /** Told before each pause, so that a person need not wonder. */
  onRetry?: (error: HoldfastError, delayMs: number) => void;
  random?: () => number;
}

export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  repeatable: boolean;
  /** A later attempt that is refused with this says that an earlier one was carried out, and its answer lost. */
  doneBefore?: ProblemCode;
  /** A short question that changes nothing, and that somebody waits for: it is asked again beside the first when no answer comes soon (first-answer). */
  severalAtOnce?: boolean;
  /** Milliseconds that the answer may take longer than usual: the server was asked to hold it, or it is large. */
  heldMs?: number;
}

export interface Answer {
  status: number;
  headers: Headers;
  /** The JSON of the answer; null when there was no body. */
  value: unknown;
  /** The same when it is an object, else an empty one. */
  body: Record<string, unknown>;
}

export type RequestFunction = (call: Call, signal?: AbortSignal) => Promise<Answer>;

export function requester(options: RequestOptions, credential: Credential): RequestFunction {
  const base = options.url.replace(/\/+$/, '').replace(/^ws/, 'http');
  // Throws here, at the call that has the mistake, when it is none.
  new URL(base);
  const send = options.fetch ?? globalThis.fetch;
  const { retryBudgetMs, attemptTimeoutMs, retryBaseMs, retryCapMs } = { ...CLIENT_DEFAULTS, ...defined(options) };
  const random = options.random ?? Math.random;

  async function attempt(call: Call, bearer: string, signal: AbortSignal | undefined): Promise<Answer> {
    const url = new URL(`${base}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const timeout = AbortSignal.timeout(attemptTimeoutMs + (call.heldMs ?? 0));
    const ends = signal ? AbortSignal.any([signal, timeout]) : timeout;
    const ask = async (ends: AbortSignal): Promise<Answer> => {
      const response = await send(url, {
        method: call.method,
        headers: {
          accept: 'application/json',
          authorization: `Bearer ${bearer}`,
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...call.headers,
        },
        body: call.body === undefined ? null : JSON.stringify(call.body),
        ...(inPage() ? { cache: 'no-store' as const } : {}),
        // `follow` would send the body and our own headers to any address that the answer names.
        redirect: 'manual',
        signal: ends,
      });
      if (isRedirect(response)) throw redirected(response, url);
      return readAnswer(response.status, await response.text(), response.headers);
    };
    try {
      if (!call.severalAtOnce) return await ask(ends);
      return await firstAnswer(ask, { signal: ends, isAnswer: (error) => error instanceof HoldfastError });
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

  return async (call, signal) => {
    let startedAt = monotonicNow();
    let replaced = false;
    for (let failures = 0; ; ) {
      signal?.throwIfAborted();
      let bearer: string | null = null;
      const attemptBeganAt = monotonicNow();
      try {
        bearer = await credential.current(signal);
        return await attempt(call, bearer, signal);
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        if (error.code === 'unauthorized' && bearer !== null && !replaced && credential.refused(bearer)) {
          replaced = true; // Q2
          continue;
        }
        if (failures > 0 && error.code === call.doneBefore)
          return { status: error.status, headers: new Headers(), value: null, body: {} };
        failures += 1;
        if (!mayRepeat(error, call)) throw error;
        const now = monotonicNow();
        // A poll that was held for a minute before it broke has not used up the budget of an outage.
        if (failures === 1 && call.heldMs) startedAt = now;
        // Nobody but the coordinator may put a caller off for longer than the curve does.
        const asked = error.retryAfterMs;
        const leastMs = asked !== null && error.code === 'bad_answer' ? Math.min(asked, retryCapMs) : asked;
        const curve = { baseMs: retryBaseMs, capMs: retryCapMs, firstImmediate: false, random };
        const budgetMs = error.code === 'rate_limited' ? (options.rateLimitBudgetMs ?? retryBudgetMs) : retryBudgetMs;
        const budget = { startedAt, attemptBeganAt: Math.max(startedAt, attemptBeganAt), now, budgetMs };
        const delayMs = delayWithinBudget(budget, retryDelayMs(failures, curve, leastMs), leastMs ?? 0);
        if (delayMs === null) throw error; // Q1
        options.onRetry?.(error, delayMs);
        await pause(delayMs, signal);
      }
    }
  };
}

/**
 * A page's HTTP cache knows a log by its address alone: after another user signed in, or a session was deleted and its name used again, it would give
 * the old pages. Elsewhere there is no such cache, and some runtimes refuse the option.
 */
const inPage = (): boolean => 'document' in globalThis;

/** A browser hides the status and the target of a redirect that was not followed. */
const isRedirect = ({ type, status }: Response): boolean => type === 'opaqueredirect' || (status >= 300 && status < 400);

/** Where the target is known it says what to set. */
function redirected({ status, headers }: Response, asked: URL): HoldfastError {
  const location = headers.get('location');
  const target = location !== null && URL.canParse(location, asked.href) ? new URL(location, asked.href).origin : null;
  const to = target === null ? '' : ` to ${target}`;
  return new HoldfastError({
    code: 'bad_answer',
    message: `${asked.origin} answered with a redirect${to}, which is not followed: use the URL of the deployment itself`,
    // A sign-in page in front of the network redirects too, and passes.
    retryable: true,
    status,
  });
}

function readAnswer(status: number, text: string, headers: Headers): Answer {
  const value = parseJson(text);
  const body = isObject(value) ? value : null;
  const ok = status >= 200 && status < 300;
  if (ok && (typeof value === 'object' || text.trim() === '')) return { status, headers, value: value ?? null, body: body ?? {} };
  const problem = ok ? null : readProblem(status, headers.get('content-type'), text);
  const {
    type: _type,
    title,
    status: _status,
    detail,
    code,
    retryable,
    requestId,
    ...facts
  } = problem ?? ({} as Record<string, unknown>);
  throw new HoldfastError({
    code: problem ? (code as ProblemCode) : 'bad_answer',
    message: problem
      ? String(detail || title || code)
      : ok
        ? 'the answer is not JSON: is this the URL of a Holdfast deployment?'
        : describeForeignAnswer(status, headers.get('content-type')),
    // Of what somebody in between answered nothing is known, so the next attempt may reach the coordinator.
    retryable: retryable !== false,
    status,
    requestId: typeof requestId === 'string' ? requestId : (headers.get('x-request-id') ?? undefined),
    facts,
    retryAfterMs: retryAfterMs(headers.get('retry-after'), Date.now()),
  });
}

/**
 * Busy sessions (409) are `retryable` for a caller who wants to wait for them; that is not this function's to decide. Input may go out
 * again only when it is known that nothing was done with it.
 */
function mayRepeat({ status, code, retryable }: HoldfastError, { repeatable }: Call): boolean {
  if (!retryable || (status === 409 && code !== 'bad_answer')) return false;
  return repeatable || status === 429 || code === 'no_ticket';
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `undefined` for what is no JSON, which JSON can not say. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/**
 * `fetch` says only "fetch failed", as a TypeError; the cause has the reason. A fetch that a program gave may fail with a sentence of its own. The command line
 * says more (cli/explain.ts).
 */
function transportMessage(error: unknown): string {
  if (error instanceof Error && !(error instanceof TypeError)) return error.message;
  const cause = error instanceof Error ? (error.cause as { code?: string; message?: string } | undefined) : undefined;
  return cause?.code ?? cause?.message ?? (error instanceof Error ? error.message : String(error));
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
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
