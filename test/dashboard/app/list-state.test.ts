/**
 * Goal: a list that is refreshed from its top and extended at its end is what the server has,
 * without holes, twins or jumps.
 */

import { describe, expect, it } from 'vitest';
import {
  extended,
  firstPage,
  heldCount,
  type ListOf,
  type ListPage,
  type ListState,
  refreshed,
  refreshLimit,
  released,
} from '../../../dashboard/src/app/list-state.ts';

interface Row {
  id: string;
  at: number;
  word?: string;
}
const OF: ListOf<Row> = { idOf: ({ id }) => id, orderOf: ({ at }) => at };

/**
 * A server: newest first; the cursor is a place in that order, whether or not a row is still there.
 */
function pageOf(rows: readonly Row[], limit: number, cursor?: string): ListPage<Row> {
  const place = ({ at, id }: Row): string => `${String(at).padStart(6, '0')}/${id}`;
  const sorted = [...rows]
    .sort((a, b) => (place(a) < place(b) ? 1 : -1))
    .filter((row) => cursor === undefined || place(row) < cursor);
  const data = sorted.slice(0, limit);
  const last = data.at(-1);
  return { data, next: last && limit < sorted.length ? place(last) : null };
}
const rows = (from: number, to: number): Row[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ id: `r${from + i}`, at: from + i }));
const ids = (state: { items: readonly Row[] }): string[] => state.items.map(({ id }) => id);
const names = (from: number, to: number): string[] =>
  rows(from, to)
    .map(({ id }) => id)
    .reverse();

const LIMIT = 5;
const loaded = (all: readonly Row[], pages: number): ListState<Row> => {
  let state = firstPage(pageOf(all, LIMIT));
  for (let page = 1; page < pages; page += 1)
    state = extended(state, pageOf(all, LIMIT, state.next as string), state.next as string, OF);
  return state;
};

describe('refreshed', () => {
  it('puts new rows at the top and keeps the older pages', () => {
    const state = refreshed(loaded(rows(1, 20), 3), pageOf(rows(1, 22), LIMIT), OF, false);
    expect(ids(state)).toEqual(names(6, 22));
    expect(extended(state, pageOf(rows(1, 22), LIMIT, state.next as string), state.next as string, OF).items).toHaveLength(22);
  });

  it('a row that moved to the top is there once', () => {
    const all = rows(1, 20).map((row) => (row.id === 'r9' ? { ...row, at: 30 } : row));
    expect(ids(refreshed(loaded(rows(1, 20), 3), pageOf(all, LIMIT), OF, false))).toEqual(['r9', ...names(10, 20), ...names(6, 8)]);
  });

  it('[M2] a deleted row of the refreshed part goes', () => {
    const all = rows(1, 20).filter(({ id }) => id !== 'r18');
    expect(ids(refreshed(loaded(rows(1, 20), 2), pageOf(all, LIMIT), OF, false))).toEqual(
      names(11, 20).filter((id) => id !== 'r18'),
    );
  });

  it('[M1] so many new rows that the parts do not meet: the list restarts, and its cursor fits', () => {
    const state = refreshed(loaded(rows(1, 20), 2), pageOf(rows(1, 40), LIMIT), OF, false);
    expect(ids(state)).toEqual(names(36, 40));
    expect(ids(extended(state, pageOf(rows(1, 40), LIMIT, state.next as string), state.next as string, OF))).toEqual(names(31, 40));
  });

  it('[M1] an old row that moved up does not pass for a meeting of the parts', () => {
    const all = rows(1, 40).map((row) => (row.id === 'r18' ? { ...row, at: 50 } : row));
    const state = refreshed(loaded(rows(1, 20), 2), pageOf(all, LIMIT), OF, false);
    expect(ids(state)).toEqual(['r18', ...names(37, 40)]);
  });

  it('all there is fits in the page: nothing old stays', () => {
    expect(ids(refreshed(loaded(rows(1, 20), 2), pageOf(rows(3, 4), LIMIT), OF, false))).toEqual(['r4', 'r3']);
    expect(ids(refreshed(loaded(rows(1, 3), 1), { data: [], next: null }, OF, false))).toEqual([]);
  });

  it('rows of the same time are neither lost nor doubled', () => {
    const all = rows(1, 12).map((row) => ({ ...row, at: 7 }));
    const state = refreshed(loaded(all, 2), pageOf(all, LIMIT), OF, false);
    expect(new Set(ids(state)).size).toBe(10);
    expect(state.items).toHaveLength(10);
  });
});

describe('[M3] while the reader is busy', () => {
  it('rows change in place without appearing, leaving or moving; then all at once', () => {
    const before = loaded(rows(1, 20), 2);
    const now = [...rows(1, 22).filter(({ id }) => id !== 'r17')].map((row) =>
      row.id === 'r19' ? { ...row, at: 30, word: 'new' } : row,
    );
    const held = refreshed(before, pageOf(now, 10), OF, true);
    expect(ids(held)).toEqual(ids(before));
    expect(held.items.find(({ id }) => id === 'r19')?.word).toBe('new');
    expect(heldCount(held, OF)).toBe(2);
    expect(ids(released(held))).toEqual(['r19', 'r22', 'r21', 'r20', 'r18', ...names(11, 16)]);
  });

  it('nothing is held back when nothing would move', () => {
    const state = loaded(rows(1, 20), 2);
    expect(refreshed(state, pageOf(rows(1, 20), LIMIT), OF, true).held).toBeNull();
    expect(released(state)).toBe(state);
  });

  it('a row that was updated in place while held does not hide a hole', () => {
    const moved = (all: Row[]) => all.map((row) => (row.id === 'r18' ? { ...row, at: 50 } : row));
    let state = refreshed(loaded(rows(1, 20), 2), pageOf(moved(rows(1, 40)), LIMIT), OF, true);
    state = refreshed(state, pageOf(moved(rows(1, 60)), LIMIT), OF, true);
    const shown = released(state);
    const rest = pageOf(moved(rows(1, 60)), 100, shown.next as string);
    expect([...ids(shown), ...rest.data.map(({ id }) => id)]).toEqual(pageOf(moved(rows(1, 60)), 100).data.map(({ id }) => id));
  });

  it('older pages are appended', () => {
    const all = rows(1, 22);
    const held = refreshed(loaded(rows(1, 20), 2), pageOf(all, 10), OF, true);
    const more = extended(held, pageOf(all, LIMIT, held.next as string), held.next as string, OF);
    expect(ids(more)).toEqual(names(6, 20));
    expect(ids(released(more))).toEqual(names(6, 22));
  });
});

it('a page that was requested with an outdated cursor changes nothing', () => {
  const state = loaded(rows(1, 20), 1);
  expect(extended(state, pageOf(rows(1, 20), LIMIT, '000009/r9'), '000009/r9', OF)).toBe(state);
});

it('a refresh asks for all that is loaded, within the limits of a page', () => {
  expect([0, 20, 120, 900].map(refreshLimit)).toEqual([50, 50, 120, 200]);
});

it('whatever happens between refreshes, released list and its older pages are the server’s list', () => {
  // A fixed linear congruential sequence: every run is the same.
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  let clock = 100;
  for (let round = 0; round < 200; round += 1) {
    let all = rows(1, 10 + random(30));
    let state = loaded(all, 1 + random(3) > 2 && all.length > 10 ? 2 : 1);
    for (let step = 0; step < 6; step += 1) {
      for (let change = random(9); change > 0; change -= 1) {
        clock += 1;
        const at = random(all.length);
        const what = random(3);
        if (what === 0) all = [...all, { id: `n${clock}`, at: clock }];
        else if (what === 1) all = all.map((row, index) => (index === at ? { ...row, at: clock } : row));
        else if (all.length > 1 && at < LIMIT) all = all.filter((row) => row !== pageOf(all, LIMIT).data[at]);
      }
      state = refreshed(state, pageOf(all, LIMIT), OF, random(2) === 0);
    }
    state = refreshed(state, pageOf(all, Math.max(LIMIT, state.items.length)), OF, false);
    const rest = state.next === null ? [] : pageOf(all, 1000, state.next).data;
    const complete = pageOf(all, 1000).data.map(({ id }) => id);
    const seen = [...ids(state), ...rest.map(({ id }) => id)];
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((id) => complete.includes(id))).toEqual(complete.filter((id) => seen.includes(id)));
    expect(complete.filter((id) => !seen.includes(id))).toEqual([]);
  }
});
