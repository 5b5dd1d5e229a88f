/**
 * Goal: one table says what a peer does after each close code and each HTTP status, and it is complete.
 * Method: the table of written out again here, then every other code, then the two functions that only shape what is sent.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CLOSE,
  type NextStep,
  nextStepAfterClose,
  nextStepAfterStatus,
  PROBLEMS,
  RETRY_AFTER_MS_MAX,
  retryAfterMs,
  sendableCloseCode,
} from '../../protocol/index.ts';
import { anyText } from './arbitraries.ts';

const OWN_CODES: readonly [rule: string, name: keyof typeof CLOSE, code: number, next: NextStep][] = [
  ['CLS1', 'settled', 4000, 'stop'],
  ['CLS2', 'superseded', 4001, 'stop'],
  ['CLS3', 'badFrame', 4400, 'stop'],
  ['CLS4', 'credentialRefused', 4401, 'refresh_credential'],
  ['CLS5', 'notFound', 4404, 'stop'],
  ['CLS6', 'helloTimeout', 4408, 'retry'],
  ['CLS7', 'claimed', 4409, 'stop'],
  ['CLS8', 'offsetUnavailable', 4410, 'stop'],
  ['CLS9', 'tooSlow', 4413, 'retry'],
  ['CLS10', 'tooManyConnections', 4429, 'retry'],
];

const STANDARD_RETRY = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014];

describe('close codes', () => {
  it.each(OWN_CODES)('[%s] %s is %i: %s', (_rule, name, code, next) => {
    expect(CLOSE[name]).toBe(code);
    expect(nextStepAfterClose(code)).toBe(next);
  });

  it('[CLS11] the names hold these codes and no others', () => {
    expect(CLOSE).toEqual({
      done: 1000,
      goingAway: 1001,
      tryAgainLater: 1013,
      ...Object.fromEntries(OWN_CODES.map(([, name, code]) => [name, code])),
    });
  });

  it.each(STANDARD_RETRY)('[CLS11] %i is retried: a transport or a platform spoke, not a coordinator that refuses', (code) => {
    expect(nextStepAfterClose(code)).toBe('retry');
  });

  it('[CLS12] every other code stops: retrying a deterministic failure amplifies it', () => {
    const listed = new Set([...STANDARD_RETRY, ...OWN_CODES.map(([, , code]) => code)]);
    for (let code = 0; code <= 5000; code += 1) if (!listed.has(code)) expect(nextStepAfterClose(code), String(code)).toBe('stop');
    for (const code of [Number.NaN, -1, 4401.5, Number.POSITIVE_INFINITY]) expect(nextStepAfterClose(code)).toBe('stop');
  });

  it('[CLS14] only 1000 and 3000 to 4999 are put on the wire; what appears only locally becomes 1000', () => {
    for (const [, , code] of OWN_CODES) expect(sendableCloseCode(code)).toBe(code);
    for (const code of [1000, 3000, 3999, 4000, 4999]) expect(sendableCloseCode(code)).toBe(code);
    for (const code of [0, 999, 1001, 1004, 1005, 1006, 1011, 1012, 1015, 2999, 5000, -1, Number.NaN])
      expect(sendableCloseCode(code)).toBe(1000);
  });
});

describe('HTTP statuses', () => {
  it('[HTTP17] 401 asks for a fresh credential', () => {
    expect(nextStepAfterStatus(401)).toBe('refresh_credential');
  });

  it.each([408, 425, 429, 500, 501, 502, 503, 504, 520, 599])('[HTTP17] %i is retried', (status) => {
    expect(nextStepAfterStatus(status)).toBe('retry');
  });

  it('[HTTP17] every other 4xx stops', () => {
    for (let status = 400; status < 500; status += 1) {
      if (![401, 408, 425, 429].includes(status)) expect(nextStepAfterStatus(status), String(status)).toBe('stop');
    }
  });

  it.each([0, 100, 200, 204, 301, 302, 307, 399])(
    '[HTTP17] %i is no answer of a coordinator to an upgrade, so something in between spoke: retry',
    (status) => {
      expect(nextStepAfterStatus(status)).toBe('retry');
    },
  );
});

describe('Retry-After', () => {
  const now = Date.parse('2026-11-20T12:00:00Z');

  it('[CLS13] seconds', () => {
    expect(retryAfterMs('0', now)).toBe(0);
    expect(retryAfterMs('1', now)).toBe(1000);
    expect(retryAfterMs(' 120 ', now)).toBe(120_000);
  });

  it('[CLS13] an HTTP date; one that is over means now', () => {
    expect(retryAfterMs('Fri, 20 Nov 2026 12:00:30 GMT', now)).toBe(30_000);
    expect(retryAfterMs('Friday, 20-Nov-26 12:00:30 GMT', now)).toBe(30_000);
    expect(retryAfterMs('Fri, 20 Nov 2026 11:00:00 GMT', now)).toBe(0);
  });

  it('[CLS13] more than a day is cut to a day, so that it fits any timer', () => {
    expect(retryAfterMs('86400', now)).toBe(RETRY_AFTER_MS_MAX);
    for (const header of ['86401', '999999999', '9'.repeat(400), 'Fri, 20 Nov 2099 12:00:00 GMT'])
      expect(retryAfterMs(header, now)).toBe(RETRY_AFTER_MS_MAX);
  });

  it.each([
    null,
    undefined,
    '',
    ' ',
    '-5',
    '1.5',
    '+5',
    '0x10',
    '1e3',
    'soon',
    'soon 12',
    '12 monkeys',
    'NaN',
    'Infinity',
    '2026-11-20',
    'Fri, 99 Nov 2026 12:00:30 GMT',
    'Fri, 20 Nov 2026 12:00:30',
  ])('[CLS13] %j says nothing usable', (header) => {
    expect(retryAfterMs(header, now)).toBeNull();
  });

  it('[CLS13] any header gives null or 0 to one day', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          fc.string(),
          fc.nat().map(String),
          fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
        ),
        (header) => {
          const delay = retryAfterMs(header, now);
          if (delay !== null) expect(delay >= 0 && delay <= RETRY_AFTER_MS_MAX).toBe(true);
        },
      ),
    );
  });
});

describe('problem codes', () => {
  it('[HTTP1] are pinned, with their status and whether trying again can help', () => {
    expect(Object.entries(PROBLEMS).map(([code, { status, retryable }]) => [code, status, retryable])).toEqual([
      ['bad_request', 400, false],
      ['unauthorized', 401, false],
      ['forbidden_origin', 403, false],
      ['not_found', 404, false],
      ['session_not_found', 404, false],
      ['execution_not_found', 404, false],
      ['method_not_allowed', 405, false],
      ['execution_in_progress', 409, true],
      ['execution_id_conflict', 409, false],
      ['session_full', 409, false],
      ['stdin_closed', 409, false],
      ['not_running', 409, false],
      ['offset_ahead', 409, false],
      ['offset_expired', 410, false],
      ['log_replaced', 410, false],
      ['too_large', 413, false],
      ['upgrade_required', 426, false],
      ['queue_full', 429, true],
      ['input_full', 429, true],
      ['rate_limited', 429, true],
      ['internal', 500, true],
      ['overloaded', 503, true],
      ['unavailable', 503, true],
      ['not_configured', 503, false],
    ]);
  });

  it('[HTTP1] each has a title: one sentence without its end mark', () => {
    for (const { title } of Object.values(PROBLEMS)) expect(title).toMatch(/^[A-Z].*[^.]$/);
  });
});
