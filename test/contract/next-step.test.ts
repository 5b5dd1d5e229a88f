/**
 * Goal: one table decides whose answer counts, and what a peer does next, for every HTTP answer and
 * every close. Method: every problem code of ours with its true document, then each way in which a
 * document can fail to be ours.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AnswerClass,
  classifyClose,
  classifyStatus,
  nextStepAfter,
  nextStepAfterStatus,
  PROBLEMS,
  type ProblemCode,
  readProblem,
} from '../../protocol/index.ts';

const TYPE = 'application/problem+json';
const documentOf = (code: ProblemCode, facts: Record<string, unknown> = {}) => ({
  type: `https://holdfast.dev/problems/${code}`,
  title: PROBLEMS[code].title,
  status: PROBLEMS[code].status,
  detail: 'some detail',
  code,
  retryable: PROBLEMS[code].retryable,
  requestId: 'req_1',
  ...facts,
});
const read = (status: number, body: unknown, type: string | null = TYPE) => readProblem(status, type, JSON.stringify(body));

describe('who speaks', () => {
  it.each(Object.keys(PROBLEMS) as ProblemCode[])('[CLS16] the problem document %s is the coordinator’s', (code) => {
    const { status, retryable } = PROBLEMS[code];
    const problem = read(status, documentOf(code), `${TYPE}; charset=utf-8`);
    expect(problem).toMatchObject({ code, retryable, detail: 'some detail' });
    // A proxy that took the `Upgrade` header away is what 426 tells of.
    const word: AnswerClass =
      code === 'upgrade_required' ? 'network' : status === 401 ? 'unauthorized' : retryable ? 'later' : 'refused';
    expect(classifyStatus(status, problem)).toBe(word);
  });

  it.each([
    ['no problem document', 404, documentOf('not_found'), 'application/json'],
    ['no content type', 404, documentOf('not_found'), null],
    ['the type of another service', 404, documentOf('not_found', { type: 'https://example.com/problems/not_found' }), TYPE],
    ['a code that is not ours', 404, { type: 'about:blank', status: 404, code: 'no_such_pod' }, TYPE],
    ['another status inside', 404, documentOf('not_found', { status: 410 }), TYPE],
    ['no code', 404, documentOf('not_found', { code: undefined }), TYPE],
    ['text', 404, 'not found', TYPE],
    ['null', 404, null, TYPE],
    ['a code without `retryable`', 409, { type: 'https://holdfast.dev/problems/new', status: 409, code: 'new' }, TYPE],
  ])('[CLS16] an answer with %s is the network’s', (_what, status, body, type) => {
    const problem = read(status, body, type);
    expect(problem).toBeNull();
    expect(classifyStatus(status, problem)).toBe('network');
  });

  it('[CLS16] a page is the network’s, whatever its status', () => {
    for (let status = 100; status < 600; status += 1) {
      expect(readProblem(status, 'text/html', '<!doctype html>')).toBeNull();
      expect(nextStepAfterStatus(status, null)).toBe('retry');
    }
  });

  it('[CLS16] no text of any kind makes it throw', () => {
    fc.assert(
      fc.property(fc.nat(600), fc.anything(), (status, body) => void readProblem(status, TYPE, JSON.stringify(body) ?? '')),
    );
    expect(readProblem(404, TYPE, '{')).toBeNull();
  });

  it('[VER5] a code of a later version is judged by its `retryable`', () => {
    const later = (retryable: boolean) =>
      read(409, { type: 'https://holdfast.dev/problems/new_code', status: 409, code: 'new_code', retryable });
    expect(classifyStatus(409, later(true))).toBe('later');
    expect(classifyStatus(409, later(false))).toBe('refused');
  });

  it('[CLS17] `deleted` comes from the object itself: by its document, and by the reason of 4404', () => {
    expect(classifyStatus(404, read(404, documentOf('session_not_found', { deleted: true })))).toBe('deleted');
    expect(classifyStatus(404, read(404, documentOf('session_not_found', { deleted: 'true' })))).toBe('refused');
    expect(classifyStatus(404, read(404, documentOf('session_not_found', { deleted: true, type: 'about:blank' })))).toBe('refused');
    expect(classifyClose(4404, 'deleted')).toBe('deleted');
    expect(classifyClose(4404, 'session_not_found')).toBe('refused');
    expect(classifyClose(4404)).toBe('refused');
    expect(classifyClose(4001, 'deleted')).toBe('refused');
  });

  it.each([
    ['{"status":"completed"}', 'settled'],
    ['{"status":"failed"}', 'settled'],
    ['{"status":"interrupted"}', 'settled'],
    ['{"status":"failed","more":1}', 'settled'],
    ['settled', 'settled'],
    ['', 'network'],
    ['bye', 'network'],
    ['Settled', 'network'],
    ['{"status":"running"}', 'network'],
    ['{"status":"closed"}', 'network'],
    ['{"status":["failed"]}', 'network'],
    ['{"status":"failed"', 'network'],
    ['{}', 'network'],
    ['[]', 'network'],
    ['null', 'network'],
    ['"failed"', 'network'],
  ] as const)('[CLS16] [CLS17] 4000 with the reason %j is: %s', (reason, word) => {
    expect(classifyClose(4000, reason)).toBe(word);
  });

  it.each([
    ['another wrapper has this execution', 'claimed'],
    ['', 'network'],
    ['conflict', 'network'],
    ['claimed', 'network'],
    ['another wrapper has this execution.', 'network'],
  ] as const)('[CLS16] [CLS17] 4409 with the reason %j is: %s', (reason, word) => {
    expect(classifyClose(4409, reason)).toBe(word);
  });

  it('[CLS16] an unknown reason is ignored and never throws', () => {
    fc.assert(
      fc.property(fc.constantFrom(4000, 4409), fc.oneof(fc.string(), fc.json()), (code, reason) => {
        expect(classifyClose(code, `x${reason}`)).toBe('network');
        classifyClose(code, reason);
      }),
    );
  });

  it('[CLS11] 1013 is the coordinator’s only with the reason `queued`', () => {
    expect(classifyClose(1013, 'queued')).toBe('later');
    expect(classifyClose(1013, 'service restart')).toBe('network');
  });
});

describe('what a peer does that has nothing to lose by stopping', () => {
  it.each([
    ['network', 'retry'],
    ['later', 'retry'],
    ['unauthorized', 'refresh_credential'],
    ['settled', 'stop'],
    ['deleted', 'stop'],
    ['claimed', 'stop'],
    ['refused', 'stop'],
  ] as const)('[HTTP17] %s: %s', (word, step) => {
    expect(nextStepAfter(word)).toBe(step);
  });
});
