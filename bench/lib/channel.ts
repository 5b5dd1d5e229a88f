/**
 * One object with a writer and viewers, for any system. Benches write frames and wait for acks and
 * for the last event at each viewer. All systems get the same frames from the same generator, which
 * makes their ratio meaningful.
 */

import { WebSocket } from 'ws';
import { LAST_MARK, type Prepared } from './frames.ts';
import { closed, Signal } from './socket.ts';

/** As a wrapper's: eight full frames may be unacknowledged. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/**
 * Frames in flight are bounded too; otherwise a generator of tiny ones would only fill the socket's
 * buffer.
 */
const WINDOW_FRAMES = 1024;
const STALL_MS = 120_000;

export interface Channel {
  writer: WebSocket;
  viewers: WebSocket[];
  /** Seq of the next event, for systems that count. */
  nextSeq: number;
  /**
   * True when this text is an ack of one frame or more. Returns how many frames are acked since the
   * channel was opened, or the seq.
   */
  acked(text: Buffer): { seq: number } | { frames: number } | null;
  /** Ends it in order, so that a next series begins on something idle. */
  close(): Promise<void>;
}

/** How a series went, from the first byte sent to the last ack and the last viewer's last event. */
export interface Series {
  ms: number;
  events: number;
  bytes: number;
}

/** Writes all frames as fast as acks arrive, and waits until they are acked and seen. */
export async function deliver(channel: Channel, frames: readonly Prepared[]): Promise<Series> {
  const { writer, viewers } = channel;
  // It would accept everything without an error.
  if (writer.readyState !== WebSocket.OPEN) throw new Error('the writer is not connected any more');
  const over = new Signal<void>();
  let next = 0;
  let inFlight = 0;
  let ackedFrames = 0;
  let base: number | null = null;
  let seen = 0;
  const lastSeqs: number[] = [];
  let seq = channel.nextSeq - 1;
  for (const { count } of frames) {
    seq += count;
    lastSeqs.push(seq);
  }
  channel.nextSeq = seq + 1;

  const check = (): void => {
    if (ackedFrames === frames.length && seen === viewers.length) over.resolve();
  };
  const pump = (): void => {
    while (next < frames.length && inFlight < WINDOW_BYTES && next - ackedFrames < WINDOW_FRAMES) {
      const { frame } = frames[next] as Prepared;
      writer.send(frame, { binary: false });
      inFlight += frame.length;
      next += 1;
    }
  };
  const onAck = (data: Buffer): void => {
    const ack = channel.acked(data);
    if (!ack) return over.reject(new Error(`not an ack: ${data.toString().slice(0, 200)}`));
    if ('frames' in ack) base ??= ack.frames - 1;
    const isAcked = (index: number): boolean =>
      'frames' in ack ? index < ack.frames - (base as number) : (lastSeqs[index] as number) <= ack.seq;
    for (; ackedFrames < frames.length && isAcked(ackedFrames); ackedFrames += 1) {
      inFlight -= (frames[ackedFrames] as Prepared).frame.length;
    }
    pump();
    check();
  };
  const marks = viewers.map((viewer) => {
    const onMessage = (data: Buffer): void => {
      if (data.indexOf(LAST_MARK, Math.max(0, data.length - 96)) === -1) return;
      seen += 1;
      viewer.off('message', onMessage);
      check();
    };
    viewer.on('message', onMessage);
    return onMessage;
  });
  const onClose = (code: number): void => over.reject(new Error(`the writer's socket closed with ${code}`));
  const stalled = setTimeout(
    () => over.reject(new Error(`no end: ${ackedFrames} of ${frames.length} frames acked, ${seen} of ${viewers.length} viewers`)),
    STALL_MS,
  );
  writer.on('message', onAck);
  writer.on('close', onClose);
  const begun = performance.now();
  pump();
  try {
    await over.promise;
    const ms = performance.now() - begun;
    return {
      ms,
      events: frames.reduce((sum, { count }) => sum + count, 0),
      bytes: frames.reduce((sum, { frame }) => sum + frame.length, 0),
    };
  } finally {
    clearTimeout(stalled);
    writer.off('message', onAck);
    writer.off('close', onClose);
    for (const [index, viewer] of viewers.entries()) viewer.off('message', marks[index] as (data: Buffer) => void);
  }
}

export async function closeAll(sockets: readonly WebSocket[]): Promise<void> {
  await Promise.all(sockets.map(closed));
}
