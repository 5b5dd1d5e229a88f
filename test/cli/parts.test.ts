/**
 * Goal: the plain functions under the command line: references, durations, exit codes, lines.
 * Method: tables.
 */

import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { inputParts } from '../../cli/commands/control.ts';
import { describeEnding, type Ending, exitCodeOf } from '../../cli/exit-code.ts';
import { Output } from '../../cli/io.ts';
import { LastLines, type LinePiece, LineSplitter, TAIL_CHARS_MAX } from '../../cli/lines.ts';
import { parseDuration, parsePairs, parseReference, parseSize, readSettings, UsageError } from '../../cli/settings.ts';
import { utf8Bytes } from '../../protocol/index.ts';

describe('exit codes', () => {
  test.each<[Ending, number]>([
    [{ status: 'completed', exitCode: 0 }, 0],
    [{ status: 'completed' }, 0],
    [{ status: 'failed', exitCode: 3 }, 3],
    [{ status: 'failed', exitCode: 255 }, 255],
    [{ status: 'failed', signal: 'SIGKILL' }, 137],
    // Whatever the job made of its signal: it ran longer than its limit.
    [{ status: 'failed', code: 'runtime_exceeded', exitCode: 130 }, 124],
    [{ status: 'failed', code: 'runtime_exceeded', signal: 'SIGKILL' }, 124],
    [{ status: 'failed', code: 'exit_nonzero', exitCode: 130 }, 130],
    [{ status: 'failed', signal: 'SIGSEGV' }, 139],
    [{ status: 'failed', signal: 'SIGNOSUCH' }, 125],
    [{ status: 'failed' }, 125],
    // [G9] A failure never looks like success, not even one whose low eight bits are zero.
    [{ status: 'failed', exitCode: 0 }, 125],
    [{ status: 'failed', exitCode: 256 }, 125],
    [{ status: 'interrupted' }, 130],
    [{ status: 'interrupted', exitCode: 1 }, 130],
  ])('%o → %i', (ending, code) => {
    expect(exitCodeOf(ending)).toBe(code);
  });

  test.each([
    [{ status: 'completed', exitCode: 0 }, 'completed'],
    [{ status: 'failed', code: 'exit_nonzero', exitCode: 3, error: 'the job exited with 3' }, 'failed (exit_nonzero, exit code 3)'],
    [{ status: 'failed', code: 'launch_failed', error: 'no runner' }, 'failed (launch_failed, no runner)'],
    [{ status: 'interrupted', reason: 'no more', forced: true }, 'interrupted (no more, forced)'],
  ])('%o is shown as "%s"', (ending, text) => {
    expect(describeEnding(ending)).toBe(text);
  });
});

describe('sizes', () => {
  test('are in powers of 1024, and need a unit', () => {
    expect(['64K', '500M', '2G', '1.5G'].map((text) => parseSize(text, '--max-log'))).toEqual([
      65_536, 524_288_000, 2_147_483_648, 1_610_612_736,
    ]);
    for (const text of ['', '1', 'G', '1T', '-1M', '1 M']) expect(() => parseSize(text, '--max-log')).toThrow(UsageError);
  });
});

describe('references', () => {
  test.each([
    ['s/e', {}, {}, 's', 'e'],
    ['e', { session: 's' }, {}, 's', 'e'],
    ['e', {}, { HOLDFAST_SESSION: 's' }, 's', 'e'],
    ['e', { session: 'flag' }, { HOLDFAST_SESSION: 'env' }, 'flag', 'e'],
    ['s/e', {}, { HOLDFAST_SESSION: 'other' }, 's', 'e'],
  ])('%s with %o and %o', (text, flags, env, session, execution) => {
    expect(parseReference(text, flags, env)).toEqual({ session, execution });
  });

  test.each([
    ['e', {}, /which session/],
    ['a/b/c', {}, /no reference/],
    ['s/', {}, /execution id/],
    ['/e', {}, /session id/],
    ['s/../e', {}, /no reference/],
    ['s/e', { session: 't' }, /names session/],
    ['-x', { session: 's' }, /execution id/],
  ])('%s with %o is a mistake', (text, flags, message) => {
    expect(() => parseReference(text, flags, {})).toThrow(message);
  });
});

test('durations need a unit', () => {
  expect(['500ms', '90s', '30m', '1h30m', '1.5h', '1d'].map((text) => parseDuration(text, '--timeout'))).toEqual([
    500, 90_000, 1_800_000, 5_400_000, 5_400_000, 86_400_000,
  ]);
  for (const text of ['', '30', 'm', '30 m', '-1s', '1h30', '1y', '1s!'])
    expect(() => parseDuration(text, '--timeout')).toThrow(UsageError);
});

test('pairs split at the first =, and each flag defines what a bare key means', () => {
  expect(parsePairs(['A=1', 'B=x=y', 'C=', 'D'], '--env', (key) => `<${key}>`)).toEqual({ A: '1', B: 'x=y', C: '', D: '<D>' });
  expect(() => parsePairs(['NOPE'], '--env', () => undefined)).toThrow(UsageError);
  expect(() => parsePairs(['=1'], '--env', () => '')).toThrow(UsageError);
  expect(() => parsePairs(['gpu'], '--requires')).toThrow('--requires must be KEY=VALUE, not "gpu"');
});

test('settings: flags before environment, and each missing value is reported with its remedy', () => {
  const env = { HOLDFAST_URL: 'http://env/', HOLDFAST_API_KEY: 'envkey' };
  expect(readSettings({}, env)).toEqual({ url: 'http://env', apiKey: 'envkey' });
  expect(readSettings({ url: 'https://flag', apiKey: 'k' }, env)).toEqual({ url: 'https://flag', apiKey: 'k' });
  expect(() => readSettings({}, {})).toThrow(/HOLDFAST_URL/);
  expect(() => readSettings({ url: 'localhost:8787', apiKey: 'k' }, {})).toThrow(/http:\/\//);
  expect(() => readSettings({ url: 'http://x' }, {})).toThrow(/HOLDFAST_API_KEY/);
});

describe('lines', () => {
  const texts = (pieces: LinePiece[]) => pieces.map(({ text }) => text);

  test('text is printed exactly as received, however it was split', () => {
    const splitter = new LineSplitter();
    const parts = ['a\nb', 'c', '\n\n', 'd\r\n', 'é', ''];
    const pieces = parts.flatMap((text) => splitter.split('stdout', text, 0));
    expect(texts(pieces).join('')).toBe(parts.join(''));
    expect(splitter.lines).toBe(5);
    expect(pieces.filter(({ startsLine }) => startsLine).length).toBe(5);
  });

  test('the last lines are what a terminal would show: of what a CR overwrote only the last state is kept', () => {
    const shown = (parts: readonly string[]) => {
      const splitter = new LineSplitter();
      const last = new LastLines(1);
      for (const text of parts) for (const piece of splitter.split('stdout', text, 0)) last.push(piece);
      return last
        .take()
        .map(({ text }) => text)
        .join('');
    };
    expect(shown(Array.from({ length: 200_000 }, (_, step) => `\rstep ${step}`))).toBe('step 199999');
    expect(shown(['10 %\r', '20 %\r', '30 %\r\n'])).toBe('30 %\r\n');
    expect(shown(['a\rb\rc'])).toBe('c');
    expect(shown(['whole\r\n'])).toBe('whole\r\n');
    expect(shown(['whole\r', '\n'])).toBe('whole\r\n');
  });

  test('the last lines have so many characters, the newest, and not more', () => {
    const splitter = new LineSplitter();
    const last = new LastLines(2);
    const part = 'x'.repeat(64 * 1024);
    for (let each = 0; each < TAIL_CHARS_MAX / part.length; each += 1)
      for (const piece of splitter.split('stdout', part, 0)) last.push(piece);
    expect(last.overflowed).toBe(false);
    for (const piece of splitter.split('stdout', 'y', 0)) last.push(piece);
    expect(last.overflowed).toBe(true);
    const text = last
      .take()
      .map((piece) => piece.text)
      .join('');
    expect(text.length).toBeLessThanOrEqual(TAIL_CHARS_MAX);
    expect(text.endsWith('xy')).toBe(true);
    // Short lines came behind the long one.
    for (const piece of splitter.split('stdout', '\none\ntwo\n', 0)) last.push(piece);
    expect(last.overflowed).toBe(false);
  });

  test('the last lines count lines and not events, and drop the rest of a line that began before them', () => {
    const splitter = new LineSplitter();
    const last = new LastLines(2);
    for (const [stream, text] of [
      ['stdout', 'one\ntwo\nthr'],
      ['stderr', 'warn\n'],
      ['stdout', 'ee\n'],
      ['stderr', 'bad\n'],
    ] as const) {
      for (const piece of splitter.split(stream, text, 0)) last.push(piece);
    }
    expect(texts(last.take())).toEqual(['warn\n', 'bad\n']);
  });

  test('memory follows the number of requested lines', () => {
    const splitter = new LineSplitter();
    const last = new LastLines(3);
    for (let index = 0; index < 10_000; index += 1) for (const piece of splitter.split('stdout', `${index}\n`, 0)) last.push(piece);
    expect(texts(last.take())).toEqual(['9997\n', '9998\n', '9999\n']);
  });
});

test('input is cut into parts that fit, never inside a character', () => {
  const text = 'aé😀'.repeat(5000);
  const parts = inputParts(text, 1000);
  expect(parts.join('')).toBe(text);
  expect(parts.every((part) => utf8Bytes(part) <= 1000 && part.isWellFormed())).toBe(true);
  expect(inputParts('', 10)).toEqual([]);
  expect(inputParts('0123456789', 10)).toEqual(['0123456789']);
});

describe('output', () => {
  test('waits for a slow reader, and continues when it reads', async () => {
    const stream = new PassThrough({ highWaterMark: 4 });
    const output = new Output(stream);
    let written = false;
    const writing = output.write('0123456789').then(() => {
      written = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(written).toBe(false);
    stream.resume();
    await writing;
  });

  test('a reader that leaves ends every wait', async () => {
    const stream = new PassThrough({ highWaterMark: 4 });
    const output = new Output(stream);
    let broken = 0;
    output.onBroken = () => {
      broken += 1;
    };
    const writing = output.write('0123456789');
    stream.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
    await writing;
    await output.write('more');
    await output.flush();
    expect([output.broken, broken]).toEqual([true, 1]);
  });
});
