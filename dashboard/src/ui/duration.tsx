import { useNow } from './ticker.ts';
import { formatAge, formatDateTime, formatDuration, formatWholeSeconds } from './time.ts';

/** A duration; it ticks while `to` is missing. */
export function Duration({ from, to }: { from: number; to?: number | undefined }) {
  const now = useNow(to === undefined);
  return <span class="num">{to === undefined ? formatWholeSeconds(now - from) : formatDuration(to - from)}</span>;
}

/** How long ago it was, with the exact time on hover. */
export function Ago({ at }: { at: number }) {
  const now = useNow();
  return (
    <time class="num" dateTime={new Date(at).toISOString()} title={formatDateTime(at)}>
      {formatAge(at, now)}
    </time>
  );
}
