/** Goal: a first command, as a user types it, against the real stack. Method: the built CLI, its stdout, stderr and exit code. */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { RealStack } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

function holdfast(args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(ROOT, 'bin', 'holdfast.mjs'), ...args], {
      env: real.userEnv,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
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
  expect(data[0]).toMatchObject({ status: 'failed', code: 'exit_nonzero', exitCode: 7, launcher: 'runner' });
  const events = await real.read('s1', data[0]?.id ?? '');
  const output = events.filter(({ type }) => type === 'output').map(({ data }) => [data.stream, data.text]);
  expect(output.sort()).toEqual([
    ['stderr', 'err\n'],
    ['stdout', 'out\n'],
  ]);
  expect(events.at(-1)).toMatchObject({ type: 'execution_failed', data: { code: 'exit_nonzero', exitCode: 7 } });
});

it('the job gets its env, cwd and stdin, and nothing of the wrapper', async () => {
  const { execution } = await real.client.start('s2', {
    command: ['sh', '-c', 'pwd; echo "$COLOUR"; cat; env | grep -c ^HOLDFAST_'],
    cwd: '/',
    env: { COLOUR: 'green' },
    stdin: 'given\n',
  });
  const ended = await real.client.wait('s2', execution.id);
  const text = (await real.read('s2', execution.id))
    .filter(({ type }) => type === 'output')
    .map(({ data }) => data.text)
    .join('');
  expect(text).toBe('/\ngreen\ngiven\n0\n');
  expect(ended.status).toBe('failed'); // grep found none.
});

it('an interrupt ends the job and is not a failure', async () => {
  const { execution } = await real.client.start('s3', { command: ['sleep', '600'] });
  for await (const { type } of real.follow('s3', execution.id)) if (type === 'started') break;
  await real.client.interrupt('s3', execution.id, { reason: 'enough' });
  expect(await real.client.wait('s3', execution.id)).toMatchObject({ status: 'interrupted' });
});
