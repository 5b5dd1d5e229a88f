/**
 * What a job in a terminal needs from the system: the programs that make it, its environment, its
 * size.
 */

import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TerminalSize } from '../../protocol/index.ts';
import { programPath } from './programs.ts';

const PROGRAM_TIMEOUT_MS = 2000;
/** `-E`, without which a terminal does not echo when `script` itself has none. */
const SCRIPT_VERSION_MIN = [2, 35] as const;

/** Of the terminals around the wrapper, which are not the job's. */
const OTHERS = ['TMUX', 'TMUX_PANE', 'STY', 'WINDOW', 'LINES', 'COLUMNS', 'TERMCAP', 'TERM_PROGRAM', 'TERM_PROGRAM_VERSION'];

/** What this emulator is. xterm.js has 256 colours and true colours. */
const OWN = { TERM: 'xterm-256color', COLORTERM: 'truecolor' };

/** `given`: the variables of the start, which are kept. */
export function terminalEnvironment(env: NodeJS.ProcessEnv, given: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const own = Object.entries(env).filter(([name]) => !OTHERS.includes(name) || Object.hasOwn(given, name));
  const all: NodeJS.ProcessEnv = { ...Object.fromEntries(own), ...OWN, ...given };
  // Without a locale programs print and count bytes, where the emulator shows characters.
  const hasLocale = ['LC_ALL', 'LC_CTYPE', 'LANG'].some((name) => all[name]);
  return hasLocale ? all : { ...all, LANG: 'C.UTF-8' };
}

/** Null, or why this machine has no terminal for a job. */
export function whyNoTerminal(): string | null {
  const next = 'Install it, or start the execution without a terminal';
  const script = programPath('script');
  if (script === null) return `a terminal needs the program script (of util-linux), which is not installed. ${next}`;
  if (programPath('stty') === null) return `a terminal needs the program stty, which is not installed. ${next}`;
  const version = versionOf(script);
  if (version !== null && isEnough(version)) return null;
  const found = version === null ? 'another program' : `version ${version.join('.')}`;
  return `a terminal needs the program script of util-linux ${SCRIPT_VERSION_MIN.join('.')} or later, and ${script} is ${found}. ${next}`;
}

/** Null for a program of another system, such as that of macOS. */
function versionOf(script: string): number[] | null {
  try {
    const said = execFileSync(script, ['--version'], {
      timeout: PROGRAM_TIMEOUT_MS,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [, version] = /util-linux (\d+\.\d+)/.exec(said) ?? [];
    return version === undefined ? null : version.split('.').map(Number);
  } catch {
    return null;
  }
}

const isEnough = ([major = 0, minor = 0]: number[]): boolean =>
  major > SCRIPT_VERSION_MIN[0] || (major === SCRIPT_VERSION_MIN[0] && minor >= SCRIPT_VERSION_MIN[1]);

/** The last screen of a holder's terminal, for the wrapper that adopts the job. */
export const terminalScreen = (folder: string): string => join(folder, 'screen');

/**
 * Null, or why the terminal keeps its size. `leader`: the leader of its session. It waits for the
 * end of `stty`, so that input that follows finds the new size.
 */
export function resizeTerminal(leader: number, { cols, rows }: TerminalSize): string | null {
  try {
    const terminal = readlinkSync(`/proc/${leader}/fd/0`);
    const args = ['-F', terminal, 'rows', String(rows), 'cols', String(cols)];
    execFileSync(programPath('stty') ?? 'stty', args, { stdio: 'ignore', timeout: PROGRAM_TIMEOUT_MS });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
