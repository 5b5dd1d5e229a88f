import type { Status } from '../../../protocol/index.ts';
import { useNow } from './ticker.ts';
import { formatWholeSeconds } from './time.ts';

export interface StatusBadgeProps {
  status: Status;
  /** For a running one: whether its wrapper is connected. Default: true. */
  connected?: boolean | undefined;
  /** For a pending one: it waits for a runner. */
  waiting?: boolean | undefined;
  /** For a running one: its agent waits for an answer. */
  asking?: boolean | undefined;
  /** For a disconnected one: when it fails without a reconnect. */
  graceUntil?: number | undefined;
}

export type StatusKind = Status | 'waiting' | 'disconnected' | 'asking';

const WORDS: Readonly<Record<StatusKind, string>> = {
  queued: 'Queued',
  waiting: 'Waiting',
  pending: 'Preparing',
  running: 'Running',
  disconnected: 'Disconnected',
  asking: 'Waits for you',
  completed: 'Completed',
  failed: 'Failed',
  interrupted: 'Interrupted',
};

export function statusKind(status: Status, connected?: boolean, waiting?: boolean, asking?: boolean): StatusKind {
  if (status === 'pending' && waiting === true) return 'waiting';
  if (status !== 'running') return status;
  return connected === false ? 'disconnected' : asking === true ? 'asking' : status;
}

export const statusLabel = (kind: StatusKind): string => WORDS[kind];

/** Shape and text state it, too, not the colour alone. */
export function StatusBadge({ status, connected, waiting, asking, graceUntil }: StatusBadgeProps) {
  const kind = statusKind(status, connected, waiting, asking);
  const counts = kind === 'disconnected' && graceUntil !== undefined;
  const now = useNow(counts);
  const left = counts ? graceUntil - now : 0;
  return (
    <span
      class="status"
      data-status={kind}
      title={counts ? 'The wrapper is gone. If it does not return in time, the execution fails.' : undefined}
    >
      <StatusMark kind={kind} />
      {WORDS[kind]}
      {counts && left > 0 ? <span class="status-extra num"> {formatWholeSeconds(left)}</span> : null}
    </span>
  );
}

const MARKS: Readonly<Record<StatusKind, string>> = {
  queued: 'M8 3.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6',
  waiting: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3',
  pending: 'M8 3.2a4.8 4.8 0 1 0 4.8 4.8',
  running: 'M8 3.2a4.8 4.8 0 1 0 4.8 4.8',
  disconnected: 'M8 2.5 14 13H2zM8 6.5v3M8 11.2v.1',
  asking: 'M5 6a3 3 0 1 1 4.4 2.7C8.4 9.2 8 9.7 8 10.4M8 13v.1',
  completed: 'm3.5 8.4 3 3 6-6.6',
  failed: 'm4.2 4.2 7.6 7.6M11.8 4.2l-7.6 7.6',
  interrupted: 'M4.5 4.5h7v7h-7z',
};

function StatusMark({ kind }: { kind: StatusKind }) {
  return (
    <svg class="status-mark" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" focusable="false">
      <path d={MARKS[kind]} fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
