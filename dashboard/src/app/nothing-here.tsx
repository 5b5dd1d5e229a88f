import type { ComponentChildren } from 'preact';
import { SESSIONS_PATH } from './router.ts';

export function NothingHere({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="nothing-here">
      <h1 tabIndex={-1}>{title}</h1>
      <p>{children}</p>
      <p>
        <a href={SESSIONS_PATH}>All sessions</a>
      </p>
    </div>
  );
}
