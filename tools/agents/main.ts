/**
 * `npm run agents -- [--only NAME] [--packages DIR] [--record DIR]`: the agents' published programs,
 * each run through Holdfast on a pool runner of this machine, against a model server on loopback
 * that asks for tools, for a permission and for a second turn.
 *
 * Installs about 1 GB from npm into `--packages`, by default a temporary folder that is removed at
 * the end. `--record DIR` writes what each agent printed, for the tests. Exit 0 only if every agent
 * showed what it should.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ConversationReader, encodeMessage, type Item } from '../../agent/index.ts';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import type { Execution } from '../../protocol/index.ts';
import { Stack } from '../../scripts/stack.ts';
import { startModel } from './model.ts';
import { AGENTS, type AgentName, FORMATS, install, invocation, type Place, prepare } from './programs.ts';

const SESSION = 'agents';
/** A cold OpenCode takes 30 s for its first line on a loaded machine. */
const RUN_TIMEOUT_MS = 180_000;
/** Of what a failed run printed beside its conversation. */
const PRINTED_CHARS_MAX = 1000;

interface Scene {
  name: string;
  /** Prompts of one run, each sent when the turn before has ended. */
  prompts: readonly string[];
  /** The answer to each question that is asked, by the kind of the question. */
  answers?: Readonly<Record<string, string>>;
  /** Continues the conversation of the scene before. */
  resumes?: true;
  /** What the conversation must have, in words, each with its test. */
  shows: Readonly<Record<string, (run: RunResult) => boolean>>;
}

interface RunResult {
  execution: Execution;
  items: readonly Item[];
  /** Content of hello.txt and new.txt afterwards; null when there is no such file. */
  hello: string | null;
  created: string | null;
  lines: string[];
}

// ── what each agent must show ─────────────────────────────────────────────────────────────────────

const messages = ({ items }: RunResult): string[] =>
  items.flatMap((item) => (item.type === 'message' && item.role === 'assistant' ? [item.markdown] : []));
const tools = ({ items }: RunResult) => items.filter((item) => item.type === 'tool');
const questions = ({ items }: RunResult) => items.filter((item) => item.type === 'question');
const turnEnds = ({ items }: RunResult) => items.filter((item) => item.type === 'turn_end');

const COMPLETED = { 'the run is completed': ({ execution }: RunResult) => execution.status === 'completed' };
const NOTHING_RAW = {
  'every line was understood': ({ items }: RunResult) => items.every((item) => item.type !== 'raw' || item.stream === 'stderr'),
};

const USES_TOOLS = {
  ...COMPLETED,
  ...NOTHING_RAW,
  'a text with Markdown': (run: RunResult) => messages(run).some((text) => text.includes('**hello, world**')),
  'a reasoning': ({ items }: RunResult) => items.some((item) => item.type === 'reasoning' && item.markdown.includes('files')),
  'a tool with its output': (run: RunResult) => tools(run).some(({ output }) => output?.includes('hello.txt')),
  'a tool that failed': (run: RunResult) => tools(run).some(({ state }) => state === 'failed'),
  'the file was edited': ({ hello }: RunResult) => hello === 'hello, world\n',
  'one end of a turn': (run: RunResult) => turnEnds(run).length === 1,
  'its usage': ({ items }: RunResult) => items.some((item) => item.type === 'usage' && (item.outputTokens ?? 0) > 0),
};

const SECOND_TURN = {
  ...COMPLETED,
  'the text of the second turn': (run: RunResult) => messages(run).some((text) => text.includes('**second** turn')),
};

/** What an agent shows that asks over ACP and is allowed each tool, in two turns. */
const ASKS_FOR_TOOLS = {
  ...USES_TOOLS,
  ...SECOND_TURN,
  // Over ACP OpenCode says the cost of a turn, and the tokens of its last request only.
  'its usage': ({ items }: RunResult) =>
    items.some((item) => item.type === 'usage' && ((item.outputTokens ?? 0) > 0 || (item.costUsd ?? 0) > 0)),
  'one end of a turn': (run: RunResult) => turnEnds(run).length === 2,
  'each question was answered': (run: RunResult) =>
    questions(run).length > 0 && questions(run).every(({ state }) => state === 'answered'),
  'an edit with its difference': (run: RunResult) => tools(run).some(({ diff }) => diff !== undefined && diff.length > 0),
};

const FILE_WRITTEN = {
  ...COMPLETED,
  'one question': (run: RunResult) => questions(run).length === 1,
  'the file is there': ({ created }: RunResult) => created !== null,
};

const FILE_REFUSED = {
  ...COMPLETED,
  'one question': (run: RunResult) => questions(run).length === 1,
  'no file is there': ({ created }: RunResult) => created === null,
};

const SCENES: Readonly<Record<AgentName, readonly Scene[]>> = {
  claude: [
    {
      name: 'tools',
      prompts: ['[scene claude-tools] Greet the world.', '[scene second] And now?'],
      answers: { permission: 'allow' },
      shows: {
        ...USES_TOOLS,
        ...SECOND_TURN,
        'one end of a turn': (run) => turnEnds(run).length === 2,
        'each question was answered': (run) =>
          questions(run).length > 0 && questions(run).every(({ state }) => state === 'answered'),
        'an edit with its difference': (run) => tools(run).some(({ diff }) => diff !== undefined && diff.length > 0),
      },
    },
    {
      name: 'permission-allowed',
      prompts: ['[scene claude-permission] Write a file.'],
      answers: { permission: 'allow' },
      shows: FILE_WRITTEN,
    },
    {
      name: 'permission-denied',
      prompts: ['[scene claude-permission] Write a file.'],
      answers: { permission: 'deny' },
      shows: FILE_REFUSED,
    },
    {
      name: 'question',
      prompts: ['[scene claude-question] Paint it.'],
      answers: { question: 'Red' },
      shows: { ...COMPLETED, 'one question with two options': (run) => questions(run).some(({ options }) => options.length === 2) },
    },
    { name: 'resumed', prompts: ['[scene second] Go on.'], resumes: true, shows: SECOND_TURN },
  ],
  codex: [
    { name: 'tools', prompts: ['[scene codex-tools] Greet the world.'], shows: USES_TOOLS },
    { name: 'resumed', prompts: ['[scene second] Go on.'], resumes: true, shows: SECOND_TURN },
  ],
  opencode: [
    { name: 'tools', prompts: ['[scene opencode-tools] Greet the world.'], shows: USES_TOOLS },
    { name: 'resumed', prompts: ['[scene second] Go on.'], resumes: true, shows: SECOND_TURN },
  ],
  'opencode-acp': [
    {
      name: 'tools',
      prompts: ['[scene opencode-tools] Greet the world.', '[scene second] And now?'],
      answers: { permission: 'once' },
      shows: ASKS_FOR_TOOLS,
    },
    {
      name: 'permission-allowed',
      prompts: ['[scene opencode-permission] Write a file.'],
      answers: { permission: 'once' },
      shows: FILE_WRITTEN,
    },
    {
      name: 'permission-denied',
      prompts: ['[scene opencode-permission] Write a file.'],
      answers: { permission: 'reject' },
      shows: FILE_REFUSED,
    },
    { name: 'resumed', prompts: ['[scene second] Go on.'], resumes: true, shows: SECOND_TURN },
  ],
  'claude-acp': [
    {
      name: 'tools',
      prompts: ['[scene claude-tools] Greet the world.', '[scene second] And now?'],
      answers: { permission: 'allow-once' },
      shows: ASKS_FOR_TOOLS,
    },
    {
      name: 'permission-allowed',
      prompts: ['[scene claude-permission] Write a file.'],
      answers: { permission: 'allow-once' },
      shows: FILE_WRITTEN,
    },
    {
      name: 'permission-denied',
      prompts: ['[scene claude-permission] Write a file.'],
      answers: { permission: 'reject' },
      shows: FILE_REFUSED,
    },
    {
      name: 'question',
      prompts: ['[scene claude-question] Paint it.'],
      answers: { question: 'Red' },
      shows: { ...COMPLETED, 'one question with two options': (run) => questions(run).some(({ options }) => options.length === 2) },
    },
    { name: 'resumed', prompts: ['[scene second] Go on.'], resumes: true, shows: SECOND_TURN },
  ],
};

// ── a run ─────────────────────────────────────────────────────────────────────────────────────────

async function performRun(
  client: HoldfastClient,
  place: Place,
  name: AgentName,
  scene: Scene,
  resume: string | null,
): Promise<{ result: RunResult; conversation: string | null }> {
  const [first = '', ...further] = scene.prompts;
  const { command, env, openStdin } = invocation(name, place, first, resume);
  const { execution } = await client.start(SESSION, { command, env, cwd: place.repository, format: FORMATS[name], openStdin });
  const handle = client.execution(SESSION, execution.id);
  const signal = AbortSignal.timeout(RUN_TIMEOUT_MS);
  const reader = new ConversationReader(FORMATS[name]);
  const lines: string[] = [];
  const say = (text: string) => handle.send({ text: encodeMessage(FORMATS[name], text) ?? '' });
  for await (const event of handle.events({ signal })) {
    if (event.type === 'started' && openStdin) await say(first);
    if (event.type === 'agent') lines.push(JSON.stringify(event.data));
    for (const item of reader.add([event])) {
      if (item.type === 'question' && item.state === 'open' && item.answer === undefined) {
        await handle.answer({ id: item.id, option: answerTo(item, scene) });
      }
      if (item.type === 'turn_end' && item.state !== 'unknown' && openStdin) {
        const next = further.shift();
        await (next === undefined ? handle.send({ eof: true }) : say(next));
      }
    }
  }
  const result = {
    execution: await handle.wait({ signal }),
    items: reader.items,
    hello: contentOf(place, 'hello.txt'),
    created: contentOf(place, 'new.txt'),
    lines,
  };
  return { result, conversation: reader.summary.sessionId };
}

function answerTo(question: Extract<Item, { type: 'question' }>, { answers = {} }: Scene): string {
  const wanted = answers[question.kind];
  const option = question.options.find(({ id, label }) => id === wanted || label === wanted);
  if (!option) throw new Error(`a ${question.kind} was asked that the scene has no answer for: ${question.text}`);
  return option.id;
}

const contentOf = ({ repository }: Place, file: string): string | null => {
  try {
    return readFileSync(join(repository, file), 'utf8');
  } catch {
    return null;
  }
};

function makeRepository(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'hello.txt'), 'hello\n');
  const git = (...args: string[]) => execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: folder });
  git('init', '--quiet');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'one file');
}

function resetRepository(folder: string): void {
  execFileSync('git', ['checkout', '--quiet', '.'], { cwd: folder });
  execFileSync('git', ['clean', '--quiet', '-fd'], { cwd: folder });
}

// ── the program ───────────────────────────────────────────────────────────────────────────────────

const { values } = parseArgs({
  options: { only: { type: 'string' }, packages: { type: 'string' }, record: { type: 'string' } },
});
const names = AGENTS.filter((name) => values.only === undefined || values.only === name);
if (names.length === 0) throw new Error(`--only takes one of ${AGENTS.join(', ')}`);

const folder = mkdtempSync(join(tmpdir(), 'holdfast-agents-'));
const packages = values.packages ?? join(folder, 'packages');
const print = (line: string) => process.stdout.write(`${line}\n`);

print(`installing from npm: ${(await install(packages, names)).join(', ')}`);
const repository = join(folder, 'repository');
const home = join(folder, 'home');
mkdirSync(home);
makeRepository(repository);
const model = await startModel(repository);
const place: Place = { packages, home, repository, model: model.url };
const stack = await Stack.start({ data: join(folder, 'stack') });
let failures = 0;
try {
  const client = createClient({ url: stack.url, apiKey: stack.apiKey });
  for (const name of names) {
    prepare(name, place);
    let conversation: string | null = null;
    for (const scene of SCENES[name]) {
      resetRepository(repository);
      const begun = performance.now();
      const run = await performRun(client, place, name, scene, scene.resumes ? conversation : null);
      conversation = run.conversation;
      const missing = Object.entries(scene.shows).flatMap(([what, isShown]) => (isShown(run.result) ? [] : [what]));
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      print(`${missing.length === 0 ? 'ok    ' : 'FAILED'} ${name} ${scene.name}: ${run.result.lines.length} lines, ${seconds} s`);
      for (const what of missing) print(`         missing: ${what}`);
      const said = run.result.items.flatMap((item) => (item.type === 'raw' ? [item.text] : [])).join('');
      if (missing.length > 0 && said !== '') print(`         it printed: ${said.slice(0, PRINTED_CHARS_MAX)}`);
      failures += missing.length;
      if (values.record !== undefined) {
        mkdirSync(values.record, { recursive: true });
        writeFileSync(join(values.record, `${name}-${scene.name}.jsonl`), run.result.lines.map((line) => `${line}\n`).join(''));
      }
    }
  }
} finally {
  await stack.stop();
  await model.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
