/**
 * Goal: a job in a terminal has a real one: size, controlling terminal, job control, echo, answers
 * to its questions. Its output and its end are reported as those of any job. Method: real jobs
 * under wrappers in this process, with a coordinator that sends input and sizes.
 */

import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COORDINATOR_FEATURES, type Command, type JobTerms, type TerminalSize } from '../../protocol/index.ts';
import { REDACTED } from '../../wrapper/output/redaction.ts';
import type { RunOptions } from '../../wrapper/run-options.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { ownRun, removeTemporaryFolders, runInProcess, temporaryFolder } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
let commands = 0;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.features = COORDINATOR_FEATURES;
  inTerminal({ cols: 80, rows: 24 });
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
  expect(coordinator.faults).toEqual([]);
});

function inTerminal(terminal: TerminalSize, more: Partial<JobTerms> = {}): void {
  coordinator.job = { ...ownRun(), terminal, ...more };
}
const sh = (script: string) => ['sh', '-c', script];
const run = (command: string[], options: Partial<RunOptions> = {}) => runInProcess(coordinator, command, options);
const text = () => coordinator.text('tty');
const shows = (part: string) =>
  coordinator
    .until(() => text().includes(part), part)
    .catch((error: Error) => {
      throw new Error(`${error.message} in ${JSON.stringify(text())}`);
    });
const send = (command: Omit<Command, 'id'>): void => coordinator.sendCommand({ id: ++commands, ...command } as Command);
const type = (keys: string): void => send({ command: 'input', data: { text: keys } });
const end = () => coordinator.events.at(-1);
const screens = () => coordinator.events.filter(({ type }) => type === 'screen').map(({ data }) => data);

describe('a terminal', () => {
  it('[TTY4] has its size before the program begins, and is both of its outputs', async () => {
    inTerminal({ cols: 101, rows: 31 });
    const { exitCode } = run(sh('stty size; test -t 0 && test -t 1 && test -t 2 && echo yes; echo err >&2; exit 7'));
    expect(await exitCode).toBe(7);
    expect(text()).toBe('31 101\r\nyes\r\nerr\r\n');
    expect(coordinator.events.find(({ type }) => type === 'started')?.data).toMatchObject({ terminal: { cols: 101, rows: 31 } });
    expect(end()).toMatchObject({ type: 'exit', data: { exitCode: 7, signal: null } });
    expect(coordinator.events.map(({ type }) => type)).not.toContain('agent');
    for (const { type, data } of coordinator.events) if (type === 'output') expect(Object.keys(data)).toEqual(['stream', 'text']);
  });

  it('is the controlling terminal of the program', async () => {
    const { exitCode } = run(sh('echo through >/dev/tty; read -r line </dev/tty; echo "got $line"; tty'));
    await shows('through');
    type('a line\r');
    expect(await exitCode).toBe(0);
    expect(text()).toMatch(/^through\r\na line\r\ngot a line\r\n\/dev\/pts\/\d+\r\n$/);
  });

  it('has job control: Ctrl-Z stops, fg continues, Ctrl-C ends what is in the foreground', async () => {
    const { exitCode } = run(['bash', '--norc', '--noprofile', '-i'], { jobEnv: { PS1: '$ ' } });
    await shows('$ ');
    type('sleep 100; echo "code $?"\r');
    await shows('sleep 100; echo "code $?"\r\n');
    type('\u001a');
    await coordinator.until(() => /Stopped[\s\S]*\$ $/.test(text()), 'a prompt');
    type('fg\r');
    await coordinator.until(() => /fg\r\n[\s\S]*sleep 100\r\n$/.test(text()), 'the job in the foreground');
    type('\u0003');
    await coordinator.until(() => /\^C[\s\S]*\$ $/.test(text()), 'a prompt');
    type('echo done $((20+1))\r');
    await shows('done 21');
    type('exit 5\r');
    expect(await exitCode).toBe(5);
  });

  it('[TTY7] an end of input is Ctrl-D, and ends an empty line only', async () => {
    const { exitCode } = run(sh('cat; echo "again"; cat; echo "end"'));
    await coordinator.until(() => coordinator.events.some(({ type }) => type === 'started'), 'the start');
    send({ command: 'input', data: { text: 'half', eof: true } });
    await shows('halfhalf');
    send({ command: 'input', data: { text: '\r', eof: true } });
    await shows('again');
    send({ command: 'input', data: { eof: true } });
    expect(await exitCode).toBe(0);
    expect(text()).toBe('halfhalf\r\n\r\nagain\r\nend\r\n');
  });

  it('[TTY8] a new size reaches the program, before input that follows it', async () => {
    const { exitCode } = run(
      sh("trap 'echo changed; stty size' WINCH; echo ready; while read -r line; do stty size; [ $line = end ] && exit; done"),
    );
    await shows('ready');
    send({ command: 'resize', data: { cols: 132, rows: 50 } });
    type('end\r');
    await exitCode;
    expect(text()).toContain('50 132');
    expect(text()).not.toContain('24 80');
    expect(coordinator.ackedCommands).toHaveLength(2);
  });

  it('[TTY17] TERM, colours and a UTF-8 locale are those of the emulator, and the terminal around the wrapper is not told', async () => {
    const env = {
      PATH: process.env.PATH ?? '',
      TERM: 'dumb',
      TMUX: '/tmp/x',
      STY: '1.x',
      LINES: '5',
      COLUMNS: '9',
      SHELL: '/bin/false',
    };
    const { exitCode } = run(sh('env | sort'), { env });
    expect(await exitCode).toBe(0);
    const seen = text().split('\r\n');
    for (const line of ['TERM=xterm-256color', 'COLORTERM=truecolor', 'LANG=C.UTF-8', 'SHELL=/bin/false'])
      expect(seen).toContain(line);
    expect(seen.filter((line) => /^(TMUX|STY|LINES|COLUMNS|_HF|_hf)/.test(line))).toEqual([]);
  });

  it('[TTY17] the variables of the start win, and SHELL stays absent where it was', async () => {
    const { exitCode } = run(sh('env | sort'), {
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
      jobEnv: { TERM: 'vt100', LINES: '7' },
    });
    expect(await exitCode).toBe(0);
    const seen = text().split('\r\n');
    for (const line of ['TERM=vt100', 'LINES=7', 'LC_ALL=C']) expect(seen).toContain(line);
    expect(seen.filter((line) => /^(LANG|SHELL)=/.test(line))).toEqual([]);
  });

  it('the command gets its arguments and its odd variables as they are', async () => {
    const words = ["it's", 'a "b" $HOME `x`', '', '*', '\\', 'ä\n2', '-x'];
    const { exitCode } = run(
      [process.execPath, '-e', 'console.log(JSON.stringify([process.argv.slice(1), process.env["a.b"]]))', '--', ...words],
      {
        env: { ...process.env, 'a.b': 'odd' },
      },
    );
    expect(await exitCode).toBe(0);
    expect(JSON.parse(text())).toEqual([words, 'odd']);
  });

  it.each([
    ['a program that does not exist', ['/nowhere/at/all'], 'was not found'],
    ['a folder', ['/tmp'], 'was not found'],
  ])('%s: the start fails with the cause', async (_, command, why) => {
    await run(command).exitCode;
    expect(end()).toMatchObject({ type: 'error', data: { fatal: true, error: expect.stringContaining(why) } });
  });

  it('[TTY18] without script the start fails, and the error names cause and next step', async () => {
    const empty = temporaryFolder();
    writeFileSync(join(empty, 'script'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const { PATH } = process.env;
    process.env.PATH = empty;
    try {
      await run(['/bin/true'], { env: { PATH } }).exitCode;
    } finally {
      process.env.PATH = PATH;
    }
    const { error } = end()?.data ?? {};
    expect(error).toContain('a terminal needs the program script of util-linux 2.35 or later');
    expect(error).toContain('Install it, or start the execution without a terminal');
  });
});

describe('output and input', () => {
  it.each([20, 200])('the last of %i KB before the exit is there, every time', async (kilobytes) => {
    const { exitCode } = run(sh(`head -c ${kilobytes * 1000} /dev/zero | tr '\\0' x; exit 3`));
    expect(await exitCode).toBe(3);
    expect(text()).toBe('x'.repeat(kilobytes * 1000));
  });

  it('a program that ends while nothing is read loses nothing', async () => {
    coordinator.acks = false; // The spool stays full.
    const ended = join(temporaryFolder(), 'ended');
    const print = (character: string, bytes: number) => `head -c ${bytes} /dev/zero | tr '\\0' ${character}`;
    const { exitCode } = run(sh(`${print('x', 20_000)}; ${print('y', 20_000)}; echo >${ended}; exit 3`), { spoolLimitBytes: 1000 });
    await coordinator.until(() => existsSync(ended), 'the end of the program');
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(3);
    expect(text()).toBe('x'.repeat(20_000) + 'y'.repeat(20_000));
  });

  it('[TTY10] characters that are split anywhere stay whole, and bytes that are none are counted', async () => {
    const script =
      "const b = Buffer.from('aé漢🦀\\u{1F468}\\u200d\\u{1F469}z'); (async () => { for (const x of b) { process.stdout.write(Buffer.of(x)); await new Promise((r) => setTimeout(r, 12)); } process.stdout.write(Buffer.from([0xff, 0x41, 0xe2])); })()";
    expect(await run([process.execPath, '-e', script]).exitCode).toBe(0);
    expect(text()).toBe('aé漢🦀\u{1F468}\u200d\u{1F469}z\ufffdA\ufffd');
    const replaced = coordinator.events.filter(({ type }) => type === 'output').map(({ data }) => data.replaced ?? 0);
    expect(replaced.reduce((sum: number, each) => sum + Number(each), 0)).toBe(2);
  });

  it('a paste of 1 MB into a program in raw mode arrives byte for byte', async () => {
    const bytes = Buffer.from(
      Array.from({ length: 1_048_576 }, (_, index) => String.fromCharCode(33 + ((index * 7) % 90))).join(''),
    );
    const { exitCode } = run(sh(`stty raw -echo; echo ready; head -c ${bytes.length} | sha256sum`));
    await shows('ready');
    for (let at = 0; at < bytes.length; at += 65_536) {
      send({ command: 'input', data: { base64: bytes.subarray(at, at + 65_536).toString('base64') } });
    }
    expect(await exitCode).toBe(0);
    expect(text()).toContain(createHash('sha256').update(bytes).digest('hex'));
  });

  it('a paste that the program prints at once blocks neither direction', async () => {
    const { exitCode } = run(sh('stty raw -echo; echo ready; head -c 1048576'));
    await shows('ready');
    for (let sent = 0; sent < 16; sent += 1) send({ command: 'input', data: { text: 'y'.repeat(65_536) } });
    expect(await exitCode).toBe(0);
    expect(text().replace(/^ready\n/, '')).toBe('y'.repeat(1_048_576));
  });

  it('1,000 keys arrive in order', async () => {
    const keys = Array.from({ length: 1000 }, (_, index) => String.fromCharCode(33 + (index % 90)));
    const { exitCode } = run(sh('stty raw -echo; echo ready; head -c 1000'));
    await shows('ready');
    for (const key of keys) type(key);
    expect(await exitCode).toBe(0);
    expect(text().replace(/^ready\n\r?/, '')).toContain(keys.join(''));
  });

  it('[TTY16] the echo of a key and what the program draws because of it are one event', async () => {
    const script =
      "process.stdin.setRawMode(true); process.stdout.write('ready'); process.stdin.on('data', (keys) => { for (const part of [String(keys), '[', ']', '.']) process.stdout.write(part); })";
    const { exitCode } = run([process.execPath, '-e', script]);
    await shows('ready');
    const before = coordinator.events.length;
    for (let key = 1; key <= 30; key += 1) {
      type('k');
      await coordinator.until(() => text().split('.').length > key, 'the drawing');
    }
    // Without gathering there would be 120. A busy machine may pause between two writes.
    expect(coordinator.events.length - before).toBeLessThan(60);
    send({ command: 'interrupt', data: { signal: 'SIGKILL', forceAfterMs: 0, reason: '' } });
    await exitCode;
  });

  it('Ctrl-C ends a program that floods its terminal', async () => {
    const { exitCode } = run(sh('yes'));
    await coordinator.until(() => text().length > 100_000, 'output');
    type('\u0003');
    expect(await exitCode).toBe(130);
    expect(end()).toMatchObject({ data: { exitCode: null, signal: 'SIGINT' } });
  });

  it('[TTY14] a program that closes its terminal has not ended, and opens it again', async () => {
    const { exitCode } = run(sh('echo before; exec <&- >&- 2>&-; sleep 0.3; exec </dev/tty >/dev/tty; echo after; exit 5'));
    expect(await exitCode).toBe(5);
    expect(text()).toBe('before\r\nafter\r\n');
  });

  it('[TTY14] a process that keeps the terminal open does not delay the end', async () => {
    const folder = temporaryFolder();
    const [begun, go, left] = ['begun', 'go', 'left'].map((name) => join(folder, name));
    const keeps = `echo >${begun}; until test -e ${go}; do sleep 0.1; done; echo late; echo >${left}`;
    const { exitCode } = run(sh(`setsid sh -c '${keeps}' & until test -e ${begun}; do sleep 0.1; done; echo out; exit 3`));
    expect(await exitCode).toBe(3);
    expect(existsSync(left as string)).toBe(false);
    writeFileSync(go as string, '');
    await coordinator.until(() => existsSync(left as string), 'the end of what was left');
    expect(text()).toBe('out\r\n');
    expect(end()).toMatchObject({ type: 'exit', data: { exitCode: 3 } });
  });

  it('[TTY14] an interrupt ends a shell that ignores it, and what runs in its session', async () => {
    const { exitCode } = run(['bash', '--norc', '--noprofile', '-i'], { jobEnv: { PS1: '$ ' } });
    await shows('$ ');
    type('sleep 1000 & sleep 1001\r');
    await shows('sleep 1001\r\n');
    send({ command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 3000, reason: 'enough' } });
    await exitCode;
    expect(end()?.data).toMatchObject({ toldToStop: true });
    expect(end()?.data).not.toHaveProperty('left');
  });
});

describe('questions of the program', () => {
  /** Asks, and prints what its terminal answers, as hexadecimal. */
  const ask = (question: string, bytes: number) => sh(`stty raw -echo; printf '${question}'; head -c ${bytes} | od -An -tx1 -v`);
  const hex = (answer: string) => Buffer.from(answer).toString('hex');

  it.each([
    ['DA1', '\\033[c', '\u001b[?1;2c'],
    ['DSR', '\\033[5n', '\u001b[0n'],
    ['cursor position', 'ab\\033[6n', '\u001b[1;3R'],
    ['DECRQM', '\\033[?2026$p', '\u001b[?2026;2$y'],
    ['XTVERSION', '\\033[>q', '\u001bP>|holdfast('],
    ['foreground', '\\033]10;?\\007', '\u001b]10;rgb:e5e5/e5e5/e5e5\u001b\\'],
    ['background', '\\033]11;?\\007', '\u001b]11;rgb:0000/0000/0000\u001b\\'],
    ['keyboard', '\\033[>5u\\033[?u', '\u001b[?5u'],
    ['size', '\\033[18t', '\u001b[8;24;80t'],
    ['dark or light', '\\033[?996n', '\u001b[?997;1n'],
  ])('[TTY13] %s is answered once', async (_, question, answer) => {
    expect(await run(ask(question, answer.length)).exitCode).toBe(0);
    expect(text().replaceAll(/[^0-9a-f]/g, '')).toContain(hex(answer));
  });
});

describe('[TTY16] [SPL25] redaction', () => {
  const env = { PATH: process.env.PATH ?? '', MY_TOKEN: 'correct-horse-battery' };
  const redacting: Partial<RunOptions> = { env, redact: [] };

  it('holds across writes, and the screen has no secret either', async () => {
    const { exitCode } = run(
      sh('printf "a correct-horse"; sleep 0.5; printf %s "-battery b"; head -c 20000 /dev/zero | tr "\\0" x; sleep 1.5'),
      redacting,
    );
    expect(await exitCode).toBe(0);
    expect(text().replace(/x+$/, '')).toBe(`a ${REDACTED} b`);
    expect(screens().length).toBeGreaterThan(0);
    expect(JSON.stringify(screens())).not.toContain('horse');
  });

  it('shows a short beginning of a secret after a moment, and removes the rest of the secret', async () => {
    const { exitCode } = run(
      sh('stty -echo; printf "$ cor"; read -r x; printf "rect-horse-battery."; sleep 0.4; printf correct-horse; read -r x; echo'),
      redacting,
    );
    await shows('$ cor');
    type('\r');
    await shows(`${REDACTED}.`);
    type('\r');
    await exitCode;
    expect(text()).toBe(`$ cor${REDACTED}.correct-horse\r\n`);
  });
});
