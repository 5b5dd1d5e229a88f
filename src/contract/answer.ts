/** An answer to a question, from the form of a caller to the one form that the session takes. */

import type * as z from 'zod';
import type { AnswerChoice, Author, Failure } from '../../protocol/index.ts';
import type { NormalAnswer } from '../core/asking.ts';
import { failure } from './failure.ts';
import type { answerSchema } from './schemas.ts';

type AnswerBody = z.infer<typeof answerSchema>;

const FORMS = ['option', 'options', 'text'] as const;

export function normaliseAnswer(
  body: AnswerBody,
  by: Author,
  idempotencyKey?: string,
): { ok: true; answer: NormalAnswer } | Failure {
  const { id: question, option, options, text, answerId = idempotencyKey ?? null } = body;
  const [first, second] = FORMS.filter((form) => body[form] !== undefined);
  if (second !== undefined)
    return failure('bad_request', `${second}: ${first} and ${second} exclude each other`, { field: second });
  if (first === undefined) {
    return failure('bad_request', 'option: exactly one of option, options and text is needed', { field: 'option' });
  }
  if (idempotencyKey !== undefined && answerId !== idempotencyKey) {
    return failure('bad_request', 'Idempotency-Key and answerId differ', { field: 'answerId' });
  }
  const choice: AnswerChoice = {
    ...(option === undefined ? {} : { option }),
    ...(options === undefined ? {} : { options }),
    ...(text === undefined ? {} : { text }),
  };
  return { ok: true, answer: { question, choice, answerId, by } };
}
