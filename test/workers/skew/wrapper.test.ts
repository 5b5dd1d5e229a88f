/**
 * Goal: the coordinator of today answers a wrapper of any recorded version as that version's
 * coordinator did, and a wrapper of a later one as PROTOCOL.md says.
 * Method: every recorded frame is sent again, in order, to the real object, and each response is
 * compared with the recorded one, in meaning. What the object's viewers receive is compared with
 * what the recorded viewers received.
 */

import { describe, expect, test } from 'vitest';
import type { CoordinatorFrame, Execution } from '../../../protocol/index.ts';
import { type Entry, type Fixture, framesOf } from '../../skew/support/fixtures.ts';
import { api, get, newSession, type Run, readLog, start, texts, upgrade, ViewerPeer, WrapperPeer } from '../support/peers.ts';
import { VERSIONS } from './fixtures.ts';

/**
 * What a recorded response says about the run. Values that differ between deployments are left out,
 * and additions are allowed.
 */
function expectMeaning(answer: unknown, recorded: string): void {
  const frame = JSON.parse(recorded) as Record<string, unknown> & { type: string; reason?: string };
  if (frame.type === 'close') {
    const { reason, ...rest } = answer as { reason: string };
    expect(rest).toMatchObject({ type: 'close', code: frame.code });
    expect(statusOf(reason)).toBe(statusOf(frame.reason ?? ''));
    return;
  }
  expect(answer).toMatchObject(frame);
}

const statusOf = (reason: string): unknown => {
  try {
    return (JSON.parse(reason) as { status?: unknown }).status;
  } catch {
    return null;
  }
};

const sessionPath = (run: Run): string => `/v1/sessions/${run.session}/executions/${run.execution.id}`;

/** The cause of a recorded command. */
async function askFor(run: Run, recorded: { command: string; data: Record<string, unknown> }): Promise<void> {
  const [verb, body] =
    recorded.command === 'input' ? ['input', { data: recorded.data.text }] : ['interrupt', { reason: recorded.data.reason }];
  expect((await api('POST', `${sessionPath(run)}/${verb}`, { body })).status).toBeLessThan(300);
}

async function replay(run: Run, { entries }: Fixture): Promise<void> {
  const peers = new Map<number, WrapperPeer>();
  const posts = new Map<number, CoordinatorFrame[]>();
  const peerOf = (entry: Entry): WrapperPeer => {
    const peer = peers.get(entry.connection);
    if (!peer) throw new Error(`connection ${entry.connection} is not open`);
    return peer;
  };
  for (const entry of entries) {
    if ('open' in entry) {
      const peer = await WrapperPeer.connect(run);
      peers.set(entry.connection, peer);
    } else if ('refused' in entry) {
      const answer = await upgrade(run.ingest.url, {
        authorization: 'Bearer <bad token>',
        'sec-websocket-protocol': 'holdfast.ingest.v1',
      });
      expect(answer.status).toBe(entry.refused.status);
      expect(await answer.json()).toMatchObject({ code: (JSON.parse(entry.refused.body) as { code: string }).code });
    } else if ('request' in entry) {
      const response = await fetchIngest(run, entry.request.body);
      posts.set(entry.connection, response);
    } else if ('response' in entry) {
      const recorded = entry.response.body.split('\n').filter((line) => line !== '');
      const answered = posts.get(entry.connection) ?? [];
      expect(answered.map(({ type }) => type)).toEqual(recorded.map((line) => (JSON.parse(line) as { type: string }).type));
      for (const [index, line] of recorded.entries()) expectMeaning(answered[index], line);
    } else if ('frame' in entry) {
      if (entry.from === 'caller') {
        if (!entry.lost) peerOf(entry).send(entry.frame);
        continue;
      }
      const recorded = JSON.parse(entry.frame) as { type: string; command: string; data: Record<string, unknown> };
      if (recorded.type === 'command') await askFor(run, recorded);
      expectMeaning(await peerOf(entry).next(), entry.frame);
    } else if ('close' in entry) {
      if (entry.from === 'caller') peerOf(entry).close(1000, 'done');
      const { code, reason } = await peerOf(entry).closed;
      if (entry.from === 'caller') continue;
      expect(code).toBe(entry.close.code);
      expect(statusOf(reason)).toBe(statusOf(entry.close.reason));
    } else {
      peerOf(entry).close(1001, 'cut');
      await peerOf(entry).closed;
    }
  }
}

async function fetchIngest(run: Run, body: string): Promise<CoordinatorFrame[]> {
  const { pathname } = new URL(run.ingest.url);
  const response = await postTo(pathname, run.ingest.token, body);
  return response
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CoordinatorFrame);
}

async function postTo(path: string, token: string, body: string): Promise<string> {
  const { exports } = await import('cloudflare:workers');
  const response = await exports.default.fetch(`https://holdfast.test${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body,
  });
  expect(response.status).toBe(200);
  return response.text();
}

/** The recorded wrapper's own events, each once, by seq, to the letter. */
function factsIn({ entries }: Fixture): string[] {
  const lines = new Map<number, string>();
  for (const entry of entries) {
    const text =
      'frame' in entry && entry.from === 'caller' && !entry.by ? entry.frame : 'request' in entry ? entry.request.body : '';
    for (const { 1: seq, 2: count, index } of text.matchAll(/^\{"type":"events","seq":(\d+),"count":(\d+)\}\n/gm)) {
      const body = text.slice(text.indexOf('\n', index) + 1).split('\n');
      for (let at = 0; at < Number(count); at += 1) lines.set(Number(seq) + at, body[at] ?? '');
    }
  }
  return [...lines].sort(([a], [b]) => a - b).map(([, line]) => line);
}

/** The recorded welcomes have the default grace of 0.1.0. */
const AS_0_1_0 = { policy: { disconnectGraceMs: 60_000 } };

const CASES = [
  'ingest-text',
  'ingest-jsonl',
  'ingest-cuts',
  'ingest-settled',
  'ingest-post',
  'ingest-commands',
  'ingest-gap',
  'ingest-refused',
] as const;

const VERDICTS: Record<(typeof CASES)[number], Partial<Execution>> = {
  'ingest-text': { status: 'completed', exitCode: 0 },
  'ingest-jsonl': { status: 'failed', exitCode: 4 },
  'ingest-cuts': { status: 'failed', exitCode: 3 },
  'ingest-settled': { status: 'completed', exitCode: 0 },
  'ingest-post': { status: 'completed', exitCode: 0 },
  'ingest-commands': { status: 'interrupted' },
  'ingest-gap': { status: 'failed', code: 'wrapper_error' },
  'ingest-refused': { status: 'completed', exitCode: 0 },
};

describe.each(VERSIONS)('a wrapper of $name', ({ fixture }) => {
  test.each(CASES)(
    '[VER1] %s: every frame is answered as before, and every event is in the log once, to the letter',
    async (name) => {
      const recorded = fixture(name);
      const run = await start(newSession(), { openStdin: true, ...AS_0_1_0 });
      await replay(run, recorded);
      expect(await get(run)).toMatchObject(VERDICTS[name]);

      const facts = factsIn(recorded);
      expect(facts.length).toBeGreaterThan(2);
      const viewer = await ViewerPeer.connect(run.session, '?after=0');
      await viewer.until('caught_up');
      const own = viewer.events.filter(({ type }) => !/^(execution|wrapper)_|^(interrupt_requested|input)$/.test(type));
      expect(own.map(({ type, data }) => ({ type, data }))).toEqual(
        facts.map((line) => JSON.parse(line) as { type: string; data: object }).map(({ type, data }) => ({ type, data })),
      );
    },
  );

  test('[VER1] the stored text is the received text: a number too large for a double is unchanged', async () => {
    const run = await start(newSession(), AS_0_1_0);
    await replay(run, fixture('ingest-jsonl'));
    const response = await api('GET', `/v1/sessions/${run.session}/executions/${run.execution.id}`);
    expect(response.status).toBe(200);
    const { ws } = await rawViewer(run.session);
    const seen = await ws;
    expect(seen.join('')).toContain('12345678901234567890');
  });

  test('[VER1] its viewers receive what the viewers of that version received, event by event', async () => {
    const run = await start(newSession(), AS_0_1_0);
    await replay(run, fixture('ingest-cuts'));
    const then = framesOf(fixture('viewer-replay').entries, 'callee')
      .map((frame) => JSON.parse(frame) as { type: string; events?: { type: string; data: Record<string, unknown> }[] })
      .flatMap(({ events = [] }) => events);
    const now = await readLog(run.session);
    expect(now.map(({ type }) => type)).toEqual(then.map(({ type }) => type));
    for (const [index, { type, data }] of then.entries())
      expect(Object.keys(now[index]?.data ?? {}), type).toEqual(expect.arrayContaining(Object.keys(data)));
    expect(texts(now)).toBe(then.map(({ data }) => data.text ?? '').join(''));
  });
});

async function rawViewer(session: string): Promise<{ ws: Promise<string[]> }> {
  const response = await upgrade(`https://holdfast.test/v1/sessions/${session}/stream?after=0`, {
    authorization: 'Bearer acme-key-0123456789abcdef',
    'sec-websocket-protocol': 'holdfast.stream.v1',
  });
  const socket = response.webSocket;
  if (!socket) throw new Error(`stream answered ${response.status}`);
  const frames: string[] = [];
  const ws = new Promise<string[]>((resolve) => {
    socket.addEventListener('message', ({ data }) => {
      frames.push(String(data));
      if (String(data).includes('"caught_up"')) resolve(frames);
    });
  });
  socket.accept();
  return { ws };
}

const hello = (fields: Record<string, unknown> = {}): string =>
  JSON.stringify({ type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 1, ...fields });
const line = (type: string, data: object, fields: object = {}): string =>
  JSON.stringify({ type, at: 1_763_650_000_000, data, ...fields });

describe('a wrapper with fewer features', () => {
  test('[VER1] no `lost`, no `line`, no `partial`, no `signal`: it is accepted', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.connect(run);
    peer.send(hello());
    expect(await peer.next()).toMatchObject({ type: 'welcome', protocol: 1, ackedSeq: 0 });
    peer.send(
      `{"type":"events","seq":1,"count":2}\n${line('output', { stream: 'stdout', text: 'a\n' })}\n${line('exit', { exitCode: 0 })}\n`,
    );
    expect(await peer.next()).toEqual({ type: 'ack', seq: 2 });
    expect((await peer.closed).code).toBe(4000);
    expect(await get(run)).toMatchObject({ status: 'completed', exitCode: 0 });
  });
});

describe('a wrapper with more features', () => {
  test.each([2, 7, Number.MAX_SAFE_INTEGER])(
    '[VER3] [ING10] protocol %d is answered with 1, and handled as 1',
    async (protocol) => {
      const run = await start(newSession());
      const peer = await WrapperPeer.connect(run);
      peer.send(hello({ protocol }));
      expect(await peer.next()).toMatchObject({ type: 'welcome', protocol: 1 });
      peer.send(`{"type":"events","seq":1,"count":1}\n${line('exit', { exitCode: 0 })}`);
      expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
    },
  );

  test('[VER2] [ING10] unknown fields of headers are ignored; unknown event types, and fields of events, are stored and passed on to the letter', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.connect(run);
    peer.send(hello({ features: ['snapshots'], clock: { skewMs: 4 } }));
    expect(await peer.next()).toMatchObject({ type: 'welcome' });
    const lines = [
      line('x.snapshot', { bytes: 1, parts: [{ a: null }] }),
      line('output', { stream: 'stdout', text: 'b\n', colour: 'green', line: 1 }, { trace: 'abc' }),
      line('exit', { exitCode: 0, signal: null, cpuMs: 12 }),
    ];
    peer.send(`{"type":"events","count":3,"seq":1,"compressed":false,"digest":"x"}\n${lines.join('\n')}`);
    expect(await peer.next()).toEqual({ type: 'ack', seq: 3 });
    const frames = await (await rawViewer(run.session)).ws;
    for (const one of lines) expect(frames.join('\n')).toContain(one);
    expect(await get(run)).toMatchObject({ status: 'completed' });
  });

  test('[VER3] [ING8] a frame of an unknown type is a bad frame: it is closed 4400 and changes nothing, and the wrapper may come back', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    peer.send('{"type":"snapshot","seq":1}');
    expect(await peer.closed).toMatchObject({ code: 4400 });
    expect((await get(run)).status).toBe('running');
    const again = await WrapperPeer.hello(run);
    expect(await again.next()).toMatchObject({ type: 'welcome', ackedSeq: 0 });
  });

  test('[VER2] [ING9] command_ack with further fields acknowledges', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    expect((await api('POST', `${sessionPath(run)}/interrupt`, { body: {} })).status).toBe(202);
    const command = (await peer.next()) as { id: number };
    peer.send(JSON.stringify({ type: 'command_ack', id: command.id, result: { done: true } }));
    peer.close(1001, 'again');
    await peer.closed;
    const again = await WrapperPeer.hello(run);
    expect(await again.next()).toMatchObject({ type: 'welcome', commands: [] });
  });
});
