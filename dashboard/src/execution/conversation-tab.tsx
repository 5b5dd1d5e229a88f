/**
 * The conversation's place on the page of an agent's run. The conversation itself is a chunk of its
 * own (`../conversation`).
 */

import type { ComponentType } from 'preact';
import type { AgentFormat } from '../../../agent/items.ts';
import type { ConversationPanelProps } from '../conversation/conversation-panel.tsx';
import { ChunkState, useChunk } from './chunk.tsx';

type Panel = ComponentType<ConversationPanelProps>;

const load = (): Promise<Panel> => import('../conversation/conversation-panel.tsx').then(({ default: Panel }) => Panel);

/** The line with which an agent of this format reads a message on its stdin; null: it reads none. */
export const messageEncoder = (format: AgentFormat | null): ((text: string) => Promise<string>) | null =>
  format === 'claude' || format === 'acp' ? (text) => encode(format, text) : null;

async function encode(format: AgentFormat, text: string): Promise<string> {
  const { encodeMessage } = await import('../conversation/conversation-panel.tsx');
  return encodeMessage(format, text) as string;
}

export function ConversationTab(props: ConversationPanelProps) {
  const Panel = useChunk(load);
  return Panel.state === 'ready' ? <Panel.part {...props} /> : <ChunkState chunk={Panel} what="The conversation" />;
}
