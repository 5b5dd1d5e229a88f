/** Performs the deeds on one execution. They do not throw: a deed that hit nothing reports so. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processesWith } from '../../test/support/real-stack.ts';
import { identityOf, isAlive, type ProcessIdentity, signalProcess } from '../../wrapper/processes.ts';
import { listSegments, segmentPath } from '../../wrapper/spool/recovery.ts';
import { type Done, FAIL_CODE } from './check.ts';
import type { Deed, ExecutionPlan } from './plan.ts';
import { NATURAL_VERDICT } from './shapes.ts';
import type { CrowdStage } from './stage.ts';

/** Until its silence and its grace are over on a busy machine. */
const FREEZE_MAX_MS = 120_000;

export async function carryOut(
  stage: CrowdStage,
  { session, id, shape }: ExecutionPlan,
  deed: Deed,
  hasEnded: () => boolean,
): Promise<Done> {
  const { client } = stage;
  try {
    switch (deed) {
      case 'early':
      case 'interrupt':
      case 'force': {
        const answer = await client.interrupt(session, id, { reason: 'a crowd asked for it', force: deed === 'force' });
        return { deed, took: answer.accepted || answer.settled };
      }
      case 'fail':
        return { deed, took: (await client.fail(session, id, { code: FAIL_CODE, message: 'a crowd asked for it' })).settled };
      case 'kill': {
        const outcome = await kill(stage.truthFile(session, id));
        // The next wrapper adopts the job, which would run forever.
        if (NATURAL_VERDICT[shape] === null) await client.interrupt(session, id, { reason: 'a crowd asked for it' });
        return { deed, ...outcome };
      }
      case 'freeze':
        return { deed, took: await freeze(stage.truthFile(session, id), hasEnded) };
      default:
        return deed satisfies never;
    }
  } catch {
    // The response was lost in every attempt. The log says whether the call arrived.
    return { deed, took: false };
  }
}

interface Wrapper {
  identity: ProcessIdentity;
  spool: string;
}

function wrapperOf(truth: string): Wrapper | null {
  const found = processesWith(`${truth} `).find(({ command }) => / run .*--spool /.test(command));
  const identity = found ? identityOf(found.pid) : null;
  const [, spool] = / --spool (\S+) /.exec(found?.command ?? '') ?? [];
  return identity && spool ? { identity, spool } : null;
}

async function kill(truth: string): Promise<Pick<Done, 'took' | 'spooled'>> {
  const wrapper = wrapperOf(truth);
  if (!wrapper || !signalProcess(wrapper.identity, 'SIGKILL')) return { took: false };
  // The runner waits 250 ms before it starts the next wrapper, which would write here.
  while (isAlive(wrapper.identity)) await sleep(1);
  return { took: true, spooled: spooledEvents(wrapper.spool) };
}

function spooledEvents(folder: string): string[] {
  const spooled: string[] = [];
  try {
    for (const segment of listSegments(folder)) {
      const lines = readFileSync(segmentPath(folder, segment), 'utf8').split('\n');
      // A partial line at the end was not fully written, so it was never sent.
      lines.pop();
      for (const line of lines) {
        const { type, data } = JSON.parse(line) as { type: string; data: unknown };
        spooled.push(`${type} ${JSON.stringify(data)}`);
      }
    }
  } catch {
    // Everything was delivered, and the wrapper was about to exit.
  }
  return spooled;
}

/** Stopped until its execution failed. Then it continues and learns that. */
async function freeze(truth: string, hasEnded: () => boolean): Promise<boolean> {
  const wrapper = wrapperOf(truth);
  if (!wrapper || !signalProcess(wrapper.identity, 'SIGSTOP')) return false;
  for (const end = Date.now() + FREEZE_MAX_MS; !hasEnded() && Date.now() < end; ) await sleep(200);
  signalProcess(wrapper.identity, 'SIGCONT');
  return true;
}
