/**
 * The callback queue as a session reaches it: it may be down or slow, or accept a message and lose
 * its response. Received messages are kept for the checks.
 */

import type { CallbackEvent, Execution } from '../../protocol/index.ts';
import type { CallbackFacts } from '../../src/core/callback.ts';
import { ATTEMPT_TIMEOUT_MS } from '../../src/core/leased-row.ts';
import type { World } from './world.ts';

export interface QueuedCallback {
  id: string;
  url: string;
  event: CallbackEvent;
  offset: number;
  execution: Execution;
}

export class CallbackQueue {
  /** Each message, once for each time it arrived. */
  readonly messages: QueuedCallback[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** `answer` is called once: with false when it is unknown whether the queue has the message. */
  send({ id, url, event, offset }: CallbackFacts, execution: Execution, answer: (taken: boolean) => void): void {
    const { faults, random, clock } = this.#world;
    if (faults.strike('queue_away')) return void clock.after(random.int(1, ATTEMPT_TIMEOUT_MS), () => answer(false));
    const travelMs = faults.strike('queue_slow') ? random.int(1_000, 60_000) : random.int(1, 40);
    const answerLost = faults.strike('queue_answer_lost') || travelMs > ATTEMPT_TIMEOUT_MS;
    clock.after(travelMs, () => {
      this.#world.trace(() => `queue: the callback of ${execution.id}`);
      this.messages.push({ id, url, event, offset, execution });
      if (!answerLost) answer(true);
    });
    if (answerLost) clock.after(ATTEMPT_TIMEOUT_MS, () => answer(false));
  }
}
