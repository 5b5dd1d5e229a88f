/**
 * A small client for the HTTP API. A failed call throws a `HoldfastError`, which has the problem
 * document.
 *
 * Every call is repeatable but `sendInput` of a string, which would reach the job twice. `start` is
 * repeatable because the client makes the execution id before the first attempt, and a second start
 * with the same id and request returns the execution that exists.
 */

import {
  type Execution,
  type IngestAccess,
  type InputRequest,
  isTerminal,
  monotonicNow,
  newAnswerId,
  newExecutionId,
  newInputId,
  type PoolSummary,
  type PoolView,
  type RunnerKey,
  type SessionSummary,
  type TerminalSize,
  WAIT_SECONDS_MAX,
} from '../../protocol/index.ts';
import type { SessionStreamOptions } from '../stream/options.ts';
import { connectSession } from '../stream/session-stream.ts';
import { credentialOf } from './credential.ts';
import { HoldfastError } from './error.ts';
import { executionHandle } from './execution-handle.ts';
import { eventPageOf, eventsCall } from './read-events.ts';
import { CLIENT_DEFAULTS, pause, type RequestFunction, requester } from './request.ts';
import type { ClientOptions, EventsOptions, HoldfastClient, Page, SessionItem, Ticket, TicketRequest } from './types.ts';

/** A long poll that took longer than this was held by the coordinator, or ended after an outage. */
const HELD_MS = 1000;

/** CLS19: a coordinator with a wrong key or the wrong data sends these too, for a moment. */
const mayPass = (error: unknown): boolean =>
  error instanceof HoldfastError && !error.retryable && (error.status === 401 || (error.status === 404 && !error.facts.deleted));

export function createClient(options: ClientOptions): HoldfastClient {
  const credential = credentialOf(options, options.attemptTimeoutMs ?? CLIENT_DEFAULTS.attemptTimeoutMs);
  const request = requester(options, credential);
  // A stream has its own pauses between attempts, and needs a ticket for each.
  const onceOnly = requester({ ...options, retryBudgetMs: 0, rateLimitBudgetMs: 0 }, credential);
  const { connect, WebSocketImpl, refusedBudgetMs = CLIENT_DEFAULTS.refusedBudgetMs } = options;
  const streamDefaults = { ...(connect ? { connect } : {}), ...(WebSocketImpl ? { WebSocketImpl } : {}) };

  const executionPath = (session: string, execution: string): string =>
    `/v1/sessions/${encodeURIComponent(session)}/executions/${encodeURIComponent(execution)}`;
  const poolPath = (pool: string): string => `/v1/pools/${encodeURIComponent(pool)}`;
  const sessionPath = (session: string): string => `/v1/sessions/${encodeURIComponent(session)}`;
  const executionsPath = (session: string): string => `${sessionPath(session)}/executions`;
  const mintTicket = async (
    by: RequestFunction,
    session: string,
    ticketRequest: TicketRequest,
    signal?: AbortSignal,
  ): Promise<Ticket> => {
    const path = `${sessionPath(session)}/tickets`;
    const call = { method: 'POST', path, body: ticketRequest, repeatable: true, hedged: true } as const;
    return (await by(call, signal)).body as unknown as Ticket;
  };

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
      let known = false;
      let refusedSince: number | null = null;
      for (;;) {
        const askedAt = monotonicNow();
        let found: Execution;
        try {
          found = await client.get(session, execution, { waitSeconds: WAIT_SECONDS_MAX, ...(signal ? { signal } : {}) });
        } catch (error) {
          const now = monotonicNow();
          refusedSince ??= now;
          // A poll that was held, or repeated in an outage, has reached the coordinator before.
          known ||= now - askedAt > HELD_MS;
          if (!known || !mayPass(error) || askedAt - refusedSince > refusedBudgetMs) throw error;
          await pause(1000, signal);
          continue;
        }
        if (isTerminal(found.status)) return found;
        known = true;
        refusedSince = null;
        // No hot loop against a server that does not hold its answer.
        if (monotonicNow() - askedAt < HELD_MS) await pause(1000, signal);
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
      const { body } = await request({ method: 'GET', path: sessionPath(session), repeatable: true }, signal);
      return body as unknown as SessionSummary;
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

    async sendInput(session, execution, input, { signal } = {}) {
      const path = `${executionPath(session, execution)}/input`;
      const body: InputRequest = typeof input === 'string' ? { data: input } : { inputId: newInputId(), ...input };
      await request({ method: 'POST', path, body, repeatable: body.inputId !== undefined }, signal);
    },

    async answer(session, execution, answerRequest, { signal } = {}) {
      const path = `${executionPath(session, execution)}/answer`;
      const body = { answerId: newAnswerId(), ...answerRequest };
      await request({ method: 'POST', path, body, repeatable: true }, signal);
    },

    async resize(session, execution, { cols, rows }, { signal } = {}) {
      const path = `${executionPath(session, execution)}/resize`;
      const { body } = await request({ method: 'POST', path, body: { cols, rows }, repeatable: true }, signal);
      return { terminal: body.terminal as TerminalSize, changed: body.changed === true };
    },

    createTicket: (session, ticketRequest = {}, { signal } = {}) => mintTicket(request, session, ticketRequest, signal),

    async deleteSession(session, { signal } = {}) {
      const path = sessionPath(session);
      await request({ method: 'DELETE', path, repeatable: true, doneBefore: 'session_not_found' }, signal);
    },

    async readEvents(session, readOptions) {
      const { execution, signal } = readOptions;
      const path = execution === undefined ? sessionPath(session) : executionPath(session, execution);
      return eventPageOf(await request(eventsCall(path, readOptions), signal), readOptions);
    },

    async pools({ signal } = {}) {
      const { body } = await request({ method: 'GET', path: '/v1/pools', repeatable: true }, signal);
      return dataOf<PoolSummary>(body);
    },

    async pool(pool, { signal } = {}) {
      const { body } = await request({ method: 'GET', path: poolPath(pool), repeatable: true }, signal);
      return body.pool as PoolView;
    },

    async runnerKeys(pool, { signal } = {}) {
      const { body } = await request({ method: 'GET', path: `${poolPath(pool)}/keys`, repeatable: true }, signal);
      return dataOf<RunnerKey>(body);
    },

    async createRunnerKey(pool, keyRequest, { signal } = {}) {
      // A repeat would make a second key, and the text of the first would be lost.
      const call = { method: 'POST', path: `${poolPath(pool)}/keys`, body: keyRequest, repeatable: false } as const;
      return (await request(call, signal)).body as unknown as RunnerKey & { key: string };
    },

    async revokeRunnerKey(pool, key, { signal } = {}) {
      const path = `${poolPath(pool)}/keys/${encodeURIComponent(key)}`;
      await request({ method: 'DELETE', path, repeatable: true, doneBefore: 'key_not_found' }, signal);
    },

    async drainRunner(pool, runner, { signal } = {}) {
      const path = `${poolPath(pool)}/runners/${encodeURIComponent(runner)}/drain`;
      await request({ method: 'POST', path, body: {}, repeatable: true }, signal);
    },

    async removeRunner(pool, runner, { signal } = {}) {
      const path = `${poolPath(pool)}/runners/${encodeURIComponent(runner)}`;
      await request({ method: 'DELETE', path, repeatable: true, doneBefore: 'runner_not_found' }, signal);
    },

    events: (session, eventsOptions = {}) =>
      connectSession({
        ...streamDefaults,
        ...eventsOptions,
        url: options.url,
        session,
        ...streamCredential(options, eventsOptions, (ticketRequest) => mintTicket(onceOnly, session, ticketRequest)),
      }),

    execution: (session, id) => executionHandle(client, session, id),
  };
  return client;
}

/**
 * The API key as a header if the socket can send one, else a new ticket for each connection. The
 * ticket allows no more than the stream asks for, in case it leaks.
 */
function streamCredential(
  { apiKey, ticket, connect, WebSocketImpl }: ClientOptions,
  { execution, types, ...given }: EventsOptions,
  mint: (request: TicketRequest) => Promise<Ticket>,
): Pick<SessionStreamOptions, 'apiKey' | 'getTicket'> {
  if (ticket !== undefined) return { getTicket: typeof ticket === 'string' ? () => ticket : ticket };
  if (connect ?? WebSocketImpl ?? given.connect ?? given.WebSocketImpl) return { apiKey: apiKey as string };
  const executions = execution === undefined ? [] : [execution].flat();
  const [only] = executions;
  const request: TicketRequest = {
    ...(executions.length === 1 && only !== undefined ? { execution: only } : {}),
    ...(types ? { types } : {}),
  };
  return { getTicket: async () => (await mint(request)).ticket };
}

const dataOf = <T>({ data }: Record<string, unknown>): T[] => (Array.isArray(data) ? (data as T[]) : []);

function pageOf<T>(body: Record<string, unknown>): Page<T> {
  return { data: Array.isArray(body.data) ? (body.data as T[]) : [], next: typeof body.next === 'string' ? body.next : null };
}
