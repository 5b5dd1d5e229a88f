/**
 * The streams of the hooks: components with the same key share one.
 *
 * Owns the stores by key, the number of holders of each, and the time until an unused one closes.
 *
 * U1  One stream per key, for any number of holders. The first holder opens it; reading a snapshot
 *     does not.
 * U2  It is closed `lingerMs` after the last holder left. A holder that returns earlier finds it
 *     with all its events: React's Strict Mode and hot reloading unmount and mount every component,
 *     and so does a short look at another view.
 */

import type { SessionStream } from '../stream/session-stream.ts';
import { INITIAL_SNAPSHOT, type SessionSnapshot, SessionStore, type StreamHooks } from './session-store.ts';

/** A component is mounted again within a few frames; a user returns within seconds. */
export const LINGER_MS = 2_000;

export const MAX_EVENTS_DEFAULT = 5_000;

/**
 * `source` returns the options of the newest holder. The stream needs their credential function
 * long after it was opened.
 */
export type OpenStream<S> = (source: () => S, hooks: StreamHooks, fresh: boolean) => SessionStream;

interface Entry<S> {
  source: S;
  store: SessionStore;
  holders: number;
  linger: ReturnType<typeof setTimeout> | null;
}

export class StreamRegistry<S extends { maxEvents?: number }> {
  readonly #open: OpenStream<S>;
  readonly #lingerMs: number;
  readonly #entries = new Map<string, Entry<S>>();

  constructor(open: OpenStream<S>, lingerMs = LINGER_MS) {
    this.#open = open;
    this.#lingerMs = lingerMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** U1: opens nothing. */
  snapshot(key: string): SessionSnapshot {
    return this.#entries.get(key)?.store.snapshot ?? INITIAL_SNAPSHOT;
  }

  /** Null when there is no holder. */
  store(key: string): SessionStore | null {
    return this.#entries.get(key)?.store ?? null;
  }

  /** The same options, with newer functions. */
  renew(key: string, source: S): void {
    const entry = this.#entries.get(key);
    if (entry) entry.source = source;
  }

  /**
   * Holds the stream of `key`, and opens it from `source` if there is none. Returns a function that
   * releases it once.
   */
  hold(key: string, source: S, listener: () => void): () => void {
    const entry = this.#entries.get(key) ?? this.#add(key, source);
    if (entry.linger) clearTimeout(entry.linger);
    entry.linger = null;
    entry.holders += 1;
    entry.source = source;
    const unsubscribe = entry.store.subscribe(listener);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      unsubscribe();
      entry.holders -= 1;
      if (entry.holders === 0) entry.linger = setTimeout(() => this.#remove(key, entry), this.#lingerMs); // U2
    };
  }

  #add(key: string, source: S): Entry<S> {
    const newest = { source };
    const store = new SessionStore(
      (hooks, fresh) => this.#open(() => newest.source, hooks, fresh),
      source.maxEvents ?? MAX_EVENTS_DEFAULT,
    );
    const entry: Entry<S> = Object.assign(newest, { store, holders: 0, linger: null });
    this.#entries.set(key, entry);
    return entry;
  }

  #remove(key: string, entry: Entry<S>): void {
    this.#entries.delete(key);
    entry.store.close();
  }
}
