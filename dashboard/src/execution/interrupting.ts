/** The actions that stop a run, and their state. Pure. */

import { isTerminal } from './model.ts';
import { type Facts, isEnded } from './run-facts.ts';

/** Requests of this page without an answer yet. */
export type PendingRequest = 'none' | 'interrupt' | 'force';

export interface InterruptView {
  /** The button's next action; null when no action is left. */
  next: 'interrupt' | 'force' | null;
  label: string;
  /** The pending action, for the header. */
  progress: string | null;
}

export function interruptView(facts: Facts, pending: PendingRequest): InterruptView {
  if (isEnded(facts)) return { next: null, label: 'Interrupt', progress: null };
  const { interrupt, execution } = facts;
  if (interrupt?.force || pending === 'force') return { next: null, label: 'Forcing…', progress: 'Forcing the end…' };
  if (pending === 'interrupt') return { next: null, label: 'Interrupting…', progress: 'Interrupting…' };
  if (interrupt) {
    const why = interrupt.cause === 'runtime' ? 'The time limit was reached, interrupting…' : 'Interrupting…';
    return { next: 'force', label: 'Force', progress: why };
  }
  return { next: 'interrupt', label: execution.status === 'running' ? 'Interrupt' : 'Cancel', progress: null };
}

/** The API's answer as text; null when events will report the result. */
export function interruptResultText({
  accepted,
  status,
}: {
  accepted: boolean;
  status: Facts['execution']['status'];
}): string | null {
  if (accepted) return null;
  return isTerminal(status) ? `The run had already ended: ${status}.` : 'The run had already ended.';
}
