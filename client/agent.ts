/**
 * Agents as conversations: the readers of what coding agents print, and the conversation of a run
 * while it grows. An entry of its own, since most pages follow logs.
 *
 *   ../agent/                  readers, types, answers, text; pure
 *   agent/read-agent           a run as an async iterable of changes
 *   agent/send-next            the next turn, as another execution
 *   agent/conversation-store   the same for user interfaces; agent-react.ts has the hook
 */

export * from '../agent/index.ts';
export { startTermsOf } from '../protocol/again.ts';
export { type AgentRun, type ConversationUpdate, type ReadAgentOptions, readAgent } from './agent/read-agent.ts';
export { nextStart, sendNext } from './agent/send-next.ts';
