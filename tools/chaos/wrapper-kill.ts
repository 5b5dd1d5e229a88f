/** Sends SIGKILL to one execution's wrapper, and reads its spool at that moment. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HoldfastEvent } from '../../protocol/index.ts';
import { processesWith } from '../../test/support/real-stack.ts';
import { identityOf, isAlive, type ProcessIdentity, signalProcess } from '../../wrapper/processes.ts';
import { listSegments, segmentPath } from '../../wrapper/spool/recovery.ts';
import { readSpoolState } from '../../wrapper/spool/state.ts';

export interface Killed {
  /**
   * The job's own numbers of the events that were on disk and not yet released. All of them must
   * reach the log.
   */
  spooled: number[];
}

/**
 * The runner gives up a wrapper that was killed again and again before it was welcomed. This many
 * kills without a welcome are certainly allowed.
 */
const UNWELCOMED_KILLS_MAX = 2;

/**
 * `mark` is a text that is among the arguments of this execution's wrapper and of no other. Null
 * when there is no such wrapper.
 */
export async function killWrapper(mark: string): Promise<Killed | null> {
  const found = findWrapper(mark);
  if (!found || !signalProcess(found.identity, 'SIGKILL')) return null;
  const { identity, spool } = found;
  // The runner waits 250 ms before it starts the next wrapper, which would write here.
  while (isAlive(identity)) await sleep(1);
  return readSpool(spool);
}

function findWrapper(mark: string): { identity: ProcessIdentity; spool: string } | null {
  const wrapper = processesWith(mark).find(({ command }) => / run .*--spool /.test(command));
  const identity = wrapper ? identityOf(wrapper.pid) : null;
  const [, spool] = / --spool (\S+) /.exec(wrapper?.command ?? '') ?? [];
  return identity && spool ? { identity, spool } : null;
}

/** Kills the wrapper of one execution several times, in its successors. */
export class WrapperKills {
  readonly spooled: number[] = [];
  count = 0;
  readonly #mark: string;
  #unwelcomed = 0;
  #lastBoot: string | null = null;

  constructor(mark: string) {
    this.#mark = mark;
  }

  /**
   * Waits for a wrapper, and with `afterMs` until it has taken over the job for that long. False
   * when none came before the run was over.
   */
  async kill(afterMs: number, over: AbortSignal): Promise<boolean> {
    for (; !over.aborted; await sleep(20)) {
      const found = findWrapper(this.#mark);
      const state = found && readSpoolState(found.spool);
      if (!found || (afterMs > 0 && (!state || state.bootId === this.#lastBoot))) continue;
      await sleep(afterMs);
      const { welcomedBoot, bootId } = readSpoolState(found.spool) ?? {};
      const welcomed = bootId !== this.#lastBoot && welcomedBoot === bootId;
      if (!welcomed && this.#unwelcomed >= UNWELCOMED_KILLS_MAX) continue;
      const killed = await killWrapper(this.#mark);
      if (!killed) continue;
      this.#lastBoot = bootId ?? null;
      this.#unwelcomed = welcomed ? 0 : this.#unwelcomed + 1;
      this.count += 1;
      this.spooled.push(...killed.spooled);
      return true;
    }
    return false;
  }
}

function readSpool(folder: string): Killed {
  const spooled: number[] = [];
  for (const segment of listSegments(folder)) {
    const lines = readFileSync(segmentPath(folder, segment), 'utf8').split('\n');
    // A partial line at the end was not fully written, so it was never sent.
    lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line) as HoldfastEvent;
      if (event.type === 'agent') spooled.push(Number(event.data.n));
    }
  }
  return { spooled };
}
