/** Small hooks of this folder. */

import { type Dispatch, type StateUpdater, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ExecutionFeed } from './feed.ts';
import type { FeedSnapshot } from './feed-types.ts';

/** A text that is being written, and how it changes. */
export type Draft = readonly [string, Dispatch<StateUpdater<string>>];

/**
 * The feed's latest snapshot, rendered at most once a frame: a replay changes it thousands of
 * times.
 */
export function useSnapshot(feed: ExecutionFeed): FeedSnapshot {
  const [snapshot, setSnapshot] = useState(feed.snapshot);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const render = () => {
      timer = null;
      setSnapshot(feed.snapshot);
    };
    // Not requestAnimationFrame: it does not run in a background page, whose title and live region
    // must still be right.
    const leave = feed.subscribe(() => {
      timer ??= setTimeout(render, 16);
    });
    render();
    return () => {
      leave();
      if (timer !== null) clearTimeout(timer);
    };
  }, [feed]);
  return snapshot;
}

/** A task that the page runs for a person: at most one at a time, cancelled with the page. */
export interface Task {
  readonly busy: boolean;
  readonly error: unknown;
  run(work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  cancel(): void;
  clear(): void;
}

export function useTask(): Task {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: null });
  const current = useRef<AbortController | null>(null);
  useEffect(() => () => current.current?.abort(), []);
  return useMemo(
    () => ({
      ...state,
      async run(work) {
        if (current.current) return;
        const control = new AbortController();
        current.current = control;
        setState({ busy: true, error: null });
        let error: unknown = null;
        try {
          await work(control.signal);
        } catch (thrown) {
          if (!control.signal.aborted) error = thrown ?? new Error('unknown');
        }
        if (current.current !== control) return;
        current.current = null;
        setState({ busy: false, error });
      },
      cancel() {
        current.current?.abort();
        current.current = null;
        setState({ busy: false, error: null });
      },
      clear() {
        setState((now) => ({ ...now, error: null }));
      },
    }),
    [state],
  );
}

/** Stored in the browser; without storage the default applies each time. */
export function useStoredState(name: string, fallback: string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => {
    try {
      return localStorage.getItem(name) ?? fallback;
    } catch {
      return fallback;
    }
  });
  return [
    value,
    (next) => {
      setValue(next);
      try {
        localStorage.setItem(name, next);
      } catch {
        // Private windows may refuse.
      }
    },
  ];
}
