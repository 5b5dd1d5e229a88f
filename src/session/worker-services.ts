/**
 * How a session reaches launchers, its tenant's directory, the queue of callbacks, and the dataset
 * of metrics. Each call makes one attempt; the session's alarm makes the next.
 */

import type { Execution } from '../../protocol/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { VERSION } from '../../protocol/version.ts';
import { callbackMessage } from '../callbacks/message.ts';
import type { CallbackFacts } from '../core/callback.ts';
import type { Announcement, AnnouncementAnswer } from '../core/directory.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import { ATTEMPT_TIMEOUT_MS } from '../core/leased-row.ts';
import { type DataPoint, dataPointOf, type Observation } from '../core/metrics.ts';
import type { ExternalServices } from '../core/ports.ts';
import { directoryStub } from '../directory/calls.ts';
import { releaseContainer } from '../launch/container.ts';
import { launchExecution, launchRequestOf } from '../launch/launcher.ts';
import { poolStub } from '../launch/pool.ts';
import { readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, type SessionLog } from '../platform/log.ts';
import { within } from '../platform/time-limit.ts';

export interface WorkerServicesOptions {
  /** Bindings and settings of the deployment. */
  env: Env;
  tenant: string;
  session: string;
  /** When the session was made. */
  createdAt: () => number;
  /** The part of the object's state that is used. */
  state: { storage: { sync(): Promise<void> }; waitUntil(work: Promise<void>): void };
  log: SessionLog;
}

export class WorkerServices implements ExternalServices {
  readonly measure: ExternalServices['measure'];
  readonly #options: WorkerServicesOptions;

  constructor(options: WorkerServicesOptions) {
    const { env, tenant, state } = options;
    this.#options = options;
    this.measure = env.METRICS
      ? (observation: Observation) => state.waitUntil(this.#writePoint(dataPointOf(observation, { tenant, version: VERSION })))
      : null;
  }

  launch(record: ExecutionRecord, now: number): Promise<LaunchOutcome> {
    const { env, tenant, session, createdAt } = this.#options;
    return launchExecution(env, { tenant, session, sessionSince: createdAt() }, record, now);
  }

  async launchRequest(record: ExecutionRecord, now: number): Promise<LaunchRequest> {
    const { env, tenant, session } = this.#options;
    const configured = readConfig(env);
    if (!configured.ok) throw new Error(configured.message);
    return launchRequestOf(configured.config, { tenant, session }, record, now);
  }

  async leavePool({ id: execution, pool }: ExecutionRecord): Promise<void> {
    const { env, tenant, session, log } = this.#options;
    try {
      await within(ATTEMPT_TIMEOUT_MS, poolStub(env, tenant, pool ?? '').settled(session, execution));
    } catch (error) {
      log('warn', 'pool_call_failed', { execution, pool: pool ?? undefined, message: errorMessage(error) });
    }
  }

  release(): Promise<void> {
    const { env, tenant, session } = this.#options;
    return releaseContainer(env, tenant, session);
  }

  async announce(announcement: Announcement): Promise<AnnouncementAnswer | null> {
    const { env, tenant, log } = this.#options;
    try {
      return await within(ATTEMPT_TIMEOUT_MS, directoryStub(env, tenant).announce(announcement));
    } catch (error) {
      log('warn', 'announcement_failed', { message: errorMessage(error) });
      return null;
    }
  }

  async enqueue(callback: CallbackFacts, execution: Execution): Promise<boolean> {
    const { env, tenant, log } = this.#options;
    const fields = { callback: callback.id, execution: execution.id };
    if (!env.CALLBACKS) {
      log('error', 'callback_queue_missing', fields);
      return false;
    }
    try {
      const sent = env.CALLBACKS.send(callbackMessage(callback, tenant, execution), { contentType: 'json' });
      await within(ATTEMPT_TIMEOUT_MS, sent);
      return true;
    } catch (error) {
      log('warn', 'callback_queue_failed', { ...fields, message: errorMessage(error) });
      return false;
    }
  }

  /**
   * A data point is written after its transition is durable, so at most once. A transition whose
   * write failed resets the object and is repeated, and only the durable one is counted. An object
   * that dies between the two loses only the point.
   */
  async #writePoint(point: DataPoint): Promise<void> {
    const { env, state, log } = this.#options;
    try {
      await state.storage.sync();
      env.METRICS?.writeDataPoint(point);
    } catch (error) {
      log('warn', 'metrics_failed', { message: errorMessage(error) });
    }
  }
}
