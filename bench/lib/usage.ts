/**
 * What a process has used, as the kernel counts it. Linux only: elsewhere CPU and memory are given
 * as NaN and left out.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * CPU time of the threads that the process has now, in milliseconds, from the scheduler's own count
 * in nanoseconds.
 */
export function cpuMs(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
    return nanoseconds / 1e6;
  } catch {
    return Number.NaN;
  }
}

/** Resident memory in MiB. */
export function residentMiB(pid: number): number {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kib) / 1024;
  } catch {
    return Number.NaN;
  }
}

/** The allocator returns freed memory late; idle here means after a quiet second. */
export async function settledMiB(pid: number): Promise<number> {
  let last = residentMiB(pid);
  for (let waited = 0; waited < 10; waited += 1) {
    await sleep(500);
    const now = residentMiB(pid);
    if (Math.abs(now - last) < 1) return now;
    last = now;
  }
  return last;
}

/** Samples until `stop`. */
export class MemoryWatch {
  peakMiB: number;
  readonly beforeMiB: number;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number, everyMs = 50) {
    this.beforeMiB = residentMiB(pid);
    this.peakMiB = this.beforeMiB;
    this.#timer = setInterval(() => {
      const now = residentMiB(pid);
      if (now > this.peakMiB) this.peakMiB = now;
    }, everyMs);
  }

  stop(): { beforeMiB: number; peakMiB: number } {
    clearInterval(this.#timer);
    return { beforeMiB: this.beforeMiB, peakMiB: this.peakMiB };
  }
}
