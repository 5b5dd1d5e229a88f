/** Errors for a person: what happened, and what to do next. */

import { HoldfastError, StreamFailure } from '../client/index.ts';
import { describeConnectionFailure } from '../protocol/index.ts';
import { isLoopbackHost } from '../protocol/ip-address.ts';
import { formatReference, type Reference } from './settings.ts';

export interface Explanation {
  code: string;
  message: string;
  /** The next step, if there is one. */
  hint?: string;
  requestId?: string;
}

export interface ErrorContext {
  url: string;
  /** The subject of the command. */
  reference?: Reference | { session: string };
}

export function explain(error: unknown, { url, reference }: ErrorContext): Explanation {
  if (error instanceof StreamFailure)
    return withHint({ code: error.code, message: streamMessage(error, url, reference) }, streamHint(error.code, url, reference));
  if (error instanceof HoldfastError) {
    const { code, requestId, facts } = error;
    // The client returns only the code; here the cause becomes text.
    const message =
      code === 'unreachable' && error.cause !== undefined
        ? `could not reach ${url}: ${describeConnectionFailure(error.cause)}`
        : error.message;
    return withHint({ code, message, ...(requestId ? { requestId } : {}) }, hintFor(code, facts, url, reference));
  }
  return { code: 'unexpected', message: error instanceof Error ? error.message : String(error) };
}

type Subject = ErrorContext['reference'];

/** A stream failed with this because its session was deleted, or created again under its name. */
export const isSessionDeleted = (code: string): boolean => ['not_found', 'session_not_found', 'log_replaced'].includes(code);

const isOnLoopback = (url: string): boolean => URL.canParse(url) && isLoopbackHost(new URL(url).hostname);

/** The reason of a close is a code for programs; here it becomes a sentence. */
function streamMessage({ code, reason }: StreamFailure, url: string, reference: Subject): string {
  switch (code) {
    case 'not_found':
    case 'session_not_found':
      return `session ${reference?.session ?? ''} was deleted, and its runs were stopped`;
    case 'log_replaced':
      return `session ${reference?.session ?? ''} was deleted and created again: its old log is gone, and it has another one now`;
    case 'unreachable':
      return `no connection to ${url} for too long (--give-up-after): ${reason}`;
    case 'unauthorized':
      return `the coordinator no longer takes this API key: ${reason}`;
    default:
      return reason;
  }
}

const streamHint = (code: string, url: string, reference: Subject): string | undefined =>
  isSessionDeleted(code) && code !== 'log_replaced' ? 'list the sessions: holdfast list' : hintFor(code, {}, url, reference);

const withHint = (explanation: Explanation, hint: string | undefined): Explanation =>
  hint ? { ...explanation, hint } : explanation;

function hintFor(
  code: string,
  facts: Record<string, unknown>,
  url: string,
  reference: Reference | { session: string } | undefined,
): string | undefined {
  switch (code) {
    case 'unreachable':
    case 'timeout':
      return isOnLoopback(url)
        ? `is a coordinator running at ${url}? Set HOLDFAST_URL or --url, or start one here with \`holdfast dev\``
        : `is ${url} right (HOLDFAST_URL, --url), and can this machine reach it? Check HTTPS_PROXY and NO_PROXY (docs/network.md)`;
    case 'bad_answer':
      return `${url} does not answer like a Holdfast deployment: check HOLDFAST_URL or --url`;
    case 'unauthorized':
      return `the coordinator does not know this API key: check HOLDFAST_API_KEY or --api-key`;
    case 'not_configured':
      return 'the deployment has no keys yet: set its secrets HOLDFAST_API_KEYS (tenant=key) and HOLDFAST_SIGNING_KEYS with `wrangler secret put`';
    case 'execution_in_progress': {
      const active =
        typeof facts.activeExecutionId === 'string' && reference ? `${reference.session}/${facts.activeExecutionId}` : null;
      return `queue behind it with --queue${active ? `, or follow it: holdfast logs -f ${active}` : ''}`;
    }
    case 'execution_id_conflict':
      return 'give another --id, or leave it out';
    case 'queue_full':
      return 'too many runs wait in this session: wait for one to end, or use another --session';
    case 'session_full':
      return 'a session takes a limited number of runs: use another --session, or delete this one';
    case 'storage_full':
      return 'the session has no space for another log: use another --session, a smaller --max-log, or delete this one';
    case 'input_full':
      return 'the job has not read the earlier input: send the rest later, or check that its wrapper is connected: holdfast get';
    case 'rate_limited':
      return 'too many requests in a few seconds, by all who use the same deployment and tenant: try again later';
    case 'pool_not_found':
      return 'a pool is made by its first key: holdfast runners key create --pool NAME; see the pools: holdfast runners';
    case 'key_not_found':
      return 'list the keys: holdfast runners key list';
    case 'runner_not_found':
      return 'list the runners: holdfast runners list';
    case 'runner_connected':
      return 'drain it first: holdfast runners drain RUNNER; it leaves when its runs have ended';
    case 'session_not_found':
      return 'list the sessions: holdfast list';
    case 'not_found':
    case 'execution_not_found':
      return reference && 'execution' in reference
        ? `list its runs: holdfast list --session ${reference.session}`
        : 'give a session: --session or HOLDFAST_SESSION';
    case 'stdin_closed':
      return 'a job takes input only when it was started for it (holdfast run --open-stdin), and until its stdin is ended';
    case 'wrapper_too_old':
      return 'upgrade the runner, the image or the wrapper; until then, `holdfast send` with a text works, and `run --no-stdin` starts the job without stdin';
    case 'not_a_terminal':
      return 'start it with a terminal: holdfast run -t';
    case 'not_asking':
      return 'see what it asks, if it does: holdfast get';
    case 'already_answered':
      return 'nothing is left to do: the first answer counts';
    case 'not_running':
      return 'a job takes input only while it runs: see its status with holdfast get';
    case 'offset_ahead':
      return 'the log does not go that far: leave --after out, or use --tail';
    case 'log_replaced':
      return reference && 'execution' in reference
        ? `read the new log from its beginning: holdfast logs ${formatReference(reference)}`
        : 'read the new log from its beginning';
    case 'offset_expired':
      return 'the log no longer goes back that far: leave --after out';
    default:
      return undefined;
  }
}
