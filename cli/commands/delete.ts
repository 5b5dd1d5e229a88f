/**
 * `holdfast delete`: a session with its runs and its log. It cannot be undone, so a person is asked
 * to confirm and a program must pass `--yes`.
 */

import { type Context, printJson, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { checkId, UsageError } from '../settings.ts';

export interface DeleteFlags {
  yes?: boolean;
}

export async function deleteCommand(context: Context, id: string, flags: DeleteFlags): Promise<number> {
  const { io, client } = context;
  const session = checkId(id, 'session');
  if (!flags.yes && !io.stdinIsTty) throw new UsageError(`stdin is not a terminal: pass --yes to delete session ${session}`);
  // Also reports a missing session at once; deleting it would look like success.
  const { counts, head } = await client.session(session);
  if (!flags.yes) {
    const runs = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const active = counts.pending + counts.running > 0 ? ' One of them is active and will be stopped.' : '';
    await io.stderr.write(
      `Delete session ${session} with its ${runs} run${runs === 1 ? '' : 's'} and ${head} events?${active} [y/N] `,
    );
    if (!/^y(es)?$/i.test(await readLine(io))) {
      await printNote(context, 'nothing was deleted');
      return EXIT.refused;
    }
  }
  await client.deleteSession(session);
  if (context.json) await printJson(context, { deleted: session });
  else await printNote(context, `session ${session} is deleted`);
  return EXIT.ok;
}

/** Empty when there is nothing to read. */
async function readLine({ stdin }: Io): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of stdin) {
    text += typeof chunk === 'string' ? chunk : decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.includes('\n')) break;
  }
  return (text.split('\n')[0] as string).trim();
}
