import type { ComponentChildren } from 'preact';
import { readTicket } from '../../../client/index.ts';
import { Ago, Button, formatWholeSeconds, Icon, Menu, useNow } from '../ui/index.ts';
import type { Credential } from './credential.ts';
import { type Theme, useTheme } from './preferences.ts';
import { executionPath, type PageRoute, RUNNERS_PATH, SESSIONS_PATH, sessionPath } from './router.ts';

export interface LayoutProps {
  route: PageRoute;
  credential: Credential | null;
  /** An API key is in this tab, whatever credential the page uses. */
  hasKey: boolean;
  onKeys(): void;
  onSignOut(): void;
  children: ComponentChildren;
}

const THEMES: readonly { theme: Theme; label: string; icon: 'monitor' | 'sun' | 'moon' }[] = [
  { theme: 'system', label: 'As the system', icon: 'monitor' },
  { theme: 'light', label: 'Light', icon: 'sun' },
  { theme: 'dark', label: 'Dark', icon: 'moon' },
];

export function Layout({ route, credential, hasKey, onKeys, onSignOut, children }: LayoutProps) {
  const [theme, setTheme] = useTheme();
  return (
    <>
      <a class="skip-link" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <div class="top-inner">
          <a class="brand" href={SESSIONS_PATH}>
            Holdfast
          </a>
          <Breadcrumb route={route} readOnly={credential?.kind === 'ticket'} />
          {credential?.kind === 'key' ? <Pages route={route} /> : null}
          <div class="top-tools">
            <Button kind="ghost" icon="keyboard" class="only-keyboard" aria-label="Keys (?)" onClick={onKeys} />
            <Menu
              label="Colours"
              bare
              kind="ghost"
              icon={THEMES.find((choice) => choice.theme === theme)?.icon}
              items={THEMES.map((choice) => ({
                ...choice,
                checked: choice.theme === theme,
                onSelect: () => setTheme(choice.theme),
              }))}
            />
            {credential?.kind === 'key' ? <Button kind="ghost" icon="sign-out" aria-label="Sign out" onClick={onSignOut} /> : null}
          </div>
        </div>
      </header>
      {credential?.kind === 'ticket' ? <TicketBanner {...credential} hasKey={hasKey} onSignOut={onSignOut} /> : null}
      <main id="main" class={`page page-${route.page}`} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

function Breadcrumb({ route, readOnly }: { route: PageRoute; readOnly: boolean }) {
  if (route.page !== 'session' && route.page !== 'execution') return <span class="crumbs" />;
  const { session } = route;
  return (
    <nav class="crumbs" aria-label="You are here">
      <ol>
        {readOnly ? null : (
          <li>
            <a href={SESSIONS_PATH}>Sessions</a>
          </li>
        )}
        <li>
          <a href={sessionPath(session)} aria-current={route.page === 'session' ? 'page' : undefined}>
            {session}
          </a>
        </li>
        {route.page === 'execution' ? (
          <li>
            <a href={executionPath(session, route.execution)} aria-current="page">
              {route.execution}
            </a>
          </li>
        ) : null}
      </ol>
    </nav>
  );
}

/** A page below the sessions has them in its breadcrumb. */
function Pages({ route: { page } }: { route: PageRoute }) {
  const isBelow = page === 'session' || page === 'execution';
  return (
    <nav class="pages" aria-label="Pages" data-page={page}>
      {isBelow ? null : (
        <a href={SESSIONS_PATH} aria-current={page === 'sessions' ? 'page' : undefined}>
          Sessions
        </a>
      )}
      <a href={RUNNERS_PATH} aria-current={page === 'runners' ? 'page' : undefined}>
        Runners
      </a>
    </nav>
  );
}

interface BannerProps {
  ticket: string;
  session: string;
  hasKey: boolean;
  onSignOut(): void;
}

/** States whose session a link shows, what it allows, and for how long. */
function TicketBanner({ ticket, session, hasKey, onSignOut }: BannerProps) {
  const { tenant, expiresAt } = readTicket(ticket);
  const now = useNow(expiresAt !== null);
  return (
    <section class="banner" aria-label="Read-only link">
      <div class="banner-inner">
        <Icon name="lock" />
        <p>
          A shared link to the session <b>{session}</b>
          {tenant === null ? null : (
            <>
              {' '}
              of <b>{tenant}</b>
            </>
          )}
          : you can read here, and change nothing.
          {hasKey ? ' It takes the place of what your API key shows, until you go to another page.' : null}
          {expiresAt === null ? null : now < expiresAt ? (
            <>
              {' '}
              It works for another <span class="num">{formatWholeSeconds(expiresAt - now)}</span>.
            </>
          ) : (
            <>
              {' '}
              It expired <Ago at={expiresAt} />: what is loaded stays here, and nothing new can be read. Ask for a new link, or use
              an API key.
            </>
          )}
        </p>
        <Button size="small" onClick={onSignOut}>
          {hasKey ? 'Use my API key' : 'Use an API key'}
        </Button>
      </div>
    </section>
  );
}
