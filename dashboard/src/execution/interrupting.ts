/** What can be done to stop a run, and what is under way. Pure. */

import { type Facts, isEnded } from './facts.ts';
import { isTerminal } from './model.ts';

/** What this page has asked for and not heard of yet. */
export type Asked = 'nothing' | 'interrupt' | 'force';

export interface InterruptView {
  /** What the button does next; null when there is nothing left to ask for. */
  next: 'interrupt' | 'force' | null;
  label: string;
  /** What is under way, for the header. */
  progress: string | null;
}

export function interruptView(facts: Facts, asked: Asked): InterruptView {
  if (isEnded(facts)) return { next: null, label: 'Interrupt', progress: null };
  const { interrupt, execution } = facts;
  if (interrupt?.force || asked === 'force') return { next: null, label: 'Forcing…', progress: 'Forcing the end…' };
  if (asked === 'interrupt') return { next: null, label: 'Interrupting…', progress: 'Interrupting…' };
  if (interrupt) {
    const why = interrupt.cause === 'runtime' ? 'The time limit was reached, interrupting…' : 'Interrupting…';
    return { next: 'force', label: 'Force', progress: why };
  }
  return { next: 'interrupt', label: execution.status === 'running' ? 'Interrupt' : 'Cancel', progress: null };
}

/** What the API's answer means to a person; null when the events will tell. */
export function interruptAnswer({ accepted, status }: { accepted: boolean; status: Facts['execution']['status'] }): string | null {
  if (accepted) return null;
  return isTerminal(status) ? `The run had already ended: ${status}.` : 'The run had already ended.';
}
