/**
 * What safety on disk costs a wrapper: the checksums of its lines, and the record that its job
 * begins, which is synced before the process exists.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRecords } from '../../wrapper/spool/lines.ts';
import { newSpoolState, writeSpoolState } from '../../wrapper/spool/state.ts';
import { type Bench, interleaved, scaled } from '../lib/bench.ts';
import { type Figure, figureOf, median } from '../lib/figures.ts';
import { cpuMs } from '../lib/usage.ts';

const MB = 1_000_000;
/** What one write call of the spool takes at most. */
const BATCH_BYTES = 1024 * 1024;
const LINES = [
  { name: '120B lines', bytes: 120 },
  { name: '16KB lines', bytes: 16 * 1024 },
] as const;

/** CPU time of the records of so many batches, milliseconds per megabyte of lines. */
function checksums(lineBytes: number, batches: number): number {
  const batch = Buffer.alloc(BATCH_BYTES, 'x');
  const lines = Array.from({ length: Math.floor(BATCH_BYTES / lineBytes) }, (_, index) =>
    batch.subarray(index * lineBytes, (index + 1) * lineBytes),
  );
  const before = cpuMs(process.pid);
  for (let n = 0; n < batches; n += 1) encodeRecords(lines, 1 + n * lines.length, 0);
  return (cpuMs(process.pid) - before) / ((batches * lines.length * lineBytes) / MB);
}

/** Time of one write of the state file, milliseconds: the median of several. */
function note(folder: string, times: number, durable: boolean): number {
  const state = newSpoolState('/v1/sessions/s1/executions/e1/ingest', 'b_1');
  return median(
    Array.from({ length: times }, () => {
      const begun = performance.now();
      writeSpoolState(folder, state, { durable });
      return performance.now() - begun;
    }),
  );
}

export const spool: Bench = {
  name: 'spool',
  measures: 'what checksums cost a wrapper per megabyte of lines, and what the durable note that its job begins costs a run',
  doesNotMeasure: 'other disks than that of the folder for temporary files; what a lost line would have cost',
  run: async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-spool-'));
    const batches = scaled(context, 200, 5);
    const times = scaled(context, 50, 3);
    try {
      const figures: Figure[] = [];
      for (const { name, bytes } of LINES) {
        const { records } = await interleaved(context, { records: async () => checksums(bytes, batches) });
        figures.push(figureOf(`spool/checksums/${name}, cpu`, 'ms/MB', records));
      }
      const { durable, plain } = await interleaved(context, {
        durable: async () => note(folder, times, true),
        plain: async () => note(folder, times, false),
      });
      return [...figures, figureOf('spool/the note that a job begins', 'ms', durable, plain)];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
