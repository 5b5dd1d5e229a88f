/**
 * Goal: what is written to an agent is what the real programs took.
 * Method: the recordings have the question and the reply that was written. The encoder makes the
 * same reply from the question and the answer.
 */

import { describe, expect, it } from 'vitest';
import {
  type Answer,
  AskingReader,
  answerError,
  encodeAnswer,
  encodeInterrupt,
  encodeMessage,
  type Question,
  questionsIn,
} from '../../agent/index.ts';
import { linesOf } from './recorded.ts';

type Line = { [key: string]: unknown };

const parsed = (name: string): Line[] => linesOf(name).map((line) => JSON.parse(line) as Line);
const requestsIn = (name: string): Line[] => parsed(name).filter((line) => questionsIn('auto', line).length > 0);
const repliesIn = (name: string): Line[] =>
  parsed(`${name}-stdin`).filter(
    (line) => line.type === 'control_response' || (line.result !== undefined && line.method === undefined),
  );

const CLAUDE_ASK: Line = {
  type: 'control_request',
  request_id: 'r1',
  request: {
    subtype: 'can_use_tool',
    tool_name: 'AskUserQuestion',
    tool_use_id: 't1',
    input: {
      questions: [
        {
          question: 'Which colour?',
          header: 'Colour',
          options: [{ label: 'Red' }, { label: 'Blue', description: 'Cool' }],
          multiSelect: false,
        },
        { question: 'Which sizes?', header: 'Size', options: [{ label: 'S' }, { label: 'M' }, { label: 'L' }], multiSelect: true },
      ],
    },
  },
};

describe('a recorded reply is made from the answer', () => {
  it.each<[name: string, answers: Answer[]]>([
    ['claude-perm-allow', [{ option: 'allow' }]],
    ['claude-perm-deny', [{ option: 'deny', text: 'Not this file.' }]],
    ['claude-perm-two', [{ option: 'allow' }, { option: 'allow' }]],
    ['claude-ask', [{ option: '2' }]],
    ['claude-plan-mode', [{ option: 'allow' }]],
    ['acp-claude-perm', [{ option: 'allow-once' }]],
    ['acp-claude-tools', [{ option: 'allow-once' }, { option: 'allow-once' }]],
    ['acp-claude-ask', [{ option: 'Blue' }]],
    ['acp-codex-perm', [{ option: 'allow_once' }]],
    ['acp-gemini-perm', [{ option: 'proceed_once' }]],
    ['acp-opencode-perm', [{ option: 'once' }]],
    ['acp-opencode-reject', [{ option: 'reject' }]],
  ])('%s', (name, answers) => {
    const requests = requestsIn(name);
    const replies = repliesIn(name);
    expect(requests.length).toBe(answers.length);
    requests.forEach((request, index) => {
      const [question] = questionsIn('auto', request) as [Question];
      const answer = answers[index] as Answer;
      expect(answerError(question, answer)).toBeNull();
      const text = encodeAnswer('auto', request, { [question.id]: answer }) as string;
      expect(text.endsWith('\n')).toBe(true);
      expect(text.indexOf('\n')).toBe(text.length - 1);
      expect(JSON.parse(text)).toEqual(replies[index]);
    });
  });

  it('of Claude, "always" lasts for the run and writes no settings', () => {
    const [request] = requestsIn('claude-perm-always') as [Line];
    const [question] = questionsIn('claude', request) as [Question];
    const text = encodeAnswer('claude', request, { [question.id]: { option: 'always' } }) as string;
    const { updatedPermissions } = JSON.parse(text).response.response as { updatedPermissions: Line[] };
    expect(updatedPermissions.map(({ type, destination }) => [type, destination])).toEqual([
      ['addRules', 'session'],
      ['addDirectories', 'session'],
      ['setMode', 'session'],
    ]);
  });

  it('of Claude, a text without an option denies and says why', () => {
    const [request] = requestsIn('claude-perm-deny') as [Line];
    const [question] = questionsIn('claude', request) as [Question];
    const text = encodeAnswer('claude', request, { [question.id]: { text: 'Use pnpm.' } }) as string;
    expect(JSON.parse(text).response.response).toEqual({ behavior: 'deny', message: 'Use pnpm.' });
  });
});

describe('a request with several questions', () => {
  const questions = questionsIn('claude', CLAUDE_ASK);

  it('becomes a question for each, with ids of their own', () => {
    expect(
      questions.map(({ id, request, text, multiple, options }) => ({ id, request, text, multiple, options: options.length })),
    ).toEqual([
      { id: 'r1.1', request: 'r1', text: 'Which colour?', multiple: undefined, options: 2 },
      { id: 'r1.2', request: 'r1', text: 'Which sizes?', multiple: true, options: 3 },
    ]);
  });

  it('gets one reply, when the last is answered', () => {
    expect(encodeAnswer('claude', CLAUDE_ASK, { 'r1.1': { option: '1' } })).toBeNull();
    const reply = encodeAnswer('claude', CLAUDE_ASK, {
      'r1.1': { option: '1' },
      'r1.2': { options: ['1', '3'], text: 'and XL' },
    }) as string;
    expect(JSON.parse(reply).response.response.updatedInput.answers).toEqual({
      'Which colour?': 'Red',
      'Which sizes?': 'S, L, and XL',
    });
  });

  it('is a form of ACP with a field for each', () => {
    const form: Line = {
      jsonrpc: '2.0',
      id: 'e1',
      method: 'elicitation/create',
      params: {
        message: 'Two things',
        requestedSchema: {
          properties: {
            q0: { type: 'string', title: 'Colour', oneOf: [{ const: 'r', title: 'Red' }] },
            q0_custom: { type: 'string' },
            q1: { type: 'array', title: 'Sizes', items: { enum: ['S', 'M'] } },
            q2: { type: 'integer', title: 'How many' },
            q3: { type: 'boolean', title: 'Sure' },
          },
        },
      },
    };
    const asked = questionsIn('acp', form);
    expect(asked.map(({ id, text, multiple, freeText }) => [id, text, multiple ?? false, freeText ?? false])).toEqual([
      ['e1.1', 'Two things\n\nColour', false, true],
      ['e1.2', 'Sizes', true, false],
      ['e1.3', 'How many', false, true],
      ['e1.4', 'Sure', false, false],
    ]);
    const answers = {
      'e1.1': { option: 'r', text: 'dark' },
      'e1.2': { options: ['S', 'M'] },
      'e1.3': { text: '3' },
      'e1.4': { option: 'true' },
    };
    expect(JSON.parse(encodeAnswer('acp', form, answers) as string)).toEqual({
      jsonrpc: '2.0',
      id: 'e1',
      result: { action: 'accept', content: { q0: 'r', q0_custom: 'dark', q1: ['S', 'M'], q2: 3, q3: true } },
    });
  });
});

describe('an answer is refused', () => {
  const permission = {
    options: [
      { id: 'allow', label: 'Allow' },
      { id: 'deny', label: 'Deny' },
    ],
  };

  it.each<[why: string, question: Parameters<typeof answerError>[0], answer: Answer, error: RegExp | null]>([
    ['without an option or a text', permission, {}, /an option or a text/],
    ['for an option that the question does not have', permission, { option: 'maybe' }, /no option "maybe"; it has "allow", "deny"/],
    ['for two options where one is allowed', permission, { options: ['allow', 'deny'] }, /takes one option/],
    ['for a text where none is allowed', permission, { option: 'deny', text: 'no' }, /takes no text/],
    ['for an empty text', { options: [], freeText: true }, { text: '' }, /empty/],
    ['not, with an option', permission, { option: 'allow' }, null],
    ['not, with several options where they are allowed', { ...permission, multiple: true }, { options: ['allow', 'deny'] }, null],
    ['not, with a text where it is allowed', { ...permission, freeText: true }, { text: 'why?' }, null],
  ])('%s', (_, question, answer, error) => {
    if (error) expect(answerError(question, answer)).toMatch(error);
    else expect(answerError(question, answer)).toBeNull();
  });
});

describe('messages and interrupts', () => {
  it('a message of Claude is the line that was recorded', () => {
    const [first] = parsed('claude-two-turns-stdin') as [Line];
    expect(JSON.parse(encodeMessage('claude', '[[hello]] hi') as string)).toEqual(first);
  });

  it('a message of ACP is a prompt for holdfast-acp, which knows the session', () => {
    const prompt = [{ type: 'text', text: 'hi\nthere' }];
    expect(JSON.parse(encodeMessage('acp', 'hi\nthere') as string)).toEqual({
      jsonrpc: '2.0',
      method: 'session/prompt',
      params: { prompt },
    });
  });

  it.each(['codex', 'opencode', 'jsonl', 'auto'] as const)('%s takes no message', (format) => {
    expect(encodeMessage(format, 'hi')).toBeNull();
  });

  it('an interrupt of Claude is the line that was recorded', () => {
    const [, line] = parsed('claude-interrupt-stdin') as [Line, Line];
    expect(JSON.parse(encodeInterrupt('claude', { id: 'int-1', sessionId: null, open: [] }) as string)).toEqual(line);
  });

  it('an interrupt of ACP cancels the session and the open question, as was recorded', () => {
    const [request] = requestsIn('acp-claude-cancel-ask') as [Line];
    const [cancel, reply] = parsed('acp-claude-cancel-ask-stdin').slice(-2) as [Line, Line];
    const { sessionId } = cancel.params as { sessionId: string };
    const lines = (encodeInterrupt('acp', { id: 'x', sessionId, open: [request] }) as string).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([cancel, reply]);
  });
});

describe('the open questions', () => {
  const asking = (name: string): [asked: number, ended: number, format: string] => {
    const reader = new AskingReader('auto');
    const all = parsed(name).map((line) => reader.line(line));
    return [all.flatMap(({ asked }) => asked).length, all.flatMap(({ ended }) => ended).length, reader.format];
  };

  it.each([
    ['claude-perm-two', [2, 2, 'claude']],
    ['claude-interrupt-ask', [1, 1, 'claude']],
    ['claude-sigterm', [1, 0, 'claude']],
    ['claude-ask', [1, 1, 'claude']],
    ['acp-claude-tools', [2, 2, 'acp']],
    ['acp-claude-cancel-ask', [1, 1, 'acp']],
    ['acp-gemini-tools', [2, 2, 'acp']],
    ['codex-tools', [0, 0, 'codex']],
    ['opencode-rejected', [0, 0, 'opencode']],
  ])('of %s end with the reply, the result of the tool, or the turn', (name, counts) => {
    expect(asking(name)).toEqual(counts);
  });

  it('that were answered do not end again, and those of another process are taken up', () => {
    const [asked] = questionsIn('claude', CLAUDE_ASK) as [Question];
    const reader = new AskingReader('claude');
    reader.resume([asked]);
    expect(reader.line({ type: 'control_cancel_request', request_id: 'r1' }).ended).toEqual(['r1.1']);
    expect(reader.line(CLAUDE_ASK).asked.map(({ id }) => id)).toEqual(['r1.1', 'r1.2']);
    reader.answered(['r1.1', 'r1.2']);
    expect(reader.line({ type: 'result' }).ended).toEqual([]);
  });
});
