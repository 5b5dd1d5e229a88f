/**
 * Goal: the contract of `npm start -- --json`: one line when ready, and nothing left after SIGTERM.
 * Method: npm itself, looking at stdout and at the process table.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { processesWith, until } from '../support/real-stack.ts';

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'holdfast-start-'));
});
afterEach(() => {
  for (const { pid } of processesWith(data)) process.kill(pid, 'SIGKILL');
  rmSync(data, { recursive: true, force: true, maxRetries: 5 });
});

interface Started {
  child: ReturnType<typeof spawn>;
  stdout: () => string;
  stderr: () => string;
  ready: () => Promise<{ url: string; apiKey: string; runnerUrl: string }>;
}

function start(program: string, args: string[]): Started {
  // The note by which the command line finds a stack goes next to the data, and not into the
  // developer's own folder.
  const env = { ...process.env, XDG_STATE_HOME: join(data, 'state') };
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const ready = async () => {
    await until(() => stdout.includes('\n') || child.exitCode !== null, 'the line on stdout', 100_000);
    if (!stdout.includes('\n')) throw new Error(`it ended: ${stderr}`);
    return JSON.parse(stdout);
  };
  return { child, stdout: () => stdout, stderr: () => stderr, ready };
}

const options = () => ['--json', '--port', '0', '--runner-port', '0', '--data', data];

describe('npm start', () => {
  it('prints url, apiKey and runnerUrl in one line, serves, and SIGTERM to npm ends all of it', async () => {
    const started = start('npm', ['start', '--silent', '--', ...options()]);
    const { url, apiKey, runnerUrl } = await started.ready();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${runnerUrl}/health`)).json()).toMatchObject({ ok: true });
    const authorized = { headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' } };
    const body = JSON.stringify({ id: 'e1', command: ['sleep', '600'] });
    expect((await fetch(`${url}/v1/sessions/s1/executions`, { ...authorized, method: 'POST', body })).status).toBe(201);
    await until(async () => {
      const answer = await fetch(`${url}/v1/sessions/s1/executions/e1`, authorized);
      return ((await answer.json()) as { status: string }).status === 'running';
    }, 'the job runs');
    expect(processesWith(data).length).toBeGreaterThan(3);

    // The environment of a job is the user's: no tools of this repository, and nothing of npm's
    // word about itself.
    const words = 'echo "$PATH"; env | grep -E "^(npm_|INIT_CWD=)" || echo none';
    const asked = JSON.stringify({ id: 'e1', command: ['sh', '-c', words] });
    expect((await fetch(`${url}/v1/sessions/s2/executions`, { ...authorized, method: 'POST', body: asked })).status).toBe(201);
    const log = await until(async () => {
      const text = await (await fetch(`${url}/v1/sessions/s2/executions/e1/log`, authorized)).text();
      return text.split('\n').length > 2 ? text : null;
    }, 'what the job sees');
    const [path = '', ...marks] = log.trim().split('\n');
    expect(path.split(delimiter)).not.toContain(join(ROOT, 'node_modules', '.bin'));
    expect(path).not.toContain('node-gyp-bin');
    expect(marks).toEqual(['none']);

    const ended = once(started.child, 'exit');
    started.child.kill('SIGTERM');
    await ended;
    await until(() => processesWith(data).length === 0, 'no process is left', 60_000);
    expect(started.stdout().trim().split('\n')).toHaveLength(1);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it('exits 0 after SIGTERM, keeps its key with its data, and SIGKILL leaves nothing for long', async () => {
    const script = [join(ROOT, 'scripts', 'start.ts'), ...options()];
    const first = start(process.execPath, script);
    const { apiKey } = await first.ready();
    const ended = once(first.child, 'exit');
    first.child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(processesWith(data)).toEqual([]);

    const second = start(process.execPath, script);
    expect((await second.ready()).apiKey).toBe(apiKey);
    second.child.kill('SIGKILL');
    await until(() => processesWith(data).length === 0, 'no process is left', 60_000);
  });

  it('exits 1 with the reason when the port or the data belong to another stack, which continues', async () => {
    const script = join(ROOT, 'scripts', 'start.ts');
    const first = start(process.execPath, [script, ...options()]);
    const { url } = await first.ready();
    const samePort = ['--port', new URL(url).port, '--runner-port', '0', '--data', join(data, 'other')];
    for (const [args, reason] of [
      [samePort, 'is in use'],
      [options(), 'already serves'],
    ] as const) {
      const second = start(process.execPath, [script, ...args]);
      expect(await once(second.child, 'exit')).toEqual([1, null]);
      expect(second.stderr()).toContain(reason);
      expect(second.stderr()).toContain('npm start -- --port 0 --runner-port 0 --data');
      expect(second.stdout()).toBe('');
    }
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const ended = once(first.child, 'exit');
    first.child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });

  it('refuses options that it does not know, with exit 2', async () => {
    const started = start(process.execPath, [join(ROOT, 'scripts', 'start.ts'), '--nonsense']);
    expect(await once(started.child, 'exit')).toEqual([2, null]);
    expect(started.stdout()).toBe('');
  });
});
