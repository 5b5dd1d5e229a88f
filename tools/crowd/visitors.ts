/**
 * Viewers that connect, read for a while, perhaps stop reading, and leave. What each received is
 * compared with what the session's own viewer has.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { pause } from '../chaos/inject.ts';
import { Recorder } from '../chaos/recorder.ts';
import { checkViewer } from './check.ts';
import type { Visit } from './plan.ts';
import type { Scene } from './scene.ts';
import { type SessionWatch, VIEWER_TIMINGS } from './watch.ts';

/** The session's own viewer may lag behind a visitor, by as long as its link is down. */
const BEHIND_MAX_MS = 120_000;

/** A row of visits, until the crowd is over. */
export async function visit(scene: Scene, row: readonly Visit[]): Promise<void> {
  const { plan, watches, over } = scene;
  for (const [index, each] of row.entries()) {
    const watch = watches.get(plan.sessions[each.session]?.name ?? '');
    if (!watch) await pause(500, over.signal);
    else await visitOnce(scene, watch, each, index);
    if (over.signal.aborted) return;
  }
}

async function visitOnce(
  { stage, over, result }: Pick<Scene, 'stage' | 'over' | 'result'>,
  watch: SessionWatch,
  { from, staysMs, stallsAfterMs, flow }: Visit,
  index: number,
): Promise<void> {
  const after = Math.floor(watch.recorder.lastOffset * from);
  const visitor = new Recorder({
    url: stage.viewerLink.url,
    apiKey: stage.stack.apiKey,
    session: watch.session,
    after,
    flow,
    until: watch.executions,
    timings: VIEWER_TIMINGS,
  });
  const stalls = stallsAfterMs ?? staysMs;
  await pause(stalls, over.signal);
  if (stallsAfterMs !== null) visitor.pause();
  await pause(staysMs - stalls, over.signal);
  visitor.close();
  const name = `${watch.session}, visit ${index + 1} from ${after}`;
  try {
    await visitor.done;
  } catch (error) {
    result.problems.push(`${name} [CR9]: ${(error as Error).message}`);
    return;
  }
  const last = visitor.seen.at(-1)?.offset ?? 0;
  for (const end = Date.now() + BEHIND_MAX_MS; watch.recorder.lastOffset < last && Date.now() < end; ) await sleep(50);
  result.visits += 1;
  result.problems.push(...checkViewer(name, { after, seen: visitor.seen, whole: false }, watch.recorder.seen));
}
