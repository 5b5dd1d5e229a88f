/**
 * How often the kernel killed a process of this control group because memory ran out. A death by
 * SIGKILL looks the same from every sender; only this count shows the kernel.
 *
 * The count is of the group, not of the job: where several jobs share one (a host without
 * containers), the death of another job at the same time is counted too. Null where there is no
 * such count.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `root`: where `proc/self/cgroup` and `sys/fs/cgroup` are; tests give another. */
export function outOfMemoryKills(root = '/'): number | null {
  const lines = read(join(root, 'proc/self/cgroup')).split('\n');
  const paths = lines.flatMap((line) => {
    const [, controllers = '', group = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    // Within a container the path may be the host's; the group is then mounted at the top.
    if (line.startsWith('0::')) return [join('sys/fs/cgroup', group, 'memory.events'), 'sys/fs/cgroup/memory.events'];
    if (!controllers.split(',').includes('memory')) return [];
    return [join('sys/fs/cgroup/memory', group, 'memory.oom_control'), 'sys/fs/cgroup/memory/memory.oom_control'];
  });
  for (const path of paths) {
    const [, kills] = /^oom_kill (\d+)$/m.exec(read(join(root, path))) ?? [];
    if (kills !== undefined) return Number(kills);
  }
  return null;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Counts from its creation on. */
export class MemoryWatch {
  readonly #read: () => number | null;
  #seen: number | null;

  constructor(read: () => number | null = outOfMemoryKills) {
    this.#read = read;
    this.#seen = read();
  }

  /** The kills since the last call. */
  takeKills(): number {
    const now = this.#read();
    const kills = now === null || this.#seen === null ? 0 : Math.max(0, now - this.#seen);
    this.#seen = now;
    return kills;
  }
}
