/**
 * The conversation with an agent: what it said, did and asked. A chunk of its own, with the readers
 * of `agent/` and the parser of Markdown: a page of other runs does not load it.
 *
 *   model       the rows: items in order, those of sub-agents below their tool call
 *   row         one row; tool, diff, question, text-blocks: its parts; folds: what is open
 *   markdown    Markdown as elements; markdown-tokens: the parser and its limits; links
 *   next-message  the message that begins the next run
 *   item-hash, use-item-link   links to items
 *   searched, use-find         the search, which is that of the log
 *   session-conversation, turns-reader   the runs of a session as turns of one conversation
 *   usage       tokens and cost as text
 *
 * Scrolling is that of the log (`../log/scroller.ts`): only rows near the view are drawn.
 */

import type { ComponentChildren, JSX } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type AgentFormat, ConversationReader, type Item, type Summary, type ToolItem } from '../../../agent/index.ts';
import type { Execution } from '../../../protocol/index.ts';
import { useApp, useHash } from '../app/context.ts';
import type { KeyBinding } from '../app/keys.ts';
import { executionPath } from '../app/router.ts';
import type { AgentEvents } from '../execution/agent-events.ts';
import type { Draft } from '../execution/hooks.ts';
import { usePage } from '../log/panel.tsx';
import { ScrollView } from '../log/scroll-view.tsx';
import { SearchField } from '../log/toolbar.tsx';
import { useModelVersion, useScroller } from '../log/use-scroller.ts';
import { CopyButton, formatCount } from '../ui/index.ts';
import './conversation.css';
import { type FoldState, foldsOf, NO_FOLDS, withFold } from './folds.ts';
import { itemHash } from './item-hash.ts';
import { ConversationModel, type Reader } from './model.ts';
import { NextMessage } from './next-message.tsx';
import type { Answering } from './question.tsx';
import { ConversationRow } from './row.tsx';
import { usageText } from './usage.ts';
import { useFind } from './use-find.ts';
import { useItemLink } from './use-item-link.ts';

export { encodeMessage } from '../../../agent/index.ts';

export interface ConversationPanelProps {
  /** The events of the run. */
  events: AgentEvents;
  format: AgentFormat;
  /** Of a session: reads the events of all its runs. Default: one run in this format. */
  reader?: () => Reader;
  /** Of a session: stands above the first row of each run. */
  turnHead?(execution: string): ComponentChildren;
  /** The run continues: offer to follow. */
  live: boolean;
  older: 'none' | 'available' | 'loading';
  onOlder(): void;
  /** Loads all older events: for a search of everything. */
  onLoadAll(): void;
  /** Loads older events until this one is loaded. */
  onGoToOffset(offset: number): Promise<boolean>;
  /** Shows the line of this event in the log. */
  onLog(offset: number): void;
  answering: Answering;
  /** The run, when it has ended and this page may begin the next one. */
  next: Execution | null;
  /** Default: goes to the page of the run that began. */
  onNext?(started: Execution): void;
  /** The next message is on its way; `next` must stay until it is there. */
  onNextBusy?(busy: boolean): void;
  /** What `next` is continued with. Default: the summary of what is shown. */
  nextSummary?(next: Execution): Summary;
  /** The next message while it is written. */
  draft?: Draft;
  /** The runs that it continues, and that continue it. */
  turns: { session: string; before: string | null; after: readonly string[] };
  /** Shown in place of the rows while there is none. */
  empty: ComponentChildren;
}

/** Older events are requested when fewer than this many rows are left above. */
const OLDER_ROWS = 60;
const SIZES = { rowPx: 32, spareRows: 12 };

export default function ConversationPanel(props: ConversationPanelProps): JSX.Element {
  const { events, format, live, older, onOlder, onLoadAll, onGoToOffset, onLog, answering, next, turns, empty, reader } = props;
  const { registerKeys } = useApp();
  const hash = useHash();
  const model = useMemo(
    () => events.sink(() => new ConversationModel(reader ?? (() => new ConversationReader(format)))),
    [events, format, reader],
  );
  const version = useModelVersion(model);
  /** The newest row when the view left the end. */
  const [leftAt, setLeftAt] = useState<number | null>(null);
  const onEnd = (atEnd: boolean) => setLeftAt((before) => (atEnd ? null : (before ?? model.id(model.count - 1))));
  const parts = useScroller(model, model, true, onEnd, SIZES);
  const { scroller, range, block } = parts;
  const following = live && scroller.atEnd;

  const [state, setState] = useState<FoldState>(NO_FOLDS);
  // What is opened or closed stays where it is, also at the end of the conversation.
  const hold = useRef(() => {});
  hold.current = () => scroller.pause();
  const setFold = useCallback((name: string, open: boolean) => {
    hold.current();
    setState((before) => withFold(before, name, open));
  }, []);
  const folds = useMemo(() => foldsOf(state, setFold), [state, setFold]);
  const onSteps = useCallback(
    (tool: string) => {
      hold.current();
      model.toggle(tool);
    },
    [model],
  );
  const log = useRef(onLog);
  log.current = onLog;
  const toLog = useCallback((offset: number) => log.current(offset), []);

  const { selected, missing } = useItemLink(model, version, hash, onGoToOffset, (id) => scroller.show(id, undefined, false));

  const page = usePage();
  const { field, typed, setTyped, search, move, focus } = useFind(model, parts, page, (item) => {
    for (const name of foldsAround(item)) setFold(name, true);
    const id = model.reveal(item.key);
    if (id !== null) scroller.show(id, undefined, true);
  });

  const nearTop = scroller.topRow < OLDER_ROWS;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when rows came or the view moved, and once for each
  useEffect(() => {
    if (nearTop && older === 'available') onOlder();
  }, [nearTop, older, version, range]);

  // A font that arrives, or a window that changes, changes the height of rows.
  useLayoutEffect(() => {
    const { current } = block;
    if (current === null || typeof ResizeObserver === 'undefined') return;
    const observer = new ResizeObserver(() => scroller.update());
    observer.observe(current);
    return () => observer.disconnect();
  }, [block, scroller]);

  const step = (by: number): void => {
    const at = model.rows.findIndex(({ item }) => item.key === selected);
    const next = model.rows[at < 0 ? scroller.topRow : at + by];
    if (next) location.replace(itemHash(next.item.key));
  };
  const expandAll = (): void => {
    scroller.pause();
    setState(({ all }) => ({ chosen: new Map(), all: all !== true }));
  };
  const follow = (): void => (scroller.atEnd ? scroller.pause() : scroller.toEnd());
  const keys = useRef<KeyBinding[]>([]);
  keys.current = [
    { keys: ['/'], label: 'Search in the conversation', run: focus },
    { keys: ['n'], label: 'Next match', run: () => move(1) },
    { keys: ['N'], label: 'Previous match', run: () => move(-1) },
    { keys: ['g'], label: 'To the beginning', run: () => scroller.toTop() },
    { keys: ['G'], label: 'To the end', run: () => scroller.toEnd() },
    { keys: ['j'], label: 'Select the next item', run: () => step(1) },
    { keys: ['k'], label: 'Select the previous item', run: () => step(-1) },
    { keys: ['x'], label: 'Expand or collapse everything', run: expandAll },
    { keys: ['f'], label: 'Follow the end', run: follow },
  ];
  useEffect(
    () => registerKeys(keys.current.map((key, i) => ({ ...key, run: (press) => keys.current[i]?.run(press) }))),
    [registerKeys],
  );

  const drawn: JSX.Element[] = [];
  for (let at = range.from; at < Math.min(range.to, model.count); at += 1) {
    const row = model.rows[at];
    if (!row) continue;
    const { item } = row;
    drawn.push(
      <ConversationRow
        key={row.id}
        row={row}
        tool={item.type === 'question' && item.tool !== undefined ? toolOf(model, item.tool) : null}
        live={live}
        selected={item.key === selected}
        folds={folds}
        answering={answering}
        {...(row.turn !== undefined && props.turnHead ? { head: props.turnHead } : {})}
        onSteps={onSteps}
        onLog={toLog}
      />,
    );
  }

  const { model: name, sessionId, usage, format: decided } = model.summary;
  const totals = usageText(usage);
  const fresh = leftAt === null ? 0 : model.count - 1 - model.row(leftAt);
  return (
    <section class="talk" aria-label="Conversation">
      <div class="talk-bar" role="toolbar" aria-label="Conversation tools">
        <dl class="talk-facts">
          <div>
            <dt class="visually-hidden">Agent</dt>
            <dd class="talk-agent">{AGENTS[decided]}</dd>
          </div>
          {name === null ? null : (
            <div>
              <dt>Model</dt>
              <dd class="talk-model" title={name}>
                {name}
              </dd>
            </div>
          )}
          {totals === '' ? null : (
            <div>
              <dt>Used</dt>
              <dd class="num" title={older === 'none' ? undefined : 'Of the part that is loaded'}>
                {older === 'none' ? '' : 'at least '}
                {totals}
              </dd>
            </div>
          )}
          {sessionId === null ? null : (
            <div class="talk-session">
              <dt>Its session</dt>
              <dd>
                <code title={sessionId}>{sessionId}</code>{' '}
                <CopyButton text={sessionId} label="Copy the id with which the agent resumes" />
              </dd>
            </div>
          )}
          {turns.before === null ? null : <Turn name="Continues" session={turns.session} execution={turns.before} />}
          {turns.after.map((id) => (
            <Turn key={id} name="Continued by" session={turns.session} execution={id} />
          ))}
        </dl>
        <SearchField
          field={field}
          text={typed.text}
          regex={typed.regex}
          regexOffered={page.openWorker !== null}
          state={search.state}
          label="Search in the conversation"
          among={`${formatCount(model.items.length)} items`}
          partial={older !== 'none'}
          loading={older === 'loading'}
          onText={(text) => setTyped({ text })}
          onRegex={(regex) => setTyped({ regex })}
          onMove={move}
          onLoadAll={onLoadAll}
          onLeave={() => parts.viewPort.current?.focus({ preventScroll: true })}
        />
        <div class="talk-tools">
          <button
            type="button"
            class="log-button"
            aria-pressed={state.all === true}
            title="Expand or collapse everything (x)"
            onClick={expandAll}
          >
            Expand all
          </button>
          {live ? (
            <button type="button" class="log-button" aria-pressed={following} title="Follow the end (f)" onClick={follow}>
              Follow
            </button>
          ) : null}
        </div>
      </div>
      <div class="talk-frame">
        <ScrollView parts={parts} name="talk" label="Messages">
          {drawn}
        </ScrollView>
        {model.count === 0 ? <div class="log-empty">{empty}</div> : null}
        {older === 'loading' && model.count > 0 ? (
          <div class="log-note log-note-top" role="status">
            Loading what was before…
          </div>
        ) : null}
        {missing ? (
          <div class="log-note log-note-top" role="status">
            There is no such item in this conversation.
          </div>
        ) : null}
        {fresh > 0 ? (
          <button type="button" class="log-note log-note-end" onClick={() => scroller.toEnd()}>
            {formatCount(fresh)} new {fresh === 1 ? 'item' : 'items'} ↓
          </button>
        ) : null}
      </div>
      {next ? (
        <NextMessage
          last={next}
          summary={props.nextSummary?.(next) ?? model.summary}
          isWhole={older === 'none'}
          errorText={answering.errorText}
          onStarted={props.onNext}
          onBusy={props.onNextBusy}
          draft={props.draft}
        />
      ) : null}
    </section>
  );
}

/** The names of the parts that hide something of the item. */
function foldsAround(item: Item): string[] {
  const { key } = item;
  if (item.type === 'raw') return [key, `${key}/text`];
  if (item.type === 'reasoning') return [key];
  if (item.type !== 'tool') return [];
  const { input, diff = [] } = item;
  const fields = typeof input === 'object' && input !== null ? Object.keys(input) : [];
  return [
    ...[key, `${key}/input`, `${key}/output`, `${key}/diff`],
    ...fields.map((each) => `${key}/input/${each}`),
    ...diff.map((_, i) => `${key}/diff/${i}`),
  ];
}

/** A link to another run of the same conversation. */
function Turn({ name, session, execution }: { name: string; session: string; execution: string }) {
  return (
    <div class="talk-session">
      <dt>{name}</dt>
      <dd>
        <a href={executionPath(session, execution)}>{execution}</a>
      </dd>
    </div>
  );
}

const AGENTS: Readonly<Record<AgentFormat, string>> = {
  claude: 'Claude Code',
  codex: 'Codex',
  opencode: 'OpenCode',
  acp: 'Agent Client Protocol',
  jsonl: 'JSON lines',
  auto: 'Agent not known yet',
};

function toolOf(model: ConversationModel, id: string): ToolItem | null {
  const item = model.tool(id);
  return item?.type === 'tool' ? item : null;
}
