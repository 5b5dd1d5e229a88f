/**
 * One run of one command: wires spool, sender, connection and child together, and decides when it is over. Every decision that needs a
 * paragraph lives in one of those; here is the order in which they are asked.
 *
 *      start            first welcome                  the child's end, or a crash      all acked, or 4000,
 *   ──────────► connecting ─────────► running ───────────────► draining ──────────────────────────────► ended
 *                   │                    │  refused / settled: the child is stopped first                 ▲
 *                   │                    └──────────────► stopping ───────────────────────────────────────┤
 *                   └──── refused, settled, budget over ──────────────────────────────────────────────────┘
 *
 *   SV1  The child starts after the first welcome. So of two wrappers that are launched for one execution only the accepted one runs
 *        the command, and an execution that was interrupted while pending never runs.
 *   SV2  The command runs once per spool: a boot that finds an earlier one began it reports the crash instead.
 *   SV3  A boot makes no event before its first welcome, because that may tell that the numbering goes on further up.
 *   SV4  Exactly one terminal fact is written, and it is the last event (the spool refuses what follows).
 *   SV5  A command of the coordinator is noted, carried out, and acked, in this order.
 *   SV6  The spool is removed only when the coordinator has everything or has settled the execution. Else it stays for another boot.
 *   SV7  Nothing that may hold a secret is spooled or logged as it is: the job's output (child, agent-stream), and its command here.
 */

import { mkdtempSync, rmdirSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Command,
  encodeFrame,
  newBootId,
  type OutputFormat,
  POLICY_DEFAULTS,
  type Policy,
  PROTOCOL_VERSION,
  type WelcomeFrame,
} from '../protocol/index.ts';
import { AgentStream } from './agent-stream.ts';
import { Child, type ChildExit, jobEnvironment, type StdinSource } from './child.ts';
import { openOutputPipes, removePipesFolder } from './child-pipes.ts';
import { encodeEvent } from './event-lines.ts';
import { encodeFrames } from './frame-encoding.ts';
import { dueRungs, interruptLadder, mergeLadders, type Rung } from './interrupt.ts';
import { findLeftovers } from './leftovers.ts';
import { LineNumbers } from './line-numbers.ts';
import type { Log } from './log.ts';
import { type Redaction, readRedaction, SECRETS_BYTES_MAX } from './redaction.ts';
import { identityOf } from './runner-process.ts';
import { lastSeqOf, Sender } from './sender.ts';
import { Spool, type SpoolPressure, type Writev } from './spool.ts';
import { WRAPPER_TIMES, type WrapperTimes } from './times.ts';
import type { ConnectionEnd, ConnectionHandlers, Credential, Transport } from './transport.ts';
import { makeTransport, type TransportKind } from './transport-switch.ts';

/** The wrapper itself failed: it was refused, could not reach the coordinator, or can not tell how the job ended. */
export const WRAPPER_FAILED = 125;
const COMMAND_NOT_FOUND = 127;
const TICK_MS = 250;
const GROUP_CHECK_MS = 100;
const BEGIN_RETRY_MS = 1000;
/** When the disk can not be written, the end does not wait for it for ever. */
const CLOSE_WAIT_MS = 2000;

export interface RunOptions {
  command: readonly string[];
  /** http(s) or ws(s) URL of the ingest path. */
  url: string;
  credential: Credential;
  transport?: TransportKind;
  /** Null: a new one in the system's folder for temporary files, removed at the end. */
  spoolDirectory: string | null;
  spoolLimitBytes?: number;
  format: OutputFormat;
  cwd: string | null;
  /** This process's own; the job gets it without our variables. */
  env: NodeJS.ProcessEnv;
  /** For the job alone. */
  jobEnv?: Readonly<Record<string, string>>;
  /** Variables whose values are redacted as well as those of the usual names. Null: nothing is redacted. */
  redact?: readonly string[] | null;
  stdin: StdinSource;
  tee: boolean;
  /** Event stream of an agent server that the job runs. */
  sse?: string | null;
  /** Only report what became of the job; never run it. */
  recoverOnly: boolean;
  log: Log;
  /** SIGTERM, SIGINT and SIGHUP of this process are passed to the job. */
  handleSignals: boolean;
  times?: Partial<WrapperTimes>;
  /** Tests make the disk fail here. */
  writev?: Writev;
}

type Phase =
  | { kind: 'connecting' }
  | { kind: 'running'; child: Child }
  /** Nobody wants the job any more: it is being stopped, and then this is the end. Null: the job's own exit code. */
  | { kind: 'stopping'; child: Child; exitCode: number | null; keepSpool: boolean }
  | { kind: 'draining'; since: number; exitCode: number }
  | { kind: 'ended' };

const exitCodeOf = (exitCode: number | null, signal: NodeJS.Signals | null): number =>
  exitCode ?? 128 + (signal ? constants.signals[signal] : 0);

/** Runs the command to its reported end. Resolves with the exit code; throws when the spool directory can not be used at all. */
export async function run(options: RunOptions): Promise<number> {
  const { env, jobEnv = {}, redact = [], log } = options;
  const secrets = redact && readRedaction([env, jobEnv], redact);
  if (secrets?.kind === 'too_much') {
    // To run it all the same would be to tell some of them.
    log.problem(
      `there are ${secrets.bytes} bytes of secrets to redact, and ${SECRETS_BYTES_MAX} at most are possible (--no-redact: none)`,
    );
    return WRAPPER_FAILED;
  }
  for (const name of secrets?.unused ?? []) log.problem(`--redact ${name}: it has no value that is long enough to be redacted`);
  const directory = options.spoolDirectory ?? mkdtempSync(join(tmpdir(), 'holdfast-spool-'));
  const bootId = newBootId();
  const opening = Spool.open({
    directory,
    execution: new URL(options.url).pathname,
    bootId,
    ...(options.spoolLimitBytes === undefined ? {} : { limitBytes: options.spoolLimitBytes }),
    ...(options.writev ? { writev: options.writev } : {}),
  });
  switch (opening.kind) {
    case 'locked':
      options.log.problem(
        `the spool ${directory} is in use by ${opening.pid === null ? 'someone' : `process ${opening.pid}`}; give this one its own --spool`,
      );
      return WRAPPER_FAILED;
    case 'other_execution':
      options.log.problem(
        `the spool ${directory} belongs to another execution (${opening.execution}); give this one its own --spool`,
      );
      return WRAPPER_FAILED;
    case 'opened':
      break;
    default:
      opening satisfies never;
      return WRAPPER_FAILED;
  }
  const { spool, recovered, crashed } = opening;
  removePipesFolder(directory);
  if (recovered.cutBytes > 0 || recovered.filledEvents > 0) {
    options.log.fact('spool_repaired', { cutBytes: recovered.cutBytes, filledEvents: recovered.filledEvents });
  }
  const sender = new Sender(recovered.chunks[0]?.firstSeq ?? recovered.nextSeq);
  for (const chunk of recovered.chunks) sender.appended(chunk);
  const supervisor = new Supervisor(options, secrets?.redaction ?? null, spool, sender, crashed);
  const exitCode = await supervisor.start();
  if (options.spoolDirectory === null) {
    try {
      rmdirSync(directory);
    } catch {
      options.log.problem(`what was not delivered is kept in ${directory}`);
    }
  }
  return exitCode;
}

class Supervisor implements ConnectionHandlers {
  readonly #options: RunOptions;
  readonly #redaction: Redaction | null;
  readonly #times: WrapperTimes;
  readonly #log: Log;
  readonly #spool: Spool;
  readonly #sender: Sender;
  readonly #connection: Transport;
  readonly #crashed: boolean;
  /** Since when the first welcome is waited for without a word from the coordinator. */
  #unheardSince = Date.now();
  #phase: Phase = { kind: 'connecting' };
  #welcomed = false;
  /** The coordinator has events under numbers that this boot had not given yet: somebody else writes from the same spool. */
  #numberingLost = false;
  #policy: Policy = POLICY_DEFAULTS;
  #frameBytes = 0;
  #pressure: SpoolPressure = 'none';
  #agent: AgentStream | null = null;
  #leftovers: string | null = null;
  #earlyInputs: string[] = [];
  /** The job shall not begin: someone asked for its end before it had. */
  #stopEarly: { reason: string; exitCode: number; at: number } | null = null;
  #signals = 0;
  #passedSignal: NodeJS.Signals | null = null;
  #ladder: Rung[] = [];
  #ladderTimer: NodeJS.Timeout | null = null;
  /** Since when an ack is being waited for; the last sign that events get through. */
  #ackAwaitedSince = 0;
  #ackedAt = 0;
  #settling: NodeJS.Timeout | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #resolve: (exitCode: number) => void = () => {};

  constructor(options: RunOptions, redaction: Redaction | null, spool: Spool, sender: Sender, crashed: boolean) {
    this.#options = options;
    this.#redaction = redaction;
    this.#times = { ...WRAPPER_TIMES, ...options.times };
    this.#log = options.log;
    this.#spool = spool;
    this.#sender = sender;
    this.#crashed = crashed;
    this.#connection = makeTransport(options.transport ?? 'auto', {
      url: options.url,
      credential: options.credential,
      handlers: this,
      times: this.#times,
      log: options.log,
    });
  }

  async start(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#resolve = resolve;
    });
    const onSignal = (signal: NodeJS.Signals) => this.#signalled(signal);
    const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
    if (this.#options.handleSignals) for (const signal of signals) process.on(signal, onSignal);
    this.#spool.attach({
      onStored: (chunk) => {
        // What the stopped job still says stays in the spool: the sender's numbering is no longer ours to go on with.
        if (this.#numberingLost) return;
        this.#sender.appended(chunk);
        this.#pump();
      },
      onPressure: (pressure) => this.#pressed(pressure),
      onWriteFailure: (message) =>
        this.#log.problem(
          message === null
            ? 'the spool can be written again'
            : `the spool can not be written (${message}): the job's output is paused`,
        ),
    });
    if (this.#crashed) this.#killLeftovers();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#connection.open();
    const exitCode = await ended;
    for (const signal of signals) process.off(signal, onSignal);
    return exitCode;
  }

  // ── the connection's side ───────────────────────────────────────────────────────────────────────────────────────

  hello() {
    const { wrapperId, bootId } = this.#spool.state;
    return { type: 'hello', protocol: PROTOCOL_VERSION, wrapperId, bootId, nextSeq: this.#spool.nextSeq, lost: 0 } as const;
  }

  welcome(frame: WelcomeFrame): void {
    const outcome = this.#sender.welcome(frame.ackedSeq, frame.limits);
    switch (outcome.kind) {
      case 'resumed':
        break;
      case 'behind':
        if (this.#welcomed) {
          this.#numberingLost = true;
          this.#fatal(`the coordinator has ${frame.ackedSeq} events, but there are only ${this.#spool.nextSeq - 1}`);
          return;
        }
        this.#spool.skipTo(outcome.nextSeq); // SV3
        break;
      case 'history_lost':
        this.#fatal(`the coordinator asks for event ${frame.ackedSeq + 1}, which it acknowledged before`);
        return;
      default:
        outcome satisfies never;
        return;
    }
    this.#policy = frame.policy;
    this.#frameBytes = frame.limits.frameBytes;
    this.#ackAwaitedSince = Date.now();
    this.#spool.release(this.#sender.ackedSeq, outcome.releasedBytes);
    this.#agent?.rest('ingest_down', false);
    for (const command of frame.commands) this.#command(command);
    if (!this.#welcomed) {
      this.#welcomed = true;
      this.#begin();
    }
    this.#pump();
    this.#checkDelivered();
  }

  frame(frame: Parameters<ConnectionHandlers['frame']>[0]): void {
    switch (frame.type) {
      case 'ack': {
        const outcome = this.#sender.ack(frame.seq);
        if (outcome.kind === 'fault') return this.#connection.restart(outcome.why);
        if (outcome.kind === 'stale') return;
        this.#ackedAt = Date.now();
        this.#ackAwaitedSince = this.#ackedAt;
        this.#connection.proven();
        this.#spool.release(frame.seq, outcome.releasedBytes);
        this.#pump();
        this.#checkDelivered();
        return;
      }
      case 'nack': {
        const outcome = this.#sender.nack(frame.expected);
        this.#log.fact('nack', { expected: frame.expected, outcome: outcome.kind });
        if (outcome.kind === 'fault') this.#connection.restart(outcome.why);
        if (outcome.kind === 'rewound') this.#pump();
        return;
      }
      case 'command':
        this.#command(frame);
        return;
      default:
        frame satisfies never;
    }
  }

  down(why: string): void {
    this.#log.fact('down', { why });
    this.#agent?.rest('ingest_down', true);
    this.#sender.disconnected();
  }

  /** Queued behind others, or the coordinator has too much to do: it is there, and says when the first welcome will come. */
  askedToWait(why: string): void {
    this.#log.fact('asked_to_wait', { why });
    this.#unheardSince = Date.now();
  }

  ended(end: ConnectionEnd): void {
    this.#sender.disconnected();
    switch (end.kind) {
      case 'settled':
        this.#log.fact('settled', { status: end.status });
        this.#stopForGood(end.status, null, false);
        return;
      case 'refused':
        this.#log.problem(`refused by the coordinator: ${end.why}`);
        this.#stopForGood(null, WRAPPER_FAILED, true);
        return;
      default:
        end satisfies never;
    }
  }

  #fatal(why: string): void {
    void this.#connection.close();
    this.ended({ kind: 'refused', why });
  }

  /** No attempt will be made any more. `exitCode` null: the job's own, as far as there is one. */
  #stopForGood(status: string | null, exitCode: number | null, keepSpool: boolean): void {
    const phase = this.#phase;
    switch (phase.kind) {
      case 'connecting': {
        const before = this.#spool.state.job.exitCode;
        if (exitCode === null && before === null && status !== 'completed') {
          this.#log.problem(`the execution is over already (${status ?? 'settled'}); nothing was run`);
        }
        void this.#finish(exitCode ?? before ?? (status === 'completed' ? 0 : WRAPPER_FAILED), keepSpool);
        return;
      }
      case 'running':
        this.#phase = { kind: 'stopping', child: phase.child, exitCode, keepSpool };
        if (!phase.child.ended) this.#log.problem('the job is still running and is stopped');
        this.#climb(interruptLadder('SIGTERM', this.#times.killAfterMs, Date.now()));
        return;
      case 'draining':
        void this.#finish(exitCode ?? phase.exitCode, keepSpool);
        return;
      case 'stopping':
      case 'ended':
        return;
      default:
        phase satisfies never;
    }
  }

  #pump(): void {
    while (this.#connection.up) {
      const idle = this.#sender.inflightBytes === 0;
      const plan = this.#sender.next();
      if (!plan) return;
      if (idle) this.#ackAwaitedSince = Date.now();
      let lines: Buffer;
      try {
        lines = this.#spool.read(plan.chunks);
      } catch (error) {
        this.#log.problem(`the spool can not be read: ${(error as Error).message}`);
        this.#connection.restart('the spool can not be read');
        return;
      }
      for (const frame of encodeFrames({ seq: plan.seq, count: plan.count, lines }, this.#frameBytes, Date.now())) {
        this.#connection.send(frame);
      }
      this.#log.fact('sent', { seq: plan.seq, lastSeq: lastSeqOf({ firstSeq: plan.seq, count: plan.count }), bytes: plan.bytes });
    }
  }

  // ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** After the first welcome (SV1): what this boot has to do. */
  #begin(): void {
    const { job } = this.#spool.state;
    if (this.#spool.terminal) {
      this.#drain(job.exitCode ?? WRAPPER_FAILED);
    } else if (this.#crashed || this.#options.recoverOnly) {
      const died = job.begun ? 'the wrapper died while the job was running' : 'the wrapper died before it had started the job';
      const error = this.#leftovers ? `${died}; ${this.#leftovers}` : died;
      this.#append('gap', { events: 0, bytes: 0, reason: 'wrapper_crashed' });
      this.#log.problem(`${error}; it is not run again`); // SV2
      this.#conclude('error', { error, code: 'wrapper_crashed', fatal: true }, WRAPPER_FAILED);
    } else if (this.#stopEarly) {
      this.#conclude('interrupted', { reason: this.#stopEarly.reason }, this.#stopEarly.exitCode);
    } else {
      this.#spawn();
    }
  }

  #spawn(): void {
    const { command, cwd, env, jobEnv, format, stdin, tee } = this.#options;
    const { job } = this.#spool.state;
    job.begun = true;
    if (!this.#save()) {
      // SV2: a job that is not noted as begun would be run again after a crash. It begins when the disk can be written.
      job.begun = false;
      setTimeout(() => {
        if (this.#phase.kind === 'connecting') this.#begin();
      }, BEGIN_RETRY_MS);
      return;
    }
    const pipes = openOutputPipes(this.#spool.directory, this.#log);
    job.pipes = pipes ? [pipes.stdout.id, pipes.stderr.id] : [];
    this.#save();
    const child = new Child({
      command,
      cwd,
      env: jobEnvironment(env, jobEnv),
      format,
      // With events before the job's first there is no telling which lines they held: a spool that a crash of the host took back in time.
      lines: this.#spool.nextSeq === 1 ? new LineNumbers() : null,
      redaction: this.#redaction,
      stdin,
      pipes,
      tee,
      times: this.#times,
      handlers: {
        output: (line) => void this.#spool.append(line),
        // Told to stop, but not all of its group has: they are not left behind.
        leaderGone: () => {
          if (this.#ladder.length > 0 || this.#passedSignal || this.#phase.kind === 'stopping') {
            this.#climb(interruptLadder('SIGTERM', this.#times.leftoverKillMs, Date.now()));
          }
        },
        exited: (exit) => void this.#afterAgent().then(() => this.#childExited(child, exit)),
      },
    });
    this.#phase = { kind: 'running', child };
    if (child.pid === undefined) return; // `exited` says why.
    job.pid = child.pid;
    job.start = identityOf(child.pid)?.start ?? null;
    this.#save();
    this.#log.fact('started', { pid: child.pid });
    this.#append('started', { pid: child.pid, command: command.map((argument) => this.#redacted(argument)) }); // SV7
    this.#followAgent();
    if (this.#pressure !== 'none') this.#pressed(this.#pressure);
    for (const text of this.#earlyInputs.splice(0)) this.#input(text);
  }

  #followAgent(): void {
    const { sse } = this.#options;
    if (!sse) return;
    this.#agent = new AgentStream({
      url: sse,
      times: this.#times,
      log: this.#log,
      redaction: this.#redaction,
      emit: (line) => void this.#spool.append(line),
    });
    this.#agent.start();
  }

  /** The terminal fact is the last event (SV4): what the agent still says comes before it. */
  async #afterAgent(): Promise<void> {
    await this.#agent?.finish();
  }

  #childExited(child: Child, exit: ChildExit): void {
    const phase = this.#phase;
    let exitCode: number;
    switch (exit.kind) {
      case 'not_started': {
        const error = this.#redacted(exit.message); // SV7
        exitCode = COMMAND_NOT_FOUND;
        this.#log.problem(`the command could not be started: ${error}`);
        this.#conclude('error', { error, code: 'spawn_failed', fatal: true }, exitCode);
        break;
      }
      case 'exited': {
        const { signal } = exit;
        exitCode = exitCodeOf(exit.exitCode, signal);
        if (exit.pipesLeftOpen) {
          this.#append('status', {
            message: 'the job has ended, but something it started keeps its output open; no more of that is read',
          });
        }
        // A job that was told to stop and says success all the same is believed: nobody else can know.
        if (this.#passedSignal && exitCode !== 0) {
          this.#conclude(
            'interrupted',
            { reason: `wrapper received ${this.#passedSignal}`, exitCode: exit.exitCode, signal },
            exitCode,
          );
        } else {
          this.#conclude('exit', { exitCode: exit.exitCode, signal }, exitCode);
        }
        break;
      }
      default:
        exit satisfies never;
        return;
    }
    this.#log.fact('child_exited', { exitCode, pid: child.pid ?? null });
    if (phase.kind === 'stopping') void this.#finish(phase.exitCode ?? exitCode, phase.keepSpool);
  }

  /** Writes the terminal fact (SV4) and goes on to deliver what is left. */
  #conclude(type: 'exit' | 'error' | 'interrupted', data: Record<string, unknown>, exitCode: number): void {
    this.#append(type, data, true);
    this.#spool.state.job.exitCode = exitCode;
    this.#save();
    this.#drain(exitCode);
  }

  #drain(exitCode: number): void {
    if (this.#phase.kind === 'stopping') return;
    this.#phase = { kind: 'draining', since: Date.now(), exitCode };
    this.#connection.lastFlush();
  }

  /** When the coordinator has all of it, its own close (4000) is waited for a moment: that is the end both sides see as one. */
  #checkDelivered(): void {
    const phase = this.#phase;
    if (phase.kind !== 'draining' || this.#settling || this.#sender.ackedSeq < this.#spool.nextSeq - 1) return;
    this.#log.fact('delivered', { seq: this.#sender.ackedSeq });
    this.#settling = setTimeout(() => void this.#finish(phase.exitCode, false), this.#times.settledWaitMs);
  }

  async #finish(exitCode: number, keepSpool: boolean): Promise<void> {
    if (this.#phase.kind === 'ended') return;
    const child = this.#child();
    this.#phase = { kind: 'ended' };
    this.#agent?.stop();
    if (this.#ticker) clearInterval(this.#ticker);
    if (this.#settling) clearTimeout(this.#settling);
    while (child && this.#ladder.length > 0 && child.groupAlive())
      await new Promise((resolve) => setTimeout(resolve, GROUP_CHECK_MS));
    if (this.#ladderTimer) clearTimeout(this.#ladderTimer);
    await this.#connection.close();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, CLOSE_WAIT_MS);
    });
    await Promise.race([keepSpool ? this.#spool.close() : this.#spool.destroy(), patience]); // SV6
    clearTimeout(timer);
    this.#resolve(exitCode);
  }

  // ── commands and signals ────────────────────────────────────────────────────────────────────────────────────────

  #command(command: Command): void {
    const { commandsDone } = this.#spool.state;
    if (!commandsDone.includes(command.id)) {
      commandsDone.push(command.id);
      this.#save(); // SV5
      switch (command.command) {
        case 'interrupt':
          this.#interrupt(command.data);
          break;
        case 'input':
          this.#input(command.data.text);
          break;
        default:
          command satisfies never;
      }
    }
    this.#connection.send(encodeFrame({ type: 'command_ack', id: command.id }));
  }

  #interrupt({
    signal,
    forceAfterMs,
    reason,
  }: {
    signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL';
    forceAfterMs: number;
    reason: string;
  }): void {
    this.#log.fact('interrupt', { signal, forceAfterMs });
    if (this.#phase.kind === 'connecting') {
      this.#stopEarly ??= { reason: reason || 'interrupted before it began', exitCode: exitCodeOf(null, 'SIGINT'), at: Date.now() };
    } else if (this.#phase.kind === 'running') {
      this.#climb(interruptLadder(signal, forceAfterMs, Date.now()));
    }
  }

  #input(text: string): void {
    const phase = this.#phase;
    if (phase.kind === 'connecting') this.#earlyInputs.push(text);
    if (phase.kind !== 'running') return;
    const failure = phase.child.write(text);
    if (failure === 'closed') this.#append('status', { message: 'input was not delivered: the stdin of the job is closed' });
    if (failure === 'not_read') this.#append('status', { message: 'input was not delivered: the job does not read its stdin' });
  }

  #signalled(signal: NodeJS.Signals): void {
    this.#signals += 1;
    const phase = this.#phase;
    this.#log.fact('signal', { signal, count: this.#signals });
    switch (phase.kind) {
      case 'connecting':
        if (this.#stopEarly) void this.#finish(this.#stopEarly.exitCode, true);
        this.#stopEarly ??= { reason: `wrapper received ${signal}`, exitCode: exitCodeOf(null, signal), at: Date.now() };
        return;
      case 'running':
      case 'stopping':
        if (this.#passedSignal) phase.child.signal('SIGKILL');
        else phase.child.signal(signal);
        this.#passedSignal ??= signal;
        return;
      case 'draining':
        // The first one finds us doing what it asks for. Whoever insists gets the end, and the spool keeps the rest.
        if (this.#signals > 1) void this.#finish(phase.exitCode, true);
        return;
      case 'ended':
        return;
      default:
        phase satisfies never;
    }
  }

  /** Sends the rungs that are due, and comes back for the next. It goes on after the leader's end for as long as its group has members. */
  #climb(added: readonly Rung[]): void {
    this.#ladder = mergeLadders(this.#ladder, added);
    if (this.#ladderTimer) clearTimeout(this.#ladderTimer);
    const child = this.#child();
    const { due, later } = dueRungs(this.#ladder, Date.now());
    const reached = due.at(-1);
    if (!child || (reached && !child.signal(reached.signal))) {
      this.#ladder = [];
      return;
    }
    this.#ladder = later;
    const next = later[0];
    if (next) this.#ladderTimer = setTimeout(() => this.#climb([]), Math.max(0, next.at - Date.now()));
  }

  // ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────

  #lastChild: Child | null = null;
  #child(): Child | null {
    if (this.#phase.kind === 'running' || this.#phase.kind === 'stopping') this.#lastChild = this.#phase.child;
    return this.#lastChild;
  }

  #redacted(text: string): string {
    return this.#redaction?.text(text) ?? text;
  }

  #append(type: string, data: Record<string, unknown>, terminal = false): void {
    this.#spool.append(encodeEvent({ type, at: Date.now(), data }), terminal);
  }

  #save(): boolean {
    try {
      this.#spool.saveState();
      return true;
    } catch (error) {
      this.#log.problem(`the wrapper's state can not be written: ${(error as Error).message}`);
      return false;
    }
  }

  #pressed(pressure: SpoolPressure): void {
    this.#log.fact('pressure', { pressure });
    if (pressure === 'disk_full') this.#log.problem('the spool is full: the job waits until the coordinator takes some of it');
    this.#pressure = pressure;
    const child = this.#child();
    if (pressure === 'none') child?.resume('spool');
    else child?.pause('spool');
    this.#agent?.rest('paused', pressure !== 'none');
  }

  /** What an earlier boot started may still run. Killed only if it is provably that; reported in any case. */
  #killLeftovers(): void {
    const found = findLeftovers(this.#spool.state.job);
    switch (found.kind) {
      case 'none':
        return;
      case 'ours':
        try {
          process.kill(-found.group, 'SIGKILL');
        } catch {
          return; // It ended just now.
        }
        this.#leftovers = `what was left of it (process group ${found.group}) was killed`;
        break;
      case 'unproven':
        this.#leftovers = `process group ${found.group} may be left of it, and was left alone because that can not be proven`;
        break;
      default:
        found satisfies never;
    }
    this.#log.problem(`an earlier wrapper left its job running; ${this.#leftovers}`);
  }

  #tick(): void {
    const now = Date.now();
    const phase = this.#phase;
    if (this.#sender.inflightBytes > 0 && now - this.#ackAwaitedSince > this.#times.ackStallMs) {
      this.#ackAwaitedSince = now;
      this.#connection.restart(`no ack within ${this.#times.ackStallMs} ms`);
    }
    if (phase.kind === 'connecting') {
      const over =
        now - this.#unheardSince > this.#times.firstWelcomeBudgetMs ||
        (this.#stopEarly !== null && now - this.#stopEarly.at > this.#times.signalledBudgetMs);
      if (!over) return;
      const why = this.#welcomed ? 'the spool could not be written' : 'the coordinator could not be reached';
      this.#log.problem(`${why}; the command was not run`);
      void this.#finish(this.#stopEarly?.exitCode ?? WRAPPER_FAILED, this.#crashed || this.#spool.nextSeq > 1);
    } else if (phase.kind === 'draining' && !this.#settling) {
      const budgetMs = Math.max(this.#policy.disconnectGraceMs * 2, this.#times.drainBudgetMinMs);
      if (now - Math.max(phase.since, this.#ackedAt) <= budgetMs) return;
      this.#log.problem(
        `the coordinator did not take the end of the job (exit code ${phase.exitCode}) within ${budgetMs} ms; it is kept in ${this.#spool.directory}`,
      );
      void this.#finish(WRAPPER_FAILED, true);
    }
  }
}
