/** What a caller of the API sees of a pool. Reads, and changes nothing. */

import type { PoolSummary, PoolView, RunnerView } from '../../protocol/index.ts';
import { splitRunName } from '../../protocol/pool.ts';
import { type PoolEntry, parseLane } from '../core/pool-entry.ts';
import type { PoolIndex } from '../core/pool-index.ts';
import { type PoolScene, reasonOf } from '../core/pool-match.ts';
import type { PoolStore } from '../core/pool-ports.ts';
import { stateOf } from '../core/pool-runner.ts';
import type { Seat } from './seat.ts';

/** Rows that a view shows of the queue. */
const QUEUE_SHOWN = 50;

export interface SeenPool {
  store: Pick<PoolStore, 'createdAt' | 'get' | 'nextIn'>;
  waiting: number;
  index: Pick<PoolIndex, 'heldBy' | 'heads'>;
  seats: ReadonlyMap<string, Seat>;
  scene: PoolScene;
}

export function summaryOf(pool: string, { store, waiting, index, seats }: SeenPool): PoolSummary {
  const sums = { runners: 0, slots: 0, busy: 0 };
  for (const seat of seats.values()) {
    if (!seat.connected) continue;
    sums.runners += 1;
    sums.slots += seat.record.slots;
    sums.busy += seat.held;
  }
  let oldest = Number.POSITIVE_INFINITY;
  for (const { since } of index.heads.values()) oldest = Math.min(oldest, since);
  return {
    id: pool,
    createdAt: store.createdAt,
    ...sums,
    waiting,
    ...(index.heads.size === 0 ? {} : { oldestWaitingAt: oldest }),
  };
}

export function viewOf(pool: string, seen: SeenPool): PoolView {
  return {
    ...summaryOf(pool, seen),
    runners: [...seen.seats.values()].map((seat) => runnerView(seat, seen.index)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    queue: firstWaiting(seen).map(({ session, execution, priority, since, lane }) => ({
      session,
      execution,
      priority,
      since,
      reason: reasonOf(parseLane(lane), seen.scene),
    })),
  };
}

/** Reads at most three rows for each that is shown: the lanes are merged, one execution at a time. */
function firstWaiting({ store, index }: SeenPool): PoolEntry[] {
  const first: PoolEntry[] = [];
  const lanes = new Map<string, Pick<PoolEntry, 'session' | 'execution' | 'rank'>>(index.heads);
  while (first.length < QUEUE_SHOWN && lanes.size > 0) {
    const [lane, { session, execution }] = [...lanes].reduce((best, one) => (one[1].rank < best[1].rank ? one : best));
    const entry = store.get(session, execution);
    if (entry?.state === 'waiting') first.push(entry);
    const next = entry && store.nextIn(lane, entry);
    if (next) lanes.set(lane, next);
    else lanes.delete(lane);
  }
  return first;
}

function runnerView(seat: Seat, index: SeenPool['index']): RunnerView {
  const { record } = seat;
  const { id, name, labels, slots, version, helloAt, failures, failure, restUntil } = record;
  const known = index.heldBy(id).map(({ session, execution, state, assignedAt }) => ({
    session,
    execution,
    state: RUN_STATES[state],
    ...(assignedAt === null ? {} : { since: assignedAt }),
  }));
  const extra = seat.unknownRuns.flatMap((run) => {
    const names = splitRunName(run);
    return names ? [{ ...names, state: 'running' as const }] : [];
  });
  return {
    id,
    name,
    labels,
    slots,
    busy: seat.held,
    version,
    state: stateOf(seat),
    connectedAt: helloAt,
    lastHeardAt: seat.open ? seat.heardAt : (record.goneAt ?? helloAt),
    ...(failures === 0 ? {} : { failing: { count: failures, code: failure ?? '', restUntil } }),
    runs: [...known, ...extra],
  };
}

const RUN_STATES = {
  waiting: 'assigned',
  leased: 'assigned',
  launched: 'starting',
  running: 'running',
  recalled: 'ended',
  over: 'ended',
} as const satisfies Record<PoolEntry['state'], RunnerView['runs'][number]['state']>;
