/** Answers a question of a run's agent. */

import { type AnswerChoice, choiceText, type OpenQuestion } from '../../protocol/index.ts';
import { type Context, printJson, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { questionLines } from '../questions.ts';
import { formatReference, parseReference, UsageError } from '../settings.ts';
import { escapeControls } from '../terminal-text.ts';
import type { ReferenceFlags } from './control.ts';

export interface AnswerFlags extends ReferenceFlags {
  id?: string;
  text?: string;
}

export async function answer(context: Context, id: string, given: readonly string[], flags: AnswerFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const name = formatReference(reference);
  if (given.length > 0 && flags.text !== undefined) throw new UsageError('give an option or --text, not both');
  const { asking } = await context.client.get(reference.session, reference.execution);
  const question = flags.id ?? asking?.id;
  if (question === undefined) throw new UsageError(`${name} asks nothing now`);
  // The view has the oldest question alone; of another one only the coordinator knows the options.
  const known = asking?.id === question ? asking : undefined;
  if (given.length === 0 && flags.text === undefined) {
    const lines = known ? `\n${questionLines(known, name).join('\n')}` : '';
    throw new UsageError(`an option is missing, or --text${lines}`);
  }
  const choice = choiceOf(given, flags.text, known);
  await context.client.answer(reference.session, reference.execution, { id: question, ...choice });
  if (context.json) await printJson(context, { id: question, ...choice });
  else await printNote(context, `${name} was answered: ${escapeControls(choiceText(choice, known?.options))}`);
  return EXIT.ok;
}

function choiceOf(given: readonly string[], text: string | undefined, question: OpenQuestion | undefined): AnswerChoice {
  if (text !== undefined) return { text };
  const ids = given.map((word) => optionOf(word, question));
  const [option] = ids;
  return ids.length === 1 && option !== undefined ? { option } : { options: ids };
}

/** An id, or the label of one option alone. What is neither is refused by the coordinator. */
function optionOf(word: string, question: OpenQuestion | undefined): string {
  const options = question?.options ?? [];
  if (options.some(({ id }) => id === word)) return word;
  const named = options.filter(({ label }) => label.toLowerCase() === word.toLowerCase());
  return named.length === 1 && named[0] ? named[0].id : word;
}
