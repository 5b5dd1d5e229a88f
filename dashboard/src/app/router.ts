/** URLs of the page, both ways. Pure. */

import { isId } from '../../../protocol/index.ts';

export type PageRoute =
  | { page: 'sessions' }
  | { page: 'session'; session: string }
  | { page: 'execution'; session: string; execution: string }
  | { page: 'runners' }
  | { page: 'not-found' };

const NOT_FOUND: PageRoute = { page: 'not-found' };

/** A trailing slash is accepted. Text that is not a valid id is never requested. */
export function parseRoute(pathname: string): PageRoute {
  let parts: string[];
  try {
    parts = pathname
      .replace(/^\/|\/$/g, '')
      .split('/')
      .map(decodeURIComponent);
  } catch {
    return NOT_FOUND;
  }
  const [first, session, second, execution] = parts;
  if (parts.length === 1 && (first === '' || first === 'sessions')) return { page: 'sessions' };
  if (parts.length === 1 && first === 'runners') return { page: 'runners' };
  if (first !== 'sessions' || !isId(session)) return NOT_FOUND;
  if (parts.length === 2) return { page: 'session', session };
  if (parts.length === 4 && second === 'executions' && isId(execution)) return { page: 'execution', session, execution };
  return NOT_FOUND;
}

export const SESSIONS_PATH = '/';
export const RUNNERS_PATH = '/runners';
export const sessionPath = (session: string): string => `/sessions/${encodeURIComponent(session)}`;
export const executionPath = (session: string, execution: string): string =>
  `${sessionPath(session)}/executions/${encodeURIComponent(execution)}`;

export function titleOf(route: PageRoute): string {
  switch (route.page) {
    case 'sessions':
      return 'Sessions · Holdfast';
    case 'session':
      return `${route.session} · Holdfast`;
    case 'execution':
      return `${route.execution} · ${route.session} · Holdfast`;
    case 'runners':
      return 'Runners · Holdfast';
    case 'not-found':
      return 'Not found · Holdfast';
  }
}

/**
 * Two URLs with the same key show the same page: navigation between them moves neither focus nor
 * scroll.
 */
export const pageKey = (route: PageRoute): string =>
  route.page === 'session'
    ? sessionPath(route.session)
    : route.page === 'execution'
      ? executionPath(route.session, route.execution)
      : route.page;

/** `search` with some parameters replaced, or removed by `null`. Others keep their order. */
export function changedQuery(search: string, change: Readonly<Record<string, string | null>>): string {
  const query = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  // A comma may stay unescaped in a query, and these URLs are shared.
  const text = query.toString().replaceAll('%2C', ',');
  return text === '' ? '' : `?${text}`;
}

/**
 * Whether the page handles a click on a link: plain, left, to this origin, not a download, not for
 * another tab.
 */
export function isPlainClick(
  event: Pick<MouseEvent, 'button' | 'metaKey' | 'ctrlKey' | 'shiftKey' | 'altKey' | 'defaultPrevented'>,
  link: { origin: string; pathname: string; target: string; download: boolean },
  origin: string,
): boolean {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return false;
  if (link.origin !== origin || link.download || (link.target !== '' && link.target !== '_self')) return false;
  return !/^\/(v1\/|healthz$|openapi\.json$)/.test(link.pathname);
}
