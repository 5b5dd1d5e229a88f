/**
 * What a session needs from its surroundings, each the narrowest shape that is used. The Durable Object gives the platform's; the simulator in test/ gives
 * its own and runs the very same session over a seeded network, clock and disk.
 */

import type { Command, Execution, OpenStatus, Status } from '../../protocol/index.ts';
import type { CallbackRecord } from './callback.ts';
import type { Announcement, AnnouncementAnswer } from './directory.ts';
import type { ExecutionPatch, ExecutionRecord } from './execution.ts';
import type { LaunchOutcome } from './launching.ts';
import type { NewCommand } from './lifecycle.ts';
import type { Observation, Tally } from './metrics.ts';
import type { OutboxRecord, Topic } from './outbox.ts';

/** A hibernatable server socket. */
export interface SessionSocket {
  readonly readyState: number;
  send(text: string): void;
  close(code: number, reason: string): void;
  serializeAttachment(attachment: unknown): void;
  deserializeAttachment(): unknown;
}

/** The object's runtime: the only register of connections, and the only clock that survives. */
export interface SessionRuntime {
  getWebSockets(tag?: string): SessionSocket[];
  acceptWebSocket(ws: SessionSocket, tags: string[]): void;
  /** When the platform last answered this socket's ping, or null. */
  lastPingAt(ws: SessionSocket): number | null;
  getAlarm(): Promise<number | null>;
  setAlarm(at: number): Promise<void>;
  /** A moment in which others get their turn. */
  pause(): Promise<void>;
  /** Work that goes on after the turn; it must not matter when it is lost. */
  waitUntil(work: Promise<void>): void;
  /** For what goes on after something that took time. Where a turn begins, it is given the time. */
  now(): number;
  /** Everything that the platform keeps for the object, the alarm too. No other event comes in between. */
  deleteAll(): Promise<void>;
}

/** What a session asks of others. No method throws, and a promise that is lost with the object changes nothing: the session's rows say what is still to do. */
export interface Outside {
  /** Starts a wrapper somewhere. */
  launch(record: ExecutionRecord, now: number): Promise<LaunchOutcome>;
  /** The session was deleted: the launcher may drop what it keeps for it. */
  release(): Promise<void>;
  /** Tells the tenant's directory. Null when it could not be reached in time; it may have the message all the same. */
  announce(announcement: Announcement): Promise<AnnouncementAnswer | null>;
  /**
   * Gives a callback to the queue that delivers it. True when the queue has it; false when that is not known, and then the queue may have it all the same.
   */
  enqueue(callback: Pick<CallbackRecord, 'id' | 'url'>, execution: Execution): Promise<boolean>;
  /** Records a data point, without waiting. Null where metrics are disabled: then the session does not sum up its log. */
  readonly measure: ((observation: Observation) => void) | null;
}

export interface LogRow {
  firstOffset: number;
  count: number;
  execution: string;
  /** NDJSON, one event per line, no trailing line end. */
  body: string;
  bytes: number;
  /** Written by the coordinator: a verdict or a connection fact, without seqs. */
  own: boolean;
}

export interface Batch {
  execution: string;
  /** Null for the coordinator's own events. */
  firstSeq: number | null;
  count: number;
  body: string;
  bytes: number;
}

export interface ExecutionQuery {
  status?: Status | undefined;
  limit: number;
  before?: number | undefined;
  only?: string | undefined;
}

export interface ExecutionTable {
  get(id: string): ExecutionRecord | null;
  insert(record: Omit<ExecutionRecord, 'ordinal'>): ExecutionRecord;
  /**
   * Changes a row that is not terminal. Returns the new row, or null when it was terminal already: the compare-and-set that makes every
   * ending happen once (G3).
   */
  update(id: string, patch: ExecutionPatch): ExecutionRecord | null;
  /** Where the verdict of a row that was just settled is, and how long its log: known only once it is in the log. Part of the settling transaction. */
  noteVerdict(id: string, verdict: { lastOffset: number; logBytes: number }): void;
  /** The pending or running one. Derived from the rows; there is no pointer to keep in step (G4). */
  active(): ExecutionRecord | null;
  /** Everything that is not terminal, oldest first. */
  open(): ExecutionRecord[];
  /** The waiting ones, next first. */
  queued(): ExecutionRecord[];
  lowestQueueRank(): number;
  /** Newest first. `before` is the ordinal of the last one of the page before; `only` leaves out every other id. */
  list(query: ExecutionQuery): ExecutionRecord[];
  counts(): Record<Status, number>;
  /** Of those that are not terminal; `queued` at most QUEUE_LENGTH_MAX. */
  openCounts(): Record<OpenStatus, number>;
  /** Whether the session has had so many. */
  hasAtLeast(count: number): boolean;
  /** Id and status of the newest ones, newest first. */
  newest(limit: number): { id: string; status: Status }[];
}

export interface CommandTable {
  /** Ids rise and are never reused. */
  add(execution: string, command: NewCommand, now: number): Command;
  /** In the order they were given. */
  waiting(execution: string): Command[];
  /** How many those are, and the bytes of their data as JSON text. */
  load(execution: string): { count: number; bytes: number };
  ack(execution: string, id: number): void;
  /** A settled execution has nobody left to carry anything out. */
  drop(execution: string): void;
}

/**
 * Verdicts that the queue has yet to get: a record is written in the transaction of its verdict, so that there is one for each and none without. It outlives
 * the rest of a session that is deleted. Where the session has no tables at all, nothing waits.
 */
export interface CallbackTable {
  add(record: CallbackRecord): void;
  /** What is due, longest due first. */
  due(now: number, limit: number): CallbackRecord[];
  /** When the next is due; null when none waits. */
  readonly nextDueAt: number | null;
  /** Part of a record that is there: the attempts, and when it is due. */
  postpone(record: Pick<CallbackRecord, 'id' | 'attempts' | 'dueAt'>): void;
  remove(id: string): void;
}

/** What is yet to be told to others: one row for each (core/outbox.ts). It outlives the rest of a session that is deleted. */
export interface OutboxTable {
  /** Null when there is none, also where the session has no tables at all. */
  get(topic: Topic): OutboxRecord | null;
  put(record: OutboxRecord): void;
}

export interface LogTable {
  /** Newest offset; 0 for an empty log. */
  readonly head: number;
  /** Oldest offset still kept; 1 for an empty log. */
  readonly earliest: number;
  /** When the newest batch came in, or null for an empty log. */
  readonly lastReceivedAt: number | null;
  /** When this object last took a wrapper's batch since it woke; null when it did not. A sign of life, not a record. */
  readonly lastIngestAt: number | null;
  append(batch: Batch, now: number): LogRow;
  /**
   * Highest seq of the execution that is in the log; 0 for none. `since` is the offset of the execution's first event, which bounds the search:
   * behind it there are mostly rows of this execution, since only one is active at a time.
   */
  ackedSeq(execution: string, since: number): number;
  /** Bytes of the execution's rows that a wrapper sent. Read from the newest of them, as `ackedSeq` is. */
  bytesOf(execution: string, since: number): number;
  /** What the log holds of an execution from the offset `since` on. Looks at each of its rows, so it is for its end, and only where somebody counts. */
  tally(execution: string, since: number): Tally;
  /** A settled execution is not asked about again. */
  forgetAcked(execution: string): void;
  /**
   * Rows that hold events with offset > `after`, in order, lazily. The first may begin at or before `after`. Only to be used within one turn: a cursor
   * has no snapshot across an `await`.
   */
  rowsAfter(after: number, executions?: readonly string[] | null): Iterable<LogRow>;
  /** Offset after which exactly the last `count` events of the log follow; never before the oldest kept. */
  tailOffset(count: number): number;
}

export interface Store {
  readonly executions: ExecutionTable;
  readonly commands: CommandTable;
  readonly callbacks: CallbackTable;
  readonly log: LogTable;
  readonly outbox: OutboxTable;
  /** Whether the session was ever started, and not deleted since. Its tables, but for the outbox and the callbacks, may only be asked when it was. */
  readonly exists: boolean;
  /** Differs from that of every earlier session of this name: the generation of the log is made of it (`generationOf`). */
  readonly createdAt: number;
  /** What the database takes, all tables together. */
  readonly databaseBytes: number;
  create(now: number): void;
  /**
   * Deletes every row but those of the outbox and the callbacks: from here on the session does not exist. `tombstoneUntil` is kept; null: none is needed. Part of a
   * transaction.
   */
  erase(tombstoneUntil: number | null): void;
  /** Until when the object remembers that a session of this name was deleted; 0 when it does not. A session that is begun again keeps it. */
  readonly tombstoneUntil: number;
  /** Nothing that is remembered of the rows is true any more. */
  forget(): void;
  /** All or nothing: a throw rolls back, and with it everything that was remembered of the rows. */
  transact<T>(action: () => T): T;
}
