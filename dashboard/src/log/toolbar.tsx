/** Above the lines: kinds, display options, the search, and the download. */

import type { JSX, RefObject } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { KINDS } from './chunk.ts';
import { MATCHES_MAX } from './match.ts';
import type { SearchState } from './search.ts';
import { TIME_MODES, type TimeMode } from './times.ts';

const count = (value: number): string => value.toLocaleString('en');

function Toggle({
  on,
  label,
  title,
  onToggle,
  class: name = '',
}: {
  on: boolean;
  label: string;
  title: string;
  onToggle(): void;
  class?: string;
}): JSX.Element {
  return (
    <button type="button" class={`log-button ${name}`} aria-pressed={on} title={title} onClick={onToggle}>
      {label}
    </button>
  );
}

export interface SearchFieldProps {
  field: RefObject<HTMLInputElement | null>;
  text: string;
  regex: boolean;
  regexOffered: boolean;
  state: SearchState;
  label: string;
  /** What was searched, such as `1,200 lines`. */
  among: string;
  /** Older lines are not loaded: the search has not covered them. */
  partial: boolean;
  loading: boolean;
  onText(text: string): void;
  onRegex(regex: boolean): void;
  onMove(by: 1 | -1): void;
  onLoadAll(): void;
  onLeave(): void;
}

/** The number of matches, and of searched lines: `12 of 3,400`. */
export function outcome({ total, current, done, capped, error }: SearchState): string {
  if (error !== null) return error;
  if (total === 0) return done ? 'no match' : 'searching…';
  const all = `${count(Math.min(total, MATCHES_MAX))}${capped ? '+' : done ? '' : '…'}`;
  return current === null ? `${all} ${total === 1 ? 'match' : 'matches'}` : `${count(current)} of ${all}`;
}

export function SearchField(props: SearchFieldProps): JSX.Element {
  const { field, text, regex, regexOffered, state, label, among, partial, loading, onText, onRegex, onMove, onLoadAll, onLeave } =
    props;
  return (
    <search class="log-search">
      <div class="log-search-box">
        <input
          ref={field}
          type="search"
          class="log-search-input"
          placeholder="Search"
          aria-label={label}
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') onMove(event.shiftKey ? -1 : 1);
            else if (event.key === 'Escape') onLeave();
            else return;
            event.preventDefault();
          }}
        />
        {regexOffered && (
          <Toggle class="log-regex" on={regex} label=".*" title="Regular expression" onToggle={() => onRegex(!regex)} />
        )}
        <button
          type="button"
          class="log-button"
          aria-label="Previous match"
          title="Previous match (N)"
          disabled={state.total === 0}
          onClick={() => onMove(-1)}
        >
          ↑
        </button>
        <button
          type="button"
          class="log-button"
          aria-label="Next match"
          title="Next match (n)"
          disabled={state.total === 0}
          onClick={() => onMove(1)}
        >
          ↓
        </button>
      </div>
      {text !== '' && (
        <p class={`log-outcome${state.error === null ? '' : ' log-error'}`} role="status">
          {outcome(state)}
          {partial && state.error === null && (
            <>
              {' '}
              in the {among} loaded; <LoadAll loading={loading} onLoadAll={onLoadAll} onGone={onLeave} />
            </>
          )}
        </p>
      )}
    </search>
  );
}

/**
 * It stays while it works, and does not hold the focus when it is removed: the page would lose the
 * focus, and a keyboard user the position.
 */
function LoadAll({ loading, onLoadAll, onGone }: { loading: boolean; onLoadAll(): void; onGone(): void }): JSX.Element {
  const button = useRef<HTMLButtonElement>(null);
  const gone = useRef(onGone);
  gone.current = onGone;
  useLayoutEffect(() => {
    const { current } = button;
    return () => {
      if (current !== null && document.activeElement === current) gone.current();
    };
  }, []);
  return (
    <button type="button" class="log-inline" ref={button} aria-disabled={loading} onClick={() => loading || onLoadAll()}>
      {loading ? 'loading older lines…' : 'load all'}
    </button>
  );
}

export interface ToolbarProps {
  mask: number;
  wrap: boolean;
  times: TimeMode;
  live: boolean;
  following: boolean;
  onKind(kind: number): void;
  onWrap(): void;
  onTimes(mode: TimeMode): void;
  onFollow(): void;
  onDownload(kind: 'text' | 'jsonl'): void;
}

const TIME_LABELS: Record<TimeMode, string> = { off: 'No times', clock: 'Clock time', since: 'Since start' };

const ALL_KINDS = (1 << KINDS.length) - 1;

/**
 * Without space for everything, lines and view are behind one button: log.css decides, so that
 * nothing is drawn twice.
 */
export function Toolbar(props: ToolbarProps): JSX.Element {
  const { mask, wrap, times, live, following, onKind, onWrap, onTimes, onFollow, onDownload } = props;
  const [open, setOpen] = useState(false);
  const id = useId();
  const tools = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const isEscape = (event as KeyboardEvent).key === 'Escape';
      const isOutside = (box: HTMLElement | null) => event.type === 'pointerdown' && !box?.contains(event.target as Node);
      if (isEscape || isOutside(menu.current)) menu.current?.removeAttribute('open');
      if (isEscape && tools.current?.contains(document.activeElement)) button.current?.focus();
      if (isEscape || isOutside(tools.current)) setOpen(false);
    };
    document.addEventListener('pointerdown', close);
    document.addEventListener('keydown', close);
    return () => {
      document.removeEventListener('pointerdown', close);
      document.removeEventListener('keydown', close);
    };
  }, []);
  const download = (kind: 'text' | 'jsonl'): void => {
    menu.current?.removeAttribute('open');
    setOpen(false);
    onDownload(kind);
  };
  return (
    <>
      {live && <Toggle on={following} label="Follow" title="Follow the end (f)" onToggle={onFollow} />}
      <div class="log-tools" ref={tools}>
        <button
          type="button"
          class="log-button log-options-button"
          ref={button}
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        >
          {mask === ALL_KINDS ? 'View' : 'View (filtered)'}
        </button>
        <div class="log-options" id={id} data-open={open}>
          {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a part of
              a toolbar */}
          <div class="log-group log-kinds" role="group" aria-label="Lines shown">
            {KINDS.map((name, kind) => (
              <Toggle
                key={name}
                class={`log-kind-${name}`}
                on={(mask & (1 << kind)) !== 0}
                label={name}
                title={`Show ${name} lines`}
                onToggle={() => onKind(kind)}
              />
            ))}
          </div>
          {/* biome-ignore lint/a11y/useSemanticElements: as above */}
          <div class="log-group" role="group" aria-label="View">
            <Toggle on={wrap} label="Wrap" title="Wrap long lines (w)" onToggle={onWrap} />
            <select
              class="log-button"
              aria-label="Times"
              title="Times (t)"
              value={times}
              onChange={(event) => onTimes(TIME_MODES.find((mode) => mode === event.currentTarget.value) ?? 'off')}
            >
              {TIME_MODES.map((mode) => (
                <option key={mode} value={mode}>
                  {TIME_LABELS[mode]}
                </option>
              ))}
            </select>
            <details class="log-menu" ref={menu}>
              <summary class="log-button">Download</summary>
              <div class="log-menu-items">
                <button type="button" onClick={() => download('text')}>
                  Plain text
                </button>
                <button type="button" onClick={() => download('jsonl')}>
                  Events as JSONL
                </button>
              </div>
            </details>
          </div>
        </div>
      </div>
    </>
  );
}
