/**
 * Goal: one table says what a peer does after each close code and each HTTP status, and it is
 * complete. Method: the table of written out again here, then every other code, then the two
 * functions that only shape what is sent.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CLOSE,
  type NextStep,
  nextStepAfterClose,
  PROBLEMS,
  RETRY_AFTER_MS_MAX,
  retryAfterMs,
  sendableCloseCode,
} from '../../protocol/index.ts';
import { anyText } from './arbitraries.ts';

/** `reason`: without it, the code is not the coordinator's (CLS17). */
const OWN_CODES: readonly [rule: string, name: keyof typeof CLOSE, code: number, next: NextStep, reason?: string][] = [
  ['CLS1', 'settled', 4000, 'stop', '{"status":"completed"}'],
  ['CLS2', 'superseded', 4001, 'stop'],
  ['CLS3', 'badFrame', 4400, 'stop'],
  ['CLS4', 'credentialRefused', 4401, 'refresh_credential'],
  ['CLS5', 'notFound', 4404, 'stop'],
  ['CLS6', 'helloTimeout', 4408, 'retry'],
  ['CLS7', 'claimed', 4409, 'stop', 'another wrapper has this execution'],
  ['CLS8', 'offsetUnavailable', 4410, 'stop'],
  ['CLS9', 'tooSlow', 4413, 'retry'],
  ['CLS10', 'tooManyConnections', 4429, 'retry'],
];

/** A platform or a proxy speaks: no coordinator uses these to refuse. */
const OF_OTHERS = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 3000, 3999];

describe('close codes', () => {
  it.each(OWN_CODES)('[%s] %s is %i: %s', (_rule, name, code, next, reason) => {
    expect(CLOSE[name]).toBe(code);
    expect(nextStepAfterClose(code, reason)).toBe(next);
    if (reason !== undefined) expect(nextStepAfterClose(code)).toBe('retry');
  });

  it('[CLS11] the names hold these codes and no others', () => {
    expect(CLOSE).toEqual({
      done: 1000,
      goingAway: 1001,
      tryAgainLater: 1013,
      ...Object.fromEntries(OWN_CODES.map(([, name, code]) => [name, code])),
    });
  });

  it.each(OF_OTHERS)('[CLS11] %i is retried: a transport or a platform spoke, not a coordinator that refuses', (code) => {
    expect(nextStepAfterClose(code)).toBe('retry');
  });

  it('[CLS11] [CLS12] a code from 4000 to 4999 that is not known stops, and one outside of them is not the coordinator’s', () => {
    const own = new Set<number>(OWN_CODES.map(([, , code]) => code));
    for (let code = 4000; code <= 4999; code += 1) if (!own.has(code)) expect(nextStepAfterClose(code), String(code)).toBe('stop');
    for (const code of [0, 999, 2000, 3999, 5000, Number.NaN, -1, 4401.5, Number.POSITIVE_INFINITY])
      expect(nextStepAfterClose(code), String(code)).toBe('retry');
  });

  it('[CLS14] only 1000 and 3000 to 4999 are put on the wire; what appears only locally becomes 1000', () => {
    for (const [, , code] of OWN_CODES) expect(sendableCloseCode(code)).toBe(code);
    for (const code of [1000, 3000, 3999, 4000, 4999]) expect(sendableCloseCode(code)).toBe(code);
    for (const code of [0, 999, 1001, 1004, 1005, 1006, 1011, 1012, 1015, 2999, 5000, -1, Number.NaN])
      expect(sendableCloseCode(code)).toBe(1000);
  });
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
  ])('[CLS13] %j is ignored', (header) => {
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
      ['pool_not_found', 404, false],
      ['key_not_found', 404, false],
      ['runner_not_found', 404, false],
      ['method_not_allowed', 405, false],
      ['pools_full', 409, false],
      ['keys_full', 409, false],
      ['runner_connected', 409, false],
      ['execution_in_progress', 409, true],
      ['execution_id_conflict', 409, false],
      ['session_full', 409, false],
      ['storage_full', 409, false],
      ['stdin_closed', 409, false],
      ['input_id_conflict', 409, false],
      ['wrapper_too_old', 409, false],
      ['not_a_terminal', 409, false],
      ['not_asking', 409, false],
      ['already_answered', 409, false],
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
