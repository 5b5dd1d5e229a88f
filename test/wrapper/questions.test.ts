/**
 * Goal: what an agent asks is reported once, bounded and without secrets, and each answer becomes
 * the reply that this agent reads; also by a wrapper that took over.
 * Method: lines of recorded runs through the class, with a new instance on the same folder where a
 * wrapper would be killed.
 */

import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentFormat, Question } from '../../agent/index.ts';
import {
  type AskingData,
  checkFact,
  type JsonObject,
  QUESTION_BYTES_MAX,
  QUESTION_OPTIONS_MAX,
  QUESTIONS_OPEN_MAX,
  utf8Bytes,
} from '../../protocol/index.ts';
import { type QuestionFact, Questions, REQUESTS_BYTES_MAX, REQUESTS_MAX, wireOf } from '../../wrapper/job/questions.ts';
import { ACP_ASKS, CLAUDE_ASKS, CLAUDE_ASKS_WHICH, CLAUDE_END, claudeCancels } from '../support/fake-agent.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

/** A wrapper's questions over a spool that only counts. */
class Bench {
  readonly folder: string;
  readonly questions: Questions;
  readonly problems: string[] = [];
  nextSeq: number;
  /** What the log still takes of questions. */
  roomBytes = Number.POSITIVE_INFINITY;
  isLogFull = false;
  isStdinOpen = true;

  constructor({ folder = temporaryFolder(), nextSeq = 1, format = 'claude' as AgentFormat, secret = '' } = {}) {
    this.folder = folder;
    this.nextSeq = nextSeq;
    this.questions = new Questions({
      format,
      folder,
      redacted: (text) => (secret === '' ? text : text.replaceAll(secret, '[redacted]')),
      nextSeq: () => this.nextSeq,
      isStdinOpen: () => this.isStdinOpen,
      isLogFull: () => this.isLogFull,
      hasRoom: (bytes) => bytes <= this.roomBytes,
      problem: (message) => this.problems.push(message),
    });
  }

  /** Reads a line, and appends its event and what follows. */
  line(line: JsonObject): QuestionFact[] {
    const facts = this.questions.read(line);
    if (!this.isLogFull) this.nextSeq += 1;
    return this.append(facts);
  }

  append(facts: QuestionFact[]): QuestionFact[] {
    this.nextSeq += facts.length;
    return facts;
  }

  get file(): string {
    return join(this.folder, 'questions.json');
  }
}

const request = (id: string, more: JsonObject = {}): JsonObject => ({
  type: 'control_request',
  request_id: id,
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: 'make' }, tool_use_id: `t_${id}`, ...more },
});
const twoQuestions = request('r1', {
  tool_name: 'AskUserQuestion',
  input: {
    questions: [
      { question: 'Which colour?', options: [{ label: 'Red' }, { label: 'Blue' }] },
      { question: 'Which sizes?', options: [{ label: 'S' }, { label: 'L' }], multiSelect: true },
    ],
  },
});
const idsOf = (facts: readonly QuestionFact[]) => facts.map(({ type, data }) => `${type} ${data.id}`);
const replyIn = (outcome: ReturnType<Questions['answer']>): JsonObject => {
  if (outcome.kind !== 'reply') throw new Error(outcome.kind);
  expect(outcome.text).toMatch(/^[^\n]+\n$/);
  return JSON.parse(outcome.text);
};

describe('[ASK9] a question', () => {
  it('is reported with its options, and answered in the form of Claude Code', () => {
    const bench = new Bench();
    const [fact] = bench.line(CLAUDE_ASKS);
    expect(fact).toMatchObject({ type: 'asking', data: { kind: 'permission', tool: 'toolu_0019' } });
    const id = fact?.data.id as string;
    const reply = replyIn(bench.questions.answer({ question: id, option: 'allow' }));
    const { input } = CLAUDE_ASKS.request as JsonObject;
    expect(reply).toMatchObject({
      type: 'control_response',
      response: { request_id: id, response: { behavior: 'allow', updatedInput: input } },
    });
    expect(bench.questions.written()).toEqual([]);
    expect(bench.questions.answer({ question: id, option: 'allow' })).toEqual({ kind: 'not_asking' });
    expect(existsSync(bench.file)).toBe(false);
  });

  it('is reported and answered in the form of ACP, also when the format was left to the lines', () => {
    const bench = new Bench({ format: 'auto' });
    const [fact] = bench.line(ACP_ASKS);
    expect(fact).toMatchObject({ type: 'asking', data: { id: '0', kind: 'permission' } });
    const reply = replyIn(bench.questions.answer({ question: '0', option: 'once' }));
    expect(reply).toEqual({ jsonrpc: '2.0', id: 0, result: { outcome: { outcome: 'selected', optionId: 'once' } } });
  });

  it('with a text as its answer gets the text', () => {
    const bench = new Bench();
    const [fact] = bench.line(CLAUDE_ASKS_WHICH);
    const reply = replyIn(bench.questions.answer({ question: fact?.data.id as string, text: 'Green, wörth' }));
    expect(JSON.stringify(reply)).toContain('Green, wörth');
  });

  it('[ASK11] that the agent withdraws has ended, and takes no answer', () => {
    const bench = new Bench();
    const [fact] = bench.line(CLAUDE_ASKS);
    const id = fact?.data.id as string;
    expect(bench.line(claudeCancels(CLAUDE_ASKS))).toEqual([{ type: 'asking_ended', data: { id, reason: 'cancelled' } }]);
    expect(bench.questions.answer({ question: id, option: 'allow' })).toEqual({ kind: 'not_asking' });
    expect(bench.line(CLAUDE_END)).toEqual([]);
  });

  it('that is open when the job ends is reported as ended, once', () => {
    const bench = new Bench();
    bench.line(request('r1'));
    bench.line(request('r2'));
    bench.questions.answer({ question: 'r1', option: 'allow' });
    expect(idsOf(bench.questions.jobEnded())).toEqual(['asking_ended r2']);
    expect(bench.questions.jobEnded()).toEqual([]);
    expect(existsSync(bench.file)).toBe(false);
  });
});

describe('[ASK10] a request with several questions', () => {
  it('gets one reply, when each has its answer, in any order', () => {
    const bench = new Bench();
    expect(idsOf(bench.line(twoQuestions))).toEqual(['asking r1.1', 'asking r1.2']);
    expect(bench.questions.answer({ question: 'r1.2', options: ['1', '2'] })).toEqual({ kind: 'waits' });
    expect(bench.questions.answer({ question: 'r1.2', options: ['1'] })).toEqual({ kind: 'not_asking' });
    const reply = replyIn(bench.questions.answer({ question: 'r1.1', option: '2' }));
    expect(reply).toMatchObject({
      response: { response: { updatedInput: { answers: { 'Which colour?': 'Blue', 'Which sizes?': 'S, L' } } } },
    });
  });

  it('of which one was answered ends as a whole when the agent withdraws it', () => {
    const bench = new Bench();
    bench.line(twoQuestions);
    bench.questions.answer({ question: 'r1.2', options: ['1'] });
    expect(idsOf(bench.line(claudeCancels(twoQuestions)))).toEqual(['asking_ended r1.1']);
    expect(bench.questions.answer({ question: 'r1.1', option: '1' })).toEqual({ kind: 'not_asking' });
  });
});

describe('[ASK10] a wrapper that takes over', () => {
  const takeOver = (first: Bench, recoveredSeq = first.nextSeq) => {
    const bench = new Bench({ folder: first.folder, nextSeq: recoveredSeq + 1 }); // One gap before.
    const { facts, unsure } = bench.questions.resume(recoveredSeq);
    return { bench, facts: bench.append(facts), unsure };
  };

  it('answers an open question, and does not report it again', () => {
    const first = new Bench();
    first.line(CLAUDE_ASKS);
    expect(statSync(first.file).mode & 0o777).toBe(0o600);
    const { bench, facts, unsure } = takeOver(first);
    expect([facts, unsure]).toEqual([[], []]);
    const id = CLAUDE_ASKS.request_id as string;
    expect(replyIn(bench.questions.answer({ question: id, option: 'deny' }))).toMatchObject({
      response: { request_id: id, response: { behavior: 'deny' } },
    });
  });

  it('notices that the agent withdraws a question of before', () => {
    const first = new Bench();
    first.line(CLAUDE_ASKS);
    const { bench } = takeOver(first);
    expect(idsOf(bench.line(claudeCancels(CLAUDE_ASKS)))).toEqual([`asking_ended ${CLAUDE_ASKS.request_id}`]);
  });

  it('completes a request of which one question was answered before', () => {
    const first = new Bench();
    first.line(twoQuestions);
    first.questions.answer({ question: 'r1.1', option: '1' });
    const { bench } = takeOver(first);
    const reply = replyIn(bench.questions.answer({ question: 'r1.2', options: ['2'] }));
    expect(JSON.stringify(reply)).toContain('"Which colour?":"Red"');
  });

  it('reports a question whose event was not on disk yet', () => {
    const first = new Bench({ nextSeq: 7 });
    first.questions.read(request('r1')); // Its wrapper was killed before it appended anything.
    expect(idsOf(takeOver(first).facts)).toEqual(['asking r1']);
    const later = new Bench({ nextSeq: 7 });
    later.questions.read(request('r1'));
    // The agent's line was, its question was not.
    const { bench, facts } = takeOver(later, 8);
    expect(idsOf(facts)).toEqual(['asking r1']);
    expect(takeOver(bench).facts).toEqual([]);
    const stored = new Bench({ nextSeq: 7 });
    stored.questions.read(request('r1'));
    expect(takeOver(stored, 9).facts).toEqual([]);
  });

  it('does not write a reply again that was about to be written, and says so', () => {
    const first = new Bench();
    first.line(request('r1'));
    first.questions.answer({ question: 'r1', option: 'allow' });
    const { bench, facts, unsure } = takeOver(first);
    expect([facts, unsure]).toEqual([[], ['Allow Bash: make?']]);
    expect(bench.questions.answer({ question: 'r1', option: 'allow' })).toEqual({ kind: 'not_asking' });
    expect(bench.questions.jobEnded()).toEqual([]);
    expect(takeOver(bench).unsure).toEqual([]);
  });

  it('works without a file that can be read', () => {
    const first = new Bench();
    writeFileSync(first.file, '{"version":1,"requ');
    const { bench, facts } = takeOver(first);
    expect(facts).toEqual([]);
    expect(bench.problems).toEqual([expect.stringContaining('cannot be read')]);
    expect(idsOf(bench.line(request('r2')))).toEqual(['asking r2']);
  });
});

it(`[ASK9] at most ${QUESTIONS_OPEN_MAX} are reported at a time; the next ones follow when others have ended`, () => {
  const bench = new Bench();
  for (let index = 0; index < QUESTIONS_OPEN_MAX; index += 1) expect(bench.line(request(`r${index}`))).toHaveLength(1);
  expect(bench.line(request('late1'))).toEqual([]);
  expect(bench.line(request('late2'))).toEqual([]);
  expect(bench.questions.answer({ question: 'late1', option: 'allow' })).toEqual({ kind: 'not_asking' });
  bench.questions.answer({ question: 'r3', option: 'allow' });
  expect(idsOf(bench.append(bench.questions.written()))).toEqual(['asking late1']);
  expect(idsOf(bench.line(claudeCancels(request('r4'))))).toEqual(['asking_ended r4', 'asking late2']);
});

it('[ASK9] after the end of its stdin nothing is reported, and what was asked before can still be withdrawn', () => {
  const bench = new Bench();
  bench.line(request('r1'));
  bench.isStdinOpen = false;
  expect(bench.line(request('r2'))).toEqual([]);
  expect(bench.line(claudeCancels(request('r2')))).toEqual([]);
  expect(idsOf(bench.line(claudeCancels(request('r1'))))).toEqual(['asking_ended r1']);
  expect(existsSync(bench.file)).toBe(false);
});

describe('[ASK12] a question that cannot be reported is refused, so that its agent goes on', () => {
  const replies = (bench: Bench) =>
    bench.questions.takeRefused().map(({ reply, message }) => ({ reply: JSON.parse(reply ?? 'null'), message }));

  it('where the log has no room for it: Claude Code, said once', () => {
    const bench = new Bench();
    bench.roomBytes = 400;
    expect(idsOf(bench.line(request('r1')))).toEqual(['asking r1']);
    bench.roomBytes = 0;
    expect(bench.line(request('r2'))).toEqual([]);
    const [{ reply, message } = { reply: null, message: null }] = replies(bench);
    expect(reply).toMatchObject({ response: { request_id: 'r2', response: { behavior: 'deny' } } });
    expect(message).toContain('the log of this execution is full');
    expect(message).toContain('Allow Bash: make?');
    expect(bench.questions.written()).toEqual([]);
    bench.line(request('r3'));
    expect(replies(bench)).toMatchObject([{ reply: { response: { request_id: 'r3' } }, message: null }]);
    bench.questions.written();
    expect(idsOf(bench.questions.jobEnded())).toEqual(['asking_ended r1']);
  });

  it('where the requests that wait are more than 32 MiB together: a large one asks, and a small one does not hold it up', () => {
    const bench = new Bench();
    const large = (id: string, bytes: number): JsonObject => {
      const line = request(id, { input: { command: '' } });
      (line.request as { input: JsonObject }).input.command = 'x'.repeat(bytes - utf8Bytes(JSON.stringify(line)));
      return line;
    };
    const quarter = REQUESTS_BYTES_MAX / 4;
    for (const id of ['r1', 'r2', 'r3']) {
      const [fact] = bench.line(large(id, quarter));
      expect(utf8Bytes(JSON.stringify(fact?.data))).toBeLessThanOrEqual(QUESTION_BYTES_MAX);
    }
    expect(bench.line(large('r4', quarter + 1))).toEqual([]);
    const [{ reply, message } = { reply: null, message: null }] = replies(bench);
    expect(reply).toMatchObject({ response: { request_id: 'r4', response: { behavior: 'deny' } } });
    expect(message).toContain('too large together');
    expect(bench.questions.written()).toEqual([]);
    expect(idsOf(bench.line(large('r5', quarter)))).toEqual(['asking r5']);
    expect(replies(bench)).toEqual([]);
  });

  it('where 128 requests wait, said once; when one has its reply, the next one waits', () => {
    const bench = new Bench();
    for (let index = 0; index < REQUESTS_MAX; index += 1) bench.line(request(`r${index}`));
    expect(replies(bench)).toEqual([]);
    bench.line(request('over1'));
    bench.questions.written();
    bench.line(request('over2'));
    bench.questions.written();
    expect(replies(bench)).toMatchObject([
      { reply: { response: { request_id: 'over1' } }, message: expect.stringContaining('too many questions wait') },
      { reply: { response: { request_id: 'over2' } }, message: null },
    ]);
    bench.questions.answer({ question: 'r0', option: 'allow' });
    bench.append(bench.questions.written());
    bench.line(request('fits'));
    expect(replies(bench)).toEqual([]);
  });

  it('as a whole, also when the first of its questions had room', () => {
    const bench = new Bench();
    bench.roomBytes = 300;
    expect(idsOf(bench.line(twoQuestions))).toEqual(['asking r1.1', 'asking_ended r1.1']);
    expect(replies(bench)).toHaveLength(1);
    bench.questions.written();
    expect(bench.questions.answer({ question: 'r1.1', option: '1' })).toEqual({ kind: 'not_asking' });
    expect(existsSync(bench.file)).toBe(false);
  });

  it('also the one whose turn comes when another has its answer', () => {
    const bench = new Bench();
    for (let index = 0; index <= QUESTIONS_OPEN_MAX; index += 1) bench.line(request(`r${index}`));
    bench.roomBytes = 0;
    bench.questions.answer({ question: 'r0', option: 'allow' });
    expect(bench.questions.written()).toEqual([]);
    expect(replies(bench)).toMatchObject([{ reply: { response: { request_id: `r${QUESTIONS_OPEN_MAX}` } } }]);
  });

  it('in ACP by the option that says no once, or by a withdrawal', () => {
    const options = [
      { optionId: 'never', kind: 'reject_always', name: 'Never' },
      { optionId: 'no', kind: 'reject_once', name: 'No' },
    ];
    const ask = (id: number, more: JsonObject) => ({ jsonrpc: '2.0', id, method: 'session/request_permission', params: more });
    const bench = new Bench({ format: 'acp' });
    bench.roomBytes = 0;
    bench.line(ask(1, { options }));
    bench.line(ask(2, { options: [] }));
    bench.line({ jsonrpc: '2.0', id: 3, method: 'elicitation/create', params: { message: 'Which?' } });
    expect(replies(bench).map(({ reply }) => reply.result)).toEqual([
      { outcome: { outcome: 'selected', optionId: 'no' } },
      { outcome: { outcome: 'cancelled' } },
      { action: 'decline' },
    ]);
  });

  it('whose id is too long', () => {
    const bench = new Bench();
    expect(bench.line(request('r'.repeat(600)))).toEqual([]);
    expect(replies(bench)).toMatchObject([{ message: expect.stringContaining('its id is empty or too long') }]);
    bench.questions.written();
    expect(existsSync(bench.file)).toBe(false);
  });
});

it('[ASK9] with a full log, whose lines have no events, a question is known by the seq of its own', () => {
  const bench = new Bench({ nextSeq: 5 });
  bench.isLogFull = true;
  bench.line(request('r1'));
  const next = new Bench({ folder: bench.folder, nextSeq: bench.nextSeq });
  expect(next.questions.resume(bench.nextSeq).facts).toEqual([]);
});

describe('[ASK9] the report of a question', () => {
  it.each([
    ['are the same without their secrets', ['hunter2', '[redacted]']],
    ['are too long', ['a'.repeat(600), 'b'.repeat(600)]],
    ['are long, and many', Array.from({ length: QUESTION_OPTIONS_MAX }, (_, index) => 'o'.repeat(500) + index)],
    ['are empty', ['', 'b']],
  ])('numbers options whose ids %s', (_, ids) => {
    const bench = new Bench({ format: 'acp', secret: 'hunter2' });
    const options = ids.map((optionId) => ({ optionId, kind: 'allow_once', name: '\u0001'.repeat(300) }));
    const params = { toolCall: { toolCallId: 'c' }, options };
    const [fact] = bench.line({ jsonrpc: '2.0', id: 1, method: 'session/request_permission', params });
    expect((fact as { data: AskingData }).data.options.map(({ id }) => id)).toEqual(ids.map((_id, index) => `${index + 1}`));
    const reply = replyIn(bench.questions.answer({ question: '1', option: '2' }));
    expect(reply).toMatchObject({ result: { outcome: { optionId: ids[1] } } });
  });

  it('has no secret, and an answer is translated back', () => {
    const bench = new Bench({ format: 'acp', secret: 'hunter2' });
    const params = {
      toolCall: { toolCallId: 'call-hunter2', title: 'echo hunter2', kind: 'execute' },
      options: [{ optionId: 'allow-hunter2', kind: 'allow_once', name: 'Allow hunter2' }],
    };
    const facts = bench.line({ jsonrpc: '2.0', id: 'id-hunter2', method: 'session/request_permission', params });
    expect(JSON.stringify(facts)).not.toContain('hunter2');
    const reply = replyIn(bench.questions.answer({ question: 'id-[redacted]', option: 'allow-[redacted]' }));
    expect(reply).toMatchObject({ id: 'id-hunter2', result: { outcome: { optionId: 'allow-hunter2' } } });
  });

  it('is within its limits whatever the agent asks, or there is none', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary', minLength: 300, maxLength: 9000 }));
    const question: fc.Arbitrary<Question> = fc.record({
      id: fc.oneof(fc.constant('q'), text),
      request: fc.constant('r'),
      kind: fc.constantFrom('permission' as const, 'question' as const, 'plan' as const),
      text: fc.tuple(text, fc.integer({ min: 1, max: 20 })).map(([part, times]) => part.repeat(times)),
      options: fc.array(fc.record({ id: fc.oneof(fc.uuid(), text), label: text, description: text }), { maxLength: 80 }),
    });
    fc.assert(
      fc.property(question, (asked) => {
        const wire = wireOf(asked, (each) => each);
        if (wire === null) return;
        expect(utf8Bytes(JSON.stringify(wire))).toBeLessThanOrEqual(QUESTION_BYTES_MAX);
        expect(wire.options.length).toBeLessThanOrEqual(QUESTION_OPTIONS_MAX);
        expect(checkFact({ type: 'asking', at: 1, data: wire })).toMatchObject({ ok: true });
        expect(JSON.stringify(wire)).toBe(JSON.stringify(wire).toWellFormed());
      }),
      { numRuns: 25 },
    );
  });

  it('keeps as much of a long text as fits, and all of a short one', () => {
    const long = { id: 'q', request: 'r', kind: 'plan', text: '"ö'.repeat(20_000), options: [] } as const;
    const wire = wireOf({ ...long, options: [] }, (each) => each);
    expect(wire?.text.endsWith('…')).toBe(true);
    expect(utf8Bytes(JSON.stringify(wire))).toBeGreaterThan(QUESTION_BYTES_MAX - 16);
    expect(wireOf({ ...long, options: [], text: 'Go?' }, (each) => each)?.text).toBe('Go?');
  });
});
