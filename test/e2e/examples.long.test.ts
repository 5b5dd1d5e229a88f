/**
 * Goal: the examples work as their READMEs say.
 * Method: the commands are taken from the READMEs and run in a shell, all of them; Holdfast, the
 * product's Worker and the jobs are real. What the pages do not show (a forged callback, a lost
 * Holdfast) is asked for here. The pages of the examples are looked at in Chromium.
 */

import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { freePort, ROOT } from '../../scripts/stack.ts';
import { launchChromium, type OwnBrowser } from '../browser/support/chromium.ts';
import { blocksOf, Terminal } from '../support/readme.ts';
import { processesWith, until } from '../support/real-stack.ts';

/** For the reader's shells. Nothing is fetched from the network, nothing is asked at a terminal. */
const QUIET = { CI: '1', WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false' };

let folder: string;
/** Of the stack, which takes no folder that has something else. */
const dataFolder = (): string => join(folder, 'data');
let holdfastUrl: string;
let apiUrl: string;
let apiKey: string;
let client: HoldfastClient;
let blocks: string[][];
let chromium: OwnBrowser;
const opened: Terminal[] = [];

function terminal(env: Record<string, string> = {}): Terminal {
  const made = new Terminal({ ...QUIET, WRANGLER_LOG_PATH: join(folder, 'logs'), ...env });
  opened.push(made);
  return made;
}

/** A Worker that has started but not found the other one yet answers with an error. */
const isUp = async (url: string): Promise<boolean> => (await fetch(url).catch(() => null))?.status === 404;

beforeAll(async () => {
  chromium = await launchChromium(); // First: it fails at once when there is none.
  folder = mkdtempSync(join(tmpdir(), 'holdfast-examples-'));
  const [port, apiPort] = [await freePort(), await freePort()];
  holdfastUrl = `http://127.0.0.1:${port}`;
  apiUrl = `http://127.0.0.1:${apiPort}`;
  blocks = blocksOf('examples/api-worker/README.md', [
    // As relative as the page has it: what a program looks for in another folder than the reader's
    // is not found here either.
    ['.holdfast', relative(ROOT, dataFolder())],
    ['127.0.0.1:8790', `127.0.0.1:${apiPort}`],
    ['--port 8790', `--port ${apiPort} --inspector-port 0 --var PUBLIC_URL:${apiUrl} --var HOLDFAST_URL:${holdfastUrl}`],
    ['npm start', `npm start -- --port ${port} --runner-port 0 --data ${dataFolder()}`],
  ]);
  expect(blocks.map((lines) => lines.length)).toEqual([5, 2, 4, 5, 1, 1]);
  const [holdfast = [], api = []] = blocks;
  const first = terminal();
  first.start(holdfast);
  await first.says('Holdfast is up.');
  apiKey = /HOLDFAST_API_KEY=(hf_\w+)/.exec(first.output)?.[1] ?? '';
  client = createClient({ url: holdfastUrl, apiKey });
  const second = terminal();
  second.start(api);
  await second.says('Ready on');
  await until(() => isUp(`${apiUrl}/builds/acme:web~none`), 'the two Workers found each other');
}, 240_000);

afterAll(async () => {
  await chromium?.close();
  for (const each of opened.reverse()) await each.stop(`no mark ${randomUUID()}`);
  await until(() => processesWith(folder).length === 0, 'nothing is left running', 60_000).catch((error) => {
    for (const { pid } of processesWith(folder)) process.kill(pid, 'SIGKILL');
    throw error;
  });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, 90_000);

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of an API, looked at field by field
  body: any;
}
const post = { method: 'POST' };
async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(`${apiUrl}${path}`, init);
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : JSON.parse(text) };
}
const start = (key: string, body: object): Promise<Answer> =>
  ask('/builds', { ...post, headers: { 'idempotency-key': key }, body: JSON.stringify(body) });

describe('api-worker', () => {
  test('its README: a build is started, shown, and waited for', async () => {
    const said = await terminal().run(blocks[2] ?? []);
    const [started, shown, ticket, ended] = said.map(({ stdout }) => JSON.parse(stdout));
    expect(started).toEqual({
      ...{ id: 'acme:web~b-1', repository: 'acme/web', ref: 'main', exitCode: null, error: null },
      status: 'pending',
    });
    expect(shown).toMatchObject({ id: 'acme:web~b-1', notice: null });
    expect(ticket).toMatchObject({ url: holdfastUrl, session: 'acme:web', execution: 'b-1', ticket: expect.any(String) });
    expect(ended).toMatchObject({ status: 'completed', exitCode: 0, error: null });
    // The binding's props, and nothing else, say whose build it is: the key of that tenant sees it.
    const lines = (await client.execution('acme:web', 'b-1').readEvents({ after: 0, types: ['output'] })).events;
    expect(lines.map(({ data }) => data.text).join('')).toBe('fetch acme/web main\ncompile acme/web main\ntest acme/web main\n');
  });

  test('its README: builds of a repository wait for each other; a waiting and a running one are cancelled', async () => {
    const said = await terminal().run(blocks[3] ?? []);
    const [second, third, waiting, , cancelled] = said.map(({ stdout }) => JSON.parse(stdout));
    expect(second.status).toBe('pending');
    expect(third).toMatchObject({ id: 'acme:web~b-3', status: 'queued' });
    expect(waiting).toMatchObject({ id: 'acme:web~b-3', status: 'interrupted' });
    expect(cancelled).toMatchObject({ id: 'acme:web~b-2', status: 'interrupted', error: null });
  });

  test('its README: the callback arrives, is verified and stored', async () => {
    const shown = await until(async () => {
      const [said] = await terminal().run(blocks[4] ?? []);
      const build = JSON.parse(said?.stdout ?? '');
      return build.notice ? build : null;
    }, 'the notice');
    const { endedAt = 0 } = await client.get('acme:web', 'b-1');
    expect(shown.notice).toEqual({
      id: expect.stringMatching(/^cb_/),
      type: 'execution.completed',
      at: new Date(endedAt).toISOString(),
    });
    await until(async () => (await ask('/builds/acme:web~b-3')).body.notice, 'that of one that never ran');
  });

  test('an unsigned, forged or late webhook is refused; a known one changes nothing', async () => {
    const secret = /^CALLBACK_SECRET=(.*)$/m.exec(readFileSync(`${dataFolder()}-api-worker.env`, 'utf8'))?.[1] ?? '';
    const execution = { id: 'b-9', session: 'acme:web', status: 'completed' };
    const body = JSON.stringify({
      type: 'execution.completed',
      timestamp: '2026-11-21T06:00:00.000Z',
      data: { tenant: 'local', session: 'acme:web', execution },
    });
    const send = (headers: Record<string, string>, text = body) => ask('/webhooks/holdfast', { ...post, headers, body: text });
    const signed = (key: string, at = new Date(), text = body) => ({
      'webhook-id': 'cb_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(key).sign('cb_1', at, text),
    });
    const other = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    expect((await send({})).status).toBe(401);
    expect((await send(signed(other))).status).toBe(401);
    expect((await send(signed(secret, new Date(Date.now() - 600_000)))).status).toBe(401);
    expect((await send(signed(secret), body.replace('b-9', 'b-1'))).status).toBe(401);
    const later = JSON.stringify({ type: 'session.deleted', timestamp: '', data: {} });
    expect((await send(signed(secret, new Date(), later), later)).status).toBe(204);

    const { body: before } = await ask('/builds/acme:web~b-1');
    const again = body.replace('b-9', 'b-1').replace('2026-11-21T06:00:00.000Z', before.notice.at);
    const repeat = { ...signed(secret, new Date(), again), 'webhook-id': before.notice.id };
    repeat['webhook-signature'] = new Webhook(secret).sign(before.notice.id, new Date(), again);
    expect((await send(repeat, again)).status).toBe(204);
    expect((await ask('/builds/acme:web~b-1')).body).toEqual(before);
  });

  test('a repeated key finds the build; with another request it is refused; an invalid repository or build is reported as such', async () => {
    const main = { repository: 'acme/web', ref: 'main' };
    expect(await start('b-1', main)).toMatchObject({ status: 200, body: { id: 'acme:web~b-1', status: 'completed' } });
    expect(await start('b-1', { ...main, ref: 'other' })).toMatchObject({ status: 409, body: { error: 'key_taken' } });
    for (const body of [{}, { repository: 'acme', ref: 'main' }, { repository: 'a/b/c', ref: 'main' }, { ...main, ref: '' }]) {
      expect(await start('b-0', body)).toMatchObject({ status: 400, body: { error: 'bad_request' } });
    }
    expect((await start('no key', main)).status).toBe(400);
    for (const id of ['acme:web~none', 'never:started~x', 'acme:web', 'a~b~c', '%2F~x']) {
      expect(await ask(`/builds/${id}`)).toMatchObject({ status: 404, body: { error: 'no_such_build' } });
    }
    expect((await ask('/builds/acme:web~b-1/cancel', post)).status).toBe(200);
    expect(await ask('/nothing')).toMatchObject({ status: 404 });
  });

  test('shell text in a request is never run', async () => {
    const ref = '$(touch hacked); echo "x"';
    const { body } = await start('b-4', { repository: 'acme/quoting', ref });
    expect((await ask(`/builds/${body.id}?wait=30`)).body).toMatchObject({ status: 'completed', ref });
    const { events } = await client.execution('acme:quoting', 'b-4').readEvents({ after: 0, types: ['output'] });
    expect(events[0]?.data.text).toBe(`fetch acme/quoting ${ref}\n`);
  });

  test('its README: what would be deployed is whole', async () => {
    const [said] = await terminal().run(blocks[5] ?? []);
    expect(said).toMatchObject({ code: 0 });
    for (const shown of ['env.HOLDFAST (holdfast#Holdfast)', 'env.NOTICES', 'dry-run']) expect(said?.stdout).toContain(shown);
  });
});

describe('viewer-page', () => {
  test('its script is as short as it says, and its README makes the bundle', async () => {
    expect(readFileSync(join(ROOT, 'examples/viewer-page/viewer.ts'), 'utf8').split('\n').length - 1).toBeLessThanOrEqual(60);
    const [bundle = [], ...more] = blocksOf('examples/viewer-page/README.md', []);
    expect(more).toEqual([]);
    expect(await terminal().run(bundle)).toMatchObject([{ code: 0, stdout: '' }]);
  });

  test('shows a build live to its end, as text, and cancels one', async () => {
    const page = await chromium.browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    const { body: build } = await start('b-5', { repository: 'acme/page', ref: '<b>main</b>' });
    await page.goto(`${apiUrl}/?build=${build.id}`);
    const [status, log] = [page.locator('#status'), page.locator('#log')];
    await until(async () => (await log.textContent())?.startsWith('fetch acme/page <b>main</b>\n'), 'the first line');
    await until(async () => (await status.textContent()) === 'running', 'that it runs');
    await until(async () => (await status.textContent()) === 'completed', 'the end');
    expect(await log.textContent()).toBe(['fetch', 'compile', 'test'].map((step) => `${step} acme/page <b>main</b>\n`).join(''));
    expect(await log.locator('b').count()).toBe(0);

    const { body: second } = await start('b-6', { repository: 'acme/page', ref: 'main' });
    await page.goto(`${apiUrl}/?build=${second.id}`);
    await until(async () => (await status.textContent()) === 'running', 'it runs');
    await page.locator('#cancel').click();
    await until(async () => (await status.textContent()) === 'interrupted', 'it is cancelled');

    await page.goto(`${apiUrl}/?build=acme:page~none`);
    await until(async () => (await status.textContent()) === 'execution_not_found', 'that there is no such build');
    expect(errors).toEqual([]);
    await page.close();
  });
});

describe('agent-run', () => {
  test('its README: it reports its steps, asks, continues after an answer, and sums up when it is interrupted', async () => {
    const [first, second = [], third = [], fourth = []] = blocksOf('examples/agent-run/README.md', [
      ['http://127.0.0.1:8787', holdfastUrl],
      ['hf_…', apiKey],
    ]);
    // It runs already: as the README of the api-worker starts it.
    expect(first).toEqual(['npm start']);
    const [exported = '', ...lines] = second;
    const [run = '', open = '', follow = '', ...none] = lines;
    expect([exported.split(' ')[0], none]).toEqual(['export', []]);

    const shell = terminal();
    const [ran, page] = await shell.run([exported, run, open]);
    expect(ran).toMatchObject({ code: 0, stdout: 'agent/first\n' });
    expect(page).toMatchObject({ code: 0, stdout: `${holdfastUrl}/sessions/agent/executions/first\n` });
    const following = shell.run([follow]);
    const said = async (id: string) =>
      (await client.execution('agent', id).readEvents({ after: 0, types: ['agent'] })).events.map(({ data }) => data);
    await until(async () => (await said('first')).at(-1)?.type === 'question', 'the question');
    await sleep(500);
    expect((await said('first')).at(-1)?.type, 'it waits').toBe('question');

    // The page that `open` names, as a person with the link sees it.
    const { ticket } = await client.execution('agent', 'first').ticket();
    const seen = await chromium.browser.newPage();
    await seen.goto(`${page?.stdout.trim()}#ticket=${ticket}`);
    await seen.getByText(/^Shall I read all \d+ files\?$/).waitFor();

    const another = terminal();
    expect(await another.run([exported, ...third])).toMatchObject([{ code: 0 }]);
    const [followed] = await following;
    expect(followed?.code).toBe(0);
    await seen.getByText(/^Done: \d+ lines counted/).waitFor();
    await seen.close();
    const events = await said('first');
    expect(
      followed?.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(events);
    const of = (type: string) => events.filter((event) => event.type === type);
    expect(new Set(events.map(({ type }) => type))).toEqual(
      new Set(['thinking', 'tool_call', 'tool_result', 'question', 'message']),
    );
    expect(of('tool_call').map(({ id }) => id)).toEqual(of('tool_result').map(({ id }) => id));
    const { events: told } = await client.execution('agent', 'first').readEvents({ after: 0, types: ['progress'] });
    const counted = told.at(-1)?.data;
    expect(counted).toMatchObject({
      current: counted?.total,
      message: expect.stringMatching(/^files read, \d{3,} lines counted$/),
    });
    expect(of('message')).toMatchObject([{ text: expect.stringMatching(/^Done: \d{3,} lines counted in \d+ files\.$/) }]);
    expect(await client.get('agent', 'first')).toMatchObject({ status: 'completed', format: 'jsonl', openStdin: true });

    // The page says "while it waits", so a reader has seen the question by then.
    const [again = '', interrupt = '', wait = '', logs = '', ...rest] = fourth;
    expect(rest).toEqual([]);
    await another.run([again]);
    await until(async () => (await said('second')).at(-1)?.type === 'question', 'the second question');
    const [asked, waited, shown] = await another.run([interrupt, wait, logs]);
    expect(asked?.code).toBe(0);
    expect(waited?.stdout).toBe('ended with 130\n');
    expect(JSON.parse(shown?.stdout.trim().split('\n').at(-1) ?? '')).toEqual({
      type: 'message',
      text: 'I was interrupted: 0 lines counted in 0 files so far.',
    });
    expect(await client.get('agent', 'second')).toMatchObject({ status: 'interrupted', reason: 'that is enough' });
  });

  test('an answer that is neither yes nor no is asked again, an early one waits, and a missing one is a no', async () => {
    const command = [process.execPath, 'examples/agent-run/agent.mjs', 'docs'];
    const last = async (id: string) =>
      (await client.execution('agent', id).readEvents({ after: 0, types: ['agent'] })).events.at(-1)?.data;
    await client.start('agent', { id: 'third', command, format: 'jsonl', openStdin: true, env: { AGENT_STEP_MS: '200' } });
    await until(async () => (await client.get('agent', 'third')).status === 'running', 'it runs');
    await client.execution('agent', 'third').send('perhaps\n');
    await until(async () => String((await last('third'))?.text).startsWith('"perhaps" is neither'), 'it asks again');
    await client.execution('agent', 'third').send('No\n');
    expect(await client.wait('agent', 'third')).toMatchObject({ status: 'completed' });
    await client.start('agent', { id: 'fourth', command, format: 'jsonl', env: { AGENT_STEP_MS: '1' } });
    expect(await client.wait('agent', 'fourth')).toMatchObject({ status: 'completed' });
    for (const id of ['third', 'fourth'])
      expect(await last(id)).toMatchObject({ text: expect.stringContaining('none of them read') });
    await client.start('agent', { id: 'fifth', command: [...command.slice(0, 2), 'nowhere'], format: 'jsonl' });
    expect(await client.wait('agent', 'fifth')).toMatchObject({ status: 'failed', exitCode: 1 });
  });
});

describe('docs/rpc.md', () => {
  const page = readFileSync(join(ROOT, 'docs', 'rpc.md'), 'utf8');
  const example = (kind: string): string => new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\``, 'ms').exec(page)?.[1] ?? '';

  test('its example compiles, runs a job on the same Holdfast, and finds it again', async () => {
    const own = join(folder, 'my-product');
    const compilerOptions = {
      ...{ module: 'esnext', moduleResolution: 'bundler', moduleDetection: 'force', target: 'es2024', lib: ['es2024'] },
      ...{ strict: true, skipLibCheck: true, noEmit: true, allowImportingTsExtensions: true, exactOptionalPropertyTypes: true },
      types: ['@cloudflare/workers-types'],
      typeRoots: [join(ROOT, 'node_modules')],
      paths: { '@holdfast/client/protocol': [join(ROOT, 'protocol/index.ts')] },
    };
    const shell = terminal({ WRANGLER_REGISTRY_PATH: join(dataFolder(), 'registry') });
    await shell.run([`mkdir -p ${own}`]);
    writeFileSync(join(own, 'wrangler.toml'), example('toml'));
    writeFileSync(join(own, 'index.ts'), example('ts'));
    writeFileSync(join(own, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['index.ts'] }));
    expect(await shell.run([`npx tsc -p ${own}`])).toMatchObject([{ code: 0, stdout: '' }]);

    const port = await freePort();
    shell.start([`npx wrangler dev -c ${own}/wrangler.toml --ip 127.0.0.1 --port ${port} --inspector-port 0`]);
    await shell.says('Ready on');
    const url = `http://127.0.0.1:${port}/`;
    const answer = await until(async () => {
      const response = await fetch(url).catch(() => null);
      return response?.ok ? response.json() : null;
    }, 'the two Workers found each other');
    expect(answer).toEqual({ status: 'completed', text: 'hello from a job\n' });
    expect(await (await fetch(url)).json()).toEqual(answer);
    expect((await client.list('reports')).data).toHaveLength(1);
    await shell.stop(own);
  });
});

/** Last, because it takes Holdfast away. */
test('api-worker without Holdfast: every call is answered in its own words', async () => {
  await opened[0]?.stop(`--persist-to ${join(dataFolder(), 'coordinator')}`);
  const unavailable = { status: 503, body: { error: 'unavailable' } };
  expect(await ask('/builds/acme:web~b-1')).toMatchObject(unavailable);
  expect(await start('b-7', { repository: 'acme/web', ref: 'main' })).toMatchObject(unavailable);
  expect(await ask('/builds/acme:web~b-1/ticket')).toMatchObject(unavailable);
});
