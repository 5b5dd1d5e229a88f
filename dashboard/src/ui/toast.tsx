import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { Button } from './button.tsx';
import { Icon } from './icon.tsx';

export type ToastKind = 'info' | 'error';

export interface ToastEntry {
  readonly id: number;
  readonly text: string;
  readonly kind: ToastKind;
}

/** Long enough to read; an error stays longer. */
const SHOWN_MS: Readonly<Record<ToastKind, number>> = { info: 5_000, error: 12_000 };
const TOASTS_MAX = 4;

/** The newest last; the same text is not repeated, and the oldest are removed. */
export function withToast(entries: readonly ToastEntry[], entry: ToastEntry): ToastEntry[] {
  return [...entries.filter(({ text, kind }) => text !== entry.text || kind !== entry.kind), entry].slice(-TOASTS_MAX);
}

export interface Toasts {
  readonly entries: readonly ToastEntry[];
  toast(text: string, kind?: ToastKind): void;
  dismiss(id: number): void;
}

export function useToasts(): Toasts {
  const [entries, setEntries] = useState<readonly ToastEntry[]>([]);
  const last = useRef(0);
  const dismiss = useCallback((id: number) => setEntries((all) => all.filter((entry) => entry.id !== id)), []);
  const toast = useCallback((text: string, kind: ToastKind = 'info') => {
    last.current += 1;
    const entry = { id: last.current, text, kind };
    setEntries((all) => withToast(all, entry));
  }, []);
  return { entries, toast, dismiss };
}

/**
 * The region is always rendered: a screen reader announces only changes in a region that it knows.
 */
export function ToastRegion({ entries, dismiss }: Toasts) {
  return (
    <section class="toasts" aria-label="Messages" aria-live="polite">
      {entries.map((entry) => (
        <Toast key={entry.id} entry={entry} dismiss={dismiss} />
      ))}
    </section>
  );
}

function Toast({ entry: { id, text, kind }, dismiss }: { entry: ToastEntry; dismiss(id: number): void }) {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held) return;
    const timer = setTimeout(() => dismiss(id), SHOWN_MS[kind]);
    return () => clearTimeout(timer);
  }, [held, id, kind, dismiss]);
  return (
    <div class="toast" data-kind={kind} onPointerEnter={() => setHeld(true)} onPointerLeave={() => setHeld(false)}>
      <Icon name={kind === 'error' ? 'warning' : 'info'} />
      <p>{text}</p>
      <Button kind="ghost" size="small" icon="close" aria-label="Dismiss" onClick={() => dismiss(id)} />
    </div>
  );
}
