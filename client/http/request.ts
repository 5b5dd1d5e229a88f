/**
 * One call of the HTTP API: its attempts, their credential, and the pauses between them.
 *
 * Q1  Only repeatable calls are retried, and only within the budget.
 * Q2  A refused credential is replaced once per call, if another can be had. A 401 means that the
 *     server did nothing, so this holds for calls that are not repeatable, too.
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
import { isObject, parseJson } from '../../protocol/json.ts';
import type { Credential } from './credential.ts';
import { HoldfastError } from './error.ts';
import { hedge } from './hedge.ts';

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
  /**
   * How long `wait` keeps trying against `unauthorized` and `not_found` after its first answer
   * (CLS19). Covers a coordinator that restarts with another key or folder.
   */
  refusedBudgetMs?: number;
  /**
   * The budget while the coordinator refuses calls as too frequent, or input because the job has
   * not read what was sent before (429 `rate_limited`, `input_full`). It may be
   * longer than `retryBudgetMs`, because the coordinator is there and says when to retry. Default:
   * `retryBudgetMs`.
   */
  rateLimitBudgetMs?: number;
  /** For one attempt, in addition to the time that a long poll asks the server to wait. */
  attemptTimeoutMs?: number;
  /** Called before each pause, so that a program can show why it waits. */
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
  /**
   * When a retry is refused with this code, an earlier attempt succeeded and its answer was lost.
   */
  doneBefore?: ProblemCode;
  /** For a short request that may run several times at once, and that a user waits for. */
  hedged?: boolean;
  /** Extra milliseconds for the answer: the server holds it on request, or it is large. */
  heldMs?: number;
}

export interface Answer {
  status: number;
  headers: Headers;
  /** The JSON of the answer; null when there was no body. */
  value: unknown;
  /** `value` if it is an object, else an empty object. */
  body: Record<string, unknown>;
}

export type RequestFunction = (call: Call, signal?: AbortSignal) => Promise<Answer>;

export function requester(options: RequestOptions, credential: Credential): RequestFunction {
  const base = options.url.replace(/\/+$/, '').replace(/^ws/, 'http');
  // Throws for an invalid URL here, in the call that has the mistake.
  new URL(base);
  const send = options.fetch ?? globalThis.fetch;
  const { retryBudgetMs, attemptTimeoutMs, retryBaseMs, retryCapMs } = { ...CLIENT_DEFAULTS, ...defined(options) };

  async function attempt(call: Call, bearer: string, signal: AbortSignal | undefined): Promise<Answer> {
    const url = new URL(`${base}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const timeout = AbortSignal.timeout(attemptTimeoutMs + (call.heldMs ?? 0));
    const ends = signal ? AbortSignal.any([signal, timeout]) : timeout;
    const fetchOnce = async (ends: AbortSignal): Promise<Answer> => {
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
        // `follow` would send the body and our headers to any address that the answer names.
        redirect: 'manual',
        signal: ends,
      });
      if (isRedirect(response)) throw redirected(response, url);
      return readAnswer(response.status, await response.text(), response.headers);
    };
    try {
      if (!call.hedged) return await fetchOnce(ends);
      return await hedge(fetchOnce, { signal: ends, isAnswer: (error) => error instanceof HoldfastError });
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
    let failures = 0;
    for (;;) {
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
        // The budget begins with the failure: a long poll may have been held for a minute before
        // it.
        if (failures === 1 && call.heldMs) startedAt = now;
        // Only the coordinator may ask for a longer wait than the cap.
        const asked = error.retryAfterMs;
        const leastMs = asked !== null && error.code === 'bad_answer' ? Math.min(asked, retryCapMs) : asked;
        const asksForLess = error.code === 'rate_limited' || error.code === 'input_full';
        const budgetMs = asksForLess ? (options.rateLimitBudgetMs ?? retryBudgetMs) : retryBudgetMs;
        const budget = { startedAt, attemptBeganAt: Math.max(startedAt, attemptBeganAt), now, budgetMs };
        const curve = { baseMs: retryBaseMs, capMs: retryCapMs, firstImmediate: false, random: options.random };
        const delayMs = delayWithinBudget(budget, retryDelayMs(failures, curve, leastMs), leastMs ?? 0);
        if (delayMs === null) throw error; // Q1
        options.onRetry?.(error, delayMs);
        await pause(delayMs, signal);
      }
    }
  };
}

/**
 * A browser's HTTP cache knows a log by its address alone. It would return old pages after another
 * user signed in, or after a session was deleted and its id used again. Other platforms have no
 * such cache, and some refuse the option.
 */
const inPage = (): boolean => 'document' in globalThis;

/** A browser hides the status and the target of a redirect that it did not follow. */
const isRedirect = ({ type, status }: Response): boolean => type === 'opaqueredirect' || (status >= 300 && status < 400);

/** The message names the target, if it is known, so that the user can set it. */
function redirected({ status, headers }: Response, asked: URL): HoldfastError {
  const location = headers.get('location');
  const target = location !== null && URL.canParse(location, asked.href) ? new URL(location, asked.href).origin : null;
  const to = target === null ? '' : ` to ${target}`;
  return new HoldfastError({
    code: 'bad_answer',
    message: `${asked.origin} answered with a redirect${to}, which is not followed: use the URL of the deployment itself`,
    // A captive portal redirects too, for a while.
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
    // An answer of a proxy says nothing about the coordinator, which the next attempt may reach.
    retryable: retryable !== false,
    status,
    requestId: typeof requestId === 'string' ? requestId : (headers.get('x-request-id') ?? undefined),
    facts,
    retryAfterMs: retryAfterMs(headers.get('retry-after'), Date.now()),
  });
}

/**
 * A busy session (409) is `retryable`, but whether to wait for it is the caller's decision. Input
 * is sent again only when the server certainly did nothing with it.
 */
function mayRepeat({ status, code, retryable }: HoldfastError, { repeatable }: Call): boolean {
  if (!retryable || (status === 409 && code !== 'bad_answer')) return false;
  return repeatable || status === 429 || code === 'no_ticket';
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/**
 * The TypeError of `fetch` says only "fetch failed"; its cause has the reason. A `fetch` option may
 * throw an error with its own message. The command line explains more (cli/explain.ts).
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
