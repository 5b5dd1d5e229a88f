/** The views of a run's output: the log, and beside it a terminal or a conversation. */

import type { ComponentChildren } from 'preact';
import { AGENT_FORMATS, type AgentFormat } from '../../../agent/items.ts';
import type { Execution } from './model.ts';
import { TabList } from './tab-list.tsx';

export type MainTab = 'terminal' | 'conversation' | 'log';

const WORDS: Readonly<Record<MainTab, string>> = { terminal: 'Terminal', conversation: 'Conversation', log: 'Log' };

/** Null: its output is text, or JSON lines of no known agent, which are best read as what they are. */
export const agentFormatOf = ({ format }: Pick<Execution, 'format'>): AgentFormat | null =>
  AGENT_FORMATS.find((known) => known === format && known !== 'jsonl') ?? null;

/** What the run has beside its log. */
export function besideLog(execution: Pick<Execution, 'format' | 'terminal'>): 'terminal' | 'conversation' | null {
  if (execution.terminal) return 'terminal';
  return agentFormatOf(execution) === null ? null : 'conversation';
}

/** The view that a page opens with, unless its address names another. */
export const firstTab = (execution: Pick<Execution, 'format' | 'terminal'>): MainTab => besideLog(execution) ?? 'log';

interface TabsProps {
  beside: 'terminal' | 'conversation';
  tab: MainTab;
  onTab(tab: MainTab): void;
  children: ComponentChildren;
}

export function MainTabs({ beside, tab, onTab, children }: TabsProps) {
  return (
    <>
      <TabList
        tabs={[
          [beside, WORDS[beside]],
          ['log', WORDS.log],
        ]}
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
