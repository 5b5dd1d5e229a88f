/**
 * A job that prints as fast as it can. First into the spool alone: the coordinator greets the
 * wrapper and is away until the job has ended; then it returns and takes everything (resend). Then
 * to a coordinator that acks at once, and last through a real session. Every byte that the job
 * wrote must arrive, by its hash.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writevSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../../scripts/stack.ts';
import { type Bench, type BenchContext, interleaved, scaled } from '../lib/bench.ts';
import { figureOf, type Target } from '../lib/figures.ts';
import { startRun } from '../lib/systems.ts';
import { cpuMs, MemoryWatch } from '../lib/usage.ts';
import { WrapperProcess } from '../lib/wrapper-process.ts';

const PEER = join(ROOT, 'bench', 'peers', 'coordinator.ts');
const MB = 1_000_000;
const LINE_BYTES = 100;
const BLOCK_BYTES = 1_000_000;
const TARGET_SPOOL: Target = { of: 'value', atLeast: 100 };
const TARGET_RSS: Target = { of: 'value', atMost: 150 };

const BLOCK = `Array.from({ length: ${BLOCK_BYTES / LINE_BYTES} }, (_, n) => String(n).padEnd(${LINE_BYTES - 1}, 'x') + '\\n').join('')`;
/** Writes its block repeatedly, as fast as the pipe takes it. */
const JOB = `const block = Buffer.from(${BLOCK});
for (let n = Number(process.argv[1]); n > 0; n -= 1) for (let at = 0; at < block.length; ) at += require('node:fs').writeSync(1, block, at);`;

function expectedHash(blocks: number): string {
  const block = Buffer.from(
    Array.from({ length: BLOCK_BYTES / LINE_BYTES }, (_, n) => `${String(n).padEnd(LINE_BYTES - 1, 'x')}\n`).join(''),
  );
  const hash = createHash('sha256');
  for (let n = 0; n < blocks; n += 1) hash.update(block);
  return hash.digest('hex');
}

interface Taken {
  events: number;
  textBytes: number;
  sha256: string;
  lastAckAt: number;
  firstAt: number;
}

class Coordinator {
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, url: string) {
    this.#process = process;
    this.url = url;
  }

  static async start(): Promise<Coordinator> {
    const child = fork(PEER, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [{ url }] = (await once(child, 'message')) as [{ url: string }];
    return new Coordinator(child, url);
  }

  next<T>(key: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const onMessage = (message: Record<string, unknown>): void => {
        if (!(key in message)) return;
        this.#process.off('message', onMessage);
        resolve(message[key] as T);
      };
      this.#process.on('message', onMessage);
      this.#process.once('exit', () => reject(new Error('the coordinator ended')));
    });
  }

  setAbsent(absent: boolean): void {
    this.#process.send({ absent });
  }

  async stop(): Promise<void> {
    const over = once(this.#process, 'exit');
    this.#process.disconnect();
    await over;
  }
}

interface Flow {
  mbPerSecond: number;
  resendMbPerSecond: number;
  cpuMsPerMb: number;
  /** Up to the end of the job, and of the whole run. */
  jobPeakMiB: number;
  peakMiB: number;
  events: number;
}

function check(blocks: number, taken: Taken, code: number | null): void {
  if (code !== 0) throw new Error(`the wrapper ended with ${code}`);
  if (taken.textBytes !== blocks * BLOCK_BYTES || taken.sha256 !== expectedHash(blocks)) {
    throw new Error(`the job wrote ${blocks * BLOCK_BYTES} bytes, and ${taken.textBytes} arrived, or others`);
  }
}

/** `absent`: the coordinator is away from the first welcome to the job's end. */
async function flatOut(coordinator: Coordinator, blocks: number, absent: boolean): Promise<Flow> {
  const welcomed = coordinator.next('welcomed');
  const over = coordinator.next<Taken>('over');
  const wrapper = new WrapperProcess({ url: coordinator.url, token: 't' }, JOB, [String(blocks)]);
  const memory = new MemoryWatch(wrapper.pid, 20);
  await welcomed;
  if (absent) coordinator.setAbsent(true);
  let cpuBefore = Number.NaN;
  while (!wrapper.facts.some(({ fact }) => fact === 'started')) await sleep(1);
  cpuBefore = cpuMs(wrapper.pid);
  while (!wrapper.facts.some(({ fact }) => fact === 'child_exited')) await sleep(5);
  const cpu = cpuMs(wrapper.pid) - cpuBefore;
  const jobPeakMiB = memory.peakMiB;
  if (absent) coordinator.setAbsent(false);
  const taken = await over;
  const code = await wrapper.exited;
  const { peakMiB } = memory.stop();
  wrapper.cleanUp();
  check(blocks, taken, code);
  const megabytes = (blocks * BLOCK_BYTES) / MB;
  return {
    mbPerSecond: (megabytes / (wrapper.when('child_exited') - wrapper.when('started'))) * 1000,
    resendMbPerSecond: (megabytes / (taken.lastAckAt - taken.firstAt)) * 1000,
    cpuMsPerMb: cpu / megabytes,
    jobPeakMiB,
    peakMiB,
    events: taken.events,
  };
}

/** The same bytes into one file by the same call. */
function diskLimit(blocks: number): number {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-disk-'));
  const file = openSync(join(folder, 'file'), 'w');
  const block = Buffer.alloc(BLOCK_BYTES, 0x78);
  const begun = performance.now();
  for (let n = 0; n < blocks; n += 1) writevSync(file, [block], n * BLOCK_BYTES);
  const ms = performance.now() - begun;
  closeSync(file);
  rmSync(folder, { recursive: true, force: true });
  return ((blocks * BLOCK_BYTES) / MB / ms) * 1000;
}

/** Through a real session, until the wrapper has the regular end. */
async function throughSession(context: BenchContext, blocks: number): Promise<number> {
  const run = await startRun(context.holdfast.url);
  const wrapper = new WrapperProcess(run.ingest, JOB, [String(blocks)]);
  const code = await wrapper.exited;
  wrapper.cleanUp();
  if (code !== 0) throw new Error(`the wrapper ended with ${code}`);
  return ((blocks * BLOCK_BYTES) / MB / (wrapper.when('delivered') - wrapper.when('started'))) * 1000;
}

export const wrapper: Bench = {
  name: 'wrapper',
  measures:
    'megabytes of output a second that a wrapper takes from its job, keeps, sends and sends again, and its CPU time and memory',
  doesNotMeasure:
    'a slow disk or line; the job itself shares the cores. The spool is not flushed to the medium, here or ever, so its limit is the page cache first',
  run: async (context) => {
    const blocks = scaled(context, 500, 20);
    const coordinator = await Coordinator.start();
    try {
      context.say(`wrapper: ${(blocks * BLOCK_BYTES) / MB} MB from a job that prints flat out`);
      const { spool, live, disk, session } = await interleaved<'spool' | 'live' | 'disk' | 'session', Flow | number>(context, {
        spool: () => flatOut(coordinator, blocks, true),
        live: () => flatOut(coordinator, blocks, false),
        disk: async () => diskLimit(blocks),
        session: () => throughSession(context, Math.ceil(blocks / 5)),
      });
      const of = (flows: readonly (Flow | number)[], key: keyof Flow): number[] => (flows as Flow[]).map((flow) => flow[key]);
      return [
        figureOf('wrapper/into the spool', 'MB/s', of(spool, 'mbPerSecond'), disk as number[], TARGET_SPOOL),
        figureOf('wrapper/into the spool, cpu', 'ms/MB', of(spool, 'cpuMsPerMb')),
        figureOf('wrapper/into the spool, memory', 'MiB', of(spool, 'jobPeakMiB'), null, TARGET_RSS),
        figureOf('wrapper/resend', 'MB/s', of(spool, 'resendMbPerSecond')),
        figureOf('wrapper/resend, memory', 'MiB', of(spool, 'peakMiB')),
        figureOf('wrapper/live, to a coordinator that costs nothing', 'MB/s', of(live, 'mbPerSecond')),
        figureOf('wrapper/live, memory', 'MiB', of(live, 'peakMiB'), null, TARGET_RSS),
        figureOf('wrapper/through a session', 'MB/s', session as number[]),
      ];
    } finally {
      await coordinator.stop();
    }
  },
};
