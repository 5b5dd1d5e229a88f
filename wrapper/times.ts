/** Every time of the wrapper's own, in one place. Times of the execution (heartbeat, grace) come with the welcome. Tests shorten these. */

export interface WrapperTimes {
  /** Covers the whole handshake, upgrade and welcome together: a half-open one would otherwise hang for ever. */
  connectWatchdogMs: number;
  /** A post and its answer, beside the time that its bytes need. Longer for the next one when this was not enough. */
  postTimeoutMs: number;
  /** While POST is in use because WebSocket did not get through: the longest time until that is tried again (SW5). */
  websocketRetryMs: number;
  /** How long such an attempt may take. Nothing else is sent meanwhile. */
  websocketProbeMs: number;
  /** A `ping` without any answer or progress for this long, beside the time that the bytes before it need, means the connection is dead. */
  pongWaitMs: number;
  /** No time, but several are made of it: the slowest uplink on which an event of 64 KiB arrives before the coordinator's silence timeout (60 s) is over. */
  slowestUplinkBytesPerSecond: number;
  /** Events in flight without an ack for this long: the platform still answers pings, but nobody takes our events. */
  ackStallMs: number;
  /** How long a wrapper that was never welcomed goes on trying. */
  firstWelcomeBudgetMs: number;
  /** How long the coordinator must go on refusing a wrapper that it never welcomed. Covers a restart with another key or folder. */
  refusedBudgetMs: number;
  /** Beside the grace, before a refusal of a run that was welcomed is believed: alarms are late, clocks run at different speeds. */
  graceMarginMs: number;
  /** While attempts fail, the cause is said again this often. */
  outageNoticeMs: number;
  /** The least time a finished job's report is kept being delivered. */
  drainBudgetMinMs: number;
  /** How long a wrapper that was told to stop before its job began tries to report that. */
  signalledBudgetMs: number;
  /** A spool to which nothing can be written although the coordinator has all of it: then the job is stopped. Long enough for somebody to free the disk. */
  spoolStuckMs: number;
  /** The same when the job has ended or was told to: then what waits is given up. */
  spoolStuckStoppingMs: number;
  /** An agent server's stream (--sse) without a byte for this long is connected to anew. */
  agentSilenceMs: number;
  /** After the job's end: how long its agent's stream must be quiet to count as over. */
  agentQuietMs: number;
  /** How long an unfinished line is held back in the hope of its end. */
  partialHoldMs: number;
  /** How long the output pipes may stay open after the job itself has exited, because a grandchild holds them. */
  pipesHoldMs: number;
  /** From SIGTERM to SIGKILL, when the coordinator no longer wants the job. */
  killAfterMs: number;
  /** From the job's own end to SIGKILL for what is left of its group, when it was told to stop. */
  leftoverKillMs: number;
  /** After the last ack: how long the coordinator's own close (4000) is waited for. */
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
  drainBudgetMinMs: 5 * 60_000,
  signalledBudgetMs: 10_000,
  spoolStuckMs: 10 * 60_000,
  spoolStuckStoppingMs: 10_000,
  agentSilenceMs: 60_000,
  agentQuietMs: 500,
  partialHoldMs: 100,
  pipesHoldMs: 5000,
  killAfterMs: 5000,
  leftoverKillMs: 2000,
  settledWaitMs: 2000,
};
