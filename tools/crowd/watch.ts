/**
 * One session of a crowd, as its own viewer sees it: over a disturbed link, from the first event to
 * the last verdict.
 */

import type { Seen } from '../chaos/compare.ts';
import { Recorder } from '../chaos/recorder.ts';
import type { CrowdStage } from './stage.ts';

/**
 * Short enough to detect a half-open link soon, and long enough for a machine with four hundred
 * processes on two cores.
 */
export const VIEWER_TIMINGS = { connectMs: 15_000, pingMs: 4000, pongMs: 8000, retryBaseMs: 200, retryCapMs: 2000 };

export class SessionWatch {
  readonly session: string;
  readonly executions: readonly string[];
  readonly recorder: Recorder;
  /** Executions whose job has begun. */
  readonly started = new Set<string>();
  readonly ended = new Set<string>();
  readonly #onStarted: (execution: string) => void;

  constructor(stage: CrowdStage, session: string, executions: readonly string[], onStarted: (execution: string) => void) {
    this.session = session;
    this.executions = executions;
    this.#onStarted = onStarted;
    this.recorder = new Recorder({
      url: stage.viewerLink.url,
      apiKey: stage.stack.apiKey,
      session,
      after: 0,
      flow: true,
      until: executions,
      timings: VIEWER_TIMINGS,
      onEvent: (event) => this.#take(event),
    });
  }

  /** A job of it runs now, as far as this viewer knows. */
  get isBusy(): boolean {
    for (const execution of this.started) if (!this.ended.has(execution)) return true;
    return false;
  }

  #take({ type, execution }: Seen): void {
    if (type === 'started') {
      this.started.add(execution);
      this.#onStarted(execution);
    }
    if (/^execution_(completed|failed|interrupted)$/.test(type)) this.ended.add(execution);
  }
}

/** Reads the log again from its beginning, over a sound network. */
export async function readLog(stage: CrowdStage, session: string, executions: readonly string[]): Promise<Seen[]> {
  const reader = new Recorder({
    url: stage.stack.url,
    apiKey: stage.stack.apiKey,
    session,
    after: 0,
    until: executions,
    timings: VIEWER_TIMINGS,
  });
  await reader.done;
  return reader.seen;
}
