/** A page that a test hides, shows, freezes and takes offline. */

import type { PageChange, PageLifecycle } from '../../client/index.ts';

export class FakePage implements PageLifecycle {
  hidden: boolean;
  readonly listeners = new Set<(change: PageChange) => void>();

  constructor(hidden = false) {
    this.hidden = hidden;
  }

  onChange(listener: (change: PageChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  hide(): void {
    this.hidden = true;
    this.tell('hidden');
  }

  show(): void {
    this.hidden = false;
    this.tell('visible');
  }

  tell(change: PageChange): void {
    for (const listener of [...this.listeners]) listener(change);
  }
}
