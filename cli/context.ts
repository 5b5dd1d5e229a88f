/** What every command gets. */

import {
  connectSession,
  createClient,
  type HoldfastClient,
  type HoldfastError,
  type SessionStream,
  type SessionStreamOptions,
} from '../client/index.ts';
import { egressFetch } from '../egress/fetch.ts';
import type { Io } from './io.ts';
import type { Flags, Reference, Settings } from './settings.ts';
import { StatusLine } from './status-line.ts';
import { escapeControls, jsonText } from './terminal-text.ts';
import { connectWithWs } from './web-socket.ts';

/**
 * A person waits: a wrong URL should be reported soon, a restart of the coordinator should go
 * unnoticed.
 */
const RETRY_BUDGET_MS = 8_000;

/**
 * A tenant over its rate limit is delayed for 10 s at a time. Scripts that run many commands at
 * once should succeed, later.
 */
const RATE_LIMIT_BUDGET_MS = 60_000;

export interface Context {
  io: Io;
  settings: Settings;
  client: HoldfastClient;
  /**
   * A client that sends stdin to a job: it waits for as long as the job does not read, and for an
   * outage of `outageMs`.
   */
  inputClient(outageMs: number): HoldfastClient;
  json: boolean;
  quiet: boolean;
  paint: Paint;
  status: StatusLine;
}

export type PaintColour = 'green' | 'red' | 'yellow' | 'cyan' | 'dim';
export type Paint = (colour: PaintColour, text: string) => string;

const CODES: Readonly<Record<PaintColour, number>> = { green: 32, red: 31, yellow: 33, cyan: 36, dim: 2 };

export function createContext(io: Io, settings: Settings, flags: Flags): Context {
  const colour = io.stdout.isTty && flags.color !== false && !io.env.NO_COLOR && io.env.TERM !== 'dumb';
  const quiet = flags.quiet === true;
  let reported = false;
  const onRetry = (error: HoldfastError) => {
    if (!reported) void printNote({ io, quiet }, `${error.message}; trying again`);
    reported = true;
  };
  const fetchThere = egressFetch as typeof fetch;
  return {
    io,
    settings,
    inputClient: (outageMs) =>
      createClient({
        ...settings,
        fetch: fetchThere,
        retryBudgetMs: outageMs,
        rateLimitBudgetMs: Number.POSITIVE_INFINITY,
      }),
    client: createClient({
      ...settings,
      fetch: fetchThere,
      retryBudgetMs: RETRY_BUDGET_MS,
      rateLimitBudgetMs: RATE_LIMIT_BUDGET_MS,
      onRetry,
    }),
    json: flags.json === true,
    quiet,
    status: new StatusLine(io.stdout, io.stderr, !quiet && io.env.TERM !== 'dumb'),
    paint: (name, text) => (colour ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text),
  };
}

/** For people, on stderr; not for programs. Parts of it are untrusted text. */
export async function printNote({ io, quiet }: Pick<Context, 'io' | 'quiet'>, text: string): Promise<void> {
  if (!quiet) await io.stderr.write(`holdfast: ${escapeControls(text)}\n`);
}

export async function printJson({ io }: Pick<Context, 'io'>, value: unknown): Promise<void> {
  await io.stdout.write(`${jsonText(value, io.stdout)}\n`);
}

export function openStream(
  context: Context,
  { session, execution }: Reference,
  options: Pick<
    SessionStreamOptions,
    'after' | 'from' | 'generation' | 'types' | 'signal' | 'onControl' | 'onState' | 'giveUpAfterMs'
  >,
): SessionStream {
  // One notice per outage, and none for one that the first retry repairs. A terminal shows it in
  // its status line, which disappears by itself.
  let reported = false;
  return connectSession({
    ...context.settings,
    session,
    execution,
    connect: connectWithWs,
    onState: (state) => {
      if (context.status.enabled) {
        if (state.status === 'reconnecting' && state.attempt > 1)
          context.status.set('connection', `holdfast: ${outageText(context, state)}`);
        else if (state.status !== 'connecting' && state.status !== 'reconnecting') context.status.set('connection', '');
        return;
      }
      if (state.status === 'reconnecting' && state.attempt > 1 && !reported) {
        reported = true;
        void printNote(context, `the connection to ${context.settings.url} is down (${state.reason}); trying again`);
      }
      if (state.status === 'live' && reported) {
        reported = false;
        void printNote(context, 'connected again');
      }
    },
    ...options,
  });
}

export const outageText = ({ settings }: Context, { reason, attempt }: { reason: string; attempt: number }): string =>
  `the connection to ${settings.url} is down (${reason}); attempt ${attempt} to come back`;
