/**
 * The tables of one session. `npm run migrations` turns a change here into the next append-only SQL file.
 *
 * executions  one row per run; everything that decides its future is a column of this row (G4), every deadline too (G5)
 * commands    what the wrapper has yet to carry out (ING9); a row leaves when the wrapper acked it
 * log         one row per batch; written and read by plain SQL in log.ts, because it is the hot path
 * callbacks   verdicts that the queue of callbacks has yet to get: written with the verdict
 * outbox      what is yet to be told to others of the session as it is: one row for each who is told
 * meta        facts of the session itself
 */

import { integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';
import type { Execution, LauncherName, OutputFormat, Policy, Status } from '../../protocol/index.ts';
import type { IngestTransport, InterruptCause } from '../core/execution.ts';
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
    /** Kept only until a launcher has handed it over, then null. */
    env: text({ mode: 'json' }).$type<Record<string, string>>(),
    stdin: text(),
    openStdin: integer('open_stdin', { mode: 'boolean' }).notNull().default(false),
    format: text().$type<OutputFormat>().notNull(),
    launcher: text().$type<LauncherName>().notNull(),
    labels: text({ mode: 'json' }).$type<Record<string, string>>().notNull(),
    policy: text({ mode: 'json' }).$type<Policy>().notNull(),
    callbackUrl: text('callback_url'),
    traceparent: text(),
    /** Variables whose values the wrapper redacts besides the usual ones. Null: none. */
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

    /** Place among the queued: lowest first. `replace` goes below all others. */
    queueRank: integer('queue_rank').notNull(),

    launchAt: integer('launch_at'),
    launchAttempts: integer('launch_attempts').notNull().default(0),
    launchedAt: integer('launched_at'),

    wrapperId: text('wrapper_id'),
    bootId: text('boot_id'),
    transport: text().$type<IngestTransport>(),
    /** Sign of life of a wrapper that posts; one with a socket is heard by the platform. */
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

    exitCode: integer('exit_code'),
    signal: text(),
    code: text(),
    error: text(),
    reason: text(),
    forced: integer({ mode: 'boolean' }).notNull().default(false),
  },
  (table) => [uniqueIndex('executions_id').on(table.id)],
);

export const commands = sqliteTable('commands', {
  /** Never reused, so that "each id once" holds for the whole session. */
  id: integer().primaryKey({ autoIncrement: true }),
  execution: text().notNull(),
  command: text().$type<'interrupt' | 'input'>().notNull(),
  data: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
  createdAt: integer('created_at').notNull(),
});

export const log = sqliteTable('log', {
  /** The rowid itself: a batch costs one row written, and reading from an offset is one seek. */
  firstOffset: integer('first_offset').primaryKey(),
  count: integer().notNull(),
  execution: text().notNull(),
  /** Null in rows that the coordinator wrote itself. */
  firstSeq: integer('first_seq'),
  lastSeq: integer('last_seq'),
  bytes: integer().notNull(),
  /** Of all rows of the execution that a wrapper sent, up to this one. Null in the coordinator's, and in those of a version before 0.2.0. */
  executionBytes: integer('execution_bytes'),
  receivedAt: integer('received_at').notNull(),
  /** NDJSON as received, without a trailing line end. */
  body: text().notNull(),
});

export const callbacks = sqliteTable('callbacks', {
  /** One per verdict. The receiver knows a repeated delivery by it. */
  id: text().primaryKey(),
  execution: text().notNull(),
  url: text().notNull(),
  /** Offset of the verdict event. */
  verdictOffset: integer('verdict_offset').notNull(),
  createdAt: integer('created_at').notNull(),
  /** Tries to give it to the queue, by the alarm. */
  attempts: integer().notNull().default(0),
  dueAt: integer('due_at').notNull().default(0),
  /** The execution as it ended, as others may see it. */
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
