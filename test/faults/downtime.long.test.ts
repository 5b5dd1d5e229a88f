/**
 * Goal: a coordinator that dies while a wrapper is cut off, and stays down for longer than the
 * grace, does not end the job (LIF33).
 * Method: the real stack; the grace is short, so that it passes while the coordinator is down.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DOWNTIME_MS } from '../../src/core/lifecycle.ts';
import { RealStack, until } from '../support/real-stack.ts';

const GRACE_MS = 2000;
const LINES = 700;
const JOB = `
let n = 0;
const timer = setInterval(() => {
  console.log(++n);
  if (n === ${LINES}) clearInterval(timer);
}, 20);
`;

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

it('[LIF33] a coordinator that dies while a wrapper is cut off, and is down for longer than the grace, does not end the job, and nothing is lost', async () => {
  await real.client.start('downtime', {
    id: 'e1',
    command: [process.execPath, '-e', JOB],
    policy: { heartbeatMs: 500, silenceTimeoutMs: 5000, disconnectGraceMs: GRACE_MS },
  });
  for await (const { type } of real.follow('downtime', 'e1')) if (type === 'output') break;
  real.proxy.refuse();
  expect(real.proxy.cut()).toBe(1);
  await until(async () => (await real.client.get('downtime', 'e1')).connected === false, 'the grace has begun');
  const { graceUntil = 0 } = await real.client.get('downtime', 'e1');
  await real.stack.kill();
  real.proxy.accept();
  // The downtime itself is under test.
  await sleep(Math.max(0, graceUntil + DOWNTIME_MS + 500 - Date.now()));
  await real.stack.restart();

  expect(await real.client.wait('downtime', 'e1')).toMatchObject({ status: 'completed', exitCode: 0 });
  const events = await real.read('downtime', 'e1');
  const text = events
    .filter(({ type }) => type === 'output')
    .map(({ data }) => data.text)
    .join('');
  expect(text).toBe(Array.from({ length: LINES }, (_, index) => `${index + 1}\n`).join(''));
  const types = events.map(({ type }) => type);
  expect(types.filter((type) => type === 'execution_deadline_renewed')).toHaveLength(1);
  expect(types.filter((type) => type === 'wrapper_reconnected')).toHaveLength(1);
});
