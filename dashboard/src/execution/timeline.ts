/**
 * The timeline of a run: what happened to it, without its output. Entries come from events; times
 * in the execution object replace events that are not loaded. Pure.
 *
 * T1  One entry per offset, in the order of offsets, however an event arrived: live, from older
 *     pages, or from a read of the whole history.
 * T2  Bounded: a job that reports progress every second for a day is one bar, not 86,400 entries.
 */

import { gapText, type LoggedEvent } from '../../../client/index.ts';
import { waitReasonText } from '../../../protocol/index.ts';
import { formatDuration } from '../ui/index.ts';
import { verdictText } from './messages.ts';
import type { Execution } from './model.ts';

export type Tone = 'info' | 'ok' | 'warn' | 'danger' | 'muted';
/** `unknown`: it may be more. */
export interface Lost {
  events: number;
  bytes: number;
  unknown: boolean;
}

export type EntryKind = 'lifecycle' | 'connection' | 'progress' | 'status' | 'error' | 'gap' | 'interrupt' | 'input';

export interface TimelineEntry {
  /** Null for a time that only the execution object has. */
  readonly offset: number | null;
  readonly at: number;
  readonly type: string;
  readonly kind: EntryKind;
  readonly tone: Tone;
  readonly title: string;
  readonly detail: string | null;
  /** Events and bytes that the log reports as missing. */
  readonly lost: Lost | null;
}

export interface Timeline {
  readonly entries: readonly TimelineEntry[];
  /** Omitted entries, all older than the kept ones. */
  readonly dropped: number;
}

export const EMPTY_TIMELINE: Timeline = { entries: [], dropped: 0 };

/** More than anyone reads; the number of dropped entries is shown. */
export const TIMELINE_ENTRIES_MAX = 1000;

/**
 * Types that create an entry: the filter of a read of the whole history. `progress` is shown by the
 * bar.
 */
export const TIMELINE_TYPES = [
  'execution_queued',
  'execution_pending',
  'execution_waiting',
  'execution_assigned',
  'execution_recalled',
  'execution_running',
  'execution_completed',
  'execution_failed',
  'execution_interrupted',
  'wrapper_connected',
  'wrapper_disconnected',
  'wrapper_reconnected',
  'execution_deadline_renewed',
  'interrupt_requested',
  'input',
  'interrupted',
  'started',
  'exit',
  'status',
  'error',
  'gap',
] as const;

export function withEntries(timeline: Timeline, added: readonly TimelineEntry[]): Timeline {
  const { entries } = timeline;
  const last = entries.at(-1)?.offset ?? 0;
  const inOrder = added.every(({ offset }, index) => (offset ?? 0) > (index === 0 ? last : (added[index - 1]?.offset ?? 0)));
  const known = inOrder ? null : new Set(entries.map(({ offset }) => offset));
  const merged = known
    ? [...entries, ...added.filter(({ offset }) => !known.has(offset))].sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0))
    : [...entries, ...added];
  const folded = foldProgress(merged);
  const over = Math.max(0, folded.length - TIMELINE_ENTRIES_MAX);
  return { entries: over > 0 ? folded.slice(over) : folded, dropped: timeline.dropped + over };
}

/** T2: of consecutive progress the latest stands for all. */
function foldProgress(entries: readonly TimelineEntry[]): TimelineEntry[] {
  return entries.filter((entry, index) => !(entry.kind === 'progress' && entries[index + 1]?.kind === 'progress'));
}

/**
 * The times in the execution object that no entry shows yet, in their places. `complete`: every
 * event of the run is in the timeline, so nothing is filled in.
 */
export function timelineOf(timeline: Timeline, execution: Execution): TimelineEntry[] {
  const types = new Set(timeline.entries.map(({ type }) => type));
  const { createdAt, pendingAt, startedAt, endedAt, status } = execution;
  const moments: TimelineEntry[] = [];
  const add = (type: string, at: number | undefined) => {
    if (at === undefined || types.has(type)) return;
    const entry = timelineEntry({ offset: 0, execution: execution.id, type, at, data: verdictData(execution, type) });
    if (entry) moments.push({ ...entry, offset: null });
  };
  // A run that never waited is pending from the moment it was created.
  if (pendingAt === undefined || pendingAt > createdAt) add('execution_queued', createdAt);
  add('execution_pending', pendingAt);
  add('execution_running', startedAt);
  const before = moments;
  const after: TimelineEntry[] = [];
  if (endedAt !== undefined && !types.has(`execution_${status}`)) {
    add(`execution_${status}`, endedAt);
    const last = before.pop();
    if (last) after.push(last);
  }
  // Entries are ordered by offset. Times without one are older than everything loaded, except for
  // the end.
  return [...before, ...timeline.entries, ...after];
}

function verdictData({ code, error, exitCode, signal, reason, forced }: Execution, type: string): Record<string, unknown> {
  return type.startsWith('execution_') ? { code, error, exitCode, signal, reason, forced } : {};
}

/**
 * The entry of an event, or null for output, agent events and types that say nothing about the run
 * as a whole.
 */
export function timelineEntry({ offset, type, at, data }: LoggedEvent): TimelineEntry | null {
  const make = (kind: EntryKind, tone: Tone, title: string, detail: string | null = null): TimelineEntry => ({
    offset,
    at,
    type,
    kind,
    tone,
    title,
    detail,
    lost: null,
  });
  const text = (key: string): string | null => (typeof data[key] === 'string' && data[key] !== '' ? (data[key] as string) : null);
  const number = (key: string): number | null => (typeof data[key] === 'number' ? data[key] : null);

  switch (type) {
    case 'execution_queued': {
      const position = number('position');
      return make('lifecycle', 'muted', 'Queued', position === null ? null : `Position ${position} in the queue`);
    }
    case 'execution_pending':
      return make('lifecycle', 'muted', 'Preparing', text('launcher') === 'none' ? 'Waits for a wrapper to be started' : null);
    case 'execution_running':
      return make('lifecycle', 'info', 'Running');
    case 'execution_completed':
      return make('lifecycle', 'ok', 'Completed', verdictText(data));
    case 'execution_failed':
      return make('lifecycle', 'danger', 'Failed', verdictText(data));
    case 'execution_interrupted':
      return make('lifecycle', 'warn', 'Interrupted', verdictText(data));
    case 'wrapper_connected':
      return make('connection', 'muted', 'Wrapper connected', text('wrapperId'));
    case 'wrapper_disconnected':
      return make(
        'connection',
        'warn',
        'Wrapper disconnected',
        text('wsCloseReason') ?? text('reason')?.replaceAll('_', ' ') ?? null,
      );
    case 'wrapper_reconnected': {
      const lost = number('eventsLost') ?? 0;
      const down = number('downMs');
      const details = [down ? `after ${formatDuration(down)}` : null, lost > 0 ? `${lost} events were lost` : null];
      return make(
        'connection',
        lost > 0 ? 'danger' : 'ok',
        'Wrapper reconnected',
        details.filter((part) => part).join(', ') || null,
      );
    }
    case 'execution_waiting':
      return make('lifecycle', 'muted', 'Waiting for a runner', waitReasonText(data.reason));
    case 'execution_assigned':
      return make('lifecycle', 'muted', 'Assigned', `Runner ${text('name') ?? text('runner') ?? ''}`);
    case 'execution_recalled':
      return make('lifecycle', 'warn', 'Assigned again', text('message'));
    case 'execution_deadline_renewed': {
      const late = number('lateMs');
      return make(
        'connection',
        'info',
        'Deadline renewed',
        late === null ? null : `It passed ${formatDuration(late)} before the coordinator was back`,
      );
    }
    case 'interrupt_requested': {
      const title = data.force === true ? 'Force asked for' : 'Interrupt asked for';
      const cause = text('cause');
      const why = cause === 'runtime' ? 'the time limit was reached' : cause === 'replace' ? 'another run takes its place' : null;
      return make('interrupt', 'warn', title, text('reason') ?? why);
    }
    case 'input': {
      // Keys that are typed into a terminal: an entry each would push everything else out.
      if (data.text === undefined && data.sha256 === undefined && data.secret !== true) return null;
      const bytes = number('bytes') ?? 0;
      const title = data.eof === true && bytes === 0 ? 'Stdin ended' : data.eof === true ? 'Input, and the end of stdin' : 'Input';
      const what = text('text')?.trimEnd() ?? `${bytes} bytes`;
      return make('input', 'muted', title, bytes === 0 ? null : what);
    }
    case 'interrupted':
      return make('interrupt', 'warn', 'The job was stopped', text('reason'));
    case 'started': {
      const pid = number('pid');
      return make('lifecycle', 'info', 'Job started', pid === null ? null : `process ${pid}`);
    }
    case 'exit':
      return make('lifecycle', 'muted', 'Job ended', verdictText(data));
    case 'status': {
      const message = text('message');
      return message === null ? null : make('status', 'info', message);
    }
    case 'error': {
      const message = text('error');
      return make('error', 'danger', message ?? 'An error without a message', text('code'));
    }
    case 'progress': {
      const current = number('current');
      const total = number('total');
      if (current === null) return null;
      return make(
        'progress',
        'info',
        total === null ? `Progress: ${current}` : `Progress: ${current} of ${total}`,
        text('message'),
      );
    }
    case 'gap': {
      const events = number('events') ?? 0;
      const bytes = number('bytes') ?? 0;
      const gap = gapText(data);
      if (gap === null) return null;
      const title = gap.replace(/ \(\d+ bytes\)/, '');
      const unknown = data.unknown === true || gap.includes('unknown');
      return {
        ...make('gap', 'danger', `${title[0]?.toUpperCase()}${title.slice(1)}`, text('reason')),
        lost: { events, bytes, unknown },
      };
    }
    default:
      return null;
  }
}

/** Everything that the timeline knows to be missing. */
export function lostIn({ entries }: Timeline): Lost | null {
  const total: Lost = { events: 0, bytes: 0, unknown: false };
  for (const { lost } of entries) {
    total.events += lost?.events ?? 0;
    total.bytes += lost?.bytes ?? 0;
    total.unknown ||= lost?.unknown ?? false;
  }
  return total.events > 0 || total.bytes > 0 || total.unknown ? total : null;
}
