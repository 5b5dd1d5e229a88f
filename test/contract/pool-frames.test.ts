/**
 * Goal: each frame of the pool wire is read as it was written, and no text breaks a parser.
 * Method: a table of frames and of mistakes, each limit at its edge and one past it, and random
 * texts.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ERROR_MESSAGE_CHARS_MAX, LABEL_VALUE_CHARS_MAX, LABELS_MAX } from '../../protocol/index.ts';
import { readLaunchRequest } from '../../protocol/launch.ts';
import {
  encodePoolFrame,
  encodeRunnerFrame,
  parsePoolFrame,
  parseRunnerFrame,
  RUNNER_FRAME_BYTES_MAX,
  RUNNER_KEY_PATTERN,
  RUNNER_NAME_CHARS_MAX,
  RUNNER_SLOTS_MAX,
  runName,
  splitRunName,
} from '../../protocol/pool.ts';
import { propertyRuns } from '../support/property-runs.ts';

const hello = {
  type: 'hello' as const,
  protocol: 1,
  runnerId: 'r_01JD5Z',
  bootId: 'b_01JD60',
  name: 'gpu-3',
  labels: { gpu: 'a100' },
  slots: 4,
  version: '0.2.0',
  runs: ['s1/e1'],
};

const detailOf = (frame: object | string): string => {
  const read = parseRunnerFrame(typeof frame === 'string' ? frame : JSON.stringify(frame));
  return read.ok ? 'read' : read.detail;
};

describe('frames of a runner', () => {
  it('are read as they were written, with defaults for what was left out', () => {
    expect(parseRunnerFrame(encodeRunnerFrame(hello))).toEqual({ ok: true, frame: { ...hello, features: [], draining: false } });
    const { labels: _labels, runs: _runs, ...least } = hello;
    expect(parseRunnerFrame(encodeRunnerFrame(least))).toEqual({
      ok: true,
      frame: { ...least, labels: {}, runs: [], features: [], draining: false },
    });
    const others = [
      { type: 'launched', lease: 17 },
      { type: 'refused', lease: 17, code: 'cwd_missing', message: 'there is no /work', retry: true },
      { type: 'ended', session: 's1', execution: 'e1' },
      { type: 'draining' },
    ] as const;
    for (const frame of others) expect(parseRunnerFrame(encodeRunnerFrame(frame))).toEqual({ ok: true, frame });
  });

  it('of a refusal without details, which is final', () => {
    expect(parseRunnerFrame('{"type":"refused","lease":1,"code":"later_code"}')).toEqual({
      ok: true,
      frame: { type: 'refused', lease: 1, code: 'later_code', message: '', retry: false },
    });
  });

  it.each<[string, object | string, string]>([
    ['no JSON', '{', 'a frame must be JSON'],
    ['no object', '[]', 'a frame must be an object with a type'],
    ['no type', '{}', 'a frame must be an object with a type'],
    ['a bad runner id', { ...hello, runnerId: 'a b' }, 'hello.runnerId is not valid'],
    ['a bad boot id', { ...hello, bootId: '' }, 'hello.bootId is not valid'],
    ['no name', { ...hello, name: '' }, 'hello.name is not valid'],
    ['a control character in the name', { ...hello, name: 'a\u001b[2J' }, 'hello.name is not valid'],
    ['a bad label', { ...hello, labels: { 'a b': 'c' } }, 'hello.labels is not valid'],
    ['a label that is a number', { ...hello, labels: { gpu: 1 } }, 'hello.labels is not valid'],
    ['no slots', { ...hello, slots: 0 }, 'hello.slots is not valid'],
    ['a part of a slot', { ...hello, slots: 1.5 }, 'hello.slots is not valid'],
    ['a run that is no name of one', { ...hello, runs: ['s1'] }, 'hello.runs is not valid'],
    ['protocol 0', { ...hello, protocol: 0 }, 'hello.protocol is not valid'],
    ['a lease below 1', { type: 'launched', lease: 0 }, 'launched.lease is not valid'],
    ['an ended run without a session', { type: 'ended', execution: 'e1' }, 'ended.session is not valid'],
  ])('a bad frame names what is wrong, and no part of the frame: %s', (_name, frame, detail) => {
    expect(detailOf(frame)).toBe(detail);
  });

  it('skips a type and fields that it does not know', () => {
    expect(parseRunnerFrame('{"type":"toString"}')).toEqual({ ok: true, frame: null });
    expect(parseRunnerFrame('{"type":"draining","why":"deploy"}')).toEqual({ ok: true, frame: { type: 'draining' } });
  });

  it('each limit holds at its edge and not one past it', () => {
    const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
    for (const [good, bad] of [
      [{ slots: RUNNER_SLOTS_MAX }, { slots: RUNNER_SLOTS_MAX + 1 }],
      [{ name: 'n'.repeat(RUNNER_NAME_CHARS_MAX) }, { name: 'n'.repeat(RUNNER_NAME_CHARS_MAX + 1) }],
      [{ labels: labels(LABELS_MAX) }, { labels: labels(LABELS_MAX + 1) }],
      [{ labels: { a: 'v'.repeat(LABEL_VALUE_CHARS_MAX) } }, { labels: { a: 'v'.repeat(LABEL_VALUE_CHARS_MAX + 1) } }],
    ]) {
      expect(detailOf({ ...hello, ...good })).toBe('read');
      expect(detailOf({ ...hello, ...bad })).toContain('is not valid');
    }
    const filled = (bytes: number) => `{"type":"draining","x":"${'x'.repeat(bytes - 28)}"}`.padEnd(bytes);
    expect(detailOf(filled(RUNNER_FRAME_BYTES_MAX))).toBe('read');
    expect(detailOf(filled(RUNNER_FRAME_BYTES_MAX + 1))).toBe(`a frame may have at most ${RUNNER_FRAME_BYTES_MAX} bytes`);
  });

  it('a hello with a run of the longest ids in every slot fits a frame', () => {
    const run = runName('s'.repeat(128), 'e'.repeat(128));
    expect(detailOf({ ...hello, slots: RUNNER_SLOTS_MAX, runs: Array(RUNNER_SLOTS_MAX).fill(run) })).toBe('read');
  });

  it('a hello with more runs than slots can be is refused', () => {
    const runs = Array.from({ length: RUNNER_SLOTS_MAX + 1 }, (_, index) => runName('s1', `e${index}`));
    expect(detailOf({ ...hello, runs })).toBe('hello.runs is not valid');
  });

  it('a message that is longer than a frame may have is cut, never inside a character', () => {
    const refused = (message: string) =>
      parseRunnerFrame(encodeRunnerFrame({ type: 'refused', lease: 1, code: 'cwd_missing', message, retry: true }));
    const whole = 'x'.repeat(ERROR_MESSAGE_CHARS_MAX);
    expect(refused(whole)).toMatchObject({ ok: true, frame: { message: whole } });
    expect(refused(`${whole}y`)).toMatchObject({ ok: true, frame: { message: whole } });
    const cut = refused(`${whole.slice(1)}\u{1F600}`);
    expect(cut.ok && cut.frame?.type === 'refused' && cut.frame.message.isWellFormed()).toBe(true);
  });

  it('any text is a frame or a refusal; no parser throws', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({ type: fc.constantFrom('hello', 'ended', 'launch', 'x'), lease: fc.anything() })
        .map((value) => JSON.stringify(value) ?? ''),
    );
    fc.assert(
      fc.property(texts, (text) => {
        for (const read of [parseRunnerFrame(text), parsePoolFrame(text)]) expect(typeof read.ok).toBe('boolean');
      }),
      { numRuns: propertyRuns(500) },
    );
  });
});

describe('frames of a pool', () => {
  it('are read as they were written; the request of a launch is read by its own schema', () => {
    const request = {
      id: 'e1',
      session: 's1',
      tenant: 'acme',
      command: ['true'],
      ingest: { url: 'https://h.example/v1/sessions/s1/executions/e1/ingest', token: 't' },
    };
    const frames = [
      { type: 'welcome', protocol: 1 },
      { type: 'welcome', protocol: 1, notice: { code: 'too_old', message: 'Upgrade this runner.' } },
      { type: 'launch', lease: 17, request },
      { type: 'drained' },
    ] as const;
    for (const frame of frames) expect(parsePoolFrame(encodePoolFrame(frame))).toEqual({ ok: true, frame });
    expect(readLaunchRequest(request).ok).toBe(true);
    // A bad request still has its lease, so it can be refused.
    expect(parsePoolFrame('{"type":"launch","lease":3,"request":{"id":1}}')).toEqual({
      ok: true,
      frame: { type: 'launch', lease: 3, request: { id: 1 } },
    });
  });
});

describe('names', () => {
  it('a run is named by its session and its execution', () => {
    expect(splitRunName(runName('s1', 'e1'))).toEqual({ session: 's1', execution: 'e1' });
    for (const text of ['', '/', 's1/', '/e1', 's1/e1/x', 's 1/e1']) expect(splitRunName(text)).toBeNull();
  });

  it('a runner key names its tenant and its id', () => {
    const key = `hfr_${Buffer.from('acme').toString('base64url')}.rk_01JD5Z.${'x'.repeat(43)}`;
    expect(RUNNER_KEY_PATTERN.exec(key)?.slice(1, 3)).toEqual([Buffer.from('acme').toString('base64url'), 'rk_01JD5Z']);
    for (const bad of [key.slice(1), `${key}x`, key.slice(0, -1), key.replace('hfr_', 'hf_')])
      expect(RUNNER_KEY_PATTERN.test(bad)).toBe(false);
  });
});
