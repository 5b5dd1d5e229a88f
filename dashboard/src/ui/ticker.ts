/** One clock for every running duration on the page; it stops without subscribers. */

import { useEffect, useState } from 'preact/hooks';

const TICK_MS = 1_000;

const listeners = new Set<(now: number) => void>();
let timer: ReturnType<typeof setInterval> | null = null;

function tick(): void {
  const now = Date.now();
  for (const listener of [...listeners]) listener(now);
}

function adjust(): void {
  const wanted = listeners.size > 0 && document.visibilityState !== 'hidden';
  if (wanted && timer === null) {
    timer = setInterval(tick, TICK_MS);
  } else if (!wanted && timer !== null) {
    clearInterval(timer);
    timer = null;
  }
}

function onVisibility(): void {
  adjust();
  if (timer !== null) tick();
}

function listen(listener: (now: number) => void): () => void {
  if (listeners.size === 0) document.addEventListener('visibilitychange', onVisibility);
  listeners.add(listener);
  adjust();
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) document.removeEventListener('visibilitychange', onVisibility);
    adjust();
  };
}

/** The time, once a second while `active`. */
export function useNow(active = true): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!active) return;
    setNow(Date.now());
    return listen(setNow);
  }, [active]);
  return now;
}
