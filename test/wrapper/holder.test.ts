/**
 * Goal: an output of the job begins and ends where the job's output does, whenever its reader
 * comes. Method: the pipes of a holder's folder, with this test in place of the holder.
 */

import { once } from 'node:events';
import { closeSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Holder } from '../../wrapper/job/holder.ts';
import { makeHolderFolder, openPipe } from '../../wrapper/job/holder-folder.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

/** A reader of the job's stdout, in a folder that a holder has not opened yet. */
function reader({ begun }: { begun: boolean }) {
  const folder = join(temporaryFolder(), 'holder');
  makeHolderFolder(folder);
  if (begun) writeFileSync(join(folder, 'job'), `${process.pid} \n`.padEnd(640));
  const handlers = { started() {}, ended() {}, failed() {}, lost() {} };
  const output = Holder.adopt({ folder, holder: null, job: null, end: null }, handlers).output('out');
  if (!output) throw new Error('there is no output');
  const read = { text: '' };
  output.on('data', (bytes) => {
    read.text += String(bytes);
  });
  return { folder, read, closed: once(output, 'close') };
}

it('a reader that comes before the holder gets all of the output', async () => {
  const { folder, read, closed } = reader({ begun: false });
  // An end that is already there would be seen within one turn.
  for (let turn = 0; turn < 10; turn += 1) await new Promise((done) => setImmediate(done));
  const file = openPipe(folder, 'out', 'write', null);
  writeSync(file, 'all of it\n');
  closeSync(file);
  await closed;
  expect(read.text).toBe('all of it\n');
});

it('a reader that comes after the end of the job sees that end', async () => {
  const { read, closed } = reader({ begun: true });
  await closed;
  expect(read.text).toBe('');
});
