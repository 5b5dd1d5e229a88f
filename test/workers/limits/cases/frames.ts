/**
 * Limits of what is sent over sockets: frames of wrappers and of the coordinator, windows, times.
 */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { expect, vi } from 'vitest';
import { ConversationReader } from '../../../../agent/index.ts';
import {
  AGENT_LINE_BYTES_MAX,
  type AskingData,
  CLOSE,
  CLOSE_REASON_BYTES_MAX,
  COORDINATOR_FRAME_BYTES_MAX,
  checkFact,
  closeReason,
  EVENT_BYTES_MAX,
  EVENT_DEPTH_MAX,
  encodeEventsFrame,
  encodeStreamFrame,
  FRAME_BYTES_MAX,
  HEADER_BYTES_MAX,
  HELLO_TIMEOUT_MS,
  type HoldfastEvent,
  LATE_MS_MAX,
  POST_BODY_BYTES_MAX,
  parseCoordinatorFrame,
  QUESTION_BYTES_MAX,
  QUESTION_ID_CHARS_MAX,
  QUESTION_OPTIONS_MAX,
  RETRY_AFTER_MS_MAX,
  retryAfterMs,
  SCREEN_BYTES_MAX,
  UNBOUND_SOCKETS_MAX,
  utf8Bytes,
  VIEWER_WINDOW_BYTES,
  WINDOW_BYTES,
} from '../../../../protocol/index.ts';
import type { ExecutionRecord } from '../../../../src/core/execution.ts';
import { lateUntilFor, takesLate } from '../../../../src/core/late.ts';
import { decideSend, type ViewerState } from '../../../../src/core/viewer.ts';
import { Sender } from '../../../../wrapper/spool/sender.ts';
import { newSession, output, type Run, start, stubOf, ViewerPeer, WrapperPeer } from '../../support/peers.ts';
import { type Edge, textOfBytes, textOfChars, typesIn } from './edges.ts';

/**
 * A frame on an ingest socket after the welcome: `taken` is acknowledged and in the log; `refused`
 * closes 4400 and stores nothing.
 */
function eventsEdge(edge: number, frame: (size: number) => string): Edge {
  const begin = async (): Promise<{ run: Run; peer: WrapperPeer }> => {
    const run = await start(newSession());
    return { run, peer: await WrapperPeer.welcomed(run) };
  };
  return {
    async taken() {
      const { run, peer } = await begin();
      peer.send(frame(edge));
      expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
      expect((await typesIn(run)).length).toBe(4);
    },
    async refused() {
      const { run, peer } = await begin();
      const before = await typesIn(run);
      peer.send(frame(edge + 1));
      expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
      expect(await typesIn(run)).toEqual([...before, 'wrapper_disconnected']);
    },
  };
}

const line = (event: HoldfastEvent): string => JSON.stringify(event);
const frameOf = (events: HoldfastEvent[], seq = 1): string => encodeEventsFrame(seq, events.length, events.map(line).join('\n'));
const lineOfBytes = (bytes: number): string => line(output(textOfBytes(bytes - utf8Bytes(line(output(''))))));
const frameOfBytes = (bytes: number, seq = 1): string =>
  frameOf([output(textOfBytes(bytes - utf8Bytes(frameOf([output('')], seq))))], seq);
const screenOfBytes = (bytes: number): HoldfastEvent => {
  const data = { cols: 80, rows: 24, data: '', modes: '' };
  return { type: 'screen', at: 1, data: { ...data, data: textOfBytes(bytes - JSON.stringify(data).length) } };
};
const asking = (more: Partial<AskingData>): HoldfastEvent => ({
  type: 'asking',
  at: 1,
  data: { id: 'q1', kind: 'question', text: '', options: [], ...more },
});
const askingOfBytes = (bytes: number): HoldfastEvent => {
  const { data } = asking({});
  return { type: 'asking', at: 1, data: { ...data, text: textOfBytes(bytes - JSON.stringify(data).length) } };
};
const optionsOf = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `o${index}`, label: '' }));
const nested = (levels: number): HoldfastEvent => ({
  type: 'agent',
  at: 1,
  data: JSON.parse(`${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`),
});

const hello = '{"type":"hello","protocol":1,"wrapperId":"w_1","bootId":"b_1","nextSeq":1,"lost":0}';
const helloOfBytes = (bytes: number): string => hello.replace('}', `,"x":"${textOfBytes(bytes - hello.length - 7)}"}`);

const post = (run: Run, body: string): Promise<Response> =>
  exports.default.fetch(run.ingest.url, { method: 'POST', headers: { authorization: `Bearer ${run.ingest.token}` }, body });

/** A hello and two frames, in exactly this many bytes. */
function postOfBytes(bytes: number): string {
  const head = `${hello}\n${frameOfBytes(400 * 1024)}\n`;
  const rest = bytes - utf8Bytes(head) - FRAME_BYTES_MAX - 1;
  return `${head}${frameOfBytes(FRAME_BYTES_MAX, 2)}\n${frameOfBytes(rest, 3)}`;
}

/** A connection that has been silent for this long after the object accepted it. */
async function silentFor(ms: number): Promise<WrapperPeer> {
  const now = Date.now();
  vi.useFakeTimers({ now, toFake: ['Date'] });
  const run = await start(newSession());
  const peer = await WrapperPeer.connect(run);
  vi.setSystemTime(now + ms);
  await runDurableObjectAlarm(stubOf(run.session));
  return peer;
}

async function silentPeers(count: number): Promise<WrapperPeer[]> {
  const run = await start(newSession());
  const peers: WrapperPeer[] = [];
  for (let index = 0; index < count; index += 1) peers.push(await WrapperPeer.connect(run));
  return peers;
}

const isOpen = ({ ws }: WrapperPeer): boolean => ws.readyState === WebSocket.READY_STATE_OPEN;

/**
 * Whether the second of two frames is sent, when both together have this many bytes and nothing was
 * acknowledged.
 */
function leavesBeside(bytes: number, windowBytes: number): boolean {
  const first = windowBytes / 2;
  const sender = new Sender();
  sender.welcome(0, { frameBytes: first + 128, windowBytes, silenceMs: 60_000 }, 0);
  // The line has proved that it carries a window.
  sender.appended({ firstSeq: 1, count: 1, bytes: windowBytes, segment: 1, position: 0 });
  expect(sender.next(0)?.seq).toBe(1);
  sender.ack(1, 1);
  sender.appended({ firstSeq: 2, count: 1, bytes: first, segment: 1, position: windowBytes });
  sender.appended({ firstSeq: 3, count: 1, bytes: bytes - first, segment: 1, position: windowBytes + first });
  expect(sender.next(1)?.seq).toBe(2);
  return sender.next(1) !== null;
}

const viewerWith = (flow: boolean, unacked: number): Pick<ViewerState, 'flow' | 'unacked'> => ({ flow, unacked: [[1, unacked]] });
const commandOfBytes = (bytes: number): string => {
  const around = '{"type":"command","id":1,"command":"input","data":{"text":""}}';
  return around.replace('""', `"${textOfBytes(bytes - around.length)}"`);
};

/** What a reader makes of a line of an agent that comes in parts. */
function itemsOfLine(bytes: number): string[] {
  const [before, after] = ['{"type":"assistant","message":{"content":[{"type":"text","text":"', '"}]}}'];
  const line = `${before}${'x'.repeat(bytes - before.length - after.length)}${after}`;
  const texts = [line.slice(0, 100), line.slice(100)];
  const events = texts.map((text, at) => ({ offset: at, type: 'agent_part', at: 1, data: { part: at + 1, parts: 2, text } }));
  return new ConversationReader('claude').add(events).map(({ type }) => type);
}

export const FRAMES = {
  FRAME_BYTES_MAX: eventsEdge(FRAME_BYTES_MAX, frameOfBytes),
  SCREEN_BYTES_MAX: eventsEdge(SCREEN_BYTES_MAX, (size) => frameOf([screenOfBytes(size)])),
  QUESTION_BYTES_MAX: eventsEdge(QUESTION_BYTES_MAX, (size) => frameOf([askingOfBytes(size)])),
  QUESTION_OPTIONS_MAX: eventsEdge(QUESTION_OPTIONS_MAX, (count) => frameOf([asking({ options: optionsOf(count) })])),
  QUESTION_ID_CHARS_MAX: eventsEdge(QUESTION_ID_CHARS_MAX, (chars) => frameOf([asking({ id: textOfChars(chars) })])),
  EVENT_DEPTH_MAX: eventsEdge(EVENT_DEPTH_MAX, (levels) => frameOf([nested(levels)])),
  EVENT_TYPE_PATTERN: eventsEdge(64, (chars) => frameOf([{ type: 'x'.repeat(chars), at: 1, data: {} }])),
  EVENT_BYTES_MAX: {
    // What a sender may rely on: an event of that size fits any frame, whatever its seq. It may not
    // send an event of one byte more (SPL18).
    async taken() {
      const event = lineOfBytes(EVENT_BYTES_MAX);
      expect(utf8Bytes(event)).toBe(EVENT_BYTES_MAX);
      expect(checkFact(JSON.parse(event)).ok).toBe(true);
      const run = await start(newSession());
      const peer = await WrapperPeer.welcomed(run);
      peer.send(encodeEventsFrame(1, 1, event));
      expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
      // With the longest header that a frame may have.
      const header = encodeEventsFrame(Number.MAX_SAFE_INTEGER, 1, '');
      expect(utf8Bytes(`${header}${event}`)).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    },
    async refused() {
      const event = lineOfBytes(FRAME_BYTES_MAX);
      const run = await start(newSession());
      const peer = await WrapperPeer.welcomed(run);
      peer.send(encodeEventsFrame(1, 1, event));
      expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
      expect(await typesIn(run)).not.toContain('output');
    },
  },
  AGENT_LINE_BYTES_MAX: {
    async taken() {
      expect(itemsOfLine(AGENT_LINE_BYTES_MAX)).toEqual(['message']);
    },
    async refused() {
      expect(itemsOfLine(AGENT_LINE_BYTES_MAX + 1)).toEqual(['raw']);
    },
  },
  HEADER_BYTES_MAX: {
    async taken() {
      const run = await start(newSession());
      const peer = await WrapperPeer.connect(run);
      const edge = helloOfBytes(HEADER_BYTES_MAX);
      expect(utf8Bytes(edge)).toBe(HEADER_BYTES_MAX);
      peer.send(edge);
      expect(await peer.next()).toMatchObject({ type: 'welcome' });
      const viewer = await ViewerPeer.connect(run.session);
      await viewer.until('caught_up');
      viewer.send(encodeStreamFrame({ type: 'ack', offset: 1 }).padEnd(HEADER_BYTES_MAX, ' '));
      peer.events(1, [output('still heard\n')]);
      expect(await viewer.until('events')).not.toBeNull();
    },
    async refused() {
      const run = await start(newSession());
      const peer = await WrapperPeer.connect(run);
      peer.send(helloOfBytes(HEADER_BYTES_MAX + 1));
      expect(await peer.closed).toMatchObject({ code: CLOSE.badFrame });
      expect(await typesIn(run)).toEqual(['execution_pending']);
      const viewer = await ViewerPeer.connect(run.session);
      viewer.send(encodeStreamFrame({ type: 'ack', offset: 1 }).padEnd(HEADER_BYTES_MAX + 1, ' '));
      expect(await viewer.closed).toMatchObject({ code: CLOSE.badFrame });
    },
  },
  POST_BODY_BYTES_MAX: {
    async taken() {
      const run = await start(newSession());
      const body = postOfBytes(POST_BODY_BYTES_MAX);
      expect(utf8Bytes(body)).toBe(POST_BODY_BYTES_MAX);
      const answer = await post(run, body);
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain('{"type":"ack","seq":3}');
    },
    async refused() {
      const run = await start(newSession());
      const answer = await post(run, postOfBytes(POST_BODY_BYTES_MAX + 1));
      expect(answer.status).toBe(413);
      expect(await answer.json()).toMatchObject({ code: 'too_large', limit: POST_BODY_BYTES_MAX });
      expect(await typesIn(run)).toEqual(['execution_pending']);
    },
  },
  COORDINATOR_FRAME_BYTES_MAX: {
    async taken() {
      expect(parseCoordinatorFrame(commandOfBytes(COORDINATOR_FRAME_BYTES_MAX)).ok).toBe(true);
    },
    async refused() {
      expect(parseCoordinatorFrame(commandOfBytes(COORDINATOR_FRAME_BYTES_MAX + 1))).toMatchObject({ ok: false, code: 'too_long' });
    },
  },
  WINDOW_BYTES: {
    async taken() {
      const peer = await WrapperPeer.hello(await start(newSession()));
      expect(await peer.next()).toMatchObject({ limits: { frameBytes: FRAME_BYTES_MAX, windowBytes: WINDOW_BYTES } });
      expect(leavesBeside(WINDOW_BYTES, WINDOW_BYTES)).toBe(true);
    },
    async refused() {
      expect(leavesBeside(WINDOW_BYTES + 1, WINDOW_BYTES)).toBe(false);
    },
  },
  VIEWER_WINDOW_BYTES: {
    async taken() {
      for (const flow of [true, false]) expect(decideSend(viewerWith(flow, VIEWER_WINDOW_BYTES - 1))).toBe('send');
    },
    async refused() {
      expect(decideSend(viewerWith(true, VIEWER_WINDOW_BYTES))).toBe('wait');
      expect(decideSend(viewerWith(false, VIEWER_WINDOW_BYTES))).toBe('close');
    },
  },
  HELLO_TIMEOUT_MS: {
    async taken() {
      const peer = await silentFor(HELLO_TIMEOUT_MS - 1);
      peer.sayHello();
      expect(await peer.next()).toMatchObject({ type: 'welcome' });
    },
    async refused() {
      const peer = await silentFor(HELLO_TIMEOUT_MS);
      expect(await peer.closed).toMatchObject({ code: CLOSE.helloTimeout });
    },
  },
  UNBOUND_SOCKETS_MAX: {
    async taken() {
      const peers = await silentPeers(UNBOUND_SOCKETS_MAX);
      peers[0]?.sayHello();
      expect(await peers[0]?.next()).toMatchObject({ type: 'welcome' });
    },
    async refused() {
      const [oldest, ...others] = await silentPeers(UNBOUND_SOCKETS_MAX + 1);
      expect(await oldest?.closed).toMatchObject({ code: CLOSE.tooManyConnections });
      expect(others.every(isOpen)).toBe(true);
    },
  },
  CLOSE_REASON_BYTES_MAX: {
    async taken() {
      const reason = textOfBytes(CLOSE_REASON_BYTES_MAX);
      expect(closeReason(reason)).toBe(reason);
      // The runtime's own limit.
      const { 0: client, 1: server } = new WebSocketPair();
      const closed = new Promise<string>((resolve) => client.addEventListener('close', (event) => resolve(event.reason)));
      client.accept();
      server.accept();
      server.close(1000, reason);
      expect(await closed).toBe(reason);
    },
    async refused() {
      expect(utf8Bytes(closeReason(textOfBytes(CLOSE_REASON_BYTES_MAX + 1)))).toBeLessThanOrEqual(CLOSE_REASON_BYTES_MAX);
      const { 1: server } = new WebSocketPair();
      server.accept();
      expect(() => server.close(1000, textOfBytes(CLOSE_REASON_BYTES_MAX + 1))).toThrow();
    },
  },
  LATE_MS_MAX: {
    async taken() {
      expect(takesLate(abandoned(), LATE_MS_MAX - 1)).toBe(true);
    },
    async refused() {
      expect(takesLate(abandoned(), LATE_MS_MAX)).toBe(false);
    },
  },
  RETRY_AFTER_MS_MAX: {
    async taken() {
      expect(retryAfterMs(String(RETRY_AFTER_MS_MAX / 1000), 0)).toBe(RETRY_AFTER_MS_MAX);
      expect(retryAfterMs(new Date(RETRY_AFTER_MS_MAX).toUTCString(), 0)).toBe(RETRY_AFTER_MS_MAX);
    },
    async refused() {
      expect(retryAfterMs(String(RETRY_AFTER_MS_MAX / 1000 + 1), 0)).toBe(RETRY_AFTER_MS_MAX);
      expect(retryAfterMs(new Date(RETRY_AFTER_MS_MAX + 1000).toUTCString(), 0)).toBe(RETRY_AFTER_MS_MAX);
    },
  },
} satisfies Record<string, Edge>;

/** Its verdict came at 0, while its wrapper was away. */
const abandoned = (): ExecutionRecord =>
  ({
    status: 'failed',
    lateUntil: lateUntilFor({ wrapperId: 'w1', interruptCause: null } as ExecutionRecord, 0),
  }) as ExecutionRecord;
