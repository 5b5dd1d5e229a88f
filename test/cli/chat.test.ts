/** How a typed line answers a question of an agent. test/e2e/chat.test.ts has the conversation. */

import { describe, expect, test } from 'vitest';
import { answerHint, choiceOf } from '../../cli/commands/chat.ts';
import type { AskingData } from '../../protocol/index.ts';

const question = (more: Partial<AskingData> = {}): AskingData => ({
  id: 'q1',
  kind: 'question',
  text: 'Which?',
  options: [
    { id: 'a', label: 'Apple' },
    { id: '1', label: 'Pear' },
  ],
  ...more,
});

describe('an answer', () => {
  test.each<[string, Partial<AskingData>, object]>([
    ['1', {}, { option: 'a' }],
    ['2', {}, { option: '1' }],
    [' apple ', {}, { option: 'a' }],
    ['a', {}, { option: 'a' }],
    ['3', {}, { option: '3' }],
    ['3', { freeText: true }, { option: '3' }],
    ['none of them', {}, { option: 'none of them' }],
    ['none of them', { freeText: true }, { text: 'none of them' }],
    ['7', { freeText: true, options: [] }, { text: '7' }],
    ['1,2', { multiple: true }, { options: ['a', '1'] }],
    ['1 2 1', { multiple: true }, { options: ['a', '1'] }],
    ['1', { multiple: true }, { option: 'a' }],
    ['1,2', {}, { option: '1,2' }],
  ])('%j to a question with %j is %j', (line, more, choice) => {
    expect(choiceOf(question(more), line)).toEqual(choice);
  });

  test('the hint has the numbers, and says what else is taken', () => {
    expect(answerHint(question())).toBe('answer: 1 Apple, 2 Pear');
    expect(answerHint(question({ multiple: true, freeText: true }))).toBe(
      'answer: 1 Apple, 2 Pear; several with commas, such as 1,2; or a text',
    );
    expect(answerHint(question({ options: [], freeText: true }))).toBe('answer: a text');
  });
});
