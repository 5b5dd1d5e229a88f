/**
 * Goal: however `holdfast dev` ends, no process is left for long, and what a run printed and how it
 * ended is in its log at the latest after the next start on the same folder.
 * Method: the built command line as a process; SIGTERM, SIGKILL and a power cut (SIGKILL to all of
 * it), looking at the process table and at the logs. The first tests share one data folder, and
 * each ends the stack that the one before it started.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { ROOT } from '../../scripts/stack.ts';
import { type ProcessIdentity, processTree, signalProcess } from '../../wrapper/processes.ts';
import { processesWith, until } from '../support/real-stack.ts';

const CLI = join(ROOT, 'packages', 'holdfast', 'bin', 'holdfast.mjs');

let folder: string;
let data: string;
let env: NodeJS.ProcessEnv;

/** A cold start of wrangler on a busy machine is slow. */
const TIMEOUT = { timeout: 400_000 };

beforeAll(() => {
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  folder = mkdtempSync(join(tmpdir(), 'holdfast-dev-'));
  data = join(folder, 'data');
  env = { ...process.env, XDG_STATE_HOME: join(folder, 'state') };
}, 120_000);
afterAll(() => {
  for (const { pid } of processesWith(folder)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

interface Dev {
  child: ChildProcess;
  client: HoldfastClient;
  /** The output of a run so far. */
  printed: (session: string, id: string) => Promise<string>;
  stderr: () => string;
}

const ARGS = () => ['dev', '--json', '--port', '0', '--runner-port', '0', '--data', data];

async function dev(program = process.execPath, args = [CLI, ...ARGS()], cwd = folder): Promise<Dev> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  await until(() => stdout.includes('\n') || child.exitCode !== null, 'the line on stdout', 100_000);
  if (!stdout.includes('\n')) throw new Error(`it ended: ${stderr}`);
  const { url, apiKey } = JSON.parse(stdout) as { url: string; apiKey: string };
  const printed = async (session: string, id: string) => {
    const headers = { authorization: `Bearer ${apiKey}` };
    return (await fetch(`${url}/v1/sessions/${session}/executions/${id}/log`, { headers })).text();
  };
  return { child, client: createClient({ url, apiKey }), printed, stderr: () => stderr };
}

/** Starts a job and waits for its first line. */
async function start(stack: Dev, session: string, script: string): Promise<string> {
  const { execution } = await stack.client.start(session, { command: ['sh', '-c', script] });
  await until(async () => (await stack.printed(session, execution.id)).includes('ready'), 'the first line');
  return execution.id;
}

const end = async (stack: Dev): Promise<unknown> => {
  const ended = once(stack.child, 'exit');
  stack.child.kill('SIGTERM');
  return (await ended)[0];
};
const nothingLeft = () => until(() => processesWith(data).length === 0, 'no process is left', 60_000);

/** `workerd` has no argument that names the folder. */
const withDescendants = (processes: readonly { pid: number }[]): ProcessIdentity[] =>
  processes.flatMap(({ pid }) => processTree(pid));

/** Ignores SIGTERM; names the folder, so that it is found among the processes. */
const stubborn = () => `trap "echo asked" TERM; echo ready; while :; do sleep 0.1; done # ${data}`;

describe('holdfast dev', () => {
  let stack: Dev;

  it('after its SIGKILL the coordinator outlives the runner, which kills a stubborn job and reports it', TIMEOUT, async () => {
    const first = await dev();
    const id = await start(first, 'killed', stubborn());
    first.child.kill('SIGKILL');
    await nothingLeft();

    stack = await dev();
    // No time has passed in which it could be delivered now.
    expect(await stack.client.execution('killed', id).get()).toMatchObject({
      status: 'interrupted',
      reason: 'the runner was told to stop',
    });
    // The shell reports the end of its `sleep` too.
    expect(await stack.printed('killed', id)).toMatch(/^ready\n(Terminated\n)?asked\n$/);
  });

  it('after a power cut the next start delivers what is in the spool, on another port, and fails the run', TIMEOUT, async () => {
    const go = join(data, 'go');
    const script = `echo ready; until [ -e ${go} ]; do sleep 0.1; done; echo late; exec sleep 600 # ${data}`;
    const id = await start(stack, 'cut', script);
    // The coordinator takes nothing more.
    const isCoordinator = ({ command }: { command: string }) => /wrangler|workerd/.test(command) && !command.includes('keeper.mjs');
    for (const each of withDescendants(processesWith(data).filter(isCoordinator))) signalProcess(each, 'SIGSTOP');
    writeFileSync(go, '');
    // As an event: the command, which is kept beside the spool, has the word too.
    const spooled = () =>
      readdirSync(join(data, 'runner'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.parentPath.includes('spool'))
        .some((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').includes(String.raw`"late\n"`));
    await until(spooled, 'the line is in the spool');
    const all = withDescendants(processesWith(data));
    stack.child.kill('SIGKILL');
    for (const each of all) signalProcess(each, 'SIGKILL');
    await nothingLeft();

    stack = await dev();
    const execution = stack.client.execution('cut', id);
    expect(await execution.wait()).toMatchObject({ status: 'failed' });
    expect(await stack.printed('cut', id)).toMatch(/^ready\nlate\n\[holdfast: an unknown amount of output is missing here/);
  });

  it('at SIGTERM a job that does not stop is killed, and its lines and verdict are in its log', TIMEOUT, async () => {
    const id = await start(stack, 'ended', stubborn());
    expect(await end(stack)).toBe(0);
    expect(processesWith(data)).toEqual([]);

    stack = await dev();
    expect(await stack.client.execution('ended', id).get()).toMatchObject({ status: 'interrupted' });
    expect(await stack.printed('ended', id)).toMatch(/^ready\n(Terminated\n)?asked\n$/);
    expect(await end(stack)).toBe(0);
  });

  it('below npx it ends when npx is killed; a state folder that cannot be written costs the note alone', TIMEOUT, async () => {
    rmSync(join(folder, 'state'), { recursive: true });
    mkdirSync(join(folder, 'state', 'holdfast'), { recursive: true });
    writeFileSync(join(folder, 'state', 'holdfast', 'running'), 'in the way');
    // As installed by npm.
    const bin = join(folder, 'node_modules', '.bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
    writeFileSync(join(bin, 'holdfast'), `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n`, { mode: 0o755 });
    stack = await dev('npx', ['--no-install', 'holdfast', ...ARGS()]);
    expect(stack.stderr()).toMatch(/holdfast: other commands do not find this stack by themselves/);
    expect(processesWith(data).length).toBeGreaterThan(3);
    stack.child.kill('SIGKILL');
    await nothingLeft();
  });

  it('a folder of something else is a mistake in the call, and stays as it is', TIMEOUT, () => {
    const foreign = join(folder, 'foreign');
    mkdirSync(join(foreign, 'worker'), { recursive: true });
    const said = spawnSync(process.execPath, [CLI, 'dev', '--data', foreign], { env, encoding: 'utf8' });
    expect([said.status, said.stdout]).toEqual([2, '']);
    expect(said.stderr).toMatch(/^holdfast: .* has files that no local stack wrote\. Give --data/);
    expect(readdirSync(foreign)).toEqual(['worker']);
  });
});
