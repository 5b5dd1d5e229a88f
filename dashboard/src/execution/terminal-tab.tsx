/**
 * The terminal's place on the page. The terminal itself is a chunk of its own (`../terminal`): most
 * runs have none, and its emulator is as large as the page.
 */

import type { ComponentType } from 'preact';
import type { TerminalPanelProps } from '../terminal/panel.tsx';
import { ChunkState, useChunk } from './chunk.tsx';

type Panel = ComponentType<TerminalPanelProps>;

const load = (): Promise<Panel> => import('../terminal/panel.tsx').then(({ default: Panel }) => Panel);

export function TerminalTab(props: TerminalPanelProps) {
  const Panel = useChunk(load);
  return Panel.state === 'ready' ? <Panel.part {...props} /> : <ChunkState chunk={Panel} what="The terminal" />;
}
