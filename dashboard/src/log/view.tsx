/**
 * The log of one execution on the page. It gets everything of the shell through `page`, so that a
 * test can render it alone.
 */

import type { ComponentChildren, JSX } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ShownLines } from './carried-style.ts';
import { clicked } from './line-hash.ts';
import type { LogModel } from './model.ts';
import type { Page, PageKeyBinding } from './page.ts';
import { LineRow, type RowActions } from './row.tsx';
import { SHOWN_CHARS_MAX } from './row-pieces.ts';
import { maskOf, namesOf, Rows } from './rows.ts';
import { ScrollView } from './scroll-view.tsx';
import { TIME_MODES, timeModeOf, timeOf } from './times.ts';
import { SearchField, Toolbar } from './toolbar.tsx';
import { useLineLink } from './use-line-link.ts';
import { useModelVersion, useScroller } from './use-scroller.ts';
import { type SearchTarget, useSearchBox } from './use-search-box.ts';

export interface LogPanelProps {
  model: LogModel;
  /** The run continues: offer to follow. */
  live: boolean;
  /** Milliseconds since the epoch, for times since the start. */
  startedAt: number | null;
  /** The state above the first loaded line. */
  older: 'none' | 'available' | 'loading';
  /** The view came near the top. */
  onOlder(): void;
  /** Loads all older lines: for a search of everything. */
  onLoadAll(): void;
  /** Loads older lines until this one is loaded; false when there is no such line. */
  onGoToLine(line: number): Promise<boolean>;
  /** Shows the event at this offset. */
  onInspect(offset: number): void;
  onDownload(kind: 'text' | 'jsonl'): void;
  /** Shown in place of the lines while there is no line. */
  empty: ComponentChildren;
  /** Shows the line of the event at this offset, once for each object. */
  target?: { readonly offset: number } | null | undefined;
}

/** Older lines are requested when fewer than this are left above. */
const OLDER_ROWS = 300;
/** On a narrow view lines are wrapped unless the reader chose otherwise. */
const NARROW = '(max-width: 640px)';

const NO_MARKS: readonly never[] = [];

export function LogView(props: LogPanelProps & { page: Page }): JSX.Element {
  const {
    model,
    live,
    startedAt,
    older,
    onOlder,
    onLoadAll,
    onGoToLine,
    onInspect,
    onDownload,
    empty,
    page,
    target: shownEvent,
  } = props;
  const { query, setQuery, hash, setHash } = page;
  const mask = maskOf(query.get('show'));
  const [wrapByDefault] = useState(() => window.matchMedia(NARROW).matches);
  const wrap = query.has('wrap') ? query.get('wrap') === '1' : wrapByDefault;
  const times = timeModeOf(query.get('ts'));

  const version = useModelVersion(model);
  const rows = useMemo(() => new Rows(model, mask), [model, mask]);
  const shown = useMemo(() => new ShownLines(model), [model]);
  const [leftAt, setLeftAt] = useState<number | null>(null);
  const parts = useScroller(model, rows, wrap, (atEnd) => setLeftAt(atEnd ? null : (before) => before ?? model.end));
  const { scroller, range, viewPort, block } = parts;
  const following = live && scroller.atEnd;

  const [expanded, setExpanded] = useState<ReadonlySet<number>>(new Set());
  const expand = useCallback((id: number) => setExpanded((before) => new Set(before).add(id)), []);
  const target: SearchTarget = {
    model,
    mask: rows.mask,
    top: () => rows.id(scroller.topRow),
    show({ id, end }) {
      if (end > SHOWN_CHARS_MAX) expand(id);
      scroller.show(id, undefined, true);
    },
  };
  const { field, typed, setTyped, search, move, focus } = useSearchBox(target, page, parts);
  const found = search.state;

  const { selected, now, missing, select } = useLineLink(model, hash, setHash, onGoToLine, (id) => {
    const kind = model.kind(id);
    if (kind !== null && !(mask & (1 << kind))) setQuery({ show: namesOf(mask | (1 << kind)) }, { replace: true });
    scroller.show(id);
  });
  const [targetId, setTargetId] = useState<number | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the log goes there once
  useEffect(() => {
    const id = shownEvent ? model.idAtOffset(shownEvent.offset) : null;
    setTargetId(id);
    if (id === null) return;
    const kind = model.kind(id);
    if (kind !== null && !(mask & (1 << kind))) setQuery({ show: namesOf(mask | (1 << kind)) }, { replace: true });
    scroller.show(id);
  }, [shownEvent, model]);

  const inspect = useRef(onInspect);
  inspect.current = onInspect;
  const actions = useMemo<RowActions>(
    () => ({
      onSelect: (number, extend) => select(clicked(number, now.current, extend)),
      onInspect: (offset) => inspect.current(offset),
      onExpand: expand,
    }),
    [select, now, expand],
  );

  const nearTop = scroller.topRow < OLDER_ROWS;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when lines came or the view moved, and once for each
  useEffect(() => {
    if (nearTop && older === 'available') onOlder();
  }, [nearTop, older, version, range]);

  const setKind = (kind: number): void => {
    const next = mask ^ (1 << kind);
    setQuery({ show: namesOf(next === 0 ? 1 << kind : next) }, { replace: true });
  };
  const setWrap = (): void => setQuery({ wrap: wrap === wrapByDefault ? (wrap ? '0' : '1') : null }, { replace: true });
  const setTimes = (mode: string): void => setQuery({ ts: mode === 'off' ? null : mode }, { replace: true });
  const follow = (): void => (scroller.atEnd ? scroller.pause() : scroller.toEnd());
  const step = (by: number): void => {
    const from = now.current === null ? null : model.idOf(now.current[by > 0 ? 'to' : 'from']);
    for (let row = from === null ? scroller.topRow : rows.row(from) + by; row >= 0 && row < rows.count; row += by) {
      const position = model.position(rows.id(row));
      const number = position === null ? null : model.number(position);
      if (number === null) continue;
      select({ from: number, to: number });
      scroller.show(rows.id(row), undefined, true);
      return;
    }
  };
  const inspectSelected = (): void => {
    const id = now.current === null ? null : model.idOf(now.current.from);
    const position = id === null ? null : model.position(id);
    if (position !== null) onInspect(position.chunk.offset(position.index));
  };
  const keys = useRef<PageKeyBinding[]>([]);
  keys.current = [
    { keys: ['/'], label: 'Search in the log', run: focus },
    { keys: ['n'], label: 'Next match', run: () => move(1) },
    { keys: ['N'], label: 'Previous match', run: () => move(-1) },
    { keys: ['g'], label: 'To the first line', run: () => scroller.toTop() },
    { keys: ['G'], label: 'To the last line', run: () => scroller.toEnd() },
    { keys: ['j'], label: 'Select the next line', run: () => step(1) },
    { keys: ['k'], label: 'Select the previous line', run: () => step(-1) },
    { keys: ['o'], label: 'Show the event of the selected line', run: inspectSelected },
    { keys: ['w'], label: 'Wrap long lines', run: setWrap },
    {
      keys: ['t'],
      label: 'Times: off, clock, since start',
      run: () => setTimes(TIME_MODES[(TIME_MODES.indexOf(times) + 1) % 3] ?? 'off'),
    },
    { keys: ['f'], label: 'Follow the end', run: follow },
  ];
  const { registerKeys } = page;
  useEffect(() => registerKeys(keys.current.map((key, i) => ({ ...key, run: () => keys.current[i]?.run() }))), [registerKeys]);

  const drawn: JSX.Element[] = [];
  let widest = 1;
  for (let row = range.from; row < Math.min(range.to, rows.count); row++) {
    const id = rows.id(row);
    const position = model.position(id);
    if (position === null) continue;
    const { chunk, index } = position;
    const number = model.number(position);
    widest = Math.max(widest, String(number ?? '').length);
    const marks = typed.text === '' ? NO_MARKS : search.inLine(position);
    drawn.push(
      <LineRow
        key={id}
        id={id}
        kind={chunk.kind(index)}
        line={shown.get(position)}
        number={number}
        time={timeOf(times, chunk.time(index), startedAt)}
        offset={chunk.offset(index)}
        marks={marks.length === 0 ? NO_MARKS : marks}
        selected={id === targetId || (selected !== null && number !== null && number >= selected.from && number <= selected.to)}
        expanded={expanded.has(id)}
        actions={actions}
      />,
    );
  }

  // Only grows: the horizontal scroll range does not change while the view moves down.
  const width = useRef(0);
  useLayoutEffect(() => {
    if (block.current === null) return;
    if (wrap) width.current = 0;
    else width.current = Math.max(width.current, block.current.scrollWidth);
    block.current.style.minWidth = wrap ? '' : `${width.current}px`;
  });

  const fresh = leftAt === null ? 0 : rows.count - rows.row(leftAt);
  const isEmpty = model.lines === 0;
  return (
    <section class={`log${wrap ? ' log-wrap' : ''}`} aria-label="Log">
      <div class="log-bar" role="toolbar" aria-label="Log tools">
        <SearchField
          field={field}
          text={typed.text}
          regex={typed.regex}
          regexOffered={page.openWorker !== null}
          state={found}
          label="Search in the log"
          among={`${model.lines.toLocaleString('en')} lines`}
          partial={older !== 'none'}
          loading={older === 'loading'}
          onText={(text) => setTyped({ text })}
          onRegex={(regex) => setTyped({ regex })}
          onMove={move}
          onLoadAll={onLoadAll}
          onLeave={() => viewPort.current?.focus({ preventScroll: true })}
        />
        <Toolbar
          mask={mask}
          wrap={wrap}
          times={times}
          live={live}
          following={following}
          onKind={setKind}
          onWrap={setWrap}
          onTimes={setTimes}
          onFollow={follow}
          onDownload={onDownload}
        />
      </div>
      <div class="log-frame">
        <ScrollView parts={parts} name="log" label="Log lines" blockStyle={{ '--log-digits': widest }}>
          {drawn}
        </ScrollView>
        {isEmpty && <div class="log-empty">{empty}</div>}
        {!isEmpty && rows.count === 0 && (
          <div class="log-empty">No line of the kinds chosen. {model.lines.toLocaleString('en')} others are hidden.</div>
        )}
        {older === 'loading' && !isEmpty && (
          <div class="log-note log-note-top" role="status">
            Loading older lines…
          </div>
        )}
        {missing !== null && (
          <div class="log-note log-note-top" role="status">
            There is no line {missing.toLocaleString('en')} in this log.
          </div>
        )}
        {fresh > 0 && (
          <button type="button" class="log-note log-note-end" onClick={() => scroller.toEnd()}>
            {fresh.toLocaleString('en')} {live ? 'new' : 'more'} {fresh === 1 ? 'line' : 'lines'} ↓
          </button>
        )}
      </div>
    </section>
  );
}
