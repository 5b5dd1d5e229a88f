/**
 * Goal: docs/cli.md has every command and option of the program, and no other.
 * Method: the program's own help is read as a user reads it, and compared with the page's sections.
 */

import { readFileSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../../cli/exit-code.ts';
import { type Io, Output } from '../../cli/io.ts';
import { runCli } from '../../cli/program.ts';

const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

async function helpOf(...args: string[]): Promise<string> {
  let text = '';
  const stdout = new PassThrough();
  stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  const io: Io = {
    env: {},
    stdin: Readable.from([]),
    stdinIsTty: false,
    stdinIsPiped: false,
    terminal: null,
    stdout: new Output(stdout),
    stderr: new Output(new PassThrough()),
    onSignal: () => () => {},
    openInBrowser: async () => null,
    exitNow: () => {},
    flush: async () => {},
  };
  expect(await runCli([...args, '--help'], io)).toBe(0);
  return text;
}

/** The lines below a heading of the help, up to the next empty one. */
const partOf = (help: string, heading: string): string[] =>
  (new RegExp(`^${heading}:\\n((?: .*\\n?)+)`, 'm').exec(help)?.[1] ?? '').split('\n').filter((line) => /^ {2}\S/.test(line));

const optionsOf = (help: string): string[] =>
  partOf(help, 'Options').flatMap(
    (line) =>
      line
        .match(/^ {2}(-\w, )?(--[\w-]+)/)?.[0]
        .trim()
        .split(', ') ?? [],
  );

/**
 * The page cut at its headings: the text of a command's section, or of the one before the commands.
 */
const sections = page.split(/^## /m).slice(1);
const sectionOf = (command: string): string => sections.find((text) => new RegExp(`^\`holdfast ${command}\\b`).test(text)) ?? '';
const common = sections.find((text) => text.startsWith('Flags of every command')) ?? '';
const documented = (section: string): string[] =>
  [...section.matchAll(/`(--?[a-z][a-z-]*)(?: <[^`]*>)?`/gi)].map(([, flag]) => flag as string);

const top = await helpOf();
const commands = partOf(top, 'Commands')
  .map((line) => {
    const [name = '', alias] = (line.trim().split(/\s/)[0] as string).split('|');
    return { name, alias };
  })
  .filter(({ name }) => name !== 'help');

describe('docs/cli.md', () => {
  test('the help was understood', () => {
    expect(commands.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['run', 'logs', 'list', 'get', 'wait', 'interrupt', 'fail', 'send', 'open', 'delete']),
    );
    expect(optionsOf(top)).toEqual(expect.arrayContaining(['--url', '-q', '--quiet', '--no-color']));
  });

  test('has the options of every command, and no others', () => {
    expect(new Set(documented(common))).toEqual(new Set(optionsOf(top)));
  });

  test.each(commands)('has `$name` with its alias and each of its options, and no others', async ({ name, alias }) => {
    const section = sectionOf(name);
    expect(section).not.toBe('');
    if (alias) expect(section.split('\n')[0]).toContain(`\`${alias}\``);
    const own = optionsOf(await helpOf(name)).filter((flag) => !optionsOf(top).includes(flag));
    const told = documented(section);
    expect(
      own.filter((flag) => !told.includes(flag)),
      'not on the page',
    ).toEqual([]);
    const every = [...own, ...optionsOf(top)];
    // A section may speak of a flag of another command only by the name of that command.
    // `-p` is what `chat` adds for Claude Code.
    const isOfAnother = (flag: string) => (name === 'send' && flag === '--open-stdin') || (name === 'chat' && flag === '-p');
    const foreign = told.filter((flag) => !every.includes(flag) && !isOfAnother(flag));
    expect(foreign, 'of no such option').toEqual([]);
  });

  test('documents only existing commands', () => {
    const told = sections.flatMap((text) => /^`holdfast ([a-z]+)/.exec(text)?.[1] ?? []);
    expect(new Set(told)).toEqual(new Set(commands.map(({ name }) => name)));
  });

  test('has every exit code that is a constant', () => {
    for (const code of Object.values(EXIT)) expect(page).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'));
  });
});
