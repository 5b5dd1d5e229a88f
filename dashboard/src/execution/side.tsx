/** The panel next to the log (below it on a phone): timeline or details, one at a time. */

import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';

export type SideTab = 'timeline' | 'details';

const TABS: readonly [SideTab, string][] = [
  ['timeline', 'Timeline'],
  ['details', 'Details'],
];

export function Side({ tab, onTab, children }: { tab: SideTab; onTab(tab: SideTab): void; children: ComponentChildren }) {
  const list = useRef<HTMLDivElement>(null);
  return (
    <aside class="exec-side" aria-label="About this run">
      <div
        class="exec-tabs"
        role="tablist"
        ref={list}
        aria-label="About this run"
        onKeyDown={(key) => {
          if (key.key !== 'ArrowLeft' && key.key !== 'ArrowRight') return;
          key.preventDefault();
          const next = tab === 'timeline' ? 'details' : 'timeline';
          onTab(next);
          list.current?.querySelector<HTMLButtonElement>(`#exec-tab-${next}`)?.focus();
        }}
      >
        {TABS.map(([name, words]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`exec-tab-${name}`}
            aria-controls="exec-side-panel"
            aria-selected={tab === name}
            tabIndex={tab === name ? 0 : -1}
            onClick={() => onTab(name)}
          >
            {words}
          </button>
        ))}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by
          keyboard. */}
      <div class="exec-side-panel" role="tabpanel" id="exec-side-panel" aria-labelledby={`exec-tab-${tab}`} tabIndex={0}>
        {children}
      </div>
    </aside>
  );
}
