/**
 * What a person should know before reading on: how the run ended, what is missing, what it waits
 * for.
 */

import { Button, formatCount, formatWholeSeconds, useNow } from '../ui/index.ts';
import { Moment, Notice, timeOfDay } from './components.tsx';
import type { FeedSnapshot } from './feed-types.ts';
import { endingNotice, errorText } from './messages.ts';
import type { Facts } from './run-facts.ts';
import { isEnded } from './run-facts.ts';
import { failureReason } from './stream-view.ts';
import { type Lost, lostIn } from './timeline.ts';

interface Props {
  snapshot: FeedSnapshot;
  facts: Facts;
  onReconnect(): void;
  /** Begins with the current state. */
  onRestart(): void;
  onCancelLoading(): void;
  onRetryOlder(): void;
}

function lostWords({ events, unknown }: Lost): string {
  if (unknown && events === 0) return 'An unknown amount of output';
  return `${unknown ? 'At least ' : ''}${formatCount(events)} ${events === 1 ? 'event' : 'events'}`;
}

export function Notices({ snapshot, facts, onReconnect, onRestart, onCancelLoading, onRetryOlder }: Props) {
  const { stream, gone, replaced, expiredBefore, older } = snapshot;
  const outcome = endingNotice(facts.execution);
  const lost = lostIn(facts.timeline);
  return (
    <div class="exec-notices">
      {replaced ? (
        <Notice
          tone="danger"
          title="This session was deleted and created again"
          actions={<Button onClick={onRestart}>Show the new log</Button>}
        >
          What was loaded of the old log stays readable on this page. The new log is another one and begins at its start.
        </Notice>
      ) : gone ? (
        <Notice tone="danger" title="This run was deleted while you were watching">
          What was loaded until then stays readable on this page.
        </Notice>
      ) : null}
      {stream?.status === 'failed' && !gone ? (
        <Notice tone="danger" title="The connection of this page failed" actions={<Button onClick={onReconnect}>Reconnect</Button>}>
          {failureReason(stream.code, stream.reason)}. The run itself is not affected.
        </Notice>
      ) : null}
      {outcome ? (
        <Notice tone={outcome.tone} title={outcome.title}>
          {outcome.facts.length > 0 ? (
            <ul class="exec-outcome">
              {outcome.facts.map((fact) => (
                <li key={fact}>{fact}</li>
              ))}
            </ul>
          ) : null}
          <p class="exec-muted">{outcome.meaning}</p>
        </Notice>
      ) : null}
      {!isEnded(facts) && !gone && facts.wrapper.state === 'disconnected' ? <Disconnected facts={facts} /> : null}
      {lost ? (
        <Notice tone="danger" title="A part of this log is missing">
          {lostWords(lost)} could not be kept. The log says where.
        </Notice>
      ) : null}
      {expiredBefore !== null ? (
        <Notice tone="info" title={`The log begins at offset ${formatCount(expiredBefore)}`}>
          Older events of this run have expired.
        </Notice>
      ) : null}
      {older.goal !== null && older.state === 'loading' ? (
        <Notice
          tone="info"
          title={older.goal === 'all' ? 'Loading all of the log' : 'Loading the log up to that line'}
          actions={<Button onClick={onCancelLoading}>Cancel</Button>}
        >
          <progress value={older.share} max={1} aria-label="Loaded part of the log" /> {Math.floor(older.share * 100)} %
        </Notice>
      ) : null}
      {older.error ? (
        <Notice tone="warn" title="Older events could not be loaded" actions={<Button onClick={onRetryOlder}>Try again</Button>}>
          {errorText(older.error)}
        </Notice>
      ) : null}
    </div>
  );
}

/**
 * The job may still run: only the connection to it is lost, and there is a time at which that
 * becomes final.
 */
function Disconnected({ facts }: { facts: Facts }) {
  const now = useNow(true);
  const { graceUntil, since, reason } = facts.wrapper;
  const left = graceUntil === null ? null : graceUntil - now;
  return (
    <Notice tone="warn" title="The wrapper is disconnected">
      {since === null ? null : (
        <>
          Since <Moment at={since} text={timeOfDay(since)} />
          {reason ? ` (${reason.replaceAll('_', ' ').replace(/\.$/, '')})` : ''}.{' '}
        </>
      )}
      The job may go on: what it prints is kept and sent when the connection is back.{' '}
      {left === null ? null : left > 0 ? (
        <span class="exec-tick">The run fails in {formatWholeSeconds(left)} unless it returns.</span>
      ) : (
        <span class="exec-tick">The grace is over; the verdict is due.</span>
      )}
    </Notice>
  );
}
