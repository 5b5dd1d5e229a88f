/**
 * A stream and the page it lives in: what the page tells, turned into what is done about it.
 *
 * Owns the subscription to the page, which lasts as long as the stream may still connect. What is done is decided in page-lifecycle.
 */

import { type ConnectionFacts, decideOnPage, type PageChange, type PageLifecycle } from './page-lifecycle.ts';

/** The stream's side. */
export interface PagePort {
  /** Null when there is nothing to connect for: the stream is over, or complete and only waiting to be read. */
  facts(): Omit<ConnectionFacts, 'hidden'> | null;
  pause(): void;
  comeBack(): void;
  probe(): void;
}

export class StreamPage {
  readonly #page: PageLifecycle | null;
  readonly #port: PagePort;
  readonly #staleMs: number;
  #leave: (() => void) | null = null;

  constructor(page: PageLifecycle | null, port: PagePort, staleMs: number) {
    this.#page = page;
    this.#port = port;
    this.#staleMs = staleMs;
  }

  get hidden(): boolean {
    return this.#page?.hidden ?? false;
  }

  watch(): void {
    this.#leave ??= this.#page?.onChange((change) => this.#onChange(change)) ?? null;
  }

  leave(): void {
    this.#leave?.();
    this.#leave = null;
  }

  #onChange(change: PageChange): void {
    const facts = this.#port.facts();
    if (!facts) return;
    const action = decideOnPage(change, { ...facts, hidden: this.hidden }, this.#staleMs);
    if (action !== 'none') this.#port[action]();
  }
}
