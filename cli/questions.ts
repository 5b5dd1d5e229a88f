/** A question of an agent for people, with the command that answers it. */

import type { AskingData } from '../protocol/index.ts';
import { quoted } from './shell-words.ts';

/**
 * Lines without line ends: the question and its options, and the command unless nothing can be
 * answered any more.
 */
export function questionLines(question: AskingData, reference: string | null): string[] {
  const { options } = question;
  const width = Math.max(...options.map(({ id }) => id.length));
  return [
    `the agent asks: ${question.text}`,
    ...options.map(
      ({ id, label, description }) => `  ${id.padEnd(width)}  ${label}${description === undefined ? '' : ` (${description})`}`,
    ),
    ...(reference === null ? [] : [commandLine(question, reference)]),
  ];
}

/** What to do about it, as a line. */
export const commandLine = (question: AskingData, reference: string): string =>
  `${question.multiple ? 'answer it, with one option or more' : 'answer it'}: ${answerCommand(question, reference)}`;

/** As it is typed into a shell. The id is in it, so that it cannot answer a later question. */
export function answerCommand({ id, options, freeText }: AskingData, reference: string): string {
  const texts = freeText ? ["--text '…'"] : [];
  const ids = options.map((option) => quoted(option.id));
  return `holdfast answer ${reference} --id ${quoted(id)} ${[...ids, ...texts].join(' | ')}`;
}

/** The data of an `asking` event, whatever a later version put into it; null when it is none. */
export function askingOf(data: Record<string, unknown>): AskingData | null {
  const { id, text, options } = data;
  const isSound = typeof id === 'string' && typeof text === 'string' && Array.isArray(options);
  return isSound ? (data as unknown as AskingData) : null;
}
