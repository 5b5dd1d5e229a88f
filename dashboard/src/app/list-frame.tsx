/**
 * The frame of both lists around their rows: filter, live switch, refresh, older pages, and the
 * states without rows.
 */

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { isStatus, STATUSES, type Status } from '../../../protocol/index.ts';
import { Button, formatCount, Icon, statusLabel } from '../ui/index.ts';
import { callFailureText } from './access.ts';
import { type QueryChange, useApp } from './context.ts';
import { heldCount, type ListOf } from './list-state.ts';
import type { ListView } from './use-list.ts';

/** The status that the URL asks for; an unknown word means all. */
export function statusOf(query: URLSearchParams): Status | null {
  const asked = query.get('status');
  return isStatus(asked) ? asked : null;
}

/**
 * Whether the reader is using the list: scrolled into it, or pointing at it until a moment ago
 * (M3).
 */
const POINTING_MS = 2_500;
const SCROLLED_PX = 120;

export function useBusyReader(): { busy(): boolean; onPointerMove(): void } {
  const pointedAt = useRef(Number.NEGATIVE_INFINITY);
  const reader = useRef({
    busy: () => window.scrollY > SCROLLED_PX || performance.now() - pointedAt.current < POINTING_MS,
    onPointerMove: () => {
      pointedAt.current = performance.now();
    },
  });
  return reader.current;
}

export interface ListFrameProps<T> {
  /** The noun for the rows: `sessions`. */
  noun: string;
  columns: readonly string[];
  view: ListView<T>;
  of: ListOf<T>;
  live: boolean;
  onLive(live: boolean): void;
  status: Status | null;
  query: QueryChange;
  /** The count of each status, where it is known. */
  counts?: Readonly<Record<Status, number>> | undefined;
  empty: ComponentChildren;
  onPointerMove(): void;
  row(item: T): ComponentChildren;
}

export function ListFrame<T>({
  noun,
  columns,
  view,
  of,
  live,
  onLive,
  status,
  query,
  counts,
  empty,
  onPointerMove,
  row,
}: ListFrameProps<T>) {
  const { registerKeys, navigate } = useApp();
  const root = useRef<HTMLDivElement>(null);
  const { list, error, older, refreshing } = view;
  useListKeys(root, view.refresh);
  const waiting = list ? heldCount(list, of) : 0;
  const shown = list?.items.length ?? 0;

  const release = (): void => {
    window.scrollTo(0, 0);
    view.release();
  };
  useEffect(
    () => registerKeys([{ keys: ['l'], label: 'Live refresh on or off', run: () => onLive(!live) }]),
    [registerKeys, onLive, live],
  );

  return (
    <div class="list" data-of={noun} ref={root}>
      <div class="list-bar">
        <nav class="filter" aria-label={`Which ${noun}`}>
          {[null, ...STATUSES].map((choice) => {
            const href = choice === null ? window.location.pathname : `?status=${choice}`;
            return (
              <a
                key={choice ?? 'all'}
                href={href}
                class="filter-choice"
                aria-current={choice === status ? 'true' : undefined}
                onClick={(event) => {
                  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
                  event.preventDefault();
                  query({ status: choice });
                }}
              >
                {choice === null ? 'All' : statusLabel(choice)}
                {counts && choice !== null && counts[choice] > 0 ? (
                  <span class="filter-count num">{formatCount(counts[choice])}</span>
                ) : null}
              </a>
            );
          })}
        </nav>
        <div class="list-tools">
          <Button size="small" kind="ghost" pressed={live} icon={live ? 'play' : 'pause'} onClick={() => onLive(!live)}>
            Live
          </Button>
          <Button size="small" kind="ghost" icon="refresh" aria-label="Refresh (r)" disabled={refreshing} onClick={view.refresh} />
        </div>
      </div>
      {error && list ? (
        <p class="notice" data-kind="warn" role="status">
          <Icon name="warning" />
          <span>This list could not be refreshed: {callFailureText(error)}. What you see may be old.</span>
          <Button size="small" onClick={view.refresh}>
            Try again
          </Button>
        </p>
      ) : null}
      {waiting > 0 ? (
        <div class="held">
          <Button size="small" kind="primary" icon="arrow-up" onClick={release}>
            {`${formatCount(waiting)} newer`}
          </Button>
        </div>
      ) : null}
      {shown > 0 ? (
        <>
          <div class="row row-head" aria-hidden="true">
            {columns.map((name) => (
              <span key={name}>{name}</span>
            ))}
          </div>
          <ol class="rows" aria-label={noun} onPointerMove={onPointerMove}>
            {list?.items.map((item) => row(item))}
          </ol>
        </>
      ) : (
        <div class="list-empty">
          {list ? (
            status === null ? (
              empty
            ) : (
              <>
                <p>
                  No {noun} are {statusLabel(status).toLowerCase()}.
                </p>
                <Button onClick={() => navigate(window.location.pathname)}>Show all</Button>
              </>
            )
          ) : error ? (
            <>
              <p class="list-failed">
                <Icon name="warning" />
                <span>
                  The {noun} could not be loaded: {callFailureText(error)}.
                </span>
              </p>
              <Button onClick={view.refresh} disabled={refreshing}>
                {refreshing ? 'Trying …' : 'Try again'}
              </Button>
            </>
          ) : (
            <p class="muted appear-late">Loading …</p>
          )}
        </div>
      )}
      {list?.next ? (
        <div class="list-more">
          <Button onClick={view.loadOlder} disabled={older === 'loading'}>
            {older === 'loading' ? 'Loading …' : 'Load more'}
          </Button>
          {older !== 'idle' && older !== 'loading' ? (
            <p class="field-error">Could not load more: {callFailureText(older)}.</p>
          ) : null}
        </div>
      ) : shown > 0 ? (
        <p class="list-end muted">
          {formatCount(shown)} {shown === 1 ? noun.replace(/s$/, '') : noun}
        </p>
      ) : null}
    </div>
  );
}

/**
 * j and k move the focus from row to row; Enter then follows the link. A row keeps the focus when
 * it moves.
 */
export function useListKeys(root: { current: HTMLDivElement | null }, refresh: () => void, links = '.row-link'): void {
  const { registerKeys } = useApp();
  useLayoutEffect(() => {
    const step = (by: 1 | -1): void => {
      const all = [...(root.current?.querySelectorAll<HTMLElement>(links) ?? [])];
      const at = all.indexOf(document.activeElement as HTMLElement);
      const next = at < 0 ? (by === 1 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
      all[next]?.focus();
      all[next]?.scrollIntoView({ block: 'nearest' });
    };
    return registerKeys([
      { keys: ['j'], label: 'Next row', run: () => step(1) },
      { keys: ['k'], label: 'Previous row', run: () => step(-1) },
      { keys: ['r'], label: 'Refresh', run: refresh },
    ]);
  }, [registerKeys, root, refresh, links]);
}
