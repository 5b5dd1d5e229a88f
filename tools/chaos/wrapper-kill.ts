/** Sends SIGKILL to one execution's wrapper, and reads its spool at that moment. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HoldfastEvent, isTerminalFact } from '../../protocol/index.ts';
import { processesWith } from '../../test/support/real-stack.ts';
import { identityOf, isAlive, signalProcess } from '../../wrapper/processes.ts';
import { listSegments, segmentPath } from '../../wrapper/spool/recovery.ts';

export interface Killed {
  /**
   * The job's own numbers of the events that were on disk and not yet released. All of them must
   * reach the log.
   */
  spooled: number[];
  /** The end of the job was stored, so the kill cannot cause a crash verdict. */
  terminal: boolean;
}

/**
 * `mark` is a text that is among the arguments of this execution's wrapper and of no other. Null
 * when there is no such wrapper.
 */
export async function killWrapper(mark: string): Promise<Killed | null> {
  const wrapper = processesWith(mark).find(({ command }) => / run .*--spool /.test(command));
  const identity = wrapper ? identityOf(wrapper.pid) : null;
  const [, spool] = / --spool (\S+) /.exec(wrapper?.command ?? '') ?? [];
  if (!identity || !spool || !signalProcess(identity, 'SIGKILL')) return null;
  // The runner waits 250 ms before it starts the next wrapper, which would write here.
  while (isAlive(identity)) await sleep(1);
  return readSpool(spool);
}

function readSpool(folder: string): Killed {
  const spooled: number[] = [];
  let terminal = false;
  for (const segment of listSegments(folder)) {
    const lines = readFileSync(segmentPath(folder, segment), 'utf8').split('\n');
    // A partial line at the end was not fully written, so it was never sent.
    lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line) as HoldfastEvent;
      if (event.type === 'agent') spooled.push(Number(event.data.n));
      terminal = isTerminalFact(event);
    }
  }
  return { spooled, terminal };
}
