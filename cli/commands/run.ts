/**
 * `holdfast run`: starts a job, shows its output, and ends as the job ends. The job is not a child
 * of this process: losing this process, its network or its terminal does not affect the job (G6),
 * so Ctrl-C detaches unless `--interrupt-on-exit` was given.
 */

import { ulid } from 'ulid';
import type { AgentFormat } from '../../agent/index.ts';
import type { Started } from '../../client/index.ts';
import type { Size } from '../../client/terminal/key-queue.ts';
import {
  CONCURRENCY_KEY_CHARS_MAX,
  CONCURRENCY_LIMIT_MAX,
  LAUNCHERS,
  MAX_ACTIVE_MAX,
  newExecutionId,
  OUTPUT_FORMATS,
  type Policy,
  type PolicyKey,
  PRIORITY_MAX,
  resolvePolicy,
  type StartRequest,
} from '../../protocol/index.ts';
import { type Context, printJson, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { explain } from '../explain.ts';
import { follow, type Showing } from '../follow.ts';
import { conversationFormat, Printer } from '../printer.ts';
import {
  checkId,
  formatReference,
  parseChoice,
  parseDuration,
  parsePairs,
  parseReference,
  parseSize,
  parseWholeNumber,
  type Reference,
  UsageError,
} from '../settings.ts';
import { StdinForwarder } from '../stdin.ts';
import { Stop } from '../stop.ts';
import { DETACH_KEYS_DEFAULT, parseDetachKeys } from '../terminal/detach-keys.ts';
import { ownTerminalOf, printDetachKeys, terminalShowing } from '../terminal/show.ts';
import { escapeControls } from '../terminal-text.ts';
import { WaitingLine } from '../waiting.ts';
import { pageUrl } from './open.ts';

export interface RunFlags {
  session?: string;
  id?: string;
  detach?: boolean;
  queue?: boolean;
  cwd?: string;
  env?: string[];
  label?: string[];
  openStdin?: boolean;
  /** False with `--no-stdin`. */
  stdin?: boolean;
  terminal?: boolean;
  detachKeys?: string;
  secret?: string[];
  format?: string;
  merge?: boolean;
  bytes?: boolean;
  launcher?: string;
  pool?: string;
  requires?: string[];
  priority?: string;
  concurrency?: string;
  wait?: string;
  timeout?: string;
  grace?: string;
  maxLog?: string;
  maxActive?: string;
  continues?: string;
  raw?: boolean;
  interruptOnExit?: boolean;
  json?: boolean;
  giveUpAfter: string;
}

const POLICY_FLAGS: Partial<Record<PolicyKey, string>> = {
  maxRuntimeMs: '--timeout',
  disconnectGraceMs: '--grace',
  maxLogBytes: '--max-log',
};

const NOT_IN_A_TERMINAL: Record<string, (flags: RunFlags) => boolean> = {
  '--merge': ({ merge }) => merge === true,
  '--bytes': ({ bytes }) => bytes === true,
  '--format': ({ format }) => format !== undefined && format !== 'text',
  '--no-stdin': ({ stdin }) => stdin === false,
  '--json without --detach': ({ json, detach }) => json === true && detach !== true,
};

/** Of a job that is started without a terminal here. */
const SIZE_DEFAULT: Size = { cols: 80, rows: 24 };

export function readRunFlags(
  flags: RunFlags,
  command: string[],
  env: Record<string, string | undefined>,
  { forwardsStdin = false, size }: { forwardsStdin?: boolean; size?: Size | undefined } = {},
): { reference: Reference; request: StartRequest; giveUpAfterMs: number } {
  if (flags.detach && flags.interruptOnExit) throw new UsageError('--detach and --interrupt-on-exit exclude each other');
  if (flags.terminal) {
    // Its output is one stream of text, and its stdin is the keyboard.
    const other = Object.entries(NOT_IN_A_TERMINAL).find(([, isGiven]) => isGiven(flags))?.[0];
    if (other !== undefined) throw new UsageError(`--terminal and ${other} exclude each other`);
  } else if (flags.detachKeys !== undefined) throw new UsageError('--detach-keys needs --terminal');
  const own = flags.session ?? (sessionOf(env) || undefined);
  // It names the session too, where that is not given.
  const before =
    flags.continues === undefined ? null : parseReference(flags.continues, own === undefined ? {} : { session: own }, {});
  const session = checkId(before?.session ?? own ?? `s_${ulid()}`, 'session');
  const id = checkId(flags.id ?? newExecutionId(), 'execution');
  const request: StartRequest = { id, command };
  if (flags.queue) request.onBusy = 'queue';
  if (flags.maxActive !== undefined) request.maxActive = parseMaxActive(flags.maxActive);
  if (before) request.continues = before.execution;
  if (flags.cwd !== undefined) request.cwd = flags.cwd;
  if (flags.env) request.env = parsePairs(flags.env, '--env', (key) => env[key]);
  if (flags.label) request.labels = parsePairs(flags.label, '--label', () => '');
  if (flags.terminal) request.terminal = size ?? SIZE_DEFAULT;
  else if (flags.openStdin || forwardsStdin) request.openStdin = true;
  if (flags.secret) request.secretNames = flags.secret;
  if (flags.format !== undefined) request.format = parseChoice(flags.format, OUTPUT_FORMATS, '--format');
  if (flags.merge) request.merge = true;
  if (flags.bytes) request.output = 'bytes';
  if (flags.launcher !== undefined) request.launcher = parseChoice(flags.launcher, LAUNCHERS, '--launcher');
  Object.assign(request, readPoolFlags(flags));
  const policy: Partial<Policy> = {
    ...(flags.timeout === undefined ? {} : { maxRuntimeMs: parseDuration(flags.timeout, '--timeout') }),
    ...(flags.grace === undefined ? {} : { disconnectGraceMs: parseDuration(flags.grace, '--grace') }),
    ...(flags.maxLog === undefined ? {} : { maxLogBytes: parseSize(flags.maxLog, '--max-log') }),
  };
  const checked = resolvePolicy(policy);
  if (!checked.ok) throw new UsageError(`${POLICY_FLAGS[checked.key] ?? 'policy'}: ${checked.message}`);
  if (Object.keys(policy).length > 0) request.policy = policy;
  return { reference: { session, execution: id }, request, giveUpAfterMs: parseDuration(flags.giveUpAfter, '--give-up-after') };
}

/** What asks for a runner of a pool. One of these flags is enough to choose the launcher `pool`. */
function readPoolFlags(flags: RunFlags): Partial<StartRequest> {
  const { pool, requires, priority, concurrency, wait, launcher } = flags;
  if ([pool, requires, priority, concurrency, wait].every((flag) => flag === undefined)) return {};
  if (launcher !== undefined && launcher !== 'pool') {
    throw new UsageError(`--pool, --requires, --priority, --concurrency and --wait are for pools, and --launcher is ${launcher}`);
  }
  return {
    launcher: 'pool',
    ...(pool === undefined ? {} : { pool: checkId(pool, 'pool') }),
    ...(requires === undefined ? {} : { requires: parsePairs(requires, '--requires') }),
    ...(priority === undefined ? {} : { priority: parsePriority(priority) }),
    ...(concurrency === undefined ? {} : { concurrency: parseConcurrency(concurrency) }),
    ...(wait === undefined ? {} : { waitMs: parseDuration(wait, '--wait') }),
  };
}

function parsePriority(text: string): number {
  const value = /^[+-]?\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (Math.abs(value) <= PRIORITY_MAX) return value;
  throw new UsageError(`--priority must be a whole number from -${PRIORITY_MAX} to ${PRIORITY_MAX}, not ${JSON.stringify(text)}`);
}

/** `key=limit`. */
function parseConcurrency(text: string): { key: string; limit: number } {
  const at = text.lastIndexOf('=');
  const key = text.slice(0, Math.max(0, at));
  const limit = /^[1-9]\d{0,5}$/.test(text.slice(at + 1)) ? Number(text.slice(at + 1)) : 0;
  if (key !== '' && key.length <= CONCURRENCY_KEY_CHARS_MAX && limit >= 1 && limit <= CONCURRENCY_LIMIT_MAX) return { key, limit };
  throw new UsageError(`--concurrency must be KEY=LIMIT, such as deploy=1, not ${JSON.stringify(text)}`);
}

function parseMaxActive(text: string): number {
  const most = parseWholeNumber(text, '--max-active', 1);
  if (most > MAX_ACTIVE_MAX) throw new UsageError(`--max-active may be at most ${MAX_ACTIVE_MAX}, not ${text}`);
  return most;
}

/** Within a job the variable names the job's own session, which is busy with that job. */
const sessionOf = ({ HOLDFAST_EXECUTION, HOLDFAST_SESSION }: Record<string, string | undefined>): string | undefined =>
  HOLDFAST_EXECUTION ? undefined : HOLDFAST_SESSION;

export async function run(context: Context, command: string[], flags: RunFlags): Promise<number> {
  const inTerminal = flags.terminal === true;
  const detachKeys = parseDetachKeys(flags.detachKeys ?? DETACH_KEYS_DEFAULT);
  const terminal = inTerminal && !flags.detach ? ownTerminalOf(context, 'run --terminal (without --detach)') : null;
  const forwardsStdin = context.io.stdinIsPiped && flags.stdin !== false && flags.detach !== true && !inTerminal;
  const { reference, request, giveUpAfterMs } = readRunFlags(flags, command, context.io.env, {
    forwardsStdin,
    size: terminal?.size ?? context.io.terminal?.size,
  });
  const stop = new Stop(context, reference, flags.interruptOnExit === true);
  try {
    let started: Started;
    try {
      started = await context.client.start(reference.session, request, { signal: stop.starting.signal });
    } catch (error) {
      if (!stop.signal) throw error;
      await printNote(
        context,
        `${formatReference(reference)} may have been started; see: holdfast get ${formatReference(reference)}`,
      );
      return stop.exitCode;
    }
    stop.started();
    await printStarted(context, reference, started, flags);
    if (flags.detach) {
      if (context.json) await printJson(context, { reference: formatReference(reference), ...started });
      else await context.io.stdout.write(`${formatReference(reference)}\n`);
      return EXIT.ok;
    }
    const { execution, created } = started;
    const isRunning = execution.status === 'running';
    if (terminal) {
      await printDetachKeys(context, detachKeys, false);
      const options = { reference, terminal, detachKeys, stop, giveUpAfterMs, readOnly: false };
      // A run that another command has started is joined, as `attach` does.
      const showing = terminalShowing(context, { ...options, leads: created, fromScreen: !created });
      const place = created ? { after: execution.firstOffset - 1 } : ({ from: 'screen' } as const);
      return await follow(context, reference, { place, isRunning, stop, giveUpAfterMs }, showing);
    }
    const stdin = forwardsStdin ? await forwarderOf(context, reference, started, flags, { stop, giveUpAfterMs }) : null;
    const place = { after: execution.firstOffset - 1 };
    return await follow(
      context,
      reference,
      { place, isRunning, stop, giveUpAfterMs },
      linesShowing(context, reference, stop, stdin, flags.raw ? null : conversationFormat(execution.format)),
    );
  } finally {
    await stop.release();
  }
}

/** The output as lines, and stdin on its way to the job. */
function linesShowing(
  context: Context,
  reference: Reference,
  stop: Stop,
  stdin: StdinForwarder | null,
  conversation: AgentFormat | null,
): Showing {
  const name = formatReference(reference);
  const waiting = new WaitingLine(context, reference);
  const printer = new Printer(context.io, {
    conversation,
    quiet: context.quiet,
    reference: name,
    status: context.status,
    ...(context.json ? { outputTo: 'stderr' as const } : {}),
  });
  return {
    show: async (event) => {
      waiting.see(event);
      await printer.print(event);
    },
    onRunning() {
      if (stdin) void feed(context, reference, stdin, stop);
    },
    finish: async () => {
      waiting.end();
      await printer.write(printer.rest());
      await printer.reportReplaced();
    },
    detachedNotes: (lastOffset) => [
      `detached; ${name} continues`,
      `follow it:    holdfast logs -f --after ${lastOffset} ${name}`,
      `interrupt it: holdfast interrupt ${name}`,
      ...(stdin ? [`its stdin:    ${stdin.sentBytes} bytes were sent; end it with: holdfast send ${name} --eof`] : []),
    ],
    again: (lastOffset) => `holdfast logs -f --after ${lastOffset} ${name}`,
  };
}

async function printStarted(
  context: Context,
  reference: Reference,
  { created, execution, ingest }: Started,
  flags: RunFlags,
): Promise<void> {
  const name = formatReference(reference);
  await printNote(context, `${created ? 'started' : 'already started'} ${name}`);
  await printNote(context, `follow it from anywhere: holdfast ${flags.terminal ? 'attach' : 'logs -f'} ${name}`);
  await printNote(context, `or in a browser: ${pageUrl(context.settings.url, reference)}`);
  if (execution.launcher === 'none') {
    await printNote(
      context,
      flags.detach && context.json
        ? 'no launcher: start a wrapper with `ingest` (HOLDFAST_INGEST_URL, HOLDFAST_INGEST_TOKEN)'
        : `no launcher: nothing runs until a wrapper connects to ${ingest.url}; \`run --detach --json\` prints its token, --launcher pool gives it to a runner`,
    );
  }
}

/** Null, with a remark, for a run that another command has started: that command feeds it. */
async function forwarderOf(
  context: Context,
  reference: Reference,
  { created }: Started,
  flags: RunFlags,
  { stop, giveUpAfterMs }: { stop: Stop; giveUpAfterMs: number },
): Promise<StdinForwarder | null> {
  if (!created && flags.id !== undefined) {
    await printNote(
      context,
      `stdin is not sent: the run was started before. Send it with: holdfast send ${formatReference(reference)} - --eof`,
    );
    return null;
  }
  return new StdinForwarder({
    client: context.inputClient(giveUpAfterMs),
    reference,
    stdin: context.io.stdin,
    // With --open-stdin, `holdfast send` may continue.
    eof: flags.openStdin !== true,
    signal: stop.feeding.signal,
  });
}

/** Sends stdin until its end, or until the run has ended. */
async function feed(context: Context, reference: Reference, stdin: StdinForwarder, stop: Stop): Promise<void> {
  try {
    await stdin.run();
  } catch (error) {
    if (stop.feeding.signal.aborted) return;
    const { code, message, hint } = explain(error, { url: context.settings.url, reference });
    // The job ended, or closed its stdin for good, without reading all of it, as any command may.
    if (code === 'not_running' || code === 'stdin_closed') return;
    await context.io.stderr.write(
      `holdfast: stdin was not sent completely (${stdin.sentBytes} bytes were): ${escapeControls(message)}\n`,
    );
    if (hint) await context.io.stderr.write(`holdfast: ${escapeControls(hint)}\n`);
    await printNote(context, `the job may wait for more; end its stdin with: holdfast send ${formatReference(reference)} --eof`);
  }
}
