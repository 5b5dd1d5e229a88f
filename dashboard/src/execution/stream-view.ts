/** The page's own connection as text for a person. Pure: `(state, since, now) → view`. */

import type { StreamState } from '../../../client/index.ts';

export interface StreamView {
  kind: 'connecting' | 'catching-up' | 'live' | 'reconnecting' | 'refreshing' | 'paused' | 'ended' | 'failed' | 'closed';
  tone: 'ok' | 'info' | 'warn' | 'danger' | 'muted';
  label: string;
  /** A counter or detail. Not announced: only a change of `label` is news for a screen reader. */
  detail: string | null;
  /** Whether a Reconnect button is useful. */
  canReconnect: boolean;
}

/** `since`: when this state began. */
export function streamView(state: StreamState | null, since: number, now: number): StreamView {
  if (!state) return view('connecting', 'info', 'Connecting');
  switch (state.status) {
    case 'connecting':
      return {
        ...view('connecting', 'info', 'Connecting', state.attempt > 0 ? `attempt ${state.attempt + 1}` : null),
        canReconnect: state.attempt > 0,
      };
    case 'replaying':
      return view('catching-up', 'info', 'Catching up');
    case 'live':
      return view('live', 'ok', 'Live');
    case 'reconnecting': {
      const left = Math.max(0, Math.ceil((since + state.retryInMs - now) / 1000));
      const when = left > 0 ? `in ${left} s` : 'now';
      return { ...view('reconnecting', 'warn', 'Reconnecting', `attempt ${state.attempt}, ${when}`), canReconnect: true };
    }
    case 'refreshing-credential':
      return view('refreshing', 'info', 'Refreshing the credential');
    case 'ended':
      return view('ended', 'muted', 'Complete', 'the run has ended and all of its log is here');
    case 'closed':
      return view('closed', 'muted', 'Closed');
    case 'failed':
      return { ...view('failed', 'danger', 'Disconnected', failureReason(state.code, state.reason)), canReconnect: true };
    case 'paused':
      return { ...view('paused', 'muted', 'Paused', 'the page is in the background'), canReconnect: true };
    default:
      return state satisfies never;
  }
}

const view = (kind: StreamView['kind'], tone: StreamView['tone'], label: string, detail: string | null = null): StreamView => ({
  kind,
  tone,
  label,
  detail,
  canReconnect: false,
});

export function failureReason(code: string, reason: string): string {
  switch (code) {
    case 'unauthorized':
      return 'the credential was refused or has expired';
    case 'not_found':
    case 'session_not_found':
    case 'execution_not_found':
      return 'this run does not exist any more';
    case 'offset_expired':
      return 'the place where reading stopped is no longer kept';
    case 'log_replaced':
      return 'the session was deleted and created again, and has another log now';
    case 'offset_ahead':
      return 'the log is shorter than what was read of it';
    default:
      return reason || code;
  }
}
