/** Launcher `runner`: asks a `holdfast-wrapper serve` over HTTP to start a wrapper. Idempotent there by execution id, so asking twice is safe. */

import { retryAfterMs } from '../../protocol/index.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import { messageOf } from '../log.ts';

export interface LaunchRequest {
  id: string;
  tenant: string;
  session: string;
  command: string[];
  cwd?: string;
  env?: Record<string, string>;
  stdin?: string;
  openStdin: boolean;
  format: string;
  traceparent?: string;
  ingest: { url: string; token: string };
}

export async function launchOnRunner(
  runner: { url: string; token: string },
  request: LaunchRequest,
  now: number,
): Promise<LaunchOutcome> {
  try {
    const response = await fetch(`${runner.url.replace(/\/+$/, '')}/executions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${runner.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(LAUNCH_TIMEOUT_MS),
    });
    const answer = await response.text();
    if (response.ok && !endedBefore(answer)) return { kind: 'launched' };
    if (response.ok)
      return {
        kind: 'refused',
        message: 'the runner had started this execution before, and its wrapper has ended without connecting',
      };
    const message = `the runner answered ${response.status}: ${detailOf(answer)}`;
    if (response.status === 429) return { kind: 'saturated', retryAfterMs: retryAfterMs(response.headers.get('retry-after'), now) };
    return response.status >= 400 && response.status < 500 && response.status !== 408
      ? { kind: 'refused', message }
      : { kind: 'failed', message };
  } catch (error) {
    return { kind: 'failed', message: `the runner could not be reached: ${messageOf(error)}` };
  }
}

/** A repeated launch may find a run whose wrapper is gone already. Nothing will connect then, so there is nothing to wait for. */
function endedBefore(answer: string): boolean {
  try {
    const { state } = JSON.parse(answer) as { state?: unknown };
    return state === 'finished' || state === 'abandoned';
  } catch {
    return false;
  }
}

function detailOf(answer: string): string {
  try {
    const { detail, title } = JSON.parse(answer) as { detail?: unknown; title?: unknown };
    return String(detail ?? title ?? 'no reason given').slice(0, 500);
  } catch {
    return answer.slice(0, 200) || 'no reason given';
  }
}
