/** The tables at the end of a series of runs. */

import { addDifference, type Difference, NO_DIFFERENCE } from './compare.ts';
import { FAULT_KINDS, type FaultKind } from './plan.ts';
import type { RunResult } from './run.ts';

export interface Summary {
  runs: number;
  failedRuns: number;
  faults: Record<FaultKind, number>;
  unusedKinds: FaultKind[];
  wrapperReconnects: number;
  viewerReconnects: number;
  written: number;
  inGaps: number;
  gaps: number;
  events: number;
  executions: number;
  settledOnce: number;
  verdicts: Record<string, number>;
  difference: Difference;
}

export function summarise(results: readonly RunResult[]): Summary {
  const sum = (value: (result: RunResult) => number): number => results.reduce((total, result) => total + value(result), 0);
  const faults = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  const verdicts: Record<string, number> = {};
  for (const { injected, verdicts: own } of results) {
    for (const { kind } of injected) faults[kind] += 1;
    for (const verdict of own) verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
  }
  return {
    runs: results.length,
    failedRuns: results.filter(({ problems }) => problems.length > 0).length,
    faults,
    unusedKinds: FAULT_KINDS.filter((kind) => faults[kind] === 0),
    wrapperReconnects: sum((result) => result.wrapperReconnects),
    viewerReconnects: sum((result) => result.viewerReconnects),
    written: sum((result) => result.written),
    inGaps: sum((result) => result.inGaps),
    gaps: sum((result) => result.gaps),
    events: sum((result) => result.events),
    executions: sum((result) => result.executions),
    settledOnce: sum((result) => result.settledOnce),
    verdicts,
    difference: results.map(({ difference }) => difference).reduce(addDifference, NO_DIFFERENCE),
  };
}

const grouped = (n: number): string => n.toLocaleString('en-US');

export function tables(summary: Summary): string {
  const { runs, faults, verdicts, difference } = summary;
  const total = Object.values(faults).reduce((a, b) => a + b, 0);
  const row = (name: string, value: string | number): string => `  ${name.padEnd(26)}${String(value).padStart(12)}`;
  return [
    row('fault', 'times'),
    ...Object.entries(faults).map(([kind, times]) => row(kind, times)),
    row('all', total),
    '',
    row('runs', runs),
    row('lines written by jobs', grouped(summary.written)),
    row('lines missing in gaps', grouped(summary.inGaps)),
    row('gaps', grouped(summary.gaps)),
    row('events in the logs', grouped(summary.events)),
    row('reconnects of wrappers', summary.wrapperReconnects),
    row('reconnects of viewers', summary.viewerReconnects),
    row('executions', summary.executions),
    row('settled exactly once', summary.settledOnce),
    ...Object.entries(verdicts).map(([verdict, times]) => row(`  ${verdict}`, times)),
    '',
    `${runs} runs, ${total} faults, ${grouped(summary.events)} events: ${difference.lost} lost, ${difference.repeated} repeated, ` +
      `${difference.outOfOrder} out of order, ${difference.foreign} altered; ` +
      `${summary.settledOnce} of ${summary.executions} executions settled once`,
  ].join('\n');
}

export function progressLine(
  { plan, session, injected, missed, problems, events, verdicts, tookMs, ...rest }: RunResult,
  runs: number,
): string {
  const byTime = [...injected].sort((a, b) => a.atMs - b.atMs);
  const faults = byTime.map(({ kind, atMs }) => `${kind}@${(atMs / 1000).toFixed(1)}s`).join(' ');
  return [
    problems.length === 0 ? 'ok    ' : 'FAILED',
    `${String(plan.index + 1).padStart(String(runs).length)}/${runs}`,
    `${(tookMs / 1000).toFixed(1).padStart(5)} s`,
    `${grouped(events).padStart(7)} events`,
    `reconnects ${rest.wrapperReconnects}+${rest.viewerReconnects}`,
    verdicts.join(', ').padEnd(20),
    faults,
    missed.length > 0 ? `(missed: ${missed.join(' ')})` : '',
  ]
    .join('  ')
    .trimEnd();
}
