/**
 * `holdfast open`: the page of a run, a session or the whole deployment; also a link that lets
 * another person read one run for a limited time.
 */

import { type HoldfastClient, HoldfastError, type Ticket } from '../../client/index.ts';
import { TICKET_TTL_SECONDS_MAX } from '../../protocol/index.ts';
import { type Context, printJson, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { checkId, formatReference, parseDuration, parseReference, type Reference, UsageError } from '../settings.ts';

export interface OpenFlags {
  session?: string;
  print?: boolean;
  share?: boolean;
  ttl?: string;
}

/** Long enough to reach a person at their desk, short enough to be safe when forgotten. */
const SHARE_TTL = '15m';

export function pageUrl(url: string, { session, execution }: Partial<Reference> = {}): string {
  if (session === undefined) return `${url}/`;
  const page = `${url}/sessions/${encodeURIComponent(session)}`;
  return execution === undefined ? page : `${page}/executions/${encodeURIComponent(execution)}`;
}

export async function open(context: Context, id: string | undefined, flags: OpenFlags): Promise<number> {
  const { io, client, settings } = context;
  if (flags.ttl !== undefined && !flags.share) throw new UsageError('--ttl is for --share');
  const session = flags.session ?? (io.env.HOLDFAST_SESSION || undefined);
  const target: Partial<Reference> =
    id !== undefined ? parseReference(id, flags, io.env) : session === undefined ? {} : { session: checkId(session, 'session') };
  let url = pageUrl(settings.url, target);
  let expiresAt: number | undefined;
  if (flags.share) {
    if (target.session === undefined || target.execution === undefined) {
      throw new UsageError('--share is for one run: give session/execution');
    }
    const ttl = flags.ttl ?? SHARE_TTL;
    const ttlSeconds = Math.floor(parseDuration(ttl, '--ttl') / 1000);
    if (ttlSeconds < 1 || ttlSeconds > TICKET_TTL_SECONDS_MAX)
      throw new UsageError(`--ttl must be from 1s to ${TICKET_TTL_SECONDS_MAX / 60}m, not ${ttl}`);
    const made = await createLinkTicket(client, target as Reference, ttlSeconds);
    // A fragment is not sent to a server, so it is in no access log.
    url += `#ticket=${made.ticket}`;
    expiresAt = made.expiresAt;
    await printNote(
      context,
      `anyone with this link can read ${formatReference(target as Reference)}, and nothing else, until ${new Date(expiresAt).toISOString()}`,
    );
  } else if (target.session !== undefined && target.execution !== undefined && !flags.print) {
    // Reports a typing mistake here instead of opening an empty page.
    await client.get(target.session, target.execution);
  }
  if (context.json) {
    await printJson(context, { url, ...(expiresAt === undefined ? {} : { expiresAt }) });
    return EXIT.ok;
  }
  await io.stdout.write(`${url}\n`);
  // A link to share, or an address for a pipe, is not opened in this browser.
  if (flags.print || flags.share || !io.stdout.isTty) return EXIT.ok;
  const problem = await io.openInBrowser(url);
  if (problem !== null) await printNote(context, `no browser was opened (${problem}): open the address yourself`);
  return EXIT.ok;
}

/**
 * What was opened with the link ends with it (STR33). A coordinator of 0.1.0 ignores `untilSeconds`
 * and sets no end.
 */
async function createLinkTicket(client: HoldfastClient, { session, execution }: Reference, ttlSeconds: number): Promise<Ticket> {
  try {
    return await client.createTicket(session, { execution, ttlSeconds, untilSeconds: ttlSeconds });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'bad_request') throw error;
    return client.createTicket(session, { execution, ttlSeconds });
  }
}
