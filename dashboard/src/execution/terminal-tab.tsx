/**
 * The terminal's place on the page, and the tabs between it and the log. The terminal itself is a
 * chunk of its own (`../terminal`): most runs have none, and its emulator is as large as the page.
 */

import type { ComponentChildren, ComponentType } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { TerminalPanelProps } from '../terminal/panel.tsx';
import { Button } from '../ui/index.ts';

export type MainTab = 'terminal' | 'log';

const TABS: readonly [MainTab, string][] = [
  ['terminal', 'Terminal'],
  ['log', 'Log'],
];

interface TabsProps {
  tab: MainTab;
  onTab(tab: MainTab): void;
  children: ComponentChildren;
}

export function MainTabs({ tab, onTab, children }: TabsProps) {
  const list = useRef<HTMLDivElement>(null);
  return (
    <>
      <div
        class="exec-tabs exec-main-tabs"
        role="tablist"
        aria-label="Output of the run"
        ref={list}
        onKeyDown={(key) => {
          if (key.key !== 'ArrowLeft' && key.key !== 'ArrowRight') return;
          key.preventDefault();
          const next = tab === 'terminal' ? 'log' : 'terminal';
          onTab(next);
          list.current?.querySelector<HTMLButtonElement>(`#exec-main-tab-${next}`)?.focus();
        }}
      >
        {TABS.map(([name, words]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`exec-main-tab-${name}`}
            aria-controls="exec-main-panel"
            aria-selected={tab === name}
            tabIndex={tab === name ? 0 : -1}
            onClick={() => onTab(name)}
          >
            {words}
          </button>
        ))}
      </div>
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
