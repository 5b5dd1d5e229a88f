/** Carries out one fault: begins it, holds it for its time, and takes it back. The answer says whether it hit anything. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { TcpProxy } from '../../support/tcp-proxy.ts';
import type { Fault, ProcessFault, ViewerFault, WrapperFault } from './plan.ts';
import type { Recorder } from './recorder.ts';
import type { Stage } from './stage.ts';

/** A link between two connections has nothing to be hit; the next one is on its way. */
const LINK_WAIT_MS = 4000;

/** Ends early, without an error, when the run is over. */
export async function pause(ms: number, over: AbortSignal): Promise<void> {
  if (!over.aborted) await sleep(ms, undefined, { signal: over }).catch(() => {});
}

async function connected(link: TcpProxy, over: AbortSignal): Promise<boolean> {
  const end = Date.now() + LINK_WAIT_MS;
  while (link.open === 0 && Date.now() < end && !over.aborted) await pause(20, over);
  return link.open > 0;
}

async function spoil(link: TcpProxy, fault: Fault<WrapperFault | ViewerFault>, over: AbortSignal): Promise<boolean> {
  const { kind, forMs, direction, bytesPerSecond } = fault;
  if (!(await connected(link, over)) || over.aborted) return false;
  switch (kind) {
    case 'wrapper-cut':
    case 'viewer-cut':
      try {
        link.refuse();
        const hit = link.cut() > 0;
        await pause(forMs, over);
        return hit;
      } finally {
        link.accept();
      }
    case 'wrapper-stall':
    case 'viewer-stall':
      try {
        link.stall(direction);
        await pause(forMs, over);
        return true;
      } finally {
        link.resume(direction);
      }
    case 'wrapper-trickle':
    case 'viewer-trickle':
      try {
        link.trickle(bytesPerSecond);
        await pause(forMs, over);
        return true;
      } finally {
        link.trickle(Number.POSITIVE_INFINITY);
      }
    case 'wrapper-half-open':
    case 'viewer-half-open':
      return link.halfOpen() > 0;
    case 'wrapper-half-open-up':
    case 'viewer-half-open-up':
      return link.halfOpen('up') > 0;
    case 'wrapper-half-open-down':
    case 'viewer-half-open-down':
      return link.halfOpen('down') > 0;
    case 'viewer-pause':
      return false;
    default:
      return kind satisfies never;
  }
}

export const spoilWrapperLink = (stage: Stage, fault: Fault<WrapperFault>, over: AbortSignal): Promise<boolean> =>
  spoil(stage.wrapperLink, fault, over);

export async function spoilViewers(
  stage: Stage,
  viewers: Recorder[],
  fault: Fault<ViewerFault>,
  over: AbortSignal,
): Promise<boolean> {
  if (fault.kind !== 'viewer-pause') return spoil(stage.viewerLink, fault, over);
  const paused = [...viewers];
  try {
    for (const viewer of paused) viewer.pause();
    await pause(fault.forMs, over);
    return paused.length > 0;
  } finally {
    for (const viewer of paused) viewer.resume();
  }
}

/** What was killed is started again also when the run is over meanwhile. */
export async function killProcess({ stack }: Stage, { kind, forMs }: Fault<ProcessFault>, over: AbortSignal): Promise<boolean> {
  if (over.aborted) return false;
  switch (kind) {
    case 'coordinator-kill':
      await stack.kill();
      await pause(forMs, over);
      await stack.restart();
      return true;
    case 'runner-kill':
      await stack.killRunner();
      await pause(forMs, over);
      await stack.startRunner();
      return true;
    default:
      return kind satisfies never;
  }
}
