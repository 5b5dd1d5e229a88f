/**
 * Goal: deleting a session ends what runs in it, all the way to the job's own process, and takes it
 * out of its tenant's list. Method: the real stack; the job is looked for among the processes of
 * this machine.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { processesWith, RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${real.stack.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${real.stack.apiKey}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
}

it('[HTTP23] [CLS5] the job is stopped, the session is gone from everywhere, and its name is free again', async () => {
  const mark = join(real.folder, 'this-job-of-ours');
  const command = [process.execPath, '-e', 'setInterval(() => console.log(process.argv[1]), 200)', mark];
  const job = () => processesWith(mark).filter(({ command: line }) => line.includes('setInterval'));
  expect((await ask('POST', '/v1/sessions/doomed/executions', { id: 'e1', command })).status).toBe(201);
  await until(() => job().length > 0, 'the job');
  await until(async () => {
    const { body } = await ask('GET', '/v1/sessions?status=running');
    return (body.data as { id: string }[]).some(({ id }) => id === 'doomed');
  }, 'its entry in the list');

  expect((await ask('DELETE', '/v1/sessions/doomed')).status).toBe(204);
  expect((await ask('GET', '/v1/sessions/doomed')).body).toMatchObject({ code: 'session_not_found' });
  expect((await ask('GET', '/v1/sessions')).body).toEqual({ data: [], next: null });
  await until(() => job().length === 0, 'the end of the job');
  await until(() => processesWith(mark).length === 0, 'the end of its wrapper');

  const again = await ask('POST', '/v1/sessions/doomed/executions', { id: 'e2', command: ['true'] });
  expect(again.status).toBe(201);
  const done = await ask('GET', '/v1/sessions/doomed/executions/e2?wait=30');
  expect(done.body).toMatchObject({ status: 'completed', firstOffset: 1 });
});
