/**
 * Asks the runner in a container over HTTP to start a wrapper. The runner is idempotent by execution
 * id, so a retry is safe.
 *
 * The request carries the job's env and stdin, the runner's token and the ingest token. It goes to
 * the port of the container only: redirects are not followed (HTTP30).
 */

import { retryAfterMs } from '../../protocol/index.ts';
import { isEndedRun, type LaunchRequest, readProblemReason } from '../../protocol/launch.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import { errorMessage } from '../platform/log.ts';
import { withTimeLimit } from '../platform/time-limit.ts';

/** Through the port of a container, without a network. */
export type SendToRunner = (url: string, init: RequestInit) => Promise<Response>;

export interface ReachedRunner {
  url: string;
  token: string;
  send: SendToRunner;
}

export async function launchOnRunner(
  runner: ReachedRunner,
  request: LaunchRequest,
  now: number,
  timeoutMs = LAUNCH_TIMEOUT_MS,
): Promise<LaunchOutcome> {
  try {
    const { response, answer } = await withTimeLimit(timeoutMs, async (signal) => {
      const given = await runner.send(`${runner.url}/executions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${runner.token}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
        redirect: 'manual',
        signal,
      });
      return { response: given, answer: await given.text() };
    });
    if (response.ok && !isEndedRun(answer)) return { kind: 'launched' };
    if (response.ok)
      return {
        kind: 'refused',
        message: 'the runner had started this execution before, and its wrapper has ended without connecting',
      };
    if (response.status >= 300 && response.status < 400) {
      return {
        kind: 'failed',
        message: `the runner's port answered ${response.status}, a redirect, which is not followed: a launch carries env, stdin and tokens. The image must run \`holdfast-wrapper serve\` on this port`,
      };
    }
    const message = `the runner answered ${response.status}: ${withoutSecrets(readProblemReason(answer), runner.token, request)}`;
    const retryAfter = response.headers.get('retry-after');
    // A runner that is stopping says when to retry. The next container gets the retry.
    if (response.status === 429 || (response.status === 503 && retryAfter !== null))
      return { kind: 'saturated', retryAfterMs: retryAfterMs(retryAfter, now) };
    return response.status >= 400 && response.status < 500 && response.status !== 408
      ? { kind: 'refused', message }
      : { kind: 'failed', message };
  } catch (error) {
    return { kind: 'failed', message: `the runner could not be reached: ${errorMessage(error)}` };
  }
}

/** Longest part of a runner's answer that becomes part of the execution's error. */
const DETAIL_CHARS_MAX = 500;

/** Shorter values are ordinary words. The wrapper's redaction uses the same number. */
const SECRET_CHARS_MIN = 6;

/**
 * The reason becomes the execution's error, which every reader sees. Our runner does not echo its
 * input, but another program of the image may answer on its port (HTTP20). Secrets are replaced before the text is cut, so no part of a secret remains.
 */
function withoutSecrets(text: string, runnerToken: string, { env = {}, stdin, ingest }: LaunchRequest): string {
  const given = [runnerToken, ingest.token, (stdin ?? '').trim(), ...Object.values(env)];
  const secrets = given.filter(({ length }) => length >= SECRET_CHARS_MIN).flatMap((value) => [value, asJson(value)]);
  // The longest first: a secret may be a prefix of another.
  const whole = secrets.sort((a, b) => b.length - a.length).reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text);
  return whole.slice(0, DETAIL_CHARS_MAX);
}

const asJson = (value: string): string => JSON.stringify(value).slice(1, -1);
