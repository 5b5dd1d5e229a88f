/**
 * The terms of an execution, stored with it, so that a change of defaults never changes a started
 * run. Its times are milliseconds.
 */

export interface Policy {
  /** How long a pending execution waits for its wrapper's first accepted hello. */
  pendingTimeoutMs: number;
  /** How long a running execution may be without a wrapper connection before it fails. */
  disconnectGraceMs: number;
  /** No frame and no heartbeat for this long counts as a disconnect. */
  silenceTimeoutMs: number;
  /** How often the wrapper says `ping`. */
  heartbeatMs: number;
  /**
   * How long an interrupt may stay unanswered before the execution is ended without the wrapper's
   * confirmation.
   */
  interruptGraceMs: number;
  /**
   * The hard cap of a run: at this age an interrupt is requested, and the execution fails if that
   * is not answered either.
   */
  maxRuntimeMs: number;
  /**
   * How many bytes of the wrapper's event lines the log keeps. Absent in executions from before
   * 0.2.0: no limit.
   */
  maxLogBytes?: number;
}

export type PolicyKey = keyof Policy;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export const POLICY_DEFAULTS: Readonly<Required<Policy>> = {
  pendingTimeoutMs: 5 * MINUTE,
  disconnectGraceMs: 5 * MINUTE,
  silenceTimeoutMs: MINUTE,
  heartbeatMs: 15 * SECOND,
  interruptGraceMs: 30 * SECOND,
  maxRuntimeMs: 6 * HOUR,
  maxLogBytes: 2 * GIB,
};

/**
 * Bounds of each. The lower ones keep an alarm-driven object from spinning; the upper ones keep a
 * forgotten run from living forever. A log has space for at least two frames, and for less than a
 * session at most (SESSION_BYTES_MAX).
 */
export const POLICY_BOUNDS: Readonly<Record<PolicyKey, { min: number; max: number }>> = /* @__PURE__ */ (() => ({
  pendingTimeoutMs: { min: SECOND, max: DAY },
  disconnectGraceMs: { min: SECOND, max: DAY },
  silenceTimeoutMs: { min: SECOND, max: DAY },
  heartbeatMs: { min: 250, max: 10 * MINUTE },
  interruptGraceMs: { min: SECOND, max: HOUR },
  maxRuntimeMs: { min: SECOND, max: 30 * DAY },
  maxLogBytes: { min: MIB, max: 8 * GIB },
}))(); // A page does not use it: a bundler leaves out only what is marked as pure.

export const POLICY_KEYS = /* @__PURE__ */ Object.keys(POLICY_DEFAULTS) as PolicyKey[];

/**
 * Applies the defaults. A silence limit below two heartbeats would declare every healthy wrapper
 * dead, so it is refused here, where the caller can still see the error (an inner timeout must be
 * shorter than the outer one).
 */
export function resolvePolicy(
  given: Partial<Policy> = {},
): { ok: true; policy: Required<Policy> } | { ok: false; key: PolicyKey; message: string } {
  const policy: Required<Policy> = { ...POLICY_DEFAULTS };
  for (const key of POLICY_KEYS) {
    const value = given[key];
    if (value === undefined) continue;
    const { min, max } = POLICY_BOUNDS[key];
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      const unit = key === 'maxLogBytes' ? 'bytes' : 'milliseconds';
      return { ok: false, key, message: `policy.${key} must be a whole number of ${unit} from ${min} to ${max}` };
    }
    policy[key] = value;
  }
  if (given.heartbeatMs === undefined && policy.heartbeatMs * 2 > policy.silenceTimeoutMs) {
    policy.heartbeatMs = Math.max(POLICY_BOUNDS.heartbeatMs.min, Math.floor(policy.silenceTimeoutMs / 4));
  }
  if (policy.heartbeatMs * 2 > policy.silenceTimeoutMs) {
    return { ok: false, key: 'heartbeatMs', message: 'policy.heartbeatMs must be at most half of policy.silenceTimeoutMs' };
  }
  return { ok: true, policy };
}

/** Missing heartbeats before a wrapper counts as silent: one may be late, or in transit. */
export const HEARTBEATS_MISSED = 2;

/**
 * How long the wrapper of a connected execution has been silent, if that is longer than two
 * heartbeats; otherwise null.
 */
export function silentForMs(execution: { policy: Pick<Policy, 'heartbeatMs'>; lastHeardAt?: number }, now: number): number | null {
  const { policy, lastHeardAt } = execution;
  if (lastHeardAt === undefined) return null;
  const silentMs = now - lastHeardAt;
  return silentMs > HEARTBEATS_MISSED * policy.heartbeatMs ? silentMs : null;
}
