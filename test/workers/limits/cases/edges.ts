/** Helpers of the cases of the limit-edges tests. */

import { runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Failure, ProblemCode, StartRequest } from '../../../../protocol/index.ts';
import type { Holdfast } from '../../../../src/rpc.ts';
import { type Answer, type Asking, ask, deployment, expectProblem, untouchable } from '../../support/http.ts';
import { newSession, type Run, readLog, start, stubOf } from '../../support/peers.ts';

/**
 * `taken`: the value at the edge is accepted. `refused`: one past it is refused as documented, and
 * nothing has changed.
 */
export interface Edge {
  taken(): Promise<void>;
  refused(): Promise<void>;
}

/** Two tests for each limit. */
export function tryEdges(edges: Record<string, Edge>): void {
  afterEach(() => void vi.useRealTimers());
  describe.each(Object.entries(edges))('%s', (name, { taken, refused }) => {
    test(`[LIM] ${name}: its edge is taken`, taken);
    test(`[LIM] ${name}: one past it is refused`, refused);
  });
}

/** The entrypoint as a caller without types has it. */
export type Untyped = Record<string, (...args: unknown[]) => Promise<{ ok: boolean } & Record<string, unknown>>>;
export const rpc = exports.Holdfast({ props: { tenant: 'acme' } }) as unknown as Untyped & Pick<Holdfast, never>;

/** Requests to a deployment whose objects fail the test when they are touched. */
export async function refusedByForm(method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const { touched, ...objects } = untouchable();
  const answer = await ask(method, path, { ...asking, env: deployment(objects) });
  expect(touched).toEqual([]);
  return answer;
}

/** Text of exactly this many bytes of UTF-8, mostly of three-byte characters. */
export const textOfBytes = (bytes: number): string => '漢'.repeat(Math.floor(bytes / 3)) + 'x'.repeat(bytes % 3);

/** Text of exactly this many UTF-16 units, mostly of characters with two units and four bytes. */
export const textOfChars = (chars: number): string => '🦀'.repeat(Math.floor(chars / 2)) + 'x'.repeat(chars % 2);

export const executionsOf = (session: string): string => `/v1/sessions/${session}/executions`;

/**
 * A field of a start request, over HTTP and over RPC: `make(edge)` is accepted and stored,
 * `make(edge + 1)` is answered 400 with the name of the field.
 */
export function startField(field: string, edge: number, make: (size: number) => Partial<StartRequest>): Edge {
  return startEdge(field, make(edge), make(edge + 1));
}

export function startEdge(field: string, good: Partial<StartRequest>, bad: Partial<StartRequest>): Edge {
  return {
    async taken() {
      const body = { command: ['job'], ...good };
      const { env: _env, stdin: _stdin, callback: _callback, ...kept } = good;
      const answer = await ask('POST', executionsOf(newSession()), { body });
      expect(answer.status, answer.text.slice(0, 300)).toBe(201);
      expect(answer.body.execution).toMatchObject(kept);
      expect(await rpc.startExecution?.(newSession(), body)).toMatchObject({ ok: true, execution: kept });
    },
    async refused() {
      const body = { command: ['job'], ...bad };
      const problem = expectProblem(await refusedByForm('POST', executionsOf('s'), { body }), 'bad_request');
      expect(problem.field).toBe(field);
      const session = newSession();
      expectRefused(await rpc.startExecution?.(session, body), 'bad_request', field);
      expect(await rpc.getSession?.(session)).toMatchObject({ code: 'session_not_found' });
    },
  };
}

export function expectRefused(result: unknown, code: ProblemCode, field?: string): void {
  expect(result).toMatchObject({
    ok: false,
    code,
    ...(field === undefined ? {} : { facts: { field } }),
  } satisfies Partial<Failure>);
}

/** Every row that a request about this session could have changed. */
export const rowsOf = (session: string): Promise<unknown> =>
  runInDurableObject(stubOf(session), (_, { storage }) =>
    ['executions', 'log', 'commands'].map((table) => storage.sql.exec(`SELECT * FROM ${table}`).toArray()),
  );

/** Runs an action that must not change the session. */
export async function unchanged(session: string, refused: () => Promise<void>): Promise<void> {
  const before = await rowsOf(session);
  await refused();
  expect(await rowsOf(session)).toEqual(before);
}

/** A session with this many executions, all inactive. All but the first are copied rows. */
export async function sessionOf(count: number): Promise<string> {
  const { session } = await start(newSession(), { id: 'e1' });
  expect((await ask('POST', `${executionsOf(session)}/e1/fail`, { body: { code: 'x', message: 'x' } })).status).toBe(200);
  await runInDurableObject(stubOf(session), (_, { storage: { sql } }) => {
    const columns = sql
      .exec<{ name: string }>("SELECT name FROM pragma_table_info('executions')")
      .toArray()
      .map(({ name }) => name)
      .filter((name) => name !== 'ordinal' && name !== 'id');
    sql.exec(
      `WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
       INSERT INTO executions (id, ${columns}) SELECT 'e' || n, ${columns} FROM numbers, executions WHERE id = 'e1' AND n <= ?`,
      count,
      count,
    );
  });
  return session;
}

export const typesIn = async ({ session }: Pick<Run, 'session'>): Promise<string[]> =>
  (await readLog(session)).map(({ type }) => type);
