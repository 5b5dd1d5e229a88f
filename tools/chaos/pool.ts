/**
 * `npm run chaos -- --pool [--seed S] [--executions N] [--json]`: many executions on runners that
 * are killed, frozen, cut off and half open, while the coordinator is killed too.
 *
 * Three runners of four slots, each behind a link of its own; 200 executions with labels, priorities
 * and concurrency limits. Each command notes when it begins and ends in files of its own. The faults
 * end while there is work left. At the end every execution must be completed with one verdict, every
 * command must have run once, no slot may be taken, and the pool must have kept its rules
 * (pool-history.ts).
 *
 * The seed fixes what is done and in which order, but not how far each program is by then.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { isTerminal } from '../../protocol/index.ts';
import { freePort, ROOT, Stack } from '../../scripts/stack.ts';
import { endJobsIn } from '../../test/support/held-jobs.ts';
import { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { checkPool, type PoolRun, type Seen, type Snapshot } from './pool-history.ts';

const POOL = 'chaos';
const RUNNERS = ['a', 'b', 'c'] as const;
const SLOTS = 4;
/** Fewer at the same time than the coordinator's rate limit allows. */
const STARTS_AT_ONCE = 8;
const FAULT_EVERY_MS = [1500, 4000] as const;
const COORDINATOR_KILLS = 2;
const WATCHDOG_MS = 15 * 60_000;
/** Of the executions: the faults end when so many wait, and before that when all have ended. */
const SHARE_AFTER_FAULTS = 0.4;
const LOOK_EVERY_MS = 200;
const LIMITS = [
  { key: 'one', limit: 1 },
  { key: 'three', limit: 3 },
] as const;

export interface PoolChaosOptions {
  seed: number;
  executions: number;
  print: (line: string) => void;
}

export interface PoolChaosResult {
  seed: number;
  executions: number;
  seconds: number;
  faults: Record<string, number>;
  seen: Seen;
  problems: string[];
}

/** mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class ChaosRunner {
  readonly name: string;
  readonly proxy: TcpProxy;
  readonly #folder: string;
  #child: ChildProcess | null = null;
  /** Being killed or frozen: other faults leave it alone. */
  busy = false;

  constructor(name: string, proxy: TcpProxy, folder: string, key: string) {
    this.name = name;
    this.proxy = proxy;
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'key'), key, { mode: 0o600 });
  }

  start(): void {
    const args = ['serve', '--url', this.proxy.url, '--pool', POOL, '--key-file', join(this.#folder, 'key')];
    args.push('--name', this.name, '--label', `group=${this.name === 'a' ? 'one' : 'two'}`, '--slots', String(SLOTS));
    this.#child = spawn(process.execPath, [join(ROOT, 'wrapper', 'main.ts'), ...args, '--spool', join(this.#folder, 'spool')], {
      stdio: 'ignore',
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }
}

export async function poolChaos({ seed, executions, print }: PoolChaosOptions): Promise<PoolChaosResult> {
  const random = randomOf(seed);
  const between = ([least, most]: readonly [number, number]) => least + random() * (most - least);
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-chaos-pool-'));
  const marks = join(folder, 'marks');
  mkdirSync(marks);
  const begun = Date.now();
  const port = await freePort();
  const stack = await Stack.start({ data: join(folder, 'data'), port, slots: 1 });
  const client = createClient({ url: stack.url, apiKey: stack.apiKey, retryBudgetMs: 120_000, rateLimitBudgetMs: 120_000 });
  const runners: ChaosRunner[] = [];
  const faults: Record<string, number> = {};
  const problems: string[] = [];
  const plans = plan(executions, random);
  const snapshots: Snapshot[] = [];
  let seen: Seen = { compared: 0, waitingAfterFaults: 0, peaks: {} };
  let over = false;
  let started = false;
  let watched = false;
  try {
    const { key } = await client.createRunnerKey(POOL, { name: 'chaos' });
    for (const name of RUNNERS) {
      runners.push(new ChaosRunner(name, await TcpProxy.start({ targetPort: port }), join(folder, `runner-${name}`), key));
    }
    for (const runner of runners) runner.start();

    const did = (fault: string, detail = '') => {
      faults[fault] = (faults[fault] ?? 0) + 1;
      print(`  ${((Date.now() - begun) / 1000).toFixed(1)} s  ${fault}${detail === '' ? '' : ` ${detail}`}`);
    };
    const injectRunnerFault = async (runner: ChaosRunner): Promise<void> => {
      runner.busy = true;
      const kind = Math.floor(random() * 5);
      const forMs = 500 + random() * 12_000;
      if (kind === 0) {
        did('runner killed', runner.name);
        await runner.kill();
        await sleep(forMs / 4);
        runner.start();
      } else if (kind === 1) {
        did('runner frozen', `${runner.name} for ${Math.round(forMs)} ms`);
        runner.signal('SIGSTOP');
        await sleep(forMs);
        runner.signal('SIGCONT');
      } else if (kind === 2) {
        did('link cut', `${runner.name} for ${Math.round(forMs)} ms`);
        runner.proxy.refuse();
        runner.proxy.cut();
        await sleep(forMs);
        runner.proxy.accept();
      } else if (kind === 3) {
        did('link reset', runner.name);
        runner.proxy.cut();
      } else {
        // The runner and the pool find it out by themselves: each hears nothing.
        did('link half open', runner.name);
        runner.proxy.halfOpen();
      }
      runner.busy = false;
    };
    const pending: Promise<void>[] = [];
    const injecting = (async () => {
      let kills = 0;
      while (!over) {
        await sleep(between(FAULT_EVERY_MS));
        if (over) break;
        if (kills < COORDINATOR_KILLS && random() < 0.1) {
          kills += 1;
          did('coordinator killed');
          await stack.restart();
          continue;
        }
        const free = runners.filter(({ busy }) => !busy);
        const target = free[Math.floor(random() * free.length)];
        if (target) pending.push(injectRunnerFault(target));
      }
      await Promise.all(pending);
    })();

    const calm = Promise.withResolvers<void>();
    const calming = calm.promise.then(async () => {
      over = true;
      await injecting;
      print('  the faults have ended');
      return Date.now();
    });
    const watching = (async () => {
      while (!watched) {
        const sentAt = Date.now();
        const view = await client.pool(POOL);
        snapshots.push({ sentAt, receivedAt: Date.now(), view });
        if (started && view.waiting <= executions * SHARE_AFTER_FAULTS) calm.resolve();
        await sleep(LOOK_EVERY_MS);
      }
    })().catch((error: Error) => void problems.push(`the pool could not be read: ${error.message}`));
    const watchdog = sleep(WATCHDOG_MS, undefined, { ref: false }).then(() => {
      throw new Error(`not over within ${WATCHDOG_MS / 60_000} minutes`);
    });
    const working = async (): Promise<void> => {
      await startAll(client, plans, marks);
      started = true;
      print(`  ${executions} executions started`);
      await waitForAll(client, { plans, problems, print });
    };
    try {
      await Promise.race([working(), watchdog]);
    } catch (error) {
      problems.push((error as Error).message);
    }
    calm.resolve();
    const faultsEndedAt = await calming;
    watched = true;
    await watching;
    const runs = await Promise.all(plans.map((one) => runOf(client, one, marks)));
    const history = checkPool(runs, snapshots, faultsEndedAt);
    problems.push(...history.problems);
    seen = history.seen;
    if (seen.compared === 0) problems.push('nothing was seen to wait while another was assigned: the order was not checked');
    if (seen.waitingAfterFaults === 0) problems.push('nothing waited after the faults: start more executions');

    for (let index = 0; index < executions; index += 1) {
      const runs = runsIn(marks, index);
      if (runs !== 1) problems.push(`the command of execution ${index} ran ${runs} times`);
    }
    // The last `ended` may be on its way, or repaired by the next hello.
    const freeBy = Date.now() + 90_000;
    for (;;) {
      const { busy, waiting } = await client.pool(POOL);
      if (busy === 0 && waiting === 0) break;
      if (Date.now() > freeBy) {
        problems.push(`${busy} slots are taken and ${waiting} executions wait although everything has ended`);
        break;
      }
      await sleep(500);
    }
  } finally {
    over = true;
    watched = true;
    for (const runner of runners) {
      runner.signal('SIGCONT');
      await runner.kill();
      await runner.proxy.close();
    }
    await stack.stop();
    endJobsIn(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  return { seed, executions, seconds: Math.round((Date.now() - begun) / 1000), faults, seen, problems };
}

interface Plan {
  index: number;
  session: string;
  seconds: string;
  requires: Record<string, string>;
  priority: number;
  concurrency: PoolRun['concurrency'];
}

const plan = (executions: number, random: () => number): Plan[] =>
  Array.from({ length: executions }, (_, index) => ({
    index,
    session: `chaos-${index}`,
    seconds: (0.2 + random() * 3).toFixed(1),
    requires: random() < 0.3 ? { group: random() < 0.5 ? 'one' : 'two' } : ({} as Record<string, string>),
    priority: Math.floor(random() * 21) - 10,
    concurrency: random() < 0.3 ? (LIMITS[Math.floor(random() * LIMITS.length)] ?? null) : null,
  }));

async function startAll(client: HoldfastClient, plans: readonly Plan[], marks: string): Promise<void> {
  const queue = [...plans];
  const startSome = async (): Promise<void> => {
    for (let plan = queue.shift(); plan; plan = queue.shift()) {
      const { index, session, seconds, requires, priority, concurrency } = plan;
      const mark = join(marks, String(index));
      const script = `echo ran >> '${mark}'; echo begun; sleep ${seconds}; echo done; echo over > '${mark}.over'`;
      await client.start(session, {
        id: 'e1',
        command: ['/bin/sh', '-c', script],
        launcher: 'pool',
        pool: POOL,
        priority,
        requires,
        ...(concurrency ? { concurrency } : {}),
      });
    }
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, startSome));
}

async function waitForAll(
  client: HoldfastClient,
  { plans, problems, print }: { plans: readonly Plan[]; problems: string[]; print: (line: string) => void },
): Promise<void> {
  let count = 0;
  const waiting = [...plans];
  const waitForSome = async (): Promise<void> => {
    for (let plan = waiting.shift(); plan; plan = waiting.shift()) {
      const { session } = plan;
      const execution = await client.wait(session, 'e1');
      count += 1;
      if (count % 50 === 0) print(`  ${count} executions have ended`);
      if (!isTerminal(execution.status) || execution.status !== 'completed') {
        problems.push(`${session} is ${execution.status} (${execution.code ?? ''} ${execution.error ?? ''})`);
      }
      const { events } = await client.readEvents(session, { execution: 'e1', after: 0 });
      const verdicts = events.filter(({ type }) => /^execution_(completed|failed|interrupted)$/.test(type)).length;
      if (verdicts !== 1) problems.push(`${session} has ${verdicts} verdicts`);
      const text = events.flatMap(({ type, data }) => (type === 'output' ? [String(data.text)] : [])).join('');
      if (text !== 'begun\ndone\n') problems.push(`${session} printed ${JSON.stringify(text)}`);
    }
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, waitForSome));
}

/** What is known of it at the end. */
async function runOf(
  client: HoldfastClient,
  { index, session, requires, priority, concurrency }: Plan,
  marks: string,
): Promise<PoolRun> {
  const { events } = await client.readEvents(session, { execution: 'e1', after: 0 });
  const mark = join(marks, String(index));
  const isOver = existsSync(mark) && existsSync(`${mark}.over`);
  const ran = isOver ? [{ from: statSync(mark).mtimeMs, to: statSync(`${mark}.over`).mtimeMs }] : [];
  return { session, requires, priority, concurrency, events: events.filter(({ type }) => type.startsWith('execution_')), ran };
}

function runsIn(marks: string, index: number): number {
  const mark = join(marks, String(index));
  return existsSync(mark) ? readFileSync(mark, 'utf8').split('\n').length - 1 : 0;
}
