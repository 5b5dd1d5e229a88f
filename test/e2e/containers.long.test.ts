/**
 * Goal: launcher `container`, from the start request to the verdict, through every failure of a
 * container (docs/containers.md). Method: the real Worker under `wrangler dev`, real runners,
 * wrappers and jobs. Only the platform's container engine is replaced
 * (test/support/container-engine.ts), because this machine has none.
 */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { ROOT, Stack } from '../../scripts/stack.ts';
import { identityOf, isAlive, type ProcessIdentity } from '../../wrapper/processes.ts';
import { ContainerEngine } from '../support/container-engine.ts';
import { endJobsIn } from '../support/held-jobs.ts';
import { until } from '../support/real-stack.ts';

let folder: string;
let engine: ContainerEngine;
let stack: Stack;
let client: HoldfastClient;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-containers-'));
  engine = await ContainerEngine.open(join(folder, 'engine'));
  stack = await Stack.start({
    data: join(folder, 'data'),
    root: rootWithStandIn(),
    variables: { HOLDFAST_CONTAINERS: '1', HOLDFAST_LAUNCHER: 'container', TEST_ENGINE_URL: engine.url },
  });
  client = createClient({ url: stack.url, apiKey: stack.apiKey });
});

afterAll(async () => {
  await stack?.stop();
  await engine?.close();
  endJobsIn(folder);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** The repository's Worker, with test/workers/support/container-worker.ts as its entry. */
function rootWithStandIn(): string {
  const root = join(folder, 'root');
  mkdirSync(root);
  for (const folder of ['wrapper', 'runner']) symlinkSync(join(ROOT, folder), join(root, folder));
  if (existsSync(join(ROOT, 'dist', 'dashboard')))
    cpSync(join(ROOT, 'dist', 'dashboard'), join(root, 'dist', 'dashboard'), { recursive: true });
  const config = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const entry = join(ROOT, 'test', 'workers', 'support', 'container-worker.ts');
  writeFileSync(join(root, 'wrangler.toml'), config.replace('main = "src/index.ts"', `main = ${JSON.stringify(entry)}`));
  return root;
}

const named = (session: string): string => `local/${session}`;

async function start(session: string, script: string): Promise<string> {
  const { execution } = await client.start(session, { command: ['sh', '-c', script] });
  expect(execution.launcher).toBe('container');
  return execution.id;
}

/** Once it has said something: the pid of the job. */
async function running(session: string, id: string): Promise<ProcessIdentity> {
  const pid = await until(async () => {
    const { events } = await client.readEvents(session, { after: 0, limit: 1000 });
    const own = events.filter(({ execution }) => execution === id);
    return own.some(({ type }) => type === 'output') ? Number(own.find(({ type }) => type === 'started')?.data.pid) : null;
  }, `${id} runs`);
  return identityOf(pid) as ProcessIdentity;
}

const wait = (session: string, id: string) => client.wait(session, id);

async function log(session: string, id: string): Promise<string> {
  const answer = await fetch(`${stack.url}/v1/sessions/${session}/executions/${id}/log`, {
    headers: { authorization: `Bearer ${stack.apiKey}` },
  });
  return answer.text();
}

const numbers = (count: number): string => Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');

it.concurrent('a run in a container completes with all of its output, and the next one of the session uses the same container', async () => {
  const first = await start('twice', 'seq 1 2000');
  expect(await wait('twice', first)).toMatchObject({ status: 'completed', exitCode: 0 });
  expect(await log('twice', first)).toBe(numbers(2000));
  const second = await start('twice', 'echo second');
  expect(await wait('twice', second)).toMatchObject({ status: 'completed' });
  expect(await log('twice', second)).toBe('second\n');
  expect(engine.of(named('twice'))).toHaveLength(1);
  const [container] = engine.of(named('twice'));
  expect(container?.env).toMatchObject({ HOLDFAST_RUNNER_DRAIN: '1', HOLDFAST_RUNNER_PORT: '8788' });
  expect(container?.env.HOLDFAST_RUNNER_TOKEN).toMatch(/^[0-9a-f]{48}$/);
});

it.concurrent('[LIF32] a container that is killed fails what ran in it as container_stopped; the next start brings another container', async () => {
  const id = await start('killed', 'echo up; sleep 600');
  const job = await running('killed', id);
  await engine.kill(named('killed'));
  expect(isAlive(job)).toBe(false);
  expect(await wait('killed', id)).toMatchObject({ status: 'failed', code: 'container_stopped' });
  expect(await log('killed', id)).toBe('up\n');
  const next = await start('killed', 'echo again');
  expect(await wait('killed', next)).toMatchObject({ status: 'completed' });
  const [first, second] = engine.of(named('killed'));
  expect(engine.of(named('killed'))).toHaveLength(2);
  expect(second?.env.HOLDFAST_RUNNER_TOKEN).not.toBe(first?.env.HOLDFAST_RUNNER_TOKEN);
});

it.concurrent('[SPL27] a stopped container ends its runs as interrupted, with the reason and their last output', async () => {
  const id = await start('drained', 'trap "echo saved; exit 1" TERM; echo up; while :; do sleep 0.1; done');
  await running('drained', id);
  const [container] = engine.of(named('drained'));
  await engine.terminate(named('drained'));
  expect(container?.exitCode).toBe(0);
  expect(await wait('drained', id)).toMatchObject({ status: 'interrupted', reason: 'the container was told to stop' });
  // Between them a shell may say that its sleep was terminated.
  expect(await log('drained', id)).toMatch(/^up\n(?:Terminated\n)?saved\n$/);
});

it.concurrent('a session that is deleted takes its container with it', async () => {
  const id = await start('deleted', 'echo up; sleep 600');
  const job = await running('deleted', id);
  await client.deleteSession('deleted');
  expect(engine.destroyed).toContain(named('deleted'));
  expect(engine.running(named('deleted'))).toBeNull();
  await until(() => !isAlive(job), 'the job is gone');
});

it.concurrent('an execution that is interrupted ends in its container, which stays', async () => {
  const id = await start('interrupted', 'echo up; sleep 600');
  await running('interrupted', id);
  await client.interrupt('interrupted', id, { reason: 'enough' });
  expect(await wait('interrupted', id)).toMatchObject({ status: 'interrupted', reason: 'enough' });
  expect(engine.running(named('interrupted'))).not.toBeNull();
});

it('a coordinator that is killed and restarted finds its container: the job continues, and the next one runs next to it', async () => {
  const id = await start('restarted', 'echo up; while ! test -e done; do sleep 0.1; done; echo end');
  await running('restarted', id);
  await stack.restart();
  const [container] = engine.of(named('restarted'));
  writeFileSync(join(container?.disk ?? '', 'done'), '');
  expect(await wait('restarted', id)).toMatchObject({ status: 'completed' });
  expect(await log('restarted', id)).toBe('up\nend\n');
  const next = await start('restarted', 'echo next');
  expect(await wait('restarted', next)).toMatchObject({ status: 'completed' });
  expect(engine.of(named('restarted'))).toHaveLength(1);
});
