/**
 * What the recorder does with the stack: one function for each family of fixtures. Each uses
 * sessions of its own, so that the path identifies the traffic.
 */

import { endJobsIn } from '../../support/held-jobs.ts';
import type { SpoolSnapshot } from './fixtures.ts';
import { Gates, gatedJob, JSONL_LINES, LISTENING_JOB, lastSeqIn, TEXT_LINES } from './jobs.ts';
import { type RawFixture, type RecordedStack, type RecordedWrapper, type StartedRun, until } from './recording.ts';
import type { Fate, Passing } from './recording-proxy.ts';
import { snapshotOfSpool } from './snapshots.ts';

const inSession = (session: string, decide: (passing: Passing) => Fate) => (passing: Passing) =>
  passing.path.startsWith(`/v1/sessions/${session}/`) && passing.path.endsWith('/ingest') ? decide(passing) : 'pass';

const isAck = (frame: string, seq: number): boolean => frame === `{"type":"ack","seq":${seq}}`;

async function gatedRun(
  stack: RecordedStack,
  session: string,
  lines: readonly string[],
  { args = [] as string[], exitCode = 0, format = 'text' } = {},
): Promise<number> {
  const gates = new Gates();
  try {
    const command = gatedJob(lines, exitCode);
    const run = await stack.start(session, { id: 'e1', command, format });
    const ended = await stack.pace(session, gates, stack.wrapper(run, command, { args, env: gates.env }));
    if (ended !== exitCode) throw new Error(`${session}: the wrapper ended with ${ended}`);
    return exitCode;
  } finally {
    gates.remove();
  }
}

// ── ingest ────────────────────────────────────────────────────────────────────────────────────

export async function recordIngest(stack: RecordedStack): Promise<RawFixture[]> {
  const fixtures: RawFixture[] = [];
  const add = (fixture: string, about: string, exitCode: number): void => {
    fixtures.push({ head: { fixture: `ingest-${fixture}`, about, exitCode }, entries: stack.ingest(fixture) });
  };
  const { proxy } = stack;

  await gatedRun(stack, 'text', TEXT_LINES);
  add('text', 'four lines of text, exit code 0', 0);

  await gatedRun(stack, 'jsonl', JSONL_LINES, { args: ['--format', 'jsonl'], format: 'jsonl', exitCode: 4 });
  add('jsonl', 'agent events and a line that is none, exit code 4', 4);

  // One fault at each seq, once: 3 is lost and a later one comes in its place; 4 is duplicated; 5
  // is lost with the connection; the ack of 6 is lost with it.
  const done = new Set<string>();
  const once = (what: string): boolean => !done.has(what) && done.add(what).has(what);
  proxy.onUp = inSession('cuts', ({ frame }) => {
    const last = lastSeqIn(frame);
    if (last === 3 && once('hole')) return { replace: frame.replace('"seq":3,', '"seq":4,') };
    if (last === 4 && once('double')) return 'double';
    if (last === 5 && once('lost')) return 'lose_and_cut';
    return 'pass';
  });
  proxy.onDown = inSession('cuts', ({ frame }) => (isAck(frame, 6) && once('ack') ? 'lose_and_cut' : 'pass'));
  await gatedRun(stack, 'cuts', [...TEXT_LINES, 'line 5', 'line 6'], { exitCode: 3 });
  add(
    'cuts',
    'a hole and its nack, a doubled frame, a frame lost with its connection, an ack lost with its connection; exit code 3',
    3,
  );

  // The last ack and the close after it are lost: the wrapper reconnects to a settled execution.
  const exitSeq = TEXT_LINES.length + 2;
  proxy.onUp = () => 'pass';
  proxy.onDown = inSession('settled', ({ frame }) => (isAck(frame, exitSeq) && once('settled') ? 'lose_and_cut' : 'pass'));
  await gatedRun(stack, 'settled', TEXT_LINES);
  add('settled', 'the last ack is lost with its connection, and the next one is closed 4000 at once', 0);
  proxy.onDown = () => 'pass';

  await gatedRun(stack, 'post', TEXT_LINES, { args: ['--transport', 'http'] });
  add('post', 'the frames as HTTP bodies', 0);

  await recordCommands(stack);
  add('commands', 'input and an interrupt as commands, each acknowledged', 3);

  await recordGap(stack);
  add('gap', 'wrapper and job are killed, and the next wrapper on the spool reports that: a gap and a fatal error', 1);

  await recordRefusals(stack);
  add('refused', 'a second wrapper is closed 4409, a bad token answered 401', 125);
  return fixtures;
}

async function recordCommands(stack: RecordedStack): Promise<void> {
  const run = await stack.start('commands', { id: 'e1', command: LISTENING_JOB, openStdin: true });
  const wrapper = stack.wrapper(run, LISTENING_JOB, { args: ['--stdin', 'open'] });
  await until(() => stack.acked('commands') >= 2, 'ready');
  await stack.api('POST', '/v1/sessions/commands/executions/e1/input', { body: { data: 'forty-two\n' } });
  await until(() => stack.acked('commands') >= 3, 'the input is echoed');
  await stack.api('POST', '/v1/sessions/commands/executions/e1/interrupt', { body: { reason: 'asked by the recorder' } });
  const exitCode = await wrapper.ended;
  if (exitCode !== 3) throw new Error(`commands: the wrapper ended with ${exitCode}`);
}

async function recordGap(stack: RecordedStack): Promise<void> {
  const gates = new Gates();
  const command = gatedJob(TEXT_LINES);
  const run = await stack.start('gap', { id: 'e1', command });
  const first = stack.wrapper(run, command, { env: gates.env });
  for (const line of [1, 2]) {
    await until(() => stack.acked('gap') >= line, `event ${line} of gap`);
    gates.open(line);
  }
  await until(() => stack.acked('gap') >= 3, 'two lines');
  first.process.kill('SIGKILL');
  await first.ended;
  // A wrapper that finds the job alive goes on with it. Here the machine was restarted.
  endJobsIn(first.spool);
  await stack.wrapper(run, command, { args: ['--recover'], spool: first.spool }).ended;
  gates.remove();
}

async function recordRefusals(stack: RecordedStack): Promise<void> {
  const gates = new Gates();
  const command = gatedJob(['line 1']);
  const run = await stack.start('refused', { id: 'e1', command });
  const first = stack.wrapper(run, command, { env: gates.env });
  await until(() => stack.acked('refused') >= 1, 'the first is there');
  await stack.wrapper(run, command, { env: gates.env }).ended;
  await stack.wrapper({ ...run, token: 'not-a-token' }, command, { env: gates.env }).ended;
  await stack.pace('refused', gates, first);
  gates.remove();
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────

export async function recordReaders(stack: RecordedStack): Promise<RawFixture[]> {
  const fixtures: RawFixture[] = [];
  const stream = (session: string, query: string) => stack.entries((path) => path === `/v1/sessions/${session}/stream${query}`);
  const add = (fixture: string, about: string, session: string, query: string): void => {
    fixtures.push({ head: { fixture, about }, entries: stream(session, query) });
  };

  // Live: it is connected before the job begins, and stays until the end.
  const gates = new Gates();
  const command = gatedJob(TEXT_LINES);
  const run = await stack.start('watched', { id: 'e1', command });
  const live = '?after=0&execution=e1';
  const watching = stack.view('watched', live);
  await until(() => watching.frames.some((frame) => frame.includes('"caught_up"')), 'the viewer has caught up');
  await stack.pace('watched', gates, stack.wrapper(run, command, { env: gates.env }));
  if ((await watching.ended) !== 1000) throw new Error('the live viewer was not closed 1000');
  gates.remove();
  add('viewer-live', 'connected before the job began; its end, and close 1000', 'watched', live);

  const replays = [
    ['viewer-replay', 'cuts', '?after=0', 'the whole log of a session whose wrapper came back twice'],
    ['viewer-tail', 'cuts', '?tail=3', 'the last three events'],
    ['viewer-types', 'cuts', '?after=0&types=output,execution_running,execution_failed', 'event types that leave holes'],
    ['viewer-jsonl', 'jsonl', '?after=0', 'events of a job that prints JSON'],
    ['viewer-resumed', 'cuts', '?after=5', 'resumed after offset 5'],
  ] as const;
  for (const [fixture, session, query, about] of replays) {
    const viewer = stack.view(session, query);
    await until(() => viewer.frames.some((frame) => frame.includes('"caught_up"')), `${fixture} has caught up`);
    viewer.close();
    await viewer.ended;
    add(fixture, about, session, query);
  }
  const flow = '?after=0&execution=e1&flow=ack';
  await stack.view('cuts', flow, { acks: true }).ended;
  add('viewer-flow', 'with flow control, acknowledged frame by frame', 'cuts', flow);
  const ahead = '?after=999999';
  await stack.view('cuts', ahead).ended;
  add('viewer-ahead', 'an offset that the log does not reach: close 4410', 'cuts', ahead);
  return fixtures;
}

/**
 * Operations that only another Worker uses. The fixtures contain only the calls to objects that
 * they make.
 */
export async function readByRpc(stack: RecordedStack): Promise<void> {
  for (const session of ['cuts', 'nothing']) await fetch(`${stack.stack.url}/v1/record/read-events/${session}`);
}

/** Responses over HTTP: the API, SSE, Durable Streams, the plain log. */
export async function recordHttp(stack: RecordedStack): Promise<RawFixture[]> {
  const marked = async (fixture: string, about: string, work: () => Promise<void>): Promise<RawFixture> => {
    const before = stack.proxy.entries.length;
    await work();
    return { head: { fixture, about }, entries: stack.proxy.entries.slice(before) };
  };
  const command = ['job', 'with', 'arguments'];
  const start = { id: 'e1', command, labels: { team: 'blue' }, cwd: '/srv', policy: { disconnectGraceMs: 5000 } };
  const executions = '/v1/sessions/api/executions';
  return [
    await marked('http-api', 'start, get, list, interrupt, and problems', async () => {
      await stack.api('POST', executions, { body: start });
      await stack.api('POST', executions, { body: start });
      await stack.api('POST', executions, { body: { ...start, command: ['other'] } });
      await stack.api('POST', executions, { body: { id: 'e2', command } });
      await stack.api('POST', executions, { body: { id: 'e2', command, onBusy: 'queue' } });
      await stack.api('POST', executions, { body: { command: 'not a list' } });
      await stack.api('GET', `${executions}/e1`);
      await stack.api('GET', `${executions}/e3`);
      await stack.api('GET', `${executions}?limit=1`);
      await stack.api('POST', `${executions}/e1/input`, { body: { data: 'x' } });
      await stack.api('POST', `${executions}/e1/interrupt`, { body: { reason: 'enough' } });
      await stack.api('POST', `${executions}/e1/interrupt`, { body: {} });
      await stack.api('POST', `${executions}/e2/fail`, { body: { code: 'gave_up', message: 'because' } });
      await stack.api('GET', '/v1/sessions/api');
      await stack.api('GET', '/v1/sessions/nothing');
      await stack.api('POST', '/v1/sessions/api/tickets', { body: { execution: 'e1', ttlSeconds: 60 } });
      await stack.api('GET', '/v1/sessions?limit=2');
      await stack.api('POST', '/v1/sessions/deleted/executions', { body: { id: 'e1', command } });
      await stack.api('DELETE', '/v1/sessions/deleted');
      await stack.api('DELETE', '/v1/sessions/deleted');
    }),
    await marked('http-sse', 'Server-Sent Events of an execution that has ended', async () => {
      await stack.api('GET', '/v1/sessions/cuts/stream?after=0&execution=e1', { headers: { accept: 'text/event-stream' } });
    }),
    await marked('http-durable-streams', 'the read side of Durable Streams', async () => {
      const path = '/v1/sessions/cuts/executions/e1/events';
      await stack.api('HEAD', path);
      const first = await stack.api('GET', `${path}?offset=-1`);
      const next = first.headers.get('stream-next-offset') ?? '';
      await stack.api('GET', `${path}?offset=${next}`);
      await stack.api('GET', `${path}?offset=${next}&live=long-poll`);
      await stack.api('GET', `${path}?offset=-1`, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
      await stack.api('GET', '/v1/sessions/cuts/events?offset=now');
    }),
    await marked('http-executions', 'executions that have ended, as the command line asks for them', async () => {
      for (const session of ['cuts', 'text', 'jsonl']) {
        await stack.api('GET', `/v1/sessions/${session}/executions/e1`);
        await stack.api('GET', `/v1/sessions/${session}/executions`);
        await stack.api('GET', `/v1/sessions/${session}`);
      }
    }),
    await marked('http-log', 'the plain log', async () => {
      await stack.api('GET', '/v1/sessions/cuts/executions/e1/log');
    }),
  ];
}

// ── Worker and runner ─────────────────────────────────────────────────────────────────────────

export async function recordLaunches(stack: RecordedStack): Promise<RawFixture[]> {
  const command = ['sh', '-c', 'cat; echo "colour $COLOUR"'];
  const given = { env: { COLOUR: 'blue' }, stdin: 'from the start\n', openStdin: false, cwd: '/' };
  const over = async (session: string) => {
    const answer = await stack.api('GET', `/v1/sessions/${session}/executions/e1`);
    return ['completed', 'failed'].includes(((await answer.json()) as { status: string }).status);
  };
  await stack.start('launched', { id: 'e1', command, ...given, launcher: 'pool' });
  await until(() => over('launched'), 'the launched job has ended');

  const inContainer = async (session: string, job: typeof given) => {
    const run = await stack.start(session, { id: 'e1', command, ...job, launcher: 'none' });
    const { kind } = await stack.launchInContainer(run, { command, format: 'text', ...job });
    return kind;
  };
  if ((await inContainer('contained', given)) !== 'launched') throw new Error('the launch in a container was not accepted');
  await until(() => over('contained'), 'the job in the container has ended');
  if ((await inContainer('launch-refused', { ...given, cwd: '/there/is/no/such/folder' })) !== 'refused')
    throw new Error('a launch in a folder that is not there was not refused');
  return [
    {
      head: {
        fixture: 'runner-launch',
        about: 'launch requests of the Worker and the answers of the runner: one that ran, one with a folder that is not there',
      },
      entries: stack.entries((path) => path === '/executions', stack.runnerProxy),
    },
  ];
}

// ── what is left behind ───────────────────────────────────────────────────────────────────────

/**
 * Two spools of killed wrappers, each partly delivered. Sessions `ended` and `left`; the
 * coordinator still runs.
 */
export interface LeftBehind {
  wrapper: RecordedWrapper;
  acked: number;
}

/**
 * Leaves sessions as a deploy may find them.
 * `left`: a running execution with an open connection, an unacknowledged input, and a queued
 * execution. `ended`: the job is over and its coordinator does not know all of it. `callback`: a
 * verdict that the queue does not have yet.
 */
export async function leaveBehind(stack: RecordedStack): Promise<Record<'left' | 'ended', LeftBehind>> {
  const { proxy } = stack;
  const loseFrom = (session: string, seq: number) => inSession(session, ({ frame }) => (lastSeqIn(frame) >= seq ? 'lose' : 'pass'));
  const begin = async (
    session: string,
    lines: readonly string[],
    exitCode = 0,
  ): Promise<{ run: StartedRun; wrapper: RecordedWrapper; gates: Gates }> => {
    const gates = new Gates();
    const command = gatedJob(lines, exitCode);
    const run = await stack.start(session, { id: 'e1', command, openStdin: true });
    return { run, gates, wrapper: stack.wrapper(run, command, { args: ['--stdin', 'open'], env: gates.env }) };
  };
  const spooled = (wrapper: RecordedWrapper): number =>
    Object.entries(snapshotOfSpool(wrapper.spool, 0).files)
      .filter(([name]) => name.endsWith('.ndjson'))
      .reduce((sum, [, text]) => sum + text.split('\n').length - 1, 0);

  /** Lets each line pass when the event before it is in the spool. */
  const oneByOne = async (
    { wrapper, gates }: { wrapper: RecordedWrapper; gates: Gates },
    from: number,
    to: number,
  ): Promise<void> => {
    for (let gate = from; gate <= to; gate += 1) {
      await until(() => spooled(wrapper) >= gate, `event ${gate} is spooled`);
      gates.open(gate);
    }
  };

  proxy.onUp = loseFrom('ended', 3);
  const ended = await begin('ended', TEXT_LINES, 6);
  await until(() => stack.acked('ended') >= 1, 'the first event of ended');
  ended.gates.open(1);
  await until(() => stack.acked('ended') >= 2, 'the second event of ended');
  await oneByOne(ended, 2, TEXT_LINES.length + 1);
  await until(
    () => spooled(ended.wrapper) >= TEXT_LINES.length + 2 && snapshotOfSpool(ended.wrapper.spool, 0).exitCode !== null,
    'the job of ended is over',
  );
  ended.wrapper.process.kill('SIGKILL');
  await ended.wrapper.ended;

  proxy.onUp = loseFrom('left', 4);
  proxy.onDown = inSession('left', ({ frame }) => (frame.startsWith('{"type":"command"') ? 'lose' : 'pass'));
  const left = await begin('left', TEXT_LINES);
  await until(() => stack.acked('left') >= 1, 'the first event of left');
  left.gates.open(1);
  await until(() => stack.acked('left') >= 2, 'the second event of left');
  left.gates.open(2);
  await until(() => stack.acked('left') >= 3, 'the third event of left');
  await oneByOne(left, 3, TEXT_LINES.length);
  await until(() => spooled(left.wrapper) >= TEXT_LINES.length + 1, 'all lines of left are spooled');
  await stack.api('POST', '/v1/sessions/left/executions/e1/input', { body: { data: 'unread\n' } });
  await stack.start('left', { id: 'e2', command: ['next'], onBusy: 'queue', callback: { url: 'https://receiver.example/hook' } });

  await stack.start('callback', { id: 'e1', command: ['never', 'run'], callback: { url: 'https://receiver.example/hook' } });
  await stack.api('POST', '/v1/sessions/callback/executions/e1/fail', { body: { code: 'gave_up', message: 'because' } });

  for (const { gates } of [ended, left]) gates.remove();
  return { ended: { wrapper: ended.wrapper, acked: 2 }, left: { wrapper: left.wrapper, acked: 3 } };
}

export const spoolsOf = (behind: Record<'left' | 'ended', LeftBehind>): Record<string, SpoolSnapshot> =>
  Object.fromEntries(Object.entries(behind).map(([name, { wrapper, acked }]) => [name, snapshotOfSpool(wrapper.spool, acked)]));
