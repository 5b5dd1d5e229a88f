/**
 * The tables of one session. `npm run migrations` turns a change here into the next append-only SQL
 * file.
 *
 * executions  one row per run. Everything that decides its future is a column (G4), also deadlines
 *             (G5)
 * commands    commands that the wrapper has not acknowledged yet (ING9)
 * inputs      ids of accepted inputs, so that a repeated call finds what the first one did
 * answers     accepted answers, so that a second one is refused, and a repeated call is not
 * log         one row per batch; log.ts uses plain SQL for it, because it is the hot path
 * callbacks   events that the callback queue does not have yet, each written with its event
 * outbox      pending reports of the session's state: one row per receiver
 * meta        facts of the session itself
 */

import { integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';
import type {
  Author,
  CallbackEvent,
  ConcurrencyLimit,
  Execution,
  OpenQuestion,
  OutputFormat,
  OutputMode,
  Policy,
  RecordedLauncher,
  Status,
  TerminalSize,
  WaitReason,
} from '../../protocol/index.ts';
import type { IngestTransport, InterruptCause } from '../core/execution.ts';
import type { NewCommand } from '../core/lifecycle.ts';
import type { Topic } from '../core/outbox.ts';

export const executions = sqliteTable(
  'executions',
  {
    /** Order of creation; the list's cursor. */
    ordinal: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull(),
    status: text().$type<Status>().notNull(),
    /** SHA-256 of the normalised start request: same id and same digest is the same start. */
    requestDigest: text('request_digest').notNull(),

    command: text({ mode: 'json' }).$type<string[]>().notNull(),
    cwd: text(),
    /** Null once a launcher has handed it over. */
    env: text({ mode: 'json' }).$type<Record<string, string>>(),
    stdin: text(),
    openStdin: integer('open_stdin', { mode: 'boolean' }).notNull().default(false),
    format: text().$type<OutputFormat>().notNull(),
    /** Stdout and stderr share one pipe. */
    merge: integer({ mode: 'boolean' }).notNull().default(false),
    /** What becomes of output that is not UTF-8. */
    output: text().$type<OutputMode>().notNull().default('text'),
    /** The current size of its terminal. Null: it has none. */
    terminal: text({ mode: 'json' }).$type<TerminalSize>(),
    /** Offset of the newest `screen` event, where a reader of the screen begins. */
    screenOffset: integer('screen_offset'),
    launcher: text().$type<RecordedLauncher>().notNull(),
    /** It began, or begins, while fewer than this number are active. */
    maxActive: integer('max_active').notNull().default(1),
    /** The execution of this session that it continues. */
    continues: text(),
    labels: text({ mode: 'json' }).$type<Record<string, string>>().notNull(),
    policy: text({ mode: 'json' }).$type<Policy>().notNull(),
    callbackUrl: text('callback_url'),
    /** Null: of the verdict alone. */
    callbackEvents: text('callback_events', { mode: 'json' }).$type<CallbackEvent[]>(),
    traceparent: text(),
    /** Variables whose values the wrapper redacts in addition to the usual ones. Null: no names. */
    secretNames: text('secret_names', { mode: 'json' }).$type<string[]>(),
    /** Where wrappers reach this deployment, e.g. `https://holdfast.example.com`. */
    origin: text().notNull(),

    createdAt: integer('created_at').notNull(),
    pendingAt: integer('pending_at'),
    startedAt: integer('started_at'),
    endedAt: integer('ended_at'),
    firstOffset: integer('first_offset').notNull(),
    lastOffset: integer('last_offset'),
    logBytes: integer('log_bytes'),

    /** Position among the queued: lowest first. `replace` goes below all others. */
    queueRank: integer('queue_rank').notNull(),

    launchAt: integer('launch_at'),
    launchAttempts: integer('launch_attempts').notNull().default(0),
    launchedAt: integer('launched_at'),

    /** Of an execution that waits for a runner of a pool. Null for every other launcher. */
    pool: text(),
    requires: text({ mode: 'json' }).$type<Record<string, string>>(),
    priority: integer(),
    concurrency: text({ mode: 'json' }).$type<ConcurrencyLimit>(),
    waitMs: integer('wait_ms'),
    /** Set while it waits for a runner. */
    waitUntil: integer('wait_until'),
    waitReason: text('wait_reason').$type<WaitReason>(),
    /** The newest lease, and the runner while the assignment holds. */
    lease: integer(),
    runnerId: text('runner_id'),
    runnerName: text('runner_name'),
    assignedAt: integer('assigned_at'),
    /** Assignments in a row that came to nothing. */
    assignmentsFailed: integer('assignments_failed').notNull().default(0),

    wrapperId: text('wrapper_id'),
    bootId: text('boot_id'),
    transport: text().$type<IngestTransport>(),
    /** Last post of a wrapper that posts. For a socket, the platform records the last ping. */
    heardAt: integer('heard_at'),
    epoch: integer().notNull().default(0),
    connected: integer({ mode: 'boolean' }).notNull().default(false),
    connectedAt: integer('connected_at'),
    disconnectedAt: integer('disconnected_at'),
    disconnectReason: text('disconnect_reason'),
    wsCloseCode: integer('ws_close_code'),
    wsCloseReason: text('ws_close_reason'),

    pendingUntil: integer('pending_until'),
    graceUntil: integer('grace_until'),
    runtimeUntil: integer('runtime_until'),
    interruptUntil: integer('interrupt_until'),

    interruptRequestedAt: integer('interrupt_requested_at'),
    interruptCause: text('interrupt_cause').$type<InterruptCause>(),
    interruptReason: text('interrupt_reason'),
    interruptForced: integer('interrupt_forced', { mode: 'boolean' }).notNull().default(false),

    /**
     * What the wrapper said in its last hello. Null before it, and in rows written before 0.2.0.
     */
    features: text({ mode: 'json' }).$type<string[]>(),
    stdinEnded: integer('stdin_ended', { mode: 'boolean' }).notNull().default(false),
    /** The open questions of its agent, oldest first. Null: none. */
    asking: text({ mode: 'json' }).$type<OpenQuestion[]>(),

    exitCode: integer('exit_code'),
    signal: text(),
    code: text(),
    error: text(),
    reason: text(),
    forced: integer({ mode: 'boolean' }).notNull().default(false),

    /** Until when its wrapper may deliver late; null: nothing more is taken. */
    lateUntil: integer('late_until'),
    /** What has arrived late. Null: nothing. */
    lateEvents: integer('late_events'),
    lateAt: integer('late_at'),
    lateExitCode: integer('late_exit_code'),
    lateSignal: text('late_signal'),
  },
  (table) => [uniqueIndex('executions_id').on(table.id)],
);

export const commands = sqliteTable('commands', {
  /** Never reused, so that "each id once" holds for the whole session. */
  id: integer().primaryKey({ autoIncrement: true }),
  execution: text().notNull(),
  command: text().$type<NewCommand['command']>().notNull(),
  data: text({ mode: 'json' }).$type<NewCommand['data']>().notNull(),
  createdAt: integer('created_at').notNull(),
});

export const inputs = sqliteTable('inputs', {
  /** Execution and input id, with a slash between them, which no id has. */
  key: text().primaryKey(),
  /** Same id and same digest is the same input. */
  digest: text().notNull(),
  commandId: integer('command_id').notNull(),
});

export const answers = sqliteTable('answers', {
  /** Execution and id of the question, with a slash between them. An execution id has none. */
  key: text().primaryKey(),
  answerId: text('answer_id'),
  /** Same id and same digest is the same answer. */
  digest: text().notNull(),
  by: text({ mode: 'json' }).$type<Author>().notNull(),
  at: integer().notNull(),
  commandId: integer('command_id').notNull(),
});

export const log = sqliteTable('log', {
  /** The rowid itself: a batch costs one row written, and reading from an offset is one seek. */
  firstOffset: integer('first_offset').primaryKey(),
  count: integer().notNull(),
  execution: text().notNull(),
  /** Null in the coordinator's own rows. */
  firstSeq: integer('first_seq'),
  lastSeq: integer('last_seq'),
  bytes: integer().notNull(),
  /**
   * Sum over the execution's wrapper rows up to this one. Null in the coordinator's own rows, and
   * in rows written before 0.2.0.
   */
  executionBytes: integer('execution_bytes'),
  receivedAt: integer('received_at').notNull(),
  /** 1: stored after the verdict of its execution. Null in all other rows. */
  late: integer(),
  /** NDJSON as received, without a trailing newline. */
  body: text().notNull(),
});

export const callbacks = sqliteTable('callbacks', {
  /** One per event. Receivers dedupe by it. */
  id: text().primaryKey(),
  execution: text().notNull(),
  url: text().notNull(),
  event: text().$type<CallbackEvent>().notNull().default('settled'),
  /** Of the event in the log. The first version told of verdicts alone, hence the column's name. */
  offset: integer('verdict_offset').notNull(),
  createdAt: integer('created_at').notNull(),
  /** Attempts of the alarm to hand it to the queue. */
  attempts: integer().notNull().default(0),
  dueAt: integer('due_at').notNull().default(0),
  /** The public view of the execution as it was. */
  snapshot: text({ mode: 'json' }).$type<Execution>(),
});

export const outbox = sqliteTable('outbox', {
  topic: text().$type<Topic>().primaryKey(),
  version: integer().notNull(),
  delivered: integer().notNull(),
  attempts: integer().notNull(),
  dueAt: integer('due_at').notNull(),
});

export const meta = sqliteTable('meta', {
  key: text().primaryKey(),
  value: text().notNull(),
});
