/**
 * The terminal's place on the page, and the tabs between it and the log. The terminal itself is a
 * chunk of its own (`../terminal`): most runs have none, and its emulator is as large as the page.
 */

import type { ComponentChildren, ComponentType } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { TerminalPanelProps } from '../terminal/panel.tsx';
import { Button } from '../ui/index.ts';
import { TabList } from './tab-list.tsx';

export type MainTab = 'terminal' | 'log';

const TABS = [
  ['terminal', 'Terminal'],
  ['log', 'Log'],
] as const;

interface TabsProps {
  tab: MainTab;
  onTab(tab: MainTab): void;
  children: ComponentChildren;
}

export function MainTabs({ tab, onTab, children }: TabsProps) {
  return (
    <>
      <TabList
        tabs={TABS}
        tab={tab}
        onTab={onTab}
        label="Output of the run"
        prefix="exec-main-tab"
        panel="exec-main-panel"
        class="exec-main-tabs"
      />
      <div class="exec-main-panel" role="tabpanel" id="exec-main-panel" aria-labelledby={`exec-main-tab-${tab}`}>
        {children}
      </div>
    </>
  );
}

type Panel = ComponentType<TerminalPanelProps>;

export function TerminalTab(props: TerminalPanelProps) {
  const [loaded, setLoaded] = useState<{ Panel: Panel } | 'failed' | null>(null);
  const load = useCallback(() => {
    setLoaded(null);
    // After it was left, a state is set in vain.
    import('../terminal/panel.tsx').then(
      ({ default: Panel }) => setLoaded({ Panel }),
      () => setLoaded('failed'),
    );
  }, []);
  useEffect(load, [load]);
  if (loaded === null) return <p class="exec-empty">Loading the terminal…</p>;
  if (loaded === 'failed')
    return (
      <div class="exec-empty" role="alert">
        <p>The terminal could not be loaded. After an update of the deployment, load the page again.</p>
        <Button onClick={load}>Try again</Button>
      </div>
    );
  const { Panel } = loaded;
  return <Panel {...props} />;
}
