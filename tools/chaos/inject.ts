/**
 * Performs one fault: begins it, holds it for its time, and reverts it. The result says whether it
 * hit anything.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Direction, TcpProxy } from '../../test/support/tcp-proxy.ts';
import type { Fault, ProcessFault, ViewerFault, WrapperFault } from './plan.ts';
import type { Recorder } from './recorder.ts';
import type { Stage } from './stage.ts';

/**
 * A link between two connections has nothing to hit. The next connection may be slow to arrive on a
 * slow machine, behind a coordinator that is starting.
 */
const LINK_WAIT_MS = 90_000;

/** Ends early, without an error, when the run is over. */
export async function pause(ms: number, over: AbortSignal): Promise<void> {
  if (!over.aborted) await sleep(ms, undefined, { signal: over }).catch(() => {});
}

async function connected(link: TcpProxy, over: AbortSignal): Promise<boolean> {
  const end = Date.now() + LINK_WAIT_MS;
  while (link.open === 0 && Date.now() < end && !over.aborted) await pause(20, over);
  return link.open > 0;
}

/** Dead connections do not count as hit. The fault then also waits for the next one. */
async function freeze(link: TcpProxy, direction: Direction, over: AbortSignal): Promise<boolean> {
  const end = Date.now() + LINK_WAIT_MS;
  while (link.halfOpen(direction) === 0) {
    if (Date.now() > end || over.aborted) return false;
    await pause(20, over);
  }
  return true;
}

const middleboxAnswer = (status: string): string => {
  const page = `<html><head><title>${status}</title></head><body>nginx</body></html>`;
  const more = /^30/.test(status) ? 'location: https://login.example.invalid/\r\n' : '';
  return `HTTP/1.1 ${status}\r\ncontent-type: text/html\r\n${more}content-length: ${page.length}\r\nconnection: close\r\n\r\n${page}`;
};

/** `begun` is called at the moment of the hit. */
async function spoil(
  link: TcpProxy,
  fault: Fault<WrapperFault | ViewerFault>,
  over: AbortSignal,
  begun: () => void,
): Promise<boolean> {
  const { kind, forMs, direction, bytesPerSecond } = fault;
  if (!(await connected(link, over)) || over.aborted) return false;
  switch (kind) {
    case 'wrapper-cut':
    case 'viewer-cut':
      try {
        link.refuse();
        const hit = link.cut() > 0;
        begun();
        await pause(forMs, over);
        return hit;
      } finally {
        link.accept();
      }
    case 'wrapper-stall':
    case 'viewer-stall':
      try {
        link.stall(direction);
        begun();
        await pause(forMs, over);
        return true;
      } finally {
        link.resume(direction);
      }
    case 'wrapper-answer':
    case 'viewer-answer':
      try {
        link.answerWith(middleboxAnswer(fault.answer));
        const before = link.answered;
        const hit = link.cut() > 0;
        begun();
        await pause(forMs, over);
        return hit && link.answered > before;
      } finally {
        link.answerWith(null);
      }
    case 'wrapper-trickle':
    case 'wrapper-narrow':
    case 'viewer-trickle':
      try {
        link.trickle(bytesPerSecond);
        begun();
        await pause(forMs, over);
        return true;
      } finally {
        link.trickle(Number.POSITIVE_INFINITY);
      }
    case 'wrapper-half-open':
    case 'viewer-half-open':
      return freeze(link, 'both', over);
    case 'wrapper-half-open-up':
    case 'viewer-half-open-up':
      return freeze(link, 'up', over);
    case 'wrapper-half-open-down':
    case 'viewer-half-open-down':
      return freeze(link, 'down', over);
    case 'viewer-pause':
      return false;
    default:
      return kind satisfies never;
  }
}

export const spoilWrapperLink = (
  stage: Stage,
  fault: Fault<WrapperFault>,
  over: AbortSignal,
  begun: () => void,
): Promise<boolean> => spoil(stage.wrapperLink, fault, over, begun);

export async function spoilViewers(
  stage: Stage,
  viewers: Recorder[],
  fault: Fault<ViewerFault>,
  over: AbortSignal,
  begun: () => void,
): Promise<boolean> {
  if (fault.kind !== 'viewer-pause') return spoil(stage.viewerLink, fault, over, begun);
  const paused = [...viewers];
  try {
    for (const viewer of paused) viewer.pause();
    begun();
    await pause(fault.forMs, over);
    return paused.length > 0;
  } finally {
    for (const viewer of paused) viewer.resume();
  }
}

/** A killed process is restarted even if the run ended meanwhile. */
export async function spoilProcess(
  { stack, disk }: Stage,
  { kind, forMs, roomBytes }: Fault<ProcessFault>,
  over: AbortSignal,
  begun: () => void,
): Promise<boolean> {
  if (over.aborted) return false;
  switch (kind) {
    case 'coordinator-kill':
      await stack.kill();
      begun();
      await pause(forMs, over);
      await stack.restart();
      return true;
    case 'runner-kill':
      await stack.killRunner();
      begun();
      await pause(forMs, over);
      await stack.startRunner();
      return true;
    case 'disk-full':
      try {
        const before = disk.refusals();
        disk.fill(roomBytes);
        begun();
        await pause(forMs, over);
        return disk.refusals() > before;
      } finally {
        disk.empty();
      }
    default:
      return kind satisfies never;
  }
}
