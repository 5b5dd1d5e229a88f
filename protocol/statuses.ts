/**
 * `queued → pending → running → completed | failed | interrupted`. At most one execution of a
 * session is active.
 */

export const STATUSES = ['queued', 'pending', 'running', 'completed', 'failed', 'interrupted'] as const;
export type Status = (typeof STATUSES)[number];

export const TERMINAL_STATUSES = ['completed', 'failed', 'interrupted'] as const;
export type TerminalStatus = (typeof TERMINAL_STATUSES)[number];

export const ACTIVE_STATUSES = ['pending', 'running'] as const;

/** Those that have not ended. */
export const OPEN_STATUSES = ['queued', 'pending', 'running'] as const;
export type OpenStatus = (typeof OPEN_STATUSES)[number];

export const isStatus = (value: unknown): value is Status => (STATUSES as readonly unknown[]).includes(value);
export const isTerminal = (status: Status): status is TerminalStatus => (TERMINAL_STATUSES as readonly Status[]).includes(status);
export const isActive = (status: Status): boolean => (ACTIVE_STATUSES as readonly Status[]).includes(status);
