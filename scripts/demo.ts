/**
 * `npm run demo`: a real job on a bad network, under a coordinator that is killed while it runs.
 *
 * The job writes each line to a file before it prints it. What a viewer received over the network,
 * and what a second viewer reads again from the start, is compared with that file, line by line.
 * Exit 0 only if both are the same.
 *
 *   viewer ──────────────► coordinator (wrangler dev) ◄── proxy ◄── wrapper ── job
 *                            killed once, with SIGKILL     cut twice
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { connectSession, createClient, type WebSocketConstructor } from '../client/index.ts';
import type { LoggedEvent } from '../protocol/index.ts';
import { TcpProxy } from '../test/support/tcp-proxy.ts';
import { freePort, ROOT, Stack } from './stack.ts';

const LINES_MIN = 300;
const SESSION = 'demo';
const EXECUTION = 'demo-1';
/** The demo takes 20 to 30 s; this also covers a machine that is ten times slower. */
const WATCHDOG_MS = 240_000;
/** How long the network stays down after each cut, and the coordinator after its death. */
const OUTAGE_MS = 900;
const DEATH_MS = 700;

const { values } = parseArgs({ options: { json: { type: 'boolean' } } });
const out = values.json ? process.stderr : process.stdout;
const colour = out.isTTY && !process.env.NO_COLOR;
const paint =
  (code: number) =>
  (text: string): string =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text;
const bold = paint(1);
const dim = paint(2);
const red = paint(31);
const green = paint(32);
const yellow = paint(33);

const print = (text = ''): void => {
  out.write(`${text}\n`);
};
const note = (text: string): void => print(`       ${text}`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** Joins pieces: an event may hold many lines, and a long line may be split into several events. */
class Lines {
  readonly all: string[] = [];
  #rest = '';
  #onLine: (line: string) => void;

  constructor(onLine: (line: string) => void = () => {}) {
    this.#onLine = onLine;
  }

  take({ type, data }: LoggedEvent): void {
    if (type !== 'output' || data.stream !== 'stdout') return;
    const pieces = (this.#rest + String(data.text)).split('\n');
    this.#rest = pieces.pop() ?? '';
    for (const line of pieces) {
      this.all.push(line);
      this.#onLine(line);
    }
  }
}

interface Comparison {
  lost: number;
  repeated: number;
  same: boolean;
}

/** `same` also means: in the same order, and nothing that was never written. */
function compare(received: readonly string[], truth: readonly string[]): Comparison {
  const times = new Map<string, number>();
  for (const line of received) times.set(line, (times.get(line) ?? 0) + 1);
  const lost = truth.filter((line) => !times.has(line)).length;
  const repeated = [...times.values()].reduce((sum, n) => sum + n - 1, 0);
  return { lost, repeated, same: received.length === truth.length && received.every((line, i) => line === truth[i]) };
}

interface Outcome {
  lines: number;
  lost: number;
  repeated: number;
  status: string;
  replaySame: boolean;
  cuts: number;
  kills: number;
  connections: number;
  problems: string[];
}

async function demo(folder: string, onCleanup: (step: () => Promise<void>) => void): Promise<Outcome> {
  const truthFile = join(folder, 'truth.txt');
  const finishFile = join(folder, 'finish');
  const begun = Date.now();

  print(bold('\nHoldfast: a job, a bad network, and a coordinator that dies\n'));
  print(dim('  starting a coordinator (wrangler dev), a runner, and a proxy between the two …'));
  const port = await freePort();
  const proxy = await TcpProxy.start({ targetPort: port });
  onCleanup(() => proxy.close());
  const stack = await Stack.start({ data: join(folder, 'data'), port, publicUrl: proxy.url });
  onCleanup(() => stack.stop());
  print(dim(`  ready after ${seconds(Date.now() - begun)}\n`));

  const access = { url: stack.url, apiKey: stack.apiKey };
  const viewer = { ...access, session: SESSION, execution: EXECUTION, WebSocketImpl: WebSocket as unknown as WebSocketConstructor };
  const client = createClient(access);

  const lines = new Lines((line) => print(`${dim('  │')}  ${line}`));
  const events: LoggedEvent[] = [];
  let verdict: LoggedEvent | null = null;
  await client.start(SESSION, {
    id: EXECUTION,
    command: [process.execPath, join(ROOT, 'scripts', 'demo-job.mjs'), truthFile, finishFile],
  });
  const watching = (async () => {
    for await (const event of connectSession({ ...viewer, after: 0 })) {
      events.push(event);
      lines.take(event);
      if (event.type === 'wrapper_reconnected') {
        const { downMs, bufferedEvents } = event.data;
        const details = [
          typeof downMs === 'number' ? `after ${seconds(downMs)}` : '',
          typeof bufferedEvents === 'number' ? `${count(bufferedEvents, 'event')} waited on disk` : '',
        ].filter(Boolean);
        note(green(`↻ back ${details.join(', ')}`));
      }
      if (event.type.startsWith('execution_')) verdict = event;
    }
  })();
  // Its failure is handled where it is awaited.
  watching.catch(() => {});

  const received = async (n: number): Promise<void> => {
    while (lines.all.length < n) {
      await Promise.race([sleep(50), watching]);
      if (verdict?.type === 'execution_failed' || verdict?.type === 'execution_completed') {
        throw new Error(`the job ended early: ${JSON.stringify(verdict.data)}`);
      }
    }
  };
  const problems: string[] = [];
  const cutOnce = async (which: number): Promise<void> => {
    proxy.refuse();
    if (proxy.cut() === 0) problems.push(`at cut ${which} there was no connection to cut`);
    note(yellow(`✂ network cut (${which} of 2): the wrapper's connection is reset, and down for ${seconds(OUTAGE_MS)}`));
    await sleep(OUTAGE_MS);
    proxy.accept();
    // New lines prove that it is back. Its connection need not be new: a wrapper that has switched
    // to HTTP continues over HTTP.
    await received(lines.all.length + 1);
  };

  await received(60);
  await cutOnce(1);
  await received(lines.all.length + 60);

  const killedAt = Date.now();
  await stack.kill();
  note(red('☠ coordinator killed (SIGKILL, with every process it had); the job knows nothing of it'));
  await sleep(DEATH_MS);
  await stack.restart();
  note(dim(`↻ coordinator started again on the same data, ${seconds(Date.now() - killedAt)} after its death`));
  await received(lines.all.length + 60);

  await cutOnce(2);
  await received(lines.all.length + 30);
  writeFileSync(finishFile, '');
  await watching;

  const truth = readFileSync(truthFile, 'utf8').split('\n').slice(0, -1);
  const first = compare(lines.all, truth);
  const again = new Lines();
  const replayed: LoggedEvent[] = [];
  for await (const event of connectSession({ ...viewer, after: 0 })) {
    replayed.push(event);
    again.take(event);
  }
  const replay = compare(again.all, truth);
  const execution = await client.get(SESSION, EXECUTION);

  if (!first.same) problems.push('what the viewer received is not what the job wrote');
  if (!replay.same) problems.push('what was read again from the start is not what the job wrote');
  if (JSON.stringify(replayed) !== JSON.stringify(events)) problems.push('the second reading differs from the first');
  if (execution.status !== 'completed') problems.push(`the execution ended as ${execution.status} (${execution.error ?? ''})`);
  if (truth.length < LINES_MIN) problems.push(`the job wrote only ${truth.length} lines`);

  print(`
  status       ${execution.status}, exit code ${execution.exitCode ?? '–'}
  the job      wrote ${truth.length} lines in ${seconds((execution.endedAt ?? 0) - (execution.startedAt ?? 0))}
  wrapper      connected ${execution.epoch} times: its network was cut ${proxy.cuts} times, its coordinator killed once
  viewer       received ${lines.all.length} lines, ${first.same ? 'each as it was written, in order' : 'NOT as they were written'}
  read again   ${again.all.length} lines from offset 0, ${replay.same ? 'the same' : 'NOT the same'}
`);
  return {
    lines: lines.all.length,
    lost: Math.max(first.lost, replay.lost),
    repeated: Math.max(first.repeated, replay.repeated),
    status: execution.status,
    replaySame: replay.same,
    cuts: proxy.cuts,
    kills: 1,
    connections: execution.epoch,
    problems,
  };
}

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'));
  const cleanups: (() => Promise<void>)[] = [];
  const watchdog = sleep(WATCHDOG_MS, undefined, { ref: false }).then(() => {
    throw new Error(`it did not end within ${WATCHDOG_MS / 1000} s`);
  });
  const signalled = new Promise<never>((_, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  let outcome: Outcome | null = null;
  try {
    outcome = await Promise.race([demo(folder, (step) => cleanups.unshift(step)), watchdog, signalled]);
  } catch (error) {
    print(red(`\nThe demo failed: ${(error as Error).stack ?? error}`));
    for (const name of ['coordinator.log', 'runner.log']) {
      try {
        print(`\n── end of ${name}\n${readFileSync(join(folder, 'data', name), 'utf8').slice(-3000)}`);
      } catch {
        // The demo failed before that point.
      }
    }
  }
  // Stack before proxy: the jobs still report through it.
  for (const step of cleanups) await step().catch((error: Error) => print(error.message));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  if (outcome === null) return 1;

  const { lines, lost, repeated, problems } = outcome;
  const good = problems.length === 0 && lost === 0 && repeated === 0;
  for (const problem of problems) print(red(`  ${problem}`));
  print((good ? (text: string) => bold(green(text)) : red)(`${lines} lines, ${lost} lost, ${repeated} repeated`));
  if (values.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  return good ? 0 : 1;
}

process.exit(await main());
