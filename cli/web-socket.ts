/**
 * The `ws` package as the client's socket port. Unlike a browser it can send headers and read why
 * an upgrade was refused.
 */

import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { ConnectSocket, Refusal, SocketEnd } from '../client/index.ts';
import { agentFor } from '../egress/proxy-agent.ts';
import { readRefusalBody } from '../egress/read-body.ts';
import { trustSystemIfUntrusted } from '../egress/system-ca.ts';
import { describeConnectionFailure, describeForeignAnswer, readProblem } from '../protocol/index.ts';

/**
 * Timeout for a peer that does not answer a close frame, or sent one and does not hang up (the
 * platform does not): `ws` would wait for 30 s.
 */
const CLOSE_TIMEOUT_MS = 500;

export const connectWithWs: ConnectSocket = ({ url, protocols, headers }, events) => {
  // `closeTimeout` is newer than the type.
  const agent = agentFor(url);
  const options: WebSocket.ClientOptions & { closeTimeout: number } = {
    ...(agent ? { agent } : {}),
    headers,
    perMessageDeflate: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
  };
  const socket = new WebSocket(url, protocols, options);
  let problem = '';
  let ended = false;
  const end = (how: SocketEnd) => {
    if (ended) return;
    ended = true;
    events.close(how);
  };
  socket.on('open', () => events.open());
  socket.on('message', (data, isBinary) => {
    if (!isBinary) events.message(String(data));
  });
  socket.on('error', (error) => {
    trustSystemIfUntrusted(error);
    problem = describeConnectionFailure(error);
  });
  socket.on('close', (code, reason) => end({ code, reason: String(reason) || problem }));
  socket.on('unexpected-response', (request, response) => {
    void readRefusalBody(response).then((body) => {
      request.destroy();
      const refusal = refusalOf(response, body);
      end({ code: 1006, reason: `HTTP ${refusal.status}`, refusal });
    });
  });
  return {
    send(text) {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close(code, reason) {
      socket.close(code, reason);
      setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS).unref();
    },
  };
};

function refusalOf({ statusCode: status = 0, headers }: IncomingMessage, body: string): Refusal {
  const problem = readProblem(status, headers['content-type'], body);
  const retryAfter = headers['retry-after'] ?? null;
  if (!problem) return { status, retryAfter, detail: describeForeignAnswer(status, headers['content-type']) };
  const { code, detail, retryable, deleted = false } = problem;
  return { status, retryAfter, code, detail, retryable, deleted };
}
