/**
 * The command of the next turn of a conversation: that of an earlier one, with the new message and
 * the agent's own id of the conversation. Pure.
 */

import { encodeMessage } from './answer.ts';
import type { AgentFormat } from './items.ts';
import { type AgentCommand, agentCommand, type Part, type ProgramName, promptOf, takesMore } from './prompt.ts';

export interface NextTurn {
  command: string[];
  /** The agent reads its stdin: messages, and answers to what it asks. */
  openStdin: boolean;
  /** The message, to be written to the job's stdin when it runs. Null: it is in the command. */
  input: string | null;
}

const FORMATS: Readonly<Record<ProgramName, AgentFormat>> = {
  claude: 'claude',
  codex: 'codex',
  opencode: 'opencode',
  'holdfast-acp': 'acp',
};

/** The format that the program of a command prints; null where the program is not known. */
export function formatOfCommand(command: readonly string[]): AgentFormat | null {
  const agent = agentCommand(command);
  return agent && FORMATS[agent.program];
}

/** Options of one turn: they begin it, or belong to its message. */
const OF_A_TURN: Readonly<Record<ProgramName, readonly string[]>> = {
  claude: ['--resume', '-r', '--continue', '-c', '--fork-session', '--session-id'],
  codex: ['--last', '--all', '--image', '-i'],
  opencode: ['--session', '-s', '--continue', '-c', '--fork', '--file', '-f'],
  'holdfast-acp': ['--resume', '--prompt'],
};

/** With one of these the agent keeps nothing that could be continued. */
const KEEPS_NOTHING = ['--no-session-persistence', '--ephemeral'];

/** An id comes from the job's output: it must not be read as an option. */
const RESUME_ID = /^\w[\w.:-]{0,199}$/;

/**
 * `format`: what the agent printed, or `auto`. `resumeId`: the agent's own id; null begins a
 * conversation. Null: that command cannot be known, or the agent offers no way.
 */
export function nextTurn(
  format: AgentFormat,
  command: readonly string[],
  resumeId: string | null,
  message: string,
): NextTurn | null {
  const agent = agentCommand(command);
  if (!agent || (format !== 'auto' && format !== FORMATS[agent.program])) return null;
  if (resumeId !== null && !RESUME_ID.test(resumeId)) return null;
  const kept = resumeId === null ? agent.parts : agent.parts.filter(({ name }) => !OF_A_TURN[agent.program].includes(name ?? ''));
  if (resumeId !== null && kept.some(({ name }) => KEEPS_NOTHING.includes(name ?? ''))) return null;
  switch (agent.program) {
    case 'claude':
      return claude(agent, kept, resumeId, message);
    case 'codex':
      // Codex takes a dash alone for its stdin.
      return inOrder(agent, kept, ['exec', 'e'], resumesOf(agent, resumeId), message === '-' ? ' -' : message);
    case 'opencode':
      return inOrder(agent, kept, ['run'], resumeId === null ? [] : ['--session', resumeId], message);
    case 'holdfast-acp': {
      const options = wordsOf(kept.filter(({ name }) => name !== null && name !== '--prompt'));
      const resume = resumeId === null ? [] : ['--resume', resumeId];
      // A value that begins with a dash needs the form with `=`.
      const words = [...agent.before, ...options, ...resume, `--prompt=${message}`, ...agent.behind];
      return agent.behind.length < 2 ? null : { command: words, openStdin: true, input: null };
    }
    default:
      return agent.program satisfies never;
  }
}

/** `resume ID` of Codex stands behind its options; a first turn may have it already. */
function resumesOf({ parts }: AgentCommand, resumeId: string | null): string[] {
  if (resumeId !== null) return ['resume', resumeId];
  const words = parts.flatMap((part) => (part.name === null ? part.words : []));
  if (words[1] !== 'resume') return [];
  return words.slice(1, parts.some(({ name }) => name === '--last') ? 2 : 3);
}

function claude({ before }: AgentCommand, kept: readonly Part[], resumeId: string | null, message: string): NextTurn {
  const options = kept.filter(({ name }) => name !== null);
  const resume = resumeId === null ? [] : ['--resume', resumeId];
  const command = [...before, ...wordsOf(options), ...resume];
  if (readsMessages(options)) return { command, openStdin: true, input: encodeMessage('claude', message) };
  const isTaken = resumeId === null && takesMore('claude', options.at(-1));
  return { command: [...command, ...wordOf(message, isTaken)], openStdin: false, input: null };
}

/** `claude --input-format stream-json` */
const readsMessages = (parts: readonly Part[]): boolean =>
  parts.some(({ name, words }) => name === '--input-format' && words.join('=').endsWith('=stream-json'));

/** Programs whose prompt stands behind a command, such as `codex exec`; null without that command. */
function inOrder(
  { program, before, parts }: AgentCommand,
  kept: readonly Part[],
  names: readonly string[],
  resume: readonly string[],
  message: string,
): NextTurn | null {
  const first = parts.find(({ name }) => name === null);
  if (!first || !names.includes(first.words[0] as string)) return null;
  const words = kept.filter((part) => part.name !== null || part === first);
  const isTaken = resume.length === 0 && takesMore(program, words.at(-1));
  const command = [...before, ...wordsOf(words), ...resume, ...wordOf(message, isTaken)];
  return { command, openStdin: false, input: null };
}

const wordsOf = (parts: readonly Part[]): string[] => parts.flatMap(({ words }) => words);
const wordOf = (message: string, isTaken: boolean): string[] => (isTaken || message.startsWith('-') ? ['--', message] : [message]);

/** The first message, where the command has it. */
export function messageOf(command: readonly string[]): string | null {
  const given = agentCommand(command)?.parts.find(({ name }) => name === '--prompt');
  return given ? given.words.join('=').slice('--prompt='.length) : promptOf(command);
}

/**
 * The command of a conversation from a short one: adds what the program needs in order to print
 * lines that can be read. What is given stays. Null: the program is not known.
 */
export function conversationCommand(command: readonly string[]): string[] | null {
  const agent = agentCommand(command);
  if (!agent) return null;
  const { before, parts, program } = agent;
  const rest = command.slice(before.length);
  const missing = (wanted: readonly string[], others: readonly string[] = []): string[] =>
    parts.some(({ name }) => name !== null && [wanted[0], ...others].includes(name)) ? [] : [...wanted];
  switch (program) {
    case 'claude': {
      const printed = [...missing(['--output-format', 'stream-json']), ...missing(['--verbose'])];
      const print = missing(['-p'], ['--print']);
      if (print.length === 0) return [...before, ...printed, ...rest];
      const asked = [...missing(['--input-format', 'stream-json']), ...missing(['--permission-prompt-tool', 'stdio'])];
      return [...before, ...print, ...asked, ...printed, ...rest];
    }
    case 'codex':
      return withCommand(agent, rest, ['exec', 'e'], missing(['--json']));
    case 'opencode':
      return withCommand(agent, rest, ['run'], missing(['--format', 'json']));
    case 'holdfast-acp':
      return [...command];
    default:
      return program satisfies never;
  }
}

function withCommand(
  { before, parts }: AgentCommand,
  rest: readonly string[],
  names: readonly string[],
  missing: readonly string[],
) {
  const first = parts.find(({ name }) => name === null)?.words[0];
  const at = first !== undefined && names.includes(first) ? rest.indexOf(first) : -1;
  return at === -1
    ? [...before, names[0] as string, ...missing, ...rest]
    : [...before, ...rest.slice(0, at + 1), ...missing, ...rest.slice(at + 1)];
}
