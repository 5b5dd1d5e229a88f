/**
 * The client, for browsers and Node: no DOM, no Node imports.
 *
 *   http             start, get, wait, interrupt, … : one typed call each
 *   session-stream   follow a session or an execution through cuts, each event once
 *   socket           the port that a WebSocket implementation is plugged into
 */

export * from './http.ts';
export * from './session-stream.ts';
export * from './socket.ts';
