/**
 * Goal: a job with a user of its own has that user's rights and no others, and cannot read what
 * belongs to its wrapper or to the job of another user.
 * Method: real wrappers of root, with two users that every Linux has. The pages promise this for
 * root on Linux only.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type JobUser, mayBelongTo, parsePasswd, readJobUser } from '../../wrapper/job/user.ts';
import { identityOf } from '../../wrapper/processes.ts';
import { findLeftovers } from '../../wrapper/run/leftovers.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, runInProcess, temporaryFolder, until } from '../support/wrapper-run.ts';

const userNamed = (name: string): JobUser | null => {
  const reading = readJobUser(name);
  return reading.ok ? reading.user : null;
};
const daemon = userNamed('daemon');
const games = userNamed('games');
const canChange = daemon !== null && games !== null;

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

/** A folder for spools that other users can go through. */
function openFolder(): string {
  const folder = temporaryFolder();
  chmodSync(folder, 0o711);
  return folder;
}

const end = () => coordinator.events.at(-1);

describe('reading the user', () => {
  it('takes name, ids, home and shell from a line of passwd, and nothing else', () => {
    expect(parsePasswd('ci:x:1001:1002:CI,,,:/srv/ci:/bin/bash\n')).toEqual({
      name: 'ci',
      uid: 1001,
      gid: 1002,
      home: '/srv/ci',
      shell: '/bin/bash',
    });
    expect(parsePasswd('ci:x:1001:1002:::')).toMatchObject({ home: '/', shell: '/bin/sh' });
    for (const line of ['', 'ci', 'ci:x:-1:2:::', 'ci:x::2:::']) expect(parsePasswd(line)).toBeNull();
  });

  it.each(['--evil', 'a b', '', 'a;b', '../x'])('refuses %j, which is no name of a user', (name) => {
    expect(readJobUser(name)).toEqual({ ok: false, why: expect.stringContaining('no name of a user') });
  });

  it.skipIf(!canChange)('[root and setpriv are needed] refuses a user that does not exist', () => {
    expect(readJobUser('holdfast-nobody-here')).toEqual({ ok: false, why: expect.stringContaining('no such user') });
  });
});

describe.skipIf(!canChange)('a job with a user of its own [root and setpriv are needed]', () => {
  it('has the ids, the groups and the home of that user, and no capability', async () => {
    const user = games as JobUser;
    const script = 'id -u; id -g; id -G; echo $HOME $USER $LOGNAME; pwd; grep CapEff /proc/self/status; cat; echo done >&2; exit 7';
    const spoolDirectory = join(openFolder(), 'spool');
    const run = runInProcess(coordinator, ['/bin/sh', '-c', script], { spoolDirectory, user, cwd: '/usr' });
    expect(await run.exitCode).toBe(7);
    const groups = spawnSync('id', ['-G', user.name], { encoding: 'utf8' }).stdout.trim();
    expect(coordinator.text('stdout').trim().split('\n')).toEqual([
      String(user.uid),
      String(user.gid),
      groups,
      `${user.home} games games`,
      '/usr',
      'CapEff:\t0000000000000000',
    ]);
    expect(coordinator.text('stderr')).toBe('done\n');
    expect(end()).toMatchObject({ type: 'exit', data: { exitCode: 7 } });
  });

  it('gets input and its end, and an interrupt reaches all of its processes', async () => {
    const spoolDirectory = join(openFolder(), 'spool');
    const script = 'sleep 1000 & setsid sleep 1001 & read -r line; echo "got $line"; wait';
    const run = runInProcess(coordinator, ['/bin/sh', '-c', script], {
      spoolDirectory,
      user: daemon,
      stdin: { file: null, open: true },
    });
    await until(() => coordinator.events.some(({ type }) => type === 'started'), 'the start');
    coordinator.sendCommand({ id: 1, command: 'input', data: { text: 'hello\n' } });
    await until(() => coordinator.text() === 'got hello\n', 'the answer');
    coordinator.sendCommand({ id: 2, command: 'interrupt', data: { signal: 'SIGTERM', forceAfterMs: 5000, reason: '' } });
    expect(await run.exitCode).toBe(143);
    expect(end()).toMatchObject({ type: 'exit', data: { signal: 'SIGTERM' } });
    expect(end()?.data).not.toHaveProperty('left');
  });

  it.each([
    ['a folder of root', ['/bin/true'], 'the user daemon cannot enter the working directory'],
    ['/', ['holdfast-no-such-program'], 'the user daemon cannot execute the command, or it was not found'],
  ])('in %s with %j fails with the reason, and nothing runs', async (cwd, command, message) => {
    const spoolDirectory = join(openFolder(), 'spool');
    expect(
      await runInProcess(coordinator, command, { spoolDirectory, user: daemon, cwd: cwd === '/' ? cwd : temporaryFolder() })
        .exitCode,
    ).toBe(127);
    expect(end()).toMatchObject({ type: 'error', data: { code: 'spawn_failed', error: expect.stringContaining(message) } });
  });

  it('says where runs must be kept when the user cannot reach the spool', async () => {
    const closed = temporaryFolder();
    const spoolDirectory = join(closed, 'spool');
    expect(await runInProcess(coordinator, ['/bin/true'], { spoolDirectory, user: daemon }).exitCode).toBe(127);
    expect(end()).toMatchObject({ type: 'error', data: { error: expect.stringContaining('keep runs in a folder') } });
  });

  it('cannot read the run of another user: spool, pipes, environment, stdin, credential', async () => {
    const other = await new FakeCoordinator().start();
    try {
      const folder = openFolder();
      const open = join(folder, 'open');
      mkdirSync(join(folder, 'of-daemon'), { mode: 0o711 });
      const spoolDirectory = join(folder, 'of-daemon', 'spool');
      const secret = runInProcess(other, ['/bin/sh', '-c', `echo in the log; until [ -e ${open} ]; do sleep 0.1; done`], {
        spoolDirectory,
        user: daemon,
        jobEnv: { PLAIN: 'for-daemon-alone' },
      });
      await until(() => other.text() === 'in the log\n', 'the first line');
      const { pid, holder } = JSON.parse(readFileSync(join(spoolDirectory, 'state.json'), 'utf8')).job;
      const tries = [
        `ls ${spoolDirectory}`,
        `cat ${spoolDirectory}/state.json`,
        `cat ${spoolDirectory}/*.ndjson`,
        `ls ${holder.folder}`,
        ...['out', 'err', 'in', 'eof', 'events', 'release', 'job', 'end', 'notice', 'holder.sh'].flatMap((name) => [
          `timeout 1 dd if=${holder.folder}/${name} count=1 iflag=nonblock`,
          `timeout 1 dd of=${holder.folder}/${name} count=0 oflag=nonblock conv=notrunc`,
        ]),
        ...[pid, holder.pid, process.pid].flatMap((process_) => [
          `cat /proc/${process_}/environ`,
          `ls /proc/${process_}/fd/`,
          `readlink /proc/${process_}/cwd`,
          `kill -0 ${process_}`,
        ]),
      ];
      const script = tries.map((attempt, at) => `if (${attempt}) >/dev/null 2>&1; then echo "read ${at}"; fi`).join('\n');
      const run = runInProcess(coordinator, ['/bin/sh', '-c', `${script}\necho tried`], {
        spoolDirectory: join(folder, 'spool'),
        user: games,
      });
      expect(await run.exitCode).toBe(0);
      const succeeded = [...coordinator.text().matchAll(/read (\d+)/g)].map(([, at]) => tries[Number(at)]);
      expect(succeeded).toEqual([]);
      expect(coordinator.text()).toBe('tried\n');
      writeFileSync(open, '');
      expect(await secret.exitCode).toBe(0);
    } finally {
      await other.stop();
    }
  });

  it('[LE5] a pid that the job wrote into its note is not signalled when it is of another user', () => {
    const self = identityOf(process.pid);
    expect(mayBelongTo(daemon, process.pid)).toBe(false);
    expect(mayBelongTo(null, process.pid)).toBe(true);
    const job = { begun: true, pid: self?.pid ?? 0, start: self?.start ?? '', pipes: [], exitCode: null, holder: null };
    expect(findLeftovers(job as never, daemon).kind).not.toBe('ours');
  });
});
