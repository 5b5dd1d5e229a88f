/**
 * The counterpart of route-matrix.test.ts for other Workers: every method of the entrypoint
 * times every tenant that a binding may name. The methods are those of the class, so that a new one
 * without a row fails the first test. rpc.test.ts covers the result of each method.
 */

import { createExecutionContext } from 'cloudflare:test';
import type { WorkerEntrypoint } from 'cloudflare:workers';
import { beforeAll, describe, expect, test } from 'vitest';
import { FEATURE_ASKING } from '../../../protocol/index.ts';
import type { Env } from '../../../src/platform/env.ts';
import { Holdfast, type HoldfastProps } from '../../../src/rpc.ts';
import { newSession, output, type Run, start, WrapperPeer } from '../support/peers.ts';
import { newKey, RunnerPeer, rowsOf } from '../support/runners.ts';
import { directoryOf, keptOf, objectIds, watched } from './watched.ts';

type Calls = {
  [M in Exclude<keyof Holdfast, keyof WorkerEntrypoint | symbol>]: Holdfast[M] extends (...args: infer A) => infer R
    ? (...args: A) => R
    : never;
};

const MARKER = 'of-acme-alone-7d20';

const calling = (env: Env, props: unknown): Calls =>
  new Holdfast(Object.assign(createExecutionContext(), { props }) as ExecutionContext<HoldfastProps>, env);

interface Row {
  call: (calls: Calls, session: string) => Promise<object>;
  makes?: true;
  needsNoTenant?: true;
  /** With which code another tenant is refused; absent: `session_not_found`. */
  nothing?: 'pool_not_found';
}

/** A pool of acme, with a runner that has left. */
const POOL = 'pool-of-acme';
const RUNNER = 'r_of-acme';

const ROWS: Record<keyof Calls, Row> = {
  startExecution: {
    call: (calls, s) => calls.startExecution(s, { id: 'stolen', command: ['job'], onBusy: 'replace' }),
    makes: true,
  },
  getExecution: { call: (calls, s) => calls.getExecution(s, 'e1') },
  listExecutions: { call: (calls, s) => calls.listExecutions(s) },
  interruptExecution: { call: (calls, s) => calls.interruptExecution(s, 'e1', { force: true }) },
  failExecution: { call: (calls, s) => calls.failExecution(s, 'e1', { code: 'stolen', message: 'x' }) },
  sendInput: { call: (calls, s) => calls.sendInput(s, 'e1', 'x') },
  answerQuestion: { call: (calls, s) => calls.answerQuestion(s, 'e1', { id: 'q1', option: 'allow' }) },
  resizeTerminal: { call: (calls, s) => calls.resizeTerminal(s, 'e1', { cols: 80, rows: 24 }) },
  readEvents: { call: (calls, s) => calls.readEvents(s) },
  createTicket: { call: (calls, s) => calls.createTicket(s), makes: true },
  getSession: { call: (calls, s) => calls.getSession(s) },
  listSessions: { call: (calls) => calls.listSessions(), makes: true },
  deleteSession: { call: (calls, s) => calls.deleteSession(s) },
  listPools: { call: (calls) => calls.listPools(), makes: true },
  getPool: { call: (calls) => calls.getPool(POOL), nothing: 'pool_not_found' },
  drainRunner: { call: (calls) => calls.drainRunner(POOL, RUNNER), nothing: 'pool_not_found' },
  removeRunner: { call: (calls) => calls.removeRunner(POOL, RUNNER), nothing: 'pool_not_found' },
  version: { call: (calls) => calls.version(), needsNoTenant: true },
};
const EVERY = Object.entries(ROWS);

const NO_TENANTS: [what: string, props: unknown][] = [
  ['no props', undefined],
  ['null', null],
  ['text', 'acme'],
  ['no tenant', {}],
  ['a tenant by another name', { Tenant: 'acme', tenantId: 'acme', name: 'acme' }],
  ['an empty tenant', { tenant: '' }],
  ['a space', { tenant: ' ' }],
  ['a space behind', { tenant: 'acme ' }],
  ['a line behind', { tenant: 'acme\n' }],
  ['a NUL behind', { tenant: 'acme\0' }],
  ['a session with it', { tenant: 'acme/s1' }],
  ['a way up', { tenant: '../acme' }],
  ['two dots', { tenant: '..' }],
  ['a star', { tenant: '*' }],
  ['a list', { tenant: ['acme'] }],
  ['an object that says it is one', { tenant: { toString: () => 'acme' } }],
  ['a number', { tenant: 7 }],
  ['true', { tenant: true }],
  ['129 characters', { tenant: 'x'.repeat(129) }],
];

let run: Run;
const everything = async () => ({
  kept: await keptOf(run.session),
  directory: await directoryOf(),
  objects: await objectIds(),
  runners: await rowsOf(POOL, 'runners'),
});

beforeAll(async () => {
  run = await start(newSession(), { id: 'e1', labels: { only: MARKER }, openStdin: true, policy: { silenceTimeoutMs: 600_000 } });
  await (await WrapperPeer.welcomed(run)).deliver(1, [output(`${MARKER}\n`)]);
  const runner = await RunnerPeer.ready({ pool: POOL, key: await newKey(POOL) }, { runnerId: RUNNER, name: MARKER });
  runner.close();
  await scheduler.wait(200);
});

test('has a row for each method there is', () => {
  const methods = Object.getOwnPropertyNames(Holdfast.prototype).filter((name) => name !== 'constructor');
  expect(Object.keys(ROWS).sort()).toEqual(methods.sort());
});

describe('[HTTP2] a binding without a tenant', () => {
  test.each(NO_TENANTS)('%s: every method is unauthorized, and no object is reached', async (_, props) => {
    const before = await everything();
    const { env, reached } = watched();
    for (const [name, { call, needsNoTenant }] of EVERY) {
      const answer = await call(calling(env, props), run.session);
      if (needsNoTenant) expect(answer).toEqual({ protocol: 1, version: expect.any(String) });
      else expect({ name, ...answer }).toMatchObject({ name, ok: false, code: 'unauthorized' });
      expect(JSON.stringify(answer)).not.toContain(MARKER);
    }
    expect(reached).toEqual([]);
    expect(await everything()).toEqual(before);
  });
});

describe('[HTTP11] a binding of another tenant', () => {
  test.each(EVERY)(
    '%s: reaches that tenant’s objects alone, and an existing session is answered as one that never existed',
    async (name, { call, makes, needsNoTenant, nothing = 'session_not_found' }) => {
      // Each method has tenants of its own, which have started nothing.
      for (const tenant of ['ACME', 'acme2', 'acme.', 'acme:s1', 'a'].map((one) => `${one}-${name}`)) {
        const kept = await keptOf(run.session);
        const listed = await directoryOf();
        const { env, reached } = watched();
        const never = newSession();
        const there = await call(calling(env, { tenant }), run.session);
        const nowhere = await call(calling(env, { tenant }), never);
        if (!makes && !needsNoTenant) expect(there).toMatchObject({ ok: false, code: nothing });
        if (!makes) expect(there).toEqual(nowhere);
        expect(JSON.stringify(there)).not.toContain(MARKER);
        expect(reached.filter((name) => name !== tenant && !name.startsWith(`${tenant}/`))).toEqual([]);
        expect(await keptOf(run.session)).toEqual(kept);
        expect(await directoryOf()).toEqual(listed);
      }
    },
  );

  test('the results for the tenant itself, so that the refusals above are for the tenant', async () => {
    const { env, reached } = watched();
    const mayReach = ['acme', `acme/${POOL}`];
    for (const [name, { call, needsNoTenant }] of EVERY) {
      const mine = await start(newSession(), {
        id: 'e1',
        ...(name === 'resizeTerminal' ? { terminal: { cols: 9, rows: 9 } } : {}),
      });
      if (name === 'sendInput') await WrapperPeer.welcomed(mine);
      if (name === 'answerQuestion') {
        const data = { id: 'q1', kind: 'permission', text: '', options: [{ id: 'allow', label: 'Allow' }] };
        const peer = await WrapperPeer.welcomed(mine, { features: [FEATURE_ASKING] });
        await peer.deliver(1, [{ type: 'asking', at: 1, data }]);
      }
      mayReach.push(`acme/${mine.session}`);
      const answer = await call(calling(env, { tenant: 'acme' }), mine.session);
      if (!needsNoTenant) expect({ name, ...answer }).toMatchObject({ name, ok: true });
    }
    expect([...new Set(reached)].filter((name) => !mayReach.includes(name))).toEqual([]);
    expect(reached.length).toBeGreaterThanOrEqual(EVERY.length - 2);
  });
});
