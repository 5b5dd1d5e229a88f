/** State that the parts of a crowd share during the run, and its result. */

import type { Policy } from '../../protocol/index.ts';
import type { Done, Trouble } from './check.ts';
import type { CrowdFault, CrowdPlan, Deed } from './plan.ts';
import type { CrowdStage } from './stage.ts';
import type { Usage } from './usage.ts';
import type { Row } from './usage-watch.ts';
import type { SessionWatch } from './watch.ts';

export interface CrowdTimes {
  policy: Partial<Policy>;
  /** Sessions that begin per second. */
  startsPerSecond: number;
  /** Timeout of the whole crowd. */
  watchdogMs: number;
  /**
   * Idle time before the measurement, so that idle objects are evicted and idle connections closed.
   */
  settleMs: number;
}

export interface CrowdResult {
  seed: number;
  sessions: number;
  executions: number;
  events: number;
  verdicts: Record<string, number>;
  shapes: Record<string, number>;
  deeds: Partial<Record<Deed, { took: number; missed: number }>>;
  faults: Partial<Record<CrowdFault, number>>;
  missedFaults: CrowdFault[];
  /** Jobs that ran at the same moment, and wrapper processes. */
  atOnce: { sessions: number; wrappers: number };
  callbacks: { ids: number; attempts: number };
  wrapperReconnects: number;
  viewerReconnects: number;
  visits: number;
  base: Measured;
  idle: Measured;
  usage: Row[];
  problems: string[];
  ms: { starting: number; all: number };
}

export interface Measured {
  /** Of the coordinator: see usage.ts. */
  deadSockets: number;
  coordinator: Usage | null;
  runner: Usage | null;
}

export interface Scene {
  stage: CrowdStage;
  plan: CrowdPlan;
  times: CrowdTimes;
  watches: Map<string, SessionWatch>;
  done: Map<string, Done>;
  deeds: Promise<void>[];
  troubles: Trouble[];
  gate: { open: boolean; opened: Promise<void>; unlock: () => void };
  over: AbortController;
  result: CrowdResult;
  say: (line: string) => void;
}

export const keyOf = (session: string, id: string): string => `${session}/${id}`;
