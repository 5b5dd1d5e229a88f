/**
 * A list that is read page by page, newest first, and refreshed from its top. Pure.
 *
 * The server's order is newest first by `orderOf`; its cursor means "older than this". A refresh
 * reads the top again, and its result is authoritative from there to its own last row.
 *
 * M1  A refreshed list has no holes: rows below the refreshed part stay only if the two parts
 *     overlap, otherwise it restarts from the top.
 * M2  A row that is missing from the refreshed part is removed: it was deleted, or no longer has
 *     the requested status.
 * M3  While the reader uses the list (`hold`), rows change in place, but no row appears, leaves or
 *     moves. Held changes are applied at the next refresh without hold, or when the reader asks.
 */

import { LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from '../../../protocol/index.ts';

export interface ListState<T> {
  readonly items: readonly T[];
  /** The cursor of the older rows; null without any. */
  readonly next: string | null;
  /** M3: the list after the held changes. */
  readonly held: { readonly items: readonly T[]; readonly next: string | null } | null;
}

export interface ListPage<T> {
  data: readonly T[];
  next: string | null;
}

export interface ListOf<T> {
  idOf(item: T): string;
  orderOf(item: T): number;
}

export const firstPage = <T>({ data, next }: ListPage<T>): ListState<T> => ({ items: data, next, held: null });

/** How many rows a refresh requests: all that are loaded, up to one page. */
export const refreshLimit = (loaded: number): number => Math.min(LIST_LIMIT_MAX, Math.max(LIST_LIMIT_DEFAULT, loaded));

export function refreshed<T>(state: ListState<T>, page: ListPage<T>, of: ListOf<T>, hold: boolean): ListState<T> {
  const target = merged(state.held ?? state, page, of);
  if (!hold) return { ...target, held: null };
  const now = new Map(page.data.map((item) => [of.idOf(item), item]));
  const items = state.items.map((item) => now.get(of.idOf(item)) ?? item);
  const same = target.items.length === items.length && target.items.every((item, at) => item === items[at]);
  return { items, next: state.next, held: same ? null : target };
}

/** Applies the held changes. */
export const released = <T>(state: ListState<T>): ListState<T> => (state.held ? { ...state.held, held: null } : state);

/** How many of the held rows are not on the page yet. */
export function heldCount<T>({ items, held }: ListState<T>, { idOf }: ListOf<T>): number {
  if (!held) return 0;
  const shown = new Set(items.map(idOf));
  return held.items.filter((item) => !shown.has(idOf(item))).length;
}

/**
 * The next older page. A page that was requested with another cursor than the list has now is
 * ignored.
 */
export function extended<T>(state: ListState<T>, page: ListPage<T>, cursor: string, of: ListOf<T>): ListState<T> {
  if (state.next !== cursor) return state;
  const add = (items: readonly T[]): T[] => {
    const known = new Set(items.map(of.idOf));
    return [...items, ...page.data.filter((item) => !known.has(of.idOf(item)))];
  };
  const { held } = state;
  return {
    items: add(state.items),
    next: page.next,
    held: held?.next === cursor ? { items: add(held.items), next: page.next } : held,
  };
}

function merged<T>(
  { items, next }: Pick<ListState<T>, 'items' | 'next'>,
  page: ListPage<T>,
  { idOf, orderOf }: ListOf<T>,
): { items: readonly T[]; next: string | null } {
  const last = page.data.at(-1);
  if (page.next === null || last === undefined) return { items: page.data, next: page.next };
  const end = orderOf(last);
  const fresh = new Set(page.data.map(idOf));
  const below = items.filter((item) => orderOf(item) <= end && !fresh.has(idOf(item)));
  const overlaps = items.some((item) => orderOf(item) >= end);
  // M1. When everything loaded is within the page, its cursor is the right one.
  if (!overlaps || below.length === 0) return { items: page.data, next: page.next };
  return { items: [...page.data, ...below], next };
}
