/**
 * Distributes seeds over worker threads. The threads run the files of this folder in plain Node,
 * without the transformations of a test runner.
 */

import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Batch, BatchReport } from './batch.ts';

/** One worker that runs `batch.ts` of the given tree. */
export function runWorker(batchFile: string, batch: Batch): Promise<BatchReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(pathToFileURL(batchFile), { workerData: { simulate: batch }, execArgv: [], env: {} });
    worker.on('message', resolve);
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`a simulator's worker ended with ${code} before it had reported`)));
  });
}

export const THREADS = Math.max(1, Math.min(8, availableParallelism()));

export async function runFleet(
  batchFile: string,
  { from, count, all }: Omit<Batch, 'step'>,
  threads = THREADS,
): Promise<BatchReport> {
  const shares = Array.from({ length: threads }, (_, index) => ({ from: from + index, count: count - index, step: threads, all }));
  const reports = await Promise.all(shares.map((share) => runWorker(batchFile, share)));
  const sum = (counts: Map<string, number>[]) => {
    const total = new Map<string, number>();
    for (const map of counts) for (const [key, count] of map) total.set(key, (total.get(key) ?? 0) + count);
    return new Map([...total].sort(([, a], [, b]) => b - a));
  };
  return {
    schedules: reports.reduce((total, { schedules }) => total + schedules, 0),
    steps: reports.reduce((total, { steps }) => total + steps, 0),
    events: reports.reduce((total, { events }) => total + events, 0),
    faults: sum(reports.map(({ faults }) => faults)),
    verdicts: sum(reports.map(({ verdicts }) => verdicts)),
    failures: reports.flatMap(({ failures }) => failures).sort((a, b) => a.seed - b.seed),
  };
}
