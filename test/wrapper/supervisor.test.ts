/**
 * Goal: a run from its start to its exit code, with real child processes, against a coordinator
 * that misbehaves on purpose. Method: `run` inside this process, so that times can be shortened and
 * the disk can be made to fail.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeFiles, type SpoolFiles } from '../../wrapper/spool/files.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  expectNumberedLines,
  gate,
  gated,
  isRunning,
  numberedLines,
  removeTemporaryFolders,
  runInProcess,
  sleep,
  temporaryFolder,
  until,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];
const node = (script: string) => [process.execPath, '-e', script];
const types = () => coordinator.events.map(({ type }) => type);
const lastEvent = () => coordinator.events.at(-1);
const interrupt = (id: number, forceAfterMs = 10_000, signal: 'SIGINT' | 'SIGKILL' = 'SIGINT') =>
  ({ id, command: 'interrupt', data: { signal, forceAfterMs, reason: 'asked to' } }) as const;

function expectAllLines() {
  expectNumberedLines(coordinator.text());
  expect(coordinator.faults).toEqual([]);
}

describe('how a run ends', () => {
  it('[G9] reports the start, all output and the exit, and gives the exit code', async () => {
    const { exitCode, spool, log } = runInProcess(coordinator, sh('echo out; echo err >&2; exit 0'));
    expect(await exitCode).toBe(0);
    expect(coordinator.events[0]).toMatchObject({
      type: 'started',
      data: { pid: expect.any(Number), command: sh('echo out; echo err >&2; exit 0') },
    });
    expect(coordinator.text('stdout')).toBe('out\n');
    expect(coordinator.text('stderr')).toBe('err\n');
    expect(lastEvent()).toMatchObject({ type: 'exit', data: { exitCode: 0, signal: null, toldToStop: false } });
    expect(readdirSync(spool)).toEqual([]);
    expect(log.problems).toEqual([]);
  });

  it.each([
    ['exit 3', 3, { exitCode: 3, signal: null }],
    ['exit 255', 255, { exitCode: 255, signal: null }],
    ['kill -9 $$', 137, { exitCode: null, signal: 'SIGKILL' }],
    ['kill -15 $$', 143, { exitCode: null, signal: 'SIGTERM' }],
  ])('"%s" gives %i', async (script, code, data) => {
    expect(await runInProcess(coordinator, sh(script)).exitCode).toBe(code);
    expect(lastEvent()?.data).toEqual({ ...data, toldToStop: false });
  });

  it('a command that does not exist is a fatal error and 127', async () => {
    expect(await runInProcess(coordinator, ['/no/such/command']).exitCode).toBe(127);
    expect(types()).toEqual(['error']);
    expect(lastEvent()?.data).toMatchObject({
      code: 'spawn_failed',
      fatal: true,
      error: 'the command was not found: /no/such/command',
    });
  });

  it('a working directory that is a file is called so', async () => {
    const file = fileURLToPath(import.meta.url);
    expect(await runInProcess(coordinator, ['true'], { cwd: file }).exitCode).toBe(127);
    expect(coordinator.events.at(-1)?.data.error).toBe(`the working directory ${file} is not a directory`);
  });

  it('a working directory that does not exist is called by its name', async () => {
    expect(await runInProcess(coordinator, sh('true'), { cwd: '/no/such/folder' }).exitCode).toBe(127);
    expect(lastEvent()?.data.error).toContain('/no/such/folder');
  });

  it('all output comes before the exit, however much is pending at the end', async () => {
    const { exitCode } = runInProcess(coordinator, sh('head -c 30000000 /dev/zero | tr "\\0" "x"; echo; exit 5'));
    expect(await exitCode).toBe(5);
    expect(coordinator.text().length).toBe(30_000_001);
    expect(lastEvent()?.type).toBe('exit');
    expect(coordinator.faults).toEqual([]);
  });

  it('[CH2] a grandchild that keeps the output open does not hold the verdict, and is left alone', async () => {
    const { exitCode } = runInProcess(coordinator, sh('sleep 30 & echo $!; exit 4'), { times: { pipesHoldMs: 300 } });
    expect(await exitCode).toBe(4);
    expect(types()).toEqual(['started', 'output', 'status', 'exit']);
    const grandchild = Number(coordinator.text());
    expect(isRunning(grandchild)).toBe(true);
    process.kill(grandchild, 'SIGKILL');
  });

  it('[CH4] no variable of the wrapper reaches the job', async () => {
    const env = { ...process.env, HOLDFAST_INGEST_TOKEN: 'secret', HOLDFAST_RUNNER_TOKEN: 'secret', OTHER: 'kept' };
    await runInProcess(coordinator, sh('env'), { env }).exitCode;
    expect(coordinator.text()).toContain('OTHER=kept');
    expect(coordinator.text()).not.toContain('HOLDFAST_');
    expect(coordinator.text()).not.toContain('secret');
  });
});

describe('output', () => {
  it('can be written to by name: /dev/stdout and /dev/stderr', async () => {
    const script = 'echo one; echo two > /dev/stdout; echo three >> /proc/self/fd/1; echo oops > /dev/stderr; echo four';
    expect(await runInProcess(coordinator, sh(script)).exitCode).toBe(0);
    expect(coordinator.text()).toBe('one\ntwo\nthree\nfour\n');
    expect(coordinator.text('stderr')).toBe('oops\n');
  });

  it('the job finds ordinary, blocking pipes, and nothing of them is left in the spool', async () => {
    const folder = temporaryFolder();
    const script = `const fs = require('fs');
      for (const fd of [1, 2]) fs.writeFileSync(${JSON.stringify(folder)} + '/' + fd, String(fs.fstatSync(fd).isFIFO())
        + ' ' + (parseInt(/flags:\\s*(\\d+)/.exec(fs.readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1], 8) & 0o4003));
      fs.writeFileSync(${JSON.stringify(folder)} + '/spool', fs.readdirSync(process.argv[1]).join());`;
    const spool = temporaryFolder();
    expect(await runInProcess(coordinator, [...node(script), spool], { spoolDirectory: spool }).exitCode).toBe(0);
    // O_WRONLY without O_NONBLOCK.
    for (const fd of ['1', '2']) expect(readFileSync(join(folder, fd), 'utf8')).toBe('true 1');
    expect(readFileSync(join(folder, 'spool'), 'utf8')).not.toContain('pipes');
  });

  it('without mkfifo, setsid or perl the command is not run, and the reason is reported', async () => {
    const path = process.env.PATH;
    process.env.PATH = temporaryFolder();
    const run = runInProcess(coordinator, ['/bin/sh', '-c', 'echo out'], { env: { PATH: path } });
    try {
      expect(await run.exitCode).toBe(127);
    } finally {
      process.env.PATH = path;
    }
    expect(lastEvent()?.data).toMatchObject({ code: 'spawn_failed', error: expect.stringContaining('mkfifo') });
    expect(coordinator.text()).toBe('');
  });

  it('a line without an end is held back a moment, then sent as partial', async () => {
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`printf "Password: "; ${wait}; echo ok`));
    await coordinator.until(() => coordinator.text() === 'Password: ', 'the prompt');
    expect(coordinator.events.at(-1)?.data).toEqual({ stream: 'stdout', text: 'Password: ', partial: true, line: 1 });
    open();
    await exitCode;
    expect(coordinator.text()).toBe('Password: ok\n');
  });

  it('[SPL24] numbers the lines of both streams together; agent events and ends of open lines have no number', async () => {
    // Two pipes have no common order: what is printed next waits until the one before has come.
    const { script, gates } = gated([
      ...['echo one', 'echo oops >&2', `printf 'Sure? '`, 'echo more >&2', 'echo yes', `echo '{"step":1}'; echo last`],
    ]);
    const { exitCode } = runInProcess(coordinator, sh(script), { format: 'jsonl' });
    for (const [index, { open }] of gates.entries()) {
      await coordinator.until(() => types().filter((type) => type === 'output').length > index, `output ${index + 1}`);
      open();
    }
    await exitCode;
    const output = coordinator.events.filter(({ type }) => type === 'output').map(({ data }) => [data.text, data.line]);
    expect(output).toEqual([
      ['one\n', 1],
      ['oops\n', 2],
      ['Sure? ', 3],
      ['more\n', 4],
      ['yes\n', undefined],
      ['last\n', 5],
    ]);
    expect(coordinator.events.find(({ type }) => type === 'agent')?.data).toEqual({ step: 1 });
  });

  it.each(['claude', 'codex', 'opencode', 'acp', 'auto'] as const)('[AGT1] %s: objects become agent events', async (format) => {
    await runInProcess(coordinator, sh(`echo '{"type":"system"}'; echo plain`), { format }).exitCode;
    expect(coordinator.events.map(({ type }) => type)).toEqual(['started', 'agent', 'output', 'exit']);
  });

  it('jsonl: objects become agent events, in their place among the rest', async () => {
    await runInProcess(coordinator, sh(`echo '{"step":1}'; echo plain; echo '{"step":2}'; echo '{"no":1}' >&2`), {
      format: 'jsonl',
    }).exitCode;
    const stdout = coordinator.events.filter(({ type, data }) => type === 'agent' || data.stream === 'stdout');
    expect(stdout.map(({ type, data }) => [type, data.text ?? data.step])).toEqual([
      ['agent', 1],
      ['output', 'plain\n'],
      ['agent', 2],
    ]);
    expect(coordinator.text('stderr')).toBe('{"no":1}\n');
  });
});

describe('[G1] 20,000 lines, 0 lost, 0 repeated', () => {
  it('through five cuts of the network', async () => {
    let cuts = 0;
    coordinator.onFrame = (connection, frame) => {
      // Cut after reading, before storing: the wrapper has sent it, and the coordinator lacks it.
      if (cuts < 5 && frame.seq + frame.count > 20 * (cuts + 1)) {
        cuts += 1;
        connection.cut();
        return false;
      }
      return true;
    };
    const { command, open } = numberedLines();
    const { exitCode } = runInProcess(coordinator, command);
    await coordinator.until(() => cuts === 5, 'five cuts');
    open();
    expect(await exitCode).toBe(0);
    expect(cuts).toBe(5);
    expectAllLines();
  });

  it('when stored events are never acknowledged before the cut', async () => {
    let cuts = 0;
    coordinator.acks = false;
    coordinator.policy.disconnectGraceMs = 1000;
    const { command, open } = numberedLines();
    const { exitCode } = runInProcess(coordinator, command);
    while (cuts < 4) {
      await coordinator.until(() => {
        const last = coordinator.connections.at(-1);
        return last !== undefined && last.frames.length > 0 && last.closed === null;
      }, 'a frame');
      if (++cuts === 4) coordinator.acks = true;
      coordinator.last.cut();
      await sleep(100);
    }
    open();
    expect(await exitCode).toBe(0);
    expectAllLines();
  });

  it('through a crash of the coordinator, with a slow one before and after', async () => {
    coordinator.ackDelayMs = 30;
    const { command, open } = numberedLines();
    const { exitCode } = runInProcess(coordinator, command);
    await coordinator.until(() => coordinator.ackedSeq > 15, 'some events');
    await coordinator.crash();
    await sleep(700);
    await coordinator.start();
    open();
    expect(await exitCode).toBe(0);
    expectAllLines();
  });

  it('when frames are lost on the way and those behind them are refused with nack', async () => {
    let frames = 0;
    let lost = 0;
    coordinator.onFrame = () => {
      frames += 1;
      if (lost >= 8 || frames % 5 !== 0) return true;
      lost += 1;
      return false;
    };
    const { exitCode, log } = runInProcess(coordinator, ['seq', '1', '2000000'], { times: { ackStallMs: 1000 } });
    expect(await exitCode).toBe(0);
    expect(lost).toBe(8);
    expect(log.facts.some(({ name, outcome }) => name === 'nack' && outcome === 'rewound')).toBe(true);
    const lines = coordinator.text().split('\n');
    expect(lines.length).toBe(2_000_001);
    expect(lines.every((line, index) => index === 2_000_000 || line === String(index + 1))).toBe(true);
    expect(coordinator.faults).toEqual([]);
  });

  it('with a connection that stops taking anything, and answers pings all the same', async () => {
    let stalled = false;
    coordinator.onFrame = (_connection, frame) => {
      stalled ||= frame.seq > 10;
      return !stalled || coordinator.connections.length > 1;
    };
    const { command, open } = numberedLines();
    const { exitCode, log } = runInProcess(coordinator, command, { times: { ackStallMs: 600 } });
    await coordinator.until(() => stalled && coordinator.connections.length > 1, 'another connection');
    open();
    expect(await exitCode).toBe(0);
    expect(log.facts.some(({ why }) => why === 'no ack within 600 ms')).toBe(true);
    expectAllLines();
  });
});

describe('who may run', () => {
  it('[SV1] the command starts after the first welcome, not before', async () => {
    const marker = join(temporaryFolder(), 'ran');
    coordinator.onHello = () => false;
    const { exitCode } = runInProcess(coordinator, sh(`touch ${marker}`));
    await coordinator.until(() => coordinator.connections[0]?.hello != null, 'hello');
    await sleep(200);
    expect(existsSync(marker)).toBe(false);
    coordinator.welcome(coordinator.last);
    expect(await exitCode).toBe(0);
    expect(existsSync(marker)).toBe(true);
  });

  it('[SV1] [ING2] of two wrappers for one execution only the accepted one runs the command', async () => {
    const marker = join(temporaryFolder(), 'ran');
    const { wait, open } = gate();
    const command = sh(`echo x >> ${marker}; ${wait}`);
    const runs = [runInProcess(coordinator, command), runInProcess(coordinator, command)];
    // The other one has its refusal before the job may end: one that comes later finds an execution
    // that has ended.
    expect(await Promise.race(runs.map(({ exitCode }) => exitCode))).toBe(125);
    open();
    const codes = await Promise.all(runs.map(({ exitCode }) => exitCode));
    expect(codes.sort()).toEqual([0, 125]);
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
  });

  it('[SV1] an execution that is over already is not run', async () => {
    coordinator.ended = true;
    const marker = join(temporaryFolder(), 'ran');
    // It had completed.
    expect(await runInProcess(coordinator, sh(`touch ${marker}`)).exitCode).toBe(0);
    expect(existsSync(marker)).toBe(false);
  });

  it('ends when the coordinator is unreachable, without having run the command', async () => {
    const marker = join(temporaryFolder(), 'ran');
    await coordinator.crash();
    const { exitCode, log, spool } = runInProcess(coordinator, sh(`touch ${marker}`), { times: { firstWelcomeBudgetMs: 400 } });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('could not be reached');
    expect(existsSync(marker)).toBe(false);
    expect(readdirSync(spool)).toEqual([]);
  });
});

describe('when the coordinator no longer wants it', () => {
  it('4000 while the job runs stops the job and everything it started', async () => {
    const { exitCode } = runInProcess(coordinator, sh('sleep 60 & echo $! $$; wait'));
    await coordinator.until(() => coordinator.text() !== '', 'the pids');
    const pids = coordinator.text().trim().split(' ').map(Number);
    coordinator.last.socket.close(4000, '{"status":"failed"}');
    expect(await exitCode).toBe(143);
    for (const pid of pids) expect(isRunning(pid)).toBe(false);
    expect(coordinator.dials.length).toBe(1);
  });

  it('[SV9] 4000 before everything was delivered: stderr reports how many events the log lacks', async () => {
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo one; ${wait}`));
    await coordinator.until(() => coordinator.text() === 'one\n', 'the first line');
    expect(log.problems).toEqual([]);
    coordinator.acks = false;
    const { length } = coordinator.events;
    open();
    await coordinator.until(() => coordinator.events.length > length, 'the exit');
    coordinator.last.socket.close(4000, '{"status":"interrupted"}');
    expect(await exitCode).toBe(0);
    expect(log.problems).toEqual(['the execution was settled before 1 event was delivered; it is not in its log']);
  });

  it('a job that ignores SIGTERM is killed', async () => {
    const { exitCode } = runInProcess(coordinator, sh('trap "" TERM; echo ready; while :; do sleep 0.1; done'), {
      times: { killAfterMs: 300 },
    });
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.last.socket.close(4000, '{"status":"failed"}');
    expect(await exitCode).toBe(137);
  });

  it('[CLS17] a deleted session stops a running job, reports why, and keeps the spool', async () => {
    const { exitCode, log, spool } = runInProcess(coordinator, sh('echo ready; exec sleep 60'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.last.socket.close(4404, 'deleted');
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('closed with 4404 (deleted)');
    expect(readdirSync(spool)).toContain('state.json');
  });
});

describe('interrupt', () => {
  it('goes to the whole group; a grandchild that ignores it does not survive', async () => {
    // A background job of a shell without job control ignores SIGINT.
    const { exitCode } = runInProcess(coordinator, sh('sleep 60 & echo $!; exec sleep 60'));
    await coordinator.until(() => coordinator.text() !== '', 'the pid');
    coordinator.sendCommand(interrupt(1));
    const askedAt = Date.now();
    expect(await exitCode).toBe(130);
    // It is not left to the last rung of the 10 s ladder.
    expect(Date.now() - askedAt).toBeLessThan(9000);
    expect(isRunning(Number(coordinator.text()))).toBe(false);
    expect(lastEvent()).toMatchObject({ type: 'exit', data: { exitCode: null, signal: 'SIGINT', toldToStop: true } });
    expect(coordinator.ackedCommands).toEqual([1]);
  });

  it('gets stronger: SIGTERM at half of the patience, SIGKILL at its end', async () => {
    const script = 'trap "echo int" INT; trap "echo term" TERM; echo ready; while :; do sleep 0.05; done';
    const { exitCode } = runInProcess(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.sendCommand(interrupt(1, 4000));
    expect(await exitCode).toBe(137);
    expect(coordinator.text()).toBe('ready\nint\nterm\n');
  });

  it('[ING9] is carried out once, and acked again when it is repeated', async () => {
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`trap "echo int" INT; echo ready; ${wait}`));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    // So patient that nothing stronger follows.
    coordinator.sendCommand(interrupt(7, 120_000));
    await coordinator.until(() => coordinator.ackedCommands.length === 1, 'ack');
    coordinator.commands = [interrupt(7, 120_000)];
    coordinator.last.cut(); // The welcome brings it again.
    await coordinator.until(() => coordinator.ackedCommands.length === 2, 'second ack');
    await coordinator.until(() => coordinator.text() === 'ready\nint\n', 'the trap');
    open();
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('ready\nint\n');
  });

  it('[SV1] before the job has begun: it never does', async () => {
    const marker = join(temporaryFolder(), 'ran');
    coordinator.commands = [interrupt(1)];
    expect(await runInProcess(coordinator, sh(`touch ${marker}`)).exitCode).toBe(130);
    expect(existsSync(marker)).toBe(false);
    expect(coordinator.events.map(({ type, data }) => [type, data])).toEqual([['interrupted', { reason: 'asked to' }]]);
    expect(coordinator.ackedCommands).toEqual([1]);
  });
});

describe('input', () => {
  const input = (id: number, text: string) => ({ id, command: 'input', data: { text } }) as const;

  it('goes to a stdin that is open, each once', async () => {
    const { exitCode } = runInProcess(coordinator, sh('read a; read b; echo "$a $b"'), { stdin: { file: null, open: true } });
    await coordinator.until(() => types().includes('started'), 'started');
    coordinator.sendCommand(input(1, 'one\n'));
    await coordinator.until(() => coordinator.ackedCommands.length === 1, 'ack');
    coordinator.sendCommand(input(1, 'one\n'));
    coordinator.sendCommand(input(2, 'two\n'));
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('one two\n');
  });

  it('follows the initial text, also when it arrived before the job started', async () => {
    const file = join(temporaryFolder(), 'stdin');
    writeFileSync(file, 'from the file\n');
    coordinator.commands = [input(1, 'from the command\n')];
    const { exitCode } = runInProcess(coordinator, sh('read a; read b; echo "$a, $b"'), { stdin: { file, open: true } });
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('from the file, from the command\n');
  });

  it('by default stdin is empty: cat ends, and input is answered by a status', async () => {
    expect(await runInProcess(coordinator, ['cat']).exitCode).toBe(0);
    await coordinator.stop();
    coordinator = await new FakeCoordinator().start();
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`echo ready; ${wait}`));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.sendCommand(input(1, 'hello\n'));
    await coordinator.until(() => coordinator.ackedCommands.length === 1, 'ack');
    open();
    expect(await exitCode).toBe(0);
    expect(coordinator.events.find(({ type }) => type === 'status')?.data.message).toContain('stdin of the job is closed');
    expect(coordinator.ackedCommands).toEqual([1]);
  });

  it('[IN1] bytes reach the job to the letter, and the end ends its stdin', async () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, index) => index & 255));
    const { exitCode } = runInProcess(
      coordinator,
      node("process.stdin.on('data', d => process.stdout.write(d.toString('hex') + '\\n'))"),
      {
        stdin: { file: null, open: true },
      },
    );
    await coordinator.until(() => types().includes('started'), 'started');
    coordinator.sendCommand({ id: 1, command: 'input', data: { base64: bytes.toString('base64') } });
    coordinator.sendCommand({ id: 2, command: 'input', data: { text: 'last', eof: true } });
    expect(await exitCode).toBe(0);
    expect(coordinator.text().replaceAll('\n', '')).toBe(Buffer.concat([bytes, Buffer.from('last')]).toString('hex'));
    expect(coordinator.ackedCommands).toEqual([1, 2]);
  });

  it('what follows the end is not delivered, and the log says so once', async () => {
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`cat; echo ended; ${wait}`), { stdin: { file: null, open: true } });
    await coordinator.until(() => types().includes('started'), 'started');
    coordinator.sendCommand({ id: 1, command: 'input', data: { eof: true } });
    await coordinator.until(() => coordinator.text() === 'ended\n', 'the end');
    coordinator.sendCommand(input(2, 'late\n'));
    coordinator.sendCommand(input(3, 'later\n'));
    await coordinator.until(() => coordinator.ackedCommands.length === 3, 'acks');
    open();
    expect(await exitCode).toBe(0);
    expect(coordinator.events.filter(({ type }) => type === 'status').map(({ data }) => data.message)).toEqual([
      'input was not delivered: the stdin of the job is closed',
    ]);
  });

  it('[IN1] [IN2] input waits while the job does not read: taken up to the buffer, each once and in order when it reads again', async () => {
    const { wait, open } = gate();
    const part = (id: number): string =>
      String(id)
        .padStart(4, '0')
        .repeat(16 * 1024);
    const ids = Array.from({ length: 40 }, (_, index) => index + 1);
    const { exitCode } = runInProcess(coordinator, sh(`trap 'echo asked' INT; ${wait}; cat | sha256sum`), {
      stdin: { file: null, open: true },
    });
    await coordinator.until(() => types().includes('started'), 'started');
    const data = (id: number) => ({ base64: Buffer.from(part(id)).toString('base64') });
    for (const id of ids) coordinator.sendCommand({ id, command: 'input', data: data(id) });
    await coordinator.until(() => coordinator.ackedCommands.length > 0, 'the first acks');
    // The same commands again, with a welcome.
    coordinator.commands.push(interrupt(100));
    coordinator.connections.at(-1)?.cut();
    await coordinator.until(() => coordinator.ackedCommands.includes(100), 'the interrupt');
    // A pipe holds 64 KiB, the buffer 1 MiB and one part.
    const taken = new Set(coordinator.ackedCommands.filter((id) => id !== 100));
    expect(taken.size).toBeGreaterThanOrEqual(16);
    expect(taken.size).toBeLessThanOrEqual(20);
    coordinator.sendCommand({ id: 101, command: 'input', data: { eof: true } });
    open();
    await exitCode;
    expect(coordinator.text()).toContain(createHash('sha256').update(ids.map(part).join('')).digest('hex'));
    expect([...new Set(coordinator.ackedCommands)].sort((a, b) => a - b)).toEqual([...ids, 100, 101]);
  });

  it('a stdin file is read to its end', async () => {
    const file = join(temporaryFolder(), 'stdin');
    writeFileSync(file, 'x'.repeat(1_000_000));
    expect(await runInProcess(coordinator, ['wc', '-c'], { stdin: { file, open: false } }).exitCode).toBe(0);
    expect(Number(coordinator.text())).toBe(1_000_000);
  });
});

describe('[G8] when the spool is full', () => {
  const SIZE = 20_000_000;
  const writer = (progress: string) =>
    node(`const fs = require('fs'); let n = 0;
      const line = 'x'.repeat(999) + '\\n';
      while (n < ${SIZE}) { fs.writeSync(1, line.repeat(100)); n += 100000; fs.writeFileSync(${JSON.stringify(progress)}, String(n)); }`);
  const written = (progress: string) => (existsSync(progress) ? Number(readFileSync(progress, 'utf8')) : 0);

  it('a full spool pauses the job, and an ack lets it continue; nothing is lost', async () => {
    const progress = join(temporaryFolder(), 'progress');
    coordinator.acks = false;
    const { exitCode, log } = runInProcess(coordinator, writer(progress), {
      spoolLimitBytes: 5_000_000,
      times: { ackStallMs: 1e9 },
    });
    await until(() => log.problems.some((problem) => problem.includes('spool is full')), 'full');
    await sleep(500);
    const paused = written(progress);
    await sleep(500);
    expect(written(progress)).toBe(paused);
    expect(paused).toBeLessThan(8_000_000);
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(0);
    expect(coordinator.text().length).toBe(SIZE);
    expect(coordinator.faults).toEqual([]);
  });

  it('[CH3] what a job wrote before it ended is not lost when it was paused at that moment', async () => {
    coordinator.acks = false;
    const { exitCode, log } = runInProcess(coordinator, sh('head -c 4000000 /dev/zero | tr "\\0" "\\n"; echo last'), {
      spoolLimitBytes: 100_000,
      times: { ackStallMs: 1e9, pipesHoldMs: 200 },
    });
    await until(() => log.problems.some((problem) => problem.includes('spool is full')), 'full');
    await sleep(1000); // Much longer than pipesHoldMs.
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(0);
    expect(coordinator.text().length).toBe(4_000_005);
    expect(coordinator.text().endsWith('\nlast\n')).toBe(true);
  });

  it('[CH2] [CH3] output that is still in the pipe when the job ends is not dropped while reading is paused', async () => {
    coordinator.acks = false;
    const { exitCode, log } = runInProcess(coordinator, sh('head -c 160000 /dev/zero'), {
      spoolLimitBytes: 10_000,
      times: { ackStallMs: 1e9, pipesHoldMs: 200 },
    });
    await until(() => log.problems.some((problem) => problem.includes('spool is full')), 'full');
    await sleep(1000);
    expect(coordinator.text().length).toBeLessThan(160_000); // Else this tests nothing.
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(0);
    expect(coordinator.text().length).toBe(160_000);
    expect(types()).not.toContain('status');
  });

  it('[CH2] [CH3] a grandchild that keeps writing after the job has ended is paused too', async () => {
    coordinator.acks = false;
    const { wait, open } = gate();
    // Not by its output: with a full spool nothing but the first frame is sent.
    const pidFile = join(temporaryFolder(), 'pid');
    const { exitCode, log, spool } = runInProcess(coordinator, sh(`yes & echo $! > ${pidFile}; ${wait}; exit 0`), {
      spoolLimitBytes: 1_000_000,
      times: { ackStallMs: 1e9, pipesHoldMs: 200 },
    });
    await until(() => log.problems.some((problem) => problem.includes('spool is full')), 'full');
    open();
    const leader = coordinator.events.find(({ type }) => type === 'started')?.data.pid as number;
    await until(() => !isRunning(leader), 'the job has ended');
    await sleep(1500);
    const stored = readdirSync(spool).filter((name) => name.endsWith('.ndjson'));
    const bytes = stored.reduce((sum, name) => sum + statSync(join(spool, name)).size, 0);
    expect(bytes).toBeLessThan(4_000_000);
    // The time of the pause does not count.
    expect(log.facts.map(({ name }) => name)).not.toContain('child_exited');
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(0);
  });

  it('a disk that is full for a while is waited for', async () => {
    const { writev } = await import('node:fs');
    let calls = 0;
    const flaky: SpoolFiles['writev'] = (file, buffers, position) =>
      new Promise((resolve, reject) => {
        calls += 1;
        if (calls >= 3 && calls <= 5) return reject(new Error('ENOSPC: no space left on device'));
        writev(file, buffers, position, (error, count) => (error ? reject(error) : resolve(count)));
      });
    const { command, open } = numberedLines();
    const { exitCode, log } = runInProcess(coordinator, command, { spoolFiles: { ...nodeFiles, writev: flaky } });
    await until(() => calls > 5, 'the disk has room again');
    open();
    expect(await exitCode).toBe(0);
    expectAllLines();
    expect(log.problems).toEqual([expect.stringContaining('ENOSPC'), 'the spool can be written again']);
  });
});

describe('when the end cannot be delivered', () => {
  it('[SV6] gives up after its time, keeps the spool, and the next boot delivers it with the job’s exit code', async () => {
    // Twice that is more than the 300 ms below, and counts.
    coordinator.policy.disconnectGraceMs = 1000;
    const { wait, open } = gate();
    const { exitCode, spool, log } = runInProcess(coordinator, sh(`echo done; ${wait}; exit 6`), {
      times: { drainBudgetMinMs: 300 },
    });
    await coordinator.until(() => coordinator.text() === 'done\n', 'output');
    await coordinator.crash();
    open();
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('exit code 6');
    expect(types()).toEqual(['started', 'output']);

    await coordinator.start();
    const again = runInProcess(coordinator, sh('echo must not run'), { spoolDirectory: spool });
    expect(await again.exitCode).toBe(6);
    expect(types()).toEqual(['started', 'output', 'exit']);
    expect(coordinator.connections.at(-1)?.hello?.wrapperId).toBe(coordinator.connections[0]?.hello?.wrapperId);
    expect(coordinator.connections.at(-1)?.hello?.bootId).not.toBe(coordinator.connections[0]?.hello?.bootId);
    expect(readdirSync(spool)).toEqual([]);
  });

  it('[SV6] an ack of a part of the rest does not count as an ack of everything', async () => {
    coordinator.ackDelayMs = 1000;
    const { exitCode, spool } = runInProcess(coordinator, sh('head -c 3000000 /dev/zero | tr "\\0" "x"; exit 5'), {
      times: { settledWaitMs: 20 },
    });
    expect(await exitCode).toBe(5);
    expect(coordinator.text().length).toBe(3_000_000);
    expect(lastEvent()).toMatchObject({ type: 'exit', data: { exitCode: 5 } });
    expect(readdirSync(spool)).toEqual([]);
  });
});
