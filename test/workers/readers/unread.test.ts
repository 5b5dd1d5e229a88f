/**
 * How much a viewer may leave unread (PROTOCOL.md STR10 to STR13).
 * Method: viewers that read frames and acknowledge as the test says, on a log of several windows.
 * The frames sent to each are counted in bytes, and compared with the log.
 */

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { CLOSE, encodeStreamFrame, FRAME_BYTES_MAX, PING, utf8Bytes, VIEWER_WINDOW_BYTES } from '../../../protocol/index.ts';
import {
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  type Seen,
  start,
  stubOf,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

const LINE = 'x'.repeat(40_000);
const ack = (offset: number): string => encodeStreamFrame({ type: 'ack', offset });

const bytesOf = (viewer: ViewerPeer): number =>
  viewer.received.reduce((sum, frame) => sum + (frame.type === 'events' ? utf8Bytes(JSON.stringify(frame)) : 0), 0);

async function fill(run: Run, frames: number, text = LINE): Promise<WrapperPeer> {
  const peer = await WrapperPeer.welcomed(run);
  for (let seq = 1; seq <= frames; seq += 1) await peer.deliver(seq, [output(`${seq} ${text}\n`)]);
  return peer;
}

describe('a replay', () => {
  let session: string;
  let log: Seen[];

  beforeAll(async () => {
    session = newSession();
    await fill(await start(session), 120);
    log = await readLog(session);
  });

  test('[STR12] without flow=ack: one that acknowledges nothing is closed 4413 after 1 MiB and one frame at most', async () => {
    const viewer = await ViewerPeer.connect(session);
    expect(await viewer.closed).toMatchObject({ code: CLOSE.tooSlow, reason: expect.stringMatching(/^unread/) });
    expect(bytesOf(viewer)).toBeGreaterThan(VIEWER_WINDOW_BYTES - FRAME_BYTES_MAX);
    expect(bytesOf(viewer)).toBeLessThan(VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX);
    expect(viewer.received.some(({ type }) => type === 'caught_up')).toBe(false);
  });

  test('[STR12] [STR11] a ping does not count as reading', async () => {
    const viewer = await ViewerPeer.connect(session);
    for (let pings = 0; pings < 5; pings += 1) viewer.send(PING);
    expect(await viewer.closed).toMatchObject({ code: CLOSE.tooSlow });
    expect(bytesOf(viewer)).toBeLessThan(VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX);
  });

  test('[STR13] one that never acknowledges reads all of a long log, a part on each connection', async () => {
    const seen: Seen[] = [];
    let connections = 0;
    for (let done = false; !done; ) {
      connections += 1;
      const viewer = await ViewerPeer.connect(session, `?after=${seen.at(-1)?.offset ?? 0}`);
      done = (await viewer.until('caught_up')) !== null;
      seen.push(...viewer.events);
      if (done) viewer.close();
      else expect(await viewer.closed).toMatchObject({ code: CLOSE.tooSlow });
    }
    expect(seen).toEqual(log);
    expect(connections).toBeGreaterThan(3);
    expect(connections).toBeLessThan(8);
  });

  test('[STR10] with flow=ack one that acknowledges reads all of it on one connection', async () => {
    const viewer = await ViewerPeer.connect(session, '?flow=ack');
    for (let frame = await viewer.next(); frame && frame.type !== 'caught_up'; frame = await viewer.next()) {
      const last = viewer.offsets.at(-1);
      if (last !== undefined) viewer.send(ack(last));
    }
    expect(viewer.events).toEqual(log);
    viewer.close();
  });

  test('[STR10] the bound counts bytes and not characters', async () => {
    const wide = newSession();
    await fill(await start(wide), 60, '\u4e16'.repeat(20_000));
    const viewer = await ViewerPeer.connect(wide);
    expect(await viewer.closed).toMatchObject({ code: CLOSE.tooSlow });
    expect(bytesOf(viewer)).toBeLessThan(VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX);
  });
});

describe('live', () => {
  /** Rows that its viewers get one by one; the object is evicted before each. */
  async function deliverAsleep(run: Run, peer: WrapperPeer, from: number, count: number, text: string): Promise<void> {
    for (let seq = from; seq < from + count; seq += 1) {
      await putToSleep(stubOf(run.session));
      await peer.deliver(seq, [output(`${seq} ${text}\n`)]);
    }
  }

  test('[STR12] a viewer that stops acknowledging is closed 4413, also when the object is evicted before every event', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    // Less than a lump each, so that only the stored count between them can detect it.
    await deliverAsleep(run, peer, 1, 60, 'x'.repeat(20_000));
    expect(await viewer.closed).toMatchObject({ code: CLOSE.tooSlow });
    expect(bytesOf(viewer)).toBeLessThan(VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX);
  });

  test('[STR10] with flow=ack it receives no more, reads the rest from the log when it acknowledges, and is live again', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session, '?flow=ack');
    await viewer.until('caught_up');
    for (let seq = 1; seq <= 60; seq += 1) await peer.deliver(seq, [output(`${seq} ${LINE}\n`)]);
    expect(bytesOf(viewer)).toBeLessThan(VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX);
    const log = await readLog(run.session);
    await vi.waitFor(
      () => {
        viewer.send(ack(viewer.offsets.at(-1) ?? 0));
        expect(viewer.events).toEqual(log);
      },
      { timeout: 10_000, interval: 20 },
    );
  });

  test('[STR12] a viewer without flow=ack that acknowledges stays connected, whatever the volume', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    for (let seq = 1; seq <= 60; seq += 1) {
      await peer.deliver(seq, [output(`${seq} ${LINE}\n`)]);
      await viewer.until('events');
      viewer.send(ack(viewer.offsets.at(-1) ?? 0));
    }
    expect(bytesOf(viewer)).toBeGreaterThan(2 * VIEWER_WINDOW_BYTES);
    expect(viewer.events.filter(({ type }) => type === 'output')).toHaveLength(60);
  });

  test('[STR12] small events count by their size: 600 of them are far from the bound', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    for (let seq = 1; seq <= 600; seq += 1) await peer.deliver(seq, [output(`${seq}\n`)]);
    const log = await readLog(run.session);
    await vi.waitFor(() => expect(viewer.offsets).toEqual(log.map(({ offset }) => offset)));
  });
});
