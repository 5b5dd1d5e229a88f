/**
 * Goal: the holder's program does the same in every shell that is installed as `/bin/sh` somewhere,
 * and with perl in place of `setsid`.
 * Method: the program is run by hand, by the shell in question, and its notes are read.
 */

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { makeHolderFolder, openPipe, readJobEnd, readJobNote } from '../../wrapper/job/holder-folder.ts';
import { holderProgram, terminalProgram, terminalScript } from '../../wrapper/job/holder-script.ts';
import { programPath } from '../../wrapper/job/programs.ts';
import { identityOf, signalProcess } from '../../wrapper/processes.ts';
import { removeTemporaryFolders, temporaryFolder, until } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

const SHELLS: [name: string, words: string[]][] = [
  ['sh', ['/bin/sh']],
  ['dash', [programPath('dash') ?? '']],
  ['bash as sh', [programPath('bash') ?? '', '--posix']],
  ['busybox sh', [programPath('busybox') ?? '', 'sh']],
];
const SESSIONS = ['setsid', 'perl', 'terminal'] as const;

interface Held {
  out: string;
  err: string;
  end: unknown;
  ownSession: boolean;
}

/** Runs a job under a holder in that shell, reads its output, and lets the holder go. */
async function hold(shell: string[], session: string, script: string, env: NodeJS.ProcessEnv): Promise<Held> {
  const folder = join(temporaryFolder(), 'holder');
  makeHolderFolder(folder);
  const program = holderProgram(folder);
  const [path = '', ...first] = shell;
  // The first one is the name of a program and not a command.
  const text = readFileSync(program, 'utf8').replace('SHELL=/bin/sh', `SHELL=${path}`);
  writeFileSync(program, text.replaceAll(/(?<!SHELL=)\/bin\/sh/g, shell.join(' ')));
  const notice = openSync(join(folder, 'notice'), 'r+');
  const command = ['/bin/sh', '-c', script];
  const inTerminal = session === 'terminal';
  if (inTerminal) {
    const job = terminalScript(folder, { cols: 80, rows: 24 }, 'sh', command, env);
    writeFileSync(terminalProgram(folder), job.replaceAll(/^exec \/bin\/sh/gm, `exec ${shell.join(' ')}`));
  }
  const given = inTerminal ? ['open', '9', session, 'sh'] : ['given', '9', session, 'sh', ...command];
  const args = [...first, program, 'hold', folder, ...given];
  const holder = spawn(path, args, { env, detached: true, stdio: ['ignore', 'ignore', notice] });
  closeSync(notice);
  const identity = identityOf(holder.pid ?? 0);
  const gone = new Promise((resolve) => holder.on('exit', resolve));
  try {
    await until(() => readJobEnd(folder, null) !== null, 'the end');
    const pipe = (name: 'out' | 'err') => {
      const file = openPipe(folder, name, 'read', null);
      const bytes = Buffer.alloc(65_536);
      const text = bytes.toString('utf8', 0, readSync(file, bytes));
      closeSync(file);
      return text;
    };
    const held = {
      err: pipe('err'),
      out: pipe('out'),
      end: readJobEnd(folder, null),
      ownSession: readJobNote(folder)?.stat.split(' ')[5] === String(readJobNote(folder)?.pid),
    };
    if (inTerminal) {
      const eof = openPipe(folder, 'eof', 'write', null);
      writeSync(eof, 'end\n');
      closeSync(eof);
    }
    const release = openPipe(folder, 'release', 'write', null);
    writeSync(release, 'end\n');
    closeSync(release);
    await gone;
    return held;
  } finally {
    if (identity) signalProcess(identity, 'SIGKILL');
  }
}

const works = ([path = '', ...first]: string[]) => path !== '' && spawnSync(path, [...first, '-c', 'exit 0']).status === 0;

for (const [name, shell] of SHELLS) {
  const isThere = works(shell);
  describe.skipIf(!isThere)(isThere ? name : `${name}, which is not installed here`, () => {
    describe.each(SESSIONS)('with %s', (session) => {
      const env = { ...process.env, LC_ALL: 'xx_YY.UTF-8' };
      it.each<[script: string, end: object]>([
        ['exit 0', { exitCode: 0, signal: null }],
        ['exit 137', { exitCode: 137, signal: null }],
        ['kill -9 $$', { exitCode: null, signal: 'SIGKILL' }],
        ['kill -9 0', { exitCode: null, signal: 'SIGKILL' }],
        ['kill -15 0', { exitCode: null, signal: 'SIGTERM' }],
        ['kill -2 $$', { exitCode: null, signal: 'SIGINT' }],
        ['kill -40 0', { exitCode: null, signal: 'SIG40' }],
        ['exec 1>&- 2>&-; exit 5', { exitCode: 5, signal: null }],
      ])('%s', async (script, end) => {
        const held = await hold(shell, session, `echo out; echo err >&2; ${script}`, env);
        const output = session === 'terminal' ? { out: 'out\r\nerr\r\n', err: '' } : { out: 'out\n', err: 'err\n' };
        expect(held).toEqual({ ...output, end, ownSession: true });
      });
    });
  });
}
