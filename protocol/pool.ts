/**
 * The pool wire: how a runner that dials in talks to its pool. One frame is one JSON text message.
 *
 *   GET /v1/pools/{pool}/connect   WebSocket, `holdfast.runner.v1`, `Authorization: Bearer hfr_…`
 *
 *   runner → pool   hello, launched, refused, ended, draining
 *   pool → runner   welcome, launch, drain, drained
 *
 * Besides frames, there are the bare texts `ping` and `pong`; the platform answers them.
 *
 * A lease is one assignment of one execution to one runner. Its number is never reused in a pool,
 * so a frame that comes twice or late names a lease that is over, and changes nothing.
 *
 * Either end may be of another version (VER1): unknown fields and unknown frame types are skipped.
 * Not part of index.ts: clients do not use it, and zod is larger than the whole of them.
 */

import * as z from 'zod/mini';
import { ID_PATTERN, isId } from './ids.ts';
import { parseJson } from './json.ts';
import type { LaunchRequest } from './launch.ts';
import { ERROR_MESSAGE_CHARS_MAX, exceedsUtf8Bytes, LABEL_KEY_PATTERN, LABEL_VALUE_CHARS_MAX, LABELS_MAX } from './limits.ts';

/** The pool of a start that names none. */
export { DEFAULT_POOL } from './api.ts';

export const RUNNER_PROTOCOL_VERSION = 1;
export const RUNNER_SUBPROTOCOL = 'holdfast.runner.v1';

/** A runner key: `hfr_` + base64url(tenant) + `.` + id + `.` + base64url of 32 random bytes. */
export const RUNNER_KEY_PREFIX = 'hfr_';
export const RUNNER_KEY_PATTERN = /^hfr_([A-Za-z0-9_-]{1,172})\.([A-Za-z0-9][A-Za-z0-9._:-]{0,127})\.([A-Za-z0-9_-]{43})$/;

// ── limits ──────────────────────────────────────────────────────────────────────────────────────

/** A hello with 1,024 runs of the longest ids has 270,000 bytes. */
export const RUNNER_FRAME_BYTES_MAX = 512 * 1024;

/** Runs of one runner at the same time. */
export const RUNNER_SLOTS_MAX = 1024;

export const RUNNER_NAME_CHARS_MAX = 128;

// ── times ───────────────────────────────────────────────────────────────────────────────────────

/** How often a runner sends `ping`. */
export const RUNNER_PING_MS = 5_000;

/** A runner that was not heard for this long gets nothing; what it had not confirmed is recalled. */
export const RUNNER_SILENCE_MS = 16_000;

/** How long a runner may take to answer `launch` with `launched` or `refused`. */
export const LEASE_CONFIRM_MS = 15_000;

/**
 * The older of two boots of one runner id is called a clone when it was heard within this time. A
 * longer silence is a restart.
 */
export const RUNNER_CLONE_MS = 20_000;

/** The close reason of a runner whose id another process uses too. */
export const CLONED_REASON = 'cloned runner id';
/** The close reason of a runner whose key was revoked, and of one whose key has expired. */
export const KEY_REVOKED_REASON = 'key_revoked';
export const KEY_EXPIRED_REASON = 'key_expired';

/** A runner of an older version gets nothing, and is told so in its welcome. */
export const RUNNER_VERSION_MIN = '0.1.0';

// ── runner → pool ───────────────────────────────────────────────────────────────────────────────

/**
 * Why a runner does not start what it was sent. `full` and `draining` say nothing about the
 * execution: it is assigned again, also to the same runner once that has a free slot.
 */
export const REFUSAL_CODES = [
  'full',
  'draining',
  'command_not_allowed',
  'cwd_not_allowed',
  'cwd_missing',
  'unsupported',
  'start_failed',
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

/** Names a run in `hello.runs`: session and execution. An id has no slash. */
export const runName = (session: string, execution: string): string => `${session}/${execution}`;

export function splitRunName(name: string): { session: string; execution: string } | null {
  const [session, execution, ...rest] = name.split('/');
  return isId(session) && isId(execution) && rest.length === 0 ? { session, execution } : null;
}

const id = z.string().check(z.regex(ID_PATTERN));
const lease = z.int().check(z.minimum(1));

/** Control characters would change how a name is shown. */
const isName = (text: string): boolean => !/\p{Cc}/u.test(text) && text.isWellFormed();

const name = z.string().check(z.minLength(1), z.maxLength(RUNNER_NAME_CHARS_MAX), z.refine(isName));

const labels = z
  .record(z.string().check(z.regex(LABEL_KEY_PATTERN)), z.string().check(z.maxLength(LABEL_VALUE_CHARS_MAX), z.refine(isName)))
  .check(z.refine((all) => Object.keys(all).length <= LABELS_MAX));

const runs = z.array(z.string().check(z.refine((text) => splitRunName(text) !== null))).check(z.maxLength(RUNNER_SLOTS_MAX));

export const helloSchema = z.object({
  type: z.literal('hello'),
  protocol: z.int().check(z.minimum(1)),
  /** The same for one installation, across restarts. */
  runnerId: id,
  /** New for every process. */
  bootId: id,
  name,
  labels: z._default(labels, {}),
  slots: z.int().check(z.minimum(1), z.maximum(RUNNER_SLOTS_MAX)),
  version: z.string().check(z.minLength(1), z.maxLength(64)),
  /**
   * Every run that occupies a slot, from the moment its launch was accepted. The pool believes it:
   * what is not in the list is over here.
   */
  runs: z._default(runs, []),
  /** What the wrappers that it starts can do (ING21). Absent: nothing optional. */
  features: z._default(z.array(z.string().check(z.maxLength(64))), []),
  /** It said `draining` before this connection. */
  draining: z._default(z.boolean(), false),
});

const launchedSchema = z.object({ type: z.literal('launched'), lease });

const refusedSchema = z.object({
  type: z.literal('refused'),
  lease,
  /** One of `REFUSAL_CODES`; a later version may have further codes. */
  code: z.string().check(z.regex(/^[a-z][a-z0-9_]{0,63}$/)),
  message: z._default(z.string().check(z.maxLength(ERROR_MESSAGE_CHARS_MAX)), ''),
  /** Whether another runner, or this one later, may start it. */
  retry: z._default(z.boolean(), false),
});

/** The slot is free again, however the run ended. */
const endedSchema = z.object({ type: z.literal('ended'), session: id, execution: id });

/** Takes nothing new, for the rest of this boot. */
const drainingSchema = z.object({ type: z.literal('draining') });

const RUNNER_FRAMES = {
  hello: helloSchema,
  launched: launchedSchema,
  refused: refusedSchema,
  ended: endedSchema,
  draining: drainingSchema,
} as const;

export type RunnerHello = z.output<typeof helloSchema>;
export type LaunchedFrame = z.output<typeof launchedSchema>;
export type RefusedFrame = z.output<typeof refusedSchema>;
export type EndedFrame = z.output<typeof endedSchema>;
export type DrainingFrame = z.output<typeof drainingSchema>;
export type RunnerFrame = RunnerHello | LaunchedFrame | RefusedFrame | EndedFrame | DrainingFrame;

/** As a runner writes it: what has a default may be left out. */
export type RunnerFrameInput = {
  [T in keyof typeof RUNNER_FRAMES]: z.input<(typeof RUNNER_FRAMES)[T]>;
}[keyof typeof RUNNER_FRAMES];

export type ParsedFrame<F> =
  | { ok: true; frame: F }
  /** A type that this version does not know: skipped. */
  | { ok: true; frame: null }
  | { ok: false; detail: string };

/** Total: any text gives a frame, or why it is none. `detail` contains no part of the text. */
export function parseRunnerFrame(text: string): ParsedFrame<RunnerFrame> {
  if (exceedsUtf8Bytes(text, RUNNER_FRAME_BYTES_MAX)) return refuse(`a frame may have at most ${RUNNER_FRAME_BYTES_MAX} bytes`);
  return parseFrame(text, RUNNER_FRAMES) as ParsedFrame<RunnerFrame>;
}

// ── pool → runner ───────────────────────────────────────────────────────────────────────────────

const noticeSchema = z.object({ code: z.string(), message: z.string() });

const welcomeSchema = z.object({
  type: z.literal('welcome'),
  /** The version that both sides use from here on. */
  protocol: z.int().check(z.minimum(1)),
  /** Why this runner gets nothing: `too_old`. For people; the connection stays. */
  notice: z.optional(noticeSchema),
});

/** `request` is read by `readLaunchRequest`, so that a bad one can be refused by its lease. */
const launchSchema = z.object({ type: z.literal('launch'), lease, request: z.unknown() });

/** The answer to `draining`: no `launch` follows it. */
const drainedSchema = z.object({ type: z.literal('drained') });

/** The runner takes nothing new, as after SIGTERM, and answers `draining`. */
const drainSchema = z.object({ type: z.literal('drain') });

const POOL_FRAMES = { welcome: welcomeSchema, launch: launchSchema, drain: drainSchema, drained: drainedSchema } as const;

export type RunnerWelcome = z.output<typeof welcomeSchema>;
export type LaunchFrame = Omit<z.output<typeof launchSchema>, 'request'> & { request: unknown };
export type DrainFrame = z.output<typeof drainSchema>;
export type DrainedFrame = z.output<typeof drainedSchema>;
export type PoolFrame = RunnerWelcome | LaunchFrame | DrainFrame | DrainedFrame;

export function parsePoolFrame(text: string): ParsedFrame<PoolFrame> {
  return parseFrame(text, POOL_FRAMES) as ParsedFrame<PoolFrame>;
}

/** A message is cut, because a path in it may be as long as a message: the pool would refuse it. */
export const encodeRunnerFrame = (frame: RunnerFrameInput): string =>
  JSON.stringify(
    frame.type === 'refused' && frame.message !== undefined
      ? { ...frame, message: frame.message.slice(0, ERROR_MESSAGE_CHARS_MAX).toWellFormed() }
      : frame,
  );
export const encodePoolFrame = (
  frame: RunnerWelcome | DrainFrame | DrainedFrame | { type: 'launch'; lease: number; request: LaunchRequest },
): string => JSON.stringify(frame);

// ── both ────────────────────────────────────────────────────────────────────────────────────────

const refuse = (detail: string): { ok: false; detail: string } => ({ ok: false, detail });

const typeSchema = z.object({ type: z.string() });

function parseFrame(text: string, schemas: Readonly<Record<string, z.ZodMiniType>>): ParsedFrame<unknown> {
  const value = parseJson(text);
  if (value === undefined) return refuse('a frame must be JSON');
  const typed = typeSchema.safeParse(value);
  if (!typed.success) return refuse('a frame must be an object with a type');
  const schema = Object.hasOwn(schemas, typed.data.type) ? schemas[typed.data.type] : undefined;
  if (!schema) return { ok: true, frame: null };
  const read = schema.safeParse(value);
  if (read.success) return { ok: true, frame: read.data };
  const [issue] = read.error.issues;
  // The first step only: further ones are names that the sender chose.
  const field = issue?.path[0];
  return refuse(field === undefined ? `${typed.data.type} is not valid` : `${typed.data.type}.${String(field)} is not valid`);
}
