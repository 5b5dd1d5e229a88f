/**
 * A crowd from its first start until all that it used is released.
 *
 *    base ── starts ── all sessions run a job at the same time ── the gate opens
 *      ── queues drain, under faults ── judged ── idle again
 *
 * `watch` follows each session, `deeds` and `inject` disturb them, `visitors` come and go, `judge`
 * passes everything to `check`, and `aftermath` checks what is left.
 */

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Policy } from '../../protocol/index.ts';
import { Random } from '../simulator/random.ts';
import { goHome, measure } from './aftermath.ts';
import { carryOut } from './deeds.ts';
import { inject } from './inject.ts';
import { judge } from './judge.ts';
import type { CrowdPlan, Deed, ExecutionPlan } from './plan.ts';
import { type CrowdResult, type CrowdTimes, keyOf, type Scene } from './scene.ts';
import { requestOf } from './shapes.ts';
import type { CrowdStage } from './stage.ts';
import { UsageWatch } from './usage-watch.ts';
import { visit } from './visitors.ts';
import { readLog, SessionWatch } from './watch.ts';

/** Grace and silence of executions whose wrapper is to be stopped for longer than both. */
const FREEZE_POLICY: Partial<Policy> = { heartbeatMs: 2000, silenceTimeoutMs: 8000, disconnectGraceMs: 10_000 };
/** Share of the progress assigned to the start of all sessions. */
const STARTING_SHARE = 0.15;

export async function performCrowd(
  stage: CrowdStage,
  plan: CrowdPlan,
  times: CrowdTimes,
  say: (line: string) => void = () => {},
): Promise<CrowdResult> {
  const begun = Date.now();
  const all = plan.sessions.flatMap(({ executions }) => executions);
  const result: CrowdResult = {
    seed: plan.seed,
    sessions: plan.sessions.length,
    executions: all.length,
    events: 0,
    verdicts: {},
    shapes: {},
    deeds: {},
    faults: {},
    missedFaults: [],
    atOnce: { sessions: 0, wrappers: 0 },
    callbacks: { ids: 0, attempts: 0 },
    wrapperReconnects: 0,
    viewerReconnects: 0,
    visits: 0,
    base: { deadSockets: 0, coordinator: null, runner: null },
    idle: { deadSockets: 0, coordinator: null, runner: null },
    usage: [],
    problems: [],
    ms: { starting: 0, all: 0 },
  };
  for (const { shape } of all) result.shapes[shape] = (result.shapes[shape] ?? 0) + 1;
  let unlock = () => {};
  const opened = new Promise<void>((resolve) => {
    unlock = resolve;
  });
  const scene: Scene = {
    stage,
    plan,
    times,
    watches: new Map(),
    done: new Map(),
    deeds: [],
    troubles: [],
    gate: { open: false, opened, unlock },
    over: new AbortController(),
    result,
    say,
  };
  const patience = new AbortController();
  const tooLate = sleep(times.watchdogMs, undefined, { signal: patience.signal }).then(() => {
    throw new Error(`not over within ${times.watchdogMs / 1000} s:\n${stuck(scene)}`);
  });
  tooLate.catch(() => {});
  let usage: UsageWatch | null = null;
  try {
    await Promise.race([warmUp(scene), tooLate]);
    result.base = await measure(scene);
    usage = new UsageWatch(stage);
    await Promise.race([play(scene), tooLate]);
    usage.look();
    say('all executions have ended; judging');
    await Promise.race([judge(scene), tooLate]);
    await Promise.race([goHome(scene), tooLate]);
  } catch (error) {
    result.problems.push((error as Error).stack ?? String(error));
  } finally {
    patience.abort();
    scene.over.abort();
    for (const { recorder } of scene.watches.values()) recorder.close();
    usage?.stop();
    result.usage = usage?.rows ?? [];
  }
  result.ms.all = Date.now() - begun;
  return result;
}

function stuck({ watches, gate }: Scene): string {
  const open = [...watches.values()].filter(({ ended, executions }) => ended.size < executions.length);
  const lines = open.slice(0, 20).map(({ session, started, ended, recorder }) => {
    return `  ${session}: started ${[...started]}, ended ${[...ended]}, ${recorder.state} after ${recorder.lastOffset}`;
  });
  return [`gate ${gate.open ? 'open' : 'closed'}, ${open.length} sessions open`, ...lines].join('\n');
}

// ── before ────────────────────────────────────────────────────────────────────────────────────

/**
 * One complete execution, so that every process has loaded its one-time data before the
 * measurement.
 */
async function warmUp({ stage, times }: Scene): Promise<void> {
  const session = 'warm-up';
  await stage.client.start(session, { id: 'e1', command: ['true'], callback: { url: stage.receiver.url } });
  await stage.client.wait(session, 'e1');
  await readLog(stage, session, ['e1']);
  const end = Date.now() + 20_000;
  while (stage.receiver.attempts.length === 0 && Date.now() < end) await sleep(100);
  stage.receiver.attempts.length = 0;
  await stage.client.deleteSession(session);
  await sleep(times.settleMs);
}

// ── the crowd ─────────────────────────────────────────────────────────────────────────────────

async function play(scene: Scene): Promise<void> {
  const { plan, watches, over, result, say } = scene;
  const begun = Date.now();
  const roll = new Random(plan.seed + 1).next;
  const faults = faultLane(scene, roll);
  const visitors = plan.visitors.map((row) => visit(scene, row));
  // What cannot be performed is a problem at once, without a wait for the viewers.
  const broken = Promise.all([faults, ...visitors]).then(() => new Promise<never>(() => {}));
  broken.catch(() => {});
  const watched = (async () => {
    const starting: Promise<void>[] = [];
    for (const { name } of plan.sessions) {
      starting.push(startSession(scene, name));
      await sleep(1000 / scene.times.startsPerSecond);
    }
    await Promise.all(starting);
    say(`${result.executions} executions in ${result.sessions} sessions are accepted`);
    await openGate(scene);
    result.ms.starting = Date.now() - begun;
    say(`${result.atOnce.sessions} sessions run a job at once, in ${result.atOnce.wrappers} wrappers; the gate is open`);
    await Promise.all([...watches.values()].map(({ recorder }) => recorder.done));
    await Promise.all(scene.deeds);
  })();
  const progress = setInterval(() => say(`${(progressOf(scene) * 100).toFixed(0)} %, ${settledOf(scene)} ended`), 15_000);
  try {
    await Promise.race([watched, broken]);
  } finally {
    clearInterval(progress);
    over.abort();
    await Promise.allSettled([faults, ...visitors]);
  }
}

/** Starts all of its executions at once. The coordinator decides their order. */
async function startSession(scene: Scene, session: string): Promise<void> {
  const { stage, plan, watches, times } = scene;
  const executions = plan.sessions.find(({ name }) => name === session)?.executions ?? [];
  await Promise.all(
    executions.map(async (execution) => {
      const { id, shape, size, deed } = execution;
      const files = { job: stage.job, truth: stage.truthFile(session, id), gate: stage.gate };
      const policy = deed === 'freeze' ? { ...times.policy, ...FREEZE_POLICY } : times.policy;
      const request = requestOf(shape, size, files, policy);
      await stage.client.start(session, { ...request, id, onBusy: 'queue', callback: { url: stage.receiver.url } });
      if (deed === 'early') doLater(scene, execution, 'early', Promise.resolve());
    }),
  );
  const byId = new Map(executions.map((execution) => [execution.id, execution]));
  const watch = new SessionWatch(stage, session, [...byId.keys()], (id) => {
    const execution = byId.get(id);
    if (!execution) return;
    if (execution.shape === 'input') scene.deeds.push(answer(scene, execution));
    const { deed, deedAfterMs } = execution;
    if (deed && deed !== 'early')
      doLater(
        scene,
        execution,
        deed,
        scene.gate.opened.then(() => sleep(deedAfterMs)),
      );
  });
  watches.set(session, watch);
}

function doLater(scene: Scene, execution: ExecutionPlan, deed: Deed, moment: Promise<unknown>): void {
  const { session, id } = execution;
  scene.deeds.push(
    moment.then(async () => {
      const done = await carryOut(scene.stage, execution, deed, () => scene.watches.get(session)?.ended.has(id) ?? false);
      scene.done.set(keyOf(session, id), done);
    }),
  );
}

/**
 * The job waits for a line. A call whose response was lost is repeated; the job reads only one
 * line.
 */
async function answer({ stage, watches }: Scene, { session, id }: ExecutionPlan): Promise<void> {
  while (!watches.get(session)?.ended.has(id)) {
    try {
      await stage.client.sendInput(session, id, 'größer\n');
      return;
    } catch {
      await sleep(1000);
    }
  }
}

/** Opens when every session runs a job at the same moment. */
async function openGate({ stage, plan, watches, gate, result }: Scene): Promise<void> {
  for (;;) {
    const busy = [...watches.values()].filter(({ isBusy }) => isBusy).length;
    result.atOnce.sessions = Math.max(result.atOnce.sessions, busy);
    if (busy === plan.sessions.length) break;
    await sleep(200);
  }
  result.atOnce.wrappers = stage.wrapperPids().length;
  writeFileSync(stage.gate, '');
  gate.open = true;
  gate.unlock();
}

const settledOf = ({ watches }: Scene): number => [...watches.values()].reduce((sum, { ended }) => sum + ended.size, 0);

function progressOf(scene: Scene): number {
  const { watches, result, gate } = scene;
  const begun = gate.open ? result.sessions : [...watches.values()].filter(({ started }) => started.size > 0).length;
  return (STARTING_SHARE * begun) / result.sessions + ((1 - STARTING_SHARE) * settledOf(scene)) / result.executions;
}

/** One after the other, each when the crowd has reached its progress. */
async function faultLane(scene: Scene, roll: () => number): Promise<void> {
  const { stage, plan, over, result, troubles, say } = scene;
  for (const fault of plan.faults) {
    while (progressOf(scene) < fault.at && !over.signal.aborted) await sleep(100);
    if (over.signal.aborted) {
      result.missedFaults.push(fault.kind);
      continue;
    }
    const { hit, trouble } = await inject(stage, fault, roll, over.signal);
    if (trouble) troubles.push(trouble);
    if (hit) result.faults[fault.kind] = (result.faults[fault.kind] ?? 0) + 1;
    else result.missedFaults.push(fault.kind);
    if (fault.kind.endsWith('kill')) say(`${fault.kind} at ${(progressOf(scene) * 100).toFixed(0)} %`);
  }
}
