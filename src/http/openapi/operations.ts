/**
 * The description of every route: its parameters and its answers. Method, path and group come from
 * the table of routes (routes.ts). A route without a description, or the reverse, does not compile.
 */

import type * as z from 'zod';
import { GENERATION_PATTERN, type ProblemCode, WAIT_SECONDS_MAX } from '../../../protocol/index.ts';
import {
  answerSchema,
  failSchema,
  inputSchema,
  interruptSchema,
  listSchema,
  runnerKeySchema,
  startSchema,
  terminalSchema,
  ticketSchema,
} from '../../contract/schemas.ts';
import { ALL_ROUTES, type Group, type Route, type RouteId } from '../routes.ts';
import * as answers from './answers.ts';

export interface Parameter {
  name: string;
  in: 'query' | 'header';
  description: string;
  schema: object;
}

interface Description {
  summary: string;
  description?: string;
  tag: 'executions' | 'sessions' | 'reading' | 'ingest' | 'pools' | 'service';
  parameters?: Parameter[];
  body?: { schema: z.ZodType; required: boolean };
  answers: Record<number, { description: string; schema?: z.ZodType; mediaType?: string | readonly string[] }>;
  problems: ProblemCode[];
}

export interface Operation extends Description {
  id: RouteId;
  method: Route['method'];
  /** As OpenAPI writes it: `/v1/sessions/{session}`. */
  path: string;
  group: Group;
}

const query = (name: string, description: string, schema: object): Parameter => ({ name, in: 'query', description, schema });

const GENERATION = query(
  'generation',
  'The log that is meant, as a hello, an id or an offset named it; another one is refused `log_replaced`.',
  {
    type: 'string',
    pattern: GENERATION_PATTERN.source,
  },
);
const idempotencyKey = (description: string): Parameter => ({
  name: 'Idempotency-Key',
  in: 'header',
  description,
  schema: { type: 'string' },
});
const AFTER = query('after', 'Events behind this offset; 0 for all that is kept.', { type: 'integer', minimum: 0 });
const TAIL = query('tail', 'The last so many offsets. Excludes `after`.', { type: 'integer', minimum: 0 });
const FROM = query('from', 'The newest screen of the terminal of one `execution`. Excludes `after` and `tail`.', {
  enum: ['screen'],
});
const TYPES = query('types', 'Comma list of event types.', { type: 'string' });
const TICKET = query('ticket', 'A ticket, where no header can be sent.', { type: 'string' });

const listParameters: Parameter[] = [
  query('status', 'Only those of this status.', { enum: listSchema.shape.status.unwrap().options }),
  query('limit', 'Rows of a page.', {
    type: 'integer',
    minimum: 1,
    maximum: listSchema.shape.limit.unwrap().maxValue ?? undefined,
  }),
  query('cursor', '`next` of the page before.', { type: 'string' }),
];

const durableStream: Parameter[] = [
  query('offset', 'Where to begin: a `Stream-Next-Offset`, `-1` for the oldest, `now` for the tail.', { type: 'string' }),
  query('live', 'Wait for what comes.', { enum: ['long-poll', 'sse'] }),
  query('cursor', '`Stream-Cursor` of the answer before.', { type: 'string' }),
  GENERATION,
  TICKET,
];

const READER_PROBLEMS: ProblemCode[] = ['bad_request', 'unauthorized', 'forbidden_origin', 'session_not_found'];

const DESCRIPTIONS: Record<RouteId, Description> = {
  startExecution: {
    tag: 'executions',
    summary: 'Start an execution',
    description:
      'Idempotent by execution id: the same id with the same request answers with the execution that exists. A `callback` is refused (400, `field`) where its ' +
      'address may not be called, where the tenant has no key to sign it with, and where the deployment has no queue for it.',
    parameters: [idempotencyKey('The execution id, when the body has none.')],
    body: { schema: startSchema, required: true },
    answers: {
      201: { description: 'It was started.', schema: answers.startAnswer },
      200: { description: 'It had been started before.', schema: answers.startAnswer },
    },
    problems: [
      'bad_request',
      'unauthorized',
      'execution_not_found',
      'pool_not_found',
      'execution_in_progress',
      'execution_id_conflict',
      'session_full',
      'storage_full',
      'too_large',
      'queue_full',
    ],
  },
  listExecutions: {
    tag: 'executions',
    summary: 'Executions of a session, newest first',
    parameters: listParameters,
    answers: { 200: { description: 'A page.', schema: answers.executionsAnswer } },
    problems: READER_PROBLEMS,
  },
  getExecution: {
    tag: 'executions',
    summary: 'One execution, or its end',
    parameters: [
      query('wait', 'Seconds to wait for its end before answering with what it is then.', {
        type: 'integer',
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
      }),
    ],
    answers: { 200: { description: 'The execution.', schema: answers.executionAnswer } },
    problems: [...READER_PROBLEMS, 'execution_not_found'],
  },
  interruptExecution: {
    tag: 'executions',
    summary: 'Ask an execution to stop',
    description:
      'The verdict follows when the job has stopped. `force` does not wait for its consent. A ticket needs the right `interrupt`.',
    body: { schema: interruptSchema, required: false },
    answers: {
      202: { description: 'It was asked.', schema: answers.interruptAnswer },
      200: { description: 'It had ended before.', schema: answers.interruptAnswer },
    },
    problems: ['bad_request', 'unauthorized', 'forbidden_origin', 'session_not_found', 'execution_not_found', 'too_large'],
  },
  failExecution: {
    tag: 'executions',
    summary: 'Give an execution up',
    body: { schema: failSchema, required: true },
    answers: { 200: { description: 'Whether this call ended it.', schema: answers.failAnswer } },
    problems: ['bad_request', 'unauthorized', 'session_not_found', 'execution_not_found', 'too_large'],
  },
  sendInput: {
    tag: 'executions',
    summary: "Input for the job's stdin, and its end",
    description:
      'Exactly one of `text`, `data` (the same as `text`) and `base64`, or none of them with `eof: true`. With `inputId` it is idempotent: a repeat with the ' +
      'same content is answered as the first was, and changes nothing. Bytes and `eof` need a wrapper of 0.2.0. A ticket needs the right `input`.',
    body: { schema: inputSchema, required: true },
    answers: { 202: { description: 'It is on its way.', schema: answers.inputAnswer } },
    problems: [
      'bad_request',
      'unauthorized',
      'session_not_found',
      'execution_not_found',
      'forbidden_origin',
      'not_running',
      'stdin_closed',
      'input_id_conflict',
      'wrapper_too_old',
      'storage_full',
      'too_large',
      'input_full',
    ],
  },
  answerQuestion: {
    tag: 'executions',
    summary: 'Answer an open question of the agent',
    description:
      'Exactly one of `option`, `options` (of a question with `multiple`) and `text` (of a question with `freeText`). A question takes one answer. With `answerId` ' +
      'it is idempotent: a repeat with the same content is answered as the first was, and changes nothing. A ticket needs the right `input`.',
    parameters: [idempotencyKey('The `answerId`, when the body has none.')],
    body: { schema: answerSchema, required: true },
    answers: { 202: { description: 'It is on its way to the agent.', schema: answers.inputAnswer } },
    problems: [
      'bad_request',
      'unauthorized',
      'session_not_found',
      'execution_not_found',
      'forbidden_origin',
      'not_asking',
      'already_answered',
      'stdin_closed',
      'wrapper_too_old',
      'storage_full',
      'too_large',
      'input_full',
    ],
  },
  resizeTerminal: {
    tag: 'executions',
    summary: 'Give a terminal another size',
    description: 'Idempotent: a size that the terminal has already changes nothing. A ticket needs the right `input`.',
    body: { schema: terminalSchema, required: true },
    answers: { 200: { description: 'The size that it has now.', schema: answers.resizeAnswer } },
    problems: [
      'bad_request',
      'unauthorized',
      'session_not_found',
      'execution_not_found',
      'forbidden_origin',
      'not_a_terminal',
      'not_running',
      'storage_full',
      'too_large',
    ],
  },
  readLog: {
    tag: 'reading',
    summary: 'Output as the job wrote it',
    description: 'text/plain, or application/octet-stream for an execution that was started with `output: bytes`.',
    parameters: [query('follow', '1 keeps the answer open until the run has ended.', { enum: ['0', '1'] }), GENERATION, TICKET],
    answers: {
      200: {
        description: 'stdout and stderr in the order of the log.',
        mediaType: ['text/plain', 'application/octet-stream'],
      },
    },
    problems: [...READER_PROBLEMS, 'execution_not_found', 'log_replaced'],
  },
  readExecutionEvents: {
    tag: 'reading',
    summary: 'Events of one execution, as a Durable Stream',
    parameters: durableStream,
    answers: { 200: { description: 'Events.', schema: answers.loggedEvents }, 204: { description: 'Nothing came in time.' } },
    problems: [...READER_PROBLEMS, 'execution_not_found', 'offset_ahead', 'offset_expired', 'log_replaced'],
  },
  readEvents: {
    tag: 'reading',
    summary: 'Events of a session, as a Durable Stream',
    parameters: durableStream,
    answers: { 200: { description: 'Events.', schema: answers.loggedEvents }, 204: { description: 'Nothing came in time.' } },
    problems: [...READER_PROBLEMS, 'offset_ahead', 'offset_expired', 'log_replaced'],
  },
  followSession: {
    tag: 'reading',
    summary: 'Follow a session',
    description: 'A WebSocket (subprotocol `holdfast.stream.v1`), or with `Accept: text/event-stream` Server-Sent Events.',
    parameters: [
      AFTER,
      TAIL,
      FROM,
      query('execution', 'Comma list of execution ids.', { type: 'string' }),
      TYPES,
      GENERATION,
      TICKET,
    ],
    answers: {
      101: { description: 'The stream, as frames.' },
      200: { description: 'The stream, as events.', mediaType: 'text/event-stream' },
    },
    problems: [...READER_PROBLEMS, 'execution_not_found', 'offset_ahead', 'offset_expired', 'log_replaced', 'upgrade_required'],
  },
  dialIn: {
    tag: 'ingest',
    summary: 'The WebSocket of a wrapper',
    answers: { 101: { description: 'The protocol `holdfast.ingest.v1`.' } },
    problems: ['bad_request', 'unauthorized', 'upgrade_required'],
  },
  postIngest: {
    tag: 'ingest',
    summary: 'The same frames where no WebSocket gets through',
    answers: { 200: { description: 'Frames, one JSON text a line.', mediaType: 'application/x-ndjson' } },
    problems: ['bad_request', 'unauthorized', 'session_not_found', 'execution_not_found', 'too_large'],
  },
  listSessions: {
    tag: 'sessions',
    summary: 'Sessions and their newest execution, newest first',
    parameters: listParameters,
    answers: { 200: { description: 'A page.', schema: answers.sessionsAnswer } },
    problems: ['bad_request', 'unauthorized'],
  },
  getSession: {
    tag: 'sessions',
    summary: 'Summary of a session',
    answers: { 200: { description: 'The session.', schema: answers.sessionAnswer } },
    problems: READER_PROBLEMS,
  },
  deleteSession: {
    tag: 'sessions',
    summary: 'Delete a session with everything in it',
    answers: { 204: { description: 'Nothing of it is left.' } },
    problems: ['bad_request', 'unauthorized', 'session_not_found'],
  },
  createTicket: {
    tag: 'sessions',
    summary: 'A short-lived credential for one reader',
    body: { schema: ticketSchema, required: false },
    answers: { 201: { description: 'The ticket.', schema: answers.ticketAnswer } },
    problems: ['bad_request', 'unauthorized', 'too_large'],
  },
  listPools: {
    tag: 'pools',
    summary: 'Pools of the tenant',
    answers: { 200: { description: 'All of them.', schema: answers.poolsAnswer } },
    problems: ['unauthorized'],
  },
  getPool: {
    tag: 'pools',
    summary: 'One pool: its runners, what runs on them, and what waits',
    answers: { 200: { description: 'The pool.', schema: answers.poolAnswer } },
    problems: ['bad_request', 'unauthorized', 'pool_not_found'],
  },
  createRunnerKey: {
    tag: 'pools',
    summary: 'Make a key for runners',
    description: 'The first key makes the pool. The key is in this answer only: its SHA-256 is stored.',
    body: { schema: runnerKeySchema, required: true },
    answers: { 201: { description: 'The key.', schema: answers.runnerKeyMadeAnswer } },
    problems: ['bad_request', 'unauthorized', 'pools_full', 'keys_full'],
  },
  listRunnerKeys: {
    tag: 'pools',
    summary: 'Keys of a pool, without the keys themselves',
    answers: { 200: { description: 'All of them.', schema: answers.runnerKeysAnswer } },
    problems: ['bad_request', 'unauthorized', 'pool_not_found'],
  },
  drainRunner: {
    tag: 'pools',
    summary: 'Drain a runner',
    description: 'It takes nothing new, and ends when its runs have ended. A new process of it takes work again.',
    answers: { 202: { description: 'It is told, or will be at its next hello.', schema: answers.drainedRunnerAnswer } },
    problems: ['bad_request', 'unauthorized', 'pool_not_found', 'runner_not_found'],
  },
  removeRunner: {
    tag: 'pools',
    summary: 'Remove a runner that is gone',
    description:
      'It is no longer listed, until it connects again. What still runs on its machine goes on to its end. A runner that is connected is drained first.',
    answers: { 204: { description: 'The pool does not know it any more.' } },
    problems: ['bad_request', 'unauthorized', 'pool_not_found', 'runner_not_found', 'runner_connected'],
  },
  revokeRunnerKey: {
    tag: 'pools',
    summary: 'Revoke a key',
    description: 'Connections with the key end at once. What runs on these runners goes on to its end.',
    answers: { 204: { description: 'It opens nothing any more.' } },
    problems: ['bad_request', 'unauthorized', 'pool_not_found', 'key_not_found'],
  },
  connectRunner: {
    tag: 'pools',
    summary: 'The WebSocket of a runner',
    answers: { 101: { description: 'The protocol `holdfast.runner.v1`.' } },
    problems: ['bad_request', 'unauthorized', 'upgrade_required'],
  },
  getMetrics: {
    tag: 'pools',
    summary: 'Numbers of all pools for Prometheus',
    answers: { 200: { description: 'The text format.', mediaType: 'text/plain' } },
    problems: ['unauthorized'],
  },
  getHealth: {
    tag: 'service',
    summary: 'Whether the Worker answers, and which version it is',
    answers: { 200: { description: 'It does.', schema: answers.healthAnswer } },
    problems: [],
  },
  getDescription: {
    tag: 'service',
    summary: 'This description',
    answers: { 200: { description: 'OpenAPI 3.1.', mediaType: 'application/json' } },
    problems: ['not_configured'],
  },
};

/** The problems of the operation itself, and those that every operation of its group can answer. */
function problemsOf(id: RouteId, group: Group): ProblemCode[] {
  const { problems } = DESCRIPTIONS[id];
  // Any URL may be too long (LIM14).
  if (group === 'public') return [...problems, 'too_large'];
  // Every route of a tenant has a rate limit (HTTP25).
  const limited: ProblemCode[] = group === 'ingest' ? [] : ['rate_limited'];
  // A ticket is made without an object.
  const object: ProblemCode[] = id === 'createTicket' ? [] : ['overloaded', 'unavailable'];
  return [...new Set<ProblemCode>([...problems, 'too_large', ...limited, 'internal', ...object, 'not_configured'])];
}

const order = Object.keys(DESCRIPTIONS);

/** In the order of the descriptions, which is the order of the document. */
export const OPERATIONS: readonly Operation[] = ALL_ROUTES.toSorted((a, b) => order.indexOf(a.id) - order.indexOf(b.id)).map(
  ({ id, group, method, path }) => ({
    ...DESCRIPTIONS[id],
    id,
    group,
    method,
    path: path.replace(/:(\w+)/g, '{$1}'),
    problems: problemsOf(id, group),
  }),
);
