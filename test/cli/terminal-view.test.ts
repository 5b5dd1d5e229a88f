/**
 * Goal: `run --terminal` and `attach` show the job's terminal, send keys and sizes as documented,
 * and give the own terminal back. Method: the program in this process, with a terminal that the
 * test types into and one without a window that shows the result; a coordinator that a test
 * controls. test/cli/terminal-pty.long.test.ts has the real process in a real pseudo-terminal.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OwnTerminal } from '../../cli/terminal/own-terminal.ts';
import type { Size } from '../../client/terminal/key-queue.ts';
import { type CallOptions, call as startCall } from '../support/cli-call.ts';
import { FakeSession, until } from '../support/fake-session.ts';
import { Headless } from '../support/headless.ts';

const ESC = '\u001b';
const DETACH = '\u001c';

let fake: FakeSession;
beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(() => fake.stop());

/** Records what is done to it. What is written at once goes the same way as other text. */
class FakeTerminal implements OwnTerminal {
  size: Size;
  raw: boolean[] = [];
  resized: (() => void)[] = [];
  exits = new Set<() => void>();
  written = '';
  constructor(size: Size = { cols: 80, rows: 24 }) {
    this.size = size;
  }
  setRaw(raw: boolean): void {
    this.raw.push(raw);
  }
  onResize(listener: () => void): () => void {
    this.resized.push(listener);
    return () => {
      this.resized = this.resized.filter((other) => other !== listener);
    };
  }
  onContinue(): () => void {
    return () => {};
  }
  writeNow(text: string): void {
    this.written += text;
  }
  onExit(listener: () => void): () => void {
    this.exits.add(listener);
    return () => this.exits.delete(listener);
  }
}

function call(args: string[], { terminal = new FakeTerminal(), ...options }: CallOptions & { terminal?: FakeTerminal } = {}) {
  const env = { TERM: 'xterm-256color', ...options.env };
  return { ...startCall(fake.url, args, { ...options, env, tty: true, terminal }), terminal };
}

const started = (id: string, size: Size = { cols: 80, rows: 24 }): void =>
  fake.append(id, [
    { type: 'execution_running', data: {} },
    { type: 'started', data: { pid: 1, command: ['job'], terminal: size } },
  ]);
const screen = (data: string, extra: Record<string, unknown> = {}) => ({
  type: 'screen',
  data: { cols: 80, rows: 24, data, modes: '', ...extra },
});
const keys = (): string => fake.inputs.join('');

/** What the terminal shows that the output went to. */
async function shown(out: string, size: Size = { cols: 80, rows: 24 }): Promise<Headless> {
  const judge = new Headless(size.cols, size.rows);
  await judge.write(out);
  return judge;
}

describe('run --terminal', () => {
  test('starts with the size of this terminal, shows the output, sends keys in order, and ends as the job does', async () => {
    fake.onStart = ({ id }) => started(id, { cols: 100, rows: 30 });
    const terminal = new FakeTerminal({ cols: 100, rows: 30 });
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'vim'], { terminal });
    await until('raw mode', () => terminal.raw.length === 1);
    expect(fake.requests.find(({ path }) => path.endsWith('/executions'))?.body).toMatchObject({
      terminal: { cols: 100, rows: 30 },
      command: ['vim'],
    });
    expect(terminal.raw).toEqual([true]);
    fake.tty('e1', `${ESC}[?1049h${ESC}[cvim`);
    await until('output', () => run.out().includes('vim'));
    for (const key of ['i', 'x', ESC, '\u0003', '\u00ff', ':wq\r']) run.type(key);
    await until('keys', () => keys().includes(':wq'));
    expect(Buffer.concat(fake.inputRequests.map(({ base64 }) => Buffer.from(String(base64), 'base64'))).toString('latin1')).toBe(
      `ix${ESC}\u0003\u00ff:wq\r`,
    );
    expect(fake.sizes).toEqual([]);
    fake.tty('e1', `${ESC}[?1049l`);
    fake.settle('e1', 'failed', { code: 'exit_nonzero', exitCode: 3 });
    expect(await run.done).toBe(3);
    expect(run.out()).toBe(`${ESC}[?1049hvim${ESC}[?1049l`);
    expect(terminal.raw).toEqual([true, false]);
    expect(terminal.exits.size).toBe(0);
    expect(terminal.resized).toEqual([]);
    expect(run.err()).toContain('follow it from anywhere: holdfast attach s1/e1');
    expect(run.err()).toContain('detach with Ctrl-\\');
  });

  test('a line feed without a carriage return keeps the column, although raw mode adds one to each', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    for (const part of ['abc\ndef\r\nghi\r', '\njkl', '\n\nmno', '\n']) fake.tty('e1', part);
    fake.settle('e1', 'completed');
    expect(await run.done).toBe(0);
    // What a terminal receives in the mode that Node calls raw.
    const judge = await shown(run.out().replaceAll('\n', '\r\n'));
    expect(judge.text.split('\n')).toEqual(['abc', '   def', 'ghi', 'jkl', '', '   mno']);
  });

  test('much output is written in parts, so that keys and signals do not wait for the end of it', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'yes']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    const lengths = new Set<number>();
    let isWatching = true;
    const watch = () => {
      lengths.add(run.out().length);
      if (isWatching) setImmediate(watch);
    };
    watch();
    // Every part ends in another character, and some of them in the middle of one of two units.
    const text = `${'x'.repeat(4090)}🦀\u001b[1m🦀\u001b[0m`.repeat(20);
    fake.tty('e1', text);
    await until('all of it', () => run.out().length === text.length);
    isWatching = false;
    expect(run.out()).toBe(text);
    expect(lengths.size).toBeGreaterThan(10);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  });

  test('a window that changes sends its settled size, once', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    for (const cols of [81, 82, 83]) {
      run.terminal.size = { cols, rows: 24 };
      for (const listener of run.terminal.resized) listener();
    }
    await until('the size', () => fake.sizes.length > 0);
    run.type('a');
    await until('a key', () => keys() === 'a');
    expect(fake.sizes).toEqual(['83x24']);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  });

  test('the detach key detaches, after what was typed before it, and says how to attach again', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    run.type(`abc${DETACH}def`);
    expect(await run.done).toBe(130);
    expect(keys()).toBe('abc');
    expect(run.err()).toMatch(/detached; s1\/e1 continues\n.*attach again: holdfast attach s1\/e1\n/);
    expect(run.terminal.raw).toEqual([true, false]);
    expect(fake.requests.some(({ path }) => path.endsWith('/interrupt'))).toBe(false);
  });

  test.each<[string, string[], string]>([
    ['other keys', ['--detach-keys', 'ctrl-p,ctrl-q'], '\u0010\u0011'],
    ['kitty encoding', [], `${ESC}[92;5u`],
  ])('it detaches with %s', async (_what, flags, pressed) => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', ...flags, '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    run.type(pressed);
    expect(await run.done).toBe(130);
    expect(keys()).toBe('');
  });

  test('the beginning of several detach keys is sent when the rest does not come', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--detach-keys', 'ctrl-p,ctrl-q', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    run.type('\u0010');
    await until('the key', () => keys() === '\u0010', 10_000);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  });

  test('none: the key goes to the job', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--detach-keys', 'none', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    run.type(DETACH);
    await until('the key', () => keys() === DETACH);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  });

  test('keys of an outage arrive after it, once; the output goes on where it was, and the title says so', async () => {
    fake.onStart = ({ id }) => started(id);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'vim']);
    await until('raw mode', () => run.terminal.raw.length === 1);
    fake.tty('e1', `${ESC}]0;vim\u0007one `);
    await until('output', () => run.out().includes('one'));
    for (const override of ['cut-after', 'cut', 'cut', 'cut-after'] as const) fake.overrides.push({ match: /input$/, override });
    for (let index = 0; index < 3; index += 1) fake.behaviours.push({ status: 503, problem: 'unavailable' });
    fake.cut();
    for (const key of 'abcdefghij') {
      run.type(key);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until('the title', () => run.terminal.written.includes('holdfast: the connection to'), 10_000);
    fake.tty('e1', 'two');
    await until('output', () => run.out().includes('two'), 10_000);
    await until('keys', () => keys().length >= 10, 10_000);
    expect(keys()).toBe('abcdefghij');
    expect(run.terminal.written.endsWith(`${ESC}]2;vim${ESC}\\`)).toBe(true);
    expect(run.out()).toBe(`${ESC}]0;vim${ESC}\\one two`);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  }, 30_000);

  test('a run that was started before is joined: from its screen, and with the size of this terminal before the first key', async () => {
    fake.addExecution('e1', { terminal: { cols: 132, rows: 43 } });
    started('e1', { cols: 132, rows: 43 });
    fake.tty('e1', 'old');
    fake.append('e1', [screen('new', { cols: 132, rows: 43 })]);
    const run = call(['run', '-t', '--id', 'e1', '-s', 's1', '--', 'job']);
    await until('the screen', () => run.out().includes('new'));
    expect(run.out()).not.toContain('old');
    run.type('a');
    await until('the key', () => keys() === 'a');
    expect(fake.sizes).toEqual(['80x24']);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await run.done).toBe(0);
  });

  test.each<[string, string[], CallOptions, RegExp]>([
    ['no terminal', ['-t'], { tty: false }, /run --terminal \(without --detach\) needs a terminal, and stdin and stdout are none/],
    ['stdin is a pipe', ['-t'], { tty: ['stdout'], piped: true, stdin: 'x' }, /needs a terminal, and stdin is none/],
    ['stdout is a pipe', ['-t'], { tty: ['stdin'] }, /needs a terminal, and stdout is none/],
    ['--merge', ['-t', '--detach', '--merge'], {}, /--terminal and --merge exclude each other/],
    ['--bytes', ['-t', '--detach', '--bytes'], {}, /--terminal and --bytes exclude each other/],
    ['jsonl', ['-t', '--detach', '--format', 'jsonl'], {}, /--terminal and --format exclude each other/],
    ['an agent', ['-t', '--detach', '--format', 'claude'], {}, /--terminal and --format exclude each other/],
    ['--no-stdin', ['-t', '--detach', '-n'], {}, /--terminal and --no-stdin exclude each other/],
    ['bad keys', ['-t', '--detach-keys', 'F1'], { tty: true }, /--detach-keys: "F1" is no key/],
    ['keys without a terminal', ['--detach-keys', 'ctrl-a'], {}, /--detach-keys needs --terminal/],
  ])('refused, before anything starts: %s', async (_what, flags, options, message) => {
    const refused = startCall(fake.url, ['run', ...flags, '--', 'job'], options);
    expect(await refused.done).toBe(2);
    expect(refused.err()).toMatch(message);
    expect(fake.requests).toEqual([]);
  });

  test('with --detach it needs no terminal here: 80 by 24 then', async () => {
    const run = startCall(fake.url, ['run', '-t', '--detach', '--id', 'e1', '-s', 's1', '--', 'job']);
    expect(await run.done).toBe(0);
    expect(run.out()).toBe('s1/e1\n');
    expect(fake.requests[0]?.body).toMatchObject({ terminal: { cols: 80, rows: 24 } });
  });
});

describe('attach', () => {
  test('begins with the newest screen, on an empty screen below what the terminal had', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.tty('e1', 'history\r\n'.repeat(50));
    fake.append('e1', [
      screen('normal', {
        data: `normal${ESC}[?1049h${ESC}[Halt`,
        modes: `${ESC}[?25l${ESC}[?1006h${ESC}[>1u`,
        title: `vim${ESC}[2J`,
      }),
    ]);
    fake.tty('e1', ' more');
    const attach = call(['attach', 's1/e1']);
    await until('the screen', () => attach.out().includes('more'));
    expect(fake.newest.query.get('from')).toBe('screen');
    const judge = new Headless();
    await judge.write(`shell$ holdfast attach s1/e1\r\n${attach.out()}`);
    expect(judge.text).toBe('alt more');
    expect(judge.isAlternate).toBe(true);
    expect(judge.title).toBe('vim·[2J');
    await judge.write(`${ESC}[?1049l`);
    expect(judge.text).toBe('normal');
    expect(judge.allRows[0]).toBe('shell$ holdfast attach s1/e1');
    // A later one is what is shown already.
    fake.append('e1', [screen('later')]);
    attach.type(DETACH);
    expect(await attach.done).toBe(130);
    expect(attach.out()).not.toContain('later');
    expect(attach.terminal.written).toContain(`${ESC}[<1u${ESC}[?1049l`);
    expect(attach.terminal.raw).toEqual([true, false]);
    expect(fake.sizes).toEqual([]);
  });

  test('three cuts: the same screen, and no line twice', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.append('e1', [screen('first\r\n')]);
    const attach = call(['attach', 's1/e1']);
    for (let cut = 1; cut <= 3; cut += 1) {
      await until('live', () => fake.openViewers.some(({ live }) => live), 10_000);
      fake.tty('e1', `before ${cut}\r\n`);
      fake.cut();
      fake.tty('e1', `after ${cut}\r\n`);
      fake.append('e1', [screen(`screen ${cut}\r\n`)]);
      await until('it goes on', () => attach.out().includes(`after ${cut}`), 10_000);
    }
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await attach.done).toBe(0);
    const judge = await shown(attach.out());
    expect(judge.text).toBe('first\nbefore 1\nafter 1\nbefore 2\nafter 2\nbefore 3\nafter 3');
  }, 40_000);

  test('where output is missing, the next screen repairs the picture, and a remark says so at the end', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.tty('e1', `${ESC}[?1049h${ESC}[31mbroken`);
    fake.append('e1', [{ type: 'gap', data: { events: 3, bytes: 30, reason: 'log_full' } }, screen('whole')]);
    const attach = call(['attach', 's1/e1']);
    // It begins at the screen; so a viewer from the start is what sees the gap.
    await until('the screen', () => attach.out().includes('whole'));
    attach.type(DETACH);
    await attach.done;
    fake.executions.delete('e1');
    fake.log.length = 0;
    fake.onStart = ({ id }) => {
      started(id);
      fake.tty(id, `${ESC}[?1049h${ESC}[31mbroken`);
      fake.append(id, [{ type: 'gap', data: { events: 3, bytes: 30, reason: 'log_full' } }, screen('whole')]);
      fake.settle(id, 'completed', { exitCode: 0 });
    };
    const run = call(['run', '-q', '-t', '-s', 's1', '--', 'job']);
    expect(await run.done).toBe(0);
    const judge = await shown(run.out());
    expect(judge.text).toBe('whole');
    expect(judge.isAlternate).toBe(false);
    expect(run.err()).toBe('holdfast: 3 events (30 bytes) are missing here: log_full\n');
  });

  test('--read-only sends neither keys nor a size, keeps the own mouse, and is left with Ctrl-C', async () => {
    fake.addExecution('e1', { terminal: { cols: 132, rows: 43 } });
    started('e1', { cols: 132, rows: 43 });
    fake.append('e1', [screen('x', { cols: 132, rows: 43, modes: `${ESC}[?1000h${ESC}[?2004h${ESC}[>1u` })]);
    const attach = call(['attach', '--read-only', 's1/e1']);
    await until('the screen', () => attach.out().includes('x'));
    attach.type('abc');
    attach.terminal.size = { cols: 90, rows: 30 };
    for (const listener of attach.terminal.resized) listener();
    await until('the title', () => attach.terminal.written.includes('the terminal has 132×43, this window 90×30'), 5000);
    attach.type('\u0003');
    expect(await attach.done).toBe(130);
    expect(attach.out()).not.toMatch(/1000h|2004h|>1u/);
    expect(fake.inputs).toEqual([]);
    expect(fake.sizes).toEqual([]);
    expect(attach.err()).toContain('read only; leave with Ctrl-\\ or Ctrl-C');
  });

  test('an ended run is shown as it was, and gives its exit code', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.append('e1', [screen('the end')]);
    fake.settle('e1', 'failed', { code: 'exit_nonzero', exitCode: 7 });
    const attach = call(['attach', 's1/e1']);
    expect(await attach.done).toBe(7);
    expect((await shown(attach.out())).text).toBe('the end');
  });

  test('a run without a terminal, a pipe, and --json are refused, with what to use instead', async () => {
    fake.addExecution('e1');
    const none = call(['attach', 's1/e1']);
    expect(await none.done).toBe(2);
    expect(none.err()).toContain('s1/e1 does not run in a terminal: follow it with holdfast logs -f s1/e1');
    const pipe = startCall(fake.url, ['attach', 's1/e1'], { tty: ['stdin'] });
    expect(await pipe.done).toBe(2);
    expect(pipe.err()).toContain('attach needs a terminal, and stdout is none');
    const json = call(['attach', '--json', 's1/e1']);
    expect(await json.done).toBe(2);
    expect(json.err()).toContain('holdfast logs --json');
  });

  test('keys that were not sent when it gives up, or that were not answered, are counted', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.overrides.push({ match: /input$/, override: 'silent' });
    const attach = call(['attach', 's1/e1']);
    await until('live', () => fake.openViewers.some(({ live }) => live));
    attach.type('ab');
    await until('the request', () => fake.overrides.length === 0);
    attach.type('cde');
    fake.deleted = true;
    for (const { socket } of fake.openViewers) socket.close(4404, 'deleted');
    expect(await attach.done).toBe(125);
    expect(attach.err()).toContain('holdfast: 3 typed bytes were not sent\n');
    expect(attach.err()).toContain('holdfast: 2 typed bytes may not have arrived: their request was not answered\n');
  });

  test('a job that ends while keys are on the way is no error', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.overrides.push({ match: /input$/, override: 'silent' });
    const attach = call(['attach', 's1/e1']);
    await until('live', () => fake.openViewers.some(({ live }) => live));
    attach.type('a');
    await until('the request', () => fake.overrides.length === 0);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await attach.done).toBe(0);
    expect(attach.err()).not.toContain('keys were not sent');
  });

  test('keys that the job does not take any more are no error; another failure is', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    fake.overrides.push({ match: /input$/, override: { problem: 'forbidden_origin' } });
    const attach = call(['attach', 's1/e1']);
    await until('live', () => fake.openViewers.some(({ live }) => live));
    attach.type('a');
    await until('the title', () => attach.terminal.written.includes('keys are not sent any more'));
    attach.type(DETACH);
    expect(await attach.done).toBe(130);
    fake.overrides.push({ match: /input$/, override: { problem: 'not_running' } });
    const other = call(['attach', 's1/e1']);
    await until('live', () => fake.openViewers.some(({ live }) => live));
    other.type('a');
    await until('the request', () => fake.overrides.length === 0);
    fake.settle('e1', 'completed', { exitCode: 0 });
    expect(await other.done).toBe(0);
    expect(other.err()).not.toContain('keys were not sent');
  });
});

describe('logs of a run with a terminal', () => {
  test('on a terminal: no queries, no modes; into a pipe: everything', async () => {
    fake.addExecution('e1', { terminal: { cols: 80, rows: 24 } });
    started('e1');
    const text = `${ESC}[?1049h${ESC}[c${ESC}[31mred${ESC}[0m\r\n`;
    fake.tty('e1', text);
    fake.append('e1', [screen('red')]);
    fake.settle('e1', 'completed', { exitCode: 0 });
    const onTerminal = startCall(fake.url, ['logs', 's1/e1'], { tty: true });
    await onTerminal.done;
    expect(onTerminal.out()).toBe(`${ESC}[31mred${ESC}[0m\r\n`);
    const piped = startCall(fake.url, ['logs', 's1/e1']);
    await piped.done;
    expect(piped.out()).toBe(text);
  });
});
