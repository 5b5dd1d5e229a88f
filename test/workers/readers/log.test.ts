/**
 * The text of a run (PROTOCOL.md, STR23 and after).
 * Method: a wrapper's socket stores the output of a job. The text of the response must be its
 * concatenation, however the connection between the Worker and the session is cut.
 */

import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, test, vi } from 'vitest';
import { CLOSE, encodeEventsFrame, FEATURE_ASKING, type HoldfastEvent, VIEWER_WINDOW_BYTES } from '../../../protocol/index.ts';
import { ask, expectProblem } from '../support/http.ts';
import { api, exit, newSession, output, putToSleep, type Run, start, stubOf, WrapperPeer } from '../support/peers.ts';
import { read, TextReader } from '../support/readers.ts';

const logOf = (run: Run, query = ''): string => `/v1/sessions/${run.session}/executions/${run.execution.id}/log${query}`;

const gap = (events: number, bytes: number, reason: string): HoldfastEvent => ({
  type: 'gap',
  at: 1_763_650_000_000,
  data: { events, bytes, reason },
});

test('[STR23] is stdout and stderr in the order of the log, and nothing else', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  await peer.deliver(1, [
    output('out\n'),
    output('err\n', 'stderr'),
    { type: 'status', at: 1, data: { message: 'x' } },
    output('a"\\ü€\u{1f600}\r\n'),
  ]);
  await peer.deliver(5, [{ type: 'output', at: 1, data: { stream: 'stdout', text: 'no line ', partial: true } }, output('end')]);
  const running = await read(logOf(run));
  expect(running.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  expect(running.headers.get('cache-control')).toBe('no-cache, no-transform');
  expect(running.headers.get('x-accel-buffering')).toBe('no');
  expect(await running.text()).toBe('out\nerr\na"\\ü€\u{1f600}\r\nno line end');
  await peer.deliver(7, [exit(0)]);
  expect(await (await read(logOf(run))).text()).toBe('out\nerr\na"\\ü€\u{1f600}\r\nno line end');
});

test('[STR23] of one execution has nothing of the others, and one without output is empty', async () => {
  const first = await start(newSession());
  const second = await start(first.session, { onBusy: 'queue' });
  const peer = await WrapperPeer.welcomed(first);
  await peer.deliver(1, [output('first\n'), exit(0)]);
  expect(await (await read(logOf(second))).text()).toBe('');
  await (await WrapperPeer.welcomed(second)).deliver(1, [output('second\n')]);
  expect(await (await read(logOf(first, '?follow=1'))).text()).toBe('first\n');
  expect(await (await read(logOf(second))).text()).toBe('second\n');
});

const agent = (data: HoldfastEvent['data']): HoldfastEvent => ({ type: 'agent', at: 1_763_650_000_000, data });

describe('of a job that prints JSON lines', () => {
  test('[STR23] has the lines as they were printed, in their place', async () => {
    const run = await start(newSession(), { format: 'jsonl' });
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('a\n'), agent({ step: 1, of: 'ü' }), output('b\n'), exit(0)]);
    expect(await (await read(logOf(run))).text()).toBe('a\n{"step":1,"of":"ü"}\nb\n');
  });

  const part = (number: number, parts: number, text: string): HoldfastEvent => ({
    type: 'agent_part',
    at: 1_763_650_000_000,
    data: { part: number, parts, text },
  });

  test('[STR23] [AGT6] has a long line whole, and marks what is missing of one', async () => {
    const run = await start(newSession(), { format: 'jsonl' });
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [part(1, 3, '{"a":"'), part(2, 3, 'b\\n')]);
    const path = `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`;
    const interrupt = await api('POST', path, { body: { reason: 'enough' } });
    expect(interrupt.status).toBe(202);
    await peer.deliver(3, [part(3, 3, '"}'), part(1, 2, '{"c":'), gap(1, 2, 'lost'), agent({ step: 1 }), part(1, 2, '{'), exit(0)]);
    expect(await (await read(logOf(run))).text()).toBe(
      [
        '{"a":"b\\n"}',
        '[holdfast: interrupt requested: enough]',
        '{"c":[part 2 of 2 of this line is not here]',
        '[holdfast: 1 event (2 bytes) is missing here: lost]',
        '{"step":1}',
        '{[part 2 of 2 of this line is not here]',
        '',
      ].join('\n'),
    );
  });

  test('[ING8] a part that is none is a bad frame', async () => {
    const run = await start(newSession(), { format: 'jsonl' });
    const peer = await WrapperPeer.welcomed(run);
    peer.send(encodeEventsFrame(1, 1, JSON.stringify(part(2, 1, 'x'))));
    expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
  });

  test('[STR23] of the format text has none: such events are not output', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('a\n'), agent({ step: 1 }), exit(0)]);
    expect(await (await read(logOf(run))).text()).toBe('a\n');
  });

  const claude = [
    agent({ type: 'system', subtype: 'init', session_id: 's', uuid: 'u' }),
    agent({ type: 'assistant', message: { id: 'm', content: [{ type: 'text', text: 'Hello' }] }, session_id: 's', uuid: 'u' }),
    agent({ type: 'stream_event', event: { type: 'content_block_delta', delta: { type: 'text_delta', text: 'half' } } }),
  ];

  test.each(['claude', 'auto'] as const)(
    '[STR23] [AGT5] of an agent is its conversation, followed to its end: %s',
    async (format) => {
      const run = await start(newSession(), { format });
      const peer = await WrapperPeer.welcomed(run, { features: [FEATURE_ASKING] });
      await peer.deliver(1, [output('no line', 'stderr'), ...claude]);
      expect(await (await read(logOf(run))).text()).toBe('no line\nHello\n\nhalf\n');
      const reader = await TextReader.open(logOf(run, '?follow=1'));
      const said: HoldfastEvent = { type: 'status', at: 1, data: { message: 'an answer was not passed on' } };
      await peer.deliver(5, [said, gap(1, 5, 'lost'), exit(0)]);
      expect(await reader.ended).toBe('whole');
      expect(reader.text).toBe(
        'no line\nHello\n\n[info] an answer was not passed on\n[holdfast: 1 event (5 bytes) is missing here: lost]\n\nhalf\n\n[the end of the turn is missing]\n',
      );
    },
  );
});

test('[STR24] a gap is a line of its own', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  await peer.deliver(1, [output('cut'), gap(3, 120, 'spool\nlost'), output('next\n'), gap(1, 5, 'again')]);
  expect(await (await read(logOf(run))).text()).toBe(
    'cut\n[holdfast: 3 events (120 bytes) are missing here: spool lost]\nnext\n[holdfast: 1 event (5 bytes) is missing here: again]\n',
  );
});

test('[STR23] [SPL33] a gap of unknown size is marked as unknown, and a placeholder has no line', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  const crashed: HoldfastEvent = { type: 'gap', at: 1, data: { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' } };
  await peer.deliver(1, [output('a\n'), gap(0, 0, 'placeholder'), crashed]);
  expect(await (await read(logOf(run))).text()).toBe(
    'a\n[holdfast: an unknown amount of output is missing here: wrapper_crashed]\n',
  );
});

describe('follow=1', () => {
  test('[STR10] [STR23] a job with rare output is followed to its end, however often the session hibernates between two lines', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const reader = await TextReader.open(logOf(run, '?follow=1'));
    // After each hibernation a frame counts as 4 KiB of the reader's window at least: without acks
    // in between the window is full after 256.
    const lines = VIEWER_WINDOW_BYTES / 4096 + 8;
    for (let seq = 1; seq <= lines; seq += 1) {
      await peer.deliver(seq, [output(`${seq}\n`)]);
      await putToSleep(stubOf(run.session));
    }
    await peer.deliver(lines + 1, [exit(0)]);
    expect(await reader.ended).toBe('whole');
    expect(reader.text).toBe(Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join(''));
  });

  test('[STR23] continues until the execution ends, and then ends', async () => {
    const run = await start(newSession());
    const reader = await TextReader.open(logOf(run, '?follow=1'));
    const peer = await WrapperPeer.welcomed(run);
    for (let seq = 1; seq <= 5; seq += 1) {
      await peer.deliver(seq, [output(`line ${seq}\n`)]);
      await vi.waitFor(() => expect(reader.text).toMatch(new RegExp(`line ${seq}\n$`)));
    }
    await peer.deliver(6, [output('last\n'), exit(1)]);
    expect(await reader.ended).toBe('whole');
    expect(reader.text).toBe('line 1\nline 2\nline 3\nline 4\nline 5\nlast\n');
  });

  test('[STR24] [G2] keeps no object awake, and continues after every eviction', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const reader = await TextReader.open(logOf(run, '?follow=1'));
    for (let seq = 1; seq <= 5; seq += 1) {
      await putToSleep(stubOf(run.session));
      await peer.deliver(seq, [output(`${seq}\n`)]);
    }
    await peer.deliver(6, [exit(0)]);
    expect(await reader.ended).toBe('whole');
    expect(reader.text).toBe('1\n2\n3\n4\n5\n');
  });

  test('[STR24] [G2] when the session drops its sockets the text continues, without gap or repeat', async () => {
    const run = await start(newSession());
    let peer = await WrapperPeer.welcomed(run);
    const reader = await TextReader.open(logOf(run, '?follow=1'));
    for (let seq = 1; seq <= 6; seq += 1) {
      await peer.deliver(seq, [output(`${seq}\n`)]);
      if (seq % 2 === 1) continue;
      await putToSleep(stubOf(run.session), { webSockets: 'close' });
      peer = await WrapperPeer.welcomed(run, { nextSeq: seq + 1 });
    }
    await peer.deliver(7, [exit(0)]);
    expect(await reader.ended).toBe('whole');
    expect(reader.text).toBe('1\n2\n3\n4\n5\n6\n');
  });

  test('[STR24] a text that cannot continue is aborted and not ended', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('some\n')]);
    const reader = await TextReader.open(logOf(run, '?follow=1'));
    await vi.waitFor(() => expect(reader.text).toBe('some\n'));
    // The session is gone, as after a delete, with its sockets.
    await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.storage.deleteAll());
    await putToSleep(stubOf(run.session), { webSockets: 'close' });
    expect(await reader.ended).toBe('broken');
  });
});

test('[STR24] a reader that stops reading holds no more than the window; it gets everything in the end', {
  timeout: 60_000,
}, async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  const line = 'x'.repeat(65_535);
  for (let seq = 1; seq <= 160; seq += 4) {
    await peer.deliver(
      seq,
      [0, 1, 2, 3].map((more) => output(`${String(seq + more).padStart(4, '0')}${line}\n`)),
    );
  }
  const response = await read(logOf(run));
  await scheduler.wait(300);
  const unacked = await runInDurableObject(stubOf(run.session), (_, ctx) =>
    ctx.getWebSockets('viewer').map((ws) => {
      const { state } = ws.deserializeAttachment() as { state: { sent: number; unacked: [number, number][] } };
      return state.unacked.reduce((sum, [, bytes]) => sum + bytes, 0);
    }),
  );
  expect(unacked).toHaveLength(1);
  expect(unacked[0]).toBeGreaterThan(512 * 1024);
  expect(unacked[0]).toBeLessThan(2 * 1024 * 1024);
  await putToSleep(stubOf(run.session));
  const text = await response.text();
  expect(text).toHaveLength(160 * (65_535 + 5));
  expect(text.match(/^\d{4}/gm)?.map(Number)).toEqual(Array.from({ length: 160 }, (_, index) => index + 1));
});

describe('refusals', () => {
  test('[STR15] [HTTP11] without credential 401, unknown 404, bad ids and parameters 400', async () => {
    const run = await start(newSession());
    expectProblem(await ask('GET', logOf(run), { key: null }), 'unauthorized');
    expectProblem(await ask('GET', logOf(run, '?ticket=a.b.c')), 'unauthorized');
    expectProblem(await ask('GET', logOf(run, '?follow=yes')), 'bad_request');
    expectProblem(await ask('GET', `/v1/sessions/${run.session}/executions/a%2Fb/log`), 'bad_request');
    expectProblem(await ask('GET', `/v1/sessions/${run.session}/executions/never/log`), 'execution_not_found');
    expectProblem(await ask('GET', `/v1/sessions/never/executions/${run.execution.id}/log`), 'session_not_found');
  });

  test('[STR16] a ticket reads what it names', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('seen\n'), gap(1, 1, 'x')]);
    const withTicket = async (body: Record<string, unknown>) => {
      const made = await api('POST', `/v1/sessions/${run.session}/tickets`, { body });
      return ask('GET', logOf(run, `?ticket=${made.body.ticket}`), { key: null });
    };
    expect((await withTicket({})).text).toMatch(/^seen\n\[holdfast: .*\]\n$/);
    expect((await withTicket({ execution: run.execution.id, types: ['output'] })).text).toBe('seen\n');
    expectProblem(await withTicket({ execution: 'other' }), 'unauthorized');
    expectProblem(await withTicket({ types: ['exit'] }), 'unauthorized');
  });

  test('[STR23] HEAD has the headers of GET, and leaves no reader behind', async () => {
    const run = await start(newSession());
    const answer = await ask('HEAD', logOf(run, '?follow=1'));
    expect(answer).toMatchObject({ status: 200, text: '' });
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    await vi.waitFor(async () =>
      expect(await runInDurableObject(stubOf(run.session), (_, ctx) => ctx.getWebSockets('viewer').length)).toBe(0),
    );
  });
});
