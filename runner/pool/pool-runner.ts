/**
 * A runner that dials out: what it does with the frames of its pool.
 *
 *   duty      what it takes, and when it ends (pure)
 *   link      the connection
 *   permits   what may run on this host
 *   identity  the runner's id, kept on disk
 *   options   its options; status: what it answers on loopback
 *
 * Owns: the answers to launches, the end of the process. Does not own: the runs (runner/runs.ts).
 *
 *   PR1  A run is on disk before its launch is answered, and in `hello.runs` from then on until its
 *        wrapper is proven gone for good. So a lost `launched` or `ended` is repaired by the next
 *        hello.
 *   PR2  From the frame to the answer of a launch there is no await, so two frames cannot both find
 *        a free slot.
 *   PR3  A refusal that is final does not end jobs: the runner restarts their wrappers as before,
 *        and ends when none is left.
 */

import { newBootId } from '../../protocol/ids.ts';
import { monotonicNow, WRAPPER_FEATURES } from '../../protocol/index.ts';
import { type Launch, readLaunchRequest } from '../../protocol/launch.ts';
import { type PoolFrame, type RefusalCode, RUNNER_PROTOCOL_VERSION, type RunnerFrameInput, runName } from '../../protocol/pool.ts';
import { VERSION } from '../../protocol/version.ts';
import type { Credential } from '../../wrapper/transport/credential.ts';
import type { RunKey } from '../record.ts';
import type { Runs } from '../runs.ts';
import {
  accepted,
  type Duty,
  decideLaunch,
  drain,
  drained,
  ended,
  type Held,
  isIdleOver,
  isOver,
  newDuty,
  type Terms,
} from './duty.ts';
import { LINK_TIMES, Link, type LinkTimes } from './link.ts';
import { type Permits, permit } from './permits.ts';

const TICK_MS = 250;
/** How long the end of the process waits for the pool to learn of the last ends. */
const FAREWELL_MS = 5000;

export interface PoolRunnerOptions {
  runs: Runs;
  url: string;
  credential: Credential;
  runnerId: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  terms: Terms;
  permits: Permits;
  /** For launches that name no folder. */
  usualFolder: string;
  env: NodeJS.ProcessEnv;
  /** Names the file with the runner's id, for the message about a cloned one. */
  identityFile: string;
  log: (message: string) => void;
  onUp?: () => void;
  times?: LinkTimes;
}

/** What became of launches, for metrics. */
export type LaunchOutcome = 'launched' | RefusalCode;

export interface PoolRunnerFacts {
  connected: boolean;
  connects: number;
  running: number;
  slots: number;
  draining: boolean;
  outcomes: ReadonlyMap<LaunchOutcome, number>;
  endedRuns: number;
}

export type PoolRunnerEnd = 'done' | 'refused' | 'left';

export class PoolRunner {
  readonly #options: PoolRunnerOptions;
  readonly #link: Link;
  readonly #bootId = newBootId();
  readonly #outcomes = new Map<LaunchOutcome, number>();
  #duty: Duty;
  #connects = 0;
  #endedRuns = 0;
  /** Why the pool takes this runner no more. */
  #refused: string | null = null;
  /** Why the key was refused, since the last welcome. */
  #keyProblem: string | null = null;
  #saidDraining = false;
  #failing = false;
  #ticker: NodeJS.Timeout | null = null;
  #farewell = false;
  #resolve: (end: PoolRunnerEnd) => void = () => {};
  readonly #ended: Promise<PoolRunnerEnd>;

  constructor(options: PoolRunnerOptions) {
    this.#options = options;
    const { runs, terms, url, credential } = options;
    this.#duty = newDuty(monotonicNow());
    // What an earlier process on this folder left running is the one execution of `--once`.
    if (runs.inFlight > 0) this.#duty = accepted(this.#duty, terms);
    this.#ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#link = new Link(
      url,
      credential,
      {
        hello: () => this.#hello(),
        frame: (frame) => this.#frame(frame),
        up: () => this.#up(),
        down: () => this.#look(),
        waits: (why, delayMs) => this.#waits(why, delayMs),
        keyRefused: (why) => this.#keyRefused(why),
        refused: (why) => this.#giveUp(why),
      },
      options.times ?? LINK_TIMES,
    );
  }

  get facts(): PoolRunnerFacts {
    const { runs, terms } = this.#options;
    return {
      connected: this.#link.up,
      connects: this.#connects,
      running: runs.inFlight,
      slots: terms.slots,
      draining: this.#duty.phase.kind !== 'working',
      outcomes: this.#outcomes,
      endedRuns: this.#endedRuns,
    };
  }

  /** Call once. Resolves when this process is done. */
  start(): Promise<PoolRunnerEnd> {
    this.#ticker = setInterval(() => this.#look(), TICK_MS);
    this.#link.open();
    return this.#ended;
  }

  /** Takes nothing new, and ends when nothing runs. */
  drain(): void {
    this.#duty = drain(this.#duty, 'told');
    this.#sayDraining();
    this.#look();
  }

  /** Ends now. Jobs go on. */
  leave(): void {
    this.#finish('left');
  }

  /** To be called for each run whose slot became free (runs.onEnded). */
  runEnded({ session, id }: RunKey): void {
    this.#endedRuns += 1;
    this.#duty = ended(this.#duty, this.#options.runs.inFlight, monotonicNow());
    this.#link.send({ type: 'ended', session, execution: id });
    this.#look();
  }

  #hello(): RunnerFrameInput {
    const { runnerId, name, labels, terms, runs } = this.#options;
    const draining = this.#duty.phase.kind !== 'working';
    // Said again after the welcome, because only a frame is answered by `drained`.
    this.#saidDraining = false;
    return {
      type: 'hello',
      protocol: RUNNER_PROTOCOL_VERSION,
      runnerId,
      bootId: this.#bootId,
      name,
      labels,
      slots: terms.slots,
      version: VERSION,
      runs: runs.running().map(({ session, id }) => runName(session, id)), // PR1
      features: [...WRAPPER_FEATURES],
      ...(draining ? { draining } : {}),
    };
  }

  #up(): void {
    this.#connects += 1;
    if (this.#failing) this.#options.log('connected to the pool again');
    this.#failing = false;
    this.#keyProblem = null;
    this.#sayDraining();
    this.#options.onUp?.();
    this.#look();
  }

  #sayDraining(): void {
    if (this.#saidDraining || this.#duty.phase.kind === 'working') return;
    this.#saidDraining = this.#link.send({ type: 'draining' });
  }

  #frame(frame: PoolFrame): void {
    switch (frame.type) {
      case 'welcome':
        if (frame.notice) this.#options.log(`the pool says: ${frame.notice.message} (${frame.notice.code})`);
        return;
      case 'launch':
        this.#launch(frame.lease, frame.request);
        this.#look();
        return;
      case 'drain':
        this.#options.log('the pool asks this runner to take nothing new, and to end when its jobs have ended');
        this.drain();
        return;
      case 'drained':
        this.#duty = drained(this.#duty);
        this.#look();
        return;
      default:
        frame satisfies never;
    }
  }

  /** PR2 */
  #launch(lease: number, request: unknown): void {
    if (this.#farewell) return;
    const reading = readLaunchRequest(request);
    if (!reading.ok) return this.#refuse(lease, 'unsupported', reading.message, false);
    const { runs, terms, log } = this.#options;
    const { launch } = reading;
    const decision = decideLaunch(this.#duty, terms, this.#held(launch, lease), runs.inFlight);
    switch (decision.kind) {
      case 'refuse':
        return this.#refuse(lease, decision.code, decision.message);
      case 'running':
        runs.renew(launch, lease);
        return this.#launched(lease);
      case 'ended':
        this.#launched(lease);
        this.#link.send({ type: 'ended', session: launch.session, execution: launch.id });
        return;
      case 'start_again':
        log(`${runName(launch.session, launch.id)}: its last wrapper never connected; it is started again`);
        runs.forget(launch);
        return this.#start(lease, launch);
      case 'start':
        return this.#start(lease, launch);
      default:
        return decision satisfies never;
    }
  }

  #held(launch: Launch, lease: number): Held {
    const record = this.#options.runs.record(launch);
    if (!record) return 'nothing';
    if (record.end === null) return 'running';
    if (record.lease === lease) return 'ended_same_lease';
    return record.end === 'finished' ? 'ended' : 'undelivered';
  }

  #start(lease: number, launch: Launch): void {
    const { runs, permits, usualFolder, env, terms, log } = this.#options;
    const permission = permit(permits, launch, usualFolder, env);
    if (!permission.ok) return this.#refuse(lease, permission.code, permission.message);
    const outcome = runs.launch({ ...launch, command: permission.command, cwd: permission.cwd }, lease);
    switch (outcome.kind) {
      case 'launched':
      case 'existing':
        this.#duty = accepted(this.#duty, terms);
        this.#launched(lease);
        this.#sayDraining();
        return;
      case 'full':
        return this.#refuse(lease, 'full', 'No slot is free.');
      case 'bad_cwd':
        return this.#refuse(lease, 'cwd_missing', `cwd is not a folder on this host: ${permission.cwd}`);
      case 'conflict':
        return this.#refuse(lease, 'start_failed', 'Another request with this execution id was started here.');
      case 'failed':
        log(`${runName(launch.session, launch.id)}: ${outcome.message}`);
        return this.#refuse(lease, 'start_failed', `The wrapper could not be started: ${outcome.message}`);
      default:
        return outcome satisfies never;
    }
  }

  #launched(lease: number): void {
    this.#count('launched');
    this.#link.send({ type: 'launched', lease });
  }

  #refuse(lease: number, code: RefusalCode, message: string, retry = true): void {
    this.#count(code);
    this.#link.send({ type: 'refused', lease, code, message, retry });
  }

  #count(outcome: LaunchOutcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  /** The first failure is named, and then nothing before the pool is reached again. */
  #waits(why: string, delayMs: number): void {
    if (!this.#failing)
      this.#options.log(`no connection to the pool: ${why}; next attempt in ${Math.ceil(delayMs / 1000)} s, and so on`);
    this.#failing = true;
    this.#look();
  }

  #keyRefused(why: string): boolean {
    const { runs, log } = this.#options;
    if (runs.inFlight === 0) {
      this.#giveUp(`the key was refused: ${why}`);
      return false;
    }
    if (!this.#failing) log(`the key was refused: ${why}; ${jobsGoOn(runs.inFlight)}, and the key is read again every 30 s`);
    this.#failing = true;
    this.#keyProblem = why;
    return true;
  }

  /** PR3 */
  #giveUp(why: string): void {
    const { log, runs, identityFile } = this.#options;
    this.#refused = why;
    log(`${why}. This runner does not connect again`);
    if (/id of this runner/.test(why))
      log(`the id is in ${identityFile}: a copy of a machine must not have it, so remove it there`);
    if (runs.inFlight > 0) log(`${jobsGoOn(runs.inFlight)}; the runner ends after that`);
    this.#look();
  }

  /** Whether this process is done. Called after everything that may change it. */
  #look(): void {
    if (this.#farewell) return;
    const { runs, terms } = this.#options;
    const running = runs.inFlight;
    if (this.#keyProblem !== null && running === 0 && this.#refused === null) {
      this.#refused = this.#keyProblem;
      this.#options.log('the jobs have ended, and the key is still refused. This runner does not connect again');
    }
    if (this.#refused !== null) {
      if (running === 0) this.#finish('refused');
      return;
    }
    if (isIdleOver(this.#duty, terms, monotonicNow())) {
      this.#options.log('nothing has run for the time of --idle-exit');
      this.#duty = drain(this.#duty, 'idle');
      this.#sayDraining();
    }
    if (isOver(this.#duty, { connected: this.#link.up, running })) void this.#sayGoodbye();
  }

  /**
   * The ends that the pool has not read are said by another hello without runs. A pool that cannot
   * be reached learns by its own clock that this runner is gone.
   */
  async #sayGoodbye(): Promise<void> {
    this.#farewell = true;
    const isRead = await this.#link.close();
    if (isRead || this.#endedRuns === 0) return this.#finish('done');
    const { url, credential, times } = this.#options;
    await new Promise<void>((resolve) => {
      const last = new Link(
        url,
        credential,
        {
          hello: () => this.#hello(),
          frame: () => {},
          up: () => void last.close().then((read) => read && resolve()),
          down: () => {},
          waits: () => {},
          keyRefused: () => {
            resolve();
            return false;
          },
          refused: () => resolve(),
        },
        times ?? LINK_TIMES,
      );
      setTimeout(() => void last.close().then(() => resolve()), FAREWELL_MS);
      last.open();
    });
    this.#finish('done');
  }

  #finish(end: PoolRunnerEnd): void {
    this.#farewell = true;
    if (this.#ticker) clearInterval(this.#ticker);
    this.#ticker = null;
    void this.#link.close().then(() => this.#resolve(end));
  }
}

const jobsGoOn = (count: number): string => (count === 1 ? 'its job goes on' : `its ${count} jobs go on`);
