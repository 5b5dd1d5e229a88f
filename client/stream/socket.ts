/**
 * The socket that a stream needs, as a narrow interface: text out, text in, one end. Browsers and
 * Node differ in how a credential travels and in what they report about a refused upgrade.
 * `ConnectSocket` hides that difference.
 */

export interface SocketRequest {
  url: string;
  protocols: string[];
  /** Empty for connectors that cannot set headers, as a browser's WebSocket. */
  headers: Record<string, string>;
}

/**
 * An HTTP answer in place of the upgrade. Browsers hide it (close 1006); Node connectors should
 * pass it on.
 */
export interface Refusal {
  status: number;
  retryAfter: string | null;
  /**
   * From the problem document of the coordinator (`readProblem`). Without it the answer counts as
   * the network's, and is retried.
   */
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

/**
 * The stream's side. `close` is called once, as the last call. Calls after the stream closed the
 * socket are ignored.
 */
export interface SocketEvents {
  open(): void;
  message(text: string): void;
  close(end: SocketEnd): void;
}

export interface StreamSocket {
  /** May throw when the socket is not open. */
  send(text: string): void;
  /** May be called in any state, and more than once. */
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
    // A close always follows an error, and carries all that is known.
    socket.onerror = () => {};
    return {
      send: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
    };
  };
}
