/** Executions and events for the tests of this folder. */

import type { LoggedEvent } from '../../../client/index.ts';
import type { Execution } from '../../../dashboard/src/execution/model.ts';
import { POLICY_DEFAULTS } from '../../../protocol/index.ts';

export const T0 = Date.UTC(2026, 10, 20, 12);

export const madeExecution = (fields: Partial<Execution> = {}): Execution => ({
  id: 'e1',
  session: 's1',
  status: 'running',
  command: ['make', 'test'],
  format: 'text',
  launcher: 'container',
  labels: {},
  policy: { ...POLICY_DEFAULTS },
  createdAt: T0,
  pendingAt: T0,
  startedAt: T0 + 1_000,
  epoch: 1,
  connected: true,
  firstOffset: 1,
  ...fields,
});

export const ended = (status: 'completed' | 'failed' | 'interrupted', fields: Partial<Execution> = {}): Execution => {
  const { connected: _connected, ...rest } = madeExecution();
  return { ...rest, status, endedAt: T0 + 60_000, lastOffset: 10, ...fields };
};

export const event = (offset: number, type: string, data: Record<string, unknown> = {}, at = T0 + offset * 1000): LoggedEvent => ({
  offset,
  execution: 'e1',
  type,
  at,
  data,
});

export const line = (offset: number, text: string, number?: number): LoggedEvent =>
  event(offset, 'output', { stream: 'stdout', text, ...(number === undefined ? {} : { line: number }) });
