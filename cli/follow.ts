/**
 * Follows a run to its end and ends as it does, for `run` and `attach`. What is shown of its events
 * is up to the caller; the exit code, and what is said about the end, is not.
 */

import { type SessionStreamOptions, StreamFailure } from '../client/index.ts';
import { isTerminal, type LoggedEvent, terminalStatusOf } from '../protocol/index.ts';
import { type Context, openStream, printJson, printNote } from './context.ts';
import { describeEnding, type Ending, EXIT, endedByItself, exitCodeOf } from './exit-code.ts';
import { explain, isSessionDeleted } from './explain.ts';
import { formatReference, type Reference } from './settings.ts';
import type { Stop } from './stop.ts';
import { escapeControls } from './terminal-text.ts';

export interface Showing {
  /** Every event but the verdict of a run that did not complete. */
  show(event: LoggedEvent): Promise<void>;
  /** Called once, when the job takes input. */
  onRunning(): void;
  onState?: SessionStreamOptions['onState'];
  /**
   * Nothing is shown any more. Called before anything is said about the end. `hasEnded`: the run,
   * as far as its log was seen.
   */
  finish(hasEnded: boolean): Promise<void>;
  /** After the viewer has detached. */
  detachedNotes(lastOffset: number): string[];
  /** How to follow on after a failure. */
  again(lastOffset: number): string;
}

export interface Followed {
  place: Pick<SessionStreamOptions, 'after' | 'from'>;
  isRunning: boolean;
  stop: Stop;
  giveUpAfterMs: number;
}

export async function follow(
  context: Context,
  reference: Reference,
  { place, isRunning, stop, giveUpAfterMs }: Followed,
  showing: Showing,
): Promise<number> {
  const { io, client } = context;
  let verdict: Ending | null = null;
  let failure: StreamFailure | null = null;
  const stream = openStream(context, reference, {
    ...place,
    signal: stop.following.signal,
    giveUpAfterMs,
    ...(showing.onState ? { onState: showing.onState } : {}),
  });
  io.stdout.onBroken = () => stream.close();
  // Input is accepted when the execution runs.
  let running = false;
  const lookWhetherItRuns = (runs: boolean) => {
    if (runs && !running) showing.onRunning();
    running ||= runs;
  };
  try {
    lookWhetherItRuns(isRunning);
    for await (const event of stream) {
      lookWhetherItRuns(event.type === 'execution_running');
      verdict = endingOf(event) ?? verdict;
      if (event.type !== 'execution_failed' && event.type !== 'execution_interrupted') await showing.show(event);
    }
  } catch (error) {
    if (!(error instanceof StreamFailure)) throw error;
    failure = error;
  } finally {
    stop.feeding.abort();
    await showing.finish(verdict !== null);
  }
  const lastOffset = stream.lastOffset ?? 0;
  if (stop.detached) {
    for (const note of showing.detachedNotes(lastOffset)) await printNote(context, note);
    return stop.exitCode;
  }
  if (io.stdout.broken && !verdict) return EXIT.brokenPipe;

  // The status has a second source: a failed stream says nothing about the job. A session that was
  // created again may have another run of this name.
  const unknowable = failure !== null && ['unreachable', 'unauthorized', 'log_replaced'].includes(failure.code);
  const found = unknowable ? null : await client.get(reference.session, reference.execution).catch(() => null);
  const ended = found && isTerminal(found.status) ? found : null;
  if (failure) {
    const { message, hint } = explain(failure, { url: context.settings.url, reference });
    await io.stderr.write(`holdfast: the output could not be followed further: ${escapeControls(message)}\n`);
    if (!ended) {
      if (hint) await printNote(context, hint);
      if (!isSessionDeleted(failure.code)) await printNote(context, `the run continues: ${showing.again(lastOffset)}`);
      return EXIT.coordinator;
    }
  }
  const ending = ended ? ({ ...ended, status: ended.status } as Ending) : verdict;
  if (!ending) {
    await io.stderr.write('holdfast: the stream ended without a verdict\n');
    return EXIT.coordinator;
  }
  stop.settled();
  const exitCode = exitCodeOf(ending);
  if (ending.status !== 'completed') {
    const verdict: Parameters<typeof describeEnding>[0] = ended ?? ending;
    // Shown with --quiet too if the exit code alone would be ambiguous.
    if (ending.status === 'failed' && !endedByItself(verdict.code))
      await io.stderr.write(`holdfast: ${escapeControls(describeEnding(verdict))}\n`);
    else await printNote(context, describeEnding(verdict));
  }
  if (context.json)
    await printJson(context, {
      reference: formatReference(reference),
      exitCode,
      execution: ended ?? { ...ending, id: reference.execution },
    });
  return exitCode;
}

function endingOf({ type, data }: LoggedEvent): Ending | null {
  const status = terminalStatusOf(type);
  if (!status) return null;
  return {
    ...data,
    status,
    exitCode: typeof data.exitCode === 'number' ? data.exitCode : undefined,
    signal: typeof data.signal === 'string' ? data.signal : undefined,
    code: typeof data.code === 'string' ? data.code : undefined,
  };
}
