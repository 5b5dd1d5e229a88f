/**
 * Goal: a first command, as a user types it, against the real stack. Method: the built CLI, its
 * stdout, stderr and exit code.
 */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

function holdfast(
  args: string[],
  onOutput: (stdout: string) => void = () => {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(ROOT, 'packages', 'holdfast', 'bin', 'holdfast.mjs'), ...args], {
      env: real.userEnv,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      onOutput(stdout);
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

it('holdfast run shows each stream as it is and ends as the job did', async () => {
  const { code, stdout, stderr } = await holdfast(['run', '--session', 's1', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
  expect(stdout).toBe('out\n');
  expect(stderr.split('\n')).toContain('err');
  expect(code).toBe(7);

  const { data } = await real.client.list('s1');
  expect(data).toHaveLength(1);
  expect(data[0]).toMatchObject({ status: 'failed', code: 'exit_nonzero', exitCode: 7, launcher: 'pool' });
  const events = await real.read('s1', data[0]?.id ?? '');
  const output = events.filter(({ type }) => type === 'output').map(({ data }) => [data.stream, data.text]);
  expect(output.sort()).toEqual([
    ['stderr', 'err\n'],
    ['stdout', 'out\n'],
  ]);
  expect(events.at(-1)).toMatchObject({ type: 'execution_failed', data: { code: 'exit_nonzero', exitCode: 7 } });
});

it('the job gets its env, cwd and stdin, knows which run it is, and has nothing of the wrapper', async () => {
  const { execution } = await real.client.start('s2', {
    command: ['sh', '-c', 'pwd; echo "$COLOUR"; cat; env | grep ^HOLDFAST | sort; exit 3'],
    cwd: '/',
    env: { COLOUR: 'green' },
    stdin: 'given\n',
  });
  const ended = await real.client.wait('s2', execution.id);
  const text = (await real.read('s2', execution.id))
    .filter(({ type }) => type === 'output')
    .map(({ data }) => data.text)
    .join('');
  const page = `${real.proxy.url}/sessions/s2/executions/${execution.id}`;
  const deadline = (ended.startedAt ?? 0) + ended.policy.maxRuntimeMs;
  expect(text).toBe(
    `/\ngreen\ngiven\nHOLDFAST=1\nHOLDFAST_DEADLINE=${deadline}\nHOLDFAST_EXECUTION=${execution.id}\nHOLDFAST_RUN_URL=${page}\nHOLDFAST_SESSION=s2\n`,
  );
  expect(ended.exitCode).toBe(3);
});

it('an interrupt ends the job and is not a failure', async () => {
  const { execution } = await real.client.start('s3', { command: ['sleep', '600'] });
  for await (const { type } of real.follow('s3', execution.id)) if (type === 'started') break;
  await real.client.interrupt('s3', execution.id, { reason: 'enough' });
  expect(await real.client.wait('s3', execution.id)).toMatchObject({ status: 'interrupted' });
});

it('[SPL24] the lines of a run are numbered, both streams together, as a reader of the whole log counts them', async () => {
  const script =
    'for i in $(seq 1 400); do echo "out $i"; if [ $((i % 7)) = 0 ]; then echo "err $i" >&2; fi; done; printf "no end"';
  await holdfast(['run', '--session', 's4', '--id', 'numbered', '--', 'sh', '-c', script]);
  let begun = 0;
  const open = new Set<unknown>();
  for (const { type, data } of await real.read('s4', 'numbered')) {
    if (type !== 'output') continue;
    const text = String(data.text);
    const begins = (text.match(/\n/g)?.length ?? 0) + (text.endsWith('\n') ? 0 : 1) - (open.has(data.stream) ? 1 : 0);
    expect(data.line).toBe(begins > 0 ? begun + 1 : undefined);
    begun += begins;
    if (text.endsWith('\n')) open.delete(data.stream);
    else open.add(data.stream);
  }
  expect(begun).toBe(400 + 57 + 1);
});

it('a shared link reads its run and no other, and a deleted session is gone for those who follow it', async () => {
  for (const id of ['shared', 'private']) await holdfast(['run', '--session', 's5', '--id', id, '--', 'echo', id]);
  const { code, stdout } = await holdfast(['open', 's5/shared', '--share', '--ttl', '1m']);
  expect(code).toBe(0);
  const [page, ticket] = stdout.trim().split('#ticket=');
  expect(page).toBe(`${real.stack.url}/sessions/s5/executions/shared`);
  const read = (id: string) =>
    fetch(`${real.stack.url}/v1/sessions/s5/executions/${id}/log?ticket=${ticket}`).then(async (answer) => [
      answer.status,
      answer.ok ? await answer.text() : '',
    ]);
  expect(await read('shared')).toEqual([200, 'shared\n']);
  expect((await read('private'))[0]).toBe(401);

  await holdfast(['run', '--detach', '--session', 's5', '--id', 'active', '--', 'sh', '-c', 'echo up; exec sleep 600']);
  let shown = '';
  const following = holdfast(['logs', '-f', 's5/active'], (stdout) => {
    shown = stdout;
  });
  await until(() => shown === 'up\n', 'it follows');
  expect(await holdfast(['delete', 's5'])).toMatchObject({ code: 2, stdout: '' });
  expect(await holdfast(['delete', '--yes', 's5'])).toMatchObject({ code: 0, stdout: '' });
  const followed = await following;
  expect(followed.code).toBe(125);
  expect(followed.stderr).toContain('session s5 was deleted');
  expect((await holdfast(['list', '--session', 's5', '--json'])).code).toBe(125);
});

it('holdfast list without a session has each session with its newest run', async () => {
  await holdfast(['run', '--session', 's6', '--id', 'only', '--', 'true']);
  const { code, stdout } = await holdfast(['list', '--json']);
  expect(code).toBe(0);
  const { data } = JSON.parse(stdout) as { data: { id: string; execution: { id: string; status: string } | null }[] };
  expect(data.find(({ id }) => id === 's6')).toMatchObject({ execution: { id: 'only' } });
});
