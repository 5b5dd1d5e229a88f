/**
 * `holdfast run`: starts a job, shows its output, and ends as the job ends. The job is not a child
 * of this process: losing this process, its network or its terminal does not affect the job (G6),
 * so Ctrl-C detaches unless `--interrupt-on-exit` was given.
 */

import { ulid } from 'ulid';
import { type Started, StreamFailure } from '../../client/index.ts';
import {
  type Execution,
  isTerminal,
  LAUNCHERS,
  type LoggedEvent,
  newExecutionId,
  OUTPUT_FORMATS,
  type Policy,
  type PolicyKey,
  resolvePolicy,
  type StartRequest,
  terminalStatusOf,
} from '../../protocol/index.ts';
import { type Context, openStream, printJson, printNote } from '../context.ts';
import { describeEnding, type Ending, EXIT, endedByItself, exitCodeOf } from '../exit-code.ts';
import { explain, isSessionDeleted } from '../explain.ts';
import type { StopSignal } from '../io.ts';
import { Printer } from '../printer.ts';
import {
  checkId,
  formatReference,
  parseChoice,
  parseDuration,
  parsePairs,
  parseSize,
  type Reference,
  UsageError,
} from '../settings.ts';
import { StdinForwarder } from '../stdin.ts';
import { escapeControls } from '../terminal-text.ts';
import { pageUrl } from './open.ts';

export interface RunFlags {
  session?: string;
  id?: string;
  detach?: boolean;
  queue?: boolean;
  cwd?: string;
  env?: string[];
  label?: string[];
  openStdin?: boolean;
  /** False with `--no-stdin`. */
  stdin?: boolean;
  secret?: string[];
  format?: string;
  merge?: boolean;
  bytes?: boolean;
  launcher?: string;
  timeout?: string;
  grace?: string;
  maxLog?: string;
  interruptOnExit?: boolean;
  giveUpAfter: string;
}

const POLICY_FLAGS: Partial<Record<PolicyKey, string>> = {
  maxRuntimeMs: '--timeout',
  disconnectGraceMs: '--grace',
  maxLogBytes: '--max-log',
};

export function readRunFlags(
  flags: RunFlags,
  command: string[],
  env: Record<string, string | undefined>,
  forwardsStdin = false,
): { reference: Reference; request: StartRequest; giveUpAfterMs: number } {
  if (flags.detach && flags.interruptOnExit) throw new UsageError('--detach and --interrupt-on-exit exclude each other');
  const session = checkId(flags.session ?? (sessionOf(env) || `s_${ulid()}`), 'session');
  const id = checkId(flags.id ?? newExecutionId(), 'execution');
  const request: StartRequest = { id, command };
  if (flags.queue) request.onBusy = 'queue';
  if (flags.cwd !== undefined) request.cwd = flags.cwd;
  if (flags.env) request.env = parsePairs(flags.env, '--env', (key) => env[key]);
  if (flags.label) request.labels = parsePairs(flags.label, '--label', () => '');
  if (flags.openStdin || forwardsStdin) request.openStdin = true;
  if (flags.secret) request.secretNames = flags.secret;
  if (flags.format !== undefined) request.format = parseChoice(flags.format, OUTPUT_FORMATS, '--format');
  if (flags.merge) request.merge = true;
  if (flags.bytes) request.output = 'bytes';
  if (flags.launcher !== undefined) request.launcher = parseChoice(flags.launcher, LAUNCHERS, '--launcher');
  const policy: Partial<Policy> = {
    ...(flags.timeout === undefined ? {} : { maxRuntimeMs: parseDuration(flags.timeout, '--timeout') }),
    ...(flags.grace === undefined ? {} : { disconnectGraceMs: parseDuration(flags.grace, '--grace') }),
    ...(flags.maxLog === undefined ? {} : { maxLogBytes: parseSize(flags.maxLog, '--max-log') }),
  };
  const checked = resolvePolicy(policy);
  if (!checked.ok) throw new UsageError(`${POLICY_FLAGS[checked.key] ?? 'policy'}: ${checked.message}`);
  if (Object.keys(policy).length > 0) request.policy = policy;
  return { reference: { session, execution: id }, request, giveUpAfterMs: parseDuration(flags.giveUpAfter, '--give-up-after') };
}

/** Within a job the variable names the job's own session, which is busy with that job. */
const sessionOf = ({ HOLDFAST_EXECUTION, HOLDFAST_SESSION }: Record<string, string | undefined>): string | undefined =>
  HOLDFAST_EXECUTION ? undefined : HOLDFAST_SESSION;

export async function run(context: Context, command: string[], flags: RunFlags): Promise<number> {
  const forwardsStdin = context.io.stdinIsPiped && flags.stdin !== false && flags.detach !== true;
  const { reference, request, giveUpAfterMs } = readRunFlags(flags, command, context.io.env, forwardsStdin);
  const stop = new Stop(context, reference, flags.interruptOnExit === true);
  try {
    let started: Started;
    try {
      started = await context.client.start(reference.session, request, { signal: stop.starting.signal });
    } catch (error) {
      if (!stop.signal) throw error;
      await printNote(
        context,
        `${formatReference(reference)} may have been started; see: holdfast get ${formatReference(reference)}`,
      );
      return stop.exitCode;
    }
    stop.started();
    await printStarted(context, reference, started, flags);
    if (flags.detach) {
      if (context.json) await printJson(context, { reference: formatReference(reference), ...started });
      else await context.io.stdout.write(`${formatReference(reference)}\n`);
      return EXIT.ok;
    }
    const stdin = forwardsStdin ? await forwarderOf(context, reference, started, flags, { stop, giveUpAfterMs }) : null;
    return await follow(context, reference, started.execution, stop, giveUpAfterMs, stdin);
  } finally {
    await stop.release();
  }
}

async function printStarted(
  context: Context,
  reference: Reference,
  { created, execution, ingest }: Started,
  flags: RunFlags,
): Promise<void> {
  const name = formatReference(reference);
  await printNote(context, `${created ? 'started' : 'already started'} ${name}`);
  await printNote(context, `follow it from anywhere: holdfast logs -f ${name}`);
  await printNote(context, `or in a browser: ${pageUrl(context.settings.url, reference)}`);
  if (execution.launcher === 'none') {
    await printNote(
      context,
      flags.detach && context.json
        ? 'no launcher: start a wrapper with `ingest` (HOLDFAST_INGEST_URL, HOLDFAST_INGEST_TOKEN)'
        : `no launcher: nothing runs until a wrapper connects to ${ingest.url}; \`run --detach --json\` prints its token, --launcher runner starts one`,
    );
  }
}

/** Null, with a remark, for a run that another command has started: that command feeds it. */
async function forwarderOf(
  context: Context,
  reference: Reference,
  { created }: Started,
  flags: RunFlags,
  { stop, giveUpAfterMs }: { stop: Stop; giveUpAfterMs: number },
): Promise<StdinForwarder | null> {
  if (!created && flags.id !== undefined) {
    await printNote(
      context,
      `stdin is not sent: the run was started before. Send it with: holdfast send ${formatReference(reference)} - --eof`,
    );
    return null;
  }
  return new StdinForwarder({
    client: context.inputClient(giveUpAfterMs),
    reference,
    stdin: context.io.stdin,
    // With --open-stdin, `holdfast send` may continue.
    eof: flags.openStdin !== true,
    signal: stop.feeding.signal,
  });
}

/** Sends stdin until its end, or until the run has ended. */
async function feed(context: Context, reference: Reference, stdin: StdinForwarder, stop: Stop): Promise<void> {
  try {
    await stdin.run();
  } catch (error) {
    if (stop.feeding.signal.aborted) return;
    const { code, message, hint } = explain(error, { url: context.settings.url, reference });
    // The job ended, or closed its stdin for good, without reading all of it, as any command may.
    if (code === 'not_running' || code === 'stdin_closed') return;
    await context.io.stderr.write(
      `holdfast: stdin was not sent completely (${stdin.sentBytes} bytes were): ${escapeControls(message)}\n`,
    );
    if (hint) await context.io.stderr.write(`holdfast: ${escapeControls(hint)}\n`);
    await printNote(context, `the job may wait for more; end its stdin with: holdfast send ${formatReference(reference)} --eof`);
  }
}

async function follow(
  context: Context,
  reference: Reference,
  execution: Execution,
  stop: Stop,
  giveUpAfterMs: number,
  stdin: StdinForwarder | null,
): Promise<number> {
  const { io, client } = context;
  const printer = new Printer(io, {
    quiet: context.quiet,
    status: context.status,
    ...(context.json ? { outputTo: 'stderr' as const } : {}),
  });
  let verdict: Ending | null = null;
  let failure: StreamFailure | null = null;
  const stream = openStream(context, reference, { after: execution.firstOffset - 1, signal: stop.following.signal, giveUpAfterMs });
  io.stdout.onBroken = () => stream.close();
  // Input is accepted when the execution runs.
  let unfed = stdin;
  const feedWhenRunning = (runs: boolean) => {
    if (runs && unfed) void feed(context, reference, unfed, stop);
    if (runs) unfed = null;
  };
  feedWhenRunning(execution.status === 'running');
  try {
    for await (const event of stream) {
      feedWhenRunning(event.type === 'execution_running');
      verdict = endingOf(event) ?? verdict;
      if (event.type !== 'execution_failed' && event.type !== 'execution_interrupted') await printer.print(event);
    }
  } catch (error) {
    if (!(error instanceof StreamFailure)) throw error;
    failure = error;
  } finally {
    stop.feeding.abort();
  }
  await printer.reportReplaced();
  if (stop.detached) {
    await printNote(context, `detached; ${formatReference(reference)} continues`);
    await printNote(context, `follow it:    holdfast logs -f --after ${stream.lastOffset ?? 0} ${formatReference(reference)}`);
    await printNote(context, `interrupt it: holdfast interrupt ${formatReference(reference)}`);
    if (stdin)
      await printNote(
        context,
        `its stdin:    ${stdin.sentBytes} bytes were sent; end it with: holdfast send ${formatReference(reference)} --eof`,
      );
    return stop.exitCode;
  }
  if (io.stdout.broken && !verdict) return EXIT.brokenPipe;

  // The status has a second source: a failed stream says nothing about the job. A session that was
  // created again may have another run of this name.
  const unknowable = failure !== null && ['unreachable', 'unauthorized', 'log_replaced'].includes(failure.code);
  const found = unknowable ? null : await client.get(reference.session, reference.execution).catch(() => null);
  const ended = found && isTerminal(found.status) ? found : null;
  if (failure) {
    const { message, hint } = explain(failure, { url: context.settings.url, reference });
    await io.stderr.write(`holdfast: the output could not be followed further: ${escapeControls(message)}\n`);
    if (!ended) {
      if (hint) await printNote(context, hint);
      if (!isSessionDeleted(failure.code))
        await printNote(
          context,
          `the run continues: holdfast logs -f --after ${stream.lastOffset ?? 0} ${formatReference(reference)}`,
        );
      return EXIT.coordinator;
    }
  }
  const ending = ended ? ({ ...ended, status: ended.status } as Ending) : verdict;
  if (!ending) {
    await io.stderr.write('holdfast: the stream ended without a verdict\n');
    return EXIT.coordinator;
  }
  stop.settled();
  const exitCode = exitCodeOf(ending);
  if (ending.status !== 'completed') {
    const verdict: Parameters<typeof describeEnding>[0] = ended ?? ending;
    // Shown with --quiet too if the exit code alone would be ambiguous.
    if (ending.status === 'failed' && !endedByItself(verdict.code))
      await io.stderr.write(`holdfast: ${escapeControls(describeEnding(verdict))}\n`);
    else await printNote(context, describeEnding(verdict));
  }
  if (context.json)
    await printJson(context, {
      reference: formatReference(reference),
      exitCode,
      execution: ended ?? { ...ending, id: reference.execution },
    });
  return exitCode;
}

function endingOf({ type, data }: LoggedEvent): Ending | null {
  const status = terminalStatusOf(type);
  if (!status) return null;
  return {
    ...data,
    status,
    exitCode: typeof data.exitCode === 'number' ? data.exitCode : undefined,
    signal: typeof data.signal === 'string' ? data.signal : undefined,
    code: typeof data.code === 'string' ? data.code : undefined,
  };
}

/**
 * Handles signals. The first one detaches, or interrupts the job with `--interrupt-on-exit`; the
 * second leaves at once. With that flag the job is interrupted on every exit that leaves it
 * running, including a broken pipe and an outage.
 */
class Stop {
  readonly starting = new AbortController();
  readonly following = new AbortController();
  /** Of sending stdin. */
  readonly feeding = new AbortController();
  signal: StopSignal | null = null;
  readonly #context: Context;
  readonly #reference: Reference;
  readonly #interrupts: boolean;
  readonly #unlisten: () => void;
  #phase: 'starting' | 'running' | 'settled' = 'starting';
  #interrupting: Promise<void> | null = null;

  constructor(context: Context, reference: Reference, interrupts: boolean) {
    this.#context = context;
    this.#reference = reference;
    this.#interrupts = interrupts;
    // A closed terminal ends an attached run like any command; only a run with
    // `--interrupt-on-exit` handles it.
    const signals: StopSignal[] = interrupts ? ['SIGINT', 'SIGTERM', 'SIGHUP'] : ['SIGINT', 'SIGTERM'];
    this.#unlisten = context.io.onSignal(signals, (signal) => this.#onSignal(signal));
  }

  get detached(): boolean {
    return this.signal !== null && !this.#interrupts;
  }

  get exitCode(): number {
    return this.signal === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted;
  }

  started(): void {
    this.#phase = 'running';
    // A signal that arrived before the answer.
    if (this.signal && this.#interrupts) this.#interrupt();
    else if (this.signal) this.following.abort();
  }

  settled(): void {
    this.#phase = 'settled';
  }

  async release(): Promise<void> {
    if (this.#interrupts && (this.#phase === 'running' || (this.#phase === 'starting' && this.signal))) this.#interrupt();
    await this.#interrupting;
    this.#unlisten();
  }

  #onSignal(signal: StopSignal): void {
    if (this.signal) {
      this.#context.status.end();
      this.#context.io.exitNow(this.exitCode);
      return;
    }
    this.signal = signal;
    this.starting.abort(new Error('stopped'));
    if (this.#phase !== 'running') return;
    if (this.#interrupts) this.#interrupt();
    else this.following.abort();
  }

  #interrupt(): void {
    if (this.#interrupting) return;
    const { client, settings } = this.#context;
    const { session, execution } = this.#reference;
    const reason = this.signal ? `holdfast run got ${this.signal}` : 'holdfast run ended';
    this.#interrupting = (async () => {
      await printNote(this.#context, `interrupting ${formatReference(this.#reference)}`);
      try {
        await client.interrupt(session, execution, { reason });
      } catch (error) {
        const { message } = explain(error, { url: settings.url });
        await this.#context.io.stderr.write(
          `holdfast: ${formatReference(this.#reference)} could not be interrupted: ${escapeControls(message)}\n`,
        );
        this.following.abort();
      }
    })();
  }
}
