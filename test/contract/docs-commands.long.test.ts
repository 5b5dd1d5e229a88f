/**
 * Goal: what README.md, CONTRIBUTING.md and docs/ tell a reader to type, to open and to set is
 * there.
 * Method: every command of every shell block is taken apart and held against the program that it
 * calls: scripts of package.json, the programs' own parsers and help, wrangler's help, the routes
 * and schemas of the API. Links, anchors, paths and variables are looked up. What needs an account
 * is not run.
 */

import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type Io, Output } from '../../cli/io.ts';
import { runCli } from '../../cli/program.ts';
import manifest from '../../package.json' with { type: 'json' };
import holdfast from '../../packages/holdfast/package.json' with { type: 'json' };
import { describeApi } from '../../src/http/openapi/document.ts';
import { readRunOptions } from '../../wrapper/run-options.ts';
import { commandsOf, fencedBlocks } from '../support/shell-commands.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const PAGES = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/*.md', { cwd: ROOT })].sort();
const EXAMPLES = globSync('examples/*/README.md', { cwd: ROOT });

interface Called {
  page: string;
  line: number;
  words: string[];
}
/** Indented lines count as shell too where they begin with a program of ours. */
const indented = (page: string): string[] =>
  [...page.matchAll(/^ {4}((?:npm|npx|holdfast|holdfast-wrapper|\.\/bin\/\S+) .*)$/gm)].map(([, line]) => line as string);
const called: Called[] = PAGES.flatMap((page) => {
  const text = read(page);
  const blocks = fencedBlocks(text).filter(({ language }) => language === 'sh' || language === 'bash');
  const scripts = [...blocks, ...indented(text).map((line) => ({ text: line, line: 0 }))];
  return scripts.flatMap((script) => commandsOf(script.text).map((words) => ({ page, line: script.line, words })));
});
const of = (...programs: string[]): Called[] => called.filter(({ words: [program = ''] }) => programs.includes(program));
const where = ({ page, line, words }: Called): string => `${page}:${line}: ${words.join(' ')}`;
/** Words in front of `--`, and their flags without values. */
const before = (words: readonly string[]): string[] => {
  const end = words.indexOf('--');
  return end === -1 ? [...words] : words.slice(0, end);
};
const flagsOf = (words: readonly string[]): string[] =>
  before(words).flatMap((word) => /^(--[a-z][\w-]*|-[A-Za-z])(=|$)/.exec(word)?.[1] ?? []);

const HOLDFAST = ['holdfast'];
const WRAPPER = ['holdfast-wrapper', 'holdfast-wrapper.mjs'];
/** What `npm install` may name: the packages of this repository, or their tarballs. */
const PACKAGE_NAMES = ['holdfast', '@holdfast/client'];
const TARBALLS = PACKAGE_NAMES.map((name) => `./${name.replace('@', '').replace('/', '-')}-${holdfast.version}.tgz`);
/** Programs of a reader's machine. Any other program that is not ours is a mistake of the page. */
const COMMON = [
  'git',
  'cd',
  'alias',
  'umask',
  'curl',
  'jq',
  'openssl',
  'tar',
  'tr',
  'echo',
  'printf',
  'install',
  'systemctl',
  'useradd',
  'rm',
  'docker',
  'cp',
  'true',
];

/** The program a `node` or `npx` calls. */
const behind = (one: Called): Called => {
  const [program, called = ''] = one.words;
  const through = program === 'npx' ? [...HOLDFAST, ...WRAPPER].includes(called) : program === 'node' && !called.startsWith('-');
  return through ? { ...one, words: one.words.slice(1) } : one;
};

describe('commands', () => {
  test('there are some, of programs that are known', () => {
    expect(called.length).toBeGreaterThan(60);
    const known = [...COMMON, 'npm', 'npx', 'node', ...HOLDFAST, ...WRAPPER];
    expect(called.filter(({ words: [program = ''] }) => !known.includes(program)).map(where)).toEqual([]);
  });

  test.each(of('npm').map((one) => [where(one), one] as const))('%s', (_, { words }) => {
    const [, verb = '', ...rest] = words;
    if (verb === 'ci') return expect(rest).toEqual([]);
    if (verb === 'root') return expect(rest).toEqual(['-g']);
    if (verb === 'install') return expect(['-g', ...PACKAGE_NAMES, ...TARBALLS]).toEqual(expect.arrayContaining(rest));
    if (verb === 'pack') return expect(rest).toEqual(['--workspaces']);
    const [script, args] = verb === 'run' ? [rest[0] ?? '', rest.slice(1)] : [verb, rest];
    const runs = (manifest.scripts as Record<string, string>)[script];
    expect(runs, `there is no script ${script}`).toBeDefined();
    if (args.length === 0) return;
    expect(args[0], 'arguments of a script come after --').toBe('--');
    // Vitest's own are vitest's.
    if (script.startsWith('test') || script === 'verify')
      return expect(flagsOf(args.slice(1)).filter((flag) => !['--project', '-t'].includes(flag))).toEqual([]);
    const program = /\S+\.ts$/.exec(runs ?? '')?.[0] ?? '';
    for (const flag of flagsOf(args.slice(1))) {
      expect(read(program), `${program} has no ${flag}`).toMatch(new RegExp(`['"]?${flag.slice(2)}['"]?: \\{\\s*type: '`));
    }
  });

  const ours = called.map(behind).filter(({ words: [program = ''] }) => HOLDFAST.includes(program));
  test.each(ours.map((one) => [where(one), one] as const))('%s', async (_, { words }) => {
    const [, command = '', ...args] = words;
    const help = await helpOf(command);
    for (const flag of flagsOf(args))
      expect(help, `holdfast ${command} has no ${flag}`).toMatch(new RegExp(`(^|[\\s,])${flag}\\b`, 'm'));
  });

  const wrappers = called.map(behind).filter(({ words: [program = ''] }) => WRAPPER.includes(program));
  test.each(wrappers.map((one) => [where(one), one] as const))('%s', (_, { words }) => {
    const [, verb = '', ...args] = words;
    expect(['run', 'serve']).toContain(verb);
    if (verb === 'serve') {
      const options = read('runner/pool/options.ts');
      for (const flag of flagsOf(args)) expect(options, flag).toMatch(new RegExp(`['"]?${flag.slice(2)}['"]?: \\{ type: '`));
      return;
    }
    // What the page shows as … is a value.
    const env = { HOLDFAST_INGEST_URL: 'https://holdfast.test/x', HOLDFAST_INGEST_TOKEN: 'token' };
    expect(readRunOptions(args, env)).toMatchObject({ kind: 'run' });
  });

  test.each(of('node').map((one) => [where(one), one] as const))('%s', (_, { words: [, file = ''] }) => {
    if (file === '-p' || file === '-e') return;
    const built = ['holdfast-wrapper.mjs'];
    expect(built.includes(file) || existsSync(join(ROOT, file)), file).toBe(true);
  });
});

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
  expect(await runCli([...args, '--help'], io), `holdfast ${args.join(' ')}`).toBe(0);
  expect(text).toContain(`holdfast ${args[0]}`);
  return text;
}

describe('wrangler', () => {
  const calls = of('npx');
  /**
   * Subcommands are words in front of the first flag; what is no subcommand is an argument, and
   * wrangler's help says so by the usage line.
   */
  const namesOf = (words: readonly string[]): string[] => {
    const flag = words.findIndex((word) => word.startsWith('-'));
    return words.slice(2, flag === -1 ? undefined : flag);
  };
  const GROUPS = ['queues', 'secret', 'versions', 'deployments', 'containers'];
  const commandOf = (words: readonly string[]): string[] => {
    const names = namesOf(words);
    return names.slice(0, names[0] !== undefined && GROUPS.includes(names[0]) ? 2 : 1);
  };
  const KEPT = join(ROOT, 'node_modules', '.cache', 'holdfast-docs', `wrangler-${manifest.devDependencies.wrangler}`);
  const helps = new Map<string, Promise<string>>();
  let queue: Promise<unknown> = Promise.resolve();
  const wranglerHelp = (command: string[]): Promise<string> => {
    const key = command.join(' ');
    const known = helps.get(key);
    if (known) return known;
    // One after the other: each is a whole program that starts. What was said once by this version
    // is kept.
    const file = join(KEPT, `${command.join('-')}.txt`);
    const asked = queue.then(async () => {
      if (existsSync(file)) return readFileSync(file, 'utf8');
      const help = await run([join(ROOT, 'node_modules/wrangler/bin/wrangler.js'), ...command, '--help']);
      if (help.includes(`wrangler ${key}`)) {
        mkdirSync(KEPT, { recursive: true });
        writeFileSync(file, help);
      }
      return help;
    });
    queue = asked.catch(() => {});
    helps.set(key, asked);
    return asked;
  };

  test('is the only program that npx runs, other than those of this repository', () => {
    expect(calls.length).toBeGreaterThan(10);
    // `vitest -t` and the like.
    const others = calls.filter(({ words }) => words[1] !== 'wrangler');
    expect(others.filter(({ words }) => !existsSync(join(ROOT, 'node_modules/.bin', words[1] ?? ''))).map(where)).toEqual([]);
  });

  const distinct = [
    ...new Map(calls.filter(({ words }) => words[1] === 'wrangler').map((one) => [one.words.join(' '), one])).values(),
  ];
  test.each(distinct.map((one) => [where(one), one] as const))('%s', { timeout: 180_000 }, async (_, { words }) => {
    const command = commandOf(words);
    const help = await wranglerHelp(command);
    expect(help, 'no such command').toMatch(new RegExp(`^wrangler ${command.join(' ')}\\b`, 'm'));
    for (const flag of flagsOf(words)) expect(help, flag).toMatch(new RegExp(`(^|[\\s,])${flag}\\b`, 'm'));
  });
});

function run(args: string[]): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CI: '1', NO_COLOR: '1', FORCE_COLOR: '0', WRANGLER_SEND_METRICS: 'false' },
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        text += String(chunk);
      });
    }
    child.on('error', failed);
    child.on('close', () => done(text));
  });
}

describe('the API', () => {
  const routes = Object.keys(describeApi('0.0.0').paths as object);
  const known = [...routes, '/healthz', '/openapi.json', '/'].map(
    (path) => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  );
  const urls = called
    .filter(({ words: [program] }) => program === 'curl')
    .flatMap((one) =>
      one.words
        .filter((word) => /^\$HOLDFAST_URL\/|^https:\/\/holdfast\./.test(word))
        .map((url) => ({ one, path: url.replace(/^(\$HOLDFAST_URL|https:\/\/[^/]+)/, '') })),
    );

  test('every requested path is a route', () => {
    expect(routes.length).toBeGreaterThan(10);
    expect(urls.length).toBeGreaterThan(3);
    for (const { one, path } of urls) {
      expect(
        known.some((route) => route.test(path.replace(/\?.*$/, ''))),
        where(one),
      ).toBe(true);
    }
  });

  test('every body that is sent is JSON', () => {
    const bodies = of('curl').flatMap(({ words }) => words.flatMap((word, index) => (words[index - 1] === '-d' ? [word] : [])));
    expect(bodies.length).toBeGreaterThan(1);
    for (const body of bodies) expect(() => JSON.parse(body), body).not.toThrow();
  });
});

describe('links', () => {
  /** As GitHub makes an anchor of a heading. */
  const slug = (heading: string): string =>
    heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
  const anchors = (file: string): string[] => {
    const text = readFileSync(file, 'utf8').replaceAll(/^```.*?^```/gms, '');
    return [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading]) => slug(heading as string));
  };

  test.each([...PAGES, 'PROTOCOL.md', 'CHANGELOG.md', ...EXAMPLES])('%s', (page) => {
    const file = join(ROOT, page);
    const text = readFileSync(file, 'utf8').replaceAll(/^```.*?^```/gms, '');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const aim = path === '' ? file : resolve(dirname(file), path);
      expect(existsSync(aim), `${target}: no such file`).toBe(true);
      expect(relative(ROOT, aim).startsWith('..'), target).toBe(false);
      if (anchor !== undefined && statSync(aim).isFile()) expect(anchors(aim), target).toContain(anchor);
    }
  });

  test('every page is reached from README.md', () => {
    const reached = new Set(['README.md']);
    for (const page of reached) {
      for (const [, target = ''] of read(page).matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
        const path = /^https?:/.test(target) ? '' : relative(ROOT, resolve(ROOT, dirname(page), target));
        if (path.endsWith('.md') && existsSync(join(ROOT, path))) reached.add(path);
      }
    }
    expect([...PAGES, ...EXAMPLES].filter((page) => !reached.has(page))).toEqual([]);
  });

  test('every path of this repository that a page names is there', () => {
    const folders = readdirSync(ROOT, { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && !/^(\.|node_modules|dist)/.test(entry.name),
    );
    const path = new RegExp(`^(?:${folders.map(({ name }) => name).join('|')})/[\\w./*{},-]+$`);
    const missing = [...PAGES, 'PROTOCOL.md'].flatMap((page) =>
      [...read(page).matchAll(/`([^`\n]+)`/g)]
        .map(([, span]) => span as string)
        // What the build makes is in no clone.
        .filter(
          (span) => path.test(span) && !span.includes('/dist/') && globSync(span.replace(/\/$/, ''), { cwd: ROOT }).length === 0,
        )
        .map((span) => `${page}: ${span}`),
    );
    expect(missing).toEqual([]);
  });
});

describe('variables', () => {
  const code = [
    'src',
    'protocol',
    'agent',
    'wrapper',
    'runner',
    'cli',
    'egress',
    'dev',
    'scripts',
    'client',
    'test/support',
    'test/browser/support',
    'examples',
    'bench',
  ]
    .flatMap((folder) => globSync(`${folder}/**/*.{ts,tsx,mjs,toml}`, { cwd: ROOT }))
    // A long test may read one that the pages name.
    .concat(globSync('test/**/*.long.test.ts', { cwd: ROOT }))
    .map(read)
    .join('\n');

  test.each(PAGES)('%s names only variables that are read', (page) => {
    // What a reader's own program on the page reads is there.
    const shown = fencedBlocks(read(page)).filter(({ language }) => /^[jt]sx?$/.test(language));
    const readBy = [code, ...shown.map(({ text }) => text)].join('\n');
    const named = new Set([...read(page).matchAll(/\bHOLDFAST_[A-Z0-9_]*[A-Z0-9]\b/g)].map(([name]) => name));
    expect([...named].filter((name) => !new RegExp(`\\b${name}\\b`).test(readBy))).toEqual([]);
  });

  test('docs/deploy.md has every variable and secret of the Worker, and no other in its table', () => {
    const settings = [...read('src/platform/env.ts').matchAll(/^ {2}(HOLDFAST_\w+)\?/gm)].map(([, name]) => name as string);
    expect(settings.length).toBeGreaterThan(8);
    const told = [...read('docs/deploy.md').matchAll(/^\| `(HOLDFAST_\w+)` \| (?:secret|variable) \|/gm)].map(
      ([, name]) => name as string,
    );
    expect(told.sort()).toEqual(settings.sort());
  });
});

test('LICENSE is the one that package.json names', () => {
  expect(manifest.license).toBe('MIT');
  expect(read('LICENSE')).toMatch(/^MIT License\n/);
});
