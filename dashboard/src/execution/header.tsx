/** The run's name, its state, and its actions. Sticky, and short on a phone. */

import type { ComponentChildren } from 'preact';
import { silentForMs } from '../../../protocol/index.ts';
import { executionPath } from '../app/router.ts';
import { Ago, CopyButton, Duration, formatDateTime, StatusBadge, useNow } from '../ui/index.ts';
import { formatCommand } from './command-line.ts';
import { Moment, timeOfDay } from './components.tsx';
import { RERUN_LABEL } from './details.tsx';
import { exitText } from './messages.ts';
import { isTerminal, type Status } from './model.ts';
import { askedFirst, type Facts, waitsForRunner } from './run-facts.ts';

interface Props {
  facts: Facts;
  connection: ComponentChildren;
  actions: ComponentChildren;
  /** "Interrupting…" */
  progress: string | null;
  /** It was deleted while it was watched: it does not continue, and no newer state exists. */
  gone: boolean;
  /** Newer runs that repeat this one. */
  reruns: readonly string[];
}

export function Header({ facts, connection, actions, progress, gone, reruns }: Props) {
  const { execution, wrapper } = facts;
  const { session, status, command } = execution;
  const text = formatCommand(command);
  const result = exitText(execution.exitCode, execution.signal);
  const original = execution.labels[RERUN_LABEL];
  const newest = reruns[0];
  return (
    <header class="exec-head">
      <div class="exec-head-main">
        {gone && !isTerminal(status) ? (
          <span class="status" data-status="deleted">
            Deleted
          </span>
        ) : (
          <StatusBadge
            status={status}
            waiting={execution.waiting !== undefined}
            asking={askedFirst(facts) !== null}
            {...(wrapper.state === 'none' ? {} : { connected: wrapper.state === 'connected' })}
            {...(wrapper.graceUntil === null ? {} : { graceUntil: wrapper.graceUntil })}
          />
        )}
        <h1 class="exec-command" title={text}>
          {text}
        </h1>
        <CopyButton text={text} label="Copy the command" />
      </div>
      <div class="exec-actions">{actions}</div>
      <div class="exec-head-facts">
        <span class="exec-strong">
          {gone && !isTerminal(status) ? `was ${WAS[status]} when it was deleted` : <RunTime facts={facts} />}
        </span>
        <Place execution={execution} />
        {wrapper.state === 'connected' && !gone ? <LastHeard execution={execution} /> : null}
        {progress ? <span class="exec-strong exec-tone-warn">{progress}</span> : null}
        {isTerminal(status) && result ? <span>{result}</span> : null}
        <span class="exec-wide">
          created <Moment at={execution.createdAt} text={formatDateTime(execution.createdAt)} />
        </span>
        {original ? (
          <span>
            rerun of <a href={executionPath(session, original)}>{original}</a>
          </span>
        ) : null}
        {newest ? (
          <span>
            run again as <a href={executionPath(session, newest)}>{newest}</a>
          </span>
        ) : null}
        {execution.endedAt === undefined ? null : (
          <span class="exec-wide">
            ended <Moment at={execution.endedAt} text={timeOfDay(execution.endedAt)} />
          </span>
        )}
        {connection}
      </div>
    </header>
  );
}

const WAS: Readonly<Record<Status, string>> = {
  queued: 'queued',
  pending: 'being prepared',
  running: 'running',
  completed: 'completed',
  failed: 'failed',
  interrupted: 'interrupted',
};

/** Where it runs, or where it waits. */
function Place({ execution }: Pick<Facts, 'execution'>) {
  const { runner, pool } = execution;
  if (runner) {
    return (
      <span title={runner.id}>
        Runner {runner.name}
        {pool === undefined ? null : `, pool ${pool}`}
      </span>
    );
  }
  return waitsForRunner(execution) ? <span>in pool {execution.waiting?.pool}</span> : null;
}

/** A connected wrapper that missed two heartbeats may be frozen, or its machine asleep. */
function LastHeard({ execution }: Pick<Facts, 'execution'>) {
  const { lastHeardAt } = execution;
  const silent = silentForMs(execution, useNow()) !== null;
  return silent && lastHeardAt !== undefined ? (
    <span class="exec-strong exec-tone-warn">
      wrapper last heard <Ago at={lastHeardAt} />
    </span>
  ) : null;
}

/** "running for 1m 36s": the verb names what is counted, and the count stops at the end. */
function RunTime({ facts: { execution } }: { facts: Facts }) {
  const { status, createdAt, pendingAt, startedAt, endedAt } = execution;
  if (endedAt !== undefined) {
    if (startedAt === undefined) return <>never started</>;
    return (
      <>
        ran for <Duration from={startedAt} to={endedAt} />
      </>
    );
  }
  const [verb, from] =
    status === 'queued'
      ? ['queued for', createdAt]
      : status === 'pending'
        ? [execution.waiting ? 'waiting for' : 'preparing for', pendingAt ?? createdAt]
        : ['running for', startedAt ?? createdAt];
  return (
    <>
      {verb} <Duration from={from as number} />
    </>
  );
}
