/** Which program prints such lines. */

import type { JsonObject } from '../protocol/json.ts';
import type { AgentFormat } from './items.ts';

/** Null: the line does not tell. One line of an agent is enough, whichever it is. */
export function detectFormat(line: JsonObject): Exclude<AgentFormat, 'auto' | 'jsonl'> | null {
  if (line.jsonrpc === '2.0') return 'acp';
  const { type } = line;
  if (typeof type !== 'string') return null;
  if (type === 'thread.started' || type.startsWith('turn.') || /^item\.(started|updated|completed)$/.test(type)) return 'codex';
  if (typeof line.sessionID === 'string') return 'opencode';
  const isClaude = typeof line.session_id === 'string' && typeof line.uuid === 'string';
  return isClaude || type.startsWith('control_') ? 'claude' : null;
}
