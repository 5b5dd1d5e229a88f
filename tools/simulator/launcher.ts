/**
 * The runner as the coordinator sees it: idempotent by execution id, unless this schedule makes it
 * the faulty one.
 */

import type { ExecutionRecord } from '../../src/core/execution.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../../src/core/launching.ts';
import type { World } from './world.ts';

export class Launcher {
  readonly #world: World;
  readonly #started = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  launch(record: ExecutionRecord, answer: (outcome: LaunchOutcome) => void): void {
    const { faults, random, clock } = this.#world;
    const travelMs = random.int(1, 40);
    const say = (outcome: LaunchOutcome, afterMs: number) => void clock.after(afterMs, () => answer(outcome));
    this.#world.trace(() => `launch of ${record.id}, attempt ${record.launchAttempts}`);
    if (faults.strike('launch_refused')) return say({ kind: 'refused', message: 'no such image' }, travelMs);
    if (faults.strike('launch_failed')) return say({ kind: 'failed', message: 'not reached' }, travelMs);
    if (faults.strike('launch_saturated')) {
      return say({ kind: 'saturated', retryAfterMs: random.pick([null, 0, 1000]) }, travelMs);
    }
    const slowMs = faults.strike('launch_slow') ? random.int(500, 15_000) : travelMs;
    clock.after(slowMs, () => this.#start(record.id));
    if (faults.strike('launch_answer_lost')) return say({ kind: 'failed', message: 'no answer' }, LAUNCH_TIMEOUT_MS);
    say({ kind: 'launched' }, slowMs + travelMs);
  }

  #start(execution: string): void {
    if (this.#started.has(execution)) return;
    this.#started.add(execution);
    this.#world.startWrapper(execution);
    if (this.#world.faults.strike('launch_doubled')) this.#world.startWrapper(execution);
  }
}
