/**
 * A launch request, as a pool and a container's object send it to a runner; and the wire of the
 * latter, HTTP to the port of the container.
 *
 *   POST /executions          a launch request; 201 with a new run, 200 with the one that exists
 *   GET /executions/{id}      a run
 *   GET /health               how many wrappers there are; the only answer that needs no token
 *
 * Every refusal is a problem document (RFC 9457) with a code of `RUNNER_PROBLEMS`.
 *
 * VER7: each end ignores fields and values that it does not know. So a runner strips unknown
 * fields, and a coordinator reads of an answer only what it needs.
 *
 * Not part of index.ts: clients do not use it, and zod is larger than the whole of them. zod/mini
 * adds 50 KB to the wrapper's bundle, where zod adds 200 KB.
 */

import * as z from 'zod/mini';
import { OUTPUT_FORMATS, OUTPUT_MODES } from './api.ts';
import { isTerminalSize, type TerminalSize } from './events.ts';
import { isId, isVisibleAscii } from './ids.ts';
import { JOB_ENV_RESERVED } from './job-env.ts';
import {
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CREDENTIAL_CHARS_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  exceedsUtf8Bytes,
  START_BODY_BYTES_MAX,
  STDIN_BYTES_MAX,
  TERMINAL_COLS_MAX,
  TERMINAL_ROWS_MAX,
  utf8Bytes,
} from './limits.ts';

/**
 * A start request of the greatest size must be launchable. The rest is room for the ids, the ingest
 * URL and the token that the coordinator adds.
 */
export const RUNNER_BODY_BYTES_MAX = START_BODY_BYTES_MAX + 4 * 1024;

/** The address of a deployment, with two ids behind it. */
export const INGEST_URL_CHARS_MAX = 4096;

/** A W3C traceparent has 55 characters; later versions of it may be longer. */
export const TRACEPARENT_CHARS_MAX = 256;

// ── the request ─────────────────────────────────────────────────────────────────────────────────

/** Half a surrogate pair has no UTF-8 form, so the job would silently get another character. */
const isWhole = (value: unknown): value is string => typeof value === 'string' && value.isWellFormed();

/** The system ends a string at NUL, and would run something else than was asked for. */
const isText = (value: unknown): value is string => isWhole(value) && !value.includes('\0');

const isIngestUrl = (url: string): boolean =>
  isWhole(url) && URL.canParse(url) && ['http:', 'https:', 'ws:', 'wss:'].includes(new URL(url).protocol);

const command = z
  .custom<string[]>(
    (items) => Array.isArray(items) && items.length > 0 && items.every(isText),
    'command must be a list of strings, the program and its arguments, without NUL or half a surrogate pair.',
  )
  .check(
    z.refine(([program]) => program !== '', 'command must begin with the name of a program.'),
    z.refine(({ length }) => length <= COMMAND_ARGS_MAX, `command may have at most ${COMMAND_ARGS_MAX} items.`),
    z.refine(
      (items) => !exceedsUtf8Bytes(items.join('\0'), COMMAND_BYTES_MAX),
      `command may have at most ${COMMAND_BYTES_MAX} bytes.`,
    ),
  );

/** Null, or why a job cannot have these variables. */
function problemOfEnv(variables: Record<string, unknown>): string | null {
  const entries = Object.entries(variables);
  if (entries.length > ENV_VARS_MAX) return `env may have at most ${ENV_VARS_MAX} variables.`;
  let bytes = 0;
  for (const [name, value] of entries) {
    if (name === '' || name.includes('=') || !isText(name)) return 'env has a name that no variable can have.';
    if (JOB_ENV_RESERVED.includes(name)) return `env.${name}: the wrapper sets this variable itself.`;
    if (!isText(value)) return `env.${name} must be a string without NUL or half a surrogate pair.`;
    bytes += utf8Bytes(name) + utf8Bytes(value) + 2;
  }
  return bytes > ENV_BYTES_MAX ? `env may have at most ${ENV_BYTES_MAX} bytes.` : null;
}

/** Not `z.record`, which drops a variable named `__proto__`. */
const env = z
  .custom<Record<string, string>>(
    (given) => typeof given === 'object' && given !== null && !Array.isArray(given),
    'env must be an object of strings.',
  )
  .check(
    z.superRefine((given, context) => {
      const message = problemOfEnv(given);
      if (message !== null) context.addIssue(message);
    }),
  );

const INGEST_SHAPE = 'ingest must be {url, token}.';

const ingest = z.object(
  {
    /** The http(s) URL of the ingest path; a wrapper turns it into ws(s). */
    url: z.string(INGEST_SHAPE).check(
      z.refine(({ length }) => length <= INGEST_URL_CHARS_MAX, `ingest.url may have at most ${INGEST_URL_CHARS_MAX} characters.`),
      z.refine(isIngestUrl, 'ingest.url must be an absolute http(s) or ws(s) URL.'),
    ),
    token: z.string(INGEST_SHAPE).check(
      z.refine(isVisibleAscii, 'ingest.token must be one or more visible ASCII characters.'),
      z.refine(({ length }) => length <= CREDENTIAL_CHARS_MAX, `ingest.token may have at most ${CREDENTIAL_CHARS_MAX} characters.`),
    ),
  },
  INGEST_SHAPE,
);

/** Left out and null are the same. */
const orNull = <S extends z.ZodMiniType>(schema: S) => z._default(z.nullable(schema), null);

export const launchRequestSchema = z.object(
  {
    id: z.custom<string>(isId, 'id is not a valid execution id.'),
    session: z.custom<string>(isId, 'session is not a valid session id.'),
    /** Session names are unique within a tenant only, and a runner may serve several tenants. */
    tenant: z._default(
      z.custom<string>((name) => name === '' || isId(name), 'tenant is not a valid name.'),
      '',
    ),
    command,
    cwd: orNull(
      z.custom<string>(
        (path) => isText(path) && path !== '' && !exceedsUtf8Bytes(path, CWD_BYTES_MAX),
        `cwd must be a path of at most ${CWD_BYTES_MAX} bytes, without NUL or half a surrogate pair.`,
      ),
    ),
    env: z._default(env, {}),
    stdin: orNull(
      z.custom<string>(
        (text) => isWhole(text) && !exceedsUtf8Bytes(text, STDIN_BYTES_MAX),
        `stdin must be Unicode text of at most ${STDIN_BYTES_MAX} bytes, without half a surrogate pair.`,
      ),
    ),
    /**
     * Stdin stays open after that text, for input that is sent later. A job that reads to the end
     * of its stdin then waits for ever.
     */
    openStdin: z._default(z.boolean('openStdin must be true or false.'), false),
    format: z._default(z.enum(OUTPUT_FORMATS, `format must be one of ${OUTPUT_FORMATS.join(', ')}.`), 'text'),
    merge: z._default(z.boolean('merge must be true or false.'), false),
    output: z._default(z.enum(OUTPUT_MODES, 'output must be text or bytes.'), 'text'),
    /** The size that the terminal of the job begins with, unless it changes before. */
    terminal: orNull(
      z.custom<TerminalSize>(
        isTerminalSize,
        `terminal must be {cols, rows} with cols from 1 to ${TERMINAL_COLS_MAX} and rows from 1 to ${TERMINAL_ROWS_MAX}.`,
      ),
    ),
    traceparent: orNull(
      z.custom<string>(
        (value) => isText(value) && value.length <= TRACEPARENT_CHARS_MAX,
        `traceparent must be text of at most ${TRACEPARENT_CHARS_MAX} characters, without NUL or half a surrogate pair.`,
      ),
    ),
    ingest,
  },
  'The body must be a JSON object.',
);

/** As a coordinator sends it: what has a default may be left out, but for the tenant. */
export type LaunchRequest = z.input<typeof launchRequestSchema> & { tenant: string };

/** As a runner reads it: nothing is left out. */
export type Launch = z.output<typeof launchRequestSchema>;

export type LaunchReading = { ok: true; launch: Launch } | { ok: false; field: string; message: string };

/** `field` is the first that is wrong; empty when the body is no object at all. */
export function readLaunchRequest(body: unknown): LaunchReading {
  const read = launchRequestSchema.safeParse(body);
  if (read.success) return { ok: true, launch: read.data };
  const [issue] = read.error.issues;
  return { ok: false, field: (issue?.path ?? []).map(String).join('.'), message: issue?.message ?? 'The request is not valid.' };
}

// ── the answers ─────────────────────────────────────────────────────────────────────────────────

/** Named in /health, which other programs of an image may answer too. */
export const RUNNER_PROGRAM = 'holdfast-runner';

export const runViewSchema = z.object({
  id: z.string(),
  session: z.string(),
  tenant: z.optional(z.string()),
  pid: z.nullable(z.number()),
  /** `restarting`: its wrapper was killed, and the next one has not been started yet. */
  state: z.enum(['running', 'stopping', 'restarting', 'finished', 'abandoned']),
  restarts: z.number(),
  launchedAt: z.number(),
  endedAt: z.optional(z.number()),
  exitCode: z.optional(z.number()),
  signal: z.optional(z.string()),
});

export type RunView = z.infer<typeof runViewSchema>;
export type RunState = RunView['state'];

export const runnerHealthSchema = z.object({
  ok: z.literal(true),
  program: z.literal(RUNNER_PROGRAM),
  version: z.string(),
  /** Wrappers that there are, and how many there may be. */
  inFlight: z.number(),
  max: z.number(),
});

export type RunnerHealth = z.infer<typeof runnerHealthSchema>;

export const RUNNER_PROBLEMS = {
  bad_request: [400, false, 'The request is not valid'],
  unauthorized: [401, false, 'The credential is missing or wrong'],
  not_found: [404, false, 'There is nothing at this path'],
  execution_not_found: [404, false, 'This runner has no such execution'],
  method_not_allowed: [405, false, 'This path does not take that method'],
  execution_id_conflict: [409, false, 'This execution id belongs to a different request'],
  too_large: [413, false, 'The request is too large'],
  runner_full: [429, true, 'Every slot of this runner is taken'],
  internal: [500, true, 'Something went wrong here'],
  launch_failed: [503, true, 'The wrapper could not be started'],
  stopping: [503, true, 'This runner is stopping'],
} as const satisfies Record<string, readonly [status: number, retryable: boolean, title: string]>;

export type RunnerProblemCode = keyof typeof RUNNER_PROBLEMS;

/** `code` is text: a later runner may have further codes. */
export const runnerProblemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  code: z.string(),
  retryable: z.boolean(),
});

export type RunnerProblem = z.infer<typeof runnerProblemSchema>;

// ── what a coordinator reads of an answer ───────────────────────────────────────────────────────

const launchedStateSchema = z.pick(runViewSchema, { state: true });

/**
 * Whether the answer to a launch names a run that has ended. A repeated launch may find one, and
 * then no wrapper will connect. Any other text, with a state that is not known or without one, is a
 * launch.
 */
export function isEndedRun(answer: string): boolean {
  const { data } = launchedStateSchema.safeParse(parseJson(answer));
  return data?.state === 'finished' || data?.state === 'abandoned';
}

const problemTextSchema = z.partial(z.pick(runnerProblemSchema, { detail: true, title: true }));

/** The words of a refusal, for people. What answers in the runner's place may send any text. */
export function readProblemReason(answer: string): string {
  const { success, data } = problemTextSchema.safeParse(parseJson(answer));
  if (success) return data.detail ?? data.title ?? 'no reason given';
  return answer || 'no reason given';
}

const inFlightSchema = z.pick(runnerHealthSchema, { inFlight: true });

/** Null when the answer of /health does not say it. */
export const readInFlight = (health: unknown): number | null => inFlightSchema.safeParse(health).data?.inFlight ?? null;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
