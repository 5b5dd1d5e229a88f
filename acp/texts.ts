/** Sentences for people: what went wrong with an agent, and the next step. Pure. */

import type { AuthMethod } from '@agentclientprotocol/sdk';
import { isObject } from '../protocol/json.ts';
import type { AgentEnd } from './agent-process.ts';

const ACP_HINT = 'Start it in its ACP mode, such as `gemini --acp` or `opencode acp`';

export function noAnswerText(agent: string, seconds: number, firstOther: string | null): string {
  return `${agent} did not answer \`initialize\` within ${seconds} s${printedText(firstOther)}. ${ACP_HINT}; --start-timeout gives it more time.`;
}

const printedText = (firstOther: string | null): string =>
  firstOther === null ? '' : `, and printed what is not of the protocol: ${JSON.stringify(firstOther)}`;

export function agentEndText(agent: string, end: AgentEnd, when: string, firstOther: string | null = null): string {
  switch (end.kind) {
    case 'not_started':
      return `${agent} cannot be started: ${end.message}. The command stands behind --, and must be in the PATH of the job.`;
    case 'closed':
      return `${agent} closed its stdout ${when}${printedText(firstOther)}.`;
    case 'line_too_long':
      return `${agent} printed a line that is too long ${when}, and was ended.`;
    case 'exited': {
      const how = end.signal === null ? `exit code ${end.exitCode}` : `the signal ${end.signal}`;
      const hint = firstOther === null ? '' : ` ${ACP_HINT}.`;
      return `${agent} ended with ${how} ${when}${printedText(firstOther)}.${hint}`;
    }
    default:
      return end satisfies never;
  }
}

/** Which methods there are, and what a person does. `command`: that of the agent. */
export function loginText(agent: string, command: readonly string[], methods: readonly AuthMethod[], why: string): string {
  const list = methods.map(
    (method) => `  ${method.id}: ${[method.name, method.description].filter(Boolean).join('. ')}${commandText(command, method)}`,
  );
  const isByCall = methods.some((method) => terminalCommand(command, method) === null);
  const next =
    methods.length === 0
      ? 'It names no method: log in with its own program on this machine, or give it its key as a variable.'
      : `Its methods:\n${list.join('\n')}\n${isByCall ? 'Give it its key as a variable (--env), or add --auth METHOD, or log in once on this machine.' : 'Log in once on this machine.'}`;
  return `${agent} needs a login (${why}). ${next}`;
}

const commandText = (command: readonly string[], method: AuthMethod): string => {
  const terminal = terminalCommand(command, method);
  return terminal === null ? '' : ` (in a terminal: ${terminal})`;
};

/** The command of a login that a person makes in a terminal; null for any other. */
export function terminalCommand(command: readonly string[], method: AuthMethod): string | null {
  if ('type' in method && method.type === 'terminal') return [...command, ...(method.args ?? [])].join(' ');
  const terminal = method._meta?.['terminal-auth'];
  if (!isObject(terminal) || typeof terminal.command !== 'string') return null;
  const args = Array.isArray(terminal.args) ? terminal.args.filter((each) => typeof each === 'string') : [];
  return [terminal.command, ...args].join(' ');
}
