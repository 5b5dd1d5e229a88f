/**
 * The prompt in the command of a known agent: none of them prints it.
 *
 * A guess by the shape of the options. Where it cannot tell, there is no prompt.
 */

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

const PROGRAMS: Readonly<Record<string, Program>> = {
  claude: CLAUDE,
  'claude-code': CLAUDE,
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
  },
  opencode: {
    commands: ['run'],
    switches: ['--thinking', '--auto', '-c', '--continue', '--fork', '--share', '--print-logs', '--pure', '-i', '--interactive'],
  },
};

/** How many words may stand before the program: `npx -y`, `env A=b`. */
const BEFORE_MAX = 4;

export function promptOf(command: readonly string[]): string | null {
  const at = command.slice(0, BEFORE_MAX + 1).findIndex((word) => Object.hasOwn(PROGRAMS, baseName(word)));
  if (at === -1) return null;
  const program = PROGRAMS[baseName(command[at] as string)] as Program;
  let words = positional(program, command.slice(at + 1));
  if (program.commands) {
    if (!program.commands.includes(words[0] ?? '')) return null;
    words = words.slice(1);
    // `codex exec resume ID PROMPT`; with --last there is no id.
    if (words[0] === 'resume') words = words.slice(command.includes('--last') ? 1 : 2);
  }
  const prompt = words.join(' ');
  return prompt === '' || prompt === '-' ? null : prompt;
}

const baseName = (word: string): string => (word.split('/').at(-1) as string).replace(/(@[\w.^~-]+|\.(c|m)?js|\.exe)$/, '');

function positional({ switches, lists = [] }: Program, words: readonly string[]): string[] {
  const found: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === '--') return [...found, ...words.slice(at + 1)];
    if (!word.startsWith('-') || word === '-') found.push(word);
    else if (lists.includes(word)) while (at + 1 < words.length && !(words[at + 1] as string).startsWith('-')) at += 1;
    else if (!switches.includes(word) && !word.includes('=')) at += 1;
  }
  return found;
}
