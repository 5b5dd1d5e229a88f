/**
 * Goal: commands that an agent runs through the bridge: their output, their ends, and that none is
 * left behind.
 * Method: real commands.
 */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { TERMINAL_BYTES_MAX, TERMINALS_MAX, type Terminal, Terminals } from '../../acp/terminals.ts';
import { until } from '../support/wrapper-run.ts';

let terminals: Terminals;
beforeEach(() => {
  terminals = new Terminals({ killAfterMs: 200, outputWaitMs: 200 });
});
afterEach(() => terminals.close());

async function start(
  command: string,
  more: { args?: string[]; bytesMax?: number; env?: Record<string, string> } = {},
): Promise<Terminal> {
  const { args = [], env = {}, bytesMax = null } = more;
  const id = await terminals.create({ command, args, env, cwd: '/', outputBytesMax: bytesMax });
  return terminals.get(id ?? '') as Terminal;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

it('a program with arguments, and a line for a shell', async () => {
  const program = await start('printf', { args: ['%s|', 'a b', '$HOME'] });
  await program.exit;
  expect(program.output).toEqual({ output: 'a b|$HOME|', truncated: false, exitStatus: { exitCode: 0, signal: null } });
  const line = await start('echo "$GREETING"; pwd; echo err >&2; exit 3', { env: { GREETING: 'hello' } });
  expect(await line.exit).toEqual({ exitCode: 3, signal: null });
  expect(line.output.output.split('\n').sort()).toEqual(['', '/', 'err', 'hello']);
});

it('a program that does not exist is an error, and takes no place', async () => {
  await expect(start('/no/such/program', { args: ['x'] })).rejects.toThrow('ENOENT');
  expect(terminals.get('terminal-1')).toBeNull();
});

it('stdin is empty', async () => {
  const cat = await start('cat', { args: ['-'] });
  expect(await cat.exit).toEqual({ exitCode: 0, signal: null });
});

it('[ACP6] the newest output is kept, whole characters of it', async () => {
  const short = await start('printf', { args: ['abcdé'], bytesMax: 5 });
  await short.exit;
  expect(short.output).toMatchObject({ output: 'bcdé', truncated: true });
  const cut = await start('printf', { args: ['aéé'], bytesMax: 3 });
  await cut.exit;
  expect(cut.output).toMatchObject({ output: 'é', truncated: true });
  const exact = await start('printf', { args: ['abc'], bytesMax: 3 });
  await exact.exit;
  expect(exact.output).toMatchObject({ output: 'abc', truncated: false });
  const much = await start(`yes 0123456789 | head -c ${3 * TERMINAL_BYTES_MAX}; printf END`, { bytesMax: 10 * TERMINAL_BYTES_MAX });
  await much.exit;
  const { output, truncated } = much.output;
  expect([output.length, output.endsWith('END'), truncated]).toEqual([TERMINAL_BYTES_MAX, true, true]);
});

it('[ACP6] kill ends the command with all that it started, and keeps its output', async () => {
  const terminal = await start('trap "" TERM; echo $$; sleep 300 & echo $!; wait; wait');
  await until(() => terminal.output.output.split('\n').length === 3, 'both pids');
  const pids = terminal.output.output.trim().split('\n').map(Number);
  terminal.kill();
  expect(await terminal.exit).toEqual({ exitCode: null, signal: 'SIGKILL' });
  await until(() => !pids.some(isAlive), 'their end');
  expect(terminal.output.exitStatus).toEqual({ exitCode: null, signal: 'SIGKILL' });
});

it('a process that a command leaves behind does not hold its end, and ends with the terminal', async () => {
  const terminal = await start('sleep 300 & echo $!');
  expect(await terminal.exit).toEqual({ exitCode: 0, signal: null });
  const pid = Number(terminal.output.output);
  expect(isAlive(pid)).toBe(true);
  await terminals.close();
  await until(() => !isAlive(pid), 'its end');
});

it('[ACP6] an agent that wants little output hides nothing from the log', async () => {
  const none = await start('echo said', { bytesMax: 0 });
  await none.exit;
  expect(none.output).toMatchObject({ output: '', truncated: true });
  expect(none.tail(100)).toEqual({ output: 'said\n', truncated: false });
});

it('[ACP6] no command is started when the others have ended', async () => {
  await terminals.close();
  await expect(start('sleep 300')).rejects.toThrow('the run ends');
});

it(`${TERMINALS_MAX} are open at a time, and a released one is gone`, async () => {
  const ids: (string | null)[] = [];
  const one = () => terminals.create({ command: 'true', args: [], env: {}, cwd: '/', outputBytesMax: null });
  for (let made = 0; made <= TERMINALS_MAX; made += 1) ids.push(await one());
  expect(ids.filter((id) => id === null)).toHaveLength(1);
  expect(terminals.release(ids[0] as string)).toBe(true);
  expect(terminals.release(ids[0] as string)).toBe(false);
  expect(terminals.get(ids[0] as string)).toBeNull();
  expect(await one()).not.toBeNull();
});
