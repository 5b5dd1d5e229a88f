/**
 * Runs the container of one session: starts it, launches through its runner, detects its end. The
 * decisions are in core/container.ts.
 *
 * Owns: the record (core/container.ts), the alarm, the container's start and its end.
 * Does not own: the executions. The session owns their verdicts; it is notified of losses and may
 * know better.
 *
 * - The record is written in the turn that decides, before the container or the runner is called.
 *   After each `await` it is read again.
 * - Nothing stays open: no `monitor()`, no stream, no socket. Between two alarms nothing keeps the
 *   object awake.
 * - An idle container is ended here, not by the platform. Its end and the next launch are then
 *   turns of one object and cannot race. The record is deleted with it, so a session that is
 *   deleted later leaves nothing behind. No idle time beyond CONTAINER_IDLE_MS is billed.
 */

import { type LaunchRequest, readInFlight } from '../../protocol/launch.ts';
import {
  applyInFlightCount,
  applyRunningState,
  type Boot,
  beginLaunch,
  CONTAINER_IDLE_MS,
  CONTAINER_PORT,
  type ContainerRecord,
  dueReports,
  INACTIVITY_TIMEOUT_MS,
  isCapacityError,
  isEmpty,
  isIdle,
  type LostContainer,
  markReported,
  NO_CONTAINER,
  nextCheckAt,
  recordFailedLaunch,
  recordLoss,
  scheduleReportRetry,
} from '../core/container.ts';
import { alarmToSet } from '../core/deadlines.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import type { LaunchTerms } from '../launch/container-calls.ts';
import { launchOnRunner, type SendToRunner } from '../launch/runner.ts';
import { errorMessage, type SessionLog } from '../platform/log.ts';
import { withTimeLimit } from '../platform/time-limit.ts';

/**
 * The used part of `ctx.container`. `running` is true before the port answers. `start` throws when
 * it is true.
 */
export interface ContainerPort {
  readonly running: boolean;
  start(options: { env: Record<string, string>; enableInternet: boolean }): void;
  destroy(reason?: string): Promise<void>;
  setInactivityTimeout(durationMs: number): Promise<void>;
  getTcpPort(port: number): { fetch(url: string, init?: RequestInit): Promise<Response> };
}

export interface KeeperPorts {
  /** Null: this deployment has no container for the class. */
  container: ContainerPort | null;
  storage: Pick<DurableObjectStorage, 'kv' | 'getAlarm' | 'setAlarm' | 'deleteAll'>;
  /** Fails the session's execution if it is open. False if the session is unreachable. No throw. */
  reportLoss(lost: LostContainer): Promise<boolean>;
  /** A boot with a new random id and a new random token. */
  newBoot(now: number): Boot;
  now(): number;
  pause(ms: number): Promise<void>;
  log: SessionLog;
}

const KEY = 'container';
/** A placeholder host, never resolved: requests go to the container's port. */
const RUNNER_URL = `http://runner:${CONTAINER_PORT}`;
const READY_POLL_MS = 200;
/** A running runner answers at once. A probe that hangs is retried. */
const PROBE_TIMEOUT_MS = 2_000;

const NOT_CONFIGURED =
  'HOLDFAST_CONTAINERS is 1, but the class JobContainer has no container: deploy with wrangler.containers.toml, see docs/containers.md';

export class Keeper {
  readonly #ports: KeeperPorts;
  #record: ContainerRecord;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
    this.#record = ports.storage.kv.get<ContainerRecord>(KEY) ?? NO_CONTAINER;
    // The platform forgets a container's timeout when its object restarts.
    if (ports.container?.running) this.#keepRunning(ports.container);
  }

  /** Idempotent by execution id. Takes at most `LAUNCH_TIMEOUT_MS`. */
  async launch(request: LaunchRequest, terms: LaunchTerms): Promise<LaunchOutcome> {
    const outcome = await this.#tryLaunch(request, terms);
    if (outcome.kind === 'launched') return outcome;
    this.#write(recordFailedLaunch(this.#record, request.id, this.#ports.now()));
    if (isEmpty(this.#record)) await this.#forget();
    else await this.#arm();
    return outcome;
  }

  async #tryLaunch(request: LaunchRequest, { until, sessionSince }: LaunchTerms): Promise<LaunchOutcome> {
    const { container, log } = this.#ports;
    if (!container) return { kind: 'refused', message: NOT_CONFIGURED };
    const now = this.#ports.now();
    const deadline = now + LAUNCH_TIMEOUT_MS;
    const before = this.#record;
    const step = beginLaunch(
      before,
      container.running,
      { execution: request.id, until, sessionSince },
      this.#ports.newBoot(now),
      now,
    );
    switch (step.kind) {
      case 'unknown_container':
        this.#write(step.record);
        return this.#endUnknownContainer(container);
      case 'start': {
        this.#write(step.record); // Before the start.
        const { boot } = step.record;
        try {
          container.start({ env: environmentOf(boot?.token ?? ''), enableInternet: true });
        } catch (error) {
          this.#write(before);
          return { kind: 'failed', message: `the container could not be started: ${errorMessage(error)}` };
        }
        log('info', 'container_started', { execution: request.id, boot: boot?.id });
        break;
      }
      case 'use':
        this.#write(step.record);
        break;
      default:
        return step satisfies never;
    }
    this.#keepRunning(container);
    await this.#arm();

    const { boot } = step.record;
    if (!boot || this.#record.boot?.id !== boot.id) return { kind: 'failed', message: 'the container was ended meanwhile' };
    const refusal = await this.#becomeReady(container, boot, request.id, deadline);
    if (refusal) return refusal;
    const timeoutMs = Math.max(1, deadline - this.#ports.now());
    return launchOnRunner({ url: RUNNER_URL, token: boot.token, send: this.#send(container) }, request, now, timeoutMs);
  }

  /** Handles everything that is due. Safe to run early, late or twice. */
  async onAlarm(): Promise<void> {
    try {
      const { container } = this.#ports;
      const running = container?.running ?? false;
      this.#observe(running);
      if (running && container && this.#record.launched.length > 0) await this.#ask(container);
      await this.#reportLosses();
      if (container && isIdle(this.#record, this.#ports.now())) await this.#endIdle(container);
      if (isEmpty(this.#record)) await this.#forget();
    } finally {
      await this.#arm();
    }
  }

  async release(): Promise<void> {
    this.#write(NO_CONTAINER);
    const { container } = this.#ports;
    if (container?.running) await container.destroy('its session was deleted');
    if (isEmpty(this.#record)) await this.#forget();
  }

  // ── runner ────────────────────────────────────────────────────────────────────────────────────

  #send(container: ContainerPort): SendToRunner {
    return (url, init) => container.getTcpPort(CONTAINER_PORT).fetch(url, init);
  }

  /** Waits until the runner accepts this boot's token. Null when it does. */
  async #becomeReady(container: ContainerPort, boot: Boot, execution: string, deadline: number): Promise<LaunchOutcome | null> {
    const { now, pause } = this.#ports;
    const send = this.#send(container);
    let last = 'its port was never open';
    while (now() < deadline) {
      if (!container.running) return this.#stoppedAtOnce(boot, last);
      try {
        const answer = await withTimeLimit(Math.max(1, Math.min(PROBE_TIMEOUT_MS, deadline - now())), async (signal) => {
          const given = await send(`${RUNNER_URL}/executions/${encodeURIComponent(execution)}`, {
            headers: { authorization: `Bearer ${boot.token}` },
            redirect: 'manual',
            signal,
          });
          await given.body?.cancel();
          return given;
        });
        if (answer.status === 401) {
          this.#observe(false); // CT1
          return this.#endUnknownContainer(container);
        }
        if (answer.ok || answer.status === 404) return null;
        last = `its runner answered ${answer.status}`;
      } catch (error) {
        last = errorMessage(error);
      }
      await pause(READY_POLL_MS);
    }
    return { kind: 'failed', message: `the container did not get ready within ${LAUNCH_TIMEOUT_MS} ms: ${last}` };
  }

  /** The container stopped before its runner answered: a bad image, or no free instance. */
  #stoppedAtOnce(boot: Boot, last: string): LaunchOutcome {
    if (this.#record.boot?.id === boot.id) this.#observe(false);
    if (isCapacityError(last)) return { kind: 'saturated', retryAfterMs: null };
    const hint = 'its image must run `holdfast-wrapper serve`, and max_instances must leave room for one more';
    return { kind: 'failed', message: `the container stopped before its runner answered (${last}); ${hint}` };
  }

  /**
   * Ends an unknown container: of a deleted session, or one that rejects the stored token because
   * this object's storage was restored or lost. At most one execution of a session is active, and
   * it is the one to launch now. So nothing is lost, and the next attempt starts a new container.
   */
  async #endUnknownContainer(container: ContainerPort): Promise<LaunchOutcome> {
    await container.destroy('it is not the container of this session');
    return { kind: 'failed', message: 'a container that is not of this session was ended; the next attempt starts another' };
  }

  /** Asks the runner for its number of wrappers. Without an answer the next alarm asks again. */
  async #ask(container: ContainerPort): Promise<void> {
    const askedAt = this.#ports.now();
    const boot = this.#record.boot?.id;
    try {
      const inFlight = await withTimeLimit(PROBE_TIMEOUT_MS, async (signal) => {
        const answer = await this.#send(container)(`${RUNNER_URL}/health`, { redirect: 'manual', signal });
        return readInFlight(await answer.json());
      });
      if (inFlight === null || this.#record.boot?.id !== boot) return;
      this.#write(applyInFlightCount(this.#record, inFlight, askedAt, LAUNCH_TIMEOUT_MS, this.#ports.now()));
    } catch (error) {
      this.#ports.log('warn', 'container_not_answering', { boot, message: errorMessage(error) });
    }
  }

  // ── end ───────────────────────────────────────────────────────────────────────────────────────

  #observe(running: boolean): void {
    const { boot, launched } = this.#record;
    const seen = applyRunningState(this.#record, running, this.#ports.now());
    if (boot && !seen.boot) this.#ports.log('warn', 'container_gone', { boot: boot.id, open: launched.length });
    this.#write(seen);
  }

  async #reportLosses(): Promise<void> {
    // One after the other, each from the current record: an execution that is launched again
    // meanwhile is not lost (CT3). A failed notification is due later, so the loop ends.
    for (let [lost] = dueReports(this.#record, this.#ports.now()); lost; [lost] = dueReports(this.#record, this.#ports.now())) {
      const reported = await this.#ports.reportLoss(lost);
      const fields = { execution: lost.execution, boot: lost.boot, attempt: lost.attempts + 1 };
      if (!reported) this.#ports.log('warn', 'container_loss_not_told', fields);
      this.#write(reported ? markReported(this.#record, lost) : scheduleReportRetry(this.#record, lost, this.#ports.now()));
    }
  }

  /** A concurrent launch finds no boot in the record: it starts another container or is retried. */
  async #endIdle(container: ContainerPort): Promise<void> {
    const { boot } = this.#record;
    this.#write(recordLoss(this.#record, this.#ports.now()));
    this.#ports.log('info', 'container_ended', { boot: boot?.id, reason: `idle for ${CONTAINER_IDLE_MS} ms` });
    if (container.running) await container.destroy('nothing runs in it');
  }

  async #forget(): Promise<void> {
    const { storage } = this.#ports;
    if (storage.kv.get(KEY) === undefined) return;
    this.#record = NO_CONTAINER;
    await storage.deleteAll();
  }

  // ── record and alarm ──────────────────────────────────────────────────────────────────────────

  #write(record: ContainerRecord): void {
    if (record === this.#record) return;
    this.#record = record;
    this.#ports.storage.kv.put(KEY, record);
  }

  /** Only moves the alarm earlier. One that fires too early finds nothing due and sets the next. */
  async #arm(): Promise<void> {
    const { storage, now } = this.#ports;
    const current = await storage.getAlarm();
    const wanted = nextCheckAt(this.#record, now());
    if (wanted === null) return;
    const at = alarmToSet(current, wanted, now());
    if (at !== null) await storage.setAlarm(at);
  }

  #keepRunning(container: ContainerPort): void {
    container.setInactivityTimeout(INACTIVITY_TIMEOUT_MS).catch((error: unknown) => {
      this.#ports.log('warn', 'container_timeout_not_set', { message: errorMessage(error) });
    });
  }
}

/** The runner's settings for one boot. The token is only here and in the record. */
const environmentOf = (token: string): Record<string, string> => ({
  HOLDFAST_RUNNER_TOKEN: token,
  HOLDFAST_RUNNER_HOST: '0.0.0.0',
  HOLDFAST_RUNNER_PORT: String(CONTAINER_PORT),
  HOLDFAST_RUNNER_DRAIN: '1',
});
