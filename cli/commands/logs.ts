/** `holdfast logs`: what a run has printed, and with -f what it prints until it ends. */

import type { AgentFormat } from '../../agent/index.ts';
import { type SessionStream, StreamFailure } from '../../client/index.ts';
import { EVENT_TYPE_PATTERN, type Execution, isTerminal, type LoggedEvent } from '../../protocol/index.ts';
import { type Context, openStream, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { LastLines, type LinePiece } from '../lines.ts';
import { CONVERSATION_TYPES, conversationFormat, HUMAN_TYPES, Printer } from '../printer.ts';
import { formatReference, parseDuration, parseReference, parseWholeNumber, type Reference, UsageError } from '../settings.ts';
import { jsonText } from '../terminal-text.ts';

export interface LogsFlags {
  session?: string;
  follow?: boolean;
  tail?: string;
  after?: string;
  types?: string;
  timestamps?: boolean;
  raw?: boolean;
  giveUpAfter: string;
}

/**
 * The coordinator's own events between the last lines; an estimate that makes a second request
 * rare.
 */
const TAIL_SLACK_EVENTS = 32;

interface Reading {
  reference: Reference;
  types: readonly string[] | undefined;
  conversation: AgentFormat | null;
  giveUpAfterMs: number;
  /** The log that is read, once known: output is never continued from another log. */
  log: { generation?: string | undefined };
  /** Handles one event. */
  show: (event: LoggedEvent) => Promise<void>;
}

export async function logs(context: Context, id: string, flags: LogsFlags): Promise<number> {
  const { io, client, json } = context;
  const reference = parseReference(id, flags, io.env);
  if (flags.tail !== undefined && flags.after !== undefined) throw new UsageError('--tail and --after exclude each other');
  if (json && flags.timestamps) throw new UsageError('--timestamps is for people: with --json every event has its `at`');
  const tail = flags.tail === undefined ? null : parseWholeNumber(flags.tail, '--tail');
  const after = flags.after === undefined ? null : parseWholeNumber(flags.after, '--after');
  const asked = flags.types?.split(',').map((type) => type.trim());
  const wrong = asked?.find((type) => !EVENT_TYPE_PATTERN.test(type));
  if (wrong !== undefined) throw new UsageError(`--types: ${JSON.stringify(wrong)} is no event type`);
  const giveUpAfterMs = parseDuration(flags.giveUpAfter, '--give-up-after');

  const { status } = context;
  const draws = flags.follow === true && !json && asked === undefined && status.enabled;
  // Also reports a missing run at once.
  const execution = await client.get(reference.session, reference.execution);
  const conversation = json || flags.raw || asked ? null : conversationFormat(execution.format);
  const printer = new Printer(io, {
    conversation,
    timestamps: flags.timestamps === true,
    types: asked,
    quiet: context.quiet,
    ...(isTerminal(execution.status) ? {} : { reference: formatReference(reference) }),
    ...(draws ? { status } : {}),
  });
  const reading: Reading = {
    reference,
    types:
      asked ?? (json ? undefined : [...HUMAN_TYPES, ...(conversation ? CONVERSATION_TYPES : []), ...(draws ? ['progress'] : [])]),
    conversation,
    giveUpAfterMs,
    log: {},
    show: json ? (event) => io.stdout.write(`${jsonText(event, io.stdout)}\n`) : (event) => printer.print(event),
  };
  let from = after ?? execution.firstOffset - 1;
  let ended = false;
  if (tail !== null) {
    const last = await readTail(context, reading, printer, execution, tail);
    from = last.from;
    ended = last.ended;
    if (json) for (const text of last.texts) await io.stdout.write(text);
    else await printer.write(last.pieces);
  }
  if (tail === null || (flags.follow && !ended && !io.stdout.broken))
    await read(context, reading, { from, follow: flags.follow === true, exact: after !== null });
  await printer.write(printer.rest());
  await printer.reportReplaced();
  return EXIT.ok;
}

interface Range {
  from: number;
  follow: boolean;
  /** The caller gave the position, so an expired one is an error, not a warning. */
  exact?: boolean;
}

/**
 * Shows events after `from`. Without follow it ends where the log ended when it was reached; with
 * follow, when the run ends.
 */
async function read(context: Context, reading: Reading, { from, follow, exact = false }: Range): Promise<SessionStream> {
  const { reference, types, giveUpAfterMs, log, show } = reading;
  let stream = open(from);
  function open(after: number): SessionStream {
    const opened = openStream(context, reference, {
      after,
      giveUpAfterMs,
      ...log,
      ...(types ? { types } : {}),
      onControl: (control) => {
        if (control.type === 'caught_up' && !follow) opened.close();
      },
    });
    context.io.stdout.onBroken = () => opened.close();
    return opened;
  }
  for (;;) {
    try {
      for await (const event of stream) await show(event);
      log.generation ??= stream.hello?.generation;
      return stream;
    } catch (error) {
      if (!(error instanceof StreamFailure) || error.code !== 'offset_expired' || exact) throw error;
      // G8: trimmed events are reported, and the rest is shown.
      const { earliest } = await context.client.session(reference.session);
      await printNote(context, `events before offset ${earliest} have expired and are no longer kept`);
      exact = true;
      stream = open(earliest - 1);
    }
  }
}

interface Tail {
  pieces: LinePiece[];
  texts: string[];
  from: number;
  ended: boolean;
}

/**
 * The last lines (or, for programs, events) of one execution. Its events are not the latest of the
 * session if other executions ran after it, and a line may span several events. So the start is
 * estimated, and moved back until enough lines are found.
 */
async function readTail(context: Context, reading: Reading, printer: Printer, execution: Execution, count: number): Promise<Tail> {
  const { head, earliest } = await context.client.session(reading.reference.session);
  const newest = execution.lastOffset ?? head;
  const oldest = Math.max(execution.firstOffset, earliest) - 1;
  for (let span = count + TAIL_SLACK_EVENTS; ; span *= 4) {
    const from = Math.max(oldest, newest - span);
    const { types, conversation } = reading;
    const trial = new Printer(context.io, {
      types,
      conversation,
      ...(isTerminal(execution.status) ? {} : { reference: formatReference(reading.reference) }),
    });
    const texts: string[] = [];
    const lines = new LastLines(count);
    // The printer that continues after the tail must know which line is unfinished, so the last
    // attempt runs through it.
    const show = async (event: LoggedEvent) => {
      if (context.json) texts.push(`${jsonText(event, context.io.stdout)}\n`);
      else for (const piece of trial.pieces(event)) lines.push(piece);
      if (texts.length > 2 * count + 1024) texts.splice(0, texts.length - count);
    };
    const stream = await read(context, { ...reading, show }, { from, follow: false });
    const found = context.json ? texts.length : trial.lines;
    // More than requested: the oldest line of a span may be the end of one that began before it. A
    // line that was too long to keep does not get shorter by looking further back.
    if (found > count || from <= oldest || lines.overflowed) {
      if (lines.overflowed)
        await printNote(context, `the last ${count} lines have more than 1 MiB: what is shown begins within one`);
      printer.continueFrom(trial);
      return {
        pieces: lines.take(),
        texts: count === 0 ? [] : texts.slice(-count),
        from: stream.lastOffset ?? from,
        ended: stream.ends.has(reading.reference.execution),
      };
    }
  }
}
