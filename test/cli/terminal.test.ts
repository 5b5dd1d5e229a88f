/**
 * Goal: what a terminal shows in addition to the job's own output: one line that is rewritten, and
 * no untrusted control characters; and that following ends. Method: the program in this process
 * with streams in place of a terminal, against a coordinator that a test controls.
 */

import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CallOptions, result as resultOf, call as startCall } from '../support/cli-call.ts';
import { FakeSession, until } from '../support/fake-session.ts';

let fake: FakeSession;

beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(() => fake.stop());

const call = (args: string[], options?: CallOptions) => startCall(fake.url, args, options);
const result = (args: string[], options?: CallOptions) => resultOf(fake.url, args, options);

describe('logs -f never hangs', () => {
  test.each<[string, number, string, RegExp]>([
    ['the session is deleted', 4404, 'deleted', /session s1 was deleted, and its runs were stopped/],
    ['the key is withdrawn', 4401, 'ticket_expired', /no longer takes this API key/],
    ['the place has expired', 4410, 'offset_expired', /expired/],
    [
      'the session is made again',
      4410,
      'log_replaced',
      /session s1 was deleted and created again[\s\S]*read the new log from its beginning: holdfast logs s1\/e1/,
    ],
  ])('when %s it ends with 125 and reports that', async (_name, close, reason, message) => {
    fake.addExecution('e1');
    // A refusal that may pass is final when it lasts (CLS19).
    fake.behaviours.push({ close, reason, afterHello: true }, ...Array.from({ length: 100 }, () => ({ close, reason })));
    const { code, err } = await result(['logs', '-f', '--after', '0', 's1/e1']);
    expect(code).toBe(125);
    expect(err).toMatch(message);
    expect((await result(['logs', '-f', 's1/e1', '--json', '--after', '0'])).code).toBe(125);
  });

  test('when the coordinator is gone for good it gives up after its time', async () => {
    fake.addExecution('e1');
    const called = call(['logs', '-f', '--give-up-after', '600ms', 's1/e1']);
    await until('following', () => fake.viewers.length === 1);
    await fake.stop();
    expect(await called.done).toBe(125);
    expect(called.err()).toMatch(/no connection to http:\/\/127.0.0.1:\d+ for too long \(--give-up-after\)/);
  });

  test('does not wait for a coordinator that sends a close frame and does not hang up', async () => {
    fake.addExecution('e1');
    const called = call(['logs', '-f', 's1/e1']);
    await until('following', () => fake.viewers[0]?.live === true);
    const raw = (fake.newest.socket as unknown as { _socket: Socket })._socket;
    raw.end = () => raw;
    const before = Date.now();
    fake.newest.socket.close(4404, 'deleted');
    expect(await called.done).toBe(125);
    expect(called.err()).toContain('session s1 was deleted');
    expect(Date.now() - before).toBeLessThan(20_000);
    raw.destroy();
  }, 40_000);

  test('run, too, reports a deleted session, and does not claim that the job continues', async () => {
    fake.onStart = ({ id }) => fake.output(id, 'one\n');
    const called = call(['run', '-s', 's1', '--', 'job']);
    await until('output', () => called.out() === 'one\n');
    fake.deleted = true;
    for (const { socket } of fake.openViewers) socket.close(4404, 'deleted');
    expect(await called.done).toBe(125);
    expect(called.err()).toContain('session s1 was deleted');
    expect(called.err()).not.toContain('the run continues');
  });
});

describe('the status line of a terminal', () => {
  const progress = (current: number, message = 'files') =>
    fake.append('e1', [{ type: 'progress', data: { current, total: 20, message } }]);

  /** What a terminal shows in the end: carriage return and erase-to-end-of-line, line by line. */
  function shown(text: string): string[] {
    return text.split('\n').map((line) => line.split('\r\u001b[K').at(-1) ?? '');
  }

  test('[SL1] [SL2] [SL3] shows progress, is erased before anything else, and is gone at the end', async () => {
    fake.addExecution('e1');
    const called = call(['logs', '-f', 's1/e1'], { tty: true });
    await until('following', () => fake.viewers[0]?.live === true);
    progress(9);
    await until('the line', () => called.err().endsWith('\r\u001b[K45% (9 of 20) files'));
    fake.output('e1', 'half ');
    await until('the output', () => called.out() === 'half ');
    expect(called.err().endsWith('\r\u001b[K')).toBe(true);
    progress(10);
    await new Promise((resolve) => setTimeout(resolve, 150));
    // The line of the job is unfinished: nothing is written over it.
    expect(called.err()).not.toContain('50%');
    fake.output('e1', 'a line\n');
    await until('the line again', () => called.err().endsWith('\r\u001b[K50% (10 of 20) files'));
    fake.settle('e1', 'completed');
    expect(await called.done).toBe(0);
    expect(called.out()).toBe('half a line\n');
    expect(shown(called.err()).join('')).toBe('');
  });

  test('[SL1] [SL4] no terminal, --quiet, TERM=dumb, --json and types that were asked for: no such line', async () => {
    for (const options of [
      { tty: ['stdout'] as const },
      { tty: true, env: { TERM: 'dumb' } },
      { tty: true, args: ['--quiet'] },
      { tty: true, args: ['--json'] },
      { tty: true, args: ['--types', 'progress'] },
    ]) {
      fake.addExecution('e1', { firstOffset: fake.log.length + 1 });
      const { args = [], ...rest } = options as CallOptions & { args?: string[] };
      const called = call(['logs', '-f', ...args, 's1/e1'], rest);
      const before = fake.viewers.length;
      await until('following', () => fake.viewers.length > before && fake.newest.live);
      progress(9);
      await new Promise((resolve) => setTimeout(resolve, 150));
      fake.settle('e1', 'completed');
      expect(await called.done).toBe(0);
      expect(called.err(), JSON.stringify(options)).toBe('');
    }
  });

  test('has no colours, no control characters of others, and never wraps', async () => {
    fake.addExecution('e1');
    const called = call(['logs', '-f', 's1/e1'], { tty: true, env: { NO_COLOR: '1' } });
    await until('following', () => fake.viewers[0]?.live === true);
    progress(1, `\u001b[2J\u0007\u009b31mé${'x'.repeat(500)}`);
    await until('the line', () => called.err().includes('xxx'));
    const drawn = called.err().replaceAll('\r\u001b[K', '');
    expect(drawn).toMatch(/^5% \(1 of 20\) ·\[2J··31méx+$/);
    expect(drawn.length).toBeLessThan(80);
    fake.settle('e1', 'completed');
    await called.done;
  });

  test('shows that the connection is down while it is, and then erases that', async () => {
    fake.addExecution('e1');
    for (let index = 0; index < 3; index += 1) fake.behaviours.push({ status: 503, problem: 'unavailable' });
    const called = call(['logs', '-f', 's1/e1'], { tty: true });
    await until('the line', () => called.err().includes('is down'), 10_000);
    await until('following', () => fake.viewers[0]?.live === true, 10_000);
    fake.settle('e1', 'completed');
    expect(await called.done).toBe(0);
    expect(called.err()).toContain(`\r\u001b[Kholdfast: the connection to ${fake.url} is down`);
    expect(shown(called.err()).join('')).toBe('');
  }, 20_000);
});

describe('words of others', () => {
  const EVIL = '\u001b]0;title\u0007\u009b2J\u202edesrever';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  const CONTROL = /[\u001b\u0007\u009b\u202e]/;

  test('ids, reasons, errors and messages from the API reach a terminal without control characters', async () => {
    fake.addExecution('e1', { status: 'failed', cwd: EVIL, error: EVIL, reason: EVIL, labels: { a: EVIL }, command: [EVIL] });
    fake.append('e1', [
      { type: 'status', data: { message: EVIL } },
      { type: 'error', data: { error: EVIL } },
      { type: 'gap', data: { events: 1, bytes: 1, reason: EVIL } },
      { type: 'custom', data: { a: EVIL } },
    ]);
    fake.overrides.push({
      match: /executions\/evil/,
      override: { status: 404, body: JSON.stringify({ code: EVIL, detail: EVIL, status: 404, retryable: false }) },
    });
    const plain = { tty: true, env: { NO_COLOR: '1', TERM: 'dumb' } };
    for (const args of [
      ['get', 's1/e1'],
      ['list', '-s', 's1'],
      ['wait', 's1/e1'],
      ['logs', 's1/e1'],
      ['logs', '--types', 'custom,status', 's1/e1'],
      ['get', 's1/evil'],
    ]) {
      const { out, err } = await result(args, plain);
      expect(`${out}${err}`, args.join(' ')).toMatch(/title|no/);
      expect(`${out}${err}`, args.join(' ')).not.toMatch(CONTROL);
    }
  });

  test("a job's own output is its own: it passes as it is", async () => {
    fake.addExecution('e1');
    fake.output('e1', `\u001b[32mgreen\u001b[0m ${EVIL}\n`);
    expect((await result(['logs', 's1/e1'], { tty: true })).out).toBe(`\u001b[32mgreen\u001b[0m ${EVIL}\n`);
  });
});

describe('late results', () => {
  const late = { events: 2, exitCode: 0, signal: null, at: 1_763_650_009_000 };

  test('[STR34] logs says once, in front of them, which lines arrived after the verdict, also with --quiet and --tail', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 2);
    fake.settle('e1', 'failed', { code: 'wrapper_disconnected', late });
    const events = ['RESULT\n', 'done\n'].map((text) => ({ type: 'output', data: { stream: 'stdout', text } }));
    fake.append('e1', events, { late: true });
    const remark = /holdfast: what follows arrived after the verdict/g;
    for (const flags of [[], ['-q'], ['-n', '2']]) {
      const { code, out, err } = await result(['logs', ...flags, 's1/e1']);
      expect(code).toBe(0);
      expect(out.endsWith('RESULT\ndone\n')).toBe(true);
      expect(err.match(remark)).toHaveLength(1);
    }
    const lines = (await result(['logs', '--json', 's1/e1'])).out.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { late?: true }).late)).toEqual([undefined, undefined, undefined, true, true]);
  });

  test('[LIF38] get and wait say below the verdict what arrived', async () => {
    fake.addExecution('e1');
    fake.settle('e1', 'failed', { code: 'wrapper_disconnected', late });
    const said = '2 events arrived after the verdict; the job had ended with exit code 0';
    expect((await result(['get', 's1/e1'])).out).toContain(said);
    const waited = await result(['wait', 's1/e1']);
    expect(waited.err).toContain(said);
    expect(waited.code).toBe(125);
  });

  test('run --grace sets the grace, within its bounds', async () => {
    const graces: unknown[] = [];
    fake.onStart = ({ id }, { policy }) => {
      graces.push(policy);
      fake.settle(id, 'completed', { exitCode: 0 });
    };
    expect((await result(['run', '--grace', '1h', '--', 'job'])).code).toBe(0);
    expect(graces).toEqual([{ disconnectGraceMs: 3_600_000 }]);
    const refused = await result(['run', '--grace', '2d', '--', 'job']);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/--grace: policy.disconnectGraceMs must be/);
  });
});
