/**
 * Goal: the limits of wrangler.toml are those that the runtime's own binding keeps. A user of the
 * command line over them waits and succeeds. A job is not affected by them, and neither are its
 * wrapper and a right key while keys are guessed from the same address.
 * Method: the real stack with low limits. Its limiters count in windows of the clock, so that a
 * test may meet the end of one: what is expected holds for any.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { copyPrograms, ROOT } from '../../scripts/stack.ts';
import { result } from '../support/cli-call.ts';
import { RealStack } from '../support/real-stack.ts';

const CHANGES = 3;
const REFUSED = 3;

let folder: string;
let real: RealStack;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-rates-'));
  const programs = join(folder, 'programs');
  copyPrograms(programs);
  const config = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const low = config
    .replace(/(name = "RATE_CHANGES"\n.*\nsimple = \{ limit = )\d+/, `$1${CHANGES}`)
    .replace(/(name = "RATE_REFUSED_KEYS"\n.*\nsimple = \{ limit = )\d+/, `$1${REFUSED}`);
  expect(low).not.toBe(config);
  writeFileSync(join(programs, 'wrangler.toml'), low);
  real = await RealStack.start({ root: programs });
});
afterAll(async () => {
  await real?.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

it('[HTTP25] more commands at once than the limit allows wait for their turn, and all get through', async () => {
  const began = Date.now();
  const commands = Array.from({ length: CHANGES * 2 + 2 }, (_, index) =>
    result(real.stack.url, ['run', '-d', '-s', `rate-${index}`, '--id', 'e1', '--', process.execPath, '-e', 'console.log(1)'], {
      env: { HOLDFAST_API_KEY: real.stack.apiKey },
    }),
  );
  const results = await Promise.all(commands);
  expect(results.map(({ code, err }) => [code, code === 0 ? '' : err])).toEqual(results.map(() => [0, '']));
  // Three windows of three: the second is a whole one.
  expect(results.some(({ err }) => err.includes('Too many changes by this tenant') && err.includes('trying again'))).toBe(true);
  expect(Date.now() - began).toBeGreaterThan(5000);
  for (const index of results.keys()) {
    expect(await real.client.wait(`rate-${index}`, 'e1')).toMatchObject({ status: 'completed', exitCode: 0 });
  }
});

it('[HTTP26] a guesser is rate limited; a right key from its address is accepted, and the wrapper of a job too', async () => {
  const release = join(folder, 'release');
  await real.client.start('guessed', { id: 'e1', command: ['sh', '-c', `until [ -e '${release}' ]; do echo on; sleep 0.2; done`] });
  const ask = (key: string) =>
    fetch(`${real.stack.url}/v1/sessions/guessed/executions/e1`, { headers: { authorization: `Bearer ${key}` } });
  // In the worst case a window ends in between.
  const answers: Response[] = [];
  for (let guess = 0; guess < 2 * REFUSED + 2; guess += 1) answers.push(await ask(`a-wrong-api-key-${guess}`));
  expect(answers.slice(0, REFUSED).map(({ status }) => status)).toEqual(Array(REFUSED).fill(401));
  const limited = answers.find(({ status }) => status === 429);
  expect(limited?.headers.get('retry-after')).toBe('10');
  expect(await limited?.json()).toMatchObject({ code: 'rate_limited', retryable: true });
  expect((await ask(real.stack.apiKey)).status).toBe(200);

  writeFileSync(release, '');
  expect(await real.client.wait('guessed', 'e1')).toMatchObject({ status: 'completed', epoch: 1 });
  const events = await real.read('guessed', 'e1');
  expect(events.filter(({ type }) => type.startsWith('wrapper_')).map(({ type }) => type)).toEqual(['wrapper_connected']);
});
