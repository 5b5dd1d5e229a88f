/**
 * What the page knows about a run, from two sources that may contradict each other for a moment,
 * and from events in any order of loading.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createFacts,
  type Facts,
  waitsForRunner,
  withCaughtUp,
  withEvents,
  withHistory,
  withObject,
  withReplay,
} from '../../../dashboard/src/execution/run-facts.ts';
import { EMPTY_TIMELINE, lostIn, TIMELINE_ENTRIES_MAX, timelineOf } from '../../../dashboard/src/execution/timeline.ts';
import { ended, event, line, madeExecution, T0 } from './made.ts';

const live = (facts: Facts): Facts => withCaughtUp(facts);

describe('status', () => {
  test('[F1] follows the events from queued to the verdict, with its times and facts', () => {
    const { pendingAt: _p, startedAt: _s, connected: _c, ...created } = madeExecution({ status: 'queued', epoch: 0 });
    let facts = live(createFacts(created));
    facts = withEvents(facts, [event(2, 'execution_pending', { launcher: 'container' })]);
    expect(facts.execution).toMatchObject({ status: 'pending', pendingAt: T0 + 2_000 });
    facts = withEvents(facts, [event(3, 'wrapper_connected', { epoch: 1 }), event(4, 'execution_running')]);
    expect(facts.execution).toMatchObject({ status: 'running', startedAt: T0 + 4_000 });
    expect(facts.wrapper).toMatchObject({ state: 'connected', since: T0 + 3_000 });
    facts = withEvents(facts, [
      event(5, 'exit', { exitCode: 3, signal: null }),
      event(6, 'execution_failed', { code: 'exit_nonzero', error: 'the command exited with code 3', fatal: true, exitCode: 3 }),
    ]);
    expect(facts.execution).toMatchObject({
      status: 'failed',
      endedAt: T0 + 6_000,
      lastOffset: 6,
      code: 'exit_nonzero',
      exitCode: 3,
    });
    expect(facts.wrapper.state).toBe('none');
    expect(facts.execution.connected).toBeUndefined();
  });

  test('[F1] an answer that was under way while the verdict came changes nothing', () => {
    const over = withEvents(live(createFacts(madeExecution())), [event(9, 'execution_completed', { exitCode: 0 })]);
    expect(withObject(over, madeExecution())).toBe(over);
  });

  test('[F1] the object alone ends a run whose stream is dead', () => {
    const facts = withObject(live(createFacts(madeExecution())), ended('failed', { code: 'wrapper_disconnected' }));
    expect(facts.execution).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
    expect(facts.wrapper.state).toBe('none');
  });

  test('[F1] in any order of events and objects the status never goes back', () => {
    const steps = fc.array(
      fc.oneof(
        fc.constantFrom('queued', 'pending', 'running', 'completed').map((status) => ({ object: status })),
        fc
          .constantFrom('execution_queued', 'execution_pending', 'execution_running', 'execution_completed', 'wrapper_disconnected')
          .map((type) => ({ event: type })),
      ),
      { maxLength: 20 },
    );
    const rank = ['queued', 'pending', 'running', 'completed'];
    fc.assert(
      fc.property(steps, (all) => {
        let facts = live(createFacts(madeExecution({ status: 'queued' })));
        let offset = 1;
        for (const step of all) {
          const before = rank.indexOf(facts.execution.status);
          offset += 1;
          facts =
            'object' in step
              ? withObject(facts, madeExecution({ status: step.object as 'queued' }))
              : withEvents(facts, [event(offset, step.event)]);
          expect(rank.indexOf(facts.execution.status)).toBeGreaterThanOrEqual(before);
        }
      }),
    );
  });
});

describe('the connection of the wrapper', () => {
  const cut = event(5, 'wrapper_disconnected', { reason: 'silence', wsCloseReason: '', graceUntil: T0 + 90_000 });
  const back = event(6, 'wrapper_reconnected', { epoch: 2, downMs: 4_200, bufferedEvents: 3, eventsLost: 0 });

  test('a live cut shows until when it may last, and the return how long it lasted', () => {
    let facts = withEvents(live(createFacts(madeExecution())), [cut]);
    expect(facts.wrapper).toMatchObject({ state: 'disconnected', graceUntil: T0 + 90_000, reason: 'silence' });
    facts = withEvents(facts, [back]);
    expect(facts.wrapper).toMatchObject({ state: 'connected', graceUntil: null, downMs: 4_200, reconnects: 1 });
  });

  test('[F2] a replayed cut is not current', () => {
    const opened = createFacts(madeExecution({ epoch: 2 }));
    const replaying = withEvents(opened, [cut]);
    expect(replaying.wrapper.state).toBe('connected');
    expect(withCaughtUp(withEvents(replaying, [back])).wrapper).toMatchObject({ state: 'connected', downMs: 4_200 });
  });

  test('[F2] what a replay ends with is what holds', () => {
    const opened = withReplay(live(createFacts(madeExecution())));
    expect(withCaughtUp(withEvents(opened, [cut])).wrapper.state).toBe('disconnected');
  });

  test('[F2] a replay without connection events keeps the object’s state', () => {
    const opened = createFacts(madeExecution({ connected: false, graceUntil: T0 + 50_000 }));
    expect(withCaughtUp(withEvents(opened, [line(3, 'x\n')])).wrapper).toMatchObject({
      state: 'disconnected',
      graceUntil: T0 + 50_000,
    });
  });

  test('nothing is connected after the end', () => {
    const over = withEvents(live(createFacts(madeExecution())), [event(7, 'execution_failed', { code: 'wrapper_disconnected' })]);
    expect(withEvents(over, [back]).wrapper.state).toBe('none');
  });
});

describe('other facts', () => {
  test('output alone changes nothing, so that it redraws nothing', () => {
    const facts = withEvents(live(createFacts(madeExecution())), [line(1, 'first\n')]);
    expect(facts.printed).toBe(true);
    expect(withEvents(facts, [line(2, 'a\n'), event(3, 'agent', { text: 'x' })])).toBe(facts);
  });

  test('the newest progress wins, whichever way it is loaded', () => {
    let facts = withEvents(live(createFacts(madeExecution())), [event(9, 'progress', { current: 5, total: 10, message: 'half' })]);
    facts = withHistory(facts, [event(4, 'progress', { current: 1, total: 10 })]);
    expect(facts.progress).toMatchObject({ current: 5, total: 10, message: 'half' });
    expect(withHistory(createFacts(madeExecution()), [event(4, 'progress', { current: 1 })]).progress).toMatchObject({
      current: 1,
      total: null,
    });
    expect(withEvents(facts, [event(10, 'progress', { current: 'x' })]).progress).toMatchObject({ current: 5 });
  });

  test('an interrupt is known from the object, and in full from its event', () => {
    const opened = createFacts(madeExecution({ interruptRequestedAt: T0 + 5 }));
    expect(opened.interrupt).toEqual({ at: T0 + 5, reason: null, force: false, cause: null });
    const asked = event(4, 'interrupt_requested', { reason: 'enough', force: false, cause: 'request' });
    expect(withHistory(opened, [asked]).interrupt).toMatchObject({ reason: 'enough', cause: 'request' });
  });

  test('what is missing is counted from the gaps in the log', () => {
    const facts = withEvents(live(createFacts(madeExecution())), [
      event(2, 'gap', { events: 3, bytes: 100, reason: 'the spool was damaged' }),
      event(8, 'gap', { events: 1, bytes: 20, reason: 'x' }),
    ]);
    expect(lostIn(facts.timeline)).toEqual({ events: 4, bytes: 120, unknown: false });
    const more = withEvents(facts, [
      event(9, 'gap', { events: 0, bytes: 0, reason: 'placeholder' }),
      event(10, 'gap', { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' }),
    ]);
    expect(lostIn(more.timeline)).toEqual({ events: 4, bytes: 120, unknown: true });
    expect(more.timeline.entries.at(-1)?.title).toBe('An unknown amount of output is missing here');
    expect(more.timeline.entries.length).toBe(facts.timeline.entries.length + 1);
    expect(lostIn(EMPTY_TIMELINE)).toBeNull();
  });
});

describe('a run of a pool', () => {
  const {
    connected: _connected,
    startedAt: _startedAt,
    ...fields
  } = madeExecution({ launcher: 'pool', pool: 'gpu', status: 'pending' });
  const waiting = { ...fields, waiting: { pool: 'gpu', reason: 'busy' as const, position: 3 }, waitUntil: T0 + 60_000 };

  test('waits for a reason, and has its runner from the assignment on', () => {
    let facts = live(createFacts(waiting));
    expect(waitsForRunner(facts.execution)).toBe(true);
    facts = withEvents(facts, [event(2, 'execution_waiting', { pool: 'gpu', reason: 'no_runner' })]);
    expect(facts.execution.waiting).toEqual({ pool: 'gpu', reason: 'no_runner', position: 3 });
    facts = withEvents(facts, [event(3, 'execution_assigned', { runner: 'r_1', name: 'gpu-3' })]);
    expect(facts.execution).toMatchObject({ runner: { id: 'r_1', name: 'gpu-3' } });
    expect(facts.execution).not.toHaveProperty('waiting');
    expect(facts.execution).not.toHaveProperty('waitUntil');
    facts = withEvents(facts, [event(4, 'execution_recalled', { runner: 'r_1', name: 'gpu-3', cause: 'lost' })]);
    expect(facts.execution.waiting).toEqual({ pool: 'gpu' });
    expect(facts.execution).not.toHaveProperty('runner');
  });

  test('has the runner of its last assignment, also when the object was read before it', () => {
    const facts = withEvents(createFacts(waiting), [
      event(2, 'execution_assigned', { runner: 'r_1', name: 'gpu-3' }),
      event(3, 'execution_recalled', { runner: 'r_1', name: 'gpu-3', cause: 'lost' }),
      event(4, 'execution_assigned', { runner: 'r_2' }),
      event(5, 'execution_running'),
    ]);
    expect(facts.execution).toMatchObject({ status: 'running', runner: { id: 'r_2', name: 'r_2' } });
    expect(waitsForRunner(facts.execution)).toBe(false);
  });
});

describe('the timeline', () => {
  const titles = (facts: Facts) => timelineOf(facts.timeline, facts.execution).map(({ title }) => title);

  test('opened at the tail it shows the moments that the object knows, and the end last', () => {
    const facts = withEvents(createFacts(ended('completed', { exitCode: 0, pendingAt: T0 + 500 })), [
      event(9, 'status', { message: 'cleaning up' }),
    ]);
    expect(titles(facts)).toEqual(['Queued', 'Preparing', 'Running', 'cleaning up', 'Completed']);
  });

  test('[T1] events take the place of those moments, and each is there once', () => {
    const all = [
      event(1, 'execution_pending', { launcher: 'container' }),
      event(2, 'wrapper_connected', { epoch: 1, wrapperId: 'w_1' }),
      event(3, 'execution_running'),
      event(4, 'started', { pid: 42 }),
      event(5, 'status', { message: 'cleaning up' }),
      event(10, 'execution_completed', { exitCode: 0 }),
    ];
    let facts = withEvents(createFacts(ended('completed')), all.slice(4));
    facts = withHistory(facts, all);
    facts = withHistory(facts, all.slice(0, 4));
    expect(titles(facts)).toEqual(['Preparing', 'Wrapper connected', 'Running', 'Job started', 'cleaning up', 'Completed']);
  });

  test('[T1] however the events are split, the timeline is the same', () => {
    const all = Array.from({ length: 40 }, (_, index) => event(index + 1, 'status', { message: `m${index}` }));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }), (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        let facts = withEvents(createFacts(madeExecution()), all.slice(high));
        facts = withHistory(facts, all.slice(low, high));
        facts = withHistory(facts, all);
        expect(facts.timeline.entries.map(({ offset }) => offset)).toEqual(all.map(({ offset }) => offset));
      }),
    );
  });

  test('[T2] consecutive progress is one entry, and the timeline is bounded and reports omissions', () => {
    const many = Array.from({ length: 500 }, (_, index) => event(index + 1, 'progress', { current: index, total: 500 }));
    const facts = withEvents(createFacts(madeExecution()), many);
    expect(facts.timeline.entries.map(({ title }) => title)).toEqual(['Progress: 499 of 500']);
    const noisy = Array.from({ length: TIMELINE_ENTRIES_MAX + 7 }, (_, index) =>
      event(index + 1, 'status', { message: `${index}` }),
    );
    const { timeline } = withEvents(createFacts(madeExecution()), noisy);
    expect(timeline.entries).toHaveLength(TIMELINE_ENTRIES_MAX);
    expect(timeline.dropped).toBe(7);
  });
});
