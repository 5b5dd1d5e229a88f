/**
 * One row: number and time next to it, its text, and a button that shows its event. The text is
 * text nodes only.
 */

import { Component, type JSX } from 'preact';
import { KINDS, type Kind } from './chunk.ts';
import type { ShownLine } from './line.ts';
import { lengthOf, type Mark, pieces, type RowPiece, SHOWN_CHARS_MAX } from './row-pieces.ts';
import { toClasses } from './style-classes.ts';

export interface RowActions {
  onSelect(number: number, extend: boolean): void;
  onInspect(offset: number): void;
  onExpand(id: number): void;
}

export interface RowProps {
  id: number;
  kind: Kind;
  line: ShownLine;
  number: number | null;
  /** Null: times are off. */
  time: string | null;
  offset: number;
  marks: readonly Mark[];
  selected: boolean;
  expanded: boolean;
  actions: RowActions;
}

function PieceView({ text, style, href, mark, host }: RowPiece): JSX.Element {
  const look = toClasses(style);
  let inner: JSX.Element | string = text;
  if (href !== null)
    inner = (
      <a class="log-link" href={href} rel="noopener noreferrer" target="_blank" {...(host === undefined ? {} : { title: host })}>
        {text}
      </a>
    );
  if (mark !== 'none') inner = <mark class={mark === 'current' ? 'log-match log-current' : 'log-match'}>{inner}</mark>;
  if (look === null) return <>{inner}</>;
  return (
    <span class={look.class} {...(look.style === undefined ? {} : { style: look.style })}>
      {inner}
    </span>
  );
}

function row({ id, kind, line, number, time, offset, marks, selected, expanded, actions }: RowProps): JSX.Element {
  const length = lengthOf(line);
  const cut = !expanded && length > SHOWN_CHARS_MAX;
  const name = number === null ? KINDS[kind] : `line ${number}`;
  return (
    <div class={`log-row log-${KINDS[kind]}${selected ? ' log-selected' : ''}`} data-id={id}>
      <span class="log-gutter">
        {number === null ? (
          <button
            type="button"
            class="log-number"
            tabIndex={-1}
            aria-label={`Event of this ${name} line`}
            onClick={() => actions.onInspect(offset)}
          >
            {kind === 2 ? '◆' : kind === 3 ? '●' : '·'}
          </button>
        ) : (
          <a
            class="log-number"
            href={`#L${number}`}
            tabIndex={-1}
            onClick={(event) => {
              if (event.ctrlKey || event.metaKey || event.altKey) return;
              event.preventDefault();
              actions.onSelect(number, event.shiftKey);
            }}
          >
            {number}
          </a>
        )}
        {time !== null && <span class="log-time">{time}</span>}
      </span>
      <span class="log-text">
        {pieces(line, marks, expanded ? length : SHOWN_CHARS_MAX).map((piece) => (
          <PieceView key={piece.at} {...piece} />
        ))}
        {cut && (
          <button type="button" class="log-more" onClick={() => actions.onExpand(id)}>
            show all {length.toLocaleString('en')} characters
          </button>
        )}
        {length === 0 && <br />}
      </span>
      <button
        type="button"
        class="log-inspect"
        tabIndex={-1}
        aria-label={`Show the event of ${name}`}
        title="Show the event"
        onClick={() => actions.onInspect(offset)}
      >
        {'{}'}
      </button>
    </div>
  );
}

const same = (a: readonly Mark[], b: readonly Mark[]): boolean =>
  a.length === b.length &&
  a.every((mark, i) => mark.start === b[i]?.start && mark.end === b[i]?.end && mark.current === b[i]?.current);

/** Rendered again only when its input changed: most of a scroll is rows that stay. */
export class LineRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { marks: before, ...was } = this.props;
    const { marks, ...is } = next;
    return !same(before, marks) || (Object.keys(is) as (keyof typeof is)[]).some((name) => was[name] !== is[name]);
  }

  override render(): JSX.Element {
    return row(this.props);
  }
}
