/**
 * The user of a job, where that is not the user of its wrapper (`--run-as`): holder and job run as
 * that user, with the user's groups; the wrapper, its spool and its credentials do not.
 *
 *   JU1  `setpriv` changes the user. Node's own `uid` leaves the groups of the wrapper.
 *   JU2  The wrapper must be root, because it opens the job's pipes and signals its processes.
 *   JU3  The job may write what is in the notes of its holder. So a process is signalled only when
 *        it belongs to the user of the job: a pid in a note proves nothing.
 *   JU4  The folder of the holder belongs to the wrapper, so that the job cannot put a symbolic
 *        link where the wrapper writes or removes a file. Only its files belong to the job.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { programPath } from './programs.ts';

export interface JobUser {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

export type UserReading = { ok: true; user: JobUser } | { ok: false; why: string };

/** What the system knows of this user, and whether jobs can run as that user here. */
export function readJobUser(name: string): UserReading {
  const wrong = (why: string): UserReading => ({ ok: false, why: `--run-as ${name}: ${why}` });
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(name)) return wrong('this is no name of a user');
  if (process.platform !== 'linux') return wrong('only Linux has setpriv, which changes the user of a job');
  if (programPath('setpriv') === null) return wrong('setpriv is not installed; it is part of util-linux');
  if (process.getuid?.() !== 0) return wrong('only root can run jobs as another user; start this program as root');
  const user = parsePasswd(passwdLine(name));
  if (user === null) return wrong('there is no such user on this host');
  const [program = '', ...args] = asUser(user, ['/bin/sh', '-c', ':']);
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? { ok: true, user } : wrong(`setpriv failed: ${stderr.trim()}`);
}

function passwdLine(name: string): string {
  const getent = programPath('getent');
  try {
    if (getent !== null) return execFileSync(getent, ['passwd', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const known = readFileSync('/etc/passwd', 'utf8').split('\n');
    return known.find((line) => line.startsWith(`${name}:`)) ?? '';
  } catch {
    return '';
  }
}

/** Pure. A line of passwd(5); null when it is none. */
export function parsePasswd(line: string): JobUser | null {
  const [name = '', , uid = '', gid = '', , home = '', shell = ''] = line.trim().split(':');
  if (name === '' || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return null;
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
}

/** The command line that runs this command as the user. Pure but for the look-up of setpriv. */
export function asUser({ uid, gid }: JobUser, command: readonly string[]): string[] {
  const flags = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--inh-caps=-all', '--ambient-caps=-all'];
  return [programPath('setpriv') ?? 'setpriv', ...flags, '--', ...command];
}

/** As a login would set them. A start may set others. */
export const userEnvironment = ({ name, home, shell }: JobUser): Record<string, string> => ({
  HOME: home,
  USER: name,
  LOGNAME: name,
  SHELL: shell,
});

/** The first argument is a folder, the rest a command that is run in it. */
const IN_FOLDER = 'cd "$0" || exit 126; exec "$@"';

/** Runs a command as the user, in a folder that this user can enter. */
export const asUserIn = (user: JobUser, cwd: string, command: readonly string[]): string[] =>
  asUser(user, ['/bin/sh', '-c', IN_FOLDER, cwd, ...command]);

const CHECK = `\
[ -r "$2" ] || exit 12
cd "$0" 2>/dev/null || exit 10
case $1 in
*/*) [ -f "$1" ] && [ -x "$1" ] ;;
*) command -v "$1" >/dev/null 2>&1 ;;
esac || exit 11`;

/**
 * Why this user cannot execute the command; null if that is probably possible. What only the
 * wrapper's user can see is not told. `holder`: the program of the holder, which runs as the user.
 */
export function whyNotAsUser(
  user: JobUser,
  [program = '']: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  holder: string,
): string | null {
  const [file = '', ...args] = asUser(user, ['/bin/sh', '-c', CHECK, cwd, program, holder]);
  const { status, error } = spawnSync(file, args, { env: { PATH: env.PATH ?? '/usr/bin:/bin' }, stdio: 'ignore', cwd: '/' });
  if (error) return error.message;
  switch (status) {
    case 0:
      return null;
    case 10:
      return `the user ${user.name} cannot enter the working directory ${cwd}`;
    case 11:
      return `the user ${user.name} cannot execute the command, or it was not found: ${program}`;
    case 12:
      return `the user ${user.name} cannot reach ${holder}: keep runs in a folder that this user can enter, such as /var/lib/holdfast`;
    default:
      return `jobs cannot run as the user ${user.name}: setpriv failed (exit code ${status})`;
  }
}

/** JU3. Without a user of its own every process may be meant. */
export function mayBelongTo(user: JobUser | null, pid: number): boolean {
  if (user === null) return true;
  try {
    const [, real] = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return real === String(user.uid);
  } catch {
    return false; // It has ended.
  }
}
