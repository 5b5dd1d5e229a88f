/**
 * What the user of a stream sees: options, timings, states, controls, the failure. The options are
 * checked once, in the constructor, before anything is opened.
 */

import { isId, type TerminalStatus } from '../../protocol/index.ts';
import type { PageLifecycle } from './page-lifecycle.ts';
import { type ConnectSocket, connectorOf, type WebSocketConstructor } from './socket.ts';

export interface StreamTimings {
  /**
   * From the start of an attempt, ticket included, to its hello. A half-open handshake never ends
   * by itself.
   */
  connectMs: number;
  pingMs: number;
  /** The connection is dead when nothing arrives for this long after a ping. */
  pongMs: number;
  /**
   * The same for a page that comes back. It is shorter: the connection is more likely dead, and a
   * user waits.
   */
  probeMs: number;
  /**
   * A connection that was silent for longer may have died while its page slept. Above `pingMs`, so
   * that a live connection is never silent for this long.
   */
  staleMs: number;
  retryBaseMs: number;
  retryCapMs: number;
  /** A connection that lived this long after its hello counts as sound, however it ended. */
  soundMs: number;
  /**
   * How long a stream keeps trying against `unauthorized` and `not_found` after its first hello.
   * Covers a coordinator that restarts with another key or folder.
   */
  refusedMs: number;
}

export const STREAM_TIMINGS: Readonly<StreamTimings> = {
  connectMs: 20_000,
  pingMs: 15_000,
  pongMs: 8_000,
  probeMs: 5_000,
  staleMs: 20_000,
  retryBaseMs: 500,
  retryCapMs: 8_000,
  soundMs: 5_000,
  refusedMs: 10_000,
};

export type StreamState =
  | { status: 'connecting'; attempt: number }
  | { status: 'replaying' }
  | { status: 'live' }
  | { status: 'reconnecting'; attempt: number; retryInMs: number; code: number; reason: string }
  | { status: 'refreshing-credential' }
  /**
   * The page is hidden and there is no connection. The next attempt waits for the page, or for
   * `reconnect()`.
   */
  | { status: 'paused'; reason: string }
  | { status: 'ended'; execution: string; executionStatus: TerminalStatus }
  | { status: 'closed' }
  | { status: 'failed'; code: string; reason: string };

/** Not an event. The listener gets it when the consumer has taken every event before it. */
export type StreamControl = { type: 'caught_up'; offset: number } | { type: 'end'; execution: string; status: TerminalStatus };

export interface SessionStreamOptions {
  /** Base URL of the deployment, http(s) or ws(s). */
  url: string;
  session: string;
  /**
   * Returns a new ticket for each connection. An error with `retryable: false` fails the stream;
   * any other is retried.
   */
  getTicket?: () => string | Promise<string>;
  /**
   * Sent as a header, so it needs `connect` or a `WebSocketImpl` that takes headers, such as the
   * `ws` package's.
   */
  apiKey?: string;
  /** Begin after this offset. Without `after` and `tail`: from the start. */
  after?: number;
  /** Begin with the last so many offsets of the session. */
  tail?: number;
  /**
   * `screen`: begin with the newest screen of one execution's terminal, or with the execution's
   * first event where there is no screen. Needs one `execution`; excludes `after` and `tail`.
   */
  from?: 'screen';
  /**
   * The log that `after` belongs to: `hello.generation` of the earlier stream. Another log fails
   * with `log_replaced`.
   */
  generation?: string | undefined;
  /**
   * With one or more executions the stream ends when all of them have. An empty list throws, and so
   * does an empty list of types: it could mean everything or nothing.
   */
  execution?: string | readonly string[];
  types?: readonly string[];
  signal?: AbortSignal;
  /**
   * The coordinator waits for a slow consumer. With `false` it closes with 4413 instead, and the
   * stream resumes. Default true.
   */
  flow?: boolean;
  WebSocketImpl?: WebSocketConstructor;
  connect?: ConnectSocket;
  /** Default: the page this runs in, if any. `null`: none, so a hidden page keeps trying. */
  pageLifecycle?: PageLifecycle | null;
  onState?: (state: StreamState) => void;
  onControl?: (control: StreamControl) => void;
  /** Fails with `unreachable` after this long without a hello. Default: never. */
  giveUpAfterMs?: number;
  timings?: Partial<StreamTimings>;
  random?: () => number;
}

/**
 * The iteration throws it when the stream failed, after every event that was received has been
 * taken.
 */
export class StreamFailure extends Error {
  override readonly name = 'StreamFailure';
  /**
   * `offset_expired`, `offset_ahead`, `log_replaced`, `unauthorized`, `not_found`, `unreachable`,
   * `gap`, a problem code, or `closed_<code>`.
   */
  readonly code: string;
  readonly reason: string;
  constructor(code: string, reason: string) {
    super(`the stream failed: ${reason} (${code})`);
    this.code = code;
    this.reason = reason;
  }
}

/**
 * The code with which the coordinator refuses a place in a deleted log, and its meaning in words.
 */
export const LOG_REPLACED = 'log_replaced';
export const LOG_REPLACED_REASON = 'the session was deleted and made again; start from the beginning';

/** The options after the check, with defaults. */
export interface StreamSettings {
  readonly options: SessionStreamOptions;
  readonly timings: Readonly<StreamTimings>;
  readonly connectSocket: ConnectSocket;
  readonly endpoint: URL;
  /** Executions that were asked for; empty for the whole session. */
  readonly executions: readonly string[];
  /** The options leave some offsets out. */
  readonly filtered: boolean;
  /** Every offset arrives, so a hole is a fault. A ticket may filter more than the options do. */
  readonly complete: boolean;
}

/** Throws a `TypeError` for a mistake in the options. */
export function checkOptions(options: SessionStreamOptions): StreamSettings {
  const { url, session, execution, types, after, tail, from, getTicket, apiKey, WebSocketImpl, connect } = options;
  if (!isId(session)) throw new TypeError('session must be an id');
  if (after !== undefined && tail !== undefined) throw new TypeError('after and tail exclude each other');
  if (from !== undefined) {
    if (from !== 'screen') throw new TypeError('from must be screen');
    if (after !== undefined || tail !== undefined) throw new TypeError('from excludes after and tail');
    if ([execution ?? []].flat().length !== 1) throw new TypeError('from needs exactly one execution');
  }
  for (const [name, value] of Object.entries({ after, tail })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) throw new TypeError(`${name} must be a whole number`);
  }
  if (!getTicket && apiKey === undefined) throw new TypeError('give getTicket or apiKey');
  if (!getTicket && !connect && !WebSocketImpl) {
    throw new TypeError('a browser sends no API key: give getTicket, or a WebSocketImpl that takes headers');
  }
  for (const [name, list] of Object.entries({ execution, types })) {
    if (list?.length === 0) throw new TypeError(`${name} is empty: leave it out to read all`);
  }
  const Impl = WebSocketImpl ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!connect && !Impl) throw new TypeError('no WebSocket here: give WebSocketImpl or connect');
  const executions = execution === undefined ? [] : [execution].flat();
  const filtered = execution !== undefined || types !== undefined;
  return {
    options,
    timings: { ...STREAM_TIMINGS, ...options.timings },
    connectSocket: connect ?? connectorOf(Impl as WebSocketConstructor),
    endpoint: new URL(`${url.replace(/\/+$/, '').replace(/^http/, 'ws')}/v1/sessions/${session}/stream`),
    executions,
    filtered,
    complete: !filtered && getTicket === undefined,
  };
}

/** Where a connection begins. */
export type Place = ({ after: number } | { tail: number } | { from: 'screen' }) & { generation?: string };

/** The address of one connection. Only the place differs between the connections of a stream. */
export function addressOf({ endpoint, executions, options }: StreamSettings, place: Place): string {
  const { types, flow = true } = options;
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(place)) url.searchParams.set(name, String(value));
  if (executions.length > 0) url.searchParams.set('execution', executions.join(','));
  if (types) url.searchParams.set('types', types.join(','));
  if (flow) url.searchParams.set('flow', 'ack');
  return url.href;
}
