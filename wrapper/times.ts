/**
 * All times of the wrapper, in one place. Times of the execution (heartbeat, grace) come with the
 * welcome. Tests shorten these.
 */

import { LATE_MS_MAX } from '../protocol/index.ts';

export interface WrapperTimes {
  /**
   * Covers the whole handshake, upgrade and welcome together: a half-open connection would
   * otherwise hang forever.
   */
  connectWatchdogMs: number;
  /**
   * A post and its answer, in addition to the time that its bytes need. Longer for the next one
   * when this was not enough.
   */
  postTimeoutMs: number;
  /**
   * While POST is used because WebSocket was blocked: the longest time until WebSocket is tried
   * again (SW5).
   */
  websocketRetryMs: number;
  /** How long such an attempt may take. Nothing else is sent meanwhile. */
  websocketProbeMs: number;
  /**
   * Without any answer or progress this long after a `ping`, plus the time that the bytes before it
   * need, the connection is dead.
   */
  pongWaitMs: number;
  /**
   * Not a time, but several are derived from it: the slowest uplink on which an event of 64 KiB
   * arrives before the coordinator's silence timeout (60 s).
   */
  slowestUplinkBytesPerSecond: number;
  /**
   * Events in flight without an ack for this long: the platform still answers pings, but the
   * coordinator does not process events.
   */
  ackStallMs: number;
  /** How long a wrapper that was never welcomed keeps trying. */
  firstWelcomeBudgetMs: number;
  /**
   * How long the coordinator must keep refusing a wrapper that it never welcomed. Covers a restart
   * with another key or folder.
   */
  refusedBudgetMs: number;
  /**
   * Added to the grace, before a refusal of a welcomed run is final: alarms are late, clocks run at
   * different speeds.
   */
  graceMarginMs: number;
  /** While attempts fail, the cause is reported again this often. */
  outageNoticeMs: number;
  /**
   * The minimum time for which a finished job's report is retried. The coordinator takes late
   * events for that long after its verdict.
   */
  drainBudgetMinMs: number;
  /** How long a wrapper that was asked to stop before its job began tries to report that. */
  signalledBudgetMs: number;
  /**
   * No write to the spool succeeds although the coordinator has everything: after this time the job
   * is stopped. Long enough for a person to free the disk.
   */
  spoolStuckMs: number;
  /** The same when the job has ended or was asked to stop: then pending lines are dropped. */
  spoolStuckStoppingMs: number;
  /** An agent server's stream (--sse) without a byte for this long is reconnected. */
  agentSilenceMs: number;
  /** After the job's end: how long its agent's stream must be quiet to count as ended. */
  agentQuietMs: number;
  /** How long an unfinished line is held back for its end. */
  partialHoldMs: number;
  /**
   * How long the output pipes may stay open after the job itself has exited, because a grandchild
   * holds them.
   */
  pipesHoldMs: number;
  /** From SIGTERM to SIGKILL, when the coordinator no longer wants the job. */
  killAfterMs: number;
  /** From the job's own end to SIGKILL for the rest of its group, when it was asked to stop. */
  leftoverKillMs: number;
  /** From SIGKILL until a job that has not ended is not waited for any longer. */
  killedWaitMs: number;
  /** After the last ack: how long to wait for the coordinator's own close (4000). */
  settledWaitMs: number;
}

export const WRAPPER_TIMES: Readonly<WrapperTimes> = {
  connectWatchdogMs: 20_000,
  postTimeoutMs: 30_000,
  websocketRetryMs: 3 * 60_000,
  websocketProbeMs: 5000,
  pongWaitMs: 10_000,
  slowestUplinkBytesPerSecond: 2000,
  ackStallMs: 60_000,
  firstWelcomeBudgetMs: 10 * 60_000,
  refusedBudgetMs: 10_000,
  graceMarginMs: 15_000,
  outageNoticeMs: 60_000,
  drainBudgetMinMs: LATE_MS_MAX,
  signalledBudgetMs: 10_000,
  spoolStuckMs: 10 * 60_000,
  spoolStuckStoppingMs: 10_000,
  agentSilenceMs: 60_000,
  agentQuietMs: 500,
  partialHoldMs: 100,
  pipesHoldMs: 5000,
  killAfterMs: 5000,
  leftoverKillMs: 2000,
  killedWaitMs: 5000,
  settledWaitMs: 2000,
};
