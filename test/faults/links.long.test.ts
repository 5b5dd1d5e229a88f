/**
 * Goal: each side that can detect a dead link does, and a viewer that stops reading does not affect
 * others.
 * Method: the real stack, with a proxy in each link that discards the bytes of one direction or
 * both.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { connectSession, type WebSocketConstructor } from '../../client/index.ts';
import { FRAME_BYTES_MAX, type LoggedEvent, VIEWER_WINDOW_BYTES } from '../../protocol/index.ts';
import { RealStack } from '../support/real-stack.ts';
import { type Direction, TcpProxy } from '../support/tcp-proxy.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
// A dead connection stays open at the far end until TCP gives up.
afterEach(() => void real.proxy.cut());
afterAll(() => real?.close());

const NUMBERS = `
let n = 0;
const timer = setInterval(() => {
  console.log(++n);
  if (n === Number(process.argv[1])) clearInterval(timer);
}, 20);
`;

const textOf = (events: readonly LoggedEvent[]): string =>
  events
    .filter(({ type }) => type === 'output')
    .map(({ data }) => data.text)
    .join('');
const numbersTo = (last: number): string => Array.from({ length: last }, (_, i) => `${i + 1}\n`).join('');

describe('[SPL10] [LIF23] a half-open wrapper link', () => {
  // What each side can detect: the coordinator misses pings and events, the wrapper misses pongs
  // and acks. Where only the wrapper detects it, the coordinator learns it from the end of that
  // connection.
  const cases: {
    direction: Direction;
    lines: number;
    loss: { reason: string };
    lostAfterMs: [number, number];
    backAfterMs: [number, number];
  }[] = [
    { direction: 'up', lines: 450, loss: { reason: 'silence' }, lostAfterMs: [1000, 20_000], backAfterMs: [1500, 20_000] },
    { direction: 'down', lines: 700, loss: { reason: 'closed' }, lostAfterMs: [9000, 40_000], backAfterMs: [9000, 40_000] },
    { direction: 'both', lines: 700, loss: { reason: 'silence' }, lostAfterMs: [1000, 20_000], backAfterMs: [9000, 40_000] },
  ];
  for (const { direction, lines, loss, lostAfterMs, backAfterMs } of cases) {
    it(`that swallows ${direction === 'both' ? 'both directions' : `what goes ${direction}`} is replaced, and nothing is lost`, async () => {
      const session = `half-open-${direction}`;
      await real.client.start(session, {
        id: 'e1',
        command: [process.execPath, '-e', NUMBERS, String(lines)],
        policy: { heartbeatMs: 500, silenceTimeoutMs: 2000, disconnectGraceMs: 120_000 },
      });
      const seen: LoggedEvent[] = [];
      let frozenAt = 0;
      let lostAt = 0;
      let backAt = 0;
      for await (const event of real.follow(session, 'e1')) {
        seen.push(event);
        if (event.type === 'output' && frozenAt === 0) {
          frozenAt = Date.now();
          expect(real.proxy.halfOpen(direction)).toBe(1);
        }
        if (event.type === 'wrapper_disconnected') lostAt = Date.now();
        if (event.type === 'wrapper_reconnected') backAt = Date.now();
      }
      for (const [after, [least, most]] of [
        [lostAt - frozenAt, lostAfterMs],
        [backAt - frozenAt, backAfterMs],
      ] as const) {
        expect(after).toBeGreaterThan(least);
        expect(after).toBeLessThan(most);
      }
      expect(seen.filter(({ type }) => type === 'wrapper_disconnected')).toMatchObject([{ data: loss }]);
      expect(seen.filter(({ type }) => type === 'wrapper_reconnected')).toHaveLength(1);
      expect(seen.at(-1)?.type).toBe('execution_completed');
      expect(textOf(seen)).toBe(numbersTo(lines));
      expect(await real.read(session, 'e1')).toEqual(seen);
    });
  }
});

describe('[STR10] [G2] a viewer with flow=ack', () => {
  /** Eight times the window, and more than the buffers of the two sockets in between. */
  const LINES = 8000;
  const FLOOD = `
const line = 'x'.repeat(1000) + '\\n';
for (let n = 1; n <= ${LINES}; n += 1) process.stdout.write(n + ' ' + line);
`;
  let viewerLink: TcpProxy;
  beforeAll(async () => {
    viewerLink = await TcpProxy.start({ targetPort: real.stack.port });
  });
  afterAll(() => viewerLink?.close());

  const follow = (session: string, pongMs: number) =>
    connectSession({
      url: viewerLink.url,
      apiKey: real.stack.apiKey,
      session,
      execution: 'e1',
      after: 0,
      flow: true,
      timings: { pingMs: 1000, pongMs, connectMs: 20_000 },
      WebSocketImpl: WebSocket as unknown as WebSocketConstructor,
    });

  const numbers = (events: readonly LoggedEvent[]): number[] =>
    textOf(events)
      .split('\n')
      .slice(0, -1)
      .map((line) => Number(line.split(' ')[0]));

  it('that stops reading for a while gets one window, delays no other peer, and then gets the rest exactly', async () => {
    await real.client.start('paused', { id: 'e1', command: [process.execPath, '-e', `setTimeout(() => {${FLOOD}}, 500)`] });
    const before = viewerLink.bytesDown;
    // It has one connection, however late a pong is.
    const stream = follow('paused', 60_000);
    const seen: LoggedEvent[] = [];
    const iterator = stream[Symbol.asyncIterator]();
    for (;;) {
      const { value } = await iterator.next();
      seen.push(value as LoggedEvent);
      if (value?.type === 'output') break;
    }
    // The job and its verdict do not wait for it.
    expect((await real.client.wait('paused', 'e1')).status).toBe('completed');
    const whole = await real.read('paused', 'e1');
    await sleep(500);
    // Unacknowledged data in flight: the batch that was being sent when the window closed, and the
    // headers.
    expect(viewerLink.bytesDown - before).toBeLessThan(VIEWER_WINDOW_BYTES + 2 * FRAME_BYTES_MAX + 64 * 1024);
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) seen.push(next.value);
    expect(numbers(seen)).toEqual(Array.from({ length: LINES }, (_, i) => i + 1));
    expect(seen).toEqual(whole);
  });

  it('whose network stalls for longer than its pong timeout resumes exactly where it was', async () => {
    await real.client.start('stalled', { id: 'e1', command: [process.execPath, '-e', `setTimeout(() => {${FLOOD}}, 500)`] });
    const seen: LoggedEvent[] = [];
    let stalled: Promise<void> | null = null;
    const accepted = viewerLink.accepted;
    for await (const event of follow('stalled', 1500)) {
      seen.push(event);
      if (event.type === 'output' && stalled === null) {
        viewerLink.stall();
        stalled = sleep(4000).then(() => viewerLink.resume());
      }
    }
    await stalled;
    expect(viewerLink.accepted - accepted).toBeGreaterThanOrEqual(2);
    expect(numbers(seen)).toEqual(Array.from({ length: LINES }, (_, i) => i + 1));
    expect(seen).toEqual(await real.read('stalled', 'e1'));
  });
});
