/**
 * Goal: a start says how output is kept (`merge`, `output`). The wrapper hears it before the job
 * begins, it is shown, and it changes nothing about a start without it. A wrapper that does not
 * support it never runs the command. Readers over HTTP get the bytes.
 */

import { expect, test } from 'vitest';
import { FEATURE_BYTES, FEATURE_MERGE, type HoldfastEvent, type WelcomeFrame } from '../../../protocol/index.ts';
import { api, exit, get, newSession, output, readLog, start, typesOf, WrapperPeer } from '../support/peers.ts';
import { read } from '../support/readers.ts';

const features = [FEATURE_BYTES, FEATURE_MERGE];
const begin = (session: string, body: object) =>
  api('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...body } });

test('[HTTP36] both are shown where they were given, and are in the welcome', async () => {
  const run = await start(newSession(), { merge: true, output: 'bytes' });
  expect(run.execution).toMatchObject({ merge: true, output: 'bytes' });
  const peer = await WrapperPeer.welcomed(run, { features });
  expect((peer.received[0] as WelcomeFrame).job).toMatchObject({ merge: true, output: 'bytes' });
  expect((peer.received[0] as WelcomeFrame).features).toEqual(expect.arrayContaining(features));
  expect(await get(run)).toMatchObject({ merge: true, output: 'bytes' });
});

test('[HTTP36] neither is there where they were not given, or given as their defaults', async () => {
  for (const body of [{}, { merge: false, output: 'text' as const }]) {
    const run = await start(newSession(), body);
    const peer = await WrapperPeer.welcomed(run);
    for (const shown of [run.execution, (peer.received[0] as WelcomeFrame).job, await get(run)]) {
      expect(shown).not.toHaveProperty('merge');
      expect(shown).not.toHaveProperty('output');
    }
  }
});

test.each([
  ['merge', { merge: true }, [FEATURE_BYTES]],
  ['output: bytes', { output: 'bytes' as const }, [FEATURE_MERGE]],
  ['merge', { merge: true }, []],
])('[ING21] a wrapper without support for %s is refused before anything runs: %j %j', async (option, body, has) => {
  const run = await start(newSession(), body);
  const old = await WrapperPeer.hello(run, { features: has });
  expect(await old.closed).toMatchObject({ code: 4000 });
  expect(old.received).toEqual([]);
  const error = expect.stringMatching(new RegExp(`does not know ${option}, .*was not run$`));
  expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_too_old', error });
  expect(typesOf(await readLog(run.session))).not.toContain('wrapper_connected');
});

test('[LIF28] a repeated start is the same with and without the defaults, and another one with other options', async () => {
  const session = newSession();
  expect((await begin(session, { id: 'e1' })).status).toBe(201);
  expect((await begin(session, { id: 'e1', merge: false, output: 'text' })).status).toBe(200);
  expect((await begin(session, { id: 'e1', merge: true })).status).toBe(409);
  expect((await begin(session, { id: 'e1', output: 'bytes' })).status).toBe(409);
});

test.each([{ merge: 'yes' }, { merge: 1 }, { merge: null }, { output: 'base64' }, { output: true }, { output: null }])(
  'what is no such option is refused, by its field: %j',
  async (body) => {
    const answer = await begin(newSession(), body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'bad_request', field: Object.keys(body)[0] });
  },
);

const bytesEvent = (bytes: Uint8Array, more: object = {}): HoldfastEvent => ({
  type: 'output',
  at: 1,
  data: { stream: 'stdout', text: '', base64: btoa(String.fromCharCode(...bytes)), ...more },
});
const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);

test('[STR23] the log has the bytes, as application/octet-stream, with nothing added but gaps', async () => {
  const run = await start(newSession(), { output: 'bytes' });
  const peer = await WrapperPeer.welcomed(run, { features });
  await peer.deliver(1, [output('a\n'), bytesEvent(every, { partial: true }), output('é\n'), bytesEvent(every, { line: 4 })]);
  await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: { reason: 'enough' } });
  await peer.deliver(5, [output('last\n'), exit(0)]);
  const path = `/v1/sessions/${run.session}/executions/${run.execution.id}/log`;
  for (const query of ['', '?follow=1']) {
    const answer = await read(`${path}${query}`);
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const text = (from: string) => [...new TextEncoder().encode(from)];
    expect([...new Uint8Array(await answer.arrayBuffer())]).toEqual([
      ...text('a\n'),
      ...every,
      ...text('é\n'),
      ...every,
      ...text('last\n'),
    ]);
  }
});

test('[STR23] a gap begins on a line of its own after bytes too', async () => {
  const run = await start(newSession(), { output: 'bytes' });
  const peer = await WrapperPeer.welcomed(run, { features });
  const gap: HoldfastEvent = { type: 'gap', at: 1, data: { events: 1, bytes: 5, reason: 'again' } };
  await peer.deliver(1, [bytesEvent(Uint8Array.of(0xff), { partial: true }), gap, bytesEvent(Uint8Array.of(0xff, 10)), gap]);
  const path = `/v1/sessions/${run.session}/executions/${run.execution.id}/log`;
  const bytes = new Uint8Array(await (await read(path)).arrayBuffer());
  const line = '[holdfast: 1 event (5 bytes) is missing here: again]\n';
  expect(String.fromCharCode(...bytes)).toBe(`\xff\n${line}\xff\n${line}`);
});
