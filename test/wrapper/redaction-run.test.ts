/**
 * Goal: of a secret nothing is sent and nothing is on disk, in whole runs: both streams, agent
 * events, the command itself, a prompt, a crash. Method: real jobs, most of them under real wrapper
 * processes. Everything that the coordinator got, and every file of a killed wrapper's spool, is
 * searched for the secret.
 */

import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeJobEnv } from '../../wrapper/job/env.ts';
import { REDACTED } from '../../wrapper/output/redaction.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  gate,
  gated,
  removeTemporaryFolders,
  runInProcess,
  sleep,
  startWrapper,
  temporaryFolder,
  until,
  type WrapperProcess,
} from '../support/wrapper-run.ts';

const SECRET = 'ghp_0123456789abcdefghij';
const env = { ...process.env, GITHUB_TOKEN: SECRET };
/** In a job: the parent of its holder. */
const WRAPPER_PID = '$(cut -d" " -f4 /proc/$PPID/stat)';
let coordinator: FakeCoordinator;
let started: WrapperProcess[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  for (const { process } of started) process.kill('SIGKILL');
  started = [];
  await coordinator.stop();
  removeTemporaryFolders();
});
const start: typeof startWrapper = (...given) => {
  const wrapper = startWrapper(...given);
  started.push(wrapper);
  return wrapper;
};
const sh = (script: string) => ['sh', '-c', script];
const sent = () => JSON.stringify(coordinator.events);
const agent = () => coordinator.events.filter(({ type }) => type === 'agent').map(({ data }) => data);

describe('[SPL25] a run', () => {
  it('redacts stdout and stderr by default, and keeps the lines and their numbers', async () => {
    const { script, gates } = gated([
      'echo one',
      'echo "token=$GITHUB_TOKEN." >&2',
      'echo "$GITHUB_TOKEN$GITHUB_TOKEN"',
      'echo last',
    ]);
    const wrapper = start(coordinator, sh(script), { env: { GITHUB_TOKEN: SECRET } });
    for (const [index, { open }] of gates.entries()) {
      await coordinator.until(() => coordinator.events.filter(({ type }) => type === 'output').length > index, 'output');
      open();
    }
    expect(await wrapper.ended).toEqual({ code: 0, signal: null });
    const output = coordinator.events.filter(({ type }) => type === 'output').map(({ data }) => [data.text, data.line]);
    expect(output).toEqual([
      ['one\n', 1],
      [`token=${REDACTED}.\n`, 2],
      [`${REDACTED}\n`, 3],
      ['last\n', 4],
    ]);
    expect(sent()).not.toContain(SECRET);
  });

  it('finds the variables that are given for the job alone, and the wrapper’s own token', async () => {
    // What a job of the same user can read of its wrapper.
    const script = `echo "db $DB_PASSWORD"; tr "\\0" "\\n" < /proc/${WRAPPER_PID}/environ`;
    const wrapper = start(coordinator, sh(script), { env: encodeJobEnv({ DB_PASSWORD: 'correct horse' }) });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toContain(`db ${REDACTED}\n`);
    expect(coordinator.text()).toContain(`HOLDFAST_INGEST_TOKEN=${REDACTED}\n`);
    expect(sent()).not.toContain(coordinator.token);
  });

  it('redacts the wrapper’s own token also when it came as an argument or in a file', async () => {
    // The variable is emptied, so that the token is nowhere but where the arguments say.
    const env = { HOLDFAST_INGEST_TOKEN: '' };
    const byArgument = start(coordinator, sh(`tr "\\0" " " < /proc/${WRAPPER_PID}/cmdline; env`), {
      args: ['--token', coordinator.token],
      env,
    });
    expect((await byArgument.ended).code).toBe(0);
    expect(coordinator.text()).toContain(`--token ${REDACTED} `);
    // It is the wrapper's, not the job's.
    expect(coordinator.text()).not.toContain('HOLDFAST_');
    expect(sent()).not.toContain(coordinator.token);
  });

  it('redacts the token of --token-file', async () => {
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, `${coordinator.token}\n`);
    const wrapper = start(coordinator, ['cat', file], { args: ['--token-file', file], env: { HOLDFAST_INGEST_TOKEN: '' } });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(`${REDACTED}\n`);
  });

  it('[SPL25] the start names further variables, of the job or of its host, before any output of the job is sent', async () => {
    coordinator.job = {
      ...{ session: 's1', execution: 'e1', url: 'https://holdfast.test/sessions/s1/executions/e1' },
      secretNames: ['DEPLOY', 'OF_THE_HOST', 'MISSING'],
    };
    const env = { ...encodeJobEnv({ DEPLOY: 'deploy-value' }), OF_THE_HOST: 'host-value', PLAIN: 'plain-value' };
    const wrapper = start(coordinator, sh('echo "$DEPLOY $OF_THE_HOST $PLAIN" # deploy-value'), { env });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(`${REDACTED} ${REDACTED} plain-value\n`);
    expect(sent()).not.toMatch(/deploy-value|host-value/);
    expect(wrapper.stderr()).toBe('holdfast-wrapper: MISSING is to be redacted, but has no value that is long enough\n');
  });

  it('what the start names is redacted by a wrapper with --no-redact, and nothing else', async () => {
    coordinator.job = { session: 's1', execution: 'e1', url: 'https://holdfast.test/', secretNames: ['DEPLOY'] };
    const env = { DEPLOY: 'deploy-value', A_TOKEN: 'token-value', SITE: 'http://a:password-1@x' };
    const wrapper = start(coordinator, sh('echo "$DEPLOY $A_TOKEN $SITE"'), { args: ['--no-redact'], env });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(`${REDACTED} token-value http://a:password-1@x\n`);
  });

  it('more than can be searched for is an error by name, and nothing is run', async () => {
    // The forms of one value of 128 KiB less a little, the most that the system takes, are a tenth
    // of what is possible.
    const names = Array.from({ length: 12 }, (_, index) => `LARGE_${index}`);
    coordinator.job = { session: 's1', execution: 'e1', url: 'https://holdfast.test/', secretNames: names };
    const env = Object.fromEntries(names.map((name, index) => [name, `${index}${'0123456789abcdef'.repeat(8000)}`]));
    const folder = temporaryFolder();
    const wrapper = start(coordinator, sh('touch ran'), { args: ['--cwd', folder], env });
    expect((await wrapper.ended).code).toBe(125);
    expect(coordinator.events.at(-1)).toMatchObject({
      type: 'error',
      data: { code: 'not_begun', fatal: true, error: expect.stringContaining('4194304 at most') },
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('--redact adds a variable, and reports one without a value to redact', async () => {
    const args = ['--redact', 'DSN', '--redact', 'MISSING'];
    const wrapper = start(coordinator, sh('echo "$DSN $PLAIN"'), { args, env: { DSN: 'mysql://me:pw', PLAIN: 'plain-value' } });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(`${REDACTED} plain-value\n`);
    expect(wrapper.stderr()).toBe('holdfast-wrapper: MISSING is to be redacted, but has no value that is long enough\n');
  });

  it('--no-redact reports all as it is', async () => {
    const wrapper = start(coordinator, sh('echo $GITHUB_TOKEN'), { args: ['--no-redact'], env: { GITHUB_TOKEN: SECRET } });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(`${SECRET}\n`);
    const both = start(coordinator, sh('true'), { args: ['--no-redact', '--redact', 'A'] });
    expect((await both.ended).code).toBe(125);
    expect(both.stderr()).toContain('--redact and --no-redact exclude each other');
  });

  it('--tee shows what the job wrote, as it would without a wrapper', async () => {
    const wrapper = start(coordinator, sh('echo $GITHUB_TOKEN'), { args: ['--tee'], env: { GITHUB_TOKEN: SECRET } });
    expect((await wrapper.ended).code).toBe(0);
    expect(wrapper.stdout()).toBe(`${SECRET}\n`);
    expect(coordinator.text()).toBe(`${REDACTED}\n`);
  });

  it('redacts a secret among the arguments in what the wrapper reports', async () => {
    await runInProcess(coordinator, ['sh', '-c', 'true', `--token=${SECRET}`], { env }).exitCode;
    expect(coordinator.events[0]?.data.command).toEqual(['sh', '-c', 'true', `--token=${REDACTED}`]);
    expect(sent()).not.toContain(SECRET);
  });

  it('redacts it in the reason why the command could not be started', async () => {
    const run = runInProcess(coordinator, [`/nowhere/${SECRET}`], { env });
    expect(await run.exitCode).toBe(127);
    expect(coordinator.events.at(-1)?.data).toMatchObject({
      error: `the command was not found: /nowhere/${REDACTED}`,
      code: 'spawn_failed',
    });
    expect(run.log.problems.join()).not.toContain(SECRET);
  });

  it('runs nothing when there is more to redact than it can', async () => {
    const job = { A_KEY: 'x'.repeat(600_000), B_KEY: 'y'.repeat(600_000) };
    const run = runInProcess(coordinator, sh('true'), { jobEnv: job });
    expect(await run.exitCode).toBe(125);
    expect(run.log.problems.join()).toMatch(/have \d+ bytes in all their forms, and 4194304 at most/);
    expect(coordinator.events).toEqual([]);
  });

  it('jsonl: agent events stay events, also with an escaped secret; a secret over a cut of text is found', async () => {
    const { wait, open } = gate();
    const script = `echo '{"token":"${SECRET}","n":1}'; echo '{"token":"\\u0067${SECRET.slice(1)}"}'
      printf 'half ghp_012345'; ${wait}; echo '6789abcdefghij and on'; echo '{"last":1}'`;
    const { exitCode } = runInProcess(coordinator, sh(script), { env, format: 'jsonl' });
    await coordinator.until(() => coordinator.text() === 'half ', 'what stands before the half');
    open();
    await exitCode;
    expect(agent()).toEqual([{ token: REDACTED, n: 1 }, { token: REDACTED }, { last: 1 }]);
    expect(coordinator.text()).toBe(`half ${REDACTED} and on\n`);
  });

  it('--sse: the messages of an agent server', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`event: step\ndata: {"token":"${SECRET}"}\n\ndata: it is ${SECRET}\n\n`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sse = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(wait), { env, sse });
    await coordinator.until(() => agent().length >= 2, 'both messages');
    open();
    await exitCode;
    server.close();
    // The server repeats itself to each connection: its messages have no id.
    expect(agent().slice(0, 2)).toEqual([{ event: 'step', token: REDACTED }, { text: `it is ${REDACTED}` }]);
    expect(sent()).not.toContain(SECRET);
  });
});

describe('[SPL25] [RD6] text without a line end', () => {
  it('a prompt appears while the job waits; half a secret is held until it is known not to be one', async () => {
    const { wait, open } = gate();
    const script = `printf "Password: ghp_0123"; ${wait}; echo; printf ghp_01; sleep 0.3; echo no`;
    const { exitCode } = runInProcess(coordinator, sh(script), { env });
    await coordinator.until(() => coordinator.text() === 'Password: ', 'the prompt');
    expect(coordinator.events.at(-1)?.data).toEqual({ stream: 'stdout', text: 'Password: ', partial: true, line: 1 });
    await sleep(300);
    expect(coordinator.text()).toBe('Password: ');
    open();
    await exitCode;
    expect(coordinator.text()).toBe('Password: ghp_0123\nghp_01no\n');
  });

  it('a wrapper that is killed leaves nothing of it on disk, whole or in part', async () => {
    coordinator.onFrame = () => false; // Nothing is taken, so the spool keeps all.
    const script = 'while :; do echo "a $GITHUB_TOKEN"; printf "b %s" ghp_0123456789; sleep 0.15; printf "%s\\n" abcdefghij; done';
    const wrapper = start(coordinator, sh(script), { env: { GITHUB_TOKEN: SECRET } });
    const files = () => readdirSync(wrapper.spool).filter((name) => name.endsWith('.ndjson'));
    const spooled = () =>
      files()
        .map((name) => readFileSync(join(wrapper.spool, name), 'utf8'))
        .join('');
    // Half a secret is late: what stands before it is given as partial, and the marker comes alone.
    await until(() => spooled().split(`"text":"${REDACTED}\\n`).length > 3, 'some that were printed in two halves');
    await sleep(120); // In the middle of one.
    wrapper.process.kill('SIGKILL');
    await wrapper.ended;
    expect(spooled()).toContain(`a ${REDACTED}`);
    expect(spooled()).toContain('"text":"b ","partial":true');
    // The script is the job's command and is reported: only what the job printed is looked at.
    const output = spooled()
      .split('\n')
      .filter((line) => line.includes('"output"'));
    expect(output.length).toBeGreaterThan(2);
    expect(output.join('\n')).not.toMatch(/ghp_|abcdefghij/);
    expect(spooled()).not.toContain(SECRET);
  });
});
