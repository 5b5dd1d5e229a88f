/**
 * Schemas of the API's answers. The published description is made of them, and tests check real
 * answers against them. Unlike requests, answers may gain fields in a later version, so unknown
 * fields are allowed.
 */

import * as z from 'zod';
import {
  type Execution,
  OPEN_STATUSES,
  OUTPUT_FORMATS,
  OUTPUT_MODES,
  POLICY_KEYS,
  PROBLEMS,
  type Problem,
  type ProblemCode,
  QUESTION_KINDS,
  RECORDED_LAUNCHERS,
  RUNNER_STATES,
  type SessionSummary,
  STATUSES,
  WAIT_REASONS,
} from '../../../protocol/index.ts';
import { idSchema } from '../../contract/schemas.ts';

const time = z.int().min(0).describe('Milliseconds since the epoch.');
const count = z.int().min(0);
const offset = z.int().min(0).describe("Place of an event in the session's log, from 1; 0 is before the first.");

const terminalSize = z.looseObject({ cols: z.int().min(1), rows: z.int().min(1) });

const openQuestion = z
  .looseObject({
    id: z.string(),
    kind: z.enum(QUESTION_KINDS),
    text: z.string(),
    options: z.array(
      z.looseObject({ id: z.string(), label: z.string(), description: z.string().optional(), refuses: z.boolean().optional() }),
    ),
    multiple: z.boolean().optional().describe('Several options may be chosen.'),
    freeText: z.boolean().optional().describe('It may be answered with any text.'),
    tool: z.string().optional().describe('The tool call that it is about, as the agent names it.'),
    at: time.describe('When the wrapper read it.'),
  })
  .meta({ id: 'OpenQuestion' });

export const executionAnswer = z
  .looseObject({
    id: idSchema,
    session: idSchema,
    status: z.enum(STATUSES),
    command: z.array(z.string()),
    cwd: z.string().optional(),
    format: z.enum(OUTPUT_FORMATS),
    launcher: z.enum(RECORDED_LAUNCHERS),
    labels: z.record(z.string(), z.string()),
    openStdin: z.boolean().optional().describe('Whether it was started to take input.'),
    stdinEnded: z.boolean().optional().describe('Whether an input with `eof` ended its stdin.'),
    merge: z.boolean().optional().describe('Whether stdout and stderr share one pipe.'),
    output: z.enum(OUTPUT_MODES).optional().describe('bytes: output that is not UTF-8 is kept as base64. Absent: text.'),
    terminal: terminalSize.optional().describe('The current size of its terminal. Absent: it has none.'),
    maxActive: z.int().optional().describe('How many executions of the session may be active. Absent: 1.'),
    continues: idSchema.optional().describe('The execution of the same session that it continues.'),
    policy: z.looseObject(
      Object.fromEntries(POLICY_KEYS.map((key) => [key, key === 'maxLogBytes' ? z.int().min(0).optional() : z.int().min(0)])),
    ),
    createdAt: time,
    pendingAt: time.optional(),
    startedAt: time.optional(),
    endedAt: time.optional(),
    epoch: count.describe('Ingest connections accepted so far.'),
    connected: z.boolean().optional().describe('Whether a wrapper connection is open; absent once the execution has ended.'),
    lastHeardAt: time
      .optional()
      .describe('While a wrapper connection is open: when the wrapper was last heard, by a frame or a heartbeat.'),
    graceUntil: time.optional().describe('While a running execution is without its wrapper: when it fails if none returns.'),
    interruptRequestedAt: time.optional(),
    firstOffset: offset,
    lastOffset: offset.optional().describe('Offset of the verdict.'),
    logBytes: count
      .optional()
      .describe(
        'Bytes of the wrapper’s events in the log; absent before it runs, and for one that ended under an earlier version.',
      ),
    exitCode: z.int().optional(),
    signal: z.string().optional(),
    code: z.string().optional().describe('Failure code, as in the verdict event.'),
    error: z.string().optional(),
    reason: z.string().optional().describe('Why it was interrupted.'),
    forced: z.boolean().optional(),
    traceparent: z.string().optional(),
    secretNames: z.array(z.string()).optional().describe('Variables whose values are redacted besides those whose name says so.'),
    late: z
      .looseObject({
        events: count.describe('How many events were stored after the verdict.'),
        exitCode: z.int().nullable().describe('How the job had ended; null when that is not known.'),
        signal: z.string().nullable(),
        at: time.describe('When the newest of these events was stored.'),
      })
      .optional()
      .describe('What the wrapper delivered after the verdict, when it had been away for longer than its grace.'),
    pool: idSchema.optional().describe('Of the launcher `pool`.'),
    requires: z.record(z.string(), z.string()).optional(),
    priority: z.int().optional(),
    concurrency: z.looseObject({ key: z.string(), limit: z.int() }).optional(),
    waitMs: z.int().optional().describe('How long it may wait for a runner.'),
    waiting: z
      .looseObject({
        pool: idSchema,
        reason: z.enum(WAIT_REASONS).optional().describe('Absent until the pool has answered.'),
        position: z.int().min(1).optional().describe('1 is next, among those that can run on the same runners.'),
      })
      .optional()
      .describe('While no runner has it.'),
    waitUntil: time.optional().describe('When it fails if no runner took it.'),
    runner: z.looseObject({ id: idSchema, name: z.string() }).optional().describe('The runner that it was assigned to.'),
    asking: openQuestion.optional().describe('The oldest question of its agent that waits for an answer.'),
    askingCount: z.int().min(2).optional().describe('How many wait, when that is more than one.'),
  })
  .meta({ id: 'Execution', description: 'One run of one command. It never carries env, stdin or a credential.' });

export const startAnswer = z
  .looseObject({
    execution: executionAnswer,
    ingest: z.looseObject({ url: z.string(), token: z.string() }).describe('What a wrapper dials, and its credential.'),
  })
  .meta({ id: 'Started' });

const page = <T extends z.ZodType>(item: T) =>
  z.looseObject({
    data: z.array(item),
    next: z.string().nullable().describe('Cursor of the next page; null on the last one.'),
  });

export const executionsAnswer = page(executionAnswer).meta({ id: 'Executions' });

export const sessionsAnswer = page(
  z.looseObject({
    id: idSchema,
    lastActivityAt: time,
    execution: executionAnswer.nullable().describe('The newest one.'),
    open: z
      .looseObject(Object.fromEntries(OPEN_STATUSES.map((status) => [status, count])))
      .optional()
      .describe('How many of its executions are not over; absent when the session has not reported it yet.'),
    asking: z.literal(true).optional().describe('One of its executions waits for an answer.'),
  }),
).meta({ id: 'Sessions' });

export const sessionAnswer = z
  .looseObject({
    id: idSchema,
    createdAt: time,
    lastActivityAt: time,
    earliest: offset.describe('Oldest offset that is kept.'),
    head: offset.describe('Newest offset; 0 for an empty log.'),
    active: z.string().nullable().describe('The oldest of activeExecutionIds.'),
    activeExecutionIds: z.array(z.string()).describe('Pending and running, oldest first.'),
    asking: z.literal(true).optional().describe('One of its executions waits for an answer.'),
    counts: z.looseObject(Object.fromEntries(STATUSES.map((status) => [status, count]))),
  })
  .meta({ id: 'Session' });

export const interruptAnswer = z
  .looseObject({ settled: z.boolean().describe('Whether this call ended it.'), execution: executionAnswer })
  .meta({ id: 'Interrupted' });

export const failAnswer = z.looseObject({ settled: z.boolean(), execution: executionAnswer }).meta({ id: 'FailedByCall' });

export const inputAnswer = z.looseObject({ commandId: count }).meta({ id: 'InputAccepted' });

export const resizeAnswer = z
  .looseObject({ terminal: terminalSize, changed: z.boolean().describe('Whether it had another size before.') })
  .meta({ id: 'Resized' });

export const ticketAnswer = z.looseObject({ ticket: z.string(), expiresAt: time, until: time.optional() }).meta({ id: 'Ticket' });

const poolFields = {
  id: idSchema,
  createdAt: time,
  slots: count.describe('Of connected runners.'),
  busy: count.describe('Slots that are taken.'),
  waiting: count.describe('Executions that wait for a runner.'),
  oldestWaitingAt: time.optional(),
};

export const poolsAnswer = z
  .looseObject({ data: z.array(z.looseObject({ ...poolFields, runners: count.describe('Connected runners.') })) })
  .meta({ id: 'Pools' });

const runnerView = z
  .looseObject({
    id: idSchema,
    name: z.string(),
    labels: z.record(z.string(), z.string()),
    slots: count,
    busy: count,
    version: z.string(),
    state: z.enum(RUNNER_STATES),
    connectedAt: time,
    lastHeardAt: time,
    failing: z
      .looseObject({ count, code: z.string(), restUntil: time })
      .optional()
      .describe('Several launches in a row came to nothing; it gets the next one after `restUntil`.'),
    runs: z.array(
      z.looseObject({
        session: idSchema,
        execution: idSchema,
        state: z.enum(['assigned', 'starting', 'running', 'ended']),
        since: time.optional(),
      }),
    ),
  })
  .meta({ id: 'Runner' });

export const poolAnswer = z
  .looseObject({
    pool: z.looseObject({
      ...poolFields,
      runners: z.array(runnerView).describe('Those that were connected within a day.'),
      queue: z
        .array(
          z.looseObject({
            session: idSchema,
            execution: idSchema,
            priority: z.int(),
            since: time,
            reason: z.enum(WAIT_REASONS),
          }),
        )
        .describe('The first 50 that wait.'),
    }),
  })
  .meta({ id: 'Pool' });

const runnerKey = {
  id: idSchema,
  name: z.string(),
  createdAt: time,
  expiresAt: time.optional(),
  lastUsedAt: time.optional().describe('When a runner last connected with it; at most an hour old.'),
};

export const runnerKeyMadeAnswer = z
  .looseObject({ ...runnerKey, key: z.string().describe('Shown once.') })
  .meta({ id: 'RunnerKeyMade' });

export const drainedRunnerAnswer = z
  .looseObject({ runner: z.looseObject({ id: z.string(), draining: z.literal(true) }) })
  .meta({ id: 'DrainedRunner' });

export const runnerKeysAnswer = z.looseObject({ data: z.array(z.looseObject(runnerKey)) }).meta({ id: 'RunnerKeys' });

export const healthAnswer = z
  .looseObject({ status: z.literal('ok'), version: z.string(), warnings: z.array(z.string()).optional() })
  .meta({ id: 'Health' });

export const loggedEvents = z
  .array(
    z.looseObject({
      offset: z.int().min(1),
      late: z.literal(true).optional().describe('It was stored after the verdict of its execution.'),
      execution: idSchema,
      type: z.string(),
      at: time,
      data: z.record(z.string(), z.unknown()),
    }),
  )
  .meta({ id: 'LoggedEvents' });

export const problemAnswer = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]).describe('Stable: a program may switch on it.'),
    retryable: z.boolean().describe('Whether the same request may succeed later.'),
    requestId: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457, with fields that belong to the code.' });

/** The compiler checks that the types of programs and the published schemas match. */
type Covers<Type, Schema extends Type> = Schema;
export type Held = [
  Covers<Pick<Execution, 'id' | 'session' | 'status' | 'createdAt' | 'command'>, z.infer<typeof executionAnswer>>,
  Covers<Omit<SessionSummary, 'counts' | 'asking'>, z.infer<typeof sessionAnswer>>,
  Covers<Problem, z.infer<typeof problemAnswer>>,
];
