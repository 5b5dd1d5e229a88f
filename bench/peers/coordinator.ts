/**
 * A coordinator without costs of its own: it welcomes, acks, and hashes the events, so the measured
 * time is the wrapper's. Talks to its parent by messages:
 *   → {absent: true}    closes and refuses every connection
 *   → {absent: false}   accepts connections again
 *   ← {url}, ← {welcomed}
 *   ← {over: {events, textBytes, sha256, lastAckAt, firstAt}}   after the terminal event
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { FRAME_BYTES_MAX, INGEST_SUBPROTOCOL, POLICY_DEFAULTS, WINDOW_BYTES } from '../../protocol/index.ts';

let absent = false;
let acked = 0;
let epoch = 0;
let firstAt = 0;
const kept: Buffer[] = [];
const sockets = new Set<WebSocket>();

const server = new WebSocketServer({
  port: 0,
  host: '127.0.0.1',
  perMessageDeflate: false,
  skipUTF8Validation: true,
  handleProtocols: () => INGEST_SUBPROTOCOL,
  verifyClient: (_, answer) => answer(!absent, 503, 'absent'),
});
await once(server, 'listening');
process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/sessions/s/executions/e/ingest` });

server.on('connection', (ws) => {
  sockets.add(ws);
  ws.on('close', () => sockets.delete(ws));
  ws.on('message', (data: Buffer) => {
    const text = data.subarray(0, 128).toString('latin1');
    if (text === 'ping') return ws.send('pong');
    if (text.startsWith('{"type":"hello"')) {
      epoch += 1;
      ws.send(
        JSON.stringify({
          type: 'welcome',
          protocol: 1,
          epoch,
          ackedSeq: acked,
          policy: POLICY_DEFAULTS,
          limits: { frameBytes: FRAME_BYTES_MAX, windowBytes: WINDOW_BYTES },
          commands: [],
        }),
      );
      process.send?.({ welcomed: Date.now() });
      return;
    }
    const [, seq, count] = /^\{"type":"events","seq":(\d+),"count":(\d+)\}/.exec(text) ?? [];
    // Never happens with one wrapper; the checksums would show it.
    if (seq === undefined || Number(seq) !== acked + 1) return;
    firstAt ||= Date.now();
    acked += Number(count);
    kept.push(data);
    ws.send(`{"type":"ack","seq":${acked}}`);
    if (data.subarray(-256).includes('"type":"exit"')) finish(ws);
  });
});

function finish(ws: WebSocket): void {
  const lastAckAt = Date.now();
  setTimeout(() => ws.close(4000, '{"status":"completed"}'), 5);
  const hash = createHash('sha256');
  let textBytes = 0;
  for (const frame of kept.splice(0)) {
    for (const line of frame.toString().split('\n').slice(1)) {
      const { type, data } = JSON.parse(line) as { type: string; data: { text?: string } };
      if (type !== 'output') continue;
      const text = Buffer.from(data.text ?? '');
      textBytes += text.length;
      hash.update(text);
    }
  }
  process.send?.({ over: { events: acked, textBytes, sha256: hash.digest('hex'), lastAckAt, firstAt } });
  acked = 0;
  firstAt = 0;
}

process.on('message', (message: { absent: boolean }) => {
  ({ absent } = message);
  if (absent) for (const ws of sockets) ws.terminate();
});
process.on('disconnect', () => process.exit(0));
