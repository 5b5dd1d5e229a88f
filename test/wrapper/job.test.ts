/**
 * Goal: a job begins when that is on disk, or not at all (SV2). What it does after that is tested
 * in whole runs.
 */

import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Job } from '../../wrapper/job/job.ts';
import { LogBudget } from '../../wrapper/run/log-budget.ts';
import { Report } from '../../wrapper/run/report.ts';
import type { RunOptions } from '../../wrapper/run-options.ts';
import { Spool } from '../../wrapper/spool/spool.ts';
import { readSpoolState } from '../../wrapper/spool/state.ts';
import { WRAPPER_TIMES } from '../../wrapper/times.ts';
import { keptLog, removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

it('[SV2] a job whose start cannot be recorded is not begun, and no later record claims it was', async () => {
  const directory = temporaryFolder();
  const opening = Spool.open({ directory, execution: '/ingest', bootId: 'b_1' });
  if (opening.kind !== 'opened') throw new Error(opening.kind);
  const { spool } = opening;
  const log = keptLog();
  const report = new Report(spool, new LogBudget(), log);
  // Where the state would be written there is a folder now.
  mkdirSync(join(directory, 'state.json.tmp'));
  const run = { command: ['true'], log } as unknown as RunOptions;
  expect(
    Job.begin({
      run,
      times: WRAPPER_TIMES,
      redaction: null,
      terms: null,
      mark: null,
      spool,
      report,
      inputHasRoom: () => {},
      exited: () => {},
    }),
  ).toBeNull();
  expect(log.problems).toEqual([expect.stringMatching(/cannot be written: EISDIR.* open /)]);
  rmdirSync(join(directory, 'state.json.tmp'));
  expect(report.save()).toBe(true);
  expect(readSpoolState(directory)?.job).toMatchObject({ begun: false, pid: null });
  await spool.close();
});
