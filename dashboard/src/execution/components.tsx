/** Small components of this page. */

import type { ComponentChildren } from 'preact';
import { formatClock, formatDateTime } from '../ui/index.ts';

/** `14:03:07`, local. */
export const timeOfDay = (at: number): string => formatClock(at).slice(0, 8);

/** An absolute time, with the whole date on hover and for machines. */
export function Moment({ at, text }: { at: number; text: string }) {
  const date = new Date(at);
  return (
    <time dateTime={date.toISOString()} title={formatDateTime(at)}>
      {text}
    </time>
  );
}

export function Notice({
  tone,
  title,
  children,
  actions,
}: {
  tone: 'info' | 'warn' | 'danger';
  title: ComponentChildren;
  children?: ComponentChildren;
  actions?: ComponentChildren;
}) {
  return (
    <section class={`exec-notice exec-notice-${tone}`} aria-label={typeof title === 'string' ? title : 'Notice'}>
      <div class="exec-notice-text">
        <strong>{title}</strong>
        {children ? <div>{children}</div> : null}
      </div>
      {actions ? <div class="exec-notice-actions">{actions}</div> : null}
    </section>
  );
}

/**
 * A labelled field of a form: the label is the control's name, the hint and the error its
 * description.
 */
export function Field({
  id,
  label,
  hint,
  error,
  children,
}: {
  id: string;
  label: string;
  hint?: ComponentChildren;
  error?: string | null;
  children: ComponentChildren;
}) {
  return (
    <div class="exec-field">
      <label for={id}>{label}</label>
      {children}
      {hint ? (
        <p class="exec-hint" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
      {error ? (
        <p class="exec-error" id={`${id}-error`} role="alert">
          {error}
        </p>
      ) : null}
    </div>
  );
}
