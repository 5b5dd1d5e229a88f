/** The panel next to the log (below it on a phone): timeline or details, one at a time. */

import type { ComponentChildren } from 'preact';
import { TabList } from './tab-list.tsx';

export type SideTab = 'timeline' | 'details';

const TABS = [
  ['timeline', 'Timeline'],
  ['details', 'Details'],
] as const;

export function Side({ tab, onTab, children }: { tab: SideTab; onTab(tab: SideTab): void; children: ComponentChildren }) {
  return (
    <aside class="exec-side" aria-label="About this run">
      <TabList tabs={TABS} tab={tab} onTab={onTab} label="About this run" prefix="exec-tab" panel="exec-side-panel" />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by
          keyboard. */}
      <div class="exec-side-panel" role="tabpanel" id="exec-side-panel" aria-labelledby={`exec-tab-${tab}`} tabIndex={0}>
        {children}
      </div>
    </aside>
  );
}
