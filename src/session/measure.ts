/**
 * Writes data points (core/metrics.ts) to Analytics Engine.
 *
 * A point leaves after its transition is durable, so at most once: a transition whose write failed resets the object and is made again, and only the one
 * that stays is counted. An object that dies between the two loses the point, and nothing else: the row and the log are right, and nobody is asked again.
 */

import { type DataPoint, dataPointOf } from '../core/metrics.ts';
import type { Measure } from '../core/ports.ts';
import type { Env } from '../platform/env.ts';
import { messageOf, type SessionLog } from '../platform/log.ts';
import { VERSION } from '../platform/version.ts';

/** The narrowest shape of the object's state that this needs. */
export interface MeasuredState {
  storage: { sync(): Promise<void> };
  waitUntil(work: Promise<void>): void;
}

/** Null where the deployment has no dataset: then nothing is even looked up. */
export function measureTo(
  { METRICS }: { METRICS?: Pick<NonNullable<Env['METRICS']>, 'writeDataPoint'> | undefined },
  tenant: string,
  state: MeasuredState,
  log: SessionLog,
): Measure | null {
  if (!METRICS) return null;
  const write = async (point: DataPoint): Promise<void> => {
    try {
      await state.storage.sync();
      METRICS.writeDataPoint(point);
    } catch (error) {
      log('warn', 'metrics_failed', { message: messageOf(error) });
    }
  };
  return (observation) => state.waitUntil(write(dataPointOf(observation, { tenant, version: VERSION })));
}
