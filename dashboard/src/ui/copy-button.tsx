import { useEffect, useState } from 'preact/hooks';
import { Button } from './button.tsx';

const CONFIRMED_MS = 1_500;

/** Copies `text`, and confirms for a moment. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (state === 'idle') return;
    const timer = setTimeout(() => setState('idle'), CONFIRMED_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = (): void => {
    // Absent outside of secure contexts.
    const writing = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
    writing.then(
      () => setState('copied'),
      () => setState('failed'),
    );
  };
  const ariaLabel = state === 'copied' ? 'Copied' : state === 'failed' ? 'Could not copy' : label;
  return (
    <Button
      kind="ghost"
      size="small"
      icon={state === 'copied' ? 'check' : state === 'failed' ? 'warning' : 'copy'}
      aria-label={ariaLabel}
      onClick={copy}
    />
  );
}
