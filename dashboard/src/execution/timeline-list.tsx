/** What happened to the run, oldest first, with the latest progress as a bar. */

import { Button } from '../ui/index.ts';
import { Moment, timeOfDay } from './components.tsx';
import type { FeedSnapshot } from './feed-types.ts';
import type { Facts, Progress } from './run-facts.ts';
import { timelineOf } from './timeline.ts';

interface Props {
  facts: Facts;
  history: FeedSnapshot['history'];
  onHistory(): void;
  onInspect(offset: number): void;
}

export function TimelineList({ facts, history, onHistory, onInspect }: Props) {
  const entries = timelineOf(facts.timeline, facts.execution);
  const { dropped } = facts.timeline;
  return (
    <div class="exec-timeline">
      {facts.progress ? <ProgressBar progress={facts.progress} /> : null}
      {history === 'complete' ? null : (
        <p class="exec-timeline-more">
          <Button size="small" kind="ghost" disabled={history === 'loading'} onClick={onHistory}>
            {history === 'loading' ? 'Loading earlier events…' : 'Show all earlier events'}
          </Button>
          {history === 'failed' ? <span class="exec-error"> They could not be loaded. Try again.</span> : null}
        </p>
      )}
      {dropped > 0 ? (
        <p class="exec-hint">
          The newest {entries.length} entries are shown; {dropped} older ones are left out.
        </p>
      ) : null}
      <ol class="exec-entries">
        {entries.map((entry) => (
          <li key={entry.offset ?? entry.type} class={`exec-entry exec-tone-${entry.tone}`}>
            <span class="exec-dot" aria-hidden="true" />
            <div class="exec-entry-text">
              {entry.offset === null ? (
                <span class="exec-entry-title">{entry.title}</span>
              ) : (
                <button
                  type="button"
                  class="exec-entry-title"
                  title="Show the event"
                  onClick={() => entry.offset !== null && onInspect(entry.offset)}
                >
                  {entry.title}
                </button>
              )}
              {entry.detail ? <span class="exec-entry-detail">{entry.detail}</span> : null}
            </div>
            <span class="exec-entry-at">
              <Moment at={entry.at} text={timeOfDay(entry.at)} />
            </span>
          </li>
        ))}
      </ol>
    </div>
  );
}

export function ProgressBar({ progress }: { progress: Progress }) {
  const { current, total, message } = progress;
  const share = total !== null && total > 0 ? Math.min(1, Math.max(0, current / total)) : null;
  const amount = total === null ? String(current) : `${current} of ${total}`;
  return (
    <div class="exec-progress">
      <div class="exec-progress-text">
        <span>{message ?? 'Progress'}</span>
        <span class="exec-muted">{share === null ? amount : `${amount} · ${Math.floor(share * 100)} %`}</span>
      </div>
      {share === null ? null : <progress value={share} max={1} aria-label={message ?? 'Progress'} />}
    </div>
  );
}
