/**
 * Goal: a wrapper keeps to the limit of its log, says what it left out, and its end always fits
 * (SPL39). Method: the budget alone at its edges; then a real run against a coordinator that the
 * test steers.
 */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogBudget, RESERVE_BYTES } from '../../wrapper/run/log-budget.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, runInProcess } from '../support/wrapper-run.ts';

const LIMIT = 1_048_576;

describe('[SPL39] the budget', () => {
  const budgetOf = (usedBytes: number): LogBudget => {
    const budget = new LogBudget();
    budget.limit(LIMIT, usedBytes);
    return budget;
  };

  it('takes output up to the reserve, and not a byte past it', () => {
    const room = 1000;
    expect(budgetOf(LIMIT - RESERVE_BYTES - room).takeOutput(room)).toEqual({ keep: true, begins: false });
    expect(budgetOf(LIMIT - RESERVE_BYTES - room).takeOutput(room + 1)).toEqual({ keep: false, begins: true });
  });

  it('is closed to output once some was left out, however short the next line is', () => {
    const budget = budgetOf(LIMIT - RESERVE_BYTES - 10);
    expect(budget.takeOutput(11)).toEqual({ keep: false, begins: true });
    expect(budget.takeOutput(1)).toEqual({ keep: false, begins: false });
    expect(budget.dropped).toEqual({ events: 2, bytes: 12 });
  });

  it('has the reserve for facts of the wrapper, up to the limit itself', () => {
    const budget = budgetOf(LIMIT - 100);
    expect(budget.takeFact(100)).toBe(true);
    expect(budget.takeFact(1)).toBe(false);
    expect(budget.dropped).toEqual({ events: 1, bytes: 1 });
  });

  it('takes questions of an agent while 16 KiB are left to other facts', () => {
    expect(budgetOf(LIMIT - 16_384 - 100).fitsQuestions(100)).toBe(true);
    expect(budgetOf(LIMIT - 16_384 - 100).fitsQuestions(101)).toBe(false);
  });

  it('keeps everything before the limit is known, and without a limit', () => {
    const budget = new LogBudget();
    expect(budget.takeOutput(10 * LIMIT).keep).toBe(true);
    budget.limit(undefined, null);
    expect(budget.takeOutput(10 * LIMIT).keep).toBe(true);
    expect(budget.dropped).toBe(null);
  });

  it('continues counting from one welcome to the next', () => {
    const budget = budgetOf(LIMIT - RESERVE_BYTES - 10);
    budget.limit(LIMIT, null);
    expect(budget.takeOutput(11).keep).toBe(false);
  });
});

describe('[SPL39] a run whose output does not fit', () => {
  let coordinator: FakeCoordinator;
  beforeEach(async () => {
    coordinator = await new FakeCoordinator().start();
    coordinator.policy = { ...coordinator.policy, maxLogBytes: LIMIT };
  });
  afterEach(async () => {
    await coordinator.stop();
    removeTemporaryFolders();
  });

  it('ends with its own exit code; the stored bytes are within the limit, and one gap counts the rest', async () => {
    const line = 'x'.repeat(999);
    const lines = 3000;
    const { exitCode } = runInProcess(coordinator, [
      process.execPath,
      '-e',
      `for (let n = 0; n < ${lines}; n += 1) console.log('${line}'); process.exitCode = 7;`,
    ]);
    expect(await exitCode).toBe(7);
    const stored = coordinator.lines.reduce((sum, one) => sum + Buffer.byteLength(one) + 1, 0);
    expect(stored).toBeLessThanOrEqual(LIMIT);
    expect(stored).toBeGreaterThan(LIMIT - RESERVE_BYTES - 300_000);
    const { events } = coordinator;
    const full = events.filter(({ type, data }) => type === 'status' && String(data.message).includes('is full'));
    expect(full).toHaveLength(1);
    const gaps = events.filter(({ type }) => type === 'gap');
    expect(gaps).toMatchObject([{ data: { reason: 'log_full' } }]);
    expect(events.slice(-2).map(({ type }) => type)).toEqual(['gap', 'exit']);
    const kept = coordinator.text().length;
    expect(kept).toBeGreaterThan(0);
    expect(Number(gaps[0]?.data.bytes)).toBeGreaterThan(lines * 1000 - kept - 1);
    // What was kept is the beginning, without a hole.
    expect(coordinator.text()).toBe(`${line}\n`.repeat(Math.ceil(kept / 1000)).slice(0, kept));
  });

  it('a wrapper with an existing spool counts what is stored already', async () => {
    coordinator.logBytes = LIMIT;
    const { exitCode } = runInProcess(coordinator, ['echo', 'too late']);
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('');
    expect(coordinator.events.at(-2)).toMatchObject({ type: 'gap', data: { reason: 'log_full' } });
  });
});
