/** `holdfast logs`: what a run has printed, and with -f what it prints from now on, until it ends. */

import { type SessionStream, StreamFailure } from '../../client/index.ts';
import { EVENT_TYPE_PATTERN, type Execution, type LoggedEvent } from '../../protocol/index.ts';
import { type Context, note, openStream } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { LastLines, type Piece } from '../lines.ts';
import { HUMAN_TYPES, Printer } from '../printer.ts';
import { duration, parseReference, type Reference, UsageError, wholeNumber } from '../settings.ts';

export interface LogsFlags {
  session?: string;
  follow?: boolean;
  tail?: string;
  after?: string;
  types?: string;
  timestamps?: boolean;
  giveUpAfter: string;
}

/** Events of the coordinator's own between the last lines; a first guess that makes a second look rare. */
const TAIL_SLACK_EVENTS = 32;

interface Reading {
  reference: Reference;
  types: readonly string[] | undefined;
  giveUpAfterMs: number;
  /** The log that is read, once it is known: what was read of it is not continued with another one. */
  log: { generation?: string | undefined };
  /** What to do with an event. */
  show: (event: LoggedEvent) => Promise<void>;
}

export async function logs(context: Context, id: string, flags: LogsFlags): Promise<number> {
  const { io, client, json } = context;
  const reference = parseReference(id, flags, io.env);
  if (flags.tail !== undefined && flags.after !== undefined) throw new UsageError('--tail and --after exclude each other');
  if (json && flags.timestamps) throw new UsageError('--timestamps is for people: with --json every event has its `at`');
  const tail = flags.tail === undefined ? null : wholeNumber(flags.tail, '--tail');
  const after = flags.after === undefined ? null : wholeNumber(flags.after, '--after');
  const asked = flags.types?.split(',').map((type) => type.trim());
  const wrong = asked?.find((type) => !EVENT_TYPE_PATTERN.test(type));
  if (wrong !== undefined) throw new UsageError(`--types: ${JSON.stringify(wrong)} is no event type`);
  const giveUpAfterMs = duration(flags.giveUpAfter, '--give-up-after');

  const { status } = context;
  const draws = flags.follow === true && !json && asked === undefined && status.enabled;
  const printer = new Printer(io, {
    timestamps: flags.timestamps === true,
    types: asked,
    quiet: context.quiet,
    ...(draws ? { status } : {}),
  });
  const reading: Reading = {
    reference,
    types: asked ?? (json ? undefined : draws ? [...HUMAN_TYPES, 'progress'] : HUMAN_TYPES),
    giveUpAfterMs,
    log: {},
    show: json ? (event) => io.stdout.write(`${JSON.stringify(event)}\n`) : (event) => printer.print(event),
  };
  // Also says at once, and clearly, that there is no such run.
  const execution = await client.get(reference.session, reference.execution);

  let from = after ?? execution.firstOffset - 1;
  let ended = false;
  if (tail !== null) {
    const last = await readTail(context, reading, printer, execution, tail);
    from = last.from;
    ended = last.ended;
    if (json) for (const text of last.texts) await io.stdout.write(text);
    else await printer.write(last.pieces);
  }
  if (tail !== null && (!flags.follow || ended || io.stdout.broken)) return EXIT.ok;
  await read(context, reading, { from, follow: flags.follow === true, exact: after !== null });
  return EXIT.ok;
}

interface Range {
  from: number;
  follow: boolean;
  /** The place was given by the caller: that it has expired is an error and not a remark. */
  exact?: boolean;
}

/** Shows what is after `from`. Not following, it ends where the log ended when it was reached; following, with the run. */
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
      // G8: what is gone is said, and what is left is shown.
      const { earliest } = await context.client.session(reference.session);
      await note(context, `events before offset ${earliest} have expired and are no longer kept`);
      exact = true;
      stream = open(earliest - 1);
    }
  }
}

interface Tail {
  pieces: Piece[];
  texts: string[];
  from: number;
  ended: boolean;
}

/**
 * The last lines (or, for programs, events) of one execution. Its events are not the newest of the session when others ran after it, and a
 * line may be spread over several events, so the place to begin is a guess that is widened until enough came.
 */
async function readTail(context: Context, reading: Reading, printer: Printer, execution: Execution, count: number): Promise<Tail> {
  const { head, earliest } = await context.client.session(reading.reference.session);
  const newest = execution.lastOffset ?? head;
  const oldest = Math.max(execution.firstOffset, earliest) - 1;
  for (let span = count + TAIL_SLACK_EVENTS; ; span *= 4) {
    const from = Math.max(oldest, newest - span);
    const trial = new Printer(context.io, { types: reading.types });
    const texts: string[] = [];
    const lines = new LastLines(count);
    // The printer that goes on after the tail must know which line is unfinished, so the last trial runs through it.
    const show = async (event: LoggedEvent) => {
      if (context.json) texts.push(`${JSON.stringify(event)}\n`);
      else for (const piece of trial.pieces(event)) lines.push(piece);
      if (texts.length > 2 * count + 1024) texts.splice(0, texts.length - count);
    };
    const stream = await read(context, { ...reading, show }, { from, follow: false });
    const found = context.json ? texts.length : trial.lines;
    // More than asked for: the oldest line of a span may be the end of one that began before it.
    // What was too long to be kept does not get shorter by looking further back.
    if (found > count || from <= oldest || lines.overflowed) {
      if (lines.overflowed) await note(context, `the last ${count} lines have more than 1 MiB: what is shown begins within one`);
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
