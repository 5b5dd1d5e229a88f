/**
 * Goal: the judge of crowds has no false negatives, and a plan contains every kind of fault.
 * Method: each case puts one violation into a sound session, and its rule must find it; the same
 * seed must give the same plan.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Execution, POLICY_DEFAULTS } from '../../protocol/index.ts';
import type { Seen } from '../../tools/chaos/compare.ts';
import { checkSpools, FDS_ALLOWANCE, HEAP_ALLOWANCE_MIB, notGivenBack } from '../../tools/crowd/aftermath.ts';
import {
  type CallbackSeen,
  checkCallbacks,
  checkDirectory,
  checkSession,
  checkViewer,
  type Done,
  type ExecutionFacts,
  FAIL_CODE,
  type SessionFacts,
  type Truth,
} from '../../tools/crowd/check.ts';
import { CROWD_FAULTS, DEEDS, type Deed, type ExecutionPlan, planCrowd } from '../../tools/crowd/plan.ts';
import { SHAPES, type Shape } from '../../tools/crowd/shapes.ts';
import { judgeFlatness, secondHalf, straightLine } from '../../tools/soak/flatness.ts';

const T0 = 1_763_650_000_000;

interface Made {
  shape?: Shape;
  size?: number;
  deed?: Deed | null;
  done?: Done | null;
  truth?: Truth | null;
  execution?: Partial<Execution>;
  /** Type and data of the events between `execution_running` and the verdict. */
  facts?: [string, object][];
  verdict?: [string, object];
}

const START: [string, object] = ['started', { pid: 1 }];
const output = (text: string, stream = 'stdout'): [string, object] => ['output', { stream, text }];
const exit = (exitCode: number | null, signal: string | null = null): [string, object] => ['exit', { exitCode, signal }];
const WROTE: Truth = { out: 'a\nb\n', err: 'w\n', end: 0 };
const WHOLE: [string, object][] = [START, output('a\n'), output('w\n', 'stderr'), output('b\n'), exit(0)];
const ASKED: [string, object] = ['interrupt_requested', { reason: '', force: false, cause: 'request' }];

/** A session of one execution. Unset values are those of a chatty job that completed. */
function made({
  shape = 'chatty',
  size = 1,
  deed = null,
  done = null,
  truth = WROTE,
  execution = {},
  facts = WHOLE,
  verdict = ['execution_completed', { exitCode: 0 }],
}: Made = {}): SessionFacts & { executions: ExecutionFacts[]; log: Seen[] } {
  const events: [string, object][] = [
    ['execution_pending', {}],
    ['wrapper_connected', {}],
    ['execution_running', {}],
    ...facts,
    verdict,
  ];
  const log = events.map(([type, data], index) => ({ offset: index + 1, execution: 'e1', type, text: JSON.stringify(data) }));
  const plan: ExecutionPlan = { session: 's', id: 'e1', shape, size, deed: deed ?? done?.deed ?? null, deedAfterMs: 0 };
  const whole: Execution = {
    ...{ id: 'e1', session: 's', status: 'completed', command: [], format: 'text', launcher: 'pool', labels: {} },
    ...{ policy: POLICY_DEFAULTS, createdAt: T0, pendingAt: T0, startedAt: T0 + 100, endedAt: T0 + 9000, epoch: 1, firstOffset: 1 },
    ...(execution.status === undefined ? { exitCode: 0 } : {}),
    ...execution,
  };
  return { session: 's', log, executions: [{ plan, execution: whole, done, truth }], troubles: [] };
}

const failed = (code: string, more: object = {}): Pick<Made, 'execution' | 'verdict'> => ({
  execution: { status: 'failed', code, ...more },
  verdict: ['execution_failed', { code, ...more }],
});
const interrupted = (more: Partial<Execution> = {}): Pick<Made, 'execution' | 'verdict'> => ({
  execution: { status: 'interrupted', ...more },
  verdict: ['execution_interrupted', {}],
});
const renumbered = (log: Seen[]): Seen[] => log.map((event, index) => ({ ...event, offset: index + 1 }));
const GAP: [string, object] = ['gap', { events: 0, bytes: null, unknown: true, reason: 'wrapper_restarted' }];
const KILLED = { deed: 'kill', took: true } as const;
const link = { kind: 'link', from: T0 + 1000, until: T0 + 2000 } as const;

describe('checkSession finds nothing in', () => {
  it.each<[string, SessionFacts]>([
    ['a job that was left alone', made()],
    [
      'a job that failed as planned',
      made({
        shape: 'exit',
        size: 7,
        ...failed('exit_nonzero', { exitCode: 7 }),
        truth: { ...WROTE, end: 7 },
        facts: [...WHOLE.slice(0, -1), exit(7)],
      }),
    ],
    [
      'a job that SIGKILL ended one line after it noted it',
      made({
        shape: 'signal',
        ...failed('exit_nonzero', { signal: 'SIGKILL' }),
        truth: { ...WROTE, out: 'a\nb\nc\n', end: null },
        facts: [...WHOLE.slice(0, -1), exit(null, 'SIGKILL')],
      }),
    ],
    [
      'a command that does not exist',
      made({
        shape: 'missing',
        ...failed('wrapper_error'),
        truth: null,
        facts: [['error', { code: 'spawn_failed', fatal: true }]],
      }),
    ],
    [
      'an execution interrupted in the queue',
      made({ done: { deed: 'early', took: true }, ...interrupted(), truth: null, facts: [] }),
    ],
    [
      'a job that was interrupted',
      made({
        shape: 'endless',
        done: { deed: 'interrupt', took: true },
        ...interrupted(),
        truth: { ...WROTE, end: 130 },
        facts: [ASKED, ...WHOLE.slice(0, -1), exit(130)],
      }),
    ],
    [
      'an interrupt by force while the link was down',
      {
        ...made({
          shape: 'endless',
          done: { deed: 'interrupt', took: true },
          ...interrupted({ forced: true, interruptRequestedAt: T0 + 500 }),
          facts: [ASKED, START, output('a\n')],
        }),
        troubles: [link],
      },
    ],
    [
      'a killed wrapper of an endless job, with a hole in a gap, that was interrupted then',
      made({
        shape: 'endless',
        done: { ...KILLED, spooled: ['output {"stream":"stdout","text":"a\\n"}'] },
        ...interrupted(),
        truth: { out: 'a\nb\nc\nd\n', err: '', end: 130 },
        facts: [START, output('a\n'), GAP, output('c\n'), ASKED, output('d\n'), exit(130)],
      }),
    ],
    ['a killed wrapper whose job ended by itself', made({ done: KILLED, facts: [...WHOLE.slice(0, -1), GAP, exit(0)] })],
    [
      'a killed wrapper whose job lost its last lines in a gap',
      made({ done: KILLED, facts: [START, output('a\n'), GAP, exit(0)] }),
    ],
    ['a wrapper killed when the end was in its spool', made({ done: KILLED })],
    ['an interrupt that came too late', made({ done: { deed: 'interrupt', took: false } })],
    ['a call that failed it', made({ done: { deed: 'fail', took: true }, ...failed(FAIL_CODE), facts: [START, output('a\n')] })],
    [
      'a stopped wrapper',
      made({ shape: 'endless', done: { deed: 'freeze', took: true }, ...failed('wrapper_disconnected'), facts: [START] }),
    ],
    [
      'a runner that was lost',
      {
        ...made({ ...failed('runners_lost'), truth: null, facts: [] }),
        troubles: [{ kind: 'runner', from: T0 + 5, until: T0 + 6 }],
      },
    ],
    [
      'JSON lines',
      made({
        shape: 'jsonl',
        truth: { out: '{"n":1,"text":"größe"}\n', err: '', end: 0 },
        facts: [START, ['agent', { n: 1, text: 'größe' }], exit(0)],
      }),
    ],
  ])('%s', (_, facts) => {
    expect(checkSession(facts)).toEqual([]);
  });
});

describe('checkSession finds', () => {
  const sound = made();
  const without = (log: Seen[], at: number): Seen[] => log.filter((_, index) => index !== at);
  const changed = (made: Made, more: Partial<SessionFacts> = {}): SessionFacts => ({ ...makeAgain(made), ...more });
  const makeAgain = made;

  it.each<[string, SessionFacts, string]>([
    ['a hole in the offsets', { ...sound, log: without(sound.log, 4) }, '[CR1]: offset 6 stands in the place of 5'],
    [
      'an event twice',
      { ...sound, log: [...sound.log.slice(0, 5), ...sound.log.slice(4)] },
      '[CR1]: offset 5 stands in the place of 6',
    ],
    ['a second verdict', { ...sound, log: renumbered([...sound.log, ...sound.log.slice(-1)]) }, '[CR1]: e1 was settled again'],
    [
      'an event after the verdict',
      { ...sound, log: renumbered([...sound.log, sound.log[4] as Seen]) },
      '[CR1]: output after the verdict',
    ],
    ['no verdict', { ...sound, log: sound.log.slice(0, -1) }, '[CR1]: e1 has no verdict'],
    [
      'two active executions',
      { ...sound, log: renumbered([{ ...(sound.log[0] as Seen), execution: 'e2' }, ...sound.log]) },
      '[CR1]: e1 became pending while e2 was active',
    ],
    [
      'a job that was started twice',
      { ...sound, log: renumbered([...sound.log.slice(0, 4), ...sound.log.slice(3)]) },
      '[CR1]: e1 has 2 events started',
    ],
    [
      'a status that is not its verdict',
      changed({ execution: { status: 'failed', code: 'exit_nonzero' } }),
      '[CR1]: is failed, but its last event is execution_completed',
    ],
    [
      'a failure without a cause in the plan',
      changed({ ...failed('wrapper_disconnected'), facts: WHOLE.slice(0, 2) }),
      '[CR2]: is "failed wrapper_disconnected"; should be "completed"',
    ],
    [
      'an interrupt that was not requested',
      changed({ ...interrupted(), facts: [START] }),
      '[CR2]: is "interrupted"; was interrupted without a request of the plan',
    ],
    [
      'a running job that was interrupted without a request',
      changed({ done: { deed: 'interrupt', took: true }, ...interrupted(), facts: [START] }),
      'the log has no request for it',
    ],
    [
      'an interrupt that was accepted and not carried out',
      changed({ done: { deed: 'interrupt', took: true } }),
      '[CR2]: is "completed"; should be "interrupted"',
    ],
    [
      'a forced interrupt without a reason',
      changed({
        done: { deed: 'interrupt', took: true },
        ...interrupted({ forced: true, interruptRequestedAt: T0 }),
        facts: [ASKED, START],
      }),
      'forced, though its wrapper could be reached',
    ],
    ['a call that failed it and was forgotten', changed({ done: { deed: 'fail', took: true } }), `should be "failed ${FAIL_CODE}"`],
    [
      'a failure by a call that was not made',
      changed({ ...failed(FAIL_CODE), facts: [START] }),
      'was failed without a request of the plan',
    ],
    [
      'a killed wrapper that failed its execution',
      changed({ done: KILLED, ...failed('wrapper_error'), facts: [START, GAP] }),
      '[CR2]: is "failed wrapper_error"; should be "completed"',
    ],
    [
      'a gap of a wrapper that was not killed',
      changed({ facts: [START, output('a\n'), GAP, output('b\n'), output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: has a gap, and its wrapper was not killed',
    ],
    [
      'a stopped wrapper that was waited for',
      changed({ done: { deed: 'freeze', took: true }, facts: WHOLE.slice(0, -1) }),
      'should be "failed wrapper_disconnected"',
    ],
    [
      'a lost wrapper that was not stopped',
      changed({ shape: 'endless', deed: 'freeze', ...failed('wrapper_disconnected'), facts: [START] }),
      'its wrapper was not stopped',
    ],
    [
      'a launch that failed beside a runner that was there',
      changed({ ...failed('runners_lost'), truth: null, facts: [] }),
      'the runner was there all the time',
    ],
    [
      'the wrong exit code',
      changed({
        shape: 'exit',
        size: 7,
        ...failed('exit_nonzero', { exitCode: 8 }),
        truth: { ...WROTE, end: 7 },
        facts: [...WHOLE.slice(0, -1), exit(7)],
      }),
      'its exit code should be 7, not 8',
    ],
    ['an end of a job that has none', changed({ shape: 'endless' }), 'it does not end by itself'],
    ['success without an exit fact', changed({ facts: WHOLE.slice(0, -1) }), '[CR4]: is completed, but the exit fact is null'],
    [
      'success of a job that said otherwise',
      changed({ truth: { ...WROTE, end: 3 } }),
      '[CR4]: is completed, but the exit fact is {"exitCode":0,"signal":null} and the job\'s own word 3',
    ],
    [
      'a lost line',
      changed({ facts: [START, output('a\n'), output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: out of 4 characters is 2 in the log, and differs from character 2 on',
    ],
    [
      'a line twice',
      changed({ facts: [START, output('a\n'), output('a\nb\n'), output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: out of 4 characters is 6',
    ],
    [
      'lines in another order',
      changed({ facts: [START, output('b\na\n'), output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: out of 4 characters is 4 in the log, and differs from character 0 on',
    ],
    [
      'a changed byte',
      changed({ facts: [START, output('a\nB\n'), output('w\n', 'stderr'), exit(0)] }),
      'differs from character 2 on',
    ],
    ['a lost line of stderr', changed({ facts: [START, output('a\nb\n'), exit(0)] }), '[CR3]: err of 2 characters is 0'],
    [
      'a hole beside the gap of a killed wrapper',
      changed({ done: KILLED, facts: [START, output('b\n'), GAP, output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: out of 4 characters is 2',
    ],
    [
      'a line twice, before and after the gap of a killed wrapper',
      changed({ done: KILLED, facts: [START, output('a\n'), GAP, output('a\nb\n'), output('w\n', 'stderr'), exit(0)] }),
      '[CR3]: out of 4 characters is 6',
    ],
    [
      'an end that the job knows nothing of',
      changed({
        ...failed('exit_nonzero', { exitCode: 1 }),
        truth: { ...WROTE, end: null },
        facts: [...WHOLE.slice(0, -1), exit(1)],
      }),
      'the job knows nothing of',
    ],
    [
      'a job that ran and should not have',
      changed({ facts: [], truth: WROTE, ...failed('wrapper_never_connected') }),
      '[CR5]: the job ran, and the log has no start of it',
    ],
    ['a start of a job that never ran', changed({ truth: null }), '[CR5]: the log has a start, but the job never ran'],
    ['output of a job that never ran', changed({ truth: null }), '[CR5]: the job never ran, and the log has output of it'],
    [
      'a lost event of a spool',
      changed({
        done: {
          ...KILLED,
          spooled: ['output {"stream":"stdout","text":"a\\n"}', 'output {"stream":"stdout","text":"b\\n"}'],
        },
        facts: [START, output('a\n'), GAP, output('w\n', 'stderr'), exit(0)],
      }),
      "[CR6]: 1 of 2 events of the killed wrapper's spool",
    ],
  ])('%s', (_, facts, problem) => {
    expect(checkSession(facts).join('\n')).toContain(problem);
  });
});

describe('[CR7] checkCallbacks', () => {
  const { executions } = made();
  const told: CallbackSeen = { id: 'cb_1', session: 's', execution: 'e1', status: 'completed', verified: true, accepted: true };

  it('finds nothing where each callback arrived under one id, however often', () => {
    expect(checkCallbacks(executions, [{ ...told, accepted: false }, told, told])).toEqual([]);
  });

  it.each<[string, CallbackSeen[], string]>([
    ['none', [], 'was told under 0 ids'],
    ['two ids', [told, { ...told, id: 'cb_2' }], 'was told under 2 ids'],
    ['one id for two executions', [told, { ...told, execution: 'e2' }], 'was told under the id of s/e1'],
    [
      'an execution that was not started',
      [told, { ...told, id: 'cb_2', execution: 'e9' }],
      's/e9 [CR7]: a callback names this execution',
    ],
    ['another verdict', [{ ...told, status: 'failed' }], 'was told to be failed and is completed'],
    ['a bad signature', [{ ...told, verified: false }], 'was not signed'],
    ['no attempt that was accepted', [{ ...told, accepted: false }], 'was never told with success'],
  ])('finds %s', (_, seen, problem) => {
    expect(checkCallbacks(executions, seen).join('; ')).toContain(problem);
  });
});

describe('[CR8] checkDirectory', () => {
  const newest = new Map([['s1', { id: 'e5', status: 'completed' }]]);
  const entry = { id: 's1', execution: { id: 'e5', status: 'completed' } };

  it('finds nothing in a correct list', () => {
    expect(checkDirectory(newest, [entry])).toEqual([]);
  });

  it.each<[string, Parameters<typeof checkDirectory>[1], string]>([
    ['a session that is missing', [], 'is not in the list'],
    ['a session twice', [entry, entry], 'is in the list twice'],
    ['a session that was not started', [entry, { id: 's2', execution: null }], 'was not started'],
    ['another execution', [{ ...entry, execution: { id: 'e4', status: 'completed' } }], 'is listed with e4 completed'],
    ['an old status', [{ ...entry, execution: { id: 'e5', status: 'running' } }], 'is listed with e5 running'],
    ['no execution', [{ ...entry, execution: null }], 'is listed with undefined'],
  ])('finds %s', (_, listed, problem) => {
    expect(checkDirectory(newest, listed).join('; ')).toContain(problem);
  });
});

describe('[CR9] checkViewer', () => {
  const { log } = made();

  it('finds nothing wrong with a viewer that received everything, or left early', () => {
    expect(checkViewer('v', { after: 0, seen: log, whole: true }, log)).toEqual([]);
    expect(checkViewer('v', { after: 2, seen: log.slice(2, 5), whole: false }, log)).toEqual([]);
    expect(checkViewer('v', { after: 2, seen: [], whole: false }, log)).toEqual([]);
  });

  it.each<[string, Parameters<typeof checkViewer>[1], string]>([
    ['one that left early and should not have', { after: 0, seen: log.slice(0, 3), whole: true }, '"lost":6'],
    ['a hole', { after: 0, seen: [log[0], log[2]] as Seen[], whole: false }, '"lost":1'],
    ['a repetition', { after: 0, seen: [log[0], log[0]] as Seen[], whole: false }, '"repeated":1'],
    ['another place to begin', { after: 2, seen: log.slice(3, 5), whole: false }, '"lost":1'],
    ['another text', { after: 0, seen: [{ ...(log[0] as Seen), text: '{"x":1}' }], whole: false }, '"foreign":1'],
  ])('finds %s', (_, viewer, problem) => {
    expect(checkViewer('v', viewer, log).join('; ')).toContain(problem);
  });
});

describe('what is left of a crowd', () => {
  const before = { rssMiB: 80, fds: 40, heapMiB: 5 };
  const none = { fds: 0, heapMiB: 0 };

  it('may be a few open files and a little heap, and not one more', () => {
    const most = { rssMiB: 500, fds: 40 + FDS_ALLOWANCE, heapMiB: 5 + HEAP_ALLOWANCE_MIB };
    expect(notGivenBack('runner', before, most, none)).toEqual([]);
    expect(notGivenBack('runner', before, { ...most, heapMiB: most.heapMiB + 1 }, { fds: 0, heapMiB: 1 })).toEqual([]);
    expect(notGivenBack('runner', before, { ...most, fds: most.fds + 4 }, { fds: 4, heapMiB: 0 })).toEqual([]);
    expect(notGivenBack('runner', before, { ...most, fds: most.fds + 1 }, none).join()).toContain('49 open files, 40 before');
    expect(notGivenBack('runner', before, { ...most, heapMiB: most.heapMiB + 0.1 }, none).join()).toContain(
      '8.1 MiB of heap, 5.0 before',
    );
  });

  it('is a problem when it could not be measured', () => {
    expect(notGivenBack('runner', before, null, none)).toHaveLength(1);
    expect(notGivenBack('runner', null, before, none)).toHaveLength(1);
    expect(notGivenBack('runner', before, { ...before, heapMiB: null }, none)).toHaveLength(1);
    expect(notGivenBack('runner', { ...before, heapMiB: null }, before, none)).toHaveLength(1);
  });

  it('is no unfinished run, no credential and no spool', () => {
    const spool = mkdtempSync(join(tmpdir(), 'holdfast-left-'));
    try {
      const run = (name: string, end: string | null): string => {
        const folder = join(spool, 's', name);
        mkdirSync(join(folder, 'spool'), { recursive: true });
        writeFileSync(join(folder, 'run.json'), JSON.stringify({ session: 's', id: name, end }));
        return folder;
      };
      run('sound', 'finished');
      expect(checkSpools(spool)).toEqual([]);
      run('open', null);
      run('given-up', 'abandoned');
      writeFileSync(join(run('told', 'finished'), 'ingest.json'), '{}');
      writeFileSync(join(run('kept', 'finished'), 'spool', '1.ndjson'), '');
      expect(checkSpools(spool).sort()).toEqual([
        's/given-up: the runner has it as abandoned',
        's/kept: its spool still has 1.ndjson',
        's/open: the runner has it as running',
        's/told: its credential is still on disk',
      ]);
      expect(checkSpools(join(spool, 'nowhere'))).toEqual([]);
    } finally {
      rmSync(spool, { recursive: true });
    }
  });
});

describe('planCrowd', () => {
  it('gives the same plan for the same seed, and another for another', () => {
    const size = { sessions: 20, executions: 5 };
    expect(planCrowd(7, size)).toEqual(planCrowd(7, size));
    expect(planCrowd(8, size)).not.toEqual(planCrowd(7, size));
  });

  it('has every shape, deed and fault in a crowd of a hundred executions, whatever the seed', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const plan = planCrowd(seed, { sessions: 20, executions: 5 });
      const all = plan.sessions.flatMap(({ executions }) => executions);
      expect(all).toHaveLength(100);
      expect([...new Set(all.map(({ shape }) => shape))].sort()).toEqual([...SHAPES].sort());
      const deeds = new Set(all.map(({ deed }) => deed).filter((deed) => deed !== null));
      expect(DEEDS.filter((deed) => deed !== 'early' && !deeds.has(deed))).toEqual([]);
      expect([...new Set(plan.faults.map(({ kind }) => kind))].sort()).toEqual([...CROWD_FAULTS].sort());
    }
  });

  it('leaves no job without an end, and orders its faults before the end', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const { sessions, faults } = planCrowd(seed, { sessions: 40, executions: 5 });
      for (const { shape, deed } of sessions.flatMap(({ executions }) => executions))
        if (['endless', 'stubborn', 'deaf'].includes(shape)) expect(deed).not.toBeNull();
      const moments = faults.map(({ at }) => at);
      expect(moments).toEqual([...moments].sort((a, b) => a - b));
      expect(Math.max(...moments)).toBeLessThan(0.9);
      for (const kind of ['coordinator-kill', 'runner-kill'])
        expect(faults.filter((fault) => fault.kind === kind).length).toBeLessThanOrEqual(2);
    }
  });
});

describe('flatness', () => {
  const series = (value: (minute: number) => number, minutes = 10) =>
    Array.from({ length: minutes * 12 + 1 }, (_, index) => ({ at: index * 5000, value: value(index / 12) }));
  const bound = { share: 0.05, least: 1 };

  it('fits a straight line exactly', () => {
    const fit = straightLine(series((minute) => 3 + 2 * minute));
    expect(fit.perMinute).toBeCloseTo(2, 9);
    expect(fit).toMatchObject({ samples: 121, minutes: 10, mean: expect.closeTo(13, 9) });
  });

  it('looks at the second half of the time, not of the samples', () => {
    const uneven = [
      { at: 0, value: 1 },
      { at: 10, value: 1 },
      { at: 20, value: 1 },
      { at: 100, value: 5 },
    ];
    expect(secondHalf(uneven)).toEqual([{ at: 100, value: 5 }]);
  });

  it('accepts a warm-up that then stays flat', () => {
    const warm = judgeFlatness(
      series((minute) => (minute < 4 ? 50 + 10 * minute : 90)),
      bound,
    );
    expect(warm).toMatchObject({ first: 50, last: 90, peak: 90, flat: true });
    expect(warm.growth).toBeCloseTo(0, 9);
  });

  it('accepts a series that oscillates, and one that shrinks', () => {
    expect(
      judgeFlatness(
        series((minute) => 90 + 10 * Math.sin(minute * 7)),
        bound,
      ).flat,
    ).toBe(true);
    expect(
      judgeFlatness(
        series((minute) => 90 - 3 * minute),
        bound,
      ).flat,
    ).toBe(true);
  });

  it('finds a leak of one percent per minute under oscillation, and reports it', () => {
    const leak = judgeFlatness(
      series((minute) => 90 + 2 * minute + 3 * Math.sin(minute * 9)),
      bound,
    );
    expect(leak.flat).toBe(false);
    expect(leak.growth).toBeGreaterThan(8);
    expect(leak.growth).toBeLessThan(12);
    expect(leak.allowed).toBeCloseTo(5.26, 1);
  });

  it('subtracts growth with a known reason, and no more', () => {
    const rising = series((minute) => 90 + 2 * minute);
    expect(judgeFlatness(rising, { ...bound, kept: 6 }).flat).toBe(true);
    expect(judgeFlatness(rising, { ...bound, kept: 4 }).flat).toBe(false);
  });

  it('finds one leaked file in every half minute', () => {
    expect(
      judgeFlatness(
        series((minute) => Math.floor(20 + 2 * minute)),
        { share: 0, least: 2 },
      ).flat,
    ).toBe(false);
  });

  it('does not accept a series with too few samples', () => {
    expect(judgeFlatness([], bound).flat).toBe(false);
    expect(judgeFlatness(series(() => 1).slice(0, 8), bound).flat).toBe(false);
  });
});
