/**
 * The command of a known agent in parts, and the prompt in it: none of the agents prints it.
 *
 * A guess by the shape of the options. Where it cannot tell, there is no prompt.
 */

export type ProgramName = 'claude' | 'codex' | 'opencode' | 'holdfast-acp';

interface Program {
  /** Names that stand before the prompt, such as `exec`. Without one of them there is no prompt. */
  commands?: readonly string[];
  /** Options without a value. Any other takes the next argument. */
  switches: readonly string[];
  /** Options with any number of values. */
  lists?: readonly string[];
}

const CLAUDE: Program = {
  switches: [
    '-p',
    '--print',
    '--verbose',
    '--include-partial-messages',
    '--include-hook-events',
    '--replay-user-messages',
    '--dangerously-skip-permissions',
    '--allow-dangerously-skip-permissions',
    '-c',
    '--continue',
    '--fork-session',
    '--no-session-persistence',
    '--strict-mcp-config',
    '--disable-slash-commands',
    '--bare',
    '--ide',
    '--brief',
  ],
  lists: [
    '--allowedTools',
    '--allowed-tools',
    '--disallowedTools',
    '--disallowed-tools',
    '--tools',
    '--add-dir',
    '--mcp-config',
    '--betas',
  ],
};

const PROGRAMS: Readonly<Record<ProgramName, Program>> = {
  claude: CLAUDE,
  codex: {
    commands: ['exec', 'e'],
    switches: [
      '--json',
      '--full-auto',
      '--skip-git-repo-check',
      '--ephemeral',
      '--oss',
      '--last',
      '--all',
      '--yolo',
      '--dangerously-bypass-approvals-and-sandbox',
      '--search',
      '--ignore-user-config',
      '--ignore-rules',
    ],
    lists: ['-i', '--image'],
  },
  opencode: {
    commands: ['run'],
    switches: ['--thinking', '--auto', '-c', '--continue', '--fork', '--share', '--print-logs', '--pure', '-i', '--interactive'],
    lists: ['-f', '--file'],
  },
  'holdfast-acp': { switches: ['--files', '--terminal'] },
};

/** Names of their packages and files. */
const ALIASES: Readonly<Record<string, ProgramName>> = { 'claude-code': 'claude', 'opencode-ai': 'opencode' };

/** How many words may stand before the program: `npx -y`, `env A=b`. */
const BEFORE_MAX = 4;

/** An option with its values, or a word that belongs to none. */
export interface Part {
  /** Of an option, such as `--resume`. */
  name: string | null;
  words: string[];
}

export interface AgentCommand {
  program: ProgramName;
  /** What stands before its arguments, the program included. */
  before: string[];
  parts: Part[];
  /** Of holdfast-acp: the command of the agent, with `--` in front. */
  behind: string[];
}

/** Null: none of the known programs is among the first words. */
export function agentCommand(command: readonly string[]): AgentCommand | null {
  const names = command.slice(0, BEFORE_MAX + 1).map(programOf);
  const at = names.findIndex((name) => name !== null);
  const program = names[at];
  // `sh -c claude`: what follows is not read by the agent.
  if (!program || command.slice(0, at).includes('-c')) return null;
  let words = command.slice(at + 1);
  let behind: string[] = [];
  if (program === 'holdfast-acp') {
    const end = words.indexOf('--');
    behind = end === -1 ? [] : words.slice(end);
    words = end === -1 ? words : words.slice(0, end);
  }
  return { program, before: command.slice(0, at + 1), parts: partsOf(PROGRAMS[program], words), behind };
}

export function promptOf(command: readonly string[]): string | null {
  const agent = agentCommand(command);
  if (!agent) return null;
  const { commands } = PROGRAMS[agent.program];
  let words = agent.parts.flatMap((part) => (part.name === null ? part.words : []));
  if (commands) {
    if (!commands.includes(words[0] ?? '')) return null;
    words = words.slice(1);
    // `codex exec resume ID PROMPT`; with --last there is no id.
    if (words[0] === 'resume') words = words.slice(command.includes('--last') ? 1 : 2);
  }
  const prompt = words.join(' ');
  return prompt === '' || prompt === '-' ? null : prompt;
}

/** Such an option would take the next word as one more value. */
export const takesMore = (program: ProgramName, part: Part | undefined): boolean =>
  PROGRAMS[program].lists?.includes(part?.name ?? '') === true;

function programOf(word: string): ProgramName | null {
  const name = (word.split('/').at(-1) as string).replace(/(@[\w.^~-]+|\.(c|m)?js|\.exe)$/, '');
  if (Object.hasOwn(PROGRAMS, name)) return name as ProgramName;
  return Object.hasOwn(ALIASES, name) ? (ALIASES[name] as ProgramName) : null;
}

function partsOf({ switches, lists = [] }: Program, words: readonly string[]): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === '--') return [...parts, ...words.slice(at + 1).map((each) => ({ name: null, words: [each] }))];
    if (!word.startsWith('-') || word === '-') {
      parts.push({ name: null, words: [word] });
      continue;
    }
    const from = at;
    if (lists.includes(word)) while (at + 1 < words.length && !(words[at + 1] as string).startsWith('-')) at += 1;
    else if (!switches.includes(word) && !word.includes('=')) at += 1;
    parts.push({ name: word.split('=')[0] as string, words: words.slice(from, at + 1) });
  }
  return parts;
}
