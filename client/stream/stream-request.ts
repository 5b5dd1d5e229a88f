/**
 * What the options ask for: checked once, then turned into an address for every connection.
 *
 * Owns nothing that changes. A mistake in the options is thrown from the constructor, before anything is opened.
 */

import { isId } from '../../protocol/index.ts';
import { type ConnectSocket, connectorOf, type WebSocketConstructor } from './socket.ts';
import type { Place } from './stream-cursor.ts';
import type { SessionStreamOptions } from './stream-types.ts';

export interface StreamRequest {
  readonly connectSocket: ConnectSocket;
  readonly endpoint: URL;
  /** Executions that were asked for; empty for all of the session. */
  readonly executions: readonly string[];
  /** Some offsets are left out because this side asked for that. */
  readonly filtered: boolean;
  /** Every offset comes, so a hole is a fault. A ticket may filter more than was asked for. */
  readonly complete: boolean;
}

export function requestOf(options: SessionStreamOptions): StreamRequest {
  const { url, session, execution, types, after, tail, getTicket, apiKey, WebSocketImpl, connect } = options;
  if (!isId(session)) throw new TypeError('session must be an id');
  if (after !== undefined && tail !== undefined) throw new TypeError('after and tail exclude each other');
  for (const [name, value] of Object.entries({ after, tail })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) throw new TypeError(`${name} must be a whole number`);
  }
  if (!getTicket && apiKey === undefined) throw new TypeError('give getTicket or apiKey');
  if (!getTicket && !connect && !WebSocketImpl) {
    throw new TypeError('a browser sends no API key: give getTicket, or a WebSocketImpl that takes headers');
  }
  const Impl = WebSocketImpl ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!connect && !Impl) throw new TypeError('no WebSocket here: give WebSocketImpl or connect');
  const executions = execution === undefined ? [] : typeof execution === 'string' ? [execution] : execution;
  const filtered = executions.length > 0 || (types?.length ?? 0) > 0;
  return {
    connectSocket: connect ?? connectorOf(Impl as WebSocketConstructor),
    endpoint: new URL(`${url.replace(/\/+$/, '').replace(/^http/, 'ws')}/v1/sessions/${session}/stream`),
    executions,
    filtered,
    complete: !filtered && getTicket === undefined,
  };
}

/** The address of one connection: it differs from the last one's in its place only. */
export function addressOf({ endpoint, executions }: StreamRequest, options: SessionStreamOptions, place: Place): string {
  const { types } = options;
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(place)) url.searchParams.set(name, String(value));
  if (executions.length > 0) url.searchParams.set('execution', executions.join(','));
  if (types && types.length > 0) url.searchParams.set('types', types.join(','));
  if (options.flow ?? true) url.searchParams.set('flow', 'ack');
  return url.href;
}
