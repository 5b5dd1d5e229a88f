/** Two tabs of a panel, as WAI-ARIA describes them: the arrow keys change the tab. */

import { useRef } from 'preact/hooks';

interface TabListProps<Name extends string> {
  tabs: readonly [first: readonly [Name, string], second: readonly [Name, string]];
  tab: Name;
  onTab(tab: Name): void;
  label: string;
  /** The tabs' ids are `${prefix}-${name}`. */
  prefix: string;
  /** The id of the panel. */
  panel: string;
  class?: string;
}

export function TabList<Name extends string>({ tabs, tab, onTab, label, prefix, panel, class: extra = '' }: TabListProps<Name>) {
  const list = useRef<HTMLDivElement>(null);
  return (
    <div
      class={`exec-tabs ${extra}`.trim()}
      role="tablist"
      ref={list}
      aria-label={label}
      onKeyDown={(key) => {
        if (key.key !== 'ArrowLeft' && key.key !== 'ArrowRight') return;
        key.preventDefault();
        const next = tabs[0][0] === tab ? tabs[1][0] : tabs[0][0];
        onTab(next);
        list.current?.querySelector<HTMLButtonElement>(`#${prefix}-${next}`)?.focus();
      }}
    >
      {tabs.map(([name, words]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`${prefix}-${name}`}
          aria-controls={panel}
          aria-selected={tab === name}
          tabIndex={tab === name ? 0 : -1}
          onClick={() => onTab(name)}
        >
          {words}
        </button>
      ))}
    </div>
  );
}
