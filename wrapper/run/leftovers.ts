/**
 * Finds what is still running of a job whose wrapper was killed, and whether that can be proven.
 * The system reuses pids, and so process group numbers; signalling a group by number alone may hit
 * an unrelated one.
 *
 *   LE1  While the leader holds its pid (running, or a zombie), every member of its group belongs
 *        to the job.
 *   LE2  Without the leader, the group is ours if it is still the leader's session, all its members
 *        began after the leader, and one has an output pipe of the job open. A session exists while
 *        it has a member, so one member of ours proves it for all.
 *   LE3  When the wrapper died before it recorded the pid, only the pipes are evidence, and only if
 *        all their holders are one group.
 *   LE5  With a user of its own (user.ts) the job may have written any pid into its note, so every
 *        process of the group must belong to that user.
 *   LE4  A process that cannot be proven to be ours is left alone and reported.
 *   LE6  A process that began after the job and has its mark is ours, also outside of the group
 *        (SPL53). Its command may contain a secret, which is not known here: only the pid is
 *        reported.
 */

import { holderCommand } from '../job/holder-script.ts';
import { type JobProcess, type Mark, markedSince } from '../job/tree.ts';
import { type JobUser, mayBelongTo } from '../job/user.ts';
import { keepsPid, listProcesses, openPipes, signalProcess, startedSince } from '../processes.ts';
import type { SpoolState } from '../spool/state.ts';

export type Leftovers = { kind: 'none' } | { kind: 'ours'; group: number } | { kind: 'unproven'; group: number };

export function findLeftovers({ begun, pid, start, pipes = [] }: SpoolState['job'], user: JobUser | null = null): Leftovers {
  if (!begun) return { kind: 'none' };
  const holdsPipe = (process: number): boolean => {
    const open = openPipes(process);
    return pipes.some((pipe) => open.has(pipe));
  };
  if (pid === null || start === null) {
    if (pipes.length === 0) return { kind: 'none' };
    const holders = listProcesses().filter((each) => each.pid !== process.pid && holdsPipe(each.pid));
    const [first] = holders;
    if (!first) return { kind: 'none' };
    const oneGroup = holders.every(({ group, session }) => group === first.group && session === first.group);
    return { kind: oneGroup ? 'ours' : 'unproven', group: first.group }; // LE3
  }
  const members = listProcesses().filter(({ group }) => group === pid);
  if (members.length === 0) return { kind: 'none' };
  if (!members.every((member) => mayBelongTo(user, member.pid))) return { kind: 'unproven', group: pid }; // LE5
  if (keepsPid({ pid, start })) return { kind: 'ours', group: pid }; // LE1
  const proven =
    members.every((member) => member.session === pid && startedSince(member.pid, start)) &&
    members.some((member) => holdsPipe(member.pid)); // LE2
  return { kind: proven ? 'ours' : 'unproven', group: pid };
}

/** LE6. Before the job was noted, its holder had begun. The keeper has the mark too (JT5). */
function findMarked({ start, holder }: SpoolState['job'], mark: Mark | null, user: JobUser | null): JobProcess[] {
  const since = start ?? holder?.start ?? null;
  if (!mark || since === null) return [];
  const isKeeper = (command: string) => holder !== undefined && command.startsWith(holderCommand(holder.folder));
  return markedSince(mark, since).filter(({ pid, command }) => mayBelongTo(user, pid) && !isKeeper(command));
}

/**
 * Kills what is left, if it is provably ours. Returns a description of the result; null when
 * nothing is left or it ended just now. `mark`: of the job's environment; null when unknown.
 */
export function killLeftovers(job: SpoolState['job'], mark: Mark | null, user: JobUser | null = null): string | null {
  const found = findLeftovers(job, user);
  const marked = findMarked(job, mark, user);
  const killed: string[] = [];
  if (found.kind === 'ours' && killGroup(found.group)) killed.push(`process group ${found.group}`);
  const inGroup = (each: JobProcess) => found.kind === 'ours' && each.group === found.group;
  const others = marked.filter((each) => !inGroup(each) && signalProcess(each, 'SIGKILL'));
  if (others.length > 0) killed.push(`${others.length === 1 ? 'process' : 'processes'} ${others.map(({ pid }) => pid).join(', ')}`);
  const said = killed.length > 0 ? [`what was left of it (${killed.join(' and ')}) was killed`] : [];
  const isKilled = (pid: number) => others.some((each) => each.pid === pid);
  if (found.kind === 'unproven' && listProcesses().some(({ pid, group }) => group === found.group && !isKilled(pid))) {
    // LE4
    said.push(`process group ${found.group} may be left of it, and was left alone because that cannot be proven`);
  }
  return said.length > 0 ? said.join('; ') : null;
}

/** False when it ended just now. */
function killGroup(group: number): boolean {
  try {
    process.kill(-group, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}
