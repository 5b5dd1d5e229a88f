/** The commands of one request each: list, get, wait, interrupt, fail, send. */

import { createClient } from '../../client/index.ts';
import {
  type Execution,
  exceedsUtf8Bytes,
  FAILURE_CODE_PATTERN,
  INPUT_BYTES_MAX,
  type InputRequest,
  isTerminal,
  LIST_LIMIT_MAX,
  lateText,
  STATUSES,
  type Status,
  silentForMs,
} from '../../protocol/index.ts';
import { type Context, type PaintColour, printJson, printNote } from '../context.ts';
import { describeEnding, type Ending, EXIT, exitCodeOf } from '../exit-code.ts';
import { answerCommand } from '../questions.ts';
import {
  checkId,
  formatReference,
  parseChoice,
  parseDuration,
  parseReference,
  parseWholeNumber,
  type Reference,
  UsageError,
} from '../settings.ts';
import { quoted } from '../shell-words.ts';
import { StdinForwarder } from '../stdin.ts';
import { escapeControls } from '../terminal-text.ts';
import { waitingText } from '../waiting.ts';

export interface ReferenceFlags {
  session?: string;
}

// ── list ─────────────────────────────────────────────────────────────────────────────────────────

export interface ListFlags extends ReferenceFlags {
  status?: string;
  limit?: string;
  cursor?: string;
}

export async function list(context: Context, flags: ListFlags): Promise<number> {
  const { io, client } = context;
  const query = {
    ...(flags.status === undefined ? {} : { status: parseChoice(flags.status, STATUSES, '--status') }),
    ...(flags.limit === undefined ? {} : { limit: parseWholeNumber(flags.limit, '--limit', 1) }),
    ...(flags.cursor === undefined ? {} : { cursor: flags.cursor }),
  };
  if ((query.limit ?? 0) > LIST_LIMIT_MAX) throw new UsageError(`--limit may be at most ${LIST_LIMIT_MAX}: get more with --cursor`);
  const session = flags.session ?? (io.env.HOLDFAST_SESSION || undefined);
  if (session === undefined) {
    const page = await client.sessions(query);
    if (context.json) await printJson(context, page);
    else {
      const rows = page.data.map(({ id, execution, asking }) =>
        execution ? rowOf(execution, asking) : [escapeControls(id), '-', '-', '-', '-'],
      );
      await printTable(context, rows, 'no sessions yet: start one with `holdfast run -- command`');
      if (page.next) await printNote(context, `there are more: --cursor ${page.next}`);
    }
    return EXIT.ok;
  }
  const page = await client.list(checkId(session, 'session'), query);
  if (context.json) await printJson(context, page);
  else {
    await printTable(
      context,
      page.data.map((execution) => rowOf(execution)),
      `nothing${query.status ? ` ${query.status}` : ''} in session ${session}`,
    );
    if (page.next) await printNote(context, `there are more: --cursor ${page.next}`);
  }
  return EXIT.ok;
}

const HEADINGS = ['EXECUTION', 'STATUS', 'STARTED', 'TOOK', 'COMMAND'];
const COMMAND_CHARS_MAX = 60;

/** `asks`: one of the runs of its session waits for an answer. */
function rowOf(execution: Execution, asks = false): string[] {
  const { session, id, status, command, createdAt } = execution;
  const asking = execution.asking !== undefined || asks;
  const text = escapeControls(command.join(' '));
  const silence = silenceOf(execution);
  return [
    escapeControls(formatReference({ session, execution: id })),
    [status, ...(asking ? ['asks'] : []), ...(silence === null ? [] : [silence])].map(escapeControls).join(', '),
    timeOf(createdAt),
    tookOf(execution),
    text.length > COMMAND_CHARS_MAX ? `${text.slice(0, COMMAND_CHARS_MAX - 1)}…` : text,
  ];
}

async function printTable({ io, paint, ...rest }: Context, rows: string[][], whenEmpty: string): Promise<void> {
  if (rows.length === 0) {
    await printNote({ io, ...rest }, whenEmpty);
    return;
  }
  const all = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  for (const [index, row] of all.entries()) {
    const cells = row.map((cell, column) => {
      const padded = column === row.length - 1 ? cell : cell.padEnd(widths[column] as number);
      if (index === 0) return paint('dim', padded);
      return column === 1 ? paint(colourOf(cell.split(',')[0] as Status), padded) : padded;
    });
    await io.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

const COLOURS: Readonly<Record<Status, PaintColour>> = {
  queued: 'dim',
  pending: 'cyan',
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  interrupted: 'yellow',
};
const colourOf = (status: Status): PaintColour => COLOURS[status] ?? 'dim';

// ── get, wait ────────────────────────────────────────────────────────────────────────────────────

export async function get(context: Context, id: string, flags: ReferenceFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const execution = await context.client.get(reference.session, reference.execution);
  if (context.json) {
    await printJson(context, execution);
    return EXIT.ok;
  }
  const { paint } = context;
  const ended = isTerminal(execution.status) ? describeEnding(execution) : execution.status;
  const rows: [string, string | undefined][] = [
    ['execution', formatReference(reference)],
    ['status', paint(colourOf(execution.status), escapeControls(ended))],
    ['asks', execution.asking && escapeControls(execution.asking.text)],
    ['answer', execution.asking && escapeControls(answerCommand(execution.asking, formatReference(reference)))],
    ['command', escapeControls(execution.command.map(quoted).join(' '))],
    ['cwd', execution.cwd === undefined ? undefined : escapeControls(execution.cwd)],
    ['launcher', execution.launcher],
    ['runner', execution.runner && escapeControls(`${execution.runner.name} (${execution.runner.id})`)],
    ['waits', execution.waiting && escapeControls(waitingText(execution.waiting))],
    [
      'fails at',
      execution.waiting && execution.waitUntil !== undefined
        ? `${timeOf(execution.waitUntil)} unless a runner takes it`
        : undefined,
    ],
    ['requires', pairsOf(execution.requires)],
    ['connected', connectedText(execution)],
    ['fails at', execution.graceUntil === undefined ? undefined : `${timeOf(execution.graceUntil)} unless the job connects again`],
    ['created', timeOf(execution.createdAt)],
    ['started', execution.startedAt === undefined ? undefined : timeOf(execution.startedAt)],
    ['ended', execution.endedAt === undefined ? undefined : timeOf(execution.endedAt)],
    ['took', execution.startedAt === undefined ? undefined : tookOf(execution)],
    ['error', execution.error === undefined ? undefined : escapeControls(execution.error)],
    ['late', execution.late === undefined ? undefined : escapeControls(lateText(execution.late))],
    ['continues', execution.continues],
    ['labels', pairsOf(execution.labels)],
    ['offsets', `${execution.firstOffset} to ${execution.lastOffset ?? '(running)'}`],
  ];
  for (const [name, value] of rows)
    if (value !== undefined) await context.io.stdout.write(`${paint('dim', name.padEnd(10))} ${value}\n`);
  return EXIT.ok;
}

const pairsOf = (pairs: Readonly<Record<string, string>> = {}): string | undefined =>
  Object.entries(pairs)
    .map(([key, value]) => escapeControls(`${key}=${value}`))
    .join(', ') || undefined;

/**
 * A wrapper whose process or host is frozen stays connected until the silence limit: say how long
 * it has been silent.
 */
function connectedText(execution: Execution): string | undefined {
  const { connected } = execution;
  if (connected === undefined) return undefined;
  const silent = silenceOf(execution);
  return connected ? `yes${silent === null ? '' : `, ${silent}`}` : 'no';
}

/** `last heard 40 s ago`, for a wrapper that missed its heartbeats; else null. */
function silenceOf(execution: Execution): string | null {
  const silentMs = silentForMs(execution, Date.now());
  return silentMs === null ? null : `last heard ${Math.floor(silentMs / 1000)} s ago`;
}

export interface WaitFlags extends ReferenceFlags {
  giveUpAfter: string;
}

export async function wait(context: Context, id: string, flags: WaitFlags): Promise<number> {
  const { client, settings } = context;
  const reference = parseReference(id, flags, context.io.env);
  const retryBudgetMs = parseDuration(flags.giveUpAfter, '--give-up-after');
  // The first request fails early when the coordinator is unreachable; later outages are waited
  // for.
  let execution = await client.get(reference.session, reference.execution);
  if (!isTerminal(execution.status)) {
    execution = await createClient({ ...settings, retryBudgetMs }).wait(reference.session, reference.execution);
  }
  const ending = execution as Execution & Ending;
  if (context.json) await printJson(context, execution);
  else {
    await printNote(context, `${formatReference(reference)} ${describeEnding(execution)}`);
    if (execution.late) await printNote(context, lateText(execution.late));
  }
  return exitCodeOf(ending);
}

// ── interrupt, fail, send ────────────────────────────────────────────────────────────────────────

export interface InterruptFlags extends ReferenceFlags {
  force?: boolean;
  reason?: string;
}

export async function interrupt(context: Context, id: string, flags: InterruptFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const answer = await context.client.interrupt(reference.session, reference.execution, {
    ...(flags.force ? { force: true } : {}),
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
  });
  const name = formatReference(reference);
  if (context.json) await printJson(context, answer);
  else if (!answer.accepted) await printNote(context, `${name} had ended before: ${answer.execution?.status ?? 'settled'}`);
  else if (answer.settled) await printNote(context, `${name} is interrupted; it had not begun`);
  else await printNote(context, `${name} is asked to stop; see it end: holdfast wait ${name}`);
  return EXIT.ok;
}

export interface FailFlags extends ReferenceFlags {
  code: string;
  message: string;
}

export async function fail(context: Context, id: string, flags: FailFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const { code, message } = flags;
  if (!FAILURE_CODE_PATTERN.test(code)) {
    throw new UsageError(`--code must be lower-case letters, digits and _, such as lost_host, not ${JSON.stringify(code)}`);
  }
  const { settled } = await context.client.fail(reference.session, reference.execution, { code, message });
  if (context.json) await printJson(context, { settled });
  else
    await printNote(
      context,
      `${formatReference(reference)} ${settled ? `failed with ${code}` : 'had ended before; nothing changed'}`,
    );
  return EXIT.ok;
}

export interface SendFlags extends ReferenceFlags {
  newline: boolean;
  eof?: boolean;
  secret?: boolean;
}

/**
 * A given text is a line, as if typed; stdin is sent unchanged. `--eof` alone only ends the job's
 * stdin.
 */
export async function send(context: Context, id: string, text: string | undefined, flags: SendFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const name = formatReference(reference);
  const eof = flags.eof === true;
  const sentBytes =
    text === '-' || (text === undefined && !eof)
      ? await sendStdin(context, reference, flags)
      : await sendText(context, reference, text ?? '', flags);
  if (sentBytes === 0 && !eof) throw new UsageError('there is nothing to send: stdin was empty');
  if (context.json) await printJson(context, { sentBytes, eof });
  else if (sentBytes === 0) await printNote(context, `the stdin of ${name} is ended`);
  else await printNote(context, `sent ${sentBytes} bytes to ${name}${eof ? ', and ended its stdin' : ''}`);
  return EXIT.ok;
}

/** An outage that is longer ends the command; the message says how much was sent. */
const STDIN_OUTAGE_MS = 60_000;

async function sendStdin(context: Context, reference: Reference, { eof = false, secret = false }: SendFlags): Promise<number> {
  const client = context.inputClient(STDIN_OUTAGE_MS);
  const forwarder = new StdinForwarder({ client, reference, stdin: context.io.stdin, eof, secret });
  try {
    await forwarder.run();
  } catch (error) {
    if (forwarder.sentBytes > 0) await printNote(context, `${forwarder.sentBytes} bytes were sent before the failure`);
    throw error;
  }
  return forwarder.sentBytes;
}

async function sendText(context: Context, reference: Reference, text: string, flags: SendFlags): Promise<number> {
  const { eof = false, secret = false, newline } = flags;
  const line = newline && text !== '' && !text.endsWith('\n') ? `${text}\n` : text;
  if (line === '' && !eof) throw new UsageError('there is nothing to send');
  const parts: InputRequest[] = inputParts(line).map((part) => ({ text: part }));
  const last = parts.at(-1);
  if (last && eof) last.eof = true;
  if (!last) parts.push({ eof });
  for (const part of parts) {
    await context.client.sendInput(reference.session, reference.execution, { ...part, ...(secret ? { secret } : {}) });
  }
  return Buffer.byteLength(line);
}

/** Parts that fit an input command, never split inside a character. */
export function inputParts(text: string, limit: number = INPUT_BYTES_MAX): string[] {
  if (text === '') return [];
  if (!exceedsUtf8Bytes(text, limit)) return [text];
  let middle = text.length >>> 1;
  const unit = text.charCodeAt(middle);
  if (unit >= 0xdc00 && unit <= 0xdfff) middle -= 1;
  return [...inputParts(text.slice(0, middle), limit), ...inputParts(text.slice(middle), limit)];
}

// ── text ────────────────────────────────────────────────────────────

const timeOf = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

function tookOf({ startedAt, endedAt }: Execution): string {
  if (startedAt === undefined) return '-';
  const seconds = Math.max(0, Math.round(((endedAt ?? Date.now()) - startedAt) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
}
