/** The types of the protocol that this folder uses, in one place. */

export type { Execution, LoggedEvent, OnBusy, Policy, SessionSummary, StartRequest, Status } from '../../../protocol/index.ts';
export { isTerminal, REASON_CHARS_MAX, TICKET_TTL_SECONDS_MAX, terminalStatusOf } from '../../../protocol/index.ts';
