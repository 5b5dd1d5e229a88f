/**
 * Goal: a terminal through the whole stack: keys, sizes, a late viewer, the log, the end. Method:
 * the real stack and the client; a shell as the job.
 */

import { afterAll, beforeAll, expect, it } from 'vitest';
import { isEvent } from '../../client/index.ts';
import { RealStack } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(async () => {
  await real?.close();
});

it('a shell answers keys, follows its size, and ends as it ended; a late viewer begins with its screen', async () => {
  const { execution } = await real.client.start('t1', {
    id: 'e1',
    command: ['bash', '--norc', '--noprofile'],
    env: { PS1: '$ ' },
    terminal: { cols: 80, rows: 24 },
  });
  expect(execution).toMatchObject({ terminal: { cols: 80, rows: 24 }, openStdin: true });
  const run = real.client.execution('t1', 'e1');
  let text = '';
  let screens = 0;
  const stream = real.follow('t1', 'e1');
  const reading = (async () => {
    for await (const event of stream) {
      if (isEvent(event, 'output')) text += event.data.text;
      if (isEvent(event, 'screen')) screens += 1;
    }
  })();
  const until = (done: () => boolean, what: string) =>
    expect.poll(done, { timeout: 40_000, interval: 20, message: `${what}: ${JSON.stringify(text.slice(-200))}` }).toBe(true);

  await until(() => text.includes('$ '), 'a prompt');
  await run.send({ text: 'stty size\r' });
  await until(() => text.includes('24 80'), 'the first size');
  expect(await run.resize({ cols: 100, rows: 30 })).toEqual({ terminal: { cols: 100, rows: 30 }, changed: true });
  await run.send({ text: 'stty size\r' });
  await until(() => text.includes('30 100'), 'the second size');
  await run.send({ text: 'seq 1 4000; echo "the $((1 + 1))nd screen"\r' });
  await until(() => text.includes('the 2nd screen'), 'much output');
  await until(() => screens > 0, 'a screen');

  const late = real.client.events('t1', { execution: 'e1', from: 'screen' });
  for await (const event of late) {
    expect(event.type).toBe('screen');
    expect(event.data).toMatchObject({ cols: 100, rows: 30, data: expect.stringContaining('the 2nd screen') });
    break;
  }
  late.close();

  await run.send({ text: 'exit 7\r' });
  expect(await run.wait()).toMatchObject({ status: 'failed', exitCode: 7, terminal: { cols: 100, rows: 30 } });
  await reading;
  const events = await real.read('t1', 'e1');
  const inputs = events.filter((event) => event.type === 'input').map(({ data }) => data);
  expect(inputs).toHaveLength(4);
  for (const input of inputs) expect(Object.keys(input).sort()).toEqual(['by', 'bytes']);
  expect(events.filter(({ type }) => type === 'resize').map(({ data }) => data)).toMatchObject([{ cols: 100, rows: 30 }]);
});
