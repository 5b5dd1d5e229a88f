/**
 * The page that a stream lives in: hidden or visible, frozen and restored, online or offline. An
 * interface, so that nothing here needs a DOM.
 *
 * A phone that puts a page to sleep kills its sockets without a close. A page that returns from the
 * back/forward cache may get no event but `pageshow`.
 *
 * P1  A hidden page makes no attempt, and has no timer that waits for one. It keeps a sound
 *     connection.
 * P2  A page that comes back connects at once. A connection that may have died meanwhile has to
 *     answer a ping; a fresh one does not.
 * P3  Several signals of one return (`visible`, `restored` and `online` mostly arrive together)
 *     make one connection.
 * P4  `offline` is a hint to check, never a fact: browsers report it wrongly in both directions.
 */

import { callSafely } from './call-safely.ts';

/** `restored`: from the back/forward cache, or thawed. */
export type PageChange = 'hidden' | 'visible' | 'restored' | 'online' | 'offline';

export interface PageLifecycle {
  /** Read on every use. It may be ahead of the last change that was reported. */
  readonly hidden: boolean;
  /** Returns a function that ends the subscription. */
  onChange(listener: (change: PageChange) => void): () => void;
}

/** The connection of a stream when its page changes. */
export interface ConnectionFacts {
  hidden: boolean;
  /** `opening`: an attempt without a hello. */
  link: 'none' | 'opening' | 'open';
  /** Milliseconds since the last message, or since the attempt began. */
  quietMs: number;
}

export type PageAction = 'none' | 'pause' | 'comeBack' | 'probe';

/** For a stream that still wants a connection. */
export function decideOnPage(change: PageChange, { hidden, link, quietMs }: ConnectionFacts, staleMs: number): PageAction {
  if (hidden) return link === 'none' ? 'pause' : 'none'; // P1
  switch (link) {
    case 'none':
      return change === 'offline' ? 'none' : 'comeBack'; // P2, P4
    case 'opening':
      // P3: the first signal began this attempt. An older one may hang, and is replaced.
      return quietMs > staleMs && change !== 'offline' ? 'comeBack' : 'none';
    case 'open':
      // A short look at another tab is no reason to probe. Another network or a long sleep is.
      return change === 'visible' && quietMs <= staleMs ? 'none' : 'probe';
    default:
      return link satisfies never;
  }
}

interface Target {
  addEventListener(type: string, listener: (event: { persisted?: boolean }) => void): void;
  removeEventListener(type: string, listener: (event: { persisted?: boolean }) => void): void;
}

/** The page of this program; null in Node and in Workers. */
export function pageOf(scope: unknown = globalThis): PageLifecycle | null {
  const window = scope as Target & { document?: Target & { visibilityState?: string } };
  const { document } = window;
  if (typeof document?.visibilityState !== 'string') return null;
  if (typeof document.addEventListener !== 'function' || typeof window.addEventListener !== 'function') return null;
  const isHidden = () => document.visibilityState === 'hidden';
  return {
    get hidden() {
      return isHidden();
    },
    onChange(listener) {
      const report = (change: PageChange) => () => callSafely(listener, change);
      const onVisibility = () => callSafely(listener, isHidden() ? 'hidden' : 'visible');
      const onPageShow = ({ persisted }: { persisted?: boolean }) => {
        if (persisted) callSafely(listener, 'restored');
      };
      const sources: [Target, string, (event: { persisted?: boolean }) => void][] = [
        [document, 'visibilitychange', onVisibility],
        [document, 'resume', report('restored')],
        [window, 'pageshow', onPageShow],
        [window, 'online', report('online')],
        [window, 'offline', report('offline')],
      ];
      for (const [target, type, handler] of sources) target.addEventListener(type, handler);
      return () => {
        for (const [target, type, handler] of sources) target.removeEventListener(type, handler);
      };
    },
  };
}
