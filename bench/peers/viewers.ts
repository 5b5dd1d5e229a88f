/**
 * Many viewers in a process of their own: they count received bytes and parse nothing. Talks to its
 * parent by messages:
 *   → {count, url, protocol?, headers?}   connect             ← {connected}
 *   → {watch: true}                       wait for the mark   ← {seen, frames, bytes} from all
 */

import type { WebSocket } from 'ws';
import { LAST_MARK } from '../lib/frames.ts';
import { connect } from '../lib/socket.ts';

interface Connect {
  count: number;
  url: string;
  protocol?: string;
  headers?: Record<string, string>;
}

const viewers: WebSocket[] = [];
let waiting = 0;
let frames = 0;
let bytes = 0;

function onMessage(data: Buffer): void {
  frames += 1;
  bytes += data.length;
  if (waiting === 0 || data.indexOf(LAST_MARK, Math.max(0, data.length - 96)) === -1) return;
  waiting -= 1;
  if (waiting === 0) process.send?.({ seen: true, frames, bytes });
}

async function open({ count, url, protocol, headers }: Connect): Promise<void> {
  for (let done = 0; done < count; done += 100) {
    const more = await Promise.all(Array.from({ length: Math.min(100, count - done) }, () => connect(url, protocol, headers)));
    for (const viewer of more) viewer.on('message', onMessage);
    viewers.push(...more);
  }
  process.send?.({ connected: viewers.length });
}

process.on('message', (message: Connect | { watch: true }) => {
  if ('watch' in message) {
    waiting = viewers.length;
    frames = 0;
    bytes = 0;
  } else {
    open(message).catch((error: Error) => process.send?.({ failed: error.message }));
  }
});
process.on('disconnect', () => process.exit(0));
