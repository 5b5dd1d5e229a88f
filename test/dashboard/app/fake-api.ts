/**
 * The API as far as the shell asks it, in memory: keys, tickets, sessions, executions, pools. Stands
 * in for `fetch`.
 */

import {
  type Execution,
  isTerminal,
  type OpenStatus,
  type PoolView,
  type RunnerView,
  type Status,
} from '../../../protocol/index.ts';

const POLICY = {
  pendingTimeoutMs: 300_000,
  disconnectGraceMs: 60_000,
  silenceTimeoutMs: 60_000,
  heartbeatMs: 15_000,
  interruptGraceMs: 30_000,
  maxRuntimeMs: 21_600_000,
};

export function made(session: string, id: string, status: Status, createdAt: number, fields: Partial<Execution> = {}): Execution {
  return {
    ...{ id, session, status, createdAt, command: ['make', 'all'], format: 'text', launcher: 'container', labels: {} },
    ...{ policy: POLICY, epoch: 1, firstOffset: 1, ...fields },
  };
}

export const madeRunner = (name: string, fields: Partial<RunnerView> = {}): RunnerView => ({
  ...{ id: `r_${name}`, name, labels: {}, slots: 1, busy: 0, version: '0.2.0', state: 'connected', runs: [] },
  ...{ connectedAt: Date.now() - 60_000, lastHeardAt: Date.now() - 1_000, ...fields },
});

export const madePool = (id: string, runners: RunnerView[] = [], fields: Partial<PoolView> = {}): PoolView => ({
  ...{ id, createdAt: 1, runners, queue: [], waiting: 0 },
  slots: runners.reduce((sum, { slots, state }) => sum + (state === 'lost' ? 0 : slots), 0),
  busy: runners.reduce((sum, { busy }) => sum + busy, 0),
  ...fields,
});

interface Refusal {
  status: number;
  code: string;
  [fact: string]: unknown;
}

export class FakeApi {
  key = 'hf_good';
  ticket: { text: string; session: string; state: 'good' | 'expired' | 'invalid' } | null = null;
  /** Newest last. */
  sessions = new Map<string, Execution[]>();
  /** Answered to everything, when set. `unreachable` is a network without the deployment. */
  trouble: Refusal | 'unreachable' | null = null;
  pools = new Map<string, PoolView>();
  /** Answered to the read of one pool, when set. */
  poolTrouble: Refusal | null = null;
  readonly asked: string[] = [];

  start(execution: Execution): void {
    this.sessions.set(execution.session, [...(this.sessions.get(execution.session) ?? []), execution]);
  }

  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(String(input));
    const method = init?.method ?? 'GET';
    this.asked.push(`${method} ${url.pathname}${url.search}`);
    if (this.trouble === 'unreachable') throw new TypeError('Failed to fetch');
    if (this.trouble) return problem(this.trouble);
    const bearer = new Headers(init?.headers).get('authorization')?.replace('Bearer ', '');
    const [, , , session, part] = url.pathname.split('/');
    const refusal = this.#refusal(bearer, session);
    if (refusal) return problem(refusal);
    if (url.pathname.startsWith('/v1/pools')) return this.#poolAnswer(session, method, url.pathname.split('/')[5]);
    if (session === undefined) return this.#page(url, this.#sessionItems());
    const executions = this.sessions.get(session);
    if (!executions) return problem({ status: 404, code: 'session_not_found' });
    if (method === 'DELETE') {
      this.sessions.delete(session);
      return new Response(null, { status: 204 });
    }
    if (part === 'executions') {
      return this.#page(
        url,
        executions.toReversed().map((execution) => ({ at: execution.createdAt, status: execution.status, item: execution })),
      );
    }
    return Response.json(this.#summary(session, executions));
  };

  #poolAnswer(id: string | undefined, method: string, runner: string | undefined): Response {
    if (id === undefined) {
      const data = [...this.pools.values()].map(({ queue: _queue, runners, ...summary }) => ({
        ...summary,
        runners: runners.filter(({ state }) => state !== 'lost').length,
      }));
      return Response.json({ data });
    }
    const pool = this.pools.get(id);
    if (this.poolTrouble) return problem(this.poolTrouble);
    if (!pool) return problem({ status: 404, code: 'pool_not_found' });
    if (method === 'DELETE') {
      const found = pool.runners.find(({ id: one }) => one === runner);
      if (!found) return problem({ status: 404, code: 'runner_not_found' });
      if (found.state === 'connected') return problem({ status: 409, code: 'runner_connected' });
      this.pools.set(id, { ...pool, runners: pool.runners.filter((one) => one !== found) });
      return new Response(null, { status: 204 });
    }
    return Response.json({ pool });
  }

  #refusal(bearer: string | undefined, session: string | undefined): Refusal | null {
    if (bearer === this.key) return null;
    if (this.ticket && bearer === this.ticket.text) {
      if (this.ticket.state !== 'good') return { status: 401, code: 'unauthorized', reason: `ticket_${this.ticket.state}` };
      return this.ticket.session === session ? null : { status: 401, code: 'unauthorized', reason: 'ticket_scope' };
    }
    return { status: 401, code: 'unauthorized' };
  }

  #sessionItems() {
    return [...this.sessions]
      .map(([id, executions]) => {
        const execution = executions.at(-1) as Execution;
        return {
          at: execution.createdAt,
          status: execution.status,
          item: { id, lastActivityAt: execution.createdAt, execution, open: openOf(executions) },
        };
      })
      .sort((a, b) => b.at - a.at);
  }

  #page(url: URL, all: { at: number; status: Status; item: unknown }[]): Response {
    const limit = Number(url.searchParams.get('limit') ?? 50);
    const status = url.searchParams.get('status');
    const cursor = Number(url.searchParams.get('cursor') ?? Number.POSITIVE_INFINITY);
    const rows = all.filter((row) => row.at < cursor && (status === null || row.status === status));
    const data = rows.slice(0, limit);
    return Response.json({ data: data.map(({ item }) => item), next: rows.length > limit ? String(data.at(-1)?.at) : null });
  }

  #summary(id: string, executions: Execution[]) {
    const counts: Record<Status, number> = { queued: 0, pending: 0, running: 0, completed: 0, failed: 0, interrupted: 0 };
    for (const { status } of executions) counts[status] += 1;
    const createdAt = executions[0]?.createdAt ?? 0;
    return { id, createdAt, lastActivityAt: createdAt, earliest: 1, head: 12, active: null, counts };
  }
}

function openOf(executions: readonly Execution[]): Record<OpenStatus, number> {
  const open: Record<OpenStatus, number> = { queued: 0, pending: 0, running: 0 };
  for (const { status } of executions) if (!isTerminal(status)) open[status] += 1;
  return open;
}

function problem({ status, ...fields }: Refusal): Response {
  const body = {
    type: 'about:blank',
    title: fields.code,
    status,
    detail: fields.code,
    retryable: false,
    requestId: 'req_1',
    ...fields,
  };
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json' } });
}
