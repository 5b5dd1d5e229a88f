/**
 * The client, for browsers and Node: no DOM, no Node imports.
 *
 *   http              start, get, wait, interrupt, read, … : one typed call each; execution-handle: the same for one execution
 *   http-types        what these take and give
 *   http-request      the attempts of a call; credential: what they carry; http-error: what they throw
 *   read-events       a page of the log
 *   session-stream    follow a session or an execution through cuts, each event once; opens with a map of its parts
 *   stream-types      what a stream is given and what it tells
 *   socket            the port that a WebSocket implementation is plugged into
 *   page-lifecycle    the port that a browser page is plugged into
 *
 * `react.ts` is an entry of its own.
 */

export {
  asKnown,
  type EventOf,
  type Execution,
  gapText,
  isEvent,
  isTerminal,
  type JsonObject,
  type KnownEvent,
  type KnownEventData,
  type KnownType,
  type LoggedEvent,
  type Problem,
  type ProblemCode,
  type SessionSummary,
  STATUSES,
  type StartRequest,
  type Status,
  type TerminalStatus,
  terminalStatusOf,
} from '../protocol/index.ts';
export * from './http/client.ts';
export type { ClientCredential, TicketSource } from './http/credential.ts';
export * from './http/error.ts';
export type { EventPage, ReadEventsOptions } from './http/read-events.ts';
export { CLIENT_DEFAULTS, type RequestOptions } from './http/request.ts';
export * from './http/types.ts';
export { type PageChange, type PageLifecycle, pageOf } from './stream/page-lifecycle.ts';
export * from './stream/session-stream.ts';
export * from './stream/socket.ts';
export * from './stream/stream-types.ts';
