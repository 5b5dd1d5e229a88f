/**
 * One chaos run: a session, an execution whose job records what it wrote, two viewers, and the
 * faults of a plan.
 *
 * Afterwards it compares the job's record, the log (read again from offset 0 over a sound network),
 * what each viewer received, and each execution as the API reports it.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from '../../client/index.ts';
import { type Execution, type Policy, terminalStatusOf } from '../../protocol/index.ts';
import { until } from '../../test/support/real-stack.ts';
import {
  addDifference,
  checkLog,
  compareReadings,
  compareWithGaps,
  type Difference,
  isSame,
  NO_DIFFERENCE,
  type Part,
  type Seen,
} from './compare.ts';
import { pause, spoilProcess, spoilViewers, spoilWrapperLink } from './inject.ts';
import type { Ending, Fault, FaultKind, RunPlan } from './plan.ts';
import { Recorder } from './recorder.ts';
import type { Stage } from './stage.ts';
import { WrapperKills } from './wrapper-kill.ts';

const JOB = fileURLToPath(new URL('job.mjs', import.meta.url));
const FAIL_CODE = 'asked_by_chaos';
/**
 * A half-open link is detected within the run, and no fault or pair of faults lasts as long as the
 * grace.
 */
const POLICY: Partial<Policy> = {
  heartbeatMs: 1000,
  silenceTimeoutMs: 4000,
  disconnectGraceMs: 90_000,
  interruptGraceMs: 90_000,
  pendingTimeoutMs: 120_000,
};
/**
 * Everything heals within about 20 s of the last fault. The limit leaves room for a much slower
 * machine.
 */
export const RUN_WATCHDOG_MS = 240_000;

const FIRST = 'first';
const NEXT = 'next';
const NEXT_EVENTS = 300;
const NEXT_MS = 400;
const LATE_TYPES = ['agent', 'execution_completed', 'execution_failed', 'execution_interrupted'];

export interface RunResult {
  plan: RunPlan;
  session: string;
  injected: { kind: FaultKind; atMs: number }[];
  /** Faults of the plan that found nothing to hit, such as one after the end. */
  missed: FaultKind[];
  wrapperReconnects: number;
  viewerReconnects: number;
  /** In the log. */
  events: number;
  /** Lines that the jobs wrote. */
  written: number;
  /** Lines that are missing inside gaps. */
  inGaps: number;
  gaps: number;
  verdicts: string[];
  /** Executions with exactly one verdict. */
  settledOnce: number;
  executions: number;
  difference: Difference;
  problems: string[];
  tookMs: number;
}

interface Scene {
  stage: Stage;
  plan: RunPlan;
  session: string;
  executions: string[];
  viewers: Recorder[];
  over: AbortController;
  /** When the job's first line arrived. */
  begunAt: number;
  injected: RunResult['injected'];
  missed: FaultKind[];
  /** Faults that have not begun yet, without the forced end. */
  notBegun: Set<Fault>;
  kills: WrapperKills;
}

/** Makes the job of a plan with `waits` end. */
const releaseFile = (scene: Scene): string => `${truthFile(scene, FIRST)}-release`;

const truthFile = ({ stage, session }: Pick<Scene, 'stage' | 'session'>, execution: string): string =>
  join(stage.folder, `${session}-${execution}.truth`);

function truthOf(scene: Scene, execution: string): string[] {
  const file = truthFile(scene, execution);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

/** Does not throw: failures are listed in `problems`. */
export async function performRun(stage: Stage, plan: RunPlan, label: string): Promise<RunResult> {
  const begun = Date.now();
  const session = `${label}-${plan.index}`;
  const scene: Scene = {
    stage,
    plan,
    session,
    executions: plan.next ? [FIRST, NEXT] : [FIRST],
    viewers: [],
    over: new AbortController(),
    begunAt: 0,
    injected: [],
    missed: [],
    notBegun: new Set<Fault>([...plan.wrapper, ...plan.viewer, ...plan.process, ...plan.kills]),
    kills: new WrapperKills(truthFile({ stage, session }, FIRST)),
  };
  const result: RunResult = {
    plan,
    session: scene.session,
    injected: scene.injected,
    missed: scene.missed,
    wrapperReconnects: 0,
    viewerReconnects: 0,
    events: 0,
    written: 0,
    inGaps: 0,
    gaps: 0,
    verdicts: [],
    settledOnce: 0,
    executions: scene.executions.length,
    difference: NO_DIFFERENCE,
    problems: [],
    tookMs: 0,
  };
  const watchdog = new AbortController();
  const tooLate = sleep(RUN_WATCHDOG_MS, undefined, { signal: watchdog.signal }).then(() => {
    const viewers = scene.viewers.map(({ state, lastOffset }) => `${state} after ${lastOffset}`);
    throw new Error(`not over within ${RUN_WATCHDOG_MS / 1000} s; viewers: ${viewers.join(', ')}`);
  });
  tooLate.catch(() => {});
  try {
    await Promise.race([play(scene), tooLate]);
    await Promise.race([judge(scene, result), tooLate]);
  } catch (error) {
    result.problems.push((error as Error).stack ?? String(error));
  } finally {
    watchdog.abort();
    scene.over.abort();
    for (const viewer of scene.viewers) viewer.close();
  }
  result.tookMs = Date.now() - begun;
  return result;
}

/** From the start until both viewers have everything and all faults are reverted. */
async function play(scene: Scene): Promise<void> {
  const { stage, plan, session, executions, viewers, over } = scene;
  await start(scene, FIRST, plan.events, plan.durationMs, plan.waits ? [releaseFile(scene)] : []);
  const whole = new Recorder({
    url: stage.viewerLink.url,
    apiKey: stage.stack.apiKey,
    session,
    after: 0,
    until: executions,
  });
  viewers.push(whole);
  await until(() => existsSync(truthFile(scene, FIRST)), 'the job begins', 90_000);
  scene.begunAt = Date.now();

  const faults = [
    lane(scene, plan.wrapper, (fault, begun) => spoilWrapperLink(stage, fault, over.signal, begun)),
    lane(scene, plan.viewer, (fault, begun) => spoilViewers(stage, viewers, fault, over.signal, begun)),
    lane(scene, plan.process, (fault, begun) => spoilProcess(stage, fault, over.signal, begun)),
    lane(scene, plan.kills, async ({ forMs }, begun) => {
      const hit = await scene.kills.kill(forMs, over.signal);
      begun();
      return hit;
    }),
    lane(scene, forcedEnd(plan), async ({ kind }) => {
      if (plan.waits) await allBegun(scene);
      return !over.signal.aborted && end(scene, kind);
    }),
    releaseJob(scene),
  ];
  // A fault that cannot be performed is a problem at once, without a wait for the viewers.
  const broken = Promise.all(faults).then(() => new Promise<never>(() => {}));
  broken.catch(() => {});
  const watched = (async () => {
    if (plan.next) await start(scene, NEXT, NEXT_EVENTS, NEXT_MS);
    await at(scene, plan.late.atMs);
    viewers.push(joinLate(scene, whole));
    await Promise.all(viewers.map(({ done }) => done));
  })();
  try {
    await Promise.race([watched, broken]);
  } finally {
    over.abort();
    await Promise.allSettled(faults);
  }
}

async function allBegun({ notBegun, over }: Scene): Promise<void> {
  while (notBegun.size > 0 && !over.signal.aborted) await pause(20, over.signal);
}

async function releaseJob(scene: Scene): Promise<void> {
  if (!scene.plan.waits || scene.plan.ending.kind !== 'exit') return;
  await allBegun(scene);
  writeFileSync(releaseFile(scene), '');
}

async function start(scene: Scene, execution: string, events: number, durationMs: number, more: string[] = []): Promise<void> {
  await scene.stage.client.start(scene.session, {
    id: execution,
    command: [process.execPath, JOB, truthFile(scene, execution), String(events), String(durationMs), ...more],
    format: 'jsonl',
    policy: POLICY,
    onBusy: 'queue',
  });
}

/** The request of the late viewer decides what it must receive: see `expectedOf`. */
function joinLate({ stage, plan: { late }, session, executions }: Scene, whole: Recorder): Recorder {
  const execution = late.execution ? { execution: FIRST } : {};
  const types = late.types ? { types: LATE_TYPES } : {};
  const credential = late.ticket
    ? { getTicket: async () => (await stage.client.createTicket(session)).ticket }
    : { apiKey: stage.stack.apiKey };
  return new Recorder({
    url: stage.viewerLink.url,
    session,
    after: late.resumes ? Math.floor(whole.lastOffset / 2) : 0,
    flow: late.flow,
    until: late.execution ? [FIRST] : executions,
    ...execution,
    ...types,
    ...credential,
  });
}

async function at({ begunAt, over }: Scene, ms: number): Promise<void> {
  await pause(Math.max(0, begunAt + ms - Date.now()), over.signal);
}

/** One after the other, each at its time or as soon as the previous one is reverted. */
async function lane<F extends Fault>(
  scene: Scene,
  faults: readonly F[],
  carryOut: (fault: F, begun: () => void) => Promise<boolean>,
): Promise<void> {
  for (const fault of faults) {
    await at(scene, fault.atMs);
    const atMs = Date.now() - scene.begunAt;
    const begun = () => void scene.notBegun.delete(fault);
    if (!scene.over.signal.aborted && (await carryOut(fault, begun))) scene.injected.push({ kind: fault.kind, atMs });
    else scene.missed.push(fault.kind);
    begun(); // Also counts a fault that hit nothing: the job does not wait for it.
  }
}

type ForcedEnd = Exclude<Ending, 'exit'>;

const forcedEnd = ({ ending: { kind, ...rest } }: RunPlan): Fault<ForcedEnd>[] => (kind === 'exit' ? [] : [{ kind, ...rest }]);

async function end(scene: Scene, kind: ForcedEnd): Promise<boolean> {
  const { client } = scene.stage;
  switch (kind) {
    // A response may be lost and the call repeated. The log says whether the first call arrived in
    // time (`notInTime`).
    case 'interrupt':
      await client.interrupt(scene.session, FIRST, { reason: 'chaos' });
      return true;
    case 'fail-call':
      await client.fail(scene.session, FIRST, { code: FAIL_CODE, message: 'a chaos run asked for it' });
      return true;
    default:
      return kind satisfies never;
  }
}

// ── afterwards ────────────────────────────────────────────────────────────────────────────────

async function judge(scene: Scene, result: RunResult): Promise<void> {
  const { stage, session, executions, viewers } = scene;
  const { problems } = result;
  const direct = createClient({ url: stage.stack.url, apiKey: stage.stack.apiKey });
  const again = new Recorder({ url: stage.stack.url, apiKey: stage.stack.apiKey, session, after: 0, until: executions });
  await again.done;
  const log = again.seen;

  result.events = log.length;
  notInTime(scene, log);
  problems.push(...checkLog(log, executions));
  for (const id of executions) {
    const execution = await direct.get(session, id);
    const truth = truthOf(scene, id);
    const ownLog = log.filter((event) => event.execution === id);
    result.written += truth.length;
    result.wrapperReconnects += Math.max(0, execution.epoch - 1);
    result.verdicts.push(verdictOf(execution));
    if (ownLog.filter(({ type }) => terminalStatusOf(type)).length === 1) result.settledOnce += 1;
    if (terminalStatusOf(ownLog.at(-1)?.type ?? '') !== execution.status)
      problems.push(`${id} is ${execution.status}, but its last event is ${ownLog.at(-1)?.type}`);

    const { extent, wrong } = expectedEnd(id, execution, ownLog);
    if (wrong) problems.push(`${id}: ${wrong}; it is ${JSON.stringify(execution)}`);
    const { difference, inGaps } = compareWithGaps(partsOf(ownLog), truth, extent);
    result.inGaps += inGaps;
    if (extent === 'all' && id === FIRST && execution.status === 'completed' && truth.length !== scene.plan.events)
      problems.push(`the job wrote ${truth.length} of ${scene.plan.events} lines`);
    if (!isSame(difference)) problems.push(`log of ${id} against its job: ${JSON.stringify(difference)}`);
    result.difference = addDifference(result.difference, difference);
    problems.push(...strangeParts(scene, id, ownLog, execution.status));
    result.gaps += ownLog.filter(({ type }) => type === 'gap').length;
  }
  const { kills } = scene;
  if (kills.count > 0) {
    const stored = new Set(
      log.filter(({ type, execution }) => type === 'agent' && execution === FIRST).map(({ text }) => JSON.parse(text).n),
    );
    const ended = log.some(({ type, execution }) => type === 'execution_failed' && execution === FIRST);
    const missing = ended ? 0 : kills.spooled.filter((n) => !stored.has(n)).length;
    if (missing > 0) problems.push(`${missing} events of the spools of killed wrappers are not in the log`);
    result.difference = addDifference(result.difference, { ...NO_DIFFERENCE, lost: missing });
  }
  for (const [index, viewer] of viewers.entries()) {
    result.viewerReconnects += viewer.reconnects;
    const expected = index === 0 ? log : expectedOf(scene, log, viewer);
    const difference = compareReadings(viewer.seen, expected);
    if (!isSame(difference)) problems.push(`viewer ${index + 1} against the log: ${JSON.stringify(difference)}`);
    result.difference = addDifference(result.difference, difference);
    for (const [execution, status] of viewer.ends) {
      if (terminalStatusOf(log.findLast((event) => event.execution === execution)?.type ?? '') !== status)
        problems.push(`viewer ${index + 1} was told that ${execution} ended as ${status}`);
    }
  }
}

const RESTARTED = '"reason":"wrapper_restarted"';

/**
 * What a job printed, as the log has it. The rest of a line is no JSON, so it is an output event.
 * Where a gap cuts a character, its bytes are replaced, which the event counts.
 */
const partsOf = (ownLog: readonly Seen[]): Part[] =>
  ownLog.flatMap(({ type, text }): Part[] => {
    if (type === 'agent') return [{ kind: 'line', text }];
    if (type === 'gap') return [{ kind: 'gap' }];
    if (type !== 'output') return [];
    const { text: rest, replaced } = JSON.parse(text) as { text: string; replaced?: number };
    return [{ kind: 'rest', text: (replaced ? rest.replace(/^\uFFFD{1,3}/, '') : rest).replace(/\n$/, '') }];
  });

/** A job has no output event and no gap, except for those that a killed wrapper explains. */
function strangeParts({ kills }: Scene, id: string, ownLog: readonly Seen[], status: string): string[] {
  const killed = id === FIRST ? kills.count : 0;
  const gaps = ownLog.filter(({ type }) => type === 'gap');
  const rests = ownLog.filter(({ type }) => type === 'output');
  const problems: string[] = [];
  const other = gaps.find(({ text }) => !text.includes(RESTARTED));
  if (other) problems.push(`${id} has another gap: ${other.text}`);
  if (gaps.length > killed) problems.push(`${id} has ${gaps.length} gaps after ${killed} kills of its wrapper`);
  // Only the last output of an interrupted job may have arrived in pieces.
  const [rest] = rests;
  if (rest && killed === 0 && status === 'completed') problems.push(`${id} has output: ${rest.text.slice(0, 200)}`);
  return problems;
}

/** A call after the end changed nothing, so it was no fault. */
function notInTime({ injected, missed }: Scene, log: readonly Seen[]): void {
  const traces: Partial<Record<FaultKind, (event: Seen) => boolean>> = {
    interrupt: ({ execution, type }) => execution === FIRST && type === 'interrupt_requested',
    'fail-call': ({ execution, type, text }) => execution === FIRST && type === 'execution_failed' && text.includes(FAIL_CODE),
  };
  for (const [index, { kind }] of injected.entries()) {
    const trace = traces[kind];
    if (!trace || log.some(trace)) continue;
    missed.push(...injected.splice(index, 1).map((fault) => fault.kind));
    return;
  }
}

const expectedOf = ({ plan: { late } }: Scene, log: readonly Seen[], { after }: Recorder): Seen[] =>
  log.filter(
    ({ offset, execution, type }) =>
      offset > after && (!late.execution || execution === FIRST) && (!late.types || LATE_TYPES.includes(type)),
  );

const verdictOf = ({ status, code, forced }: Execution): string => `${status}${code ? ` ${code}` : ''}${forced ? ' (forced)' : ''}`;

/** The one correct verdict, and how much of the job's output must be in the log. */
function expectedEnd(
  id: string,
  execution: Execution,
  ownLog: readonly Seen[],
): { extent: 'all' | 'beginning'; wrong: string | null } {
  const verdict = verdictOf(execution);
  const has = (type: string, text = '') => ownLog.some((event) => event.type === type && event.text.includes(text));
  const must = (expected: string): string | null => (verdict === expected ? null : `its verdict should be "${expected}"`);
  if (id === FIRST && has('execution_failed', FAIL_CODE)) return { extent: 'beginning', wrong: must(`failed ${FAIL_CODE}`) };
  // LIF37: a job that ended before its interrupt ends as its exit says.
  const byItself = has('exit', '"toldToStop":false');
  if (id === FIRST && has('interrupt_requested') && !byItself) return { extent: 'all', wrong: must('interrupted') };
  return { extent: 'all', wrong: must('completed') ?? (execution.exitCode === 0 ? null : 'its exit code should be 0') };
}
