/**
 * Goal: a wrapper of today finishes its job with every recorded coordinator, and with one that
 * sends more than the wrapper knows.
 * Method: today's wrapper as a process of its own, against a server that sends what the recorded
 * coordinator sent, word for word.
 */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeEventsFrame, type HoldfastEvent } from '../../protocol/index.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { runInProcess, startWrapper, temporaryFolder, until } from '../support/wrapper-run.ts';
import { connectionsOf, type Fixture, framesOf } from './support/fixtures.ts';
import { Gates, gatedJob, JSONL_LINES, LISTENING_JOB, TEXT_LINES } from './support/jobs.ts';
import { VERSIONS } from './support/recorded.ts';
import { ReplayCoordinator } from './support/replay-coordinator.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanups.splice(0).reverse()) await step();
});

const pathOf = (fixture: Fixture): string => {
  for (const entry of fixture.entries) {
    if ('open' in entry) return entry.open.path;
    if ('refused' in entry) return entry.refused.path;
    if ('request' in entry) return entry.request.path;
  }
  throw new Error(`${fixture.head.fixture} has no connection`);
};

/** What the recorded wrapper sent, by seq, including the bodies of posts. */
function recordedLines(fixture: Fixture): Map<number, string> {
  const lines = new Map<number, string>();
  const frames = fixture.entries.flatMap((entry) => {
    if ('frame' in entry && entry.from === 'caller' && !entry.by) return [entry.frame];
    return 'request' in entry
      ? entry.request.body.split(/\n(?=\{"type":"(?:hello|events|command_ack)","(?:seq|protocol|id)")/)
      : [];
  });
  for (const frame of frames) {
    const seq = /^\{"type":"events","seq":(\d+)/.exec(frame)?.[1];
    if (seq === undefined) continue;
    for (const [index, line] of frame.trimEnd().split('\n').slice(1).entries()) lines.set(Number(seq) + index, line);
  }
  return lines;
}

/** Without values that differ from run to run, and without fields that came after 0.1.0 (VER2). */
const meaning = (line: string | undefined): unknown => {
  if (line === undefined) return undefined;
  const {
    at: _,
    data: { toldToStop: __, ...data },
    type,
  } = JSON.parse(line) as HoldfastEvent;
  return type === 'started' ? { type } : { type, data };
};

const meanings = (lines: ReadonlyMap<number, string>): unknown[] =>
  [...lines.keys()].sort((a, b) => a - b).map((seq) => [seq, meaning(lines.get(seq))]);

interface Case {
  fixture: string;
  command: string[];
  args?: string[];
}

const CASES: Case[] = [
  { fixture: 'ingest-text', command: gatedJob(TEXT_LINES) },
  { fixture: 'ingest-jsonl', command: gatedJob(JSONL_LINES, 4), args: ['--format', 'jsonl'] },
  { fixture: 'ingest-cuts', command: gatedJob([...TEXT_LINES, 'line 5', 'line 6'], 3) },
  { fixture: 'ingest-settled', command: gatedJob(TEXT_LINES) },
  { fixture: 'ingest-post', command: gatedJob(TEXT_LINES), args: ['--transport', 'http'] },
  { fixture: 'ingest-commands', command: [...LISTENING_JOB], args: ['--stdin', 'open'] },
];

/** A run takes a second, and one that is refused up to twenty. */
const PATIENCE_MS = 45_000;

async function play(
  fixture: Fixture,
  { command, args = [] }: Pick<Case, 'command' | 'args'>,
  reword?: (frame: string) => string[],
): Promise<{ coordinator: ReplayCoordinator; code: number | null; spool: string; stderr: string }> {
  const coordinator = await new ReplayCoordinator(fixture, reword).start(pathOf(fixture));
  cleanups.push(() => coordinator.stop());
  const gates = new Gates();
  cleanups.push(() => gates.remove());
  const spool = temporaryFolder();
  const target = Object.assign(coordinator, { token: 'any' }) as unknown as FakeCoordinator;
  const wrapper = startWrapper(target, command, {
    spool,
    args,
    env: { HOLDFAST_JOB_ENV: JSON.stringify(gates.env), HOLDFAST_LOG: 'debug' },
  });
  const pacing = setInterval(() => gates.open(coordinator.sent), 10);
  cleanups.push(() => clearInterval(pacing));
  cleanups.push(() => wrapper.process.kill('SIGKILL'));
  const patience = setTimeout(() => wrapper.process.kill('SIGKILL'), PATIENCE_MS);
  const { code, signal } = await wrapper.ended;
  clearTimeout(patience);
  if (signal === 'SIGKILL')
    coordinator.faults.push(`after ${coordinator.dials} connections, with events up to ${coordinator.sent}, it did not end`);
  return { coordinator, code, spool, stderr: wrapper.stderr() };
}

/** Frames, fields and commands that no version of today knows, between known ones. */
const fromTheFuture = (frame: string): string[] => {
  const parsed = JSON.parse(frame) as Record<string, unknown> & { type: string };
  const extended = { ...parsed, future: { nested: [1, 2, 3] }, region: 'moon' };
  if (parsed.type === 'welcome') {
    Object.assign(extended, {
      policy: { ...(parsed.policy as object), futureTimeoutMs: 1 },
      limits: { ...(parsed.limits as object), eventsPerFrame: 1_000_000 },
      commands: [{ id: 9001, command: 'snapshot', data: { depth: 1 } }, ...(parsed.commands as unknown[])],
    });
  }
  return [
    '{"type":"notice","text":"a frame of a later version"}',
    JSON.stringify(extended),
    '{"type":"command","id":9002,"command":"snapshot","data":{}}',
  ];
};

describe.each(VERSIONS)('a coordinator of $name', ({ fixture }) => {
  test.each(CASES)('[VER1] [VER2] $fixture: the run comes to the same end, and every event is the same', async (one) => {
    const recorded = fixture(one.fixture);
    const { coordinator, code, spool, stderr } = await play(recorded, one);
    expect(coordinator.faults, stderr).toEqual([]);
    expect(coordinator.played, stderr).toBe(true);
    expect(code).toBe(recorded.head.exitCode);
    expect(meanings(coordinator.lines)).toEqual(meanings(recordedLines(recorded)));
    expect(coordinator.commandAcks).toEqual(
      recorded.entries.flatMap((entry) =>
        'frame' in entry && entry.from === 'caller' && entry.frame.startsWith('{"type":"command_ack"')
          ? [(JSON.parse(entry.frame) as { id: number }).id]
          : [],
      ),
    );
    expect(existsSync(spool) ? readdirSync(spool) : [], 'nothing is left in the spool').toEqual([]);
    const ids = new Set(coordinator.hellos.map(({ wrapperId }) => wrapperId));
    expect(ids.size).toBe(1);
    for (const hello of coordinator.hellos) expect(hello.protocol).toBe(recorded.head.protocol);
  });

  test.each(CASES)('[VER2] $fixture, with unknown frames, fields and commands: the same', async (one) => {
    const recorded = fixture(one.fixture);
    const { coordinator, code, stderr } = await play(recorded, one, fromTheFuture);
    expect(coordinator.faults, stderr).toEqual([]);
    expect(code, stderr).toBe(recorded.head.exitCode);
    expect(meanings(coordinator.lines)).toEqual(meanings(recordedLines(recorded)));
    // VER4: it does not acknowledge a command that it cannot execute, so that a wrapper that can
    // may still do it.
    expect(coordinator.commandAcks).not.toContain(9001);
    expect(coordinator.commandAcks).not.toContain(9002);
  });

  test('[VER1] a refusal is recognised: claimed by another wrapper, or an invalid token', async () => {
    const recorded = fixture('ingest-refused');
    const claimed = connectionsOf(recorded).filter((entries) =>
      entries.some((entry) => 'close' in entry && entry.close.code === 4409),
    );
    const unauthorized = connectionsOf(recorded).filter((entries) => entries.some((entry) => 'refused' in entry));
    for (const connections of [claimed, unauthorized]) {
      expect(connections.length).toBeGreaterThan(0);
      const { code, coordinator } = await play(
        { head: recorded.head, entries: connections.flat() },
        { command: ['sh', '-c', 'exit 0'] },
      );
      expect(coordinator.faults).toEqual([]);
      expect(coordinator.played).toBe(true);
      expect(code).toBe(recorded.head.exitCode);
      expect([...coordinator.lines]).toEqual([]);
    }
  });

  test('the recording is complete', () => {
    const cuts = connectionsOf(fixture('ingest-cuts'));
    expect(cuts).toHaveLength(3);
    const said = cuts.flatMap((entries) => framesOf(entries, 'callee'));
    expect(said.filter((frame) => frame.startsWith('{"type":"nack"'))).toHaveLength(1);
    expect(said.filter((frame) => frame === '{"type":"ack","seq":4}')).toHaveLength(2);
    expect(framesOf(fixture('ingest-gap').entries, 'caller').join()).toContain('"type":"gap"');
  });
});

describe('a coordinator of a later version', () => {
  /**
   * Four hundred events of a hundred bytes each: with this format every line is an event of its
   * own.
   */
  const many =
    'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "{\\"n\\":$i,\\"text\\":\\"......................................................\\"}"; done';
  const ALL = Array.from({ length: 400 }, (_, index) => index + 1);
  const numbersOf = (coordinator: FakeCoordinator): unknown[] =>
    coordinator.events.filter(({ type }) => type === 'agent').map(({ data }) => data.n);

  async function coordinatorOf(limits: {
    frameBytes: number;
    windowBytes: number;
  }): Promise<{ coordinator: FakeCoordinator; longest: () => number }> {
    const coordinator = await new FakeCoordinator().start();
    cleanups.push(() => coordinator.stop());
    coordinator.limits = limits;
    let longest = 0;
    coordinator.onFrame = (_connection, { seq, count, body }) => {
      longest = Math.max(longest, Buffer.byteLength(encodeEventsFrame(seq, count, body)));
      return true;
    };
    return { coordinator, longest: () => longest };
  }

  test.each([
    ['smaller', { frameBytes: 2048, windowBytes: 4096 }],
    ['a window below a frame', { frameBytes: 65_536, windowBytes: 1 }],
    ['larger', { frameBytes: 8 * 1024 * 1024, windowBytes: 64 * 1024 * 1024 }],
  ])('[VER3] limits: %s', async (_, limits) => {
    const { coordinator, longest } = await coordinatorOf(limits);
    const { exitCode } = runInProcess(coordinator, ['sh', '-c', many], { format: 'jsonl' });
    expect(await exitCode).toBe(0);
    expect(numbersOf(coordinator)).toEqual(ALL);
    expect(longest()).toBeGreaterThan(100);
    expect(longest()).toBeLessThanOrEqual(limits.frameBytes);
    expect(coordinator.faults).toEqual([]);
  });

  test('[VER3] [SPL18] an event that is too large for a smaller limit becomes a gap that counts it; what fits arrives', async () => {
    const { coordinator, longest } = await coordinatorOf({ frameBytes: 2048, windowBytes: 4096 });
    const large = 'echo "{\\"n\\":1}"; head -c 5000 /dev/zero | tr "\\0" x; echo; echo "{\\"n\\":2}"';
    const { exitCode } = runInProcess(coordinator, ['sh', '-c', large], { format: 'jsonl' });
    expect(await exitCode).toBe(0);
    expect(numbersOf(coordinator)).toEqual([1, 2]);
    const gaps = coordinator.events.filter(({ type }) => type === 'gap');
    expect(gaps).toMatchObject([{ data: { events: 1, reason: 'event_too_large' } }]);
    expect(gaps[0]?.data.bytes).toBeGreaterThan(5000);
    expect(longest()).toBeLessThanOrEqual(2048);
    expect(coordinator.faults).toEqual([]);
  });

  test('[VER3] limits that shrink from one welcome to the next: what was batched for the larger ones still arrives', async () => {
    const { coordinator } = await coordinatorOf({ frameBytes: 512 * 1024, windowBytes: 1024 * 1024 });
    coordinator.acks = false;
    const { exitCode } = runInProcess(coordinator, ['sh', '-c', many], { format: 'jsonl' });
    await coordinator.until(() => coordinator.lines.length > 0, 'the first frame');
    let longest = 0;
    coordinator.limits = { frameBytes: 1024, windowBytes: 1024 };
    coordinator.onFrame = (_connection, { body }) => {
      longest = Math.max(longest, Buffer.byteLength(body));
      return true;
    };
    coordinator.acks = true;
    coordinator.last.cut();
    expect(await exitCode).toBe(0);
    expect(numbersOf(coordinator)).toEqual(ALL);
    expect(longest).toBeLessThanOrEqual(1024);
  });

  test.each([4402, 4499, 4999])(
    '[VER5] [SPL29] a close code that it does not know (%d) stops it when the grace is over, and keeps what was not taken',
    async (code) => {
      const coordinator = await new FakeCoordinator().start();
      cleanups.push(() => coordinator.stop());
      coordinator.policy = { ...coordinator.policy, disconnectGraceMs: 300, silenceTimeoutMs: 200 };
      const { exitCode, spool, log } = runInProcess(coordinator, ['sh', '-c', 'echo ready; exec sleep 60'], {
        times: { graceMarginMs: 100 },
      });
      await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
      coordinator.onHello = (connection) => {
        connection.socket.close(code, 'a reason of a later version');
        return false;
      };
      coordinator.last.socket.close(code, 'a reason of a later version');
      expect(await exitCode).toBe(125);
      expect(log.problems.join()).toContain(`closed with ${code}`);
      expect(readdirSync(spool)).toContain('state.json');
      expect(coordinator.dials.length).toBeGreaterThan(2);
    },
  );

  test('[VER4] an unknown command stays with the coordinator: it comes with every welcome, and is never acknowledged', async () => {
    const coordinator = await new FakeCoordinator().start();
    cleanups.push(() => coordinator.stop());
    const marker = join(temporaryFolder(), 'go');
    const future = { id: 1, command: 'snapshot', data: {} } as never;
    const interrupt = { id: 2, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 5000, reason: '' } } as const;
    coordinator.commands = [future];
    const { exitCode } = runInProcess(coordinator, [
      'sh',
      '-c',
      `trap 'exit 3' INT; echo ready; touch ${marker}; while :; do sleep 0.05; done`,
    ]);
    await until(() => existsSync(marker), 'the job runs');
    coordinator.last.cut();
    await coordinator.until(() => coordinator.connections.filter(({ hello }) => hello).length === 2, 'the second hello');
    coordinator.sendCommand(interrupt);
    expect(await exitCode).toBe(3);
    expect(coordinator.ackedCommands).toEqual([2]);
    expect(coordinator.commands).toEqual([future]);
  });
});
