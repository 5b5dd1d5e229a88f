import { useNow } from './ticker.ts';
import { ago, dateTime, duration, wholeSeconds } from './time.ts';

/** A duration; it ticks while `to` is missing. */
export function Duration({ from, to }: { from: number; to?: number | undefined }) {
  const now = useNow(to === undefined);
  return <span class="num">{to === undefined ? wholeSeconds(now - from) : duration(to - from)}</span>;
}

/** How long ago it was, with the exact time on hover. */
export function Ago({ at }: { at: number }) {
  const now = useNow();
  return (
    <time class="num" dateTime={new Date(at).toISOString()} title={dateTime(at)}>
      {ago(at, now)}
    </time>
  );
}
