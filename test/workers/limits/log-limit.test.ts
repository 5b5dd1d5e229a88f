/**
 * Goal: what a job may store is bounded for every sender, and a session accepts a start only while
 * there is room for its log (LIF34, LIF35, HTTP32).
 * Method: a wrapper that ignores the limit, at its edge and one byte past it; and a session that
 * believes its database is large.
 */

import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, test, vi } from 'vitest';
import {
  CLOSE,
  type Execution,
  type HoldfastEvent,
  POLICY_DEFAULTS,
  SESSION_BYTES_MAX,
  utf8Bytes,
} from '../../../protocol/index.ts';
import { api, exit, get, newSession, output, putToSleep, type Run, readLog, start, stubOf, WrapperPeer } from '../support/peers.ts';

const LIMIT = 1_048_576;
/** 10 % more, whole bytes. */
const LIMIT_HARD = 1_153_433;
const SMALL = { policy: { maxLogBytes: LIMIT } };

/** One output event whose line has exactly this many bytes. */
function lineOf(bytes: number): HoldfastEvent {
  const empty = output('');
  return output('x'.repeat(bytes - utf8Bytes(JSON.stringify(empty))));
}

/**
 * Brings the log of the execution to `total` bytes, in frames of one event each. Returns the next
 * seq.
 */
async function fill(peer: WrapperPeer, total: number): Promise<number> {
  let seq = 1;
  for (let left = total; left > 0; seq += 1) {
    const bytes = left > 400_000 ? 300_000 : left;
    expect(await peer.deliver(seq, [lineOf(bytes)])).toEqual({ type: 'ack', seq });
    left -= bytes;
  }
  return seq;
}

const startIn = (session: string, body: object) =>
  api('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...body } });

/** From here on the object believes that its database is this large, until it is evicted. */
const pretend = (session: string, databaseBytes: number) =>
  runInDurableObject(stubOf(session), (_, { storage }) => {
    Object.defineProperty(storage.sql, 'databaseSize', { configurable: true, get: () => databaseBytes });
  });

describe('[LIF34] an execution', () => {
  test('may store up to 110 % of its limit, and not a byte more: then it fails, and its wrapper is asked to stop', async () => {
    const run = await start(newSession(), SMALL);
    const peer = await WrapperPeer.welcomed(run);
    const seq = await fill(peer, LIMIT_HARD);
    expect(await get(run)).toMatchObject({ status: 'running', logBytes: LIMIT_HARD });
    peer.events(seq, [lineOf(100)]);
    expect(await peer.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"failed"}' });
    expect(await get(run)).toMatchObject({ status: 'failed', code: 'log_full', logBytes: LIMIT_HARD });
    expect((await get(run)).error).toContain(String(LIMIT));
    const events = await readLog(run.session);
    expect(events.filter(({ type }) => type === 'output')).toHaveLength(seq - 1);
  });

  test('has room for its end, whatever it stored before', async () => {
    const run = await start(newSession(), SMALL);
    const peer = await WrapperPeer.welcomed(run);
    const seq = await fill(peer, LIMIT_HARD);
    await peer.deliver(seq, [exit(0)]);
    expect(await get(run)).toMatchObject({ status: 'completed', exitCode: 0 });
  });

  test('is counted across evictions, and duplicates count once', async () => {
    const run = await start(newSession(), SMALL);
    const peer = await WrapperPeer.welcomed(run);
    const seq = await fill(peer, 500_000);
    await putToSleep(stubOf(run.session));
    peer.events(seq - 1, [lineOf(100_000)]);
    expect(await peer.next()).toEqual({ type: 'ack', seq: seq - 1 });
    expect(await get(run)).toMatchObject({ logBytes: 500_000 });
    await peer.deliver(seq, [lineOf(1000)]);
    expect(await get(run)).toMatchObject({ logBytes: 501_000 });
  });

  test('its size is sent to a wrapper that comes back', async () => {
    const run = await start(newSession(), SMALL);
    const first = await WrapperPeer.welcomed(run);
    const seq = await fill(first, 5000);
    const second = await WrapperPeer.hello(run, { nextSeq: seq });
    expect(await second.next()).toMatchObject({ type: 'welcome', logBytes: 5000, policy: { maxLogBytes: LIMIT } });
  });

  test('[VER6] rows of a version that did not count are added up', async () => {
    const run = await start(newSession(), SMALL);
    const peer = await WrapperPeer.welcomed(run);
    const seq = await fill(peer, 900_000);
    await runInDurableObject(stubOf(run.session), (_, { storage }) => storage.sql.exec('UPDATE log SET execution_bytes = NULL'));
    await putToSleep(stubOf(run.session));
    await peer.deliver(seq, [lineOf(100_000)]);
    expect(await get(run)).toMatchObject({ status: 'running', logBytes: 1_000_000 });
    peer.events(seq + 1, [lineOf(200_000)]);
    await peer.closed;
    expect(await get(run)).toMatchObject({ code: 'log_full' });
  });

  test('[VER6] an execution from before the limit has none', async () => {
    const run = await start(newSession(), SMALL);
    await runInDurableObject(stubOf(run.session), (_, { storage }) =>
      storage.sql.exec("UPDATE executions SET policy = json_remove(policy, '$.maxLogBytes')"),
    );
    await putToSleep(stubOf(run.session));
    const peer = await WrapperPeer.welcomed(run);
    await fill(peer, 2 * LIMIT);
    expect(await get(run)).toMatchObject({ status: 'running', logBytes: 2 * LIMIT });
  });
});

describe('[LIF35] a session', () => {
  const room = SESSION_BYTES_MAX - POLICY_DEFAULTS.maxLogBytes;

  test('accepts a start that just fits, and refuses it one byte later, with the figures', async () => {
    for (const over of [0, 1]) {
      const session = newSession();
      await start(session, { id: 'before' });
      await api('POST', `/v1/sessions/${session}/executions/before/interrupt`, { body: {} });
      await pretend(session, room + over);
      const { status, body } = await startIn(session, { id: 'e1' });
      expect(status).toBe(over ? 409 : 201);
      if (!over) continue;
      expect(body).toMatchObject({
        code: 'storage_full',
        retryable: false,
        databaseBytes: room + 1,
        reservedBytes: 0,
        wantedBytes: POLICY_DEFAULTS.maxLogBytes,
        limitBytes: SESSION_BYTES_MAX,
      });
      // A smaller log fits. The same start again is answered as before.
      expect((await startIn(session, { id: 'e2', policy: { maxLogBytes: LIMIT } })).status).toBe(201);
      expect((await startIn(session, { id: 'e2', policy: { maxLogBytes: LIMIT } })).status).toBe(200);
    }
  });

  test('a queued execution fails when it is next and there is no room, and the one behind it begins', async () => {
    const session = newSession();
    const active = await start(session, { id: 'active' });
    await start(session, { id: 'large', onBusy: 'queue', policy: { maxLogBytes: 8_589_934_592 } });
    await start(session, { id: 'small', onBusy: 'queue', policy: { maxLogBytes: LIMIT } });
    const viewOf = async (id: string) =>
      (await api('GET', `/v1/sessions/${session}/executions/${id}`)).body as unknown as Execution;
    await pretend(session, 1_000_000_000);
    const peer = await WrapperPeer.welcomed(active as Run);
    await peer.deliver(1, [exit(0)]);
    await vi.waitFor(async () =>
      expect(await viewOf('large')).toMatchObject({ status: 'failed', code: 'storage_full', logBytes: 0 }),
    );
    expect((await viewOf('large')).error).toContain('1000000000');
    expect(await viewOf('small')).toMatchObject({ status: 'pending' });
    const verdicts = (await readLog(session)).filter(({ type }) => type.startsWith('execution_failed'));
    expect(verdicts).toHaveLength(1);
  });
});
