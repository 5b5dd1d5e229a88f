/**
 * The events of a log as types: one union over `type`, for readers that act on events.
 *
 * A log holds whatever wrappers and later versions write, so an event is known only after `asKnown`
 * has validated it. Unknown events are passed on unchanged; a reader shows or skips them.
 */

import type { LoggedEvent } from './api.ts';
import type { AnsweredData, AskingData, AskingEndedData } from './asking.ts';
import {
  type AgentPartData,
  type ErrorData,
  factDataError,
  type GapData,
  type InputData,
  type InterruptedData,
  type JsonObject,
  type OutputData,
  type ResizeData,
  type ScreenData,
  type TerminalSize,
} from './events.ts';

export interface StartedData {
  pid?: number;
  command?: string[];
  /** The size with which the program began, if it runs in a terminal. */
  terminal?: TerminalSize;
}
export interface StatusData {
  message: string;
}
export interface ProgressData {
  current: number;
  total?: number;
  message?: string;
}
export interface QueuedData {
  /** 1 is next. */
  position: number;
  /** The execution that it continues. */
  continues?: string;
}
export interface PendingData {
  launcher: string;
  /** The execution that it continues. */
  continues?: string;
}
export interface WaitingData {
  pool: string;
  /** `no_runner`, `busy` or `concurrency`. */
  reason: string;
}
export interface AssignedData {
  /** Id and name of the runner. */
  runner: string;
  name: string;
}
/** The assignment came to nothing; the execution waits again. */
export interface RecalledData extends AssignedData {
  /**
   * `runner_lost`, `not_started`, `ended_before_it_connected`, or the code with which the runner
   * refused.
   */
  cause: string;
  message: string;
}
/** How the job's process ended, as far as it is known. */
export interface ProcessEnd {
  exitCode?: number | null;
  signal?: string | null;
}
export interface FailedData extends ProcessEnd {
  code: string;
  error: string;
  fatal: true;
  reason?: string;
  wsCloseCode?: number;
  wsCloseReason?: string;
}
export interface InterruptedVerdictData extends ProcessEnd {
  reason?: string;
  /** The wrapper did not answer in time. */
  forced?: boolean;
}
export interface WrapperConnectedData {
  epoch: number;
  wrapperId: string;
}
export interface WrapperReconnectedData {
  epoch: number;
  ackedSeq: number;
  downMs: number;
  bufferedEvents: number;
  eventsLost: number;
}
export interface WrapperDisconnectedData {
  reason: string;
  wsCloseCode: number;
  wsCloseReason: string;
  /** When the execution fails without a reconnect. Milliseconds since the epoch. */
  graceUntil: number;
}
export interface DeadlineRenewedData {
  /** `pending`, `grace` or `interrupt`. */
  deadline: string;
  /** The new end. Milliseconds since the epoch. */
  until: number;
  /** How long it had been exceeded when the coordinator detected it. */
  lateMs: number;
}
export interface InterruptRequestedData {
  reason: string;
  force: boolean;
  cause: string;
}

export interface KnownEventData {
  // Facts, from the wrapper.
  started: StartedData;
  output: OutputData;
  agent: JsonObject;
  agent_part: AgentPartData;
  status: StatusData;
  progress: ProgressData;
  error: ErrorData;
  interrupted: InterruptedData & ProcessEnd;
  exit: ProcessEnd;
  gap: GapData;
  screen: ScreenData;
  asking: AskingData;
  asking_ended: AskingEndedData;
  // From the coordinator.
  execution_queued: QueuedData;
  execution_pending: PendingData;
  execution_waiting: WaitingData;
  execution_assigned: AssignedData;
  execution_recalled: RecalledData;
  execution_running: JsonObject;
  execution_deadline_renewed: DeadlineRenewedData;
  execution_completed: ProcessEnd;
  execution_failed: FailedData;
  execution_interrupted: InterruptedVerdictData;
  wrapper_connected: WrapperConnectedData;
  wrapper_reconnected: WrapperReconnectedData;
  wrapper_disconnected: WrapperDisconnectedData;
  interrupt_requested: InterruptRequestedData;
  input: InputData;
  resize: ResizeData;
  answered: AnsweredData;
}

export type KnownType = keyof KnownEventData;

/** An event of one of these types, with its offset in the log. */
export type EventOf<T extends KnownType> = {
  [K in T]: Omit<LoggedEvent, 'type' | 'data'> & { type: K; data: KnownEventData[K] & JsonObject };
}[T];

export type KnownEvent = EventOf<KnownType>;

type Field = 'string' | 'number' | 'boolean';

/**
 * Required fields; `?` marks fields that may be missing or null. Facts that the coordinator
 * validates on arrival are validated by the same code here.
 */
const FIELDS: { readonly [T in KnownType]: { readonly [K in keyof KnownEventData[T] & string]?: Field | `${Field}?` } } = {
  started: {},
  output: {},
  agent: {},
  agent_part: {},
  status: { message: 'string' },
  progress: { current: 'number', total: 'number?', message: 'string?' },
  error: {},
  interrupted: {},
  exit: {},
  gap: {},
  screen: {},
  asking: {},
  asking_ended: {},
  execution_queued: { position: 'number', continues: 'string?' },
  execution_pending: { launcher: 'string', continues: 'string?' },
  execution_waiting: { pool: 'string', reason: 'string' },
  execution_assigned: { runner: 'string', name: 'string' },
  execution_recalled: { runner: 'string', name: 'string', cause: 'string', message: 'string' },
  execution_running: {},
  execution_deadline_renewed: { deadline: 'string', until: 'number', lateMs: 'number' },
  execution_completed: { exitCode: 'number?', signal: 'string?' },
  execution_failed: { code: 'string', error: 'string', exitCode: 'number?', signal: 'string?', reason: 'string?' },
  execution_interrupted: { reason: 'string?', exitCode: 'number?', signal: 'string?', forced: 'boolean?' },
  wrapper_connected: { epoch: 'number', wrapperId: 'string' },
  wrapper_reconnected: {
    epoch: 'number',
    ackedSeq: 'number',
    downMs: 'number',
    bufferedEvents: 'number',
    eventsLost: 'number',
  },
  wrapper_disconnected: { reason: 'string', wsCloseCode: 'number', wsCloseReason: 'string', graceUntil: 'number' },
  interrupt_requested: { reason: 'string', force: 'boolean', cause: 'string' },
  input: { bytes: 'number', text: 'string?', sha256: 'string?', eof: 'boolean?', secret: 'boolean?' },
  resize: { cols: 'number', rows: 'number' },
  answered: { id: 'string', option: 'string?', text: 'string?' },
};

export const KNOWN_TYPES = /* @__PURE__ */ Object.keys(FIELDS) as readonly KnownType[];

/** The same event, typed; null when its type is unknown, or its data does not match the type. */
export function asKnown(event: LoggedEvent): KnownEvent | null {
  const { type, data } = event;
  if (!Object.hasOwn(FIELDS, type) || factDataError(type, data) !== null) return null;
  for (const [name, field] of Object.entries(FIELDS[type as KnownType] as Record<string, string>)) {
    const value = data[name];
    const missing = value === undefined || value === null;
    if (missing ? !field.endsWith('?') : typeof value !== field.replace('?', '')) return null;
  }
  return event as unknown as KnownEvent;
}

/** Narrows an event to one type: `if (isEvent(event, 'output')) event.data.text`. */
export const isEvent = <T extends KnownType>(event: LoggedEvent, type: T): event is EventOf<T> =>
  event.type === type && asKnown(event) !== null;
