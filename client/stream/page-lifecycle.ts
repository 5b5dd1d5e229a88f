/**
 * The page that a stream lives in: hidden or not, frozen and restored, online or not. A port, so that nothing here needs a DOM.
 *
 * A phone that puts a page to sleep kills its sockets without a close, and a page that comes back from the back/forward cache may hear nothing but
 * `pageshow`. So coming back is a reason to look at the connection, and being away is a reason not to spend attempts on one.
 *
 * P1  A hidden page makes no attempt and has no timer waiting to make one. A connection that is sound is left to go on.
 * P2  A page that comes back is connected at once; a connection that may have died meanwhile has to prove that it lives, a fresh one has not.
 * P3  Several signals of one return (`visible`, `restored` and `online` mostly come together) make one connection.
 * P4  `offline` is a hint to look, never a fact: browsers say it wrongly in both directions.
 */

import { guarded } from './listener.ts';

/** `restored`: from the back/forward cache, or thawed. */
export type PageChange = 'hidden' | 'visible' | 'restored' | 'online' | 'offline';

export interface PageLifecycle {
  /** As it is now, whatever was told of last. */
  readonly hidden: boolean;
  /** Gives a function that ends it. */
  onChange(listener: (change: PageChange) => void): () => void;
}

/** What a stream has when its page changes. */
export interface ConnectionFacts {
  hidden: boolean;
  /** `opening`: an attempt without a hello so far. */
  link: 'none' | 'opening' | 'open';
  /** Milliseconds since the last message, or since the attempt began. */
  quietMs: number;
}

export type PageAction = 'none' | 'pause' | 'comeBack' | 'probe';

/** For a stream that is neither over nor failed. */
export function decideOnPage(change: PageChange, { hidden, link, quietMs }: ConnectionFacts, staleMs: number): PageAction {
  if (hidden) return link === 'none' ? 'pause' : 'none'; // P1
  switch (link) {
    case 'none':
      return change === 'offline' ? 'none' : 'comeBack'; // P2, P4
    case 'opening':
      // P3: the attempt that the first signal began. One that hangs since before the page went away is not waited for.
      return quietMs > staleMs && change !== 'offline' ? 'comeBack' : 'none';
    case 'open':
      // Another tab for a moment is no reason; another network, or a page that slept, is.
      return change === 'visible' && quietMs <= staleMs ? 'none' : 'probe';
    default:
      return link satisfies never;
  }
}

interface Target {
  addEventListener(type: string, listener: (event: { persisted?: boolean }) => void): void;
  removeEventListener(type: string, listener: (event: { persisted?: boolean }) => void): void;
}

/** The page of this program, or null where there is none: Node, Workers. */
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
      const tell = (change: PageChange) => () => guarded(listener, change);
      const onVisibility = () => guarded(listener, isHidden() ? 'hidden' : 'visible');
      const onPageShow = ({ persisted }: { persisted?: boolean }) => {
        if (persisted) guarded(listener, 'restored');
      };
      const sources: [Target, string, (event: { persisted?: boolean }) => void][] = [
        [document, 'visibilitychange', onVisibility],
        [document, 'resume', tell('restored')],
        [window, 'pageshow', onPageShow],
        [window, 'online', tell('online')],
        [window, 'offline', tell('offline')],
      ];
      for (const [target, type, handler] of sources) target.addEventListener(type, handler);
      return () => {
        for (const [target, type, handler] of sources) target.removeEventListener(type, handler);
      };
    },
  };
}
