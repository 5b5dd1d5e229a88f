/**
 * The conversation's place on the page of an agent's run. The conversation itself is a chunk of its
 * own (`../conversation`).
 */

import type { ComponentType } from 'preact';
import type { ConversationPanelProps } from '../conversation/conversation-panel.tsx';
import { ChunkState, useChunk } from './chunk.tsx';

type Panel = ComponentType<ConversationPanelProps>;

const load = (): Promise<Panel> => import('../conversation/conversation-panel.tsx').then(({ default: Panel }) => Panel);

export function ConversationTab(props: ConversationPanelProps) {
  const Panel = useChunk(load);
  return Panel.state === 'ready' ? <Panel.part {...props} /> : <ChunkState chunk={Panel} what="The conversation" />;
}
