/** `holdfast attach`: shows the terminal of a run, and types into it. */

import { isTerminal } from '../../protocol/index.ts';
import type { Context } from '../context.ts';
import { follow } from '../follow.ts';
import { formatReference, parseDuration, parseReference, UsageError } from '../settings.ts';
import { Stop } from '../stop.ts';
import { parseDetachKeys } from '../terminal/detach-keys.ts';
import { ownTerminalOf, printDetachKeys, terminalShowing } from '../terminal/show.ts';

export interface AttachFlags {
  session?: string;
  readOnly?: boolean;
  detachKeys: string;
  giveUpAfter: string;
}

export async function attach(context: Context, id: string, flags: AttachFlags): Promise<number> {
  const reference = parseReference(id, flags, context.io.env);
  const detachKeys = parseDetachKeys(flags.detachKeys);
  const giveUpAfterMs = parseDuration(flags.giveUpAfter, '--give-up-after');
  if (context.json) throw new UsageError('attach shows a terminal, which --json cannot: use holdfast logs --json');
  const terminal = ownTerminalOf(context, 'attach');
  const execution = await context.client.get(reference.session, reference.execution);
  const name = formatReference(reference);
  if (!execution.terminal) throw new UsageError(`${name} does not run in a terminal: follow it with holdfast logs -f ${name}`);
  const stop = new Stop(context, reference, false);
  try {
    stop.started();
    const readOnly = flags.readOnly === true;
    if (!isTerminal(execution.status)) await printDetachKeys(context, detachKeys, readOnly);
    const showing = terminalShowing(context, {
      reference,
      terminal,
      readOnly,
      leads: false,
      fromScreen: true,
      detachKeys,
      stop,
      giveUpAfterMs,
    });
    // An ended run, too, is shown as its terminal was.
    const isRunning = execution.status === 'running' || isTerminal(execution.status);
    return await follow(context, reference, { place: { from: 'screen' }, isRunning, stop, giveUpAfterMs }, showing);
  } finally {
    await stop.release();
  }
}
