/**
 * The open questions of an execution, and whether an answer is accepted. Pure.
 *
 *   AQ1  A question is open from its wrapper's `asking` until it is answered, its wrapper reports
 *        its end, or the execution has its verdict. Nothing else ends it.
 *   AQ2  An answer is written once: it is taken out of the open ones, and its event, its command and
 *        its note are rows of one transaction. So a second answer finds the first one's note.
 *   AQ3  A refused answer changes nothing.
 */

import {
  type AnswerChoice,
  type AnswerCommandData,
  type AnsweredData,
  type AskingData,
  type Author,
  type Failure,
  FEATURE_ASKING,
  type HoldfastEvent,
  type OpenQuestion,
  QUESTIONS_OPEN_MAX,
  type QuestionOption,
  utf8Bytes,
} from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import { type InputFacts, inputsFull } from './input.ts';
import type { Transition } from './lifecycle.ts';
import { hasRoom } from './log-limit.ts';

/** A validated answer. Exactly one field of `choice` is given. */
export interface NormalAnswer {
  question: string;
  choice: AnswerChoice;
  answerId: string | null;
  by: Author;
}

/** What is kept of an accepted answer. */
export interface NotedAnswer {
  answerId: string | null;
  digest: string;
  by: Author;
  at: number;
  commandId: number;
}

export interface AnswerFacts extends Pick<InputFacts, 'waiting' | 'storage'> {
  /** The newest accepted answer to a question of this id, if there is one. */
  noted: NotedAnswer | null;
}

export type AnswerDecision =
  | { kind: 'accept'; transition: Transition }
  | { kind: 'repeat'; commandId: number }
  | { kind: 'refuse'; failure: Failure };

export interface QuestionsAfter {
  open: OpenQuestion[];
  /** The open ones that these facts asked, each with the place of its fact. */
  asked: { question: OpenQuestion; fact: number }[];
}

/** The questions after these facts; null when the same ones are open as before. */
export function questionsAfter(before: readonly OpenQuestion[] | null, facts: readonly HoldfastEvent[]): QuestionsAfter | null {
  const known = before ?? [];
  const factOf = new Map<OpenQuestion, number>();
  let open = known;
  for (const [fact, { type, at, data }] of facts.entries()) {
    const others = open.filter(({ id }) => id !== data.id);
    if (type === 'asking_ended') open = others.length < open.length ? others : open;
    // A wrapper asks no more than this at a time.
    else if (type === 'asking' && others.length < QUESTIONS_OPEN_MAX) {
      const question = { ...openQuestionOf(data), at };
      factOf.set(question, fact);
      open = [...others, question];
    }
  }
  if (open === known) return null;
  const asked = open.flatMap((question) => {
    const fact = factOf.get(question);
    return fact === undefined ? [] : [{ question, fact }];
  });
  return { open: [...open], asked };
}

/** Without fields that this version does not know. The data was checked. */
function openQuestionOf(data: HoldfastEvent['data']): AskingData {
  const { id, kind, text, options, multiple, freeText, tool } = data as unknown as AskingData;
  return {
    id,
    kind,
    text,
    options: options.map(optionOf),
    ...(multiple ? { multiple } : {}),
    ...(freeText ? { freeText } : {}),
    ...(tool === undefined ? {} : { tool }),
  };
}

const optionOf = ({ id, label, description, refuses }: QuestionOption): QuestionOption => ({
  id,
  label,
  ...(description === undefined ? {} : { description }),
  ...(refuses ? { refuses } : {}),
});

/** Two answers with the same digest are the same answer. */
export const digestOfAnswer = ({ choice: { option, options, text } }: NormalAnswer): string =>
  JSON.stringify([option ?? null, options ?? null, text ?? null]);

/** Why the question does not take this answer, and the field that is wrong. Null: it does. */
function refuseChoice(question: OpenQuestion, { option, options, text }: AnswerChoice): { field: string; why: string } | null {
  const known = question.options.map(({ id }) => id);
  const listed = known.length === 0 ? 'it has no options' : `its options are ${known.join(', ')}`;
  if (text !== undefined) {
    return question.freeText ? null : { field: 'text', why: `this question takes no text; ${listed}` };
  }
  if (options !== undefined && !question.multiple) {
    return { field: 'options', why: 'one option of this question can be chosen; send `option`' };
  }
  const unknown = (options ?? [option ?? '']).find((id) => !known.includes(id));
  if (unknown === undefined) return null;
  return {
    field: options === undefined ? 'option' : 'options',
    why: `this question does not have the option ${unknown}; ${listed}`,
  };
}

const authorText = ({ kind, id, name }: Author): string => (name === undefined ? `${kind} ${id}` : `${kind} ${name} (${id})`);

export function decideAnswer(
  record: ExecutionRecord,
  answer: NormalAnswer,
  { noted, waiting, storage }: AnswerFacts,
): AnswerDecision {
  const { id: execution } = record;
  const { question: id, choice, answerId, by } = answer;
  const refuse = (code: Failure['code'], message: string, facts: Failure['facts'] = {}): AnswerDecision => ({
    kind: 'refuse',
    failure: { ok: false, code, message, facts: { execution, question: id, ...facts } },
  });
  const answeredBefore = ({ by: first, at }: NotedAnswer): AnswerDecision =>
    refuse(
      'already_answered',
      `Question ${id} of execution ${execution} was answered by ${authorText(first)} at ${new Date(at).toISOString()}.`,
      { answeredBy: first.name ?? first.id, answeredByKind: first.kind, answeredAt: at },
    );
  if (noted && answerId !== null && noted.answerId === answerId) {
    return noted.digest === digestOfAnswer(answer) ? { kind: 'repeat', commandId: noted.commandId } : answeredBefore(noted);
  }
  // An agent may use an id again when its earlier question has ended.
  const question = record.asking?.find((each) => each.id === id);
  if (!question) {
    if (noted) return answeredBefore(noted);
    const why = record.status === 'running' ? 'It was withdrawn, or never asked.' : `The execution is ${record.status}.`;
    return refuse('not_asking', `Execution ${execution} has no open question ${id}. ${why}`, { executionStatus: record.status });
  }
  const wrong = refuseChoice(question, choice);
  if (wrong) return refuse('bad_request', `${wrong.field}: ${wrong.why}`, { field: wrong.field });
  if (record.stdinEnded) {
    const next = 'Its agent can take no answer; start another execution.';
    return refuse('stdin_closed', `The stdin of execution ${execution} was ended by an earlier input (eof: true). ${next}`);
  }
  if (!(record.features ?? []).includes(FEATURE_ASKING)) {
    const upgrade = 'Upgrade the runner, the image or the wrapper.';
    return refuse('wrapper_too_old', `The wrapper that execution ${execution} has now takes no answers. ${upgrade}`);
  }
  const data: AnswerCommandData = { question: id, ...chosen(question, choice) };
  const full = inputsFull(execution, waiting, data);
  if (full) return { kind: 'refuse', failure: full };
  const event: AnsweredData = { id, by, ...chosen(question, choice) };
  if (!hasRoom(storage, utf8Bytes(JSON.stringify(event)))) {
    return refuse('storage_full', `The session of execution ${execution} has no room for the event of this answer.`);
  }
  const open = (record.asking ?? []).filter((each) => each !== question);
  return {
    kind: 'accept',
    transition: {
      patch: { asking: open.length === 0 ? null : open }, // AQ2
      events: [{ type: 'answered', data: { ...event } }],
      commands: [{ command: 'answer', data }],
    },
  };
}

/** A question with `multiple` is answered by a list, also by one of one option. */
const chosen = ({ multiple }: OpenQuestion, choice: AnswerChoice): AnswerChoice =>
  multiple && choice.option !== undefined ? { options: [choice.option] } : choice;
