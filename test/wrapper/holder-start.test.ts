/**
 * Goal: a wrapper that opens the pipes of a job before its holder has opened them gets the whole
 * output. Method: a holder that is held up before its first step.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Holder } from '../../wrapper/job/holder.ts';
import { holderProgram, type JobEnd, makeHolderFolder } from '../../wrapper/job/holder-folder.ts';
import { gate, removeTemporaryFolders, sleep, temporaryFolder, until } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

it('a slow holder: what its job prints is read to its end', async () => {
  const folder = join(temporaryFolder(), 'holder');
  makeHolderFolder(folder);
  const { wait, open } = gate();
  const program = holderProgram(folder);
  writeFileSync(program, `[ "$1" = job ] || ${wait.replace('until', '{ until')}; }\n${readFileSync(program, 'utf8')}`);
  let end: JobEnd | null = null;
  const holder = Holder.start(
    {
      folder,
      command: ['/bin/sh', '-c', 'echo out; exit 4'],
      cwd: null,
      env: process.env,
      stdin: { file: null, open: false },
      merge: false,
    },
    {
      started() {},
      ended: (how) => {
        end = how;
      },
      failed() {},
      lost() {},
    },
  );
  const output = holder.output('out');
  let text = '';
  output?.on('data', (bytes) => {
    text += bytes;
  });
  holder.watch();
  // Time for the end of a pipe that has no writer to be seen.
  await sleep(50);
  expect(output?.closed).toBe(false);
  open();
  await until(() => end !== null && output?.closed === true, 'the end of the job and of its output');
  expect(text).toBe('out\n');
  expect(end).toEqual({ exitCode: 4, signal: null });
  holder.release();
});
