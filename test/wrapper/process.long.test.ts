/**
 * Goal: the wrapper as a program: killed with SIGKILL, asked to stop, started twice, started
 * wrongly. Method: real wrapper processes; two boots share only the spool folder.
 */

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSpoolState } from '../../wrapper/spool/state.ts';
import { FakeCoordinator, problemAnswer } from '../support/fake-coordinator.ts';
import {
  gate,
  gated,
  isRunning,
  removeTemporaryFolders,
  sleep,
  startWrapper,
  temporaryFolder,
  until,
  type WrapperProcess,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const started: WrapperProcess[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

const start: typeof startWrapper = (...given) => {
  const wrapper = startWrapper(...given);
  started.push(wrapper);
  return wrapper;
};
const sh = (script: string) => ['sh', '-c', script];
const segments = (spool: string) =>
  readdirSync(spool)
    .filter((name) => name.endsWith('.ndjson'))
    .map((name) => readFileSync(join(spool, name), 'utf8'));
const spooledLines = (spool: string) => segments(spool).join('').split('\n').length - 1;
const types = () => coordinator.events.map(({ type }) => type);
const startedPid = () => coordinator.events.find(({ type }) => type === 'started')?.data.pid as number;

/** Then nothing adopts the job (adoption.long.test.ts). */
async function killWithHolder(wrapper: WrapperProcess): Promise<void> {
  wrapper.process.kill('SIGKILL');
  await wrapper.ended;
  const holder = readSpoolState(wrapper.spool)?.job.holder?.pid as number;
  process.kill(holder, 'SIGKILL');
  await until(() => !isRunning(holder), 'the end of the holder');
}

describe('a wrapper that is killed with its holder', () => {
  it('[SV2] [G1] [G8] reports the crash, sends what is left, never runs the command again, and kills what is left of it', async () => {
    const marker = join(temporaryFolder(), 'ran');
    // This job gets no signal from a broken pipe: it keeps writing without a reader.
    const script = `echo x >> ${marker}; trap "" PIPE; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.002; done 2>/dev/null`;
    const first = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.ackedSeq > 30, 'output');
    // From here on it is sent, but not taken: only the spool has it.
    coordinator.onFrame = () => false;
    const had = spooledLines(first.spool);
    await until(() => spooledLines(first.spool) > had + 20, 'a backlog');
    await killWithHolder(first);
    const job = startedPid();
    expect(isRunning(job)).toBe(true);
    const acked = coordinator.ackedSeq;
    coordinator.onFrame = () => true;

    const second = start(coordinator, sh(script), { spool: first.spool });
    expect(await second.ended).toEqual({ code: 125, signal: null });
    expect(isRunning(job)).toBe(false);
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
    expect(coordinator.ackedSeq).toBeGreaterThan(acked + 10);
    expect(types().filter((type) => type === 'started').length).toBe(1);
    expect(coordinator.events.slice(-2)).toMatchObject([
      { type: 'gap', data: { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' } },
      { type: 'error', data: { code: 'wrapper_crashed', fatal: true } },
    ]);
    const lines = coordinator.text().trimEnd().split('\n');
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    const hellos = coordinator.connections.map(({ hello }) => hello);
    expect(hellos[1]?.wrapperId).toBe(hellos[0]?.wrapperId);
    expect(hellos[1]?.bootId).not.toBe(hellos[0]?.bootId);
    expect(coordinator.faults).toEqual([]);
    expect(readdirSync(first.spool)).toEqual([]);
  });

  it('[G1] five times while it drains: everything arrives once', async () => {
    const wrapper = start(coordinator, sh('seq 1 200000'));
    coordinator.settles = false;
    // Without any ack only the first frame would be sent (SPL40).
    await coordinator.until(() => coordinator.connections.length === 1 && coordinator.ackedSeq > 3, 'output');
    coordinator.acks = false;
    await coordinator.crash();
    // The job ends offline; its end is in the spool.
    await until(() => segments(wrapper.spool).some((text) => text.includes('"type":"exit"')), 'the exit in the spool');
    await sleep(50);
    wrapper.process.kill('SIGKILL');
    await wrapper.ended;
    coordinator.limits = { frameBytes: 300_000, windowBytes: 300_000 };
    await coordinator.start();
    for (let kill = 1; kill <= 4; kill += 1) {
      const before = coordinator.connections.length;
      const next = start(coordinator, sh('echo must not run'), { spool: wrapper.spool });
      await coordinator.until(() => coordinator.connections.length > before && coordinator.last.hello !== null, 'hello');
      await sleep(20);
      next.process.kill('SIGKILL');
      await next.ended;
    }
    coordinator.acks = true;
    coordinator.settles = true;
    coordinator.ended = false;
    const last = start(coordinator, sh('echo must not run'), { spool: wrapper.spool });
    expect((await last.ended).code).toBe(0);
    expect(coordinator.text()).toBe(Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join(''));
    expect(types().at(-1)).toBe('exit');
    expect(coordinator.faults).toEqual([]);
  });

  it('before it had started the job: --recover reports that and runs nothing', async () => {
    const marker = join(temporaryFolder(), 'ran');
    const wrapper = start(coordinator, sh(`touch ${marker}`), { args: ['--recover'] });
    expect((await wrapper.ended).code).toBe(125);
    expect(existsSync(marker)).toBe(false);
    expect(coordinator.events.at(-1)?.data).toMatchObject({ code: 'wrapper_crashed', fatal: true });
    // Nothing was printed, so nothing is missing.
    expect(coordinator.events.filter(({ type }) => type === 'gap')).toEqual([]);
  });

  it('a coordinator that knows more than the spool (the host crashed) is followed', async () => {
    const { script, gates } = gated(['echo 1', 'echo 2', 'echo 3; exec sleep 60']);
    const first = start(coordinator, sh(script));
    for (const [index, { open }] of gates.entries()) {
      await coordinator.until(() => coordinator.text().endsWith(`${index + 1}\n`), 'output');
      open(); // Each is an event of its own.
    }
    await coordinator.until(() => coordinator.text().endsWith('3\n'), 'output');
    await sleep(100);
    await killWithHolder(first);
    // The last two records never reached the medium.
    const segment = join(first.spool, '1.ndjson');
    const lines = readFileSync(segment, 'utf8').trimEnd().split('\n');
    writeFileSync(segment, `${lines.slice(0, -2).join('\n')}\n`);
    const acked = coordinator.ackedSeq;
    const second = start(coordinator, sh('true'), { spool: first.spool });
    expect((await second.ended).code).toBe(125);
    expect(coordinator.last.frames[0]).toEqual({ seq: acked + 1, count: 2 });
    expect(types()).toEqual(['started', 'output', 'output', 'output', 'gap', 'error']);
    expect(coordinator.faults).toEqual([]);
  });
});

describe('signals', () => {
  it('SIGTERM goes to the job’s group, is reported as interrupted, and gives 143', async () => {
    const wrapper = start(coordinator, sh('sleep 60 & echo $!; exec sleep 60'));
    await coordinator.until(() => coordinator.text() !== '', 'the pid');
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(143);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'interrupted', data: { reason: 'wrapper received SIGTERM' } });
    expect(isRunning(startedPid())).toBe(false);
    expect(isRunning(Number(coordinator.text()))).toBe(false);
    expect(readdirSync(wrapper.spool)).toEqual([]);
  });

  it('what the job started and what ignores SIGTERM is not left behind', async () => {
    const trapped = join(temporaryFolder(), 'trapped');
    const script = `(trap "" TERM; : > '${trapped}'; exec sleep 60) >/dev/null 2>&1 & echo $!; exec sleep 60`;
    const wrapper = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() !== '', 'the pid');
    await until(() => existsSync(trapped), 'the trap is set');
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(143);
    expect(isRunning(Number(coordinator.text()))).toBe(false);
  });

  it('a job that ends well in spite of SIGTERM has completed', async () => {
    const wrapper = start(coordinator, sh('trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe('ready\nbye\n');
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 0 } });
  });

  it('started by nohup it continues when its terminal is closed, and SIGTERM still ends it', async () => {
    const { script, gates } = gated(['echo one', 'echo two']);
    const wrapper = start(coordinator, sh(script), { env: { _: '/usr/bin/nohup' } });
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    wrapper.process.kill('SIGHUP');
    // In the order in which they came: what follows would be cut off by an interrupt.
    for (const { open } of gates) open();
    expect(await wrapper.ended).toEqual({ code: 0, signal: null });
    expect(coordinator.text()).toBe('one\ntwo\n');
  });

  it('without nohup a closed terminal interrupts the job', async () => {
    const wrapper = start(coordinator, sh('echo one; sleep 60'), { env: { _: '/usr/bin/env' } });
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    wrapper.process.kill('SIGHUP');
    expect((await wrapper.ended).code).not.toBe(0);
    expect(coordinator.events.at(-1)?.type).toBe('interrupted');
  });

  it('a stopped job gets its interrupt at once', async () => {
    const wrapper = start(coordinator, sh("trap 'echo bye; exit 0' TERM; echo $$; kill -STOP $$; sleep 60 & wait"));
    await coordinator.until(() => /^\d+\n$/.test(coordinator.text()), 'its pid');
    const pid = coordinator.text().trim();
    await until(() => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), 'a stopped job');
    wrapper.process.kill('SIGTERM');
    await wrapper.ended;
    expect(coordinator.text()).toContain('bye\n');
  });

  it('the second signal kills a job that ignores the first', async () => {
    const wrapper = start(coordinator, sh('trap "echo no" TERM; echo ready; while :; do sleep 0.05; done'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    wrapper.process.kill('SIGTERM');
    await coordinator.until(() => coordinator.text() === 'ready\nno\n', 'the trap');
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(137);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'interrupted', data: { signal: 'SIGKILL' } });
  });

  it('before the first welcome: the command is not run, and a second signal ends the wrapper at once', async () => {
    coordinator.onHello = () => false;
    const marker = join(temporaryFolder(), 'ran');
    const wrapper = start(coordinator, sh(`touch ${marker}`));
    await coordinator.until(() => coordinator.connections[0]?.hello != null, 'hello');
    wrapper.process.kill('SIGTERM');
    await sleep(200);
    expect(wrapper.process.exitCode).toBe(null);
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(143);
    expect(existsSync(marker)).toBe(false);
  });

  it('while it drains without a coordinator: the second one ends it, and the spool keeps the rest', async () => {
    const { wait, open } = gate();
    const wrapper = start(coordinator, sh(`echo out; ${wait}; exit 3`));
    await coordinator.until(() => coordinator.text() === 'out\n', 'output');
    await coordinator.crash();
    open();
    await until(() => segments(wrapper.spool).some((text) => text.includes('"type":"exit"')), 'the exit in the spool');
    wrapper.process.kill('SIGTERM');
    await sleep(200);
    expect(wrapper.process.exitCode).toBe(null);
    wrapper.process.kill('SIGTERM');
    expect((await wrapper.ended).code).toBe(3);
    expect(statSync(join(wrapper.spool, '1.ndjson')).size).toBeGreaterThan(0);
    expect(existsSync(join(wrapper.spool, 'wrapper.lock'))).toBe(false);
  });
});

describe('the command line', () => {
  it('returns the job’s exit code and prints no lines of its own', async () => {
    const wrapper = start(coordinator, sh('echo out; echo err >&2; exit 42'));
    expect((await wrapper.ended).code).toBe(42);
    expect([wrapper.stdout(), wrapper.stderr()]).toEqual(['', '']);
  });

  it('--tee also writes the output to its own', async () => {
    const wrapper = start(coordinator, sh('seq 1 100000; echo err >&2'), { args: ['--tee'] });
    expect((await wrapper.ended).code).toBe(0);
    expect(wrapper.stdout()).toBe(coordinator.text());
    expect(wrapper.stderr()).toBe('err\n');
  });

  it('--verbose prints connection facts as JSON lines, without token or payload', async () => {
    const wrapper = start(coordinator, sh('echo payload'), { args: ['--verbose'] });
    await wrapper.ended;
    const facts = wrapper
      .stderr()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const fact of facts) expect(fact).toMatchObject({ at: expect.any(String), level: 'info', execution: expect.any(String) });
    expect(facts.map(({ event }) => event)).toEqual(expect.arrayContaining(['dialing', 'welcome', 'started', 'settled']));
    expect(wrapper.stderr()).not.toMatch(/secret|payload/);
  });

  it('[SPL28] the job’s environment names its run, its page and its time limit; no variable grants access', async () => {
    const url = 'https://holdfast.test/sessions/s1/executions/e1';
    coordinator.job = { session: 's1', execution: 'e1', url, deadline: 1_790_000_000_000 };
    const wrapper = start(coordinator, sh('env | grep ^HOLDFAST | sort'), {
      env: { HOLDFAST_SESSION: 'another', HOLDFAST_OTHER: 'x' },
    });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe(
      `HOLDFAST=1\nHOLDFAST_DEADLINE=1790000000000\nHOLDFAST_EXECUTION=e1\nHOLDFAST_RUN_URL=${url}\nHOLDFAST_SESSION=s1\n`,
    );
    expect(coordinator.text()).not.toContain(coordinator.token);
  });

  it('[SPL28] [VER2] with a coordinator that sends no job terms, the job knows only that Holdfast runs it', async () => {
    const wrapper = start(coordinator, sh('env | grep ^HOLDFAST'), { env: { HOLDFAST_SESSION: 'another' } });
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe('HOLDFAST=1\n');
  });

  it('[R6] [CH4] HOLDFAST_JOB_ENV is for the job alone, over what it inherits, and no variable of the wrapper reaches it', async () => {
    const jobEnv = { NODE_OPTIONS: '--nonsense', INHERITED: 'by the job', ADDED: 'two\nlines', EMPTY: '' };
    const wrapper = start(coordinator, sh('env; echo "[$ADDED]"'), {
      args: ['--verbose'],
      env: { HOLDFAST_JOB_ENV: JSON.stringify(jobEnv), INHERITED: 'by the wrapper', KEPT: 'kept' },
    });
    expect((await wrapper.ended).code).toBe(0);
    const lines = coordinator.text().split('\n');
    expect(lines).toEqual(
      expect.arrayContaining(['NODE_OPTIONS=--nonsense', 'INHERITED=by the job', 'EMPTY=', 'KEPT=kept', '[two', 'lines]']),
    );
    expect(coordinator.text()).not.toContain('HOLDFAST_');
    expect(wrapper.stderr()).not.toContain('nonsense');
  });

  it.each(['nonsense-1', '[]', '{"A":1}', '{"A=B":"x"}', '{"A":"nul\\u0000"}'])(
    'an invalid HOLDFAST_JOB_ENV (%s) is refused without showing its content',
    async (text) => {
      const wrapper = start(coordinator, sh('true'), { env: { HOLDFAST_JOB_ENV: text } });
      expect((await wrapper.ended).code).toBe(125);
      expect(wrapper.stderr()).toContain('HOLDFAST_JOB_ENV must be a JSON object of strings');
      expect(wrapper.stderr()).not.toContain(text);
      expect(coordinator.dials.length).toBe(0);
    },
  );

  it('a second wrapper on the same spool is refused and disturbs nothing', async () => {
    const { wait, open } = gate();
    const first = start(coordinator, sh(`echo ready; ${wait}`));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    const second = start(coordinator, sh('true'), { spool: first.spool });
    expect((await second.ended).code).toBe(125);
    expect(second.stderr()).toContain(`in use by process ${first.process.pid}`);
    open();
    expect((await first.ended).code).toBe(0);
    expect(coordinator.connections.length).toBe(1);
  });

  it('refused by the coordinator: 125 and the reason', async () => {
    const wrapper = start(coordinator, sh('true'), { env: { HOLDFAST_INGEST_TOKEN: 'wrong' } });
    expect((await wrapper.ended).code).toBe(125);
    expect(wrapper.stderr()).toContain('HTTP 401');
    expect(coordinator.events).toEqual([]);
  });

  it('a token file is read again when the token in it is refused', async () => {
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, 'old\n');
    coordinator.refuse = (dial) => {
      if (dial > 1) return null;
      writeFileSync(file, 'secret\n');
      return problemAnswer('unauthorized');
    };
    const wrapper = start(coordinator, sh('exit 9'), { env: { HOLDFAST_INGEST_TOKEN: '', HOLDFAST_INGEST_TOKEN_FILE: file } });
    expect((await wrapper.ended).code).toBe(9);
  });

  it.each([
    ['no command', [], []],
    ['an unknown option', ['--nonsense', 'x'], sh('true')],
    ['a bad event stream', ['--sse', 'file:///x'], sh('true')],
    ['a bad transport', ['--transport', 'pigeon'], sh('true')],
    ['a bad URL', ['--url', 'ftp://x'], sh('true')],
    ['a bad format', ['--format', 'xml'], sh('true')],
    ['a bad limit', ['--spool-limit-bytes', '1e9'], sh('true')],
    ['a bad stdin', ['--stdin', 'maybe'], sh('true')],
  ])('%s: 125 and the usage, nothing dialled', async (_name, args, command) => {
    const wrapper = start(coordinator, command, { args });
    expect((await wrapper.ended).code).toBe(125);
    expect(wrapper.stderr()).toContain('Usage: holdfast-wrapper run');
    expect(coordinator.dials.length).toBe(0);
  });
});
