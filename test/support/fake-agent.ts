/** Commands of agents that ask (fake-agent.mjs), with lines of the recorded runs. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '../../protocol/index.ts';
import { temporaryFolder } from './wrapper-run.ts';

export type AgentStep = { print: JsonObject } | { reads: number } | { wait: string };

export interface FakeAgent {
  command: string[];
  /** The lines that it has read so far. */
  read: () => JsonObject[];
}

const PROGRAM = fileURLToPath(new URL('./fake-agent.mjs', import.meta.url));

export function fakeAgent(steps: readonly AgentStep[]): FakeAgent {
  const folder = temporaryFolder();
  const [script, replies] = [join(folder, 'steps.json'), join(folder, 'replies')] as const;
  writeFileSync(script, JSON.stringify(steps));
  return {
    command: [process.execPath, PROGRAM, script, replies],
    read: () =>
      existsSync(replies)
        ? readFileSync(replies, 'utf8')
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => JSON.parse(line) as JsonObject)
        : [],
  };
}

/** The lines of a recording that hold this text. */
export const recorded = (name: string, holding: string): JsonObject[] =>
  readFileSync(new URL(`../agent/transcripts/${name}.jsonl`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line.includes(holding))
    .map((line) => JSON.parse(line) as JsonObject);

/** The request of Claude Code for one permission, and what withdraws it. */
export const CLAUDE_ASKS = recorded('claude-perm-allow', '"can_use_tool"')[0] as JsonObject;
export const claudeCancels = ({ request_id }: JsonObject): JsonObject => ({ type: 'control_cancel_request', request_id });
export const CLAUDE_END = recorded('claude-perm-allow', '"type":"result"')[0] as JsonObject;
export const CLAUDE_ASKS_WHICH = recorded('claude-ask', '"can_use_tool"')[0] as JsonObject;
export const ACP_ASKS = recorded('acp-opencode-perm', 'session/request_permission')[0] as JsonObject;
