/** Search, rows and links to lines: against the plainest way to do the same. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KINDS } from '../../../dashboard/src/log/chunk.ts';
import { shownText } from '../../../dashboard/src/log/line.ts';
import { clicked, hashOf, linesOf as linesOfHash } from '../../../dashboard/src/log/line-hash.ts';
import { compileExpression, MATCHES_MAX, matchEach } from '../../../dashboard/src/log/match.ts';
import { LogModel } from '../../../dashboard/src/log/model.ts';
import { type OpenWorker, RegexPort, type WorkerPort } from '../../../dashboard/src/log/regex-port.ts';
import { ALL, maskOf, namesOf, Rows } from '../../../dashboard/src/log/rows.ts';
import { Search } from '../../../dashboard/src/log/search.ts';
import { cut, log } from './arbitrary.ts';
import { event, linesOf, output } from './lines.ts';

interface Found {
  id: number;
  start: number;
  end: number;
}

/** Every place in every shown line, compared character by character. */
function naive(model: LogModel, mask: number, query: string): Found[] {
  const found: Found[] = [];
  const exact = query.toLowerCase() !== query;
  const fold = (text: string) => (exact ? text : text.toLowerCase());
  for (const [i, { kind, text }] of linesOf(model).entries()) {
    if (!(mask & (1 << KINDS.indexOf(kind)))) continue;
    const shown = shownText(text);
    for (let at = 0; at + query.length <= shown.length; at++) {
      if (fold(shown.slice(at, at + query.length)) !== fold(query)) continue;
      found.push({ id: model.first + i, start: at, end: at + query.length });
      at += query.length - 1;
    }
  }
  return found;
}

function foundBy(search: Search, model: LogModel): Found[] {
  const found: Found[] = [];
  for (let id = model.first; id < model.end; id++) {
    const position = model.position(id);
    if (position !== null) for (const { start, end } of search.inLine(position)) found.push({ id, start, end });
  }
  return found;
}

/** A worker that answers in this process; `delay` null: never. */
const worker =
  (delay: number | null, ended: { count: number } = { count: 0 }): OpenWorker =>
  () => {
    const port: WorkerPort = {
      onmessage: null,
      onerror: null,
      terminate: () => {
        ended.count++;
      },
      postMessage: ({ source, flags, text }) => {
        if (delay !== null)
          setTimeout(
            () => port.onmessage?.({ data: matchEach(text.split('\n'), new RegExp(source, flags)) as Int32Array<ArrayBuffer> }),
            delay,
          );
      },
    };
    return port;
  };

const always = () => true;
const query = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'é', '😀', 'B'), minLength: 1, maxLength: 3 }),
  fc.constantFrom('aa', '[', '.', '31', '$', 'x', '\\'),
);

describe('search', () => {
  it('finds the same as a naive search, while lines arrive at both ends', async () => {
    await fc.assert(
      fc.asyncProperty(
        log(false),
        fc.array(fc.nat()),
        query,
        fc.integer({ min: 1, max: 15 }),
        async (events, places, text, mask) => {
          const model = new LogModel();
          const search = new Search(model, mask, { text, regex: false }, null);
          const runs = cut(events, places);
          const newer = runs.splice(runs.length >> 1);
          for (let i = 0; i < Math.max(runs.length, newer.length); i++) {
            model.append(newer[i] ?? []);
            await search.step(always);
            model.prepend(runs.at(-1 - i) ?? []);
          }
          expect(await search.step(always)).toBe(true);
          const right = naive(model, mask, text);
          expect(foundBy(search, model)).toEqual(right);
          expect(search.state).toMatchObject({ total: right.length, done: true, searched: model.lines, error: null });
        },
      ),
      { numRuns: 700 },
    );
  });

  it('goes through all matches in both directions, and round at the ends', async () => {
    await fc.assert(
      fc.asyncProperty(log(false), fc.nat(), async (events, start) => {
        const model = new LogModel();
        model.append(events);
        const search = new Search(model, ALL, { text: 'a', regex: false }, null);
        await search.step(always);
        const right = naive(model, ALL, 'a');
        const from = model.lines === 0 ? 0 : start % model.lines;
        if (right.length === 0) {
          expect(search.move(1, from)).toBeNull();
          return;
        }
        const first = Math.max(
          right.findIndex(({ id }) => id >= from),
          0,
        );
        for (let i = 0; i <= right.length; i++) {
          expect(search.move(1, from)).toEqual(right[(first + i) % right.length]);
          expect(search.state.current).toBe(((first + i) % right.length) + 1);
        }
        for (let i = right.length - 1; i >= 0; i--) expect(search.move(-1, from)).toEqual(right[(first + i) % right.length]);
      }),
    );
  });

  it('stops at its deadline, and continues where it stopped', async () => {
    const model = new LogModel();
    model.append([output(1, 'needle in hay\n'.repeat(20_000))]);
    const search = new Search(model, ALL, { text: 'NEEDLE'.toLowerCase(), regex: false }, null);
    let left = 2;
    expect(await search.step(() => left-- > 0)).toBe(false);
    const { searched, total, done } = search.state;
    expect([done, total]).toEqual([false, searched]);
    expect(searched).toBeGreaterThan(0);
    expect(searched).toBeLessThan(20_000);
    expect(await search.step(always)).toBe(true);
    expect(search.state).toMatchObject({ searched: 20_000, total: 20_000, done: true });
  });

  it('is sensitive to case only when the query has a capital letter', async () => {
    const model = new LogModel();
    model.append([output(1, 'Error error ERROR\n')]);
    const total = async (text: string, regex = false) => {
      const search = new Search(model, ALL, { text, regex }, regex ? new RegexPort(worker(0)) : null);
      await search.step(always);
      return search.state.total;
    };
    expect([await total('error'), await total('Error'), await total('\\Serror', true), await total('E\\w+', true)]).toEqual([
      3, 1, 0, 2,
    ]);
  });

  it('stops at the maximum number of matches, and reports it', async () => {
    const model = new LogModel();
    for (let i = 0; i < 40; i++) model.append([output(i, 'a'.repeat(60_000))]);
    const search = new Search(model, ALL, { text: 'a', regex: false }, null);
    await search.step(always);
    expect(search.state.capped).toBe(true);
    // Never cut inside of a chunk without being said.
    expect(search.state.total % 60_000).toBe(0);
    expect(search.state.total).toBeGreaterThanOrEqual(MATCHES_MAX);
  });

  it('highlights in one row no more than can be drawn, the current match among them', async () => {
    const model = new LogModel();
    model.append([output(1, `${'a'.repeat(5000)}\n`)]);
    const search = new Search(model, ALL, { text: 'a', regex: false }, null);
    await search.step(always);
    search.move(-1, 0);
    const position = model.position(0);
    const marks = position === null ? [] : search.inLine(position);
    expect([search.state.total, marks.length, marks.at(-1)]).toEqual([5000, 1001, { start: 4999, end: 5000, current: true }]);
  });

  it('aborts an expression that takes too long, and reports why', async () => {
    const model = new LogModel();
    model.append([output(1, `${'a'.repeat(40)}!\n`)]);
    const ended = { count: 0 };
    const search = new Search(model, ALL, { text: '(a+)+$', regex: true }, new RegexPort(worker(null, ended), 20));
    expect(await search.step(always)).toBe(true);
    expect(search.state.error).toMatch(/takes too long/);
    expect(ended.count).toBe(1);
  });

  it('reports what is wrong with an expression', () => {
    expect(new Search(new LogModel(), ALL, { text: '(', regex: true }, new RegexPort(worker(0))).state.error).toMatch(
      /unterminated group/i,
    );
    expect(compileExpression({ text: 'a.b*[', regex: false }).test('xa.b*[y')).toBe(true);
  });

  it('matches expressions line by line, and never nothing', async () => {
    const model = new LogModel();
    model.append([output(1, 'one\ntwo\n\u001b[31mthree\u001b[0m\n'), event(2, 'agent', { text: 'one' })]);
    const search = new Search(model, maskOf('stdout'), { text: '^\\w*e$|x*', regex: true }, new RegexPort(worker(0)));
    await search.step(always);
    expect(foundBy(search, model)).toEqual([
      { id: 0, start: 0, end: 3 },
      { id: 2, start: 0, end: 5 },
    ]);
  });
});

describe('rows', () => {
  it('are the lines of the shown kinds, in order, however they came', () => {
    fc.assert(
      fc.property(log(false), fc.array(fc.nat()), fc.integer({ min: 1, max: 15 }), (events, places, mask) => {
        const model = new LogModel();
        const rows = new Rows(model, mask);
        for (const run of cut(events, places).reverse()) {
          model.prepend(run);
          const ids = linesOf(model)
            .map(({ kind }, i) => ({ kind, id: model.first + i }))
            .filter(({ kind }) => mask & (1 << KINDS.indexOf(kind)))
            .map(({ id }) => id);
          expect(Array.from({ length: rows.count }, (_, row) => rows.id(row))).toEqual(ids);
          for (let id = model.first - 1; id <= model.end; id++) expect(rows.row(id)).toBe(ids.filter((shown) => shown < id).length);
        }
      }),
    );
  });

  it('are named in the address, and everything needs no name', () => {
    for (let mask = 1; mask <= ALL; mask++) expect(maskOf(namesOf(mask))).toBe(mask);
    expect([namesOf(ALL), maskOf(null), maskOf('nonsense,'), maskOf('stderr,nonsense')]).toEqual([null, ALL, ALL, 2]);
  });
});

describe('links to lines', () => {
  it('name one or several', () => {
    expect([linesOfHash('#L120'), linesOfHash('#L130-L120'), linesOfHash('#L1-2')]).toEqual([
      { from: 120, to: 120 },
      { from: 120, to: 130 },
      { from: 1, to: 2 },
    ]);
    for (const hash of ['', '#L0', '#L', '#L1x', '#L-3', '#ticket=L1', `#L${'9'.repeat(30)}`]) expect(linesOfHash(hash)).toBeNull();
    expect([hashOf({ from: 3, to: 3 }), hashOf({ from: 3, to: 9 })]).toEqual(['#L3', '#L3-L9']);
  });

  it('reach with shift from the line chosen before to the one clicked', () => {
    const five = { from: 5, to: 5 };
    expect([clicked(9, five, true), clicked(2, five, true), clicked(9, five, false), clicked(9, null, true)]).toEqual([
      { from: 5, to: 9 },
      { from: 2, to: 5 },
      { from: 9, to: 9 },
      { from: 9, to: 9 },
    ]);
  });
});
