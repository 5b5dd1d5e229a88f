import type { ComponentChildren } from 'preact';
import { SESSIONS_PATH } from './router.ts';

export function NotFound({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="not-found">
      <h1 tabIndex={-1}>{title}</h1>
      <p>{children}</p>
      <p>
        <a href={SESSIONS_PATH}>All sessions</a>
      </p>
    </div>
  );
}
