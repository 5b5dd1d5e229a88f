/**
 * A list that is read page by page from the newest on, and kept fresh from its top. Pure.
 *
 * The server's order is newest first by `orderOf`; its cursor means "older than this". A refresh asks for the top again, and what it says goes
 * for all from there to its own last row.
 *
 * M1  A refreshed list has no holes: rows from below the refreshed part stay only if the two parts overlap, else it starts anew from the top.
 * M2  A row that is missing from the part that was refreshed is gone: deleted, or not of the asked status any more.
 * M3  While the reader is busy in the list (`hold`), rows change in place, but none appears, leaves or moves. What was held back is put in at the
 *     next refresh that needs not hold, or when the reader asks.
 */

import { LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from '../../../protocol/index.ts';

export interface ListState<T> {
  readonly items: readonly T[];
  /** Where older ones begin; null: there are none. */
  readonly next: string | null;
  /** M3: what the list would be. */
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

/** How many rows a refresh asks for: all that are loaded, as far as one page goes. */
export const refreshLimit = (loaded: number): number => Math.min(LIST_LIMIT_MAX, Math.max(LIST_LIMIT_DEFAULT, loaded));

export function refreshed<T>(state: ListState<T>, page: ListPage<T>, of: ListOf<T>, hold: boolean): ListState<T> {
  const target = merged(state.held ?? state, page, of);
  if (!hold) return { ...target, held: null };
  const now = new Map(page.data.map((item) => [of.idOf(item), item]));
  const items = state.items.map((item) => now.get(of.idOf(item)) ?? item);
  const same = target.items.length === items.length && target.items.every((item, at) => item === items[at]);
  return { items, next: state.next, held: same ? null : target };
}

/** What was held back is let in. */
export const released = <T>(state: ListState<T>): ListState<T> => (state.held ? { ...state.held, held: null } : state);

/** How many of the held rows are not on the page yet. */
export function heldCount<T>({ items, held }: ListState<T>, { idOf }: ListOf<T>): number {
  if (!held) return 0;
  const shown = new Set(items.map(idOf));
  return held.items.filter((item) => !shown.has(idOf(item))).length;
}

/** The next older page. One that was asked for at another cursor than the list has now says nothing about it. */
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
  // M1. When all that is loaded is within the page, its cursor is the right one.
  if (!overlaps || below.length === 0) return { items: page.data, next: page.next };
  return { items: [...page.data, ...below], next };
}
