/**
 * The tenant's directory as a session reaches it: over a network that loses messages and responses,
 * duplicates and delays them. The production rule decides which updates it accepts.
 */

import { type Announcement, type AnnouncementAnswer, decideUpsert } from '../../src/core/directory.ts';
import { ATTEMPT_TIMEOUT_MS } from '../../src/core/leased-row.ts';
import type { World } from './world.ts';

export class Directory {
  /** The stored entry of the session, or null. */
  held: Announcement | null = null;
  /** Every version that arrived, so that the checks can detect one version with two contents. */
  readonly #told = new Map<number, string>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** `answer` is called once: with null when the caller has timed out. */
  announce(announcement: Announcement, answer: (answer: AnnouncementAnswer | null) => void): void {
    const { faults, random, clock } = this.#world;
    const { execution = null, open = null } = announcement.entry ?? {};
    const text = JSON.stringify({ execution, open });
    const said = this.#told.get(announcement.version);
    if (said !== undefined && said !== text) {
      this.#world.violation(`DIR2: version ${announcement.version} was told as ${said} and as ${text}`);
    }
    this.#told.set(announcement.version, text);

    const travelMs = faults.strike('directory_slow') ? random.int(1_000, 60_000) : random.int(1, 40);
    const late = () => void clock.after(ATTEMPT_TIMEOUT_MS, () => answer(null));
    if (faults.strike('directory_message_doubled')) clock.after(travelMs + random.int(0, 30_000), () => this.#take(announcement));
    if (faults.strike('directory_away')) return late();
    const answerLost = faults.strike('directory_answer_lost') || travelMs > ATTEMPT_TIMEOUT_MS;
    clock.after(travelMs, () => {
      const judged = this.#take(announcement);
      if (!answerLost) answer(judged);
    });
    if (answerLost) late();
  }

  #take(announcement: Announcement): AnnouncementAnswer {
    const held = this.held && { version: this.held.version, removed: this.held.entry === null };
    const decision = decideUpsert(held, announcement);
    this.#world.trace(() => `directory: version ${announcement.version} is ${decision}`);
    if (decision === 'apply') this.held = announcement;
    return { taken: decision !== 'stale', held: this.held?.version ?? 0 };
  }
}
