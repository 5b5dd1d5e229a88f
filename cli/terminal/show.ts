/** A run in a terminal as `run --terminal` and `attach` show it: the view, wired to the client. */

import { type Context, outageText, printNote } from '../context.ts';
import { explain } from '../explain.ts';
import type { Showing } from '../follow.ts';
import { Printer } from '../printer.ts';
import { formatReference, type Reference, UsageError } from '../settings.ts';
import type { Stop } from '../stop.ts';
import { escapeControls } from '../terminal-text.ts';
import { describeKeys } from './detach-keys.ts';
import type { OwnTerminal } from './own-terminal.ts';
import { TerminalView } from './view.ts';

/** How long a detach waits for keys that are not sent yet. */
const LAST_KEYS_MS = 2_000;

/** Terminals that have no title, or would show it as text. */
const WITHOUT_TITLE = new Set(['dumb', 'linux', 'cons25']);

export interface TerminalShowing {
  reference: Reference;
  terminal: OwnTerminal;
  readOnly: boolean;
  /** The job's terminal began with the size of this one. */
  leads: boolean;
  fromScreen: boolean;
  detachKeys: readonly number[];
  stop: Stop;
  giveUpAfterMs: number;
}

export function ownTerminalOf({ io }: Context, what: string): OwnTerminal {
  if (io.terminal) return io.terminal;
  const missing =
    !io.stdinIsTty && !io.stdout.isTty ? 'stdin and stdout are none' : io.stdinIsTty ? 'stdout is none' : 'stdin is none';
  throw new UsageError(`${what} needs a terminal, and ${missing}`);
}

export function terminalShowing(context: Context, options: TerminalShowing): Showing {
  const { io } = context;
  const { reference, terminal, readOnly, leads, fromScreen, detachKeys, stop, giveUpAfterMs } = options;
  const { session, execution } = reference;
  const name = formatReference(reference);
  const client = context.inputClient(giveUpAfterMs);
  const { signal } = stop.feeding;
  const view = new TerminalView({
    terminal,
    keyboard: io.stdin,
    write: (text) => io.stdout.write(text),
    writer: readOnly
      ? null
      : {
          leads,
          input: (request) => client.sendInput(session, execution, request, { signal }),
          async resize(size) {
            return (await client.resize(session, execution, size, { signal })).changed;
          },
        },
    detachKeys,
    fromScreen,
    onDetach: () => {
      // What was typed before is sent first, while the connection allows it.
      void view.keysSent(LAST_KEYS_MS).then(() => stop.detach());
    },
    titles: !WITHOUT_TITLE.has(io.env.TERM ?? 'dumb'),
  });
  // Before the job runs, there is only what Holdfast has to say.
  const printer = new Printer(io, { quiet: context.quiet });
  return {
    show: (event) => (view.isOpen ? view.show(event) : printer.print(event)),
    onRunning() {
      view.open();
      view.takesKeys();
    },
    onState(state) {
      if (state.status === 'reconnecting' && state.attempt > 1) view.connection(outageText(context, state));
      else if (state.status !== 'connecting' && state.status !== 'reconnecting') view.connection('');
    },
    async finish(hasEnded) {
      view.endKeys();
      await io.stdout.flush();
      view.close();
      for (const remark of view.remarks) await io.stderr.write(`holdfast: ${escapeControls(remark)}\n`);
      // A job that has ended takes none.
      if (!hasEnded) {
        if (view.unsentBytes > 0) await io.stderr.write(`holdfast: ${view.unsentBytes} typed bytes were not sent\n`);
        if (view.unansweredBytes > 0)
          await io.stderr.write(
            `holdfast: ${view.unansweredBytes} typed bytes may not have arrived: their request was not answered\n`,
          );
      }
      if (view.keysFailed === null || stop.detached) return;
      const { code, message } = explain(view.keysFailed, { url: context.settings.url, reference });
      // The job ended before it took them.
      if (code === 'not_running' || code === 'stdin_closed') return;
      await io.stderr.write(`holdfast: keys were not sent any more: ${escapeControls(message)}\n`);
    },
    detachedNotes: () => [
      `detached; ${name} continues`,
      `attach again: holdfast attach ${name}`,
      `interrupt it: holdfast interrupt ${name}`,
    ],
    again: () => `holdfast attach ${name}`,
  };
}

/** How to leave, for people who do not know the keys. */
export async function printDetachKeys(context: Context, keys: readonly number[], readOnly: boolean): Promise<void> {
  const how = keys.length > 0 ? describeKeys(keys) : null;
  if (readOnly) await printNote(context, `read only; leave with ${how === null ? '' : `${how} or `}Ctrl-C`);
  else if (how !== null) await printNote(context, `detach with ${how}`);
}
