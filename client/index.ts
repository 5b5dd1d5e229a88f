/**
 * The client, for browsers and Node: no DOM, no Node imports.
 *
 *   http/client             one typed call for each operation; execution-handle: for one execution
 *   http/types              what the calls take and return
 *   http/request            the attempts of a call; credential, error, hedge and replace-once
 *   http/read-events        one page of the log
 *   stream/session-stream   follows a session through cuts, each event once; has a map of its parts
 *   stream/options          the options and states of a stream
 *   stream/socket           the interface of a WebSocket implementation
 *   stream/page-lifecycle   the interface of a browser page
 *   terminal/               what viewers of a terminal share: viewer-filter, own-modes, key-queue;
 *                           not part of the package's entries
 *
 * `react.ts`, `agent.ts` and `agent-react.ts` are entries of their own.
 */

export {
  type AnswerRequest,
  asKnown,
  type EventOf,
  type Execution,
  gapText,
  type InputRequest,
  isEvent,
  isTerminal,
  type JsonObject,
  type KnownEvent,
  type KnownEventData,
  type KnownType,
  type LoggedEvent,
  type OpenQuestion,
  outputBytes,
  type Problem,
  type ProblemCode,
  type QuestionOption,
  type SessionSummary,
  STATUSES,
  type StartRequest,
  type Status,
  type TerminalStatus,
  type TicketRight,
  terminalStatusOf,
} from '../protocol/index.ts';
export * from './http/client.ts';
export type { ClientCredential, TicketSource } from './http/credential.ts';
export * from './http/error.ts';
export type { EventPage, ReadEventsOptions } from './http/read-events.ts';
export { CLIENT_DEFAULTS, type RequestOptions } from './http/request.ts';
export { readTicket, type TicketClaims } from './http/ticket.ts';
export * from './http/types.ts';
export {
  type SessionStreamOptions,
  STREAM_TIMINGS,
  type StreamControl,
  StreamFailure,
  type StreamState,
  type StreamTimings,
} from './stream/options.ts';
export { type PageChange, type PageLifecycle, pageOf } from './stream/page-lifecycle.ts';
export * from './stream/session-stream.ts';
export * from './stream/socket.ts';
