/**
 * Goal: holdfast-acp as a process beside a real process of an agent: signals, agents that do not
 * begin, and that nothing is left running.
 * Method: test/support/acp-agent.mjs, which does what its prompt says.
 */

import { readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { AcpRuns, acpAgent } from '../support/acp-run.ts';
import { removeTemporaryFolders, until } from '../support/wrapper-run.ts';

const runs = new AcpRuns();
afterEach(() => runs.end());
afterAll(removeTemporaryFolders);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

it.each([
  ['two of SIGINT', ['SIGINT', 'SIGINT'], 130],
  ['SIGTERM', ['SIGTERM'], 143],
  ['SIGHUP', ['SIGHUP'], 143],
] as const)('[ACP7] %s end an agent that ignores them, and the commands that run for it', async (_, signals, code) => {
  const run = runs.start(['--terminal', '--prompt', 'run echo pid $$; (sleep 300) & sleep 300', ...acpAgent()]);
  await until(() => run.out.includes('terminal/wait_for_exit'), 'the command');
  const children = (): number[] =>
    readFileSync(`/proc/${run.child.pid}/task/${run.child.pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  // The agent and its command.
  await until(() => children().length === 2, 'both processes');
  const pids = children();
  for (const signal of signals) run.child.kill(signal);
  expect(await run.exit).toBe(code);
  await until(() => !pids.some(isAlive), 'their end');
});

it('an agent that is deaf to cancel, to the end of stdin and to SIGTERM is killed', async () => {
  const run = runs.start(['--prompt', 'say begun\ndeaf', ...acpAgent()]);
  await until(() => run.out.includes('begun'), 'the turn');
  run.child.kill('SIGINT');
  run.child.kill('SIGINT');
  expect(await run.exit).toBe(130);
});

it('SIGKILL of the bridge: the agent reads the end of its stdin', async () => {
  const run = runs.start(['--prompt', 'say begun\nwait', ...acpAgent()]);
  await until(() => run.out.includes('begun'), 'the turn');
  const [pid] = readFileSync(`/proc/${run.child.pid}/task/${run.child.pid}/children`, 'utf8').split(' ').map(Number);
  run.child.kill('SIGKILL');
  await until(() => !isAlive(pid as number), 'the end of the agent');
});

describe('[ACP8] agents that do not begin', () => {
  const ends = async (args: readonly string[]): Promise<[code: unknown, err: string]> => {
    const run = runs.start(['--prompt', 'go', ...args]);
    return [await run.exit, run.err];
  };

  it('a program that does not exist', async () => {
    expect(await ends(['--', '/no/such/agent'])).toEqual([3, expect.stringContaining('agent cannot be started')]);
  });

  it('one that prints something else and ends', async () => {
    expect(await ends(['--', 'echo', 'Usage: echo'])).toEqual([
      3,
      expect.stringMatching(/echo ended with exit code 0 before it had opened a session, and printed .*"Usage: echo".*--acp/),
    ]);
  });

  it('one that never answers, with and without output', async () => {
    const silent = ['--start-timeout', '2', ...acpAgent({ isSilent: true, prints: ['Hello! How can I help?'] })];
    expect(await ends(silent)).toEqual([
      3,
      expect.stringMatching(/did not answer `initialize` within 2 s.*"Hello!.*--start-timeout/),
    ]);
    expect(await ends(['--start-timeout', '1', '--', 'sleep', '300'])).toEqual([3, expect.stringContaining('within 1 s')]);
  });

  it('one that ends at once', async () => {
    expect(await ends(['--', 'false'])).toEqual([3, expect.stringContaining('false ended with exit code 1')]);
  });

  it('one of another version of the protocol', async () => {
    expect(await ends(acpAgent({ protocolVersion: 2 }))).toEqual([3, expect.stringContaining('speaks version 2 of ACP')]);
  });

  it('one that needs a login', async () => {
    const settings = { needsLogin: 'key', authMethods: [{ id: 'key', name: 'API key' }] };
    expect(await ends(acpAgent(settings))).toEqual([4, expect.stringContaining('key: API key')]);
  });
});
