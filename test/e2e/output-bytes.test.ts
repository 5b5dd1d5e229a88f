/**
 * Goal: what a job printed is what its readers get, byte for byte, against the real stack. Method:
 * the built CLI and the HTTP log; digests of what the job wrote and of what was read.
 */

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RealStack } from '../support/real-stack.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

let real: RealStack;
let file: string;
const bytes = randomBytes(2_000_000);
const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

beforeAll(async () => {
  real = await RealStack.start();
  file = join(temporaryFolder(), 'random.bin');
  writeFileSync(file, bytes);
});
afterAll(async () => {
  await real?.close();
  removeTemporaryFolders();
});

it('run --bytes, logs, and the log over HTTP give the bytes of the job', async () => {
  const ran = await real.holdfast('run', '-q', '--bytes', '-s', 'b1', '--id', 'e1', '--', 'cat', file);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(sha256(ran.stdout)).toBe(sha256(bytes));
  expect(await real.client.get('b1', 'e1')).toMatchObject({ status: 'completed', output: 'bytes' });

  const logs = await real.holdfast('logs', '-q', 'b1/e1');
  expect(sha256(logs.stdout)).toBe(sha256(bytes));

  const { HOLDFAST_URL: url, HOLDFAST_API_KEY: key } = real.userEnv as Record<string, string>;
  const answer = await fetch(`${url}/v1/sessions/b1/executions/e1/log`, { headers: { authorization: `Bearer ${key}` } });
  expect(answer.headers.get('content-type')).toBe('application/octet-stream');
  expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(sha256(bytes));
});

it('without --bytes the difference is reported, with the option to use', async () => {
  const ran = await real.holdfast('run', '-q', '--', 'cat', file);
  expect(ran.code).toBe(0);
  expect(sha256(ran.stdout)).not.toBe(sha256(bytes));
  expect(ran.stdout.toString()).toBe(bytes.toString());
  expect(ran.stderr).toMatch(
    /^holdfast: \d+ bytes of the output were not UTF-8 and were replaced by U\+FFFD; `holdfast run --bytes`/,
  );
});

it('run --merge gives both streams in the order written', async () => {
  const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo out$i; echo err$i >&2; done; exit 4';
  const ran = await real.holdfast('run', '-q', '--merge', '--', 'sh', '-c', script);
  expect(ran.stdout.toString()).toBe(Array.from({ length: 10 }, (_, n) => `out${n + 1}\nerr${n + 1}\n`).join(''));
  expect(ran.stderr).toBe('');
  expect(ran.code).toBe(4);
});
