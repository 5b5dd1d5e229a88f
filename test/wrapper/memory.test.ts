/**
 * Goal: deaths by lack of memory are counted with cgroup v1 and v2, inside and outside of a
 * container, and nothing is counted where the system has no count.
 * Method: folders that look like /proc and /sys.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryWatch, outOfMemoryKills } from '../../wrapper/job/memory.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

function system(files: Record<string, string>): string {
  const root = temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const EVENTS = 'low 0\nhigh 7\nmax 12\noom 3\noom_kill 2\noom_group_kill 9\n';
const CONTROL = 'oom_kill_disable 0\nunder_oom 0\noom_kill 4\n';
const V1 = '11:cpu,cpuacct:/c\n4:memory:/a/b\n1:name=systemd:/a\n';

describe('outOfMemoryKills', () => {
  it.each<[string, Record<string, string>, number | null]>([
    ['v2, on a host', { 'proc/self/cgroup': '0::/user.slice/job\n', 'sys/fs/cgroup/user.slice/job/memory.events': EVENTS }, 2],
    ['v2, in a container with its own namespace', { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.events': EVENTS }, 2],
    [
      'v2, in a container that sees the path of its host',
      { 'proc/self/cgroup': '0::/docker/1\n', 'sys/fs/cgroup/memory.events': EVENTS },
      2,
    ],
    ['v2, in a group outside of its namespace', { 'proc/self/cgroup': '0::/../other\n', 'sys/fs/cgroup/memory.events': EVENTS }, 2],
    ['v1, on a host', { 'proc/self/cgroup': V1, 'sys/fs/cgroup/memory/a/b/memory.oom_control': CONTROL }, 4],
    ['v1, in a container', { 'proc/self/cgroup': V1, 'sys/fs/cgroup/memory/memory.oom_control': CONTROL }, 4],
    ['both, with memory in v1', { 'proc/self/cgroup': `${V1}0::/x\n`, 'sys/fs/cgroup/memory/a/b/memory.oom_control': CONTROL }, 4],
    [
      'the own group, although another is above it',
      {
        'proc/self/cgroup': '0::/a\n',
        'sys/fs/cgroup/a/memory.events': 'oom_kill 1\n',
        'sys/fs/cgroup/memory.events': 'oom_kill 50\n',
      },
      1,
    ],
    ['a group without a memory controller', { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cgroup.procs': '1\n' }, null],
    [
      'an older kernel that has no count',
      { 'proc/self/cgroup': V1, 'sys/fs/cgroup/memory/a/b/memory.oom_control': 'under_oom 0\n' },
      null,
    ],
    ['nothing at all', {}, null],
  ])('%s', (_, files, kills) => {
    expect(outOfMemoryKills(system(files))).toBe(kills);
  });

  it('on this machine: a number, or null where it has no count', () => {
    const kills = outOfMemoryKills();
    expect(kills === null || (Number.isInteger(kills) && kills >= 0)).toBe(true);
  });
});

describe('MemoryWatch', () => {
  const watch = (counts: (number | null)[]) => new MemoryWatch(() => counts.shift() ?? null);

  it('reports each kill once, from its beginning on', () => {
    const kills = watch([5, 5, 7, 7, 8]);
    expect([1, 2, 3, 4].map(() => kills.takeKills())).toEqual([0, 2, 0, 1]);
  });

  it('reports none for a group that is not the one it began with, or that has no count for a while', () => {
    const kills = watch([5, 2, 3, null, 9, 10]);
    expect([1, 2, 3, 4, 5].map(() => kills.takeKills())).toEqual([0, 1, 0, 0, 1]);
  });
});
