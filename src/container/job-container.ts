/**
 * The Durable Object of one session's container, named `tenant/session` like the session's object.
 * It passes the platform's events to keeper.ts, which handles them. It is a separate object because
 * each check of a container is a wake, and a session sleeps while its job runs (G7).
 */

import { DurableObject } from 'cloudflare:workers';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { type Boot, CONTAINER_STOPPED } from '../core/container.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import type { ContainerCalls, LaunchTerms } from '../launch/container-calls.ts';
import type { Env } from '../platform/env.ts';
import { logLine, type SessionLog } from '../platform/log.ts';
import { splitName } from '../platform/object-name.ts';
import { callSession } from '../session/call-object.ts';
import { type ContainerPort, Keeper, type KeeperPorts } from './keeper.ts';

/** 192 bits: cannot be guessed. */
const TOKEN_BYTES = 24;

const STOPPED_MESSAGE = 'the container stopped while this ran in it, and what had not been reported is gone with its disk';

export class JobContainer extends DurableObject<Env> implements ContainerCalls {
  readonly #keeper: Keeper;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { tenant, session } = splitName(ctx.id.name);
    const log: SessionLog = (level, event, fields) => logLine(level, event, { tenant, session, ...fields });
    this.#keeper = new Keeper({
      container: this.containerPort(),
      storage: ctx.storage,
      reportLoss: createLossReporter(env, tenant, session),
      newBoot,
      now: () => Date.now(),
      pause: (ms) => scheduler.wait(ms),
      log,
    });
  }

  /** The container that the platform provides for this class, if any. */
  protected containerPort(): ContainerPort | null {
    return this.ctx.container ?? null;
  }

  launch(request: LaunchRequest, terms: LaunchTerms): Promise<LaunchOutcome> {
    return this.#keeper.launch(request, terms);
  }

  release(): Promise<void> {
    return this.#keeper.release();
  }

  override alarm(): Promise<void> {
    return this.#keeper.onAlarm();
  }
}

/** A deleted session, or one that does not know the execution, needs no notification. */
const createLossReporter =
  (env: Env, tenant: string, session: string): KeeperPorts['reportLoss'] =>
  async ({ execution }) => {
    const failed = { code: CONTAINER_STOPPED, message: STOPPED_MESSAGE };
    const answer = await callSession(env, tenant, session, (stub) => stub.failExecution(execution, failed));
    return answer.ok || answer.code === 'session_not_found' || answer.code === 'execution_not_found';
  };

function newBoot(now: number): Boot {
  const random = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES));
  const token = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return { id: crypto.randomUUID(), token, startedAt: now };
}
