/**
 * Collects everything after a crowd has ended, from files and from the API, and passes it to the
 * judge (check.ts).
 */

import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Execution } from '../../protocol/index.ts';
import {
  type CallbackSeen,
  checkCallbacks,
  checkDirectory,
  checkSession,
  checkViewer,
  type ExecutionFacts,
  type ListedSession,
  type SessionFacts,
  type Truth,
  verdictOf,
} from './check.ts';
import { keyOf, type Scene } from './scene.ts';
import type { CrowdStage } from './stage.ts';
import { readLog } from './watch.ts';

const READERS = 8;
const CALLBACKS_WAIT_MS = 120_000;
const DIRECTORY_WAIT_MS = 60_000;

export function truthOf(stage: CrowdStage, session: string, id: string): Truth | null {
  const file = stage.truthFile(session, id);
  if (!existsSync(`${file}.out`)) return null;
  const read = (name: string): string => (existsSync(name) ? readFileSync(name, 'utf8') : '');
  const end = read(`${file}.end`).trim();
  return { out: read(`${file}.out`), err: read(`${file}.err`), end: end === '' ? null : Number(end) };
}

export async function judge(scene: Scene): Promise<void> {
  const { stage, plan, watches, troubles, done, result } = scene;
  const facts: ExecutionFacts[] = [];
  const newest = new Map<string, { id: string; status: string }>();
  const waiting = [...plan.sessions];
  const reader = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const { name, executions } = next;
      const listed = (await stage.client.list(name)).data;
      const [first] = listed;
      if (first) newest.set(name, { id: first.id, status: first.status });
      const log = await readLog(
        stage,
        name,
        executions.map(({ id }) => id),
      );
      const session: SessionFacts = {
        session: name,
        log,
        executions: executions.map((each) => ({
          plan: each,
          execution: listed.find(({ id }) => id === each.id) as Execution,
          done: done.get(keyOf(name, each.id)) ?? null,
          truth: truthOf(stage, name, each.id),
        })),
        troubles,
      };
      result.problems.push(...checkSession(session));
      const watch = watches.get(name);
      if (watch) {
        result.problems.push(...checkViewer(`${name}, its viewer`, { after: 0, seen: watch.recorder.seen, whole: true }, log));
        result.viewerReconnects += watch.recorder.reconnects;
      }
      result.events += log.length;
      facts.push(...session.executions);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));

  for (const { execution, plan: each, done: came } of facts) {
    const verdict = `${verdictOf(execution)}${execution.forced ? ' (forced)' : ''}`;
    result.verdicts[verdict] = (result.verdicts[verdict] ?? 0) + 1;
    result.wrapperReconnects += Math.max(0, execution.epoch - 1);
    if (!each.deed) continue;
    const counts = result.deeds[each.deed] ?? { took: 0, missed: 0 };
    result.deeds[each.deed] = counts;
    if (came?.took) counts.took += 1;
    else counts.missed += 1;
  }
  await judgeCallbacks(scene, facts);
  await judgeDirectory(scene, newest);
}

export const callbacksOf = ({ receiver }: CrowdStage): CallbackSeen[] =>
  receiver.attempts.map(({ id, body, verified, answered }) => {
    const { data } = JSON.parse(body) as { data: { session: string; execution: { id: string; status: string } } };
    const { session, execution } = data;
    return { id, session, execution: execution.id, status: execution.status, verified, accepted: answered < 300 };
  });

async function judgeCallbacks({ stage, result }: Scene, facts: readonly ExecutionFacts[]): Promise<void> {
  const accepted = () => new Set(callbacksOf(stage).flatMap(({ id, accepted: yes }) => (yes ? [id] : [])));
  for (const end = Date.now() + CALLBACKS_WAIT_MS; accepted().size < facts.length && Date.now() < end; ) await sleep(500);
  const seen = callbacksOf(stage);
  result.callbacks = { ids: new Set(seen.map(({ id }) => id)).size, attempts: seen.length };
  result.problems.push(...checkCallbacks(facts, seen));
}

/**
 * Sessions announce a change moments later. This polls until the list is right or the time is over.
 */
async function judgeDirectory(
  { stage, result }: Scene,
  newest: ReadonlyMap<string, { id: string; status: string }>,
): Promise<void> {
  for (const end = Date.now() + DIRECTORY_WAIT_MS; ; await sleep(1000)) {
    const listed: ListedSession[] = [];
    let cursor: string | null = null;
    do {
      const page = await stage.client.sessions({ limit: 100, ...(cursor === null ? {} : { cursor }) });
      listed.push(...(page.data as ListedSession[]));
      cursor = page.next;
    } while (cursor !== null);
    const problems = checkDirectory(newest, listed);
    if (problems.length > 0 && Date.now() < end) continue;
    result.problems.push(...problems);
    return;
  }
}
