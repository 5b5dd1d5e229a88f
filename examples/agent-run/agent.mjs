// A job that behaves like a coding agent: it prints its thoughts and actions as JSON lines, asks a
// question in the middle, and stops cleanly on request.
//
//    node agent.mjs FOLDER     AGENT_STEP_MS: pause between two steps, so that there is something
//    to watch (300)
//
// stdout: one JSON object per line, each with `type` and `text`. stdin: one line per answer.
// It uses one feature of Holdfast: the line that moves its progress bar.
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const STEP_MS = Number(process.env.AGENT_STEP_MS ?? 300);
const LEFT_OUT = new Set(['node_modules', 'dist']);
const folder = process.argv[2] ?? '.';

let stopping = false;
/** Resolves when the line is written. After the job begins to stop it prints no more. */
const print = (line) =>
  new Promise((written) => {
    if (!stopping) process.stdout.write(`${JSON.stringify(line)}\n`, written);
  });
const say = (type, text, more = {}) => print({ type, text, ...more });
/**
 * Progress: a bar on the page of the run, and a line at the foot of `logs -f`. Anywhere else it is
 * one more line of JSON.
 */
const progress = (current, total, message) => print({ holdfast: 'progress', current, total, message });

// Reads from the beginning: an answer may arrive before the question.
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The work to report after an interrupt. */
const done = { files: 0, lines: 0 };
const summary = () => `${done.lines} lines counted in ${done.files} files`;

// Holdfast's interrupt is this signal, and SIGTERM follows after ten seconds. A job that stops on
// request is interrupted, whatever its exit code.
process.once('SIGINT', async () => {
  const last = say('message', `I was interrupted: ${summary()} so far.`);
  stopping = true;
  await last;
  process.exit(130);
});

let calls = 0;
/** A tool call: prints the call and its result, under one id. */
async function call(tool, input, run) {
  calls += 1;
  const id = `call_${calls}`;
  await say('tool_call', `${tool} ${Object.values(input).join(' ')}`, { id, tool, input });
  await sleep(STEP_MS);
  const output = await run(input).catch((error) => ({ error: error.message }));
  await say('tool_result', output.error ?? output.text, { id, ...output });
  return output;
}

async function listFiles({ path }) {
  const files = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || LEFT_OUT.has(entry.name)) continue;
    const inner = join(path, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles({ path: inner })).files);
    else if (entry.isFile()) files.push(inner);
  }
  return { text: `${files.length} files`, files };
}

async function countLines({ path }) {
  const lines = (await readFile(path, 'utf8')).split('\n').length - 1;
  return { text: `${lines} lines`, lines };
}

async function ask(text) {
  await say('question', text, { options: ['yes', 'no'] });
  for (;;) {
    const { value, done: closed } = await answers.next();
    if (closed) return 'no'; // No more answers can arrive.
    const answer = value.trim().toLowerCase();
    if (answer === 'yes' || answer === 'no') return answer;
    await say('question', `"${value}" is neither yes nor no. ${text}`, { options: ['yes', 'no'] });
  }
}

await say('thinking', `I have to find out what is in ${folder}. First I look which files there are.`);
const { files, error } = await call('list_files', { path: folder }, listFiles);
if (!files) {
  await say('message', `I cannot go on: ${error}`);
  process.exit(1);
}
const kinds = [...new Set(files.map((path) => extname(path) || 'no suffix'))];
await say('thinking', `They are of ${kinds.length} kinds: ${kinds.join(', ')}. To say more I have to read them.`);

if ((await ask(`Shall I read all ${files.length} files?`)) === 'yes') {
  for (const [index, path] of files.entries()) {
    const { lines = 0 } = await call('count_lines', { path }, countLines);
    done.files += 1;
    done.lines += lines;
    await progress(index + 1, files.length, `files read, ${done.lines} lines counted`);
  }
  await say('message', `Done: ${summary()}.`);
} else {
  await say('message', `Then I leave it at that: ${files.length} files, none of them read.`);
}
process.exit(0);
