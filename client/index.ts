/**
 * The client, for browsers and Node: no DOM, no Node imports.
 *
 *   http             start, get, wait, interrupt, … : one typed call each
 *   session-stream   follow a session or an execution through cuts, each event once; opens with a map of its parts
 *   stream-types     what a stream is given and what it tells
 *   socket           the port that a WebSocket implementation is plugged into
 */

export * from './http.ts';
export * from './session-stream.ts';
export * from './socket.ts';
export * from './stream-types.ts';
