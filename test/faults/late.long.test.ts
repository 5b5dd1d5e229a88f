/**
 * Goal: a wrapper that is cut off for longer than its grace loses nothing of its job (LIF38).
 * Method: the real stack. The connection is cut, the job prints its result and ends, the
 * coordinator writes its verdict, and only then the network is back.
 */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

const spooledLines = () =>
  readdirSync(real.folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ndjson'));

it('[LIF38] the result of a job whose wrapper was away for longer than the grace is in the log, marked late; the verdict stays; the spool is removed', async () => {
  const gate = join(real.folder, 'open');
  const script = `echo before; until [ -e '${gate}' ]; do sleep 0.1; done; for n in 1 2 3 4 5 6 7 8 9; do echo "line $n"; done; echo RESULT`;
  await real.client.start('late', {
    id: 'e1',
    command: ['sh', '-c', script],
    policy: { heartbeatMs: 500, silenceTimeoutMs: 5000, disconnectGraceMs: 5000 },
  });
  for await (const { type } of real.follow('late', 'e1')) if (type === 'output') break;
  real.proxy.refuse();
  expect(real.proxy.cut()).toBe(1);
  writeFileSync(gate, '');
  const verdict = await real.client.wait('late', 'e1');
  expect(verdict).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
  expect(verdict.late).toBeUndefined();
  expect(spooledLines()).not.toEqual([]);
  real.proxy.accept();

  const after = await until(async () => {
    const execution = await real.client.get('late', 'e1');
    return execution.late?.exitCode === 0 ? execution : null;
  }, 'the late result');
  const { late, logBytes: _, epoch: __, ...unchanged } = after;
  const { logBytes: ___, epoch: ____, ...before } = verdict;
  expect(unchanged).toEqual(before);
  const events = await real.read('late', 'e1');
  const text = (isLate: boolean) =>
    events.flatMap(({ type, data, late }) => (type === 'output' && (late ?? false) === isLate ? [data.text] : [])).join('');
  expect(text(false)).toBe('before\n');
  expect(text(true)).toBe(`${Array.from({ length: 9 }, (_, n) => `line ${n + 1}\n`).join('')}RESULT\n`);
  expect(late).toMatchObject({ events: events.filter((event) => event.late).length, exitCode: 0, signal: null });
  await until(() => spooledLines().length === 0, 'the removal of the spool');
});
