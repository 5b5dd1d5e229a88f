/**
 * Runs many schedules one after the other in this thread.
 * Started as a worker, it runs the seeds that it is given and reports the results.
 */

import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { type Result, World } from './world.ts';

export interface Batch {
  from: number;
  count: number;
  /** Runs every n-th seed: several workers share a range. */
  step: number;
  /** Continue after a violation, to count them all. */
  all: boolean;
}

export interface BatchReport {
  schedules: number;
  steps: number;
  events: number;
  faults: Map<string, number>;
  verdicts: Map<string, number>;
  failures: { seed: number; violation: string }[];
}

/**
 * The session writes the log lines of a deployment. Over thousands of schedules they hide the
 * report.
 */
export async function quietly<T>(action: () => Promise<T>): Promise<T> {
  const { info, warn, error } = console;
  console.info = console.warn = console.error = () => {};
  try {
    return await action();
  } finally {
    Object.assign(console, { info, warn, error });
  }
}

export const simulate = (seed: number, tracing = false): Promise<Result> => quietly(() => new World(seed, tracing).run());

export async function runBatch({ from, count, step, all }: Batch): Promise<BatchReport> {
  const report: BatchReport = { schedules: 0, steps: 0, events: 0, faults: new Map(), verdicts: new Map(), failures: [] };
  const add = (counts: Map<string, number>, key: string, by: number) => counts.set(key, (counts.get(key) ?? 0) + by);
  for (let seed = from; seed < from + count; seed += step) {
    let result: Result;
    try {
      result = await simulate(seed);
    } catch (error) {
      // A broken session may also break the code around it. That counts as a violation.
      report.failures.push({ seed, violation: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      if (!all) break;
      continue;
    }
    report.schedules += 1;
    report.steps += result.steps;
    report.events += result.events;
    for (const [fault, struck] of result.faults) add(report.faults, fault, struck);
    for (const verdict of result.verdicts) add(report.verdicts, verdict, 1);
    const [violation] = result.violations;
    if (violation === undefined) continue;
    report.failures.push({ seed, violation });
    if (!all) break;
  }
  return report;
}

if (!isMainThread && workerData?.simulate) parentPort?.postMessage(await runBatch(workerData.simulate as Batch));
