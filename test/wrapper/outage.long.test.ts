/**
 * Goal: a job with a grace of twenty minutes lives through ten minutes in which every attempt is
 * answered by a page with 403, by 401 and 404 of a coordinator with the wrong key and data, and by
 * a sign-in page with 200.
 * Method: `run` inside this process. By default all times are divided by a hundred;
 * `HOLDFAST_REAL_TIME=1` takes the real ones (ten minutes).
 */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeCoordinator, pageAnswer, problemAnswer, type Refusal } from '../support/fake-coordinator.ts';
import { gate, removeTemporaryFolders, runInProcess } from '../support/wrapper-run.ts';

const REAL = process.env.HOLDFAST_REAL_TIME === '1';
const GRACE_MS = REAL ? 20 * 60_000 : 12_000;
const OUTAGE_MS = GRACE_MS / 2;

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const ANSWERS: Refusal[] = [
  pageAnswer(403),
  problemAnswer('unauthorized', 'The ingest token is invalid.'),
  problemAnswer('session_not_found'),
  pageAnswer(200),
];

it('[CLS16] [SPL29] the job continues, and no line is lost', { timeout: OUTAGE_MS + 180_000 }, async () => {
  coordinator.policy = { ...coordinator.policy, disconnectGraceMs: GRACE_MS };
  const end = gate();
  const { exitCode, log } = runInProcess(coordinator, [
    'sh',
    '-c',
    `n=0; while :; do n=$((n+1)); echo line $n; if ${end.isOpen}; then echo end; exit 7; fi; sleep 0.2; done`,
  ]);
  await coordinator.until(() => coordinator.text().includes('line 3\n'), 'lines');
  const endsAt = performance.now() + OUTAGE_MS;
  let refused = 0;
  const refuse = (): Refusal | null => {
    if (performance.now() > endsAt) return null;
    const quarter = Math.floor(((OUTAGE_MS - (endsAt - performance.now())) / OUTAGE_MS) * ANSWERS.length);
    refused += 1;
    return ANSWERS[Math.min(quarter, ANSWERS.length - 1)] as Refusal;
  };
  coordinator.refuse = refuse;
  coordinator.refusePost = refuse;
  coordinator.last.cut();
  const before = coordinator.ackedSeq;
  // A test run that says nothing for two minutes is ended.
  const saying = setInterval(() => console.log(`${refused} attempts were refused`), 30_000);
  await coordinator.until(() => coordinator.ackedSeq > before && performance.now() > endsAt, 'it is back', OUTAGE_MS + 60_000);
  clearInterval(saying);
  end.open();
  expect(await exitCode).toBe(7);
  expect(refused).toBeGreaterThan(ANSWERS.length);
  const lines = coordinator.text().split('\n').slice(0, -2);
  expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
  expect(coordinator.text().endsWith('end\n')).toBe(true);
  expect(coordinator.faults).toEqual([]);
  expect(log.problems.join('\n')).toContain('connected to the coordinator after');
});
