/** Inputs of callers as zod schemas, with the limits of protocol/limits.ts. For HTTP and RPC. */

import * as z from 'zod';
import {
  ANSWER_BYTES_MAX,
  CALLBACK_EVENTS,
  CALLBACK_URL_CHARS_MAX,
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CONCURRENCY_KEY_CHARS_MAX,
  CONCURRENCY_LIMIT_MAX,
  CURSOR_CHARS_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_NAME_PATTERN,
  ENV_VARS_MAX,
  ERROR_MESSAGE_CHARS_MAX,
  EVENT_TYPE_PATTERN,
  exceedsUtf8Bytes,
  FAILURE_CODE_PATTERN,
  FILTER_ITEMS_MAX,
  GENERATION_PATTERN,
  ID_PATTERN,
  INPUT_BASE64_CHARS_MAX,
  INPUT_BYTES_MAX,
  JOB_ENV_RESERVED,
  KEY_NAME_CHARS_MAX,
  LABEL_KEY_PATTERN,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  LIST_LIMIT_MAX,
  MAX_ACTIVE_MAX,
  ON_BUSY,
  OUTPUT_FORMATS,
  OUTPUT_MODES,
  POLICY_BOUNDS,
  POLICY_KEYS,
  PRIORITY_MAX,
  QUESTION_ID_CHARS_MAX,
  QUESTION_OPTIONS_MAX,
  READ_LIMIT_MAX,
  REASON_CHARS_MAX,
  RECORDED_LAUNCHERS,
  SECRET_NAMES_MAX,
  STATUSES,
  STDIN_BYTES_MAX,
  TERMINAL_COLS_MAX,
  TERMINAL_ROWS_MAX,
  TICKET_RIGHTS,
  TICKET_TTL_SECONDS_MAX,
  TICKET_UNTIL_SECONDS_MAX,
  WAIT_MS_MAX,
  WAIT_SECONDS_MAX,
} from '../../protocol/index.ts';
import { describeBadValue } from './bad-value.ts';

z.config({ localeError: describeBadValue });

export const idSchema = z
  .string()
  .regex(ID_PATTERN, 'must be 1 to 128 letters, digits or . _ : - and begin with a letter or digit');

const bytesMax = (limit: number) =>
  z.string().refine((text) => !exceedsUtf8Bytes(text, limit), { message: `must have at most ${limit} bytes` });

/**
 * UTF-16 units, as everywhere (PROTOCOL.md, Limits). zod counts whole characters, as JSON Schema
 * does, and would accept up to twice as much. Its own limit stays in the published description.
 *
 * For text that people read. Half a surrogate pair, which a cut text may end with, becomes U+FFFD:
 * to refuse a verdict for it would be worse.
 */
const charsMax = (limit: number) =>
  z
    .string()
    .max(limit)
    .overwrite((text) => text.toWellFormed())
    .refine((text) => text.length <= limit, { message: `must have at most ${limit} UTF-16 units` });

/**
 * Half a surrogate pair has no UTF-8 form, so the job would silently get another character. It is
 * refused.
 */
const exactText = (limit: number) =>
  bytesMax(limit).refine((text) => text.isWellFormed(), { message: 'must not contain half a surrogate pair' });

/** An argument, path or variable of a process cannot contain a NUL. */
const processText = (limit: number) =>
  exactText(limit).refine((text) => !text.includes('\0'), { message: 'must not contain a NUL character' });

const sizeOf = (value: object): string => JSON.stringify(value);

const command = z
  .array(processText(COMMAND_BYTES_MAX))
  .min(1, 'must name a program')
  .max(COMMAND_ARGS_MAX)
  .refine(([program]) => program !== '', { message: 'the program must not be empty' })
  .refine((args) => !exceedsUtf8Bytes(sizeOf(args), COMMAND_BYTES_MAX), {
    message: `must have at most ${COMMAND_BYTES_MAX} bytes in all`,
  });

/** zod silently drops a key `__proto__` from a record. Here it is refused, like other bad keys. */
const record = <K extends z.core.$ZodRecordKey, V extends z.ZodType>(key: K, value: V) =>
  z
    .custom<Record<string, unknown>>((given) => typeof given !== 'object' || given === null || !Object.hasOwn(given, '__proto__'), {
      message: 'must not have a key __proto__',
    })
    .pipe(z.record(key, value));

const isReserved = (name: string): boolean => JOB_ENV_RESERVED.includes(name);
const RESERVED_MESSAGE = `must not name a variable that the wrapper sets itself: ${JOB_ENV_RESERVED.join(', ')}`;

const env = record(z.string().regex(ENV_NAME_PATTERN, 'is not a valid variable name'), processText(ENV_BYTES_MAX))
  .refine((vars) => Object.keys(vars).length <= ENV_VARS_MAX, { message: `must have at most ${ENV_VARS_MAX} variables` })
  .refine((vars) => !exceedsUtf8Bytes(sizeOf(vars), ENV_BYTES_MAX), { message: `must have at most ${ENV_BYTES_MAX} bytes in all` })
  .refine((vars) => !Object.keys(vars).some(isReserved), { message: RESERVED_MESSAGE });

/** A set: order and repetition have no meaning. */
const secretNames = z
  .array(z.string().regex(ENV_NAME_PATTERN, 'is not a valid variable name'))
  .max(SECRET_NAMES_MAX)
  .refine((names) => !names.some(isReserved), { message: RESERVED_MESSAGE });

const labels = record(z.string().regex(LABEL_KEY_PATTERN, 'is not a valid label name'), charsMax(LABEL_VALUE_CHARS_MAX)).refine(
  (all) => Object.keys(all).length <= LABELS_MAX,
  { message: `must have at most ${LABELS_MAX} labels` },
);

const policy = z.strictObject(
  Object.fromEntries(
    POLICY_KEYS.map((key) => [key, z.int().min(POLICY_BOUNDS[key].min).max(POLICY_BOUNDS[key].max).optional()]),
  ) as Record<(typeof POLICY_KEYS)[number], z.ZodOptional<z.ZodInt>>,
);

/** The size of a terminal: of a start, and of a change. */
export const terminalSchema = z.strictObject({
  cols: z.int().min(1).max(TERMINAL_COLS_MAX),
  rows: z.int().min(1).max(TERMINAL_ROWS_MAX),
});

/** `terminal` excludes some of the others (contract/terminal.ts). */
export const startSchema = z.strictObject({
  id: idSchema.optional(),
  command,
  cwd: processText(CWD_BYTES_MAX).min(1).optional(),
  env: env.optional(),
  stdin: exactText(STDIN_BYTES_MAX).optional(),
  openStdin: z.boolean().optional(),
  format: z.enum(OUTPUT_FORMATS).optional(),
  merge: z.boolean().optional(),
  output: z.enum(OUTPUT_MODES).optional(),
  terminal: terminalSchema.optional(),
  // `runner`: a start of 0.1.0 may be repeated (LIF28). A new one is refused (HTTP38).
  launcher: z.enum(RECORDED_LAUNCHERS).optional(),
  pool: idSchema.optional(),
  requires: labels.optional(),
  priority: z.int().min(-PRIORITY_MAX).max(PRIORITY_MAX).optional(),
  concurrency: z
    .strictObject({
      key: exactText(4 * CONCURRENCY_KEY_CHARS_MAX)
        .min(1)
        .max(CONCURRENCY_KEY_CHARS_MAX)
        .refine((text) => text.length <= CONCURRENCY_KEY_CHARS_MAX, {
          message: `must have at most ${CONCURRENCY_KEY_CHARS_MAX} UTF-16 units`,
        }),
      limit: z.int().min(1).max(CONCURRENCY_LIMIT_MAX),
    })
    .optional(),
  waitMs: z.int().min(1000).max(WAIT_MS_MAX).optional(),
  maxActive: z.int().min(1).max(MAX_ACTIVE_MAX).optional(),
  onBusy: z.enum(ON_BUSY).optional(),
  continues: idSchema.optional(),
  policy: policy.optional(),
  labels: labels.optional(),
  callback: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }).max(CALLBACK_URL_CHARS_MAX),
      events: z.array(z.enum(CALLBACK_EVENTS)).min(1).max(CALLBACK_EVENTS.length).optional(),
    })
    .optional(),
  traceparent: z
    .string()
    .regex(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/, 'must be a W3C traceparent')
    .optional(),
  secretNames: secretNames.optional(),
});

export const runnerKeySchema = z.strictObject({
  name: charsMax(KEY_NAME_CHARS_MAX).min(1),
  expiresAt: z.int().min(0).optional(),
});

export const interruptSchema = z.strictObject({
  reason: charsMax(REASON_CHARS_MAX).optional(),
  force: z.boolean().optional(),
});

export const failSchema = z.strictObject({
  code: z.string().regex(FAILURE_CODE_PATTERN, 'must be lower-case letters, digits and underscores, at most 64'),
  message: charsMax(ERROR_MESSAGE_CHARS_MAX),
});

/** With padding. The strict form, so that a typing mistake does not lose bytes. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const inputText = exactText(INPUT_BYTES_MAX).optional();

/** `text`, `data` and `base64` exclude each other (contract/input.ts). */
export const inputSchema = z.strictObject({
  text: inputText,
  data: inputText,
  base64: z
    .string()
    .max(INPUT_BASE64_CHARS_MAX)
    .refine((text) => BASE64.test(text), { message: 'must be base64 with padding' })
    .refine((text) => base64Bytes(text) <= INPUT_BYTES_MAX, { message: `must have at most ${INPUT_BYTES_MAX} bytes, decoded` })
    .optional(),
  eof: z.boolean().optional(),
  inputId: idSchema.optional(),
  secret: z.boolean().optional(),
});

/** Exact, because it is compared with what an agent has made. */
const questionIdSchema = z
  .string()
  .min(1)
  .max(QUESTION_ID_CHARS_MAX)
  .refine((text) => text.length <= QUESTION_ID_CHARS_MAX, { message: `must have at most ${QUESTION_ID_CHARS_MAX} UTF-16 units` });

/** `option`, `options` and `text` exclude each other (contract/answer.ts). */
export const answerSchema = z.strictObject({
  id: questionIdSchema,
  option: questionIdSchema.optional(),
  options: z
    .array(questionIdSchema)
    .min(1)
    .max(QUESTION_OPTIONS_MAX)
    .refine((ids) => new Set(ids).size === ids.length, { message: 'must not name an option twice' })
    .optional(),
  text: exactText(ANSWER_BYTES_MAX).min(1).optional(),
  answerId: idSchema.optional(),
});

const base64Bytes = (text: string): number => (text.length / 4) * 3 - (text.match(/=*$/)?.[0].length ?? 0);

export const eventTypesSchema = z.array(z.string().regex(EVENT_TYPE_PATTERN, 'is not an event type')).min(1).max(FILTER_ITEMS_MAX);

export const ticketSchema = z.strictObject({
  execution: idSchema.optional(),
  types: eventTypesSchema.optional(),
  can: z.array(z.enum(TICKET_RIGHTS)).min(1).max(TICKET_RIGHTS.length).optional(),
  ttlSeconds: z.int().min(1).max(TICKET_TTL_SECONDS_MAX).optional(),
  untilSeconds: z.int().min(1).max(TICKET_UNTIL_SECONDS_MAX).optional(),
});

/** Options of the read operations, apart from ids. HTTP builds them from query parameters. */
export const waitSchema = z.strictObject({ waitSeconds: z.int().min(0).max(WAIT_SECONDS_MAX).optional() });

export const listSchema = z.strictObject({
  status: z.enum(STATUSES).optional(),
  limit: z.int().min(1).max(LIST_LIMIT_MAX).optional(),
  cursor: charsMax(CURSOR_CHARS_MAX).optional(),
});

export const readSchema = z.strictObject({
  after: z.int().min(0).optional(),
  limit: z.int().min(1).max(READ_LIMIT_MAX).optional(),
  generation: z.string().regex(GENERATION_PATTERN, 'is not a generation').optional(),
});

export type StartBody = z.infer<typeof startSchema>;
