/**
 * Goal: the own terminal is as it was before, on every way out, and real keys and window sizes are
 * what the job gets. Method: the real command in a real pseudo-terminal (`script` of util-linux),
 * against a coordinator that a test controls.
 */

import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeSession, until } from '../support/fake-session.ts';
import { OwnPty, type OwnPtyOptions } from '../support/own-pty.ts';

const ESC = '\u001b';
// macOS has another program of this name.
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false;

let fake: FakeSession;
let pty: OwnPty | null = null;
beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(async () => {
  pty?.close();
  pty = null;
  await fake.stop();
});

function start(args: string[], options: OwnPtyOptions = {}): OwnPty {
  pty = new OwnPty(args, { ...options, env: { HOLDFAST_URL: fake.url, HOLDFAST_API_KEY: 'key', ...options.env } });
  return pty;
}

/** Modes that a full-screen program sets; the last line tells the test that all of it was shown. */
const FULL_SCREEN = [
  `${ESC}[>1u${ESC}[?1049h${ESC}[>3u${ESC}[?1000;1002;1006h${ESC}[?1004h${ESC}[?2004h${ESC}[?1h${ESC}=${ESC}[?25l`,
  `${ESC}[2;10r${ESC}[4h${ESC}[31mfull screen`,
].join('');

async function runsFullScreen(args: string[] = []): Promise<OwnPty> {
  fake.onStart = ({ id }) => {
    fake.append(id, [
      { type: 'execution_running', data: {} },
      { type: 'started', data: { pid: 1, command: ['job'], terminal: { cols: 80, rows: 24 } } },
    ]);
    fake.tty(id, FULL_SCREEN);
  };
  const run = start(['run', '-t', ...args, '-s', 's1', '--id', 'e1', '--', 'job']);
  await until('the full screen', () => run.output.includes('full screen'));
  expect((await run.shown()).isAlternate).toBe(true);
  expect(run.judge.terminal.modes.mouseTrackingMode).toBe('drag');
  return run;
}

describe.skipIf(!hasScript)('[TV1] every way out (needs script of util-linux)', () => {
  test.each<[way: string, code: number, end: (run: OwnPty) => void]>([
    ['the job ends', 3, () => fake.settle('e1', 'failed', { code: 'exit_nonzero', exitCode: 3 })],
    ['the detach key', 130, (run) => run.type('\u001c')],
    ['the detach key under kitty keys', 130, (run) => run.type(`${ESC}[92;5u`)],
    [
      'the session is deleted',
      125,
      () => {
        fake.deleted = true;
        for (const { socket } of fake.openViewers) socket.close(4404, 'deleted');
      },
    ],
    ['SIGINT', 130, (run) => run.signal('SIGINT')],
    ['SIGTERM', 143, (run) => run.signal('SIGTERM')],
    ['SIGHUP', 129, (run) => run.signal('SIGHUP')],
    ['SIGQUIT', 131, (run) => run.signal('SIGQUIT')],
    ['SIGXCPU', 152, (run) => run.signal('SIGXCPU')],
    ['an error that nothing catches', 1, (run) => run.signal('SIGUSR2')],
    ['process.exit', 9, (run) => run.signal('SIGALRM')],
  ])('%s', async (_way, code, end) => {
    const run = await runsFullScreen();
    end(run);
    await run.ended;
    expect(run.exitCode).toBe(code);
    const [before, after] = run.settings;
    expect(before).not.toBe('');
    expect(after).toBe(before);
    const judge = await run.shown();
    expect(judge.isAlternate).toBe(false);
    expect(judge.terminal.modes).toMatchObject({
      mouseTrackingMode: 'none',
      bracketedPasteMode: false,
      sendFocusMode: false,
      applicationCursorKeysMode: false,
      applicationKeypadMode: false,
      insertMode: false,
    });
    const restored = run.output.slice(run.output.indexOf('full screen'));
    // Kitty keys of the alternate screen, the screen, kitty keys of the normal one, the cursor.
    const order = [`${ESC}[<1u`, `${ESC}[?1049l`, `${ESC}[<1u`, `${ESC}[?7;25h`, `${ESC}[23;0t`];
    let at = 0;
    for (const part of order) {
      const found = restored.indexOf(part, at);
      expect(found, JSON.stringify(part)).toBeGreaterThanOrEqual(at);
      at = found + part.length;
    }
    expect(judge.text).not.toContain('full screen');
    if (code === 1) expect(judge.text).toContain('nothing catches this');
  });

  test('a run that is refused leaves the terminal alone', async () => {
    fake.overrides.push({ match: /POST .*executions$/, override: { problem: 'execution_id_conflict' } });
    const run = start(['run', '-t', '-s', 's1', '--', 'job']);
    await run.ended;
    expect(run.exitCode).toBe(125);
    expect(run.settings[1]).toBe(run.settings[0]);
    expect(run.output).not.toContain(ESC);
  });
});

describe.skipIf(!hasScript)('keys and sizes (needs script of util-linux)', () => {
  test('keys are the bytes that the keyboard sends, Ctrl-C too, and are not echoed', async () => {
    const run = await runsFullScreen();
    run.type('abc\u0003\u001a\r\u00c3\u00a9');
    await until('the keys', () => fake.inputs.join('').length >= 7);
    expect(fake.inputs.join('')).toBe('abc\u0003\u001a\ré');
    expect(run.output).not.toContain('abc');
    fake.settle('e1', 'completed', { exitCode: 0 });
    await run.ended;
    expect(run.exitCode).toBe(0);
  });

  test('a paste of 1 MB arrives whole', async () => {
    const run = await runsFullScreen();
    const paste = Array.from({ length: 100_000 }, (_, line) => `line ${String(line).padStart(6, '0')}`).join('\n');
    run.type(paste);
    await until('the paste', () => fake.inputs.reduce((sum, part) => sum + part.length, 0) >= paste.length, 60_000);
    expect(fake.inputs.join('') === paste).toBe(true);
    fake.settle('e1', 'completed', { exitCode: 0 });
    await run.ended;
  });

  test('the window that changes is what the job gets, and the start has the size of the window', async () => {
    fake.onStart = ({ id }, request) => {
      expect(request.terminal).toEqual({ cols: 100, rows: 40 });
      fake.append(id, [{ type: 'execution_running', data: {} }]);
      fake.tty(id, 'up');
    };
    const run = start(['run', '-t', '-s', 's1', '--id', 'e1', '--', 'job'], { cols: 100, rows: 40 });
    await until('output', () => run.output.includes('up'));
    run.resize(90, 30);
    await until('the size', () => fake.sizes.length > 0);
    expect(fake.sizes).toEqual(['90x30']);
    fake.settle('e1', 'completed', { exitCode: 0 });
    await run.ended;
  });

  test('stdin that is a pipe: a clear error', async () => {
    const run = start(['run', '--', 'job']);
    run.close();
    const { status, stderr } = spawnSync(
      process.execPath,
      [new URL('../../cli/main.ts', import.meta.url).pathname, 'run', '-t', '--', 'job'],
      { encoding: 'utf8', input: 'x', env: { PATH: process.env.PATH, HOLDFAST_URL: fake.url, HOLDFAST_API_KEY: 'key' } },
    );
    expect(status).toBe(2);
    expect(stderr).toContain('needs a terminal, and stdin and stdout are none');
  });
});
