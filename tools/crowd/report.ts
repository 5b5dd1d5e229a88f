/** The tables at the end of a crowd. Pure. */

import { FDS_ALLOWANCE, HEAP_ALLOWANCE_MIB } from './aftermath.ts';
import type { CrowdResult, Measured } from './scene.ts';
import type { Usage } from './usage.ts';
import type { Row } from './usage-watch.ts';

const grouped = (n: number): string => n.toLocaleString('en-US');
const line = (name: string, ...values: (string | number)[]): string =>
  `  ${name.padEnd(34)}${values.map((value) => String(value).padStart(12)).join('')}`;
const whole = (n: number): string => (Number.isFinite(n) ? n.toFixed(0) : '–');
const tenths = (n: number | null | undefined): string =>
  n === null || n === undefined || !Number.isFinite(n) ? '–' : n.toFixed(1);

type Pick1 = (row: Row) => number | null | undefined;

/** First, last and highest of the measured values. */
function course(rows: readonly Row[], of: Pick1, digits: (n: number) => string): string[] {
  const values = rows.map(of).filter((value): value is number => typeof value === 'number' && Number.isFinite(value));
  return [values[0], values.at(-1), values.length > 0 ? Math.max(...values) : undefined].map((value) =>
    value === undefined ? '–' : digits(value),
  );
}

function usageTable({ usage, base, idle }: CrowdResult): string[] {
  const rows: [string, Pick1, (n: number) => string, ((measured: Measured) => string) | null][] = [];
  for (const who of ['coordinator', 'runner'] as const) {
    const of =
      (what: keyof Usage): Pick1 =>
      (row) =>
        row[who]?.[what];
    rows.push(
      [`${who}, resident MiB`, of('rssMiB'), whole, (measured) => whole(measured[who]?.rssMiB ?? Number.NaN)],
      [`${who}, heap MiB`, of('heapMiB'), tenths, (measured) => tenths(measured[who]?.heapMiB)],
      [`${who}, open files`, of('fds'), whole, (measured) => whole(measured[who]?.fds ?? Number.NaN)],
    );
  }
  rows.push(
    ['wrappers, processes', (row) => row.wrappers.count, whole, null],
    ['wrappers, resident MiB, all', (row) => row.wrappers.rssMiB.all, whole, null],
    ['wrappers, resident MiB, largest', (row) => row.wrappers.rssMiB.most, whole, null],
    ['wrappers, heap MiB, largest', (row) => row.wrappers.heapMiB.most, tenths, null],
    ['wrappers, open files, most', (row) => row.wrappers.fds.most, whole, null],
  );
  return [
    line('', 'before', 'first', 'last', 'peak', 'idle again'),
    ...rows.map(([name, of, digits, still]) => line(name, still?.(base) ?? '', ...course(usage, of, digits), still?.(idle) ?? '')),
    line('dead sockets that workerd keeps', base.deadSockets, '', '', '', idle.deadSockets),
    `  (idle again: at most ${FDS_ALLOWANCE} open files and ${HEAP_ALLOWANCE_MIB} MiB of heap more than before, and what a runner keeps of each run for an hour;\n   and four files and 8 KiB of heap for each dead socket: docs/testing.md)`,
  ];
}

export function crowdTables(result: CrowdResult): string {
  const { faults, missedFaults, deeds, shapes, verdicts, atOnce, callbacks, ms, problems } = result;
  const counts = (of: Record<string, number>): string[] =>
    Object.entries(of)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, times]) => line(`  ${name}`, times));
  return [
    line('seed', result.seed),
    line('sessions', result.sessions),
    line('executions', grouped(result.executions)),
    line('sessions with a job at one moment', atOnce.sessions),
    line('wrapper processes at that moment', atOnce.wrappers),
    line('events in the logs', grouped(result.events)),
    line('reconnects of wrappers', grouped(result.wrapperReconnects)),
    line('reconnects of the viewers', grouped(result.viewerReconnects)),
    line('visits of further viewers', grouped(result.visits)),
    line('callbacks: ids, attempts', grouped(callbacks.ids), grouped(callbacks.attempts)),
    line('seconds: until all ran, in all', tenths(ms.starting / 1000), tenths(ms.all / 1000)),
    '  jobs by shape',
    ...counts(shapes),
    '  done to one execution (took effect, too late)',
    ...Object.entries(deeds).map(([deed, { took, missed }]) => line(`  ${deed}`, took, missed)),
    '  done to the crowd',
    ...counts(faults),
    ...(missedFaults.length > 0 ? [line('  (found nothing to hit)', missedFaults.length)] : []),
    '  how executions ended',
    ...counts(verdicts),
    '',
    ...usageTable(result),
    '',
    `${grouped(result.executions)} executions in ${result.sessions} sessions, ${grouped(result.events)} events: ${problems.length} violations`,
  ].join('\n');
}
