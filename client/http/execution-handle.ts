/**
 * One execution by name: the client's calls with the ids filled in. Has no state and sends nothing
 * by itself.
 */

import type { ExecutionHandle, HoldfastClient } from './types.ts';

export function executionHandle(client: HoldfastClient, session: string, id: string): ExecutionHandle {
  return {
    session,
    id,
    get: (options) => client.get(session, id, options),
    wait: (options) => client.wait(session, id, options),
    interrupt: (request, options) => client.interrupt(session, id, request, options),
    fail: (request, options) => client.fail(session, id, request, options),
    send: (input, options) => client.sendInput(session, id, input, options),
    answer: (answer, options) => client.answer(session, id, answer, options),
    resize: (size, options) => client.resize(session, id, size, options),
    events: (options) => client.events(session, { ...options, execution: id }),
    readEvents: (options) => client.readEvents(session, { ...options, execution: id }),
    ticket: (request, options) => client.createTicket(session, { ...request, execution: id }, options),
  };
}
