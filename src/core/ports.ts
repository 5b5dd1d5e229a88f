/**
 * What a session needs from its environment, each as the narrowest interface that is used. The
 * Durable Object implements them with the platform. The simulator in test/ implements them with a
 * seeded network, clock and disk, and runs the same session.
 */

import type { Command, Execution, OpenStatus, Status } from '../../protocol/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { NotedAnswer } from './asking.ts';
import type { CallbackFacts, CallbackRecord } from './callback.ts';
import type { Announcement, AnnouncementAnswer } from './directory.ts';
import type { ExecutionPatch, ExecutionRecord, LatePatch } from './execution.ts';
import type { NotedInput } from './input.ts';
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

/** The object's runtime: the only list of connections, and the only clock that survives. */
export interface SessionRuntime {
  getWebSockets(tag?: string): SessionSocket[];
  acceptWebSocket(ws: SessionSocket, tags: string[]): void;
  /** When the platform last answered this socket's ping, or null. */
  lastPingAt(ws: SessionSocket): number | null;
  getAlarm(): Promise<number | null>;
  setAlarm(at: number): Promise<void>;
  /** Lets other events run. */
  pause(): Promise<void>;
  /** Work that continues after the turn. It may be lost. */
  waitUntil(work: Promise<void>): void;
  /** For code that continues after an `await`. A turn gets its time as an argument. */
  now(): number;
  /** Deletes everything that the platform keeps for the object, with the alarm, in one turn. */
  deleteAll(): Promise<void>;
}

/**
 * What a session asks of other services. No method throws, but for `launchRequest`. A promise that is lost with the object
 * changes nothing: the session's rows hold what is still to do.
 */
export interface ExternalServices {
  /** Starts a wrapper somewhere. */
  launch(record: ExecutionRecord, now: number): Promise<LaunchOutcome>;
  /**
   * What a runner of a pool needs to start the wrapper. Signs its credential. Rejects when a setting
   * of the deployment is wrong.
   */
  launchRequest(record: ExecutionRecord, now: number): Promise<LaunchRequest>;
  /** The execution has ended, and needs nothing of its pool any more. */
  leavePool(record: ExecutionRecord): Promise<void>;
  /** The session was deleted: the launcher may drop what it keeps for it. */
  release(): Promise<void>;
  /**
   * Reports to the tenant's directory. Null when it did not answer in time; it may have accepted
   * the message all the same.
   */
  announce(announcement: Announcement): Promise<AnnouncementAnswer | null>;
  /**
   * Hands a callback to the queue. True when the queue has it; false when that is not known: the
   * queue may still have it.
   */
  enqueue(callback: CallbackFacts, execution: Execution): Promise<boolean>;
  /** Records a data point without waiting. Null if metrics are off; the log is then not summed. */
  readonly measure: ((observation: Observation) => void) | null;
}

export interface LogRow {
  firstOffset: number;
  count: number;
  execution: string;
  /** NDJSON: one event per line, without a trailing newline. */
  body: string;
  bytes: number;
  /** Written by the coordinator: a verdict or a connection event, without seqs. */
  own: boolean;
  /** Stored after the verdict of its execution. */
  late: boolean;
}

export interface Batch {
  execution: string;
  /** Null for the coordinator's own events. */
  firstSeq: number | null;
  count: number;
  body: string;
  bytes: number;
  late?: boolean;
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
   * Changes a non-terminal row. Returns the new row, or null when it was terminal already: this
   * compare-and-set makes every end happen once (G3).
   */
  update(id: string, patch: ExecutionPatch): ExecutionRecord | null;
  /**
   * Adds the offset of the verdict and the log's length to a row that was just settled. They are
   * known only once the verdict is in the log. Part of the settling transaction.
   */
  noteVerdict(id: string, verdict: { lastOffset: number; logBytes: number }): void;
  /** Changes an ended row, in the columns that are not part of its verdict. */
  noteLate(id: string, patch: LatePatch): void;
  /**
   * The pending and running ones, oldest first. Derived from the rows; no pointer must be kept in
   * sync (G4).
   */
  active(): ExecutionRecord[];
  /** All non-terminal rows, oldest first. */
  open(): ExecutionRecord[];
  /** The queued rows, next first. */
  queued(): ExecutionRecord[];
  lowestQueueRank(): number;
  /** Newest first. `before`: ordinal of the previous page's last row. `only`: this id alone. */
  list(query: ExecutionQuery): ExecutionRecord[];
  counts(): Record<Status, number>;
  /** Counts of non-terminal rows; `queued` is at most QUEUE_LENGTH_MAX. */
  openCounts(): Record<OpenStatus, number>;
  /** Whether one of them has an open question. */
  asks(): boolean;
  /** Whether the session has had at least this many. */
  hasAtLeast(count: number): boolean;
  /** Id and status of the newest ones, newest first. */
  newest(limit: number): { id: string; status: Status }[];
}

export interface CommandTable {
  /** Ids rise and are never reused. */
  add(execution: string, command: NewCommand, now: number): Command;
  /** In the order of their ids. */
  waiting(execution: string): Command[];
  /** Number of waiting commands, and the bytes of their data as JSON text. */
  load(execution: string): { count: number; bytes: number };
  ack(execution: string, id: number): void;
  /** Deletes the changes of the terminal's size that no wrapper has made yet. */
  dropResizes(execution: string): void;
  /** Deletes the commands of a settled execution: no wrapper is left to run them. */
  drop(execution: string): void;
}

/** Accepted inputs that had an id. They stay until the session is deleted. */
export interface InputTable {
  find(execution: string, inputId: string): NotedInput | null;
  note(execution: string, inputId: string, noted: NotedInput): void;
}

/** Accepted answers, the newest one of each question. They stay until the session is deleted. */
export interface AnswerTable {
  find(execution: string, question: string): NotedAnswer | null;
  note(execution: string, question: string, noted: NotedAnswer): void;
}

/**
 * Callbacks that the queue does not have yet. Each is written in the transaction of its event, so
 * there is exactly one per event. The table survives the deletion of the session. A session
 * without tables has no callbacks.
 */
export interface CallbackTable {
  add(record: CallbackRecord): void;
  /** The due ones, longest due first. */
  due(now: number, limit: number): CallbackRecord[];
  /** When the next one is due; null when the table is empty. */
  readonly nextDueAt: number | null;
  /** Updates the attempts and due time of a stored record. */
  postpone(record: Pick<CallbackRecord, 'id' | 'attempts' | 'dueAt'>): void;
  remove(id: string): void;
}

/** Pending reports, one row per receiver (core/outbox.ts). Survives the session's deletion. */
export interface OutboxTable {
  /** Null without such a row, also when the session has no tables at all. */
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
  /**
   * When the newest batch of the execution's wrapper was accepted; null before the first. Read from
   * the newest row, like `ackedSeq`.
   */
  takenAt(execution: string, since: number): number | null;
  append(batch: Batch, now: number): LogRow;
  /**
   * Highest seq of the execution in the log; 0 if it has no events. `since` is the offset of the
   * execution's first event and bounds the search, which goes from the newest row to the first one
   * of this execution. It passes the rows of others that are active, once for each wake.
   */
  ackedSeq(execution: string, since: number): number;
  /** Bytes of the execution's wrapper rows. Read from the newest of them, like `ackedSeq`. */
  bytesOf(execution: string, since: number): number;
  /**
   * Sums over the rows of an execution from the offset `since` on. Reads each of its rows, so it is
   * only for the end of an execution, and only if metrics are on.
   */
  tally(execution: string, since: number): Tally;
  /** Drops the cache entry of a settled execution. */
  forgetAcked(execution: string): void;
  /**
   * Rows that hold events with offset > `after`, in order, lazily. The first row may begin at or
   * before `after`. Use it within one turn only: a cursor has no snapshot across an `await`.
   */
  rowsAfter(after: number, executions?: readonly string[] | null): Iterable<LogRow>;
  /** The offset before the last `count` events; never before the oldest one kept. */
  tailOffset(count: number): number;
}

export interface Store {
  readonly executions: ExecutionTable;
  readonly commands: CommandTable;
  readonly inputs: InputTable;
  readonly answers: AnswerTable;
  readonly callbacks: CallbackTable;
  readonly log: LogTable;
  readonly outbox: OutboxTable;
  /**
   * Whether the session was ever started and not deleted since. Only then may its tables be
   * queried, except the outbox and the callbacks.
   */
  readonly exists: boolean;
  /** Unique among all sessions of this name: the log's generation derives from it. */
  readonly createdAt: number;
  /** Size of the database, all tables together. */
  readonly databaseBytes: number;
  create(now: number): void;
  /**
   * Deletes every row except the outbox and the callbacks; afterwards the session does not exist.
   * Stores `tombstoneUntil`; null means that no tombstone is needed. Part of a transaction.
   */
  erase(tombstoneUntil: number | null): void;
  /**
   * How long the object remembers the deletion of a session of this name; 0 without a tombstone. A
   * session that is started again keeps it.
   */
  readonly tombstoneUntil: number;
  /** Drops all caches of rows. */
  forget(): void;
  /** All or nothing: a throw rolls back and drops all caches of rows. */
  transact<T>(action: () => T): T;
}
