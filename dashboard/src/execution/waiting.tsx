/**
 * What the run waits for while the log has no line of the job: its turn, its wrapper, its first
 * line. It covers the empty part of the log, so that nothing moves when it disappears.
 */

import { waitReasonText } from '../../../protocol/index.ts';
import { useApp } from '../app/context.ts';
import { executionPath, RUNNERS_PATH } from '../app/router.ts';
import { formatWholeSeconds, useNow } from '../ui/index.ts';
import { Moment, Notice, timeOfDay } from './components.tsx';
import type { FeedSnapshot } from './feed-types.ts';
import { type Facts, isEnded } from './run-facts.ts';

/** This many lines leave space below them, also when wrapped on a phone. */
const LINES_MAX = 8;

export function Waiting({ snapshot, facts, lines }: { snapshot: FeedSnapshot; facts: Facts; lines: number }) {
  const { caughtUp, older, expiredBefore, gone } = snapshot;
  if (gone || lines > LINES_MAX) return null;
  switch (facts.execution.status) {
    case 'queued':
      return <Queued snapshot={snapshot} facts={facts} />;
    case 'pending':
      return <Pending facts={facts} />;
    default:
      if (facts.printed || !caughtUp || older.state !== 'none') return null;
      if (!isEnded(facts)) {
        return (
          <Notice tone="info" title="Running, without output yet">
            What it prints appears here at once.
          </Notice>
        );
      }
      if (facts.execution.startedAt === undefined) return null;
      return (
        <Notice
          tone="info"
          title={expiredBefore === null ? 'This run printed nothing' : 'Nothing that it printed is kept any more'}
        />
      );
  }
}

function Queued({ snapshot: { summary }, facts: { execution } }: { snapshot: FeedSnapshot; facts: Facts }) {
  const active = summary?.active && summary.active !== execution.id ? summary.active : null;
  return (
    <Notice tone="info" title="Waiting for its turn">
      A session runs one thing at a time.{' '}
      {active ? (
        <>
          Active now: <a href={executionPath(execution.session, active)}>{active}</a>.
        </>
      ) : null}
    </Notice>
  );
}

function Pending({ facts: { execution } }: { facts: Facts }) {
  const now = useNow();
  const { readOnly } = useApp();
  const { launcher, policy, createdAt, pendingAt = createdAt, waiting, waitUntil, runner } = execution;
  if (waiting) {
    const left = waitUntil === undefined ? 0 : waitUntil - now;
    return (
      <Notice tone="info" title="Waiting for a runner">
        Pool {waiting.pool}: {waiting.reason ? waitReasonText(waiting.reason) : 'it was asked'}.
        {waiting.position === undefined ? null : <span class="exec-tick"> Position {waiting.position}.</span>}
        {left > 0 ? <span class="exec-tick"> The run fails in {formatWholeSeconds(left)} if no runner takes it.</span> : null}
        {readOnly ? null : (
          <>
            {' '}
            <a href={RUNNERS_PATH}>See the runners</a>
          </>
        )}
      </Notice>
    );
  }
  if (runner) {
    return (
      <Notice tone="info" title="Waiting for the wrapper">
        Runner {runner.name} starts it.
      </Notice>
    );
  }
  const left = pendingAt + policy.pendingTimeoutMs - now;
  return (
    <Notice tone="info" title="Waiting for the wrapper">
      {launcher === 'none'
        ? 'The caller that started this run has to start it.'
        : `The launcher (${launcher}) was asked to start it.`}{' '}
      Since <Moment at={pendingAt} text={timeOfDay(pendingAt)} />.{' '}
      <span class="exec-tick">
        {left > 0
          ? `The run fails in ${formatWholeSeconds(left)} if no wrapper connects.`
          : 'The time is over; the verdict is due.'}
      </span>
    </Notice>
  );
}
