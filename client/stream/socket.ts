/**
 * The socket that a session stream needs, as the narrowest port: text out, text in, one end. Browsers and Node differ in how a
 * credential travels and in what they tell about a refused upgrade; that difference stays behind `ConnectSocket`.
 */

export interface SocketRequest {
  url: string;
  protocols: string[];
  /** Only connectors that can set headers get any: a browser's WebSocket can not. */
  headers: Record<string, string>;
}

/** An HTTP answer in place of the upgrade. Browsers hide it (close 1006); Node connectors should pass it on. */
export interface Refusal {
  status: number;
  retryAfter: string | null;
  /** Of the problem document, when the coordinator sent one (`readProblem` tells). Without it the answer counts as the network's, and is retried. */
  code?: string;
  detail?: string;
  retryable?: boolean;
  /** The session was deleted. */
  deleted?: boolean;
}

export interface SocketEnd {
  code: number;
  reason: string;
  refusal?: Refusal;
}

/** The stream's side. `close` is called once and is the last call; calls after the stream let go of the socket are ignored. */
export interface SocketEvents {
  open(): void;
  message(text: string): void;
  close(end: SocketEnd): void;
}

export interface StreamSocket {
  /** May throw when the socket is not open. */
  send(text: string): void;
  /** Lets go of the socket; may be called in any state, more than once. */
  close(code: number, reason: string): void;
}

export type ConnectSocket = (request: SocketRequest, events: SocketEvents) => StreamSocket;

interface WebSocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
}

/** A browser's `WebSocket`, or one with the `ws` package's third argument. */
export type WebSocketConstructor = new (url: string, protocols: string[], options?: { headers: Record<string, string> }) => unknown;

export function connectorOf(WebSocketImpl: WebSocketConstructor): ConnectSocket {
  return ({ url, protocols, headers }, events) => {
    const options = Object.keys(headers).length > 0 ? [{ headers }] : [];
    const socket = new WebSocketImpl(url, protocols, ...options) as WebSocketLike;
    socket.onopen = () => events.open();
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (typeof data === 'string') events.message(data);
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => events.close({ code, reason });
    // An error is always followed by a close, which carries all that is known.
    socket.onerror = () => {};
    return {
      send: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
    };
  };
}
