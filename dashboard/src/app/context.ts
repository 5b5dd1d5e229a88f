/** What the shell gives to every page. */

import { createContext } from 'preact';
import { useContext, useMemo } from 'preact/hooks';
import type { HoldfastClient } from '../../../client/index.ts';
import type { ToastKind } from '../ui/index.ts';
import type { Credential } from './credential.ts';
import type { KeyBinding } from './keys.ts';
import { useLocation } from './location.ts';
import { changedQuery } from './router.ts';

export type { Credential } from './credential.ts';
export type { KeyBinding } from './keys.ts';

export interface AppContext {
  readonly credential: Credential;
  /** With this credential, at this origin. */
  readonly client: HoldfastClient;
  /** The credential is a ticket. It may still allow input or an interrupt. */
  readonly readOnly: boolean;
  /** What the credential allows on the page of a run. */
  readonly may: { readonly input: boolean; readonly interrupt: boolean };
  /** A ticket for the stream: created with the key, or the existing one. */
  getTicket(session: string, execution?: string): Promise<string>;
  /** With a reason: the credential is no longer valid, and the page says why. */
  signOut(reason?: 'expired' | 'refused'): void;
  navigate(path: string, options?: { replace?: boolean }): void;
  toast(text: string, kind?: ToastKind): void;
  /** Until the returned function is called. */
  registerKeys(keys: KeyBinding[]): () => void;
}

export const AppContextSlot = createContext<AppContext | null>(null);

export function useApp(): AppContext {
  const app = useContext(AppContextSlot);
  if (!app) throw new Error('useApp is used outside of the shell');
  return app;
}

export type QueryChange = (change: Record<string, string | null>, options?: { replace?: boolean }) => void;

/** The URL's query, and a function that changes some of it: `null` removes. */
export function useQuery(): [URLSearchParams, QueryChange] {
  const { location, navigate } = useLocation();
  const { search } = location;
  return useMemo((): [URLSearchParams, QueryChange] => {
    const change: QueryChange = (changes, options = {}) => {
      const { pathname, search: current, hash } = window.location;
      const next = changedQuery(current, changes);
      if (next !== current) navigate(`${pathname}${next}${hash}`, { ...options, keepPosition: true });
    };
    return [new URLSearchParams(search), change];
  }, [search, navigate]);
}

/** `#L120`, or empty. */
export function useHash(): string {
  return useLocation().location.hash;
}
