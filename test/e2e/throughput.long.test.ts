/**
 * Goal: 10,000 lines a second for ten seconds go through whole and in order, in bounded memory of
 * the wrapper. Method: a real command, wrapper, coordinator and viewer; the wrapper's resident
 * memory is sampled while it runs. Not measured: a remote coordinator. Here all of them share one
 * machine.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RealStack, until } from '../support/real-stack.ts';

const LINES_PER_SECOND = 10_000;
const SECONDS = 10;
const LINES = LINES_PER_SECOND * SECONDS;
/**
 * Node alone takes 50 to 70 MiB; the wrapper may hold some 16 MiB of events, and the collector
 * needs room to breathe.
 */
const RSS_MIB_MAX = 220;

/** Keeps to the rate over the whole time: what a slow moment held up is caught up with. */
const JOB = `
const begun = Date.now();
let written = 0;
const timer = setInterval(() => {
  const due = Math.min(${LINES}, Math.floor((Date.now() - begun) * ${LINES_PER_SECOND / 1000}));
  let text = '';
  while (written < due) text += 'line ' + String(++written).padStart(6, '0') + ' ' + 'x'.repeat(60) + '\\n';
  process.stdout.write(text);
  if (written === ${LINES}) clearInterval(timer);
}, 10);
`;

function residentMiB(pid: number): number {
  try {
    if (process.platform === 'linux') {
      const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return Number(kib ?? 0) / 1024;
    }
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024;
  } catch {
    return 0; // It has ended.
  }
}

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

it('keeps every one of 100,000 lines, in order, and its memory bounded', { timeout: 180_000 }, async () => {
  const { execution } = await real.client.start('s1', { id: 'e1', command: [process.execPath, '-e', JOB] });
  const pid = await until(() => real.run('s1', 'e1')?.pid, 'the wrapper is launched');

  let peakMiB = 0;
  let over = false;
  const sampling = (async () => {
    while (!over) {
      peakMiB = Math.max(peakMiB, residentMiB(pid));
      await sleep(50);
    }
  })();

  let rest = '';
  let expected = 1;
  let wrong: string | null = null;
  let events = 0;
  for await (const { type, data } of real.follow('s1', execution.id)) {
    if (type !== 'output') continue;
    events += 1;
    const lines = (rest + String(data.text)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.slice(0, 11) !== `line ${String(expected).padStart(6, '0')}`)
        wrong ??= `${line.slice(0, 30)} in place of ${expected}`;
      expected += 1;
    }
  }
  over = true;
  await sampling;

  const ended = await real.client.get('s1', execution.id);
  const tookMs = (ended.endedAt ?? 0) - (ended.startedAt ?? 0);
  process.stdout.write(
    `throughput: ${LINES} lines in ${events} events, ${(tookMs / 1000).toFixed(1)} s from start to verdict, wrapper peak RSS ${peakMiB.toFixed(0)} MiB\n`,
  );
  expect(ended.status).toBe('completed');
  expect(wrong).toBeNull();
  expect(expected - 1).toBe(LINES);
  expect(rest).toBe('');
  expect(peakMiB).toBeGreaterThan(20);
  expect(peakMiB).toBeLessThan(RSS_MIB_MAX);
});
