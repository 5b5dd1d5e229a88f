/**
 * Waiting for the end of an execution, in the stateless Worker: a stream of it is opened over a hibernatable socket, so that the session's object sleeps
 * while somebody waits. The answer is read from the row afterwards; this only says when it is worth reading.
 */

import { parseStreamFrame, TERMINAL_STATUSES, verdictType } from '../protocol/index.ts';
import { sessionStub } from './calls.ts';
import type { Env } from './env.ts';
import { logLine, messageOf } from './log.ts';
import { REQUEST_HEADER, type SocketRequest } from './session/coordinator.ts';

export async function waitForEnd(env: Env, tenant: string, session: string, execution: string, timeoutMs: number): Promise<void> {
  const wanted: SocketRequest = {
    kind: 'stream',
    request: { after: null, tail: 0, executions: [execution], types: TERMINAL_STATUSES.map(verdictType), flow: false },
  };
  try {
    const response = await sessionStub(env, tenant, session).fetch('https://session/stream', {
      headers: { upgrade: 'websocket', [REQUEST_HEADER]: JSON.stringify(wanted) },
    });
    const ws = response.webSocket;
    if (!ws) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      const over = (): void => {
        clearTimeout(timer);
        resolve();
      };
      ws.addEventListener('message', ({ data }) => {
        if (typeof data === 'string' && parseStreamFrame(data)?.type === 'end') over();
      });
      ws.addEventListener('close', over);
      ws.addEventListener('error', over);
      ws.accept();
    });
    ws.close(1000, 'waited');
  } catch (error) {
    // The caller reads the row in any case; a wait that could not be kept is a short one.
    logLine('warn', 'wait_failed', { session, execution, message: messageOf(error) });
  }
}
