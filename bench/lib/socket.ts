/**
 * WebSockets of the generator, as cheap as they can be: it shares the machine with what it
 * measures.
 */

import { once } from 'node:events';
import { WebSocket } from 'ws';

/**
 * A mask of zeros leaves the payload as it is, and `ws` then leaves out the loop over it. The frame
 * stays valid.
 */
const noMask = (mask: Buffer): void => void mask.fill(0);

export async function connect(url: string, protocol?: string, headers: Record<string, string> = {}): Promise<WebSocket> {
  const ws = new WebSocket(url.replace(/^http/, 'ws'), protocol ? [protocol] : [], {
    headers,
    generateMask: noMask,
    skipUTF8Validation: true,
    perMessageDeflate: false,
    maxPayload: 64 * 1024 * 1024,
  });
  // What comes with the upgrade's answer would be there before anyone listens; a turn later those
  // who want it do.
  ws.once('open', () => {
    ws.pause();
    setImmediate(() => ws.resume());
  });
  await once(ws, 'open');
  return ws;
}

export async function closed(ws: WebSocket): Promise<void> {
  if (ws.readyState === WebSocket.CLOSED) return;
  const over = once(ws, 'close');
  ws.close(1000);
  const timer = setTimeout(() => ws.terminate(), 2000);
  await over;
  clearTimeout(timer);
}

/** A promise that someone else settles. */
export class Signal<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => {});
  }
}
