/**
 * Steady traffic for minutes: jobs that run the whole time, jobs that begin and end, viewers that
 * reconnect, and a cut now and then. No process is killed and replaced, so that each process has
 * one series of measurements. `flatness` judges the series.
 *
 * Everything that was delivered is compared with what the jobs wrote, as in a crowd.
 */

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Policy } from '../../protocol/index.ts';
import type { Seen } from '../chaos/compare.ts';
import { pause } from '../chaos/inject.ts';
import { Recorder } from '../chaos/recorder.ts';
import { checkSpools, FDS_ALLOWANCE, RUN_KEPT_BYTES } from '../crowd/aftermath.ts';
import { checkCallbacks, checkSession, checkViewer, type ExecutionFacts } from '../crowd/check.ts';
import { callbacksOf, truthOf } from '../crowd/judge.ts';
import type { ExecutionPlan } from '../crowd/plan.ts';
import { requestOf, type Shape } from '../crowd/shapes.ts';
import type { CrowdStage } from '../crowd/stage.ts';
import type { Usage } from '../crowd/usage.ts';
import { readLog, VIEWER_TIMINGS } from '../crowd/watch.ts';
import { Random } from '../simulator/random.ts';
import { type Bound, judgeFlatness, type Sample, type Verdict } from './flatness.ts';

export interface SoakSize {
  minutes: number;
  /** Lines per second of each job that runs the whole time. */
  rate: number;
  seed: number;
}

const LONG_SESSIONS = 3;
/** Rows of consecutive sessions, each with this many executions, and never used again. */
const CHURN_ROWS = 3;
const CHURN_EXECUTIONS = 6;
/** Upper bound on the rate, so that the traffic does not depend on the load of the machine. */
const CHURN_EVERY_MS = 3000;
/** Viewers of each session that reconnect repeatedly. */
const COMMUTERS = 2;
const CUT_EVERY_MS = 20_000;
const SAMPLE_EVERY_MS = 5000;
/** A debugger's collection stops the whole Worker for a moment. */
const WORKER_HEAP_EVERY = 2;
const SETTLE_MS = 20_000;
const IDLE_WAIT_MS = 90_000;
const MIB = 1024 * 1024;

/**
 * Growth of workerd's resident memory for each object that it sees for the first time, whatever the
 * object is. An object of ten lines that was written to and left took 150 KiB, measured over 400 of
 * them in a row, while the JavaScript heap of the Worker did not grow.
 */
const OBJECT_KEPT_BYTES = 150 * 1024;

const POLICY: Partial<Policy> = { heartbeatMs: 5000, silenceTimeoutMs: 25_000, disconnectGraceMs: 120_000 };

export const BOUNDS: Readonly<Record<keyof Usage, Bound>> = {
  rssMiB: { share: 0.05, least: 8 },
  heapMiB: { share: 0.05, least: 0.5 },
  fds: { share: 0.1, least: 4 },
};

export interface Series {
  process: string;
  what: keyof Usage;
  verdict: Verdict;
  samples: Sample[];
}

export interface SoakResult {
  size: SoakSize;
  sessions: number;
  executions: number;
  events: number;
  lines: number;
  reconnects: number;
  cuts: number;
  callbacks: number;
  series: Series[];
  base: { coordinator: Usage | null; runner: Usage | null };
  idle: { coordinator: Usage | null; runner: Usage | null };
  problems: string[];
}

interface Scene {
  stage: CrowdStage;
  random: Random;
  over: AbortController;
  result: SoakResult;
  say: (line: string) => void;
}

export async function performSoak(stage: CrowdStage, size: SoakSize, say: (line: string) => void): Promise<SoakResult> {
  const result: SoakResult = {
    size,
    ...{ sessions: 0, executions: 0, events: 0, lines: 0, reconnects: 0, cuts: 0, callbacks: 0, series: [], problems: [] },
    base: { coordinator: null, runner: null },
    idle: { coordinator: null, runner: null },
  };
  const scene: Scene = { stage, random: new Random(size.seed), over: new AbortController(), result, say };
  const { over } = scene;
  writeFileSync(stage.gate, '');
  await sleep(2000);
  result.base = { coordinator: stage.usageOf(stage.coordinatorPid), runner: stage.usageOf(stage.runnerPid) };

  const long = Array.from({ length: LONG_SESSIONS }, (_, index) => planOf(`long-${index + 1}`, 1, 'steady', size.rate));
  for (const plan of long) await start(scene, plan);
  result.sessions += long.length;
  for (const end = Date.now() + 60_000; stage.wrapperPids().length < long.length; ) {
    if (Date.now() > end) throw new Error('the long jobs did not start');
    await sleep(200);
  }
  const sampling = sample(scene);
  const churn = Array.from({ length: CHURN_ROWS }, (_, index) => churnRow(scene, `churn-${index + 1}`));
  const viewers = long.flatMap((plan) => Array.from({ length: COMMUTERS }, (_, index) => commute(scene, plan, index)));
  const cutting = cutLinks(scene);

  await Promise.race([sleep(size.minutes * 60_000), Promise.all([sampling, cutting, ...churn]).then(() => {})]);
  say('the time is over; jobs end');
  over.abort();
  writeFileSync(`${stage.gate}.stop`, '');
  await Promise.all([sampling, cutting]);
  const sessions = [...long.map((plan) => [plan]), ...(await Promise.all(churn)).flat()];
  for (const plans of sessions) await judge(scene, plans, viewers);
  await judgeCallbacks(scene, sessions.flat());
  for (const { process, what, verdict } of result.series) {
    if (!verdict.flat)
      result.problems.push(
        `${process}, ${what}: rises by ${verdict.growth.toFixed(2)} over the ${verdict.fit.samples} samples of the second half, and ${verdict.allowed.toFixed(2)} are allowed`,
      );
  }
  await goIdle(scene);
  return result;
}

const planOf = (session: string, n: number, shape: Shape, size: number): ExecutionPlan => ({
  session,
  id: `e${n}`,
  shape,
  size,
  deed: null,
  deedAfterMs: 0,
});

async function start({ stage, result }: Scene, { session, id, shape, size }: ExecutionPlan): Promise<void> {
  const files = { job: stage.job, truth: stage.truthFile(session, id), gate: stage.gate };
  const callback = { url: stage.receiver.url };
  await stage.client.start(session, { ...requestOf(shape, size, files, POLICY), id, onBusy: 'queue', callback });
  result.executions += 1;
}

/** One session after the other. Each row of plans is one of them. */
async function churnRow(scene: Scene, row: string): Promise<ExecutionPlan[][]> {
  const sessions: ExecutionPlan[][] = [];
  while (!scene.over.signal.aborted) {
    scene.result.sessions += 1;
    sessions.push(await churnSession(scene, `${row}-${sessions.length + 1}`));
  }
  return sessions;
}

/** At most one runs and one waits. */
async function churnSession(scene: Scene, session: string): Promise<ExecutionPlan[]> {
  const { stage, random, over } = scene;
  const plans: ExecutionPlan[] = [];
  while (plans.length === 0 || (plans.length < CHURN_EXECUTIONS && !over.signal.aborted)) {
    const shape = random.pick<Shape>(['chatty', 'jsonl', 'stdin', 'exit', 'silent']);
    const size = { chatty: random.int(3, 15), jsonl: random.int(3, 15), exit: random.int(1, 98), silent: 1 }[shape as string] ?? 0;
    const plan = planOf(session, plans.length + 1, shape, size);
    plans.push(plan);
    const paced = pause(CHURN_EVERY_MS, over.signal);
    await start(scene, plan);
    await paced;
    const before = plans.at(-2);
    if (before) await stage.client.wait(session, before.id);
  }
  const last = plans.at(-1);
  if (last) await stage.client.wait(session, last.id);
  return plans;
}

interface Commuter {
  session: string;
  name: string;
  seen: Seen[];
}

/** Connects, reads, leaves, and resumes where it stopped, until its execution has ended. */
async function commute(scene: Scene, { session, id }: ExecutionPlan, index: number): Promise<Commuter> {
  const { stage, random, over, result } = scene;
  const commuter: Commuter = { session, name: `${session}, viewer ${index + 1}`, seen: [] };
  for (let ended = false; !ended; ) {
    const recorder = new Recorder({
      url: stage.viewerLink.url,
      apiKey: stage.stack.apiKey,
      session,
      after: commuter.seen.at(-1)?.offset ?? 0,
      flow: index % 2 === 0,
      until: [id],
      timings: VIEWER_TIMINGS,
    });
    // At the end it stays until it has the verdict.
    await Promise.race([recorder.done, sleep(random.int(500, 6000)), untilAborted(over.signal)]);
    if (over.signal.aborted) await recorder.done;
    recorder.close();
    await recorder.done;
    commuter.seen.push(...recorder.seen);
    result.reconnects += recorder.reconnects + 1;
    ended = recorder.ends.has(id);
    if (!ended) await pause(random.int(0, 800), over.signal);
  }
  return commuter;
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function cutLinks({ stage, random, over, result }: Scene): Promise<void> {
  for (;;) {
    await pause(random.int(CUT_EVERY_MS / 2, (CUT_EVERY_MS * 3) / 2), over.signal);
    if (over.signal.aborted) return;
    const link = random.pick([stage.wrapperLink, stage.viewerLink]);
    result.cuts += link.cut(() => random.chance(0.5));
  }
}

/** Fills `series` when it ends. */
async function sample({ stage, over, result, say }: Scene): Promise<void> {
  const wrappers = new Map(stage.wrapperPids().flatMap((pid): [string, number][] => [[`wrapper ${pid}`, pid]]));
  const processes = new Map<string, number | null>([
    ['coordinator', stage.coordinatorPid],
    ['runner', stage.runnerPid],
    ...wrappers,
  ]);
  const series = new Map<string, { process: string; what: keyof Usage; samples: Sample[] }>();
  const add = (process: string, what: keyof Usage, at: number, value: number | null | undefined): void => {
    if (value === null || value === undefined) return;
    const key = `${process} ${what}`;
    const own = series.get(key) ?? { process, what, samples: [] };
    series.set(key, own);
    own.samples.push({ at, value });
  };
  const begun = Date.now();
  const runs: Sample[] = [];
  const sessions: Sample[] = [];
  for (let n = 0; !over.signal.aborted; n += 1) {
    const at = Date.now() - begun;
    for (const [process, pid] of processes) {
      const usage = stage.usageOf(pid);
      for (const what of ['rssMiB', 'heapMiB', 'fds'] as const) add(process, what, at, usage?.[what]);
    }
    runs.push({ at, value: result.executions });
    sessions.push({ at, value: result.sessions });
    if (n % WORKER_HEAP_EVERY === 0) add('coordinator', 'heapMiB', at, await stage.workerHeapMiB());
    if (n % 12 === 0) say(`${result.executions} executions, ${result.reconnects} connections of viewers, ${result.cuts} cuts`);
    await pause(SAMPLE_EVERY_MS, over.signal);
  }
  // A process that should have run the whole time ended early: there is nothing to judge.
  for (const [process, pid] of processes) if (!stage.usageOf(pid)) result.problems.push(`${process} has ended`);
  const begunLate = (counts: readonly Sample[]): number => judgeFlatness(counts, BOUNDS.fds).growth;
  const kept = new Map([
    ['runner heapMiB', (begunLate(runs) * RUN_KEPT_BYTES) / MIB],
    ['coordinator rssMiB', (begunLate(sessions) * OBJECT_KEPT_BYTES) / MIB],
  ]);
  result.series = [...series.values()].map(({ process, what, samples }) => {
    const bound = { ...BOUNDS[what], kept: kept.get(`${process} ${what}`) ?? 0 };
    return { process, what, samples, verdict: judgeFlatness(samples, bound) };
  });
}

async function judge(
  { stage, result }: Scene,
  plans: readonly ExecutionPlan[],
  viewers: readonly Promise<Commuter>[],
): Promise<void> {
  const session = plans[0]?.session ?? '';
  const ids = plans.map(({ id }) => id);
  await Promise.all(ids.slice(-2).map((id) => stage.client.wait(session, id)));
  const log = await readLog(stage, session, ids);
  result.problems.push(...checkSession({ session, log, executions: await factsOf(stage, plans), troubles: [] }));
  result.events += log.length;
  for (const { id } of plans) result.lines += (truthOf(stage, session, id)?.out ?? '').split('\n').length - 1;
  for (const { session: of, name, seen } of await Promise.all(viewers))
    if (of === session) result.problems.push(...checkViewer(name, { after: 0, seen, whole: true }, log));
}

async function factsOf(stage: CrowdStage, plans: readonly ExecutionPlan[]): Promise<ExecutionFacts[]> {
  const facts: ExecutionFacts[] = [];
  for (const plan of plans) {
    const execution = await stage.client.get(plan.session, plan.id);
    facts.push({ plan, execution, done: null, truth: truthOf(stage, plan.session, plan.id) });
  }
  return facts;
}

async function judgeCallbacks({ stage, result }: Scene, plans: readonly ExecutionPlan[]): Promise<void> {
  const accepted = () => new Set(callbacksOf(stage).flatMap(({ id, accepted: yes }) => (yes ? [id] : [])));
  for (const end = Date.now() + 60_000; accepted().size < plans.length && Date.now() < end; ) await sleep(500);
  result.callbacks = callbacksOf(stage).length;
  result.problems.push(...checkCallbacks(await factsOf(stage, plans), callbacksOf(stage)));
}

async function goIdle({ stage, result }: Scene): Promise<void> {
  for (const end = Date.now() + 30_000; stage.leftovers().length > 0 && Date.now() < end; ) await sleep(200);
  for (const { pid, command } of stage.leftovers()) result.problems.push(`process ${pid} is left: ${command}`);
  result.problems.push(...checkSpools(stage.runnerSpool));
  await sleep(SETTLE_MS);
  for (const end = Date.now() + IDLE_WAIT_MS; ; await sleep(2000)) {
    result.idle = { coordinator: stage.usageOf(stage.coordinatorPid), runner: stage.usageOf(stage.runnerPid) };
    const { base, idle } = result;
    const still = (['coordinator', 'runner'] as const).filter(
      (who) => (idle[who]?.fds ?? Number.POSITIVE_INFINITY) > (base[who]?.fds ?? 0) + FDS_ALLOWANCE,
    );
    if (still.length === 0) return;
    if (Date.now() < end) continue;
    for (const who of still) result.problems.push(`${who}: ${idle[who]?.fds} open files, ${base[who]?.fds} before`);
    return;
  }
}
