/** One row of the conversation. */

import { Component, type ComponentChildren, type JSX } from 'preact';
import type { Item, NoticeItem, PlanItem, RawItem, ReasoningItem, ToolItem, TurnEndItem } from '../../../agent/index.ts';
import { formatClock, formatDateTime, Icon, type IconName } from '../ui/index.ts';
import type { Folds } from './folds.ts';
import { itemHash } from './item-hash.ts';
import { Markdown } from './markdown.tsx';
import type { Row } from './model.ts';
import { type Answering, Question } from './question.tsx';
import { LongText, readable } from './text-blocks.tsx';
import { Tool } from './tool.tsx';
import { usageText } from './usage.ts';

export interface RowProps {
  row: Row;
  /** Of the question's tool call. */
  tool: ToolItem | null;
  live: boolean;
  selected: boolean;
  folds: Folds;
  answering: Answering;
  /** Of the first row of a run, in the conversation of a session. */
  head?(execution: string): ComponentChildren;
  onSteps(tool: string): void;
  onLog(offset: number): void;
}

const LABELS: Readonly<Record<Item['type'], string>> = {
  message: 'Message',
  reasoning: 'Reasoning',
  tool: 'Tool call',
  plan: 'Plan',
  question: 'Question',
  usage: 'Usage',
  turn_end: 'End of the turn',
  notice: 'Notice',
  raw: 'Output',
};

function content(props: RowProps): ComponentChildren {
  const { row, tool, live, folds, answering, onSteps } = props;
  const { item } = row;
  switch (item.type) {
    case 'message':
      return (
        <div class={`say say-${item.role}`} data-partial={item.partial}>
          <p class="say-who">{item.role === 'user' ? 'User' : 'Agent'}</p>
          <Markdown text={item.markdown} />
        </div>
      );
    case 'reasoning':
      return <Reasoning item={item} folds={folds} />;
    case 'tool':
      return <Tool item={item} steps={row.steps} live={live} folds={folds} onSteps={() => onSteps(item.id)} />;
    case 'plan':
      return <Plan item={item} />;
    case 'question':
      return <Question item={item} tool={tool} folds={folds} answering={answering} />;
    case 'usage':
      return <p class="turn">{usageText(item)}</p>;
    case 'turn_end':
      return <TurnEnd item={item} usage={row.usage ? usageText(row.usage) : ''} />;
    case 'notice':
      return <Note item={item} />;
    case 'raw':
      return <Raw item={item} folds={folds} />;
    default:
      return item satisfies never;
  }
}

function Reasoning({ item: { key, markdown, partial }, folds }: { item: ReasoningItem; folds: Folds }) {
  const isOpen = folds.isOpen(key, false);
  return (
    <div class="think" data-partial={partial}>
      <button type="button" class="think-head" aria-expanded={isOpen} onClick={() => folds.set(key, !isOpen)}>
        <Icon name={isOpen ? 'chevron-down' : 'chevron-right'} />
        <span class="think-name">Reasoning</span>
        {isOpen ? null : <span class="think-preview">{readable(preview(markdown, partial === true))}</span>}
      </button>
      {isOpen ? <Markdown text={markdown} /> : null}
    </div>
  );
}

const PREVIEW_CHARS = 200;

/** Of a text that is being written, its end. Without marks of Markdown. */
const preview = (text: string, isWritten: boolean): string =>
  (isWritten && text.length > PREVIEW_CHARS ? `…${text.slice(-PREVIEW_CHARS)}` : text.slice(0, PREVIEW_CHARS))
    .replace(/[*`#]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();

const MARKS = { open: '☐', active: '▶', done: '☑' } as const;
const WORDS = { open: 'open', active: 'in progress', done: 'done' } as const;

function Plan({ item: { entries } }: { item: PlanItem }) {
  const done = entries.filter(({ state }) => state === 'done').length;
  return (
    <div class="plan">
      <p class="plan-head">
        Plan{' '}
        <span class="talk-muted">
          {done} of {entries.length} done
        </span>
      </p>
      <ul>
        {entries.map(({ text, state }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: an entry has no other name than its place
          <li key={i} data-state={state}>
            <span class="plan-mark" aria-hidden="true">
              {MARKS[state]}
            </span>
            <span>
              {readable(text)}
              <span class={state === 'active' ? 'plan-word' : 'visually-hidden'}> {WORDS[state]}</span>
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

const ENDS: Readonly<Record<TurnEndItem['state'], string>> = {
  done: 'Turn done',
  failed: 'Turn failed',
  interrupted: 'Turn interrupted',
  unknown: 'The agent did not report the end of this turn',
};

function TurnEnd({ item: { state, text }, usage }: { item: TurnEndItem; usage: string }) {
  return (
    <div class="turn" data-state={state}>
      <p class="turn-line">
        <strong>{ENDS[state]}</strong>
        {usage === '' ? null : <span> · {usage}</span>}
      </p>
      {text === null || text === '' ? null : <p class="turn-text">{readable(text)}</p>}
    </div>
  );
}

const ICONS: Readonly<Record<NoticeItem['level'], IconName>> = { info: 'info', warning: 'warning', error: 'warning' };
const LEVELS: Readonly<Record<NoticeItem['level'], string>> = { info: '', warning: 'Warning: ', error: 'Error: ' };

function Note({ item: { level, text } }: { item: NoticeItem }) {
  return (
    <p class="note" data-level={level}>
      <Icon name={ICONS[level]} />
      <span>
        <strong>{LEVELS[level]}</strong>
        {readable(text)}
      </span>
    </p>
  );
}

/** A line that is short is shown; a long one is JSON mostly, and is folded. */
const RAW_SHOWN_CHARS = 240;

function Raw({ item: { key, text, stream }, folds }: { item: RawItem; folds: Folds }) {
  const shown = readable(text).trimEnd();
  const isLong = stream === undefined && shown.length > RAW_SHOWN_CHARS;
  const isOpen = folds.isOpen(key, false);
  const name = stream === undefined ? 'Line' : stream;
  if (!isLong || isOpen) {
    return (
      <div class="raw" data-stream={stream}>
        {isLong ? (
          <button type="button" class="raw-head" aria-expanded={true} onClick={() => folds.set(key, false)}>
            <Icon name="chevron-down" />
            {name}
          </button>
        ) : (
          <p class="raw-name">{name}</p>
        )}
        <LongText text={shown} name={`${key}/text`} folds={folds} label={name} />
      </div>
    );
  }
  return (
    <div class="raw" data-stream={stream}>
      <button type="button" class="raw-head" aria-expanded={false} onClick={() => folds.set(key, true)}>
        <Icon name="chevron-right" />
        {name}
        <code class="raw-preview">{shown.slice(0, RAW_SHOWN_CHARS)}</code>
      </button>
    </div>
  );
}

/** Drawn again only when its input changed: most of a scroll is rows that stay. */
export class ConversationRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => this.props[name] !== next[name]);
  }

  override render(): JSX.Element {
    const { row, selected, head, onLog } = this.props;
    const { id, item, depth, turn } = row;
    const time = formatClock(item.at).slice(0, 8);
    const label = LABELS[item.type].toLowerCase();
    return (
      <div
        class={`talk-row talk-${item.type}${selected ? ' talk-selected' : ''}`}
        data-id={id}
        data-key={item.key}
        data-depth={depth === 0 ? undefined : Math.min(depth, 3)}
      >
        <div class="talk-content">
          {turn !== undefined && head ? head(turn) : null}
          {content(this.props)}
        </div>
        <div class="talk-place">
          <a class="talk-time" href={itemHash(item.key)} title={`${formatDateTime(item.at)}: link to this ${label}`}>
            {time}
          </a>
          <button type="button" class="talk-log" title={`Show this ${label} in the log`} onClick={() => onLog(item.from)}>
            Log
          </button>
        </div>
      </div>
    );
  }
}
