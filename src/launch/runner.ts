/**
 * Launcher `runner`: asks a `holdfast-wrapper serve` over HTTP to start a wrapper. The runner is
 * idempotent by execution id, so a retry is safe.
 *
 * The request carries the job's env and stdin, the runner's token and the ingest token. It goes to
 * the configured address only: redirects are not followed, and it is encrypted unless the address
 * is loopback (HTTP30).
 */

import { retryAfterMs } from '../../protocol/index.ts';
import { isLoopbackHost } from '../../protocol/ip-address.ts';
import { isEndedRun, type LaunchRequest, readProblemReason } from '../../protocol/launch.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import { errorMessage } from '../platform/log.ts';
import { withTimeLimit } from '../platform/time-limit.ts';

/** How a runner is reached: over the network, or through the port of a container. */
export type SendToRunner = (url: string, init: RequestInit) => Promise<Response>;

const overNetwork: SendToRunner = (url, init) => fetch(url, init);

/**
 * Why a launch may not be sent to this address; null when it may. Not used for containers, whose
 * port is reached without a network.
 */
export function checkRunnerUrl(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'https:') return null;
  if (url?.protocol === 'http:' && isLoopbackHost(url.hostname)) return null;
  return 'HOLDFAST_RUNNER_URL must begin with https:// (http:// is for loopback only): a launch carries env, stdin and tokens';
}

export async function launchOnRunner(
  runner: { url: string; token: string },
  request: LaunchRequest,
  now: number,
  { send = overNetwork, timeoutMs = LAUNCH_TIMEOUT_MS }: { send?: SendToRunner; timeoutMs?: number } = {},
): Promise<LaunchOutcome> {
  try {
    const { response, answer } = await withTimeLimit(timeoutMs, async (signal) => {
      const given = await send(`${runner.url.replace(/\/+$/, '')}/executions`, {
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
        message: `the runner's address answered ${response.status}, a redirect, which is not followed: a launch carries env, stdin and tokens. Set HOLDFAST_RUNNER_URL to the runner itself`,
      };
    }
    const message = `the runner answered ${response.status}: ${withoutSecrets(readProblemReason(answer), runner.token, request)}`;
    const retryAfter = response.headers.get('retry-after');
    // A runner that is stopping says when to retry. Its successor at that address gets the retry.
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
 * The reason becomes the execution's error, which every reader sees. The runner does not echo its
 * input, but a proxy in front of it may answer with the whole request (HTTP20). Secrets are
 * replaced before the text is cut, so no part of a secret remains.
 */
function withoutSecrets(text: string, runnerToken: string, { env = {}, stdin, ingest }: LaunchRequest): string {
  const given = [runnerToken, ingest.token, (stdin ?? '').trim(), ...Object.values(env)];
  const secrets = given.filter(({ length }) => length >= SECRET_CHARS_MIN).flatMap((value) => [value, asJson(value)]);
  // The longest first: a secret may be a prefix of another.
  const whole = secrets.sort((a, b) => b.length - a.length).reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text);
  return whole.slice(0, DETAIL_CHARS_MAX);
}

const asJson = (value: string): string => JSON.stringify(value).slice(1, -1);
