/**
 * Goal: the command line as scripts and people meet it: what is on stdout, what on stderr, and the
 * exit code.
 * Method: the program in this process with streams in place of a terminal, against a coordinator
 * that a test steers. Signals, pipes and the real exit are in process.test.ts.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AskingData, type Execution, POLICY_DEFAULTS } from '../../protocol/index.ts';
import { type CallOptions, result as resultOf, call as startCall } from '../support/cli-call.ts';
import { FakeSession, until } from '../support/fake-session.ts';

let fake: FakeSession;

beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(() => fake.stop());

const call = (args: string[], options?: CallOptions) => startCall(fake.url, args, options);
const result = (args: string[], options?: CallOptions) => resultOf(fake.url, args, options);

/** A job that prints and ends as soon as it is started. */
function jobThat(ends: (execution: Execution) => void): void {
  fake.onStart = (execution) => {
    fake.output(execution.id, 'to stdout\n');
    fake.output(execution.id, 'to stderr\n', 'stderr');
    ends(execution);
  };
}

describe('run', () => {
  test("streams the job's stdout to stdout and its stderr to stderr, and names the follow command on stderr", async () => {
    jobThat(({ id }) => fake.settle(id, 'completed', { exitCode: 0 }));
    const { code, out, err } = await result(['run', '--', 'job', '--flag', '-x']);
    expect(code).toBe(0);
    expect(out).toBe('to stdout\n');
    const [started, follow, page, ...rest] = err.split('\n');
    expect(started).toMatch(/^holdfast: started s_[0-9A-Z]{26}\/exec_[0-9A-Z]{26}$/);
    expect(follow).toBe(`holdfast: follow it from anywhere: holdfast logs -f ${started?.split(' ').at(-1)}`);
    expect(page).toBe(
      `holdfast: or in a browser: ${fake.url}/sessions/${started?.split(' ').at(-1)?.replace('/', '/executions/')}`,
    );
    expect(rest).toEqual(['to stderr', '']);
    expect(fake.requests[0]?.body).toMatchObject({ command: ['job', '--flag', '-x'] });
  });

  test.each<[string, Parameters<FakeSession['settle']>[1], Partial<Execution>, number]>([
    ["the job's", 'failed', { code: 'exit_nonzero', exitCode: 3 }, 3],
    ['128 + the signal', 'failed', { code: 'exit_nonzero', signal: 'SIGKILL' }, 137],
    ['125 without an exit code', 'failed', { code: 'wrapper_disconnected', error: 'gone' }, 125],
    ['130 when interrupted', 'interrupted', { reason: 'asked' }, 130],
  ])('[G9] exit code: %s', async (_name, status, fields, expected) => {
    jobThat(({ id }) => fake.settle(id, status, fields));
    const { code, err } = await result(['run', '--', 'job']);
    expect(code).toBe(expected);
    expect(err).toContain(`holdfast: ${status} (`);
  });

  test('a fatal error of the wrapper is shown once, and with --quiet too', async () => {
    jobThat(({ id }) => {
      const error = 'the command or its interpreter was not found: spawn nope ENOENT';
      fake.append(id, [{ type: 'error', data: { error, code: 'spawn_failed', fatal: true } }]);
      fake.settle(id, 'failed', { code: 'wrapper_error', reason: 'spawn_failed', error });
    });
    for (const args of [
      ['run', '-s', 's1', '--', 'nope'],
      ['run', '-q', '-s', 's1', '--', 'nope'],
    ]) {
      const { code, err } = await result(args);
      expect(code).toBe(125);
      expect(err.split('spawn nope ENOENT')).toHaveLength(2);
    }
    const logs = await result(['logs', '-q', `s1/${[...fake.executions.keys()].at(-1)}`]);
    expect(logs.err).toMatch(/^to stderr\nholdfast: failed .*spawn nope ENOENT\)\n$/);
  });

  test('with --quiet a failed job is reported only by its exit code, and its own lines are shown whatever they begin with', async () => {
    fake.onStart = ({ id }) => {
      fake.output(id, 'holdfast: a line of the job\n', 'stderr');
      fake.append(id, [{ type: 'status', data: { message: 'a remark' } }]);
      fake.append(id, [{ type: 'gap', data: { events: 3, bytes: 9, reason: 'spool_full' } }]);
      fake.settle(id, 'failed', { code: 'exit_nonzero', exitCode: 3 });
    };
    const { code, err } = await result(['run', '-q', '--', 'job']);
    expect(code).toBe(3);
    expect(err).toBe('holdfast: a line of the job\nholdfast: 3 events (9 bytes) are missing here: spool_full\n');
  });

  test('the exit code is known from the stream when the coordinator goes away right after the verdict', async () => {
    jobThat(({ id }) => fake.settle(id, 'failed', { exitCode: 7 }));
    fake.overrides.push({ match: /GET/, override: { problem: 'not_found' } });
    expect((await result(['run', '--', 'job'])).code).toBe(7);
  });

  describe('output that is not UTF-8', () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, n) => n & 255));
    const printBytes = (id: string) => {
      fake.output(id, 'é\n', 'stdout', { line: 1 });
      fake.output(id, '', 'stdout', { base64: bytes.toString('base64'), partial: true });
      fake.output(id, 'end', 'stdout', { partial: true });
    };
    const exact = Buffer.concat([Buffer.from('é\n'), bytes, Buffer.from('end')]);

    test('is written byte for byte, by run and by logs', async () => {
      fake.onStart = ({ id }) => {
        printBytes(id);
        fake.settle(id, 'completed', { exitCode: 0 });
      };
      const ran = await result(['run', '-q', '--bytes', '-s', 's1', '--id', 'e1', '--', 'job']);
      expect(ran.outBytes.equals(exact)).toBe(true);
      expect(ran.err).toBe('');
      for (const args of [[], ['-f'], ['--tail', '100']]) {
        const shown = await result(['logs', '-q', ...args, 's1/e1']);
        expect(shown.outBytes.equals(exact), args.join(' ')).toBe(true);
      }
    });

    test('has a time before each of its lines with --timestamps, and is otherwise the same', async () => {
      fake.onStart = ({ id }) => {
        printBytes(id);
        fake.settle(id, 'completed', { exitCode: 0 });
      };
      await result(['run', '-d', '-s', 's1', '--id', 'e1', '--', 'job']);
      const { outBytes } = await result(['logs', '-t', 's1/e1']);
      const stamp = /^\d{4}-\d\d-\d\dT[\d:.]+Z /gm;
      expect(outBytes.toString('latin1').match(stamp)).toHaveLength(exact.toString('latin1').split('\n').length);
      expect(outBytes.toString('latin1').replaceAll(stamp, '')).toBe(exact.toString('latin1'));
    });

    test('and was replaced is reported once at the end, with --quiet too, by run and by logs', async () => {
      fake.onStart = ({ id }) => {
        fake.output(id, '\ufffd\n', 'stdout', { replaced: 1 });
        fake.output(id, '\ufffd\n', 'stderr', { replaced: 2 });
        fake.settle(id, 'completed', { exitCode: 0 });
      };
      const note =
        'holdfast: 3 bytes of the output were not UTF-8 and were replaced by U+FFFD; `holdfast run --bytes` keeps them\n';
      const ran = await result(['run', '-q', '-s', 's1', '--id', 'e1', '--', 'job']);
      expect(ran).toMatchObject({ code: 0, out: '\ufffd\n', err: `\ufffd\n${note}` });
      expect(await result(['logs', '-q', 's1/e1'])).toMatchObject({ code: 0, err: `\ufffd\n${note}` });
      expect((await result(['logs', '-q', '--tail', '5', 's1/e1'])).err).toBe(`\ufffd\n${note}`);
      expect((await result(['logs', '--json', 's1/e1'])).err).not.toContain('U+FFFD');
    });
  });

  test('passes every flag on', async () => {
    fake.onStart = ({ id }) => fake.settle(id, 'completed');
    const args = [
      'run',
      '-s',
      's7',
      '--id',
      'mine',
      '--queue',
      '--open-stdin',
      '--cwd',
      '/w',
      '-e',
      'A=1',
      '-e',
      'FROM',
      '--secret',
      'DEPLOY',
      '--secret',
      'A',
      '-l',
      'k=v',
      '--format',
      'jsonl',
      '--merge',
      '--bytes',
    ];
    args.push('--launcher', 'container', '--timeout', '30m', '--', 'sh', '-c', 'echo "$A"');
    expect((await result(args, { env: { FROM: 'shell' } })).code).toBe(0);
    expect(fake.requests[0]).toMatchObject({ path: '/v1/sessions/s7/executions' });
    expect(fake.requests[0]?.body).toEqual({
      id: 'mine',
      command: ['sh', '-c', 'echo "$A"'],
      onBusy: 'queue',
      openStdin: true,
      cwd: '/w',
      env: { A: '1', FROM: 'shell' },
      secretNames: ['DEPLOY', 'A'],
      labels: { k: 'v' },
      format: 'jsonl',
      merge: true,
      output: 'bytes',
      launcher: 'container',
      policy: { maxRuntimeMs: 1_800_000 },
    });
  });

  test('--detach prints the reference and nothing else on stdout', async () => {
    const { code, out } = await result(['run', '-d', '-s', 's1', '--id', 'e1', '--', 'job']);
    expect([code, out]).toEqual([0, 's1/e1\n']);
    expect(fake.upgrades.length).toBe(0);
  });

  test('--detach --json gives one object with what a wrapper needs', async () => {
    const { out } = await result(['run', '-d', '--json', '-s', 's1', '--id', 'e1', '--launcher', 'none', '--', 'job']);
    expect(JSON.parse(out)).toMatchObject({
      reference: 's1/e1',
      created: true,
      execution: { id: 'e1' },
      ingest: { token: 'token' },
    });
  });

  test('--json keeps stdout for one object; the output of the job goes to stderr', async () => {
    jobThat(({ id }) => fake.settle(id, 'failed', { exitCode: 4 }));
    const { code, out, err } = await result(['run', '--json', '-s', 's1', '--id', 'e1', '--', 'job']);
    expect(code).toBe(4);
    expect(JSON.parse(out)).toMatchObject({ reference: 's1/e1', exitCode: 4, execution: { id: 'e1', status: 'failed' } });
    expect(err).toContain('to stdout\nto stderr\n');
  });

  test('partial text is joined as it is, and JSON lines of a job are lines again', async () => {
    fake.onStart = ({ id }) => {
      fake.output(id, 'half', 'stdout', { partial: true });
      fake.output(id, ' and half\n');
      fake.append(id, [{ type: 'agent', data: { say: 'hé' } }]);
      fake.output(id, 'no line end', 'stdout', { partial: true });
      fake.settle(id, 'completed');
    };
    expect((await result(['run', '--', 'job'])).out).toBe('half and half\n{"say":"hé"}\nno line end');
  });

  test('[G6] the first Ctrl-C detaches, leaves the job running and shows how to continue', async () => {
    fake.onStart = ({ id }) => fake.output(id, 'one\n');
    const called = call(['run', '-s', 's1', '--id', 'e1', '--', 'job']);
    await until('output', () => called.out() === 'one\n');
    called.signal('SIGINT');
    expect(await called.done).toBe(130);
    expect(called.err()).toContain('detached; s1/e1 continues');
    expect(called.err()).toContain('holdfast logs -f --after 2 s1/e1');
    expect(called.err()).toContain('holdfast interrupt s1/e1');
    expect(fake.requests.some(({ path }) => path.endsWith('/interrupt'))).toBe(false);
    expect(called.exits).toEqual([]);
  });

  test('--interrupt-on-exit: the first Ctrl-C interrupts and the end is waited for, the second leaves at once', async () => {
    fake.onInterrupt = ({ id }) => {
      fake.output(id, 'cleaning up\n');
      setTimeout(() => fake.settle(id, 'interrupted'), 50);
    };
    const called = call(['run', '--interrupt-on-exit', '-s', 's1', '--id', 'e1', '--', 'job']);
    await until('following', () => fake.viewers.length === 1);
    called.signal('SIGTERM');
    expect(await called.done).toBe(130);
    expect(called.out()).toBe('cleaning up\n');
    expect(fake.requests.filter(({ path }) => path.endsWith('/interrupt'))).toHaveLength(1);

    fake.onInterrupt = () => {};
    const impatient = call(['run', '--interrupt-on-exit', '-s', 's1', '--id', 'e2', '--', 'job']);
    await until('following', () => fake.viewers.length === 2);
    impatient.signal('SIGINT');
    impatient.signal('SIGINT');
    expect(impatient.exits).toEqual([130]);
    fake.settle('e2', 'interrupted');
    await impatient.done;
  });

  test('Ctrl-C during the start request reports that the run may have been started', async () => {
    fake.overrides.push(...Array.from({ length: 20 }, () => ({ match: /POST/, override: 'cut' as const })));
    const called = call(['run', '-s', 's1', '--id', 'e1', '--', 'job']);
    await until('an attempt', () => fake.requests.length > 0);
    called.signal('SIGINT');
    expect(await called.done).toBe(130);
    expect(called.err()).toContain('may have been started; see: holdfast get s1/e1');
  });

  test('resumes after cuts without losing or repeating a line, and without a message for the first retry', async () => {
    fake.batchEvents = 3;
    fake.behaviours.push({ cutAfterFrames: 2 }, { cutAfterFrames: 1 }, { cutAfterFrames: 4 });
    fake.onStart = ({ id }) => {
      fake.lines(id, 60);
      fake.settle(id, 'completed');
    };
    const { code, out, err } = await result(['run', '--', 'job']);
    expect(code).toBe(0);
    expect(out.trimEnd().split('\n')).toEqual(Array.from({ length: 60 }, (_, index) => `line ${index + 1}`));
    expect(err).not.toContain('trying again');
    expect(fake.viewers.length).toBe(4);
  });

  test('one notice for a drop that lasts, and 125 with the way back when it lasts too long', async () => {
    for (let index = 0; index < 100; index += 1) fake.behaviours.push({ status: 503, problem: 'unavailable' });
    const { code, err } = await result(['run', '-s', 's1', '--id', 'e1', '--give-up-after', '900ms', '--', 'job']);
    expect(code).toBe(125);
    expect(err.match(/trying again/g)).toHaveLength(1);
    expect(err).toContain('holdfast: the run continues: holdfast logs -f --after 0 s1/e1');
  });

  test('a failed stream is not a failed job: its exit code comes from the other source', async () => {
    fake.onStart = ({ id }) => {
      fake.behaviours.push({ close: 4410, reason: 'offset_expired' });
      fake.settle(id, 'failed', { exitCode: 5 });
    };
    const { code, err } = await result(['run', '--', 'job']);
    expect(code).toBe(5);
    expect(err).toContain('could not be followed further');
  });
});

describe('logs', () => {
  const text = 'to stdout\nto stderr\n';
  function aRun(lines = 0): void {
    fake.addExecution('e0');
    fake.output('e0', 'of another run\n');
    fake.addExecution('e1', { firstOffset: 2 });
    fake.output('e1', 'to stdout\n');
    fake.output('e1', 'to stderr\n', 'stderr');
    if (lines > 0) fake.lines('e1', lines);
  }

  test('prints the existing output and ends while the run continues', async () => {
    aRun();
    const { code, out, err } = await result(['logs', 's1/e1']);
    expect([code, out, err]).toEqual([0, 'to stdout\n', 'to stderr\n']);
  });

  describe('of an agent', () => {
    const line = (data: Record<string, unknown>): { type: string; data: Record<string, unknown> } => ({ type: 'agent', data });
    const said = { type: 'assistant', message: { id: 'm', content: [{ type: 'text', text: 'Hello\u001b[31m' }] } };
    const CALL = { type: 'tool_use', id: 't', name: 'Bash', input: { command: 'seq 20' } };
    const output = Array.from({ length: 20 }, (_, at) => `${at + 1}\n`).join('');
    const lines = [
      line({ type: 'system', subtype: 'init', session_id: 's', uuid: 'u' }),
      line(said),
      line({ type: 'assistant', message: { id: 'm', content: [CALL] } }),
      line({ type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 't', content: output }] } }),
      line({ type: 'stream_event', event: { type: 'content_block_delta', delta: { type: 'text_delta', text: 'half' } } }),
    ];
    const shown = `Hello·[31m\n\n[tool] Bash: seq 20\n${[1, 2, 3, 4, 5, 6].map((each) => `  ${each}\n`).join('')}`;

    test('[AGT5] prints its conversation, with long output cut, and what is not complete at the end', async () => {
      fake.addExecution('e1', { format: 'claude' });
      fake.append('e1', lines);
      const { out } = await result(['logs', 's1/e1']);
      const rest = ['  … 9 more lines …', ...[16, 17, 18, 19, 20].map((each) => `  ${each}`), '', 'half'];
      expect(out).toBe(`${shown.replace('·[31m', '\u001b[31m')}${rest.join('\n')}\n`);
      expect((await result(['logs', '--tail', '2', 's1/e1'])).out).toBe('  19\n  20\n\nhalf\n');
      expect((await result(['logs', 's1/e1'], { tty: true })).out).not.toContain('\u001b[31m');
    });

    test('on a terminal nothing that an agent wrote is a control character', async () => {
      const hostile = 'a\u001b]52;c;eA==\u0007b\u009b2Jc\rd\u202ee\u007f';
      fake.addExecution('e1', { format: 'claude' });
      fake.append('e1', [
        { type: 'output', data: { stream: 'stdout', text: hostile } },
        { type: 'output', data: { stream: 'stderr', text: `${hostile}\n` } },
        { type: 'output', data: { stream: 'stdout', text: '', base64: Buffer.from('\u001b[2Jf').toString('base64') } },
        { type: 'agent', data: { type: 'assistant', message: { content: [{ type: 'text', text: hostile }] } } },
        { type: 'asking', data: { id: hostile, kind: 'question', text: hostile, options: [{ id: hostile, label: hostile }] } },
      ]);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      const controls = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;
      for (const flags of [[], ['--raw'], ['--json'], ['--tail', '9'], ['--json', '--tail', '9'], ['--types', 'agent,asking']]) {
        const { out, err } = await result(['logs', ...flags, 's1/e1'], { tty: true });
        // Output that is printed as it is belongs to the job.
        const printed = flags[0] === '--raw' ? out.slice(out.indexOf('{')) : `${out}${err}`;
        expect(printed).not.toMatch(controls);
      }
      const { out } = await result(['logs', '--json', 's1/e1'], { tty: true });
      expect(JSON.parse(out.split('\n')[0] ?? '')).toMatchObject({ data: { text: hostile } });
      expect((await result(['logs', 's1/e1'])).out).toContain(`${hostile}\u001b[2Jf\n${hostile}\n`);
    });

    test('--raw, --types and --json print its lines', async () => {
      fake.addExecution('e1', { format: 'claude' });
      fake.append('e1', lines);
      const raw = lines.map(({ data }) => `${JSON.stringify(data)}\n`).join('');
      expect((await result(['logs', '--raw', 's1/e1'])).out).toBe(raw);
      expect((await result(['logs', '--types', 'agent', 's1/e1'])).out).toBe(raw);
      expect((await result(['logs', '--json', 's1/e1'])).out.split('\n').length).toBe(lines.length + 1);
    });

    test('[AGT6] a long line is one line, in the conversation and with --raw, and what is missing of it is marked', async () => {
      const text = JSON.stringify({ type: 'assistant', message: { id: 'm', content: [{ type: 'text', text: 'é and "more"' }] } });
      const cuts = [text.slice(0, 40), text.slice(40, 80), text.slice(80)];
      const parts = cuts.map((each, at) => ({ type: 'agent_part', data: { part: at + 1, parts: 3, text: each } }));
      const lost = { type: 'gap', data: { events: 1, bytes: 40, reason: 'spool_damaged' } };
      fake.addExecution('e1', { format: 'claude' });
      fake.append('e1', [...lines.slice(0, 1), ...parts, ...parts.slice(0, 1), lost, ...parts.slice(2)]);
      expect((await result(['logs', 's1/e1'])).out).toMatch(
        /^é and "more"\n\n\{.*\[part 2 of 3 of this line is not here\]\n\[part 2 .*\n$/,
      );
      const [, whole, ...broken] = (await result(['logs', '--raw', 's1/e1'])).out.trimEnd().split('\n');
      expect(whole).toBe(text);
      expect(broken).toEqual([
        `${cuts[0]}[part 2 of 3 of this line is not here]`,
        `[part 2 of 3 of this line is not here]${cuts[2]}`,
      ]);
      expect((await result(['logs', '--raw', '--tail', '3', 's1/e1'])).out.split('\n')[0]).toBe(text);
      expect((await result(['logs', '--json', 's1/e1'])).out.split('\n')).toHaveLength(8);
    });

    test('`run` prints it as it grows, and the lines with --raw', async () => {
      fake.onStart = ({ id }) => {
        fake.append(id, lines);
        fake.append(id, [{ type: 'exit', data: { exitCode: 0, signal: null } }]);
        fake.settle(id, 'completed', { exitCode: 0 });
      };
      expect((await result(['run', '--format', 'claude', '--', 'job'])).out).toMatch(/^Hello.*\n\n\[tool\] Bash: seq 20\n/);
      expect((await result(['run', '--format', 'claude', '--raw', '--', 'job'])).out).toContain('{"type":"system"');
    });
  });

  test('-f follows until the run ends, and exits 0 however it ended', async () => {
    aRun();
    const called = call(['logs', '-f', 's1/e1']);
    await until('the first lines', () => called.out() + called.err() === text);
    fake.lines('e1', 2);
    fake.settle('e1', 'failed', { code: 'exit_nonzero', exitCode: 9 });
    expect(await called.done).toBe(0);
    expect(called.out()).toBe('to stdout\nline 1\nline 2\n');
    expect(called.err()).toBe('to stderr\nholdfast: failed (exit_nonzero, exit code 9)\n');
  });

  test.each([[['-f']], [['-f', '--tail', '1']], [['-f', '--types', 'progress']], [['-f', '--after', '4']]])(
    'of a run that has ended before, %o does not hang',
    async (flags) => {
      aRun();
      fake.settle('e1', 'completed');
      expect((await result(['logs', ...flags, 's1/e1'])).code).toBe(0);
    },
  );

  test('-f resumes after a cut without losing or repeating a line', async () => {
    aRun();
    const called = call(['logs', '-f', '--session', 's1', 'e1']);
    await until('the first lines', () => called.out() !== '');
    for (let round = 0; round < 3; round += 1) {
      fake.cut();
      fake.lines('e1', 2, 1 + 2 * round);
      await until('connected', () => fake.viewers.length === round + 2 && fake.newest.live);
    }
    fake.settle('e1', 'completed');
    await called.done;
    expect(called.out()).toBe(`to stdout\n${[1, 2, 3, 4, 5, 6].map((line) => `line ${line}\n`).join('')}`);
  });

  test.each([
    ['another signing key', { status: 401, problem: 'unauthorized' }],
    ['an empty data folder', { status: 404, problem: 'session_not_found' }],
  ] as const)('[CLS19] -f outlives a restart with %s', async (_what, refused) => {
    fake.addExecution('e1');
    fake.lines('e1', 1);
    const called = call(['logs', '-f', 's1/e1']);
    await until('the first line', () => called.out().includes('\n'));
    fake.behaviours.push(refused, refused);
    fake.cut();
    await until('both refusals', () => fake.behaviours.length === 0);
    fake.lines('e1', 1);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await called.done).toBe(0);
    expect(called.out().trimEnd().split('\n')).toHaveLength(2);
  });

  test('--tail counts lines, not events', async () => {
    aRun();
    fake.output('e1', 'a\nb\nc\nd\n');
    fake.settle('e1', 'completed');
    expect((await result(['logs', '--tail', '3', 's1/e1'])).out).toBe('b\nc\nd\n');
    expect((await result(['logs', '-n', '0', 's1/e1'])).out).toBe('');
    expect((await result(['logs', '-n', '1000', 's1/e1'])).out).toBe('to stdout\na\nb\nc\nd\n');
  });

  test('--tail finds the lines of a run that others have followed, and joins what came in parts', async () => {
    aRun(5);
    for (let index = 0; index < 200; index += 1) fake.output('e1', 'x', 'stdout', { partial: true });
    fake.output('e1', '\n');
    fake.settle('e1', 'completed');
    fake.addExecution('e2');
    fake.lines('e2', 300);
    const { out } = await result(['logs', '--tail', '2', 's1/e1']);
    expect(out).toBe(`line 5\n${'x'.repeat(200)}\n`);
  });

  test('--tail -f continues where the tail stopped', async () => {
    aRun(50);
    const called = call(['logs', '-f', '--tail', '2', 's1/e1']);
    await until('following', () => fake.openViewers.length === 1 && fake.viewers.length === 2 && fake.newest.live);
    fake.lines('e1', 2, 51);
    fake.settle('e1', 'completed');
    await called.done;
    expect(called.out()).toBe('line 49\nline 50\nline 51\nline 52\n');
  });

  test('--after begins after that offset', async () => {
    aRun(5);
    expect((await result(['logs', '--after', '5', 's1/e1'])).out).toBe('line 3\nline 4\nline 5\n');
  });

  test('--json gives every event as one line, with --tail the last so many', async () => {
    aRun(5);
    fake.settle('e1', 'completed');
    const events = (out: string) =>
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
    const all = await result(['logs', '--json', 's1/e1']);
    expect(events(all.out).map(({ offset }) => offset)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(events(all.out)[0]).toEqual({
      offset: 2,
      execution: 'e1',
      type: 'output',
      at: 1_763_650_000_000,
      data: { stream: 'stdout', text: 'to stdout\n' },
    });
    expect(all.err).toBe('');
    const last = await result(['logs', '--json', '--tail', '2', 's1/e1']);
    expect(events(last.out).map(({ type }) => type)).toEqual(['output', 'execution_completed']);
  });

  test('--types prints only those, also ones that it does not know', async () => {
    aRun(2);
    fake.append('e1', [{ type: 'progress', data: { current: 1 } }]);
    expect((await result(['logs', '--types', 'progress', 's1/e1'])).out).toBe('6 progress {"current":1}\n');
  });

  test('--timestamps stands before each line, and not inside one', async () => {
    fake.addExecution('e1');
    fake.output('e1', 'a\nb', 'stdout', { partial: true });
    fake.output('e1', 'c\n');
    const time = new Date(1_763_650_000_000).toISOString();
    expect((await result(['logs', '-t', 's1/e1'])).out).toBe(`${time} a\n${time} bc\n`);
  });

  test('[G8] expired events are reported, and the rest is shown', async () => {
    aRun(5);
    fake.earliest = 6;
    const { code, out, err } = await result(['logs', 's1/e1']);
    expect([code, out]).toEqual([0, 'line 3\nline 4\nline 5\n']);
    expect(err).toContain('before offset 6 have expired');
    const exact = await result(['logs', '--after', '2', 's1/e1']);
    expect(exact.code).toBe(125);
    expect(exact.err).toContain('no longer goes back that far');
  });

  test('a gap is reported at its position', async () => {
    fake.addExecution('e1');
    fake.append('e1', [{ type: 'gap', data: { events: 4, bytes: 99, reason: 'spool_full' } }]);
    expect((await result(['logs', 's1/e1'])).err).toContain('4 events (99 bytes) are missing here: spool_full');
  });

  test('[SPL33] a gap of unknown size is called that, and a placeholder is not shown', async () => {
    fake.addExecution('e1');
    fake.append('e1', [
      { type: 'gap', data: { events: 0, bytes: 0, reason: 'placeholder' } },
      { type: 'gap', data: { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' } },
    ]);
    const { err } = await result(['logs', 's1/e1']);
    expect(err).toContain('an unknown amount of output is missing here: wrapper_crashed');
    expect(err).not.toContain('placeholder');
  });
});

describe('list, get, wait', () => {
  test('list shows the runs of a session, newest first, and its aliases do', async () => {
    fake.addExecution('e1', { status: 'completed', startedAt: 1000, endedAt: 62_000 });
    fake.addExecution('e2', { command: ['sh', '-c', 'evil\u001b[31m'] });
    for (const name of ['list', 'ls', 'ps']) {
      const { out } = await result([name, '--session', 's1']);
      const rows = out
        .trimEnd()
        .split('\n')
        .map((row) => row.split(/ {2,}/));
      expect(rows.map(([reference, status]) => [reference, status])).toEqual([
        ['EXECUTION', 'STATUS'],
        ['s1/e2', 'running'],
        ['s1/e1', 'completed'],
      ]);
      expect(rows[2]?.[3]).toBe('1m1s');
      // Someone else's text does not reach the terminal as control characters.
      expect(out).not.toContain('\u001b');
    }
  });

  test('list filters, limits, and shows how to continue', async () => {
    fake.addExecution('e1', { status: 'completed' });
    fake.addExecution('e2');
    expect((await result(['list', '-s', 's1', '--status', 'completed'])).out).not.toContain('e2');
    const page = await result(['list', '--limit', '1'], { env: { HOLDFAST_SESSION: 's1' } });
    expect(page.out.trimEnd().split('\n')).toHaveLength(2);
    expect(page.err).toContain('--cursor c1');
    expect(JSON.parse((await result(['list', '-s', 's1', '--json'])).out)).toMatchObject({
      data: [{ id: 'e2' }, { id: 'e1' }],
      next: null,
    });
    expect((await result(['list'])).out).toContain('s1/e2');
  });

  test('colours only on a terminal that supports them', async () => {
    fake.addExecution('e1');
    const coloured = (await result(['list', '-s', 's1'], { tty: true })).out;
    expect(coloured).toContain('\u001b[36mrunning');
    expect((await result(['list', '-s', 's1'], { tty: true, env: { NO_COLOR: '1' } })).out).not.toContain('\u001b');
    expect((await result(['--no-color', 'list', '-s', 's1'], { tty: true })).out).not.toContain('\u001b');
    expect((await result(['list', '-s', 's1', '--no-color'], { tty: true })).out).not.toContain('\u001b');
  });

  test('get shows one run, as rows or as JSON', async () => {
    fake.addExecution('e1', { status: 'failed', code: 'exit_nonzero', exitCode: 2, command: ['echo', "it's"] });
    const { out } = await result(['get', 's1/e1']);
    expect(out).toContain('status     failed (exit_nonzero, exit code 2)');
    expect(out).toContain(`command    echo 'it'\\''s'`);
    expect(JSON.parse((await result(['inspect', '--json', 's1/e1'])).out)).toMatchObject({ id: 'e1', exitCode: 2 });
  });

  test('[LIF23] get and list say how long a connected wrapper was not heard, once that is more than two heartbeats', async () => {
    const policy = { ...POLICY_DEFAULTS, heartbeatMs: 15_000 };
    fake.addExecution('e1', { status: 'running', connected: true, policy, lastHeardAt: Date.now() - 40_500 });
    fake.addExecution('e2', { status: 'running', connected: true, policy, lastHeardAt: Date.now() - 20_000 });
    expect((await result(['get', 's1/e1'])).out).toMatch(/connected {2}yes, last heard 4\d s ago\n/);
    expect((await result(['get', 's1/e2'])).out).toContain('connected  yes\n');
    const { out } = await result(['list', '-s', 's1']);
    expect(out).toMatch(/s1\/e1 +running, last heard 4\d s ago /);
    expect(out).toMatch(/s1\/e2 +running {2}/);
  });

  test('wait ends as the job does', async () => {
    fake.addExecution('e1');
    setTimeout(() => fake.settle('e1', 'failed', { code: 'exit_nonzero', exitCode: 6 }), 50);
    const { code, out, err } = await result(['wait', 's1/e1']);
    expect([code, out]).toEqual([6, '']);
    expect(err).toBe('holdfast: s1/e1 failed (exit_nonzero, exit code 6)\n');
    const json = await result(['wait', '--json', 's1/e1']);
    expect([json.code, JSON.parse(json.out).status]).toEqual([6, 'failed']);
  });
});

describe('interrupt, fail, send', () => {
  test('interrupt confirms, and an ended run is not an error', async () => {
    fake.addExecution('e1');
    fake.addExecution('e2', { status: 'completed' });
    const asked = await result(['interrupt', '--force', '--reason', 'enough', 's1/e1']);
    expect([asked.code, asked.out]).toEqual([0, '']);
    expect(asked.err).toContain('asked to stop');
    expect(fake.requests[0]?.body).toEqual({ force: true, reason: 'enough' });
    expect((await result(['cancel', 's1/e2'])).err).toContain('had ended before: completed');
    expect(JSON.parse((await result(['interrupt', '--json', 's1/e2'])).out)).toMatchObject({ accepted: false, settled: false });
  });

  test('fail ends a run once', async () => {
    fake.addExecution('e1');
    const args = ['fail', 's1/e1', '--code', 'lost_host', '--message', 'power cut'];
    expect((await result(args)).err).toContain('failed with lost_host');
    expect((await result(args)).err).toContain('nothing changed');
    expect(JSON.parse((await result([...args, '--json'])).out)).toEqual({ settled: false });
    expect((await result(['fail', 's1/e1', '--code', 'Bad Code', '--message', 'x'])).code).toBe(2);
  });

  test('a question is printed with the command that answers it, and `answer` answers it', async () => {
    const question: AskingData = {
      id: 'q 1',
      kind: 'permission',
      text: 'Allow Bash: make?\nIt takes long.',
      options: [
        { id: 'allow', label: 'Allow once' },
        { id: 'deny', label: 'Deny', description: 'nothing runs' },
      ],
      freeText: true,
    };
    const execution = fake.addExecution('e1');
    fake.append('e1', [
      { type: 'asking', data: { ...question } },
      { type: 'asking_ended', data: { id: 'q0', reason: 'cancelled' } },
      { type: 'answered', data: { id: 'q0', option: 'deny', by: { kind: 'key', id: 'key_1', name: 'ci' } } },
    ]);
    expect((await result(['logs', 's1/e1'])).err.split('\n')).toEqual([
      'holdfast: the agent asks: Allow Bash: make?',
      'holdfast: It takes long.',
      'holdfast:   allow  Allow once',
      'holdfast:   deny   Deny (nothing runs)',
      "holdfast: answer it: holdfast answer s1/e1 --id 'q 1' allow | deny | --text '…'",
      'holdfast: the agent withdrew its question',
      'holdfast: the question was answered: deny (by ci)',
      '',
    ]);
    expect((await result(['answer', 's1/e1', 'allow'])).err).toContain('s1/e1 asks nothing now');
    Object.assign(execution, { asking: { ...question, at: 1 } });
    expect((await result(['get', 's1/e1'])).out).toMatch(/asks +Allow Bash: make\?/);
    expect((await result(['list', '--session', 's1'])).out).toContain('running, asks');
    const missing = await result(['answer', 's1/e1']);
    expect([missing.code, missing.err]).toEqual([2, expect.stringContaining('allow  Allow once')]);
    expect((await result(['answer', 's1/e1', 'allow', '--text', 'x'])).code).toBe(2);
    const done = await result(['answer', 's1/e1', 'ALLOW ONCE']);
    expect([done.code, done.err]).toEqual([0, expect.stringContaining('s1/e1 was answered: Allow once')]);
    Object.assign(execution, { asking: { ...question, at: 1 } });
    expect(JSON.parse((await result(['answer', 's1/e1', '--id', 'q 1', '--text', 'Why?', '--json'])).out)).toEqual({
      id: 'q 1',
      text: 'Why?',
    });
    expect(fake.answers).toMatchObject([
      { id: 'q 1', option: 'allow' },
      { id: 'q 1', text: 'Why?' },
    ]);
    expect(new Set(fake.answers.map(({ answerId }) => answerId)).size).toBe(2);
    const late = await result(['answer', 's1/e1', '--id', 'q 1', 'allow']);
    expect([late.code, late.err]).toEqual([125, expect.stringContaining('holdfast get')]);
  });

  test('send sends a line, or stdin as it is, and nothing twice', async () => {
    fake.addExecution('e1');
    await result(['send', 's1/e1', 'yes']);
    await result(['send', '--no-newline', 's1/e1', 'y']);
    await result(['send', 's1/e1', '-'], { stdin: 'a\nb' });
    await result(['send', 's1/e1'], { stdin: 'é' });
    expect(fake.inputs).toEqual(['yes\n', 'y', 'a\nb', 'é']);
    expect(fake.inputRequests.map(({ text, base64 }) => [text === undefined, base64 === undefined])).toEqual([
      [false, true],
      [false, true],
      [true, false],
      [true, false],
    ]);
    expect(new Set(fake.inputRequests.map(({ inputId }) => inputId)).size).toBe(4);
    expect((await result(['send', 's1/e1', '-'])).code).toBe(2);
    const ended = await result(['send', 's1/e9', 'x']);
    expect(ended.code).toBe(125);
    expect(ended.err).toContain('holdfast list --session s1');
  });

  test('send --eof ends the stdin of the job: alone, after a text, and after stdin', async () => {
    for (const [id, args, options, inputs] of [
      ['e1', ['--eof'], { stdin: 'not read' }, []],
      ['e2', ['last', '--eof'], {}, ['last\n']],
      ['e3', ['-', '--eof'], { stdin: 'a\nb\n' }, ['a\nb\n']],
      ['e4', ['-', '--eof'], {}, []],
    ] as const) {
      fake.addExecution(id);
      fake.inputs.length = 0;
      const sent = await result(['send', `s1/${id}`, ...args], options);
      expect([sent.code, fake.inputs, fake.endedStdins.has(id)]).toEqual([0, inputs, true]);
      expect(sent.err).toMatch(/ended/);
    }
    expect((await result(['send', 's1/e1', 'late'])).err).toMatch(/stdin/);
  });

  test('send --secret asks to keep the text out of the log', async () => {
    fake.addExecution('e1');
    await result(['send', '--secret', 's1/e1', 'password']);
    await result(['send', '--secret', 's1/e1', '-'], { stdin: 'password' });
    expect(fake.inputRequests).toMatchObject([
      { text: 'password\n', secret: true },
      { base64: btoa('password'), secret: true },
    ]);
  });

  test('a part whose answer was lost is sent again, and read once', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /input/, override: 'cut-after' });
    expect((await result(['send', 's1/e1', '-'], { stdin: 'x'.repeat(100_000) })).code).toBe(0);
    expect(fake.inputs.map(({ length }) => length)).toEqual([65_536, 34_464]);
    expect(fake.requests.length).toBeGreaterThan(2);
  });
});

describe('stdin of run', () => {
  const begin = () => {
    fake.onStart = ({ id }) => {
      fake.append(id, [{ type: 'execution_running', data: {} }]);
    };
  };
  const ends = (id: string) => fake.settle(id, 'completed', { exitCode: 0 });
  const started = () => fake.requests.find(({ method }) => method === 'POST')?.body as Record<string, unknown> | undefined;

  test('a pipe is sent to its end as bytes, and its end too', async () => {
    begin();
    const running = call(['run', '--id', 'e1', '-s', 's1', '--', 'cat'], { stdin: 'a\nb\n' });
    await until('stdin is at its end', () => fake.endedStdins.has('e1'));
    ends('e1');
    expect(await running.done).toBe(0);
    expect(started()).toMatchObject({ openStdin: true });
    expect(fake.inputs).toEqual(['a\nb\n']);
    expect(fake.inputRequests.map(({ base64, eof }) => [base64, eof])).toEqual([
      [btoa('a\nb\n'), undefined],
      [undefined, true],
    ]);
  });

  test('an empty pipe is at its end', async () => {
    begin();
    const running = call(['run', '--id', 'e1', '-s', 's1', '--', 'cat'], { piped: true });
    await until('stdin is at its end', () => fake.endedStdins.has('e1'));
    ends('e1');
    expect(await running.done).toBe(0);
    expect(fake.inputs).toEqual([]);
  });

  test('with --open-stdin it is sent, and the stdin of the job stays open', async () => {
    begin();
    const running = call(['run', '--open-stdin', '--id', 'e1', '-s', 's1', '--', 'cat'], { stdin: 'a\n' });
    await until('it is sent', () => fake.inputs.length === 1);
    ends('e1');
    expect(await running.done).toBe(0);
    expect(fake.endedStdins.has('e1')).toBe(false);
  });

  test.each([
    ['--no-stdin', ['--no-stdin'], { stdin: 'a\n' }],
    ['-n', ['-n'], { stdin: 'a\n' }],
    ['a terminal or /dev/null', [], { piped: false }],
  ])('%s: nothing is sent, and the job has no open stdin', async (_, flags, options) => {
    fake.onStart = ({ id }) => {
      fake.append(id, [{ type: 'execution_running', data: {} }]);
      ends(id);
    };
    expect((await result(['run', ...flags, '--id', 'e1', '-s', 's1', '--', 'cat'], options)).code).toBe(0);
    expect(started()?.openStdin).toBeUndefined();
    expect(fake.inputRequests).toEqual([]);
  });

  test('run --detach leaves stdin alone', async () => {
    expect((await result(['run', '-d', '--id', 'e1', '-s', 's1', '--', 'cat'], { stdin: 'a\n' })).code).toBe(0);
    expect(started()?.openStdin).toBeUndefined();
    expect(fake.inputRequests).toEqual([]);
  });

  test('a wrapper that is too old is an error with the next step, and the run is followed to its end', async () => {
    begin();
    fake.overrides.push({ match: /input/, override: { problem: 'wrapper_too_old' } });
    const running = call(['run', '-q', '--id', 'e1', '-s', 's1', '--', 'cat'], { stdin: 'a\n' });
    await until('it is said', () => running.err().includes('stdin was not sent completely'));
    ends('e1');
    expect(await running.done).toBe(0);
    expect(running.err()).toContain('run --no-stdin');
  });

  test('a job that ends without reading all of it ends the command', async () => {
    fake.onStart = ({ id }) => {
      fake.append(id, [{ type: 'execution_running', data: {} }]);
      ends(id);
    };
    const { code, err } = await result(['run', '-q', '--id', 'e1', '-s', 's1', '--', 'true'], { stdin: 'x'.repeat(1_000_000) });
    expect([code, err]).toEqual([0, '']);
  });
});

describe('mistakes and failures', () => {
  test.each<[string[], RegExp]>([
    [['bogus'], /unknown command/],
    [['run'], /missing required argument/],
    [['run', '--nope', '--', 'x'], /unknown option/],
    [['run', '--timeout', '30', '--', 'x'], /--timeout/],
    [['run', '--timeout', '365d', '--', 'x'], /maxRuntimeMs/],
    [['run', '--env', 'UNSET', '--', 'x'], /--env: this shell exports no "UNSET"/],
    [['logs', '--bogus', 's1/e1'], /see: holdfast help logs/],
    [['run', '--format', 'xml', '--', 'x'], /text, jsonl/],
    [['run', '--session', 'a b', '--', 'x'], /session id/],
    [['run', '-d', '--interrupt-on-exit', '--', 'x'], /exclude/],
    [['logs'], /missing required argument/],
    [['logs', 'e1'], /which session/],
    [['logs', '--tail', '-1', 's1/e1'], /--tail/],
    [['logs', '--tail', '1', '--after', '2', 's1/e1'], /exclude/],
    [['logs', '--after', '1e3', 's1/e1'], /--after/],
    [['logs', '--types', 'a,,b', 's1/e1'], /--types/],
    [['logs', '--json', '-t', 's1/e1'], /--timestamps/],
    [['list', '--status', 'done'], /--status/],
    [['list', '--limit', '0'], /--limit/],
    [['fail', 's1/e1'], /required option/],
    [['get', 's1/e1', 'more'], /too many arguments/],
    [['open', 'e1'], /which session/],
    [['open', '--share'], /give session\/execution/],
    [['open', '--share', '-s', 's1'], /give session\/execution/],
    [['open', 's1/e1', '--ttl', '5m'], /--ttl is for --share/],
    [['open', 's1/e1', '--share', '--ttl', '2h'], /from 1s to 60m/],
    [['open', 's1/e1', '--share', '--ttl', '15'], /--ttl must be a duration/],
    [['delete', 's1'], /--yes/],
    [['delete', 'a b', '-y'], /session id/],
  ])('%o is a mistake: exit code 2, nothing sent', async (args, message) => {
    const { code, out, err } = await result(args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(message);
    expect(fake.requests.length).toBe(0);
  });

  test('help is on stdout and no mistake', async () => {
    for (const args of [['--help'], ['help', 'run'], ['run', '--help'], ['--version']]) {
      const { code, out, err } = await result(args);
      expect([code, err]).toEqual([0, '']);
      expect(out.length).toBeGreaterThan(4);
    }
  });

  test.each<[Record<string, string>, RegExp, number]>([
    [{ HOLDFAST_URL: '' }, /set HOLDFAST_URL/, 2],
    [{ HOLDFAST_API_KEY: '' }, /set HOLDFAST_API_KEY/, 2],
    [{ HOLDFAST_API_KEY: 'wrong' }, /check HOLDFAST_API_KEY/, 125],
  ])('%o is reported with its remedy', async (env, message, expected) => {
    const { code, err } = await result(['get', 's1/e1'], { env });
    expect(code).toBe(expected);
    expect(err).toMatch(message);
  });

  test('flags go before the environment, on either side of the command', async () => {
    fake.addExecution('e1');
    const env = { HOLDFAST_URL: 'http://127.0.0.1:1', HOLDFAST_API_KEY: 'wrong' };
    expect((await result(['--url', fake.url, '--api-key', 'key', 'get', 's1/e1'], { env })).code).toBe(0);
    expect((await result(['get', '--url', fake.url, '--api-key', 'key', 's1/e1'], { env })).code).toBe(0);
  });

  test('unreachable coordinator: the reason, the address, and the next step', async () => {
    await fake.stop();
    const { code, err } = await result(['get', 's1/e1']);
    expect(code).toBe(125);
    expect(err).toMatch(/could not reach http:\/\/127.0.0.1:\d+: ECONNREFUSED; trying again/);
    expect(err).toMatch(/is a coordinator running at/);
  }, 15_000);

  test.each([
    ['not_configured', /HOLDFAST_API_KEYS.*HOLDFAST_SIGNING_KEYS/],
    ['stdin_closed', /run --open-stdin/],
    ['session_full', /another --session/],
    ['execution_id_conflict', /another --id/],
    ['execution_in_progress', /--queue.*holdfast logs -f s1\/e9/],
  ] as const)('%s comes with the next step and the request id', async (problem, message) => {
    fake.overrides.push({ match: /POST/, override: { problem, facts: { activeExecutionId: 'e9' } } });
    const { code, out, err } = await result(['run', '-s', 's1', '--', 'x']);
    expect([code, out]).toEqual([125, '']);
    expect(err).toMatch(message);
    expect(err).toContain(`(${problem}, request req_1)`);
  });

  test('rate limited: it waits as long as requested, reports it once, and then answers', async () => {
    fake.addExecution('e1');
    // More than the time after which a coordinator that is not there is given up.
    for (const wait of ['1', '9'])
      fake.overrides.push({ match: /GET/, override: { problem: 'rate_limited', headers: { 'retry-after': wait } } });
    const began = Date.now();
    const { code, err } = await result(['get', 's1/e1']);
    expect(code).toBe(0);
    expect(Date.now() - began).toBeGreaterThanOrEqual(10_000);
    expect(err.match(/trying again/g)).toHaveLength(1);
  }, 20_000);

  test('asked too often for longer than a command waits: the next step', async () => {
    fake.overrides.push({ match: /GET/, override: { problem: 'rate_limited', headers: { 'retry-after': '100' } } });
    const { code, err } = await result(['get', 's1/e1']);
    expect(code).toBe(125);
    expect(err).toMatch(/too many requests in a few seconds/);
  });

  test('a coordinator that does not list sessions: the way out is not the same command again', async () => {
    fake.overrides.push({ match: /GET/, override: { problem: 'not_found' } });
    const { code, err } = await result(['list']);
    expect(code).toBe(125);
    expect(err).toContain('holdfast: give a session: --session or HOLDFAST_SESSION');
  });

  test('a missing session is reported with the command that lists sessions', async () => {
    const { code, err } = await result(['list', '-s', 'other']);
    expect(code).toBe(125);
    expect(err).toContain('list the sessions: holdfast list');
  });

  test('with --json an error is one object on stderr', async () => {
    const { out, err } = await result(['get', '--json', 's1/none']);
    expect(out).toBe('');
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'execution_not_found', requestId: 'req_1' } });
  });
});
