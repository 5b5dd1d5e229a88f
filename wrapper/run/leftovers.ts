/**
 * What is left running of a job whose wrapper was killed, and whether that can be proven. A pid, and so the number of a process group, is handed out
 * again; to signal a group because of its number alone may hit a stranger.
 *
 *   LE1  While the leader's pid is taken by the leader (running, or a zombie), every member of its group is of the job.
 *   LE2  Without the leader the group is ours when it is still the leader's session, all of it began after the leader, and a member has an output pipe
 *        of the job open. A session lives as long as it has a member, so one that is ours proves it for all.
 *   LE3  When the wrapper died before it had noted the pid, only the pipes can tell, and only if all who hold them are one group.
 *   LE4  What can not be proven is left alone and reported.
 */

import { keepsPid, listProcesses, openPipes, startedSince } from '../processes.ts';
import type { SpoolState } from '../spool/state.ts';

export type Leftovers = { kind: 'none' } | { kind: 'ours'; group: number } | { kind: 'unproven'; group: number };

export function findLeftovers({ begun, pid, start, pipes = [] }: SpoolState['job']): Leftovers {
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
  if (keepsPid({ pid, start })) return { kind: 'ours', group: pid }; // LE1
  const proven =
    members.every((member) => member.session === pid && startedSince(member.pid, start)) &&
    members.some((member) => holdsPipe(member.pid)); // LE2
  return { kind: proven ? 'ours' : 'unproven', group: pid };
}

/** Kills what is left, if it is provably ours. What became of it, in words; null when nothing is left, or when that ended just now. */
export function killLeftovers(job: SpoolState['job']): string | null {
  const found = findLeftovers(job);
  switch (found.kind) {
    case 'none':
      return null;
    case 'ours':
      try {
        process.kill(-found.group, 'SIGKILL');
      } catch {
        return null; // It ended just now.
      }
      return `what was left of it (process group ${found.group}) was killed`;
    case 'unproven':
      return `process group ${found.group} may be left of it, and was left alone because that can not be proven`; // LE4
    default:
      return found satisfies never;
  }
}
