/**
 * Goal: what is published works where nothing of this repository is.
 * Method: both tarballs, installed by npm into an empty folder; the programs by npx, a whole local
 * stack of the package, and a program against the client, checked by a compiler with a user's
 * settings and run. Wrangler, which `holdfast dev` would download, is linked into the folder as if
 * a user had it installed.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import manifest from '../../packages/holdfast/package.json' with { type: 'json' };
import { npm, type Packed, packPackages } from '../../scripts/packages.ts';
import { ROOT } from '../../scripts/stack.ts';
import { processesWith, until } from '../support/real-stack.ts';

let folder: string;
let project: string;
let data: string;
let packed: { holdfast: Packed; client: Packed };
let env: NodeJS.ProcessEnv;
const children: ChildProcess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-packages-'));
  project = join(folder, 'project');
  data = join(folder, 'data');
  mkdirSync(project);
  packed = packPackages(folder);
  writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}\n');
  npm(['install', '--no-audit', '--no-fund', packed.holdfast.tarball, packed.client.tarball], project);
  // A user's shell: a Node that is new enough, no tools of this repository, no npm above it, a home
  // of its own.
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|HOLDFAST_|INIT_CWD|NODE_OPTIONS|VITEST)/.test(name));
  const path = (process.env.PATH ?? '').split(delimiter).filter((entry) => !entry.includes('node_modules'));
  env = {
    ...Object.fromEntries(own),
    PATH: [join(ROOT, 'node_modules', 'node', 'bin'), ...path].join(delimiter),
    HOME: join(folder, 'home'),
    XDG_STATE_HOME: join(folder, 'state'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    // npm's own news would be on stderr.
    NPM_CONFIG_UPDATE_NOTIFIER: 'false',
  };
}, 300_000);

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const { pid } of processesWith(folder)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const npx = (...args: string[]) =>
  spawnSync('npx', ['--no-install', ...args], { cwd: project, env, encoding: 'utf8', timeout: 90_000 });

describe('the tarballs', () => {
  it('hold what the programs need, and nothing of the sources', () => {
    const allowed =
      /^(package\.json|README\.md|LICENSE|(bin|dist)\/.*\.(mjs|js|css|html|svg|txt|toml)|dist\/worker\/dashboard\/_headers|systemd\/holdfast-runner\.service)$/;
    expect(packed.holdfast.files.filter((file) => !allowed.test(file))).toEqual([]);
    for (const file of [
      'bin/holdfast.mjs',
      'bin/holdfast-acp.mjs',
      'dist/holdfast.mjs',
      'dist/holdfast-acp.mjs',
      'dist/holdfast-wrapper.mjs',
      'dist/keeper.mjs',
      'dist/worker/index.js',
      'systemd/holdfast-runner.service',
    ])
      expect(packed.holdfast.files).toContain(file);
    const ofClient =
      /^(package\.json|README\.md|LICENSE|dist\/THIRD_PARTY_LICENSES\.txt|dist\/[\w-]+\.js|dist\/types\/(agent|client|protocol)\/.*\.d\.ts)$/;
    expect(packed.client.files.filter((file) => !ofClient.test(file))).toEqual([]);
    for (const name of ['holdfast', '@holdfast/client'])
      expect(existsSync(join(project, 'node_modules', name, 'LICENSE'))).toBe(true);
  });

  it('hold the licence of every package whose code they contain', () => {
    const licencesIn = (name: string): string => {
      const text = readFileSync(join(project, 'node_modules', name, 'dist', 'THIRD_PARTY_LICENSES.txt'), 'utf8');
      // Each has its whole text, of which this sentence is a part in MIT, ISC and BSD alike.
      for (const part of text.split(/^-{80}$/m).slice(1))
        expect(part).toMatch(/THE SOFTWARE IS PROVIDED|THIS SOFTWARE IS PROVIDED|Apache License/i);
      return text;
    };
    const lines = (text: string) => [...text.matchAll(/^(\S+) \d+\.\d+\.\d+\S* \(/gm)].map(([, name]) => name);
    const own = lines(licencesIn('holdfast'));
    // Of the command line, the wrapper, the Worker, the dashboard and the bridge to agents.
    for (const name of ['commander', 'ws', 'ipaddr.js', 'hono', 'zod', 'jose', 'drizzle-orm', 'preact', '@agentclientprotocol/sdk'])
      expect(own).toContain(name);
    // A package with code in a bundle says so in a comment that names its path, except where it is
    // minified.
    for (const bundle of ['holdfast.mjs', 'holdfast-acp.mjs', 'holdfast-wrapper.mjs', join('worker', 'index.js')]) {
      const code = readFileSync(join(project, 'node_modules', 'holdfast', 'dist', bundle), 'utf8');
      const named = [...code.matchAll(/^\/\/ (?:\.\.\/)*node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm)].map(([, name]) => name);
      expect(named.length).toBeGreaterThan(0);
      expect([...new Set(named)].filter((name) => !own.includes(name))).toEqual([]);
    }
    expect(licencesIn('@holdfast/client')).toContain('under their own licences');
  });

  it('bring no other package along', () => {
    const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(installed.sort()).toEqual(['@holdfast', 'holdfast']);
  });
});

describe('the programs', () => {
  it('npx holdfast --version prints the version', () => {
    expect(npx('holdfast', '--version')).toMatchObject({ status: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  it('npx holdfast-wrapper prints its version and its usage', () => {
    expect(npx('holdfast-wrapper', '--version')).toMatchObject({ status: 0, stdout: `${manifest.version}\n`, stderr: '' });
    expect(npx('holdfast-wrapper', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('holdfast-wrapper run') });
  });

  it('npx holdfast-acp prints its version, and runs an agent', () => {
    expect(npx('holdfast-acp', '--version')).toMatchObject({ status: 0, stdout: `${manifest.version}\n`, stderr: '' });
    const agent = [process.execPath, join(ROOT, 'test', 'support', 'acp-agent.mjs')];
    expect(npx('holdfast-acp', '--prompt', 'say hello', '--', ...agent)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('"text":"hello"'),
      stderr: '',
    });
  });

  it('without a stack, `run` shows how to start one, and exits 2', () => {
    expect(npx('holdfast', 'run', '--', 'echo', 'hi')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('holdfast dev'),
    });
  });
});

/** Follows a run from its start to its verdict. */
const PROGRAM = `import { createClient, isEvent } from '@holdfast/client';
import type { LoggedEvent } from '@holdfast/client/protocol';

const { HOLDFAST_URL: url = '', HOLDFAST_API_KEY: apiKey = '' } = process.env;
const client = createClient({ url, apiKey });
const { execution } = await client.start('packed', { command: ['sh', '-c', 'echo one; echo two'] });
const run = client.execution('packed', execution.id);
const seen: LoggedEvent[] = [];
for await (const event of run.events()) {
  seen.push(event);
  if (isEvent(event, 'output')) process.stdout.write(event.data.text);
}
const { status, exitCode } = await run.wait();
const failed: boolean = exitCode !== 0;
console.log(status, exitCode, failed, seen.length > 2);
`;

describe('@holdfast/client', () => {
  it.each(['nodenext', 'bundler'])('a program of fifteen lines has its types with moduleResolution %s', (moduleResolution) => {
    expect(PROGRAM.trimEnd().split('\n').length).toBe(15);
    const module = moduleResolution === 'nodenext' ? 'nodenext' : 'esnext';
    const compilerOptions = { module, moduleResolution, target: 'es2024', strict: true, noEmit: true, types: ['node'] };
    const typeRoots = [join(ROOT, 'node_modules', '@types')];
    // Declarations are checked too.
    const settings = { compilerOptions: { ...compilerOptions, typeRoots, skipLibCheck: false }, files: ['program.ts', 'wrong.ts'] };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(settings));
    writeFileSync(join(project, 'program.ts'), PROGRAM);
    writeFileSync(
      join(project, 'wrong.ts'),
      "import { createClient } from '@holdfast/client';\nimport type { Status } from '@holdfast/client/protocol';\n// @ts-expect-error: there is no such option\ncreateClient({ urll: 'x' });\n// @ts-expect-error: there is no such status\nexport const status: Status = 'lost';\n",
    );
    const { status, stdout } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project],
      {
        cwd: project,
        encoding: 'utf8',
      },
    );
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});

describe('holdfast dev', () => {
  let ready: { url: string; apiKey: string; runnerUrl: string };
  let stack: ChildProcess;

  beforeAll(async () => {
    symlinkSync(join(ROOT, 'node_modules', 'wrangler'), join(project, 'node_modules', 'wrangler'));
    const args = ['holdfast', 'dev', '--json', '--port', '0', '--runner-port', '0', '--data', data];
    stack = spawn('npx', ['--no-install', ...args], { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(stack);
    let stdout = '';
    let stderr = '';
    stack.stdout?.on('data', (chunk) => {
      stdout += String(chunk);
    });
    stack.stderr?.on('data', (chunk) => {
      stderr += String(chunk);
    });
    await until(() => stdout.includes('\n') || stack.exitCode !== null, 'the line on stdout', 100_000);
    if (!stdout.includes('\n')) throw new Error(`it ended: ${stderr}`);
    ready = JSON.parse(stdout);
  }, 120_000);

  it('a run in another shell needs no configuration, and runs where the stack was started', () => {
    expect(npx('holdfast', 'run', '--quiet', '--', 'sh', '-c', 'echo hi; pwd')).toMatchObject({
      status: 0,
      stdout: `hi\n${project}\n`,
      stderr: '',
    });
    expect(npx('holdfast', 'run', '--quiet', '--', 'sh', '-c', 'exit 7').status).toBe(7);
  });

  it('the environment of a job is the user’s, without what npx adds', () => {
    const said = npx(
      'holdfast',
      'run',
      '--quiet',
      '--',
      'sh',
      '-c',
      'echo "$PATH"; env | grep -cE "^(npm_|INIT_CWD=|NODE=|COLOR=)"; true',
    );
    expect(said.stdout.split('\n').slice(0, 2)).toEqual([env.PATH, '0']);
  });

  it('the program that was type-checked follows a run', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['program.ts'], {
      cwd: project,
      env: { ...env, HOLDFAST_URL: ready.url, HOLDFAST_API_KEY: ready.apiKey },
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect({ stdout, status }, stderr).toEqual({ stdout: 'one\ntwo\ncompleted 0 false true\n', status: 0 });
  });

  it('it has the dashboard, and the version of the package', async () => {
    expect(await (await fetch(`${ready.url}/`)).text()).toContain('<title>');
    expect(await (await fetch(`${ready.url}/healthz`)).json()).toMatchObject({ status: 'ok', version: manifest.version });
  });

  it('SIGTERM ends all of it, and the next `run` no longer looks for it', async () => {
    const notes = () => readdirSync(join(folder, 'state', 'holdfast', 'running'));
    expect(notes()).toHaveLength(1);
    const ended = once(stack, 'exit');
    stack.kill('SIGTERM');
    await ended;
    await until(() => processesWith(data).length === 0, 'no process is left', 60_000);
    await until(() => notes().length === 0, 'the note is gone', 10_000);
    expect(npx('holdfast', 'run', '--', 'echo', 'hi').status).toBe(2);
  });
});
