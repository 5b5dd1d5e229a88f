/**
 * Agents as conversations: pure readers of what coding agents print, without I/O and without
 * dependencies.
 *
 *   items.ts         the types: items, questions, answers, summary
 *   reader.ts        events of a log to items
 *   conversation.ts  the list of items, and what all formats do with it
 *   claude.ts, codex.ts, opencode.ts, acp.ts    one format each
 *   claude-asking.ts, acp-asking.ts  its questions, and the replies to them
 *   detect.ts        `auto`: which format a line is
 *   parts.ts         lines that are too long for one event
 *   prompt.ts        the command of an agent in parts, and the prompt in it
 *   next-turn.ts     the command that continues a conversation
 *   text.ts          a conversation as plain text
 *   asking.ts        which questions are open, for the wrapper
 *   answer.ts        what is written to an agent: answers, messages, interrupts
 */

export { answerError, encodeAnswer, encodeInterrupt, encodeMessage, encodeRefusal, questionsIn } from './answer.ts';
export { AskingReader } from './asking.ts';
export { refuses } from './conversation.ts';
export { detectFormat } from './detect.ts';
export * from './items.ts';
export { conversationCommand, formatOfCommand, messageOf, type NextTurn, nextTurn } from './next-turn.ts';
export { LineParts } from './parts.ts';
export { promptOf } from './prompt.ts';
export { ConversationReader } from './reader.ts';
export { answerText, ConversationText, type TextOptions, type TextPiece, usageText } from './text.ts';
