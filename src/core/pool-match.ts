/**
 * Which execution goes to which runner. Pure.
 *
 * M1  Of the lanes that may begin, the one whose first execution has the lowest rank goes first.
 * M2  Of the runners that fit, the one with the smallest part of its slots taken; of equal ones, the
 *     one whose last lease is the oldest. So equal runners get equally many.
 * M3  A concurrency limit compares with the executions of that key that are active now.
 * M4  A runner that had an execution and did not start it does not get it for a while, unless no
 *     other runner that fits is connected.
 */

import type { Lane } from './pool-entry.ts';
import { canTake, fits, isServing, mayServe, type RunnerStatus } from './pool-runner.ts';
import type { WaitReason } from './pool-terms.ts';

/** The first execution of a lane. */
export interface LaneHead {
  lane: Lane;
  rank: number;
}

/** What the decisions see of a pool. */
export interface PoolScene<Runner extends RunnerStatus = RunnerStatus> {
  runners(): Iterable<Runner>;
  /** Active executions with this concurrency key. */
  activeWith(key: string): number;
  /** The newest lease of a runner; 0 before its first. */
  lastLeaseOf(runnerId: string): number;
}

/** M3 */
export const underLimit = ({ concurrency }: Lane, scene: Pick<PoolScene, 'activeWith'>): boolean =>
  concurrency === null || scene.activeWith(concurrency.key) < concurrency.limit;

/** M4 */
function isAvoided({ avoid }: Lane, runnerId: string, others: () => boolean, now: number): boolean {
  return avoid?.runnerId === runnerId && now < avoid.until && (avoid.evenAlone || others());
}

const othersMayServe = (lane: Lane, scene: PoolScene): boolean => {
  for (const runner of scene.runners()) {
    if (runner.record.id !== lane.avoid?.runnerId && fits(lane, runner.record) && mayServe(runner)) return true;
  }
  return false;
};

/** The runner for the first execution of a lane, or null when it has to wait. */
export function chooseRunner<Runner extends RunnerStatus>(lane: Lane, scene: PoolScene<Runner>, now: number): Runner | null {
  if (!underLimit(lane, scene)) return null;
  let best: Runner | null = null;
  for (const runner of scene.runners()) {
    if (!fits(lane, runner.record)) continue;
    // Whether it can take something asks the platform, so it is asked of the better ones only.
    if (best !== null && !isFreer(runner, best, scene)) continue;
    if (!canTake(runner, now)) continue;
    if (!isAvoided(lane, runner.record.id, () => othersMayServe(lane, scene), now)) best = runner;
  }
  return best;
}

/** M2 */
function isFreer(one: RunnerStatus, other: RunnerStatus, scene: PoolScene): boolean {
  const taken = one.held / one.record.slots - other.held / other.record.slots;
  return taken !== 0 ? taken < 0 : scene.lastLeaseOf(one.record.id) < scene.lastLeaseOf(other.record.id);
}

/** M1. The lane whose first execution this runner gets, or null. */
export function chooseLane<Head extends LaneHead>(
  runner: RunnerStatus,
  heads: Iterable<Head>,
  scene: PoolScene,
  now: number,
): Head | null {
  if (!canTake(runner, now)) return null;
  let best: Head | null = null;
  for (const head of heads) {
    if (best !== null && best.rank <= head.rank) continue;
    const { lane } = head;
    if (!fits(lane, runner.record) || !underLimit(lane, scene)) continue;
    if (!isAvoided(lane, runner.record.id, () => othersMayServe(lane, scene), now)) best = head;
  }
  return best;
}

/** M1, M2. The first of these lanes that a runner can take, with that runner. */
export function chooseMatch<Head extends LaneHead, Runner extends RunnerStatus>(
  heads: Iterable<Head>,
  scene: PoolScene<Runner>,
  now: number,
): { head: Head; runner: Runner } | null {
  let best: { head: Head; runner: Runner } | null = null;
  for (const head of heads) {
    if (best !== null && best.head.rank <= head.rank) continue;
    const runner = chooseRunner(head.lane, scene, now);
    if (runner) best = { head, runner };
  }
  return best;
}

/** Why the executions of a lane wait: the first reason that is true. */
export function reasonOf(lane: Lane, scene: PoolScene): WaitReason {
  let any = false;
  for (const runner of scene.runners()) {
    if (fits(lane, runner.record) && isServing(runner)) {
      any = true;
      break;
    }
  }
  if (!any) return 'no_runner';
  return underLimit(lane, scene) ? 'busy' : 'concurrency';
}
