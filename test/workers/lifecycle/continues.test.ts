/**
 * A start that continues an earlier execution of its session (LIF41). Method: the real object
 * through the HTTP API and over RPC.
 */

import { describe, expect, test } from 'vitest';
import { ask, expectProblem } from '../support/http.ts';
import { exit, get, newSession, readLog, start, WrapperPeer } from '../support/peers.ts';

const executionsOf = (session: string): string => `/v1/sessions/${session}/executions`;
const tryStart = (session: string, body: object) => ask('POST', executionsOf(session), { body: { command: ['job'], ...body } });

describe('[LIF41] continues', () => {
  test('it is in the view, in the list and in the first event', async () => {
    const first = await start(newSession(), { id: 'e1' });
    const { session } = first;
    expect(first.execution).not.toHaveProperty('continues');
    const next = await start(session, { id: 'e2', continues: 'e1', maxActive: 2 });
    expect(next.execution).toMatchObject({ status: 'pending', continues: 'e1' });
    expect(await get(next)).toMatchObject({ continues: 'e1' });
    const listed = await ask('GET', executionsOf(session));
    expect(listed.body.data).toMatchObject([{ id: 'e2', continues: 'e1' }, { id: 'e1' }]);
    const pending = (await readLog(session)).filter(({ type }) => type === 'execution_pending');
    expect(pending.map(({ data }) => data)).toEqual([{ launcher: 'none' }, { launcher: 'none', continues: 'e1' }]);
  });

  test('a queued one says so when it is queued, and again when it begins', async () => {
    const first = await start(newSession(), { id: 'e1' });
    const { session } = first;
    await start(session, { id: 'e2', continues: 'e1', onBusy: 'queue' });
    const peer = await WrapperPeer.welcomed(first);
    await peer.deliver(1, [exit(0)]);
    const own = (await readLog(session)).filter(({ execution }) => execution === 'e2');
    expect(own.map(({ type, data }) => [type, data.continues])).toEqual([
      ['execution_queued', 'e1'],
      ['execution_pending', 'e1'],
    ]);
  });

  test('an execution that the session does not have is refused, and no session is created', async () => {
    const session = newSession();
    const refused = await tryStart(session, { id: 'e2', continues: 'e1' });
    expectProblem(refused, 'execution_not_found');
    expect(refused.body).toMatchObject({ execution: 'e1', field: 'continues' });
    expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');

    const other = await start(newSession(), { id: 'here' });
    expectProblem(await tryStart(session, { id: 'e2', continues: other.execution.id }), 'execution_not_found');
    expectProblem(await tryStart(other.session, { id: 'e2', continues: 'e2' }), 'execution_not_found');
    expect((await readLog(other.session)).every(({ execution }) => execution === 'here')).toBe(true);
  });

  test('what is no id is a bad request that names the field', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    for (const continues of ['', 'a/b', 7, null, 'x'.repeat(129)]) {
      const refused = await tryStart(session, { id: 'e2', continues });
      expectProblem(refused, 'bad_request');
      expect(refused.body).toMatchObject({ field: 'continues' });
    }
  });

  test('[LIF28] it is a term of the start, and a repeat finds the execution', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    const body = { id: 'e2', continues: 'e1', maxActive: 2 };
    expect((await tryStart(session, body)).status).toBe(201);
    expect((await tryStart(session, body)).status).toBe(200);
    expectProblem(await tryStart(session, { id: 'e2', maxActive: 2 }), 'execution_id_conflict');
    expectProblem(await tryStart(session, { ...body, continues: 'e0' }), 'execution_id_conflict');
  });

  test('several may continue the same one', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    for (const id of ['e2', 'e3']) {
      expect((await tryStart(session, { id, continues: 'e1', maxActive: 3 })).status).toBe(201);
    }
  });
});
