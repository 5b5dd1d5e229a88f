/** Performs one fault on the whole crowd, and returns the period of the disturbance. */

import { pause } from '../chaos/inject.ts';
import type { Trouble } from './check.ts';
import type { PlannedFault } from './plan.ts';
import type { CrowdStage } from './stage.ts';

/**
 * After a link is back: until the last wrapper has detected that its connection is dead (heartbeat,
 * pong, the next attempt).
 */
const LINK_HEALS_MS = 30_000;
const COORDINATOR_HEALS_MS = 30_000;
const RUNNER_HEALS_MS = 5000;

export interface Injected {
  hit: boolean;
  trouble: Trouble | null;
}

/** `roll` decides for each connection whether it is among the share. */
export async function inject(stage: CrowdStage, fault: PlannedFault, roll: () => number, over: AbortSignal): Promise<Injected> {
  const { kind, forMs, direction, share } = fault;
  const { stack, wrapperLink, viewerLink } = stage;
  const from = Date.now();
  const chosen = () => roll() < share;
  const link = kind.startsWith('wrapper') ? wrapperLink : viewerLink;
  const trouble = (of: Trouble['kind'], healsMs: number): Trouble => ({ kind: of, from, until: Date.now() + healsMs });
  const linkTrouble = (): Trouble | null => (link === wrapperLink ? trouble('link', LINK_HEALS_MS) : null);
  switch (kind) {
    case 'wrapper-cut':
    case 'viewer-cut':
      try {
        link.refuse();
        const hit = link.cut(chosen) > 0;
        await pause(forMs, over);
        return { hit, trouble: linkTrouble() };
      } finally {
        link.accept();
      }
    case 'wrapper-half-open':
    case 'viewer-half-open':
      return { hit: link.halfOpen(direction, chosen) > 0, trouble: linkTrouble() };
    case 'wrapper-stall':
    case 'viewer-stall':
      try {
        link.stall(direction);
        await pause(forMs, over);
        return { hit: link.open > 0, trouble: linkTrouble() };
      } finally {
        link.resume(direction);
      }
    case 'coordinator-kill':
      await stack.kill();
      await pause(Math.min(forMs, 1000), over);
      await stack.restart();
      return { hit: true, trouble: trouble('coordinator', COORDINATOR_HEALS_MS) };
    case 'runner-kill':
      await stack.killRunner();
      await pause(Math.min(forMs, 1000), over);
      await stack.startRunner();
      return { hit: true, trouble: trouble('runner', RUNNER_HEALS_MS) };
    default:
      return kind satisfies never;
  }
}
