/**
 * Goal: the open questions follow from the facts alone, and each is answered at most once.
 * Method: random facts and answers over the pure functions, compared with a plain model.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AskingData,
  FEATURE_ASKING,
  type HoldfastEvent,
  type OpenQuestion,
  QUESTIONS_OPEN_MAX,
} from '../../protocol/index.ts';
import { decideAnswer, digestOfAnswer, type NormalAnswer, type NotedAnswer, questionsAfter } from '../../src/core/asking.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';

const by = { kind: 'key', id: 'key_1' } as const;
const ROOM = { waiting: { count: 0, bytes: 0 }, storage: { databaseBytes: 0, reservedBytes: 0 } };
const question = (id: string): AskingData => ({ id, kind: 'permission', text: id, options: [{ id: 'yes', label: 'Yes' }] });
const asked = (id: string): HoldfastEvent => ({ type: 'asking', at: 1, data: { ...question(id) } });
const ended = (id: string): HoldfastEvent => ({ type: 'asking_ended', at: 1, data: { id, reason: 'cancelled' } });
const record = (asking: OpenQuestion[] | null, more: Partial<ExecutionRecord> = {}): ExecutionRecord =>
  ({ id: 'e1', status: 'running', stdinEnded: false, features: [FEATURE_ASKING], asking, ...more }) as ExecutionRecord;
const answerTo = (id: string, more: Partial<NormalAnswer> = {}): NormalAnswer => ({
  question: id,
  choice: { option: 'yes' },
  answerId: null,
  by,
  ...more,
});

describe('[ASK2] the open questions', () => {
  const facts = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: QUESTIONS_OPEN_MAX + 3 }).map(String)), {
    maxLength: 60,
  });

  test('are those that were asked and not ended, oldest first, and never too many', () => {
    fc.assert(
      fc.property(facts, (list) => {
        let model: string[] = [];
        for (const [asks, id] of list) {
          const others = model.filter((each) => each !== id);
          model = asks && others.length < QUESTIONS_OPEN_MAX ? [...others, id] : asks ? model : others;
        }
        const events = list.map(([asks, id]) => (asks ? asked(id) : ended(id)));
        expect((questionsAfter(null, events)?.open ?? []).map(({ id }) => id)).toEqual(model);
        // It does not matter how they are split into frames.
        let open: OpenQuestion[] | null = null;
        for (const event of events) open = questionsAfter(open, [event])?.open ?? open;
        expect((open ?? []).map(({ id }) => id)).toEqual(model);
      }),
    );
  });

  test('stay the same object of the row when nothing ended or began', () => {
    expect(questionsAfter(null, [])).toBeNull();
    expect(questionsAfter(null, [ended('1')])).toBeNull();
    expect(questionsAfter([{ ...question('1'), at: 1 }], [ended('2')])).toBeNull();
    expect(questionsAfter([{ ...question('1'), at: 1 }], [ended('1')])).toEqual({ open: [], asked: [] });
  });

  test('that were asked by these facts are told with their facts, but for those that ended again', () => {
    const known = [{ ...question('1'), at: 1 }];
    const after = questionsAfter(known, [asked('2'), asked('3'), ended('2'), asked('1'), asked('3')]);
    expect(after?.asked.map(({ question: { id }, fact }) => [id, fact])).toEqual([
      ['1', 3],
      ['3', 4],
    ]);
    expect(after?.open.map(({ id }) => id)).toEqual(['1', '3']);
    expect(questionsAfter(known, [asked('2')])?.asked).toHaveLength(1);
  });

  test('keep no field that this version does not know', () => {
    const data = { ...question('1'), later: true, options: [{ id: 'a', label: 'A', later: 1 }] };
    expect(questionsAfter(null, [{ type: 'asking', at: 7, data }])?.open).toEqual([
      { id: '1', kind: 'permission', text: '1', options: [{ id: 'a', label: 'A' }], at: 7 },
    ]);
  });
});

test('[ASK5] [ASK6] of any answers to one question exactly one is accepted; its repeats get its command', () => {
  const answers = fc.array(
    fc.record({
      answerId: fc.constantFrom(null, 'a', 'b'),
      choice: fc.constantFrom({ option: 'yes' }, { option: 'no' }, { text: 'x' }),
    }),
    { minLength: 1, maxLength: 10 },
  );
  fc.assert(
    fc.property(answers, (list) => {
      let row = record([{ ...question('1'), at: 1 }]);
      let noted: NotedAnswer | null = null;
      let accepted = 0;
      for (const given of list) {
        const answer = answerTo('1', given);
        const decision = decideAnswer(row, answer, { noted, ...ROOM });
        if (decision.kind === 'accept') {
          accepted += 1;
          row = { ...row, ...decision.transition.patch };
          noted = { answerId: answer.answerId, digest: digestOfAnswer(answer), by, at: 5, commandId: 9 };
          expect(decision.transition.commands).toHaveLength(1);
        } else if (decision.kind === 'repeat') {
          expect([noted?.answerId, noted?.digest]).toEqual([answer.answerId, digestOfAnswer(answer)]);
        } else {
          expect(decision.failure.code).toBe(noted ? 'already_answered' : 'bad_request');
        }
      }
      expect(accepted).toBe(list.some(({ choice }) => choice.option === 'yes') ? 1 : 0);
    }),
  );
});

test('[ASK5] an agent may use an id again: the new question is answered like any other', () => {
  const noted: NotedAnswer = { answerId: 'a', digest: digestOfAnswer(answerTo('1')), by, at: 5, commandId: 9 };
  const row = record([{ ...question('1'), at: 7 }]);
  expect(decideAnswer(row, answerTo('1', { answerId: 'b' }), { noted, ...ROOM }).kind).toBe('accept');
  // The repeat of the first answer is still the repeat of it.
  expect(decideAnswer(row, answerTo('1', { answerId: 'a' }), { noted, ...ROOM })).toEqual({ kind: 'repeat', commandId: 9 });
});
