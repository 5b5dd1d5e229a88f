/**
 * The frame around the pages.
 *
 *   router, location            which page, and the navigation to another
 *   credential, access, sign-in who reads, and with which client
 *   sessions-page, session-page the two lists; list-state (pure), use-list, list-frame, run-row
 *   runners-route               loads the page of the runners, which is a chunk of its own
 *   layout, keys, key-sheet     header, banner, shortcuts
 *   preferences                 choices that the browser stores
 *
 * A credential that is refused anywhere is handled here: the address stays, and signing in shows
 * the same page again.
 */

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ExecutionPage } from '../execution/execution-page.tsx';
import { ToastRegion, useToasts } from '../ui/toast.tsx';
import { createPageClient, ONE_QUICK_TRY, type RefusalReason, rightsOn } from './access.ts';
import { type AppContext, AppContextSlot } from './context.ts';
import {
  type Credential,
  type CredentialStorage,
  dropCredential,
  dropLeftTicket,
  dropTickets,
  hasKey,
  keepCredential,
  memoryStorage,
  readCredential,
  sameCredential,
  sessionStorageOr,
  takeTicket,
} from './credential.ts';
import { KeySheet } from './key-sheet.tsx';
import { type KeyBinding, KeyRegistry } from './keys.ts';
import { Layout } from './layout.tsx';
import { LocationSlot, type PageLocation, useLocationState } from './location.ts';
import { NotFound } from './not-found.tsx';
import { PageGuard } from './page-guard.tsx';
import { type PageRoute, pageKey, parseRoute, SESSIONS_PATH, sessionPath, titleOf } from './router.ts';
import { RunnersRoute } from './runners-route.tsx';
import { SessionPage } from './session-page.tsx';
import { SessionsPage } from './sessions-page.tsx';
import { type SignedOut, SignIn } from './sign-in.tsx';

const sessionOf = (route: PageRoute): string | null => ('session' in route ? route.session : null);

/** K2: removed from the address bar before any other use. */
function takeTicketFromAddress(storage: CredentialStorage): boolean {
  const { pathname, search, hash } = window.location;
  const taken = takeTicket(hash);
  if (!taken) return false;
  window.history.replaceState(window.history.state, '', `${pathname}${search}${taken.hash}`);
  const session = sessionOf(parseRoute(pathname));
  if (session === null) return false;
  keepCredential(storage, { kind: 'ticket', ticket: taken.ticket, session });
  return true;
}

export function App() {
  const [storage] = useState(() => {
    const opened = sessionStorageOr(memoryStorage);
    takeTicketFromAddress(opened);
    return opened;
  });
  const state = useLocationState();
  const { location, navigate } = state;
  const route = useMemo(() => parseRoute(location.pathname), [location.pathname]);
  const { credential, signedOut, signIn, signOut: drop } = useCredential(storage, location, route);
  const toasts = useToasts();
  const { toast } = toasts;
  const signOut = useCallback(
    (of: Credential, reason?: 'expired' | 'refused') => {
      drop(of, reason);
      // With a key in this tab too, the page continues with the key.
      if (of.kind === 'ticket' && reason && readCredential(storage, of.session)?.kind === 'key') {
        toast(`The shared link ${reason === 'expired' ? 'has expired' : 'is not valid'}. You see this with your API key now.`);
      }
    },
    [drop, storage, toast],
  );
  const [registry] = useState(() => new KeyRegistry());
  const [sheet, setSheet] = useState<readonly KeyBinding[] | null>(null);
  const key = credential ? pageKey(route) : 'signed-out';

  useEffect(() => {
    document.title = credential || route.page === 'not-found' ? titleOf(route) : 'Sign in · Holdfast';
  }, [route, credential]);
  useFocusAtNavigation(key, location);

  useEffect(() => {
    window.addEventListener('keydown', registry.handle);
    return () => window.removeEventListener('keydown', registry.handle);
  }, [registry]);
  const openSheet = useCallback(() => setSheet(registry.all), [registry]);
  useEffect(() => registry.register([{ keys: ['?'], label: 'This list', run: openSheet }]), [registry, openSheet]);
  useEffect(() => {
    if (!credential || route.page === 'sessions') return;
    const up = route.page === 'execution' ? sessionPath(route.session) : credential.kind === 'key' ? SESSIONS_PATH : null;
    if (up === null) return;
    return registry.register([
      { keys: ['u'], label: route.page === 'execution' ? 'Up to the session' : 'Up to all sessions', run: () => navigate(up) },
    ]);
  }, [registry, credential, route, navigate]);

  const app = useMemo((): AppContext | null => {
    if (!credential) return null;
    const onRefused = (reason: RefusalReason) => signOut(credential, reason);
    const client = createPageClient(credential, onRefused);
    const tickets = createPageClient(credential, onRefused, undefined, ONE_QUICK_TRY);
    return {
      credential,
      client,
      readOnly: credential.kind === 'ticket',
      may: rightsOn(credential),
      getTicket: async (session, execution) => {
        if (credential.kind === 'ticket') return credential.ticket;
        return (await tickets.createTicket(session, execution === undefined ? {} : { execution })).ticket;
      },
      signOut: (reason) => signOut(credential, reason),
      navigate: (path, options) => navigate(path, options),
      toast,
      registerKeys: (keys) => registry.register(keys),
    };
  }, [credential, signOut, navigate, toast, registry]);

  return (
    <LocationSlot.Provider value={state}>
      <Layout
        route={route}
        credential={credential}
        hasKey={hasKey(storage)}
        onKeys={openSheet}
        onSignOut={() => {
          if (credential) signOut(credential);
        }}
      >
        <PageGuard key={key}>
          {route.page === 'not-found' ? (
            <NotFound title="Not found">
              There is no page at <code>{location.pathname}</code>.
            </NotFound>
          ) : app ? (
            <AppContextSlot.Provider value={app}>
              <Page route={route} />
            </AppContextSlot.Provider>
          ) : (
            <SignIn reason={signedOut} onKey={signIn} />
          )}
        </PageGuard>
      </Layout>
      <KeySheet bindings={sheet ?? []} open={sheet !== null} onClose={() => setSheet(null)} />
      <ToastRegion {...toasts} />
    </LocationSlot.Provider>
  );
}

function Page({ route }: { route: Exclude<PageRoute, { page: 'not-found' }> }) {
  switch (route.page) {
    case 'sessions':
      return <SessionsPage />;
    case 'session':
      return <SessionPage session={route.session} />;
    case 'runners':
      return <RunnersRoute />;
    case 'execution':
      return <ExecutionPage session={route.session} execution={route.execution} />;
  }
}

interface Access {
  credential: Credential | null;
  signedOut: SignedOut;
  signIn(apiKey: string): void;
  signOut(credential: Credential, reason?: 'expired' | 'refused'): void;
}

function useCredential(storage: CredentialStorage, location: PageLocation, route: PageRoute): Access {
  const [, setVersion] = useState(0);
  const [signedOut, setSignedOut] = useState<SignedOut>(null);
  const session = sessionOf(route);
  // A ticket may also arrive while the page is open: a link pasted over the address of the same
  // page only changes the hash.
  const taken = useRef<PageLocation | null>(null);
  if (taken.current !== location) {
    taken.current = location;
    takeTicketFromAddress(storage);
  }
  const known = useRef<Credential | null>(null);
  dropLeftTicket(storage, known.current, session); // K3
  const found = readCredential(storage, session);
  // The same credential is the same object, so that navigation keeps the client and what it has
  // loaded.
  if (!sameCredential(known.current, found)) known.current = found;

  const signIn = useCallback(
    (apiKey: string) => {
      dropTickets(storage); // K3
      keepCredential(storage, { kind: 'key', apiKey });
      setSignedOut(null);
      setVersion((version) => version + 1);
    },
    [storage],
  );
  const signOut = useCallback(
    (credential: Credential, reason?: 'expired' | 'refused') => {
      // A late answer says nothing about the credential that replaced this one.
      if (!sameCredential(known.current, credential)) return;
      dropCredential(storage, credential);
      if (credential.kind === 'ticket')
        setSignedOut(reason === undefined ? null : reason === 'expired' ? 'ticket-expired' : 'ticket-refused');
      else setSignedOut(reason === undefined ? 'asked' : 'key-refused');
      setVersion((version) => version + 1);
    },
    [storage],
  );
  return { credential: known.current, signedOut, signIn, signOut };
}

/**
 * On another page the heading takes the focus, so that the keyboard and a screen reader begin
 * there; on the way back it is the link that was followed. A change of filter or line is not
 * another page.
 */
function useFocusAtNavigation(key: string, location: PageLocation): void {
  const before = useRef<string | null>(null);
  useLayoutEffect(() => {
    if (location.scrollY !== null || before.current !== key) window.scrollTo(0, location.scrollY ?? 0);
    const first = before.current === null;
    const moved = before.current !== key;
    before.current = key;
    if (first || !moved) return;
    const main = document.getElementById('main');
    const link = !location.focused ? null : main?.querySelector<HTMLElement>(`a[href="${CSS.escape(location.focused)}"]`);
    // The sign-in form takes the focus itself.
    if (main?.contains(document.activeElement) && document.activeElement?.tagName === 'INPUT') return;
    const heading = main?.querySelector('h1');
    if (heading && !heading.hasAttribute('tabindex')) heading.tabIndex = -1;
    (link ?? heading ?? main)?.focus({ preventScroll: true });
  }, [key, location]);
}
