/**
 * The address bar as state, and the scroll position of each entry of the history.
 *
 * L1  A click on a link to the page itself is handled here; the browser handles any other click.
 * L2  Back and forward restore the scroll position: it is stored with the history entry, and
 *     restored once the page is drawn.
 */

import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { isPlainClick } from './router.ts';

export interface PageLocation {
  readonly pathname: string;
  readonly search: string;
  readonly hash: string;
  /** The scroll position when this entry was left; null on the first visit. */
  readonly scrollY: number | null;
  /** `href` of the link that was followed from here. */
  readonly focused?: string | null;
}

export interface NavigateOptions {
  replace?: boolean;
  /** Only a detail of the page changed: the scroll position stays. */
  keepPosition?: boolean;
}

export interface LocationState {
  readonly location: PageLocation;
  navigate(path: string, options?: NavigateOptions): void;
}

export const LocationSlot = createContext<LocationState | null>(null);

export function useLocation(): LocationState {
  const state = useContext(LocationSlot);
  if (!state) throw new Error('useLocation is used outside of the shell');
  return state;
}

interface Entry {
  scrollY?: number;
  focused?: string | null;
}

const read = (scrollY: number | null, focused: string | null = null): PageLocation => {
  const { pathname, search, hash } = window.location;
  return { pathname, search, hash, scrollY, focused };
};

const entry = (): Entry => (window.history.state ?? {}) as Entry;

function keepScroll(): void {
  window.history.replaceState({ ...entry(), scrollY: window.scrollY } satisfies Entry, '');
}

function keepFocus(): void {
  window.history.replaceState({ ...entry(), focused: document.activeElement?.getAttribute('href') ?? null } satisfies Entry, '');
}

/** For the root alone. */
export function useLocationState(): LocationState {
  const [state, setState] = useState<LocationState>(() => {
    const navigate = (path: string, { replace = false, keepPosition = false }: NavigateOptions = {}): void => {
      const scrollY = keepPosition ? window.scrollY : 0;
      if (replace) {
        window.history.replaceState(entry(), '', path);
      } else {
        keepScroll();
        keepFocus();
        window.history.pushState({ scrollY } satisfies Entry, '', path);
      }
      setState({ location: read(keepPosition ? scrollY : null), navigate });
    };
    return { location: read(entry().scrollY ?? null, entry().focused), navigate };
  });
  const { navigate } = state;

  useEffect(() => {
    window.history.scrollRestoration = 'manual';
    const onPop = () => setState({ location: read(entry().scrollY ?? null, entry().focused), navigate });
    const onClick = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null;
      if (!link?.href) return;
      const { origin, pathname, search, hash, target } = link;
      if (!isPlainClick(event, { origin, pathname, target, download: link.hasAttribute('download') }, window.location.origin))
        return;
      const here = window.location;
      // Within the page (the skip link, a line of the log): the browser moves, and reports it by
      // `hashchange`.
      if (hash !== '' && pathname === here.pathname && search === here.search) return;
      event.preventDefault();
      navigate(`${pathname}${search}${hash}`, { replace: `${pathname}${search}` === `${here.pathname}${here.search}` });
    };
    window.addEventListener('popstate', onPop);
    window.addEventListener('hashchange', onPop);
    window.addEventListener('pagehide', keepScroll);
    document.addEventListener('click', onClick);
    // Back and forward fire no event before the page changes, so the position is recorded while the
    // reader scrolls.
    let timer: ReturnType<typeof setTimeout> | null = null;
    const onScroll = () => {
      timer ??= setTimeout(() => {
        timer = null;
        keepScroll();
      }, 250);
    };
    window.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      if (timer !== null) clearTimeout(timer);
      window.removeEventListener('popstate', onPop);
      window.removeEventListener('hashchange', onPop);
      window.removeEventListener('pagehide', keepScroll);
      window.removeEventListener('scroll', onScroll);
      document.removeEventListener('click', onClick);
    };
  }, [navigate]);
  return state;
}
