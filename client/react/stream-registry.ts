/**
 * Who is interested in which stream: components that ask for the same get the same one.
 *
 * Owns the stores by key, the number of holders of each, and the time for which one without holders is kept.
 *
 * U1  One stream per key, however many hold it. It is opened with the first holder, never by a mere look at it.
 * U2  It is closed `lingerMs` after the last holder left. Who comes back before finds it with all it has: React's Strict Mode and hot reloading take
 *     every component down and put it up again, and so does going to another view and back.
 */

import type { SessionStream } from '../stream/session-stream.ts';
import { INITIAL_SNAPSHOT, type SessionSnapshot, SessionStore, type StreamHooks } from './session-store.ts';

/** A component that is put up again is there within a few frames; a person who turns back, within seconds. */
export const LINGER_MS = 2_000;

export const MAX_EVENTS_DEFAULT = 5_000;

/** `source` gives what the newest holder asked with: a credential function is needed long after the stream was opened. */
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

  /** Null when nobody holds it. */
  store(key: string): SessionStore | null {
    return this.#entries.get(key)?.store ?? null;
  }

  /** The same asking, with functions that are newer. */
  renew(key: string, source: S): void {
    const entry = this.#entries.get(key);
    if (entry) entry.source = source;
  }

  /** Holds the stream of `key`, opening it from `source` if there is none. Gives a function that lets go of it; calling it twice is once. */
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
    const ask = { source };
    const store = new SessionStore(
      (hooks, fresh) => this.#open(() => ask.source, hooks, fresh),
      source.maxEvents ?? MAX_EVENTS_DEFAULT,
    );
    const entry: Entry<S> = Object.assign(ask, { store, holders: 0, linger: null });
    this.#entries.set(key, entry);
    return entry;
  }

  #remove(key: string, entry: Entry<S>): void {
    this.#entries.delete(key);
    entry.store.close();
  }
}
