/** One pool: its figures, its runners with what runs there, and the first that wait. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { HoldfastError } from '../../../client/index.ts';
import { type PoolSummary, type PoolView, type RunnerView, waitReasonText } from '../../../protocol/index.ts';
import { callFailureText } from '../app/access.ts';
import { useApp } from '../app/context.ts';
import { executionPath } from '../app/router.ts';
import { asHoldfastError } from '../app/use-list.ts';
import { Ago, Button, Duration, formatCount, Icon, type IconName, useNow } from '../ui/index.ts';
import { inOrder, isGone, runnerStateDetail, runnerStateText, runnersText, runStateText, slotsText } from './describe.ts';
import { PoolJoin } from './join.tsx';

/** So many of each are drawn before the reader asks for all of them. */
const RUNNERS_SHOWN = 50;
const RUNS_SHOWN = 4;
const LABELS_SHOWN = 8;
const QUEUE_SHOWN = 5;

interface Props {
  summary: PoolSummary;
  view: PoolView | null;
  error: HoldfastError | null;
  open: boolean;
  onOpen(open: boolean): void;
  onRetry(): void;
}

export function Pool({ summary, view, error, open, onOpen, onRetry }: Props) {
  const { id } = summary;
  const title = `pool-${id}`;
  const body = `${title}-body`;
  return (
    <section class="pool" aria-labelledby={title}>
      <header class="pool-head">
        <h2 id={title}>
          <span class="muted">Pool</span> {id}
        </h2>
        <Button
          kind="ghost"
          size="small"
          icon={open ? 'chevron-down' : 'chevron-right'}
          aria-expanded={open}
          aria-controls={body}
          aria-label={`Runners of the pool ${id}`}
          title={open ? 'Hide the runners' : 'Show the runners'}
          onClick={() => onOpen(!open)}
        />
      </header>
      <Figures summary={summary} view={view} />
      <div id={body} class="pool-body" hidden={!open}>
        {view ? (
          <>
            <Queue view={view} />
            {view.runners.some((runner) => !isGone(runner)) ? null : (
              <div class="list-empty">
                <PoolJoin pool={id} />
              </div>
            )}
            {view.runners.length > 0 ? <Runners pool={id} runners={view.runners} onRemoved={onRetry} /> : null}
          </>
        ) : error ? (
          <p class="list-failed" role="status">
            <Icon name="warning" />
            <span>The runners of this pool could not be read: {callFailureText(error)}.</span>
            <Button size="small" onClick={onRetry}>
              Try again
            </Button>
          </p>
        ) : open ? (
          <p class="muted appear-late">Loading …</p>
        ) : null}
      </div>
    </section>
  );
}

function Figures({ summary, view }: { summary: PoolSummary; view: PoolView | null }) {
  const { runners, waiting, oldestWaitingAt } = summary;
  return (
    <dl class="facts">
      <div>
        <dt>Runners</dt>
        <dd class="num">{view ? runnersText(view.runners) : runners === 0 ? 'none' : `${formatCount(runners)} connected`}</dd>
      </div>
      <div>
        <dt>Slots</dt>
        <dd class="num">{slotsText(summary)}</dd>
      </div>
      <div>
        <dt>Waiting</dt>
        <dd class="num">{waiting === 0 ? 'none' : formatCount(waiting)}</dd>
      </div>
      {waiting > 0 && oldestWaitingAt !== undefined ? (
        <div>
          <dt>Oldest wait</dt>
          <dd>
            <Duration from={oldestWaitingAt} />
          </dd>
        </div>
      ) : null}
    </dl>
  );
}

// ── what waits ──────────────────────────────────────────────────────────────────────────────────

function Queue({ view: { id, queue, waiting } }: { view: PoolView }) {
  const [all, setAll] = useState(false);
  if (queue.length === 0) return null;
  const shown = all ? queue : queue.slice(0, QUEUE_SHOWN);
  const hidden = queue.length - shown.length;
  const unlisted = waiting - queue.length;
  return (
    <div class="queue">
      <h3 id={`queue-${id}`}>{waiting > 1 ? 'First of those that wait' : 'Waits for a runner'}</h3>
      <ol class="rows queue-rows" aria-labelledby={`queue-${id}`}>
        {shown.map(({ session, execution, priority, since, reason }) => (
          <li class="row" key={`${session}/${execution}`}>
            <RunLink session={session} execution={execution} />
            <span class="queue-reason">
              {waitReasonText(reason)}
              {priority === 0 ? null : <span class="muted num"> · priority {priority}</span>}
            </span>
            <span class="queue-since muted">
              waits <Duration from={since} />
            </span>
          </li>
        ))}
      </ol>
      {hidden > 0 ? (
        <Button size="small" kind="ghost" onClick={() => setAll(true)}>
          {`Show ${formatCount(hidden)} more`}
        </Button>
      ) : unlisted > 0 && (all || queue.length <= QUEUE_SHOWN) ? (
        <p class="muted">
          {formatCount(unlisted)} more {unlisted === 1 ? 'waits' : 'wait'}.
        </p>
      ) : null}
    </div>
  );
}

/** Session and execution; the session's name is what people chose. */
function RunLink({ session, execution }: { session: string; execution: string }) {
  return (
    <a class="run-link" href={executionPath(session, execution)} title={`${session}/${execution}`}>
      {session}
      <span class="run-id">
        <span class="muted"> / </span>
        {execution}
      </span>
    </a>
  );
}

// ── runners ─────────────────────────────────────────────────────────────────────────────────────

const COLUMNS = ['Runner', 'State', 'Slots', 'Runs', 'Version', 'Last heard'];

interface RunnersProps {
  pool: string;
  runners: readonly RunnerView[];
  onRemoved(): void;
}

function Runners({ pool, runners, onRemoved }: RunnersProps) {
  const [all, setAll] = useState(false);
  const ordered = inOrder(runners);
  const shown = all ? ordered : ordered.slice(0, RUNNERS_SHOWN);
  return (
    <div class="list" data-of="runners">
      <div class="row row-head" aria-hidden="true">
        {COLUMNS.map((name) => (
          <span key={name}>{name}</span>
        ))}
      </div>
      <ol class="rows" aria-label={`runners of the pool ${pool}`}>
        {shown.map((runner) => (
          <RunnerRow key={runner.id} pool={pool} runner={runner} onRemoved={onRemoved} />
        ))}
      </ol>
      {shown.length < ordered.length ? (
        <div class="list-more">
          <Button onClick={() => setAll(true)}>{`Show all ${formatCount(ordered.length)} runners`}</Button>
        </div>
      ) : null}
    </div>
  );
}

function RunnerRow({ pool, runner, onRemoved }: { pool: string; runner: RunnerView; onRemoved(): void }) {
  const { id, name, labels, slots, busy, version, lastHeardAt, runs } = runner;
  return (
    <li class="row">
      <span class="runner-name">
        <span class="runner-title" title={`${name}, ${id}`}>
          {name}
        </span>
        <Labels labels={labels} />
      </span>
      <span class="runner-state">
        <RunnerState runner={runner} />
        {isGone(runner) ? <RemoveRunner pool={pool} runner={runner} onRemoved={onRemoved} /> : null}
      </span>
      <span class="runner-slots num">
        <span>
          {formatCount(busy)} of {formatCount(slots)}
          <span class="runner-word"> slots</span>
        </span>
        <progress value={Math.min(busy, slots)} max={slots} aria-hidden="true" />
      </span>
      <span class="runner-runs">
        <Runs runs={runs} />
      </span>
      <span class="runner-version">
        <span class="runner-word">version </span>
        {version}
      </span>
      <span class="runner-heard muted">
        <span class="visually-hidden">last heard </span>
        <Ago at={lastHeardAt} />
      </span>
    </li>
  );
}

const MARKS: Readonly<Record<string, IconName>> = {
  connected: 'check',
  draining: 'arrow-down',
  too_old: 'warning',
  lost: 'close',
};

function RunnerState({ runner }: { runner: RunnerView }) {
  const { state, failing } = runner;
  const detail = runnerStateDetail(runner, useNow(failing !== undefined));
  return (
    <>
      <span class="status" data-runner={state}>
        <Icon name={MARKS[state] ?? 'info'} />
        {runnerStateText(state)}
      </span>
      {detail === null ? null : <span class="row-beside muted num"> {detail}</span>}
    </>
  );
}

/** Its jobs go on and it may come back, so nothing is asked first. */
function RemoveRunner({ pool, runner: { id, name }, onRemoved }: { pool: string; runner: RunnerView; onRemoved(): void }) {
  const { client, toast } = useApp();
  const [busy, setBusy] = useState(false);
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      await client.removeRunner(pool, id);
      toast(`${name} is removed from the pool ${pool}.`);
    } catch (error) {
      // Already removed by another request: the wanted state is reached.
      if (!(error instanceof HoldfastError && error.code === 'runner_not_found')) {
        toast(`${name} could not be removed: ${callFailureText(asHoldfastError(error))}.`, 'error');
      }
    } finally {
      setBusy(false);
    }
    onRemoved();
  };
  return (
    <Button size="small" kind="ghost" icon="trash" aria-label={`Remove ${name} from the list`} disabled={busy} onClick={remove}>
      Remove
    </Button>
  );
}

function Labels({ labels }: Pick<RunnerView, 'labels'>) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return (
    <Some items={entries} max={LABELS_SHOWN} class="labels" label="labels">
      {([key, value]) => (
        <li class="label" key={key} title={`${key}=${value}`}>
          <span class="muted">{key}</span> {value}
        </li>
      )}
    </Some>
  );
}

function Runs({ runs }: Pick<RunnerView, 'runs'>) {
  if (runs.length === 0) return <span class="runner-idle muted">nothing</span>;
  return (
    <Some items={runs} max={RUNS_SHOWN} class="runs" label="runs">
      {({ session, execution, state, since }) => {
        const word = runStateText(state);
        return (
          <li key={`${session}/${execution}`}>
            <RunLink session={session} execution={execution} />
            <span class="run-state muted">{word ?? (since === undefined ? null : <Duration from={since} />)}</span>
          </li>
        );
      }}
    </Some>
  );
}

/** The first of a list, and a button for the rest. */
function Some<T>({
  items,
  max,
  class: name,
  label,
  children,
}: {
  items: readonly T[];
  max: number;
  class: string;
  label: string;
  children: (item: T) => ComponentChildren;
}) {
  const [all, setAll] = useState(false);
  const shown = all ? items : items.slice(0, max);
  return (
    <ul class={name} aria-label={label}>
      {shown.map(children)}
      {shown.length < items.length ? (
        <li>
          <button type="button" class="more" onClick={() => setAll(true)}>
            {formatCount(items.length - shown.length)} more<span class="visually-hidden"> {label}</span>
          </button>
        </li>
      ) : null}
    </ul>
  );
}
