/** Checks after a crowd: no process runs, no spool holds anything, no connection stays open. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measured, Scene } from './scene.ts';
import { deadSockets, type Usage } from './usage.ts';

const LEFTOVERS_WAIT_MS = 90_000;
const IDLE_WAIT_MS = 120_000;
/**
 * Allowance for open files: connections kept for a next call, and files that a runtime opens once.
 */
export const FDS_ALLOWANCE = 8;
/**
 * Allowance of JavaScript heap after a collection: code that the crowd used first, and the caches
 * of a runtime.
 */
export const HEAP_ALLOWANCE_MIB = 3;
/**
 * A socket that workerd does not close: itself, and at most the three files of its object's
 * database.
 */
const FILES_OF_DEAD_SOCKET = 4;
/** The object that stays in memory with it. */
const HEAP_OF_DEAD_SOCKET_BYTES = 8 * 1024;
/** What a runner keeps of each ended run, for an hour: its record and a map entry. */
export const RUN_KEPT_BYTES = 3 * 1024;

/** Folders of a runner's runs. */
function runFolders(spool: string): string[] {
  const folders = (parent: string): string[] =>
    readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(parent, entry.name));
  return existsSync(spool) ? folders(spool).flatMap(folders) : [];
}

/** Every run has ended, and its credential and its wrapper's spool are gone. */
export function checkSpools(spool: string): string[] {
  const problems: string[] = [];
  for (const folder of runFolders(spool)) {
    const record = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as {
      session: string;
      id: string;
      end: string | null;
    };
    const name = `${record.session}/${record.id}`;
    if (record.end !== 'finished') problems.push(`${name}: the runner has it as ${record.end ?? 'running'}`);
    if (existsSync(join(folder, 'ingest.json'))) problems.push(`${name}: its credential is still on disk`);
    const own = join(folder, 'spool');
    const left = existsSync(own) ? readdirSync(own) : [];
    if (left.length > 0) problems.push(`${name}: its spool still has ${left.join(', ')}`);
  }
  return problems;
}

export async function measure({ stage }: Scene): Promise<Measured> {
  const heapMiB = await stage.workerHeapMiB();
  const pid = stage.coordinatorPid;
  const coordinator = stage.usageOf(pid);
  return {
    deadSockets: deadSockets(pid),
    coordinator: coordinator && { ...coordinator, heapMiB },
    runner: stage.usageOf(stage.runnerPid),
  };
}

/** No process, no spool, no additional open file. */
export async function goHome(scene: Scene): Promise<void> {
  const { stage, result, times, say } = scene;
  for (const end = Date.now() + LEFTOVERS_WAIT_MS; stage.leftovers().length > 0 && Date.now() < end; ) await sleep(200);
  for (const { pid, command } of stage.leftovers()) result.problems.push(`process ${pid} is left: ${command}`);
  for (const end = Date.now() + 10_000; (await stage.running()) > 0 && Date.now() < end; ) await sleep(200);
  result.problems.push(...checkSpools(stage.runnerSpool));
  for (const watch of scene.watches.values()) watch.recorder.close();
  // A half-open connection is dead for its viewer, which has another one. The coordinator keeps it
  // until TCP gives up.
  for (const link of [stage.wrapperLink, stage.viewerLink]) link.cut();
  say('all processes of the crowd are gone; waiting for the rest to be idle');
  // Other systems do not report what a process has open.
  if (process.platform !== 'linux') return;
  await sleep(times.settleMs);
  for (const end = Date.now() + IDLE_WAIT_MS; ; await sleep(2000)) {
    result.idle = await measure(scene);
    const problems = [
      ...notGivenBack('coordinator', result.base.coordinator, result.idle.coordinator, {
        fds: result.idle.deadSockets * FILES_OF_DEAD_SOCKET,
        heapMiB: (result.idle.deadSockets * HEAP_OF_DEAD_SOCKET_BYTES) / 1024 ** 2,
      }),
      ...notGivenBack('runner', result.base.runner, result.idle.runner, {
        fds: 0,
        heapMiB: (result.executions * RUN_KEPT_BYTES) / 1024 ** 2,
      }),
    ];
    if (problems.length > 0 && Date.now() < end) continue;
    result.problems.push(...problems);
    return;
  }
}

/** Pure. `kept`: what is kept for a known reason. */
export function notGivenBack(
  who: string,
  before: Usage | null,
  after: Usage | null,
  kept: { fds: number; heapMiB: number },
): string[] {
  if (!before || !after) return [`${who}: was not measured`];
  const problems: string[] = [];
  if (after.fds > before.fds + FDS_ALLOWANCE + kept.fds)
    problems.push(`${who}: ${after.fds} open files, ${before.fds} before the crowd came`);
  const [heap, heapBefore] = [after.heapMiB ?? Number.NaN, before.heapMiB ?? Number.NaN];
  if (!(heap <= heapBefore + HEAP_ALLOWANCE_MIB + kept.heapMiB))
    problems.push(`${who}: ${heap.toFixed(1)} MiB of heap, ${heapBefore.toFixed(1)} before the crowd came`);
  return problems;
}
