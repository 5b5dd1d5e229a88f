/** The arguments of `holdfast-acp`. */

import { parseArgs } from 'node:util';

export const USAGE = `Usage: holdfast-acp [options] -- agent…

Runs a coding agent that speaks the Agent Client Protocol (ACP) as a job of Holdfast. Start it with
--format acp and an open stdin:

  holdfast run --format acp --open-stdin -- holdfast-acp --prompt "Fix the failing test" -- gemini --acp

  --prompt TEXT         the first message; without it the first line of stdin
  --cwd DIR             where the agent works (the current directory). Its requests for files and
                        commands are served inside this directory only
  --resume SESSION      continues a conversation, by the agent's own id of it
  --auth METHOD         logs in with this method of the agent before the session is opened
  --mode ID             sets the agent's mode, such as default or plan
  --model ID            sets the agent's model
  --files               offers the agent to read and write files for it
  --terminal            offers the agent to run commands for it
  --start-timeout SEC   how long the agent may take to start and to open the session (120)

A line of stdin is the next message; several lines in one message are a JSON line:
{"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"type":"text","text":"…"}]}}

Exit code: 0 when the last turn ended with end_turn, 1 when it ended in another way, 2 for wrong
arguments, 3 when the agent does not start or does not speak ACP, 4 when it needs a login, 5 when it
ended by itself, 130 when the last turn was cancelled.
`;

export interface Options {
  /** The agent's program and arguments. */
  agent: readonly [string, ...string[]];
  prompt: string | null;
  cwd: string;
  resume: string | null;
  auth: string | null;
  mode: string | null;
  model: string | null;
  files: boolean;
  terminal: boolean;
  startTimeoutMs: number;
}

export type Reading = { kind: 'options'; options: Options } | { kind: 'help' | 'version' } | { kind: 'wrong'; message: string };

const START_TIMEOUT_SECONDS = 120;
/** Node fires a longer timer at once. */
const START_TIMEOUT_SECONDS_MAX = 86_400;

const wrong = (message: string): Reading => ({ kind: 'wrong', message });

export function readOptions(argv: readonly string[], cwd: string): Reading {
  const end = argv.indexOf('--');
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: end === -1 ? [...argv] : argv.slice(0, end),
      options: {
        prompt: { type: 'string' },
        cwd: { type: 'string' },
        resume: { type: 'string' },
        auth: { type: 'string' },
        mode: { type: 'string' },
        model: { type: 'string' },
        files: { type: 'boolean' },
        terminal: { type: 'boolean' },
        'start-timeout': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'V' },
      },
    }));
  } catch (error) {
    return wrong(`${(error as Error).message.split('. ')[0]}; the agent's own command stands behind --`);
  }
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const [program, ...args] = end === -1 ? [] : argv.slice(end + 1);
  if (!program) return wrong('the command of the agent is missing: holdfast-acp -- gemini --acp');
  const text = (name: string): string | null => (values[name] as string | undefined) ?? null;
  const empty = ['prompt', 'cwd', 'resume', 'auth', 'mode', 'model'].find((name) => text(name)?.trim() === '');
  if (empty) return wrong(`--${empty} is empty`);
  const seconds = Number(text('start-timeout') ?? START_TIMEOUT_SECONDS);
  if (!(seconds > 0 && seconds <= START_TIMEOUT_SECONDS_MAX))
    return wrong(`--start-timeout must be a number of seconds from 1 to ${START_TIMEOUT_SECONDS_MAX}`);
  return {
    kind: 'options',
    options: {
      agent: [program, ...args],
      prompt: text('prompt'),
      cwd: text('cwd') ?? cwd,
      resume: text('resume'),
      auth: text('auth'),
      mode: text('mode'),
      model: text('model'),
      files: values.files === true,
      terminal: values.terminal === true,
      startTimeoutMs: seconds * 1000,
    },
  };
}
