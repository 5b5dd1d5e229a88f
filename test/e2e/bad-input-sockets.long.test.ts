/**
 * Goal: frames that no honest wrapper sends end their connection with a code of their own, and
 * change nothing. Method: a raw WebSocket client against the real runtime, whose own limits and
 * UTF-8 checks take part.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RawData, WebSocket } from 'ws';
import { CLOSE, encodeEventsFrame, FRAME_BYTES_MAX, INGEST_SUBPROTOCOL, type IngestAccess } from '../../protocol/index.ts';
import { RealStack } from '../support/real-stack.ts';

let real: RealStack;
const sockets: WebSocket[] = [];
beforeAll(async () => {
  real = await RealStack.start();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate();
});
afterAll(() => real?.close());

async function dial({ url, token }: IngestAccess): Promise<WebSocket> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), [INGEST_SUBPROTOCOL], { headers: { authorization: `Bearer ${token}` } });
  sockets.push(socket);
  await once(socket, 'open');
  return socket;
}

async function answerTo(socket: WebSocket, frame: string): Promise<Record<string, unknown>> {
  const answer = once(socket, 'message') as Promise<[RawData]>;
  socket.send(frame);
  return JSON.parse((await answer)[0].toString());
}

const hello = (bootId: string) => JSON.stringify({ type: 'hello', protocol: 1, wrapperId: 'w_1', bootId, nextSeq: 1, lost: 0 });
const output = (text: string) => JSON.stringify({ type: 'output', at: 1, data: { stream: 'stdout', text } });

let made = 0;
/**
 * A running execution with one event in its log, its socket, and a way to read what the log has.
 */
async function running() {
  made += 1;
  const session = `bad-${made}`;
  const { execution, ingest } = await real.client.start(session, { command: ['none'], launcher: 'none' });
  const socket = await dial(ingest);
  expect((await answerTo(socket, hello('b_1'))).type).toBe('welcome');
  expect(await answerTo(socket, encodeEventsFrame(1, 1, output('first\n')))).toEqual({ type: 'ack', seq: 1 });
  const facts = async () => {
    const seen: unknown[] = [];
    for await (const event of real.follow(session)) {
      if (event.type === 'output') seen.push(event.data.text);
      if (event.type === 'execution_failed') break;
    }
    return seen;
  };
  /** Ends the run through a fresh connection, so that the log is complete, and reads it. */
  const log = async () => {
    const next = await dial(ingest);
    expect(await answerTo(next, hello('b_2'))).toMatchObject({ type: 'welcome', ackedSeq: 1 });
    await real.client.fail(session, execution.id, { code: 'test_over', message: 'the test is over' });
    return facts();
  };
  return { socket, log };
}

/** Its close code, or 0 when it is still open after half a minute. */
const closed = (socket: WebSocket): Promise<number> =>
  Promise.race([once(socket, 'close').then(([code]) => code as number), sleep(30_000).then(() => 0)]);

describe('frames that end their connection and leave the log as it was', () => {
  it('[ING8] a text frame of 2 MB', async () => {
    const { socket, log } = await running();
    socket.send(encodeEventsFrame(2, 1, output('x'.repeat(2_000_000))));
    expect(await closed(socket)).toBe(CLOSE.badFrame);
    expect(await log()).toEqual(['first\n']);
  });

  it('[ING8] a text frame of one byte more than the limit; one at the limit is stored', async () => {
    const { socket } = await running();
    const empty = encodeEventsFrame(2, 1, output('')).length;
    const fits = 'y'.repeat(FRAME_BYTES_MAX - empty);
    expect(await answerTo(socket, encodeEventsFrame(2, 1, output(fits)))).toEqual({ type: 'ack', seq: 2 });
    socket.send(encodeEventsFrame(3, 1, output(`${fits}z`)));
    expect(await closed(socket)).toBe(CLOSE.badFrame);
  });

  it('[ING8] a binary frame, its content being a good frame', async () => {
    const { socket, log } = await running();
    socket.send(Buffer.from(encodeEventsFrame(2, 1, output('second\n'))), { binary: true });
    expect(await closed(socket)).toBe(CLOSE.badFrame);
    expect(await log()).toEqual(['first\n']);
  });

  /** workerd replaces unreadable bytes by U+FFFD, so the coordinator must detect them. */
  it('[ING20] invalid UTF-8 in a text frame', async () => {
    const { socket, log } = await running();
    const frame = Buffer.from(encodeEventsFrame(2, 1, output('AB\n')));
    frame[frame.indexOf('A')] = 0xc3;
    socket.send(frame, { binary: false });
    expect(await closed(socket)).toBe(CLOSE.badFrame);
    expect(await log()).toEqual(['first\n']);
  });
});
