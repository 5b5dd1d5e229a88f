/**
 * The identity of a process. The system reuses pids; a pid together with the start time of its
 * process is an identity. The runner's lock and its records store both, so that an unrelated
 * process with a reused pid is never waited for or signalled.
 */

import { execFileSync } from 'node:child_process';
import { constants, readdirSync, readFileSync, statSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Opaque; equal for the same process only. */
  start: string;
}

export interface ProcessInfo {
  pid: number;
  parent: number;
  group: number;
  /** Null where the system does not report it. */
  session: number | null;
  command: string;
}

const isLinux = process.platform === 'linux';

let bootId: string | undefined;
/**
 * Start times on Linux count from boot. Without the boot id, a process of the last boot could be
 * mistaken for one of this boot.
 */
function linuxBootId(): string {
  if (bootId === undefined) {
    try {
      bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    } catch {
      bootId = 'unknown';
    }
  }
  return bootId;
}

interface Stat {
  state: string;
  parent: number;
  group: number;
  session: number;
  startTicks: string;
}

function linuxStat(pid: number): Stat | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}

function parseStat(text: string): Stat | null {
  // The second field is the program's name in parentheses and may itself contain spaces and
  // parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group, session] = fields;
  const startTicks = fields[19]; // Field 22 of the whole line.
  if (state === undefined || startTicks === undefined) return null;
  return { state, parent: Number(parent), group: Number(group), session: Number(session), startTicks };
}

/** The start of the process that this content of a /proc/<pid>/stat describes. */
export function startOfStat(text: string): string | null {
  const stat = parseStat(text);
  return stat && `${linuxBootId()}:${stat.startTicks}`;
}

function ps(args: string[]): string {
  try {
    return execFileSync('ps', args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    });
  } catch {
    return ''; // Also the result when no such process exists.
  }
}

/**
 * The start time of this process, or null if it does not exist. A zombie has ended; its parent has
 * not reaped it yet.
 */
export function processStart(pid: number): string | null {
  if (!Number.isSafeInteger(pid) || pid < 1) return null;
  if (isLinux) {
    const stat = linuxStat(pid);
    return stat === null || stat.state === 'Z' || stat.state === 'X' ? null : `${linuxBootId()}:${stat.startTicks}`;
  }
  const [, state, start] = /^\s*(\S+)\s+(.+?)\s*$/m.exec(ps(['-o', 'stat=,lstart=', '-p', String(pid)])) ?? [];
  return state === undefined || start === undefined || state.startsWith('Z') ? null : start;
}

/**
 * Whether the pid still belongs to that very process, zombies included: until it is reaped, the
 * system does not reuse the number.
 */
export function keepsPid({ pid, start }: ProcessIdentity): boolean {
  if (!isLinux) return processStart(pid) === start;
  const stat = linuxStat(pid);
  return stat !== null && `${linuxBootId()}:${stat.startTicks}` === start;
}

/** Whether the process began at that moment or later, in the same run of the system. */
export function startedSince(pid: number, start: string): boolean {
  const [boot, ticks] = (processStart(pid) ?? '').split(':');
  const [boot0, ticks0] = start.split(':');
  return boot === boot0 && ticks !== undefined && Number(ticks) >= Number(ticks0);
}

/** `device:inode` of the pipes that a process has open. Empty if access is denied. */
export function openPipes(pid: number): Set<string> {
  const pipes = new Set<string>();
  try {
    for (const file of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const { dev, ino, mode } = statSync(`/proc/${pid}/fd/${file}`, { bigint: true });
        if ((Number(mode) & constants.S_IFMT) === constants.S_IFIFO) pipes.add(`${dev}:${ino}`);
      } catch {
        // Closed since the listing.
      }
    }
  } catch {
    // It ended, or belongs to another user.
  }
  return pipes;
}

/**
 * The environment with which a process was started. Null when it cannot be read: another user's, or
 * a system without /proc.
 */
export function environmentOf(pid: number): Record<string, string> | null {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    return Object.fromEntries(entries.map((entry) => entry.split(/=(.*)/s, 2) as [string, string]));
  } catch {
    return null;
  }
}

export function identityOf(pid: number): ProcessIdentity | null {
  const start = processStart(pid);
  return start === null ? null : { pid, start };
}

export const isAlive = ({ pid, start }: ProcessIdentity): boolean => processStart(pid) === start;

/** Signals this very process, never another one that reuses its pid. False when it has ended. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** The direct children of a process. Empty where the system does not list them cheaply. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return []; // It ended.
  }
}

/** All processes (without zombies), with their arguments joined by spaces. */
export function listProcesses(): ProcessInfo[] {
  const processes: ProcessInfo[] = [];
  if (!isLinux) {
    for (const line of ps(['-axo', 'pid=,ppid=,pgid=,stat=,command=']).split('\n')) {
      const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line);
      if (!match || match[4]?.startsWith('Z')) continue;
      processes.push({
        pid: Number(match[1]),
        parent: Number(match[2]),
        group: Number(match[3]),
        session: null,
        command: match[5] ?? '',
      });
    }
    return processes;
  }
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const stat = linuxStat(pid);
    if (stat === null || stat.state === 'Z' || stat.state === 'X') continue;
    let command = '';
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').replaceAll('\0', ' ');
    } catch {
      // It ended between the two reads, or belongs to another user.
    }
    processes.push({ pid, parent: stat.parent, group: stat.group, session: stat.session, command });
  }
  return processes;
}

/**
 * The process and all its descendants, children before their parents' siblings; as identities, so
 * that they can be signalled later.
 */
export function processTree(pid: number): ProcessIdentity[] {
  const children = new Map<number, number[]>();
  for (const each of listProcesses()) children.set(each.parent, [...(children.get(each.parent) ?? []), each.pid]);
  const tree: ProcessIdentity[] = [];
  const pending = [pid];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const identity = identityOf(next);
    if (identity) tree.push(identity);
    pending.push(...(children.get(next) ?? []));
  }
  return tree;
}
