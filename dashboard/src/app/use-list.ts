/**
 * A list on the page: read, refreshed while the page is visible, extended on demand. The client
 * keeps what it has loaded, for the way back.
 */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type HoldfastClient, HoldfastError } from '../../../client/index.ts';
import { backoffDelayMs } from '../../../protocol/index.ts';
import {
  extended,
  firstPage,
  type ListOf,
  type ListPage,
  type ListState,
  refreshed,
  refreshLimit,
  released,
} from './list-state.ts';

/** Between the end of a refresh and the next. */
const REFRESH_MS = 5_000;
/** The same for a list without active rows (`isQuiet`). */
const REFRESH_QUIET_MS = 20_000;
/** After failed refreshes: doubled each time, up to this. */
const REFRESH_AFTER_FAILURE_MAX_MS = 40_000;

export interface ListSource<T> {
  client: HoldfastClient;
  /** Identifies the list among those of the client. */
  name: string;
  of: ListOf<T>;
  fetchPage(query: { limit?: number; cursor?: string; signal: AbortSignal }): Promise<ListPage<T>>;
  /** Refresh automatically. */
  live: boolean;
  /** Called when a refresh arrives: whether the reader is using the list (M3). */
  isBusy(): boolean;
  /** No row is active, so a change can only come from a new start. */
  isQuiet?(items: readonly T[]): boolean;
}

export interface ListView<T> {
  /** Null until the first page is loaded. */
  list: ListState<T> | null;
  /** Why the latest refresh failed; null when it succeeded. */
  error: HoldfastError | null;
  older: 'idle' | 'loading' | HoldfastError;
  refreshing: boolean;
  refresh(): void;
  loadOlder(): void;
  /** Applies the held changes. */
  release(): void;
}

interface Shown<T> {
  client: HoldfastClient;
  name: string;
  list: ListState<T> | null;
}

const kept = new WeakMap<HoldfastClient, Map<string, ListState<unknown>>>();

function keptOf<T>(client: HoldfastClient): Map<string, ListState<T>> {
  const lists = kept.get(client) ?? new Map<string, ListState<unknown>>();
  kept.set(client, lists);
  return lists as Map<string, ListState<T>>;
}

export const asHoldfastError = (error: unknown): HoldfastError =>
  error instanceof HoldfastError
    ? error
    : new HoldfastError({
        code: 'internal',
        message: error instanceof Error ? error.message : String(error),
        retryable: true,
        status: 0,
      });

export function useList<T>(source: ListSource<T>): ListView<T> {
  const { client, name, live } = source;
  const latest = useRef(source);
  latest.current = source;
  const [shown, setShown] = useState<Shown<T>>(() => ({ client, name, list: keptOf<T>(client).get(name) ?? null }));
  // When another list is requested, this one must not be shown in between.
  const list = shown.client === client && shown.name === name ? shown.list : (keptOf<T>(client).get(name) ?? null);
  const current = useRef(list);
  const [error, setError] = useState<HoldfastError | null>(null);
  const [older, setOlder] = useState<ListView<T>['older']>('idle');
  const [refreshing, setRefreshing] = useState(false);
  const refreshNow = useRef<() => void>(() => {});
  const olderAbort = useRef<AbortController | null>(null);

  const put = useCallback(
    (next: ListState<T>): void => {
      current.current = next;
      keptOf<T>(client).set(name, next);
      setShown({ client, name, list: next });
    },
    [client, name],
  );

  useEffect(() => {
    const known = keptOf<T>(client).get(name) ?? null;
    current.current = known;
    setShown({ client, name, list: known });
    setError(null);
    setOlder('idle');
    return () => olderAbort.current?.abort();
  }, [client, name]);

  useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    let timer: ReturnType<typeof setTimeout> | null = null;
    let busy = false;
    let failures = 0;

    const plan = (): void => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      // A list that is not loaded yet is retried whether or not it is live.
      if (signal.aborted || document.visibilityState === 'hidden' || (!live && current.current !== null)) return;
      const quiet = current.current !== null && latest.current.isQuiet?.(current.current.items) === true;
      const curve = { baseMs: quiet ? REFRESH_QUIET_MS : REFRESH_MS, capMs: REFRESH_AFTER_FAILURE_MAX_MS };
      timer = setTimeout(() => void refresh(false), backoffDelayMs(failures, curve));
    };

    const refresh = async (asked: boolean): Promise<void> => {
      if (busy) return;
      busy = true;
      if (asked) setRefreshing(true);
      const { fetchPage, of, isBusy } = latest.current;
      try {
        const before = current.current;
        const page = await fetchPage({ signal, ...(before ? { limit: refreshLimit(before.items.length) } : {}) });
        if (signal.aborted) return;
        const state = current.current;
        put(state ? refreshed(state, page, of, !asked && isBusy()) : firstPage(page));
        setError(null);
        failures = 0;
      } catch (reason) {
        if (signal.aborted) return;
        failures += 1;
        setError(asHoldfastError(reason));
      } finally {
        busy = false;
        if (!signal.aborted) {
          setRefreshing(false);
          plan();
        }
      }
    };

    const onVisibility = (): void => {
      // Also after an outage: a returning reader sees the current state.
      if (document.visibilityState === 'hidden') plan();
      else if (live || current.current === null) void refresh(false);
    };
    refreshNow.current = () => void refresh(true);
    document.addEventListener('visibilitychange', onVisibility);
    window.addEventListener('online', onVisibility);
    // The kept list is shown at once, and may be old.
    void refresh(false);
    return () => {
      abort.abort();
      if (timer !== null) clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisibility);
      window.removeEventListener('online', onVisibility);
    };
  }, [live, put]);

  const loadOlder = useCallback(async (): Promise<void> => {
    const cursor = current.current?.next;
    if (!cursor) return;
    olderAbort.current?.abort();
    const abort = new AbortController();
    olderAbort.current = abort;
    setOlder('loading');
    try {
      const page = await latest.current.fetchPage({ cursor, signal: abort.signal });
      if (abort.signal.aborted) return;
      if (current.current) put(extended(current.current, page, cursor, latest.current.of));
      setOlder('idle');
    } catch (reason) {
      if (!abort.signal.aborted) setOlder(asHoldfastError(reason));
    }
  }, [put]);

  return {
    list,
    error,
    older,
    refreshing,
    refresh: useCallback(() => refreshNow.current(), []),
    loadOlder: useCallback(() => void loadOlder(), [loadOlder]),
    release: useCallback(() => {
      if (current.current) put(released(current.current));
    }, [put]),
  };
}
