/**
 * Goal: every event has a transition in every phase, and the budgets and refusals of L1 to L5 hold.
 * Method: the pure transition, step by step, on a clock that the test sets.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Connection,
  type ConnectionEvent,
  type Facts,
  newConnection,
  transition,
} from '../../client/stream/connection-state.ts';
import { checkOptions, type SessionStreamOptions, STREAM_TIMINGS } from '../../client/stream/options.ts';
import type { StreamHello } from '../../protocol/index.ts';

const HELLO: StreamHello = { type: 'hello', session: 's1', earliest: 1, head: 0, executions: [] };
const lost = (code = 1006, reason = ''): ConnectionEvent => ({ type: 'lost', end: { code, reason } });

/** Applies one event after another. `facts` are changed between the steps. */
function machine(options: Partial<SessionStreamOptions> = {}) {
  const settings = checkOptions({
    url: 'https://holdfast.example',
    session: 's1',
    getTicket: () => 't',
    connect: () => ({ send: () => {}, close: () => {} }),
    random: () => 0.5,
    ...options,
  });
  const buffer: { drained: boolean; complete: boolean; hello: StreamHello | null } = {
    drained: true,
    complete: false,
    hello: null,
  };
  const facts: Facts & { buffer: typeof buffer } = { now: 0, date: 0, hidden: false, buffer };
  let connection: Connection = newConnection(0, false);
  const apply = (...events: (ConnectionEvent | ConnectionEvent['type'])[]): Connection => {
    for (const event of events) {
      if (event === 'hello') buffer.hello = HELLO;
      connection = transition(
        connection,
        (typeof event === 'string' ? { type: event } : event) as ConnectionEvent,
        facts,
        settings,
      );
    }
    return connection;
  };
  const status = (): string => connection.phase.shown.status;
  const delayMs = (): number | null => (connection.phase.kind === 'retrying' ? connection.phase.delayMs : null);
  return {
    facts,
    buffer,
    apply,
    status,
    delayMs,
    get kind() {
      return connection.phase.kind;
    },
  };
}

describe('phases', () => {
  test('an attempt opens, is lost, waits and begins again', () => {
    const stream = machine();
    const kinds = (['start', 'hello', 'caught_up', lost(), 'retry'] as const).map((event) => {
      stream.apply(event);
      return [stream.kind, stream.status()];
    });
    expect(kinds).toEqual([
      ['connecting', 'connecting'],
      ['open', 'replaying'],
      ['open', 'live'],
      ['retrying', 'reconnecting'],
      ['connecting', 'connecting'],
    ]);
  });

  test('the same object comes back when an event changes nothing', () => {
    const stream = machine();
    const open = stream.apply('start', 'hello', 'progress');
    expect(stream.apply('progress', 'drained')).toBe(open);
  });

  test('[R5] no attempt begins before the buffer is empty, and the state before it stays', () => {
    const stream = machine();
    stream.apply('start', 'hello', 'caught_up', lost());
    stream.buffer.drained = false;
    stream.apply('retry');
    expect([stream.kind, stream.status()]).toEqual(['draining', 'reconnecting']);
    stream.buffer.drained = true;
    stream.apply('drained');
    expect(stream.kind).toBe('connecting');
  });

  test('[R5] a paused or failed stream that waits for the consumer says so', () => {
    for (const before of ['pause', { type: 'fail', code: 'gap', reason: '' }] as const) {
      const stream = machine();
      stream.buffer.drained = false;
      stream.apply('start', before, 'reconnect');
      expect([stream.kind, stream.status()]).toEqual(['draining', 'reconnecting']);
    }
  });

  test('a connection that is lost after everything was received is not replaced', () => {
    const stream = machine();
    stream.apply('start', 'hello');
    stream.buffer.complete = true;
    stream.apply(lost(4404));
    expect([stream.kind, stream.status()]).toEqual(['complete', 'replaying']);
  });

  test('[R6] a complete stream makes no further attempt, whatever asks for one', () => {
    for (const before of [[], [lost()], ['caught_up'], ['pause'], [{ type: 'fail', code: 'gap', reason: '' }]] as const) {
      for (const event of ['reconnect', 'comeBack'] as const) {
        const stream = machine();
        stream.apply('start', 'hello');
        Object.assign(stream.buffer, { complete: true, drained: false });
        stream.apply(...before);
        // Only reconnect() leads out of a failure.
        if (stream.kind === 'failed') stream.apply('reconnect');
        stream.apply(event);
        stream.buffer.drained = true;
        stream.apply('drained', 'retry');
        expect(stream.kind).toBe('complete');
        expect(['paused', 'failed']).not.toContain(stream.status());
      }
    }
  });

  const anyEvent = fc.constantFrom<ConnectionEvent>(
    { type: 'start' },
    { type: 'drained' },
    { type: 'retry' },
    { type: 'pause' },
    { type: 'comeBack' },
    { type: 'hello' },
    { type: 'progress' },
    { type: 'caught_up' },
    { type: 'no_room' },
    { type: 'fail', code: 'gap', reason: '' },
    lost(),
    lost(4401),
    lost(4404, 'deleted'),
  );

  test('[R6] nothing leads out of `over`, and only reconnect and the end out of `failed`', () => {
    fc.assert(
      fc.property(fc.array(anyEvent), fc.array(anyEvent), fc.boolean(), (before, after, hidden) => {
        const stream = machine();
        stream.facts.hidden = hidden;
        stream.apply(...before, { type: 'fail', code: 'gap', reason: '' });
        const failed = stream.apply();
        expect(failed.phase.kind).toBe('failed');
        expect(stream.apply(...after)).toBe(failed);
        const over = stream.apply('reconnect', { type: 'end', shown: { status: 'closed' } });
        expect(over.phase.kind).toBe('over');
        expect(stream.apply(...after, 'reconnect')).toBe(over);
        const other = machine();
        other.apply(...before, { type: 'fail', code: 'gap', reason: '' }, ...after, { type: 'end', shown: { status: 'closed' } });
        expect([other.kind, other.status()]).toEqual(['over', 'closed']);
      }),
    );
  });

  test('[R5] [P1] an attempt begins only with an empty buffer, and on a hidden page only by reconnect()', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyEvent, fc.boolean(), fc.boolean())), (steps) => {
        const stream = machine();
        for (const [event, hidden, drained] of steps) {
          const before = stream.apply();
          stream.facts.hidden = hidden;
          stream.buffer.drained = drained;
          const { phase } = stream.apply(event);
          const isNewAttempt = phase.kind === 'connecting' && phase !== before.phase;
          if (isNewAttempt) expect([hidden, drained]).toEqual([false, true]);
        }
      }),
    );
  });
});

describe('losses', () => {
  test('[L1] connections that greet and die at once grow the delay; one that brings an event does not', () => {
    const stream = machine();
    const delays = [1, 2, 3].map(() => {
      stream.apply(stream.kind === 'retrying' ? 'retry' : 'start', 'hello', lost());
      return stream.delayMs() ?? -1;
    });
    expect(delays[2]).toBeGreaterThan(delays[1] as number);
    stream.apply('retry', 'hello', 'progress', lost());
    expect(stream.delayMs()).toBe(0);
  });

  test('[L2] a refused credential is replaced once, and again after a sound connection', () => {
    const stream = machine();
    stream.apply('start', lost(4401));
    expect([stream.kind, stream.status()]).toEqual(['connecting', 'refreshing-credential']);
    stream.apply('hello');
    stream.facts.now = STREAM_TIMINGS.soundMs;
    stream.apply(lost(4401));
    expect(stream.status()).toBe('refreshing-credential');
    const other = machine();
    other.apply('start', lost(4401), lost(4401));
    expect(other.apply().phase.shown).toMatchObject({ status: 'failed', code: 'unauthorized' });
  });

  test('[L2] a ticket that expires during its connection is replaced each time, with a delay when connections keep dying young', () => {
    const stream = machine();
    stream.apply('start');
    const steps = Array.from({ length: 6 }, () => {
      stream.apply(stream.kind === 'retrying' ? 'retry' : 'start', 'hello');
      stream.facts.now += STREAM_TIMINGS.soundMs - 1;
      stream.apply(lost(4401, 'ticket_expired'));
      return [stream.status(), stream.delayMs()];
    });
    expect(steps[0]).toEqual(['refreshing-credential', null]);
    expect(steps.slice(1).map(([status]) => status)).toEqual(Array(5).fill('reconnecting'));
    expect(steps[4]?.[1]).toBeGreaterThan(steps[2]?.[1] as number);
    // A connection that lasted is followed by the next without a delay.
    stream.apply('retry', 'hello');
    stream.facts.now += STREAM_TIMINGS.soundMs;
    stream.apply(lost(4401, 'ticket_expired'));
    expect(stream.status()).toBe('refreshing-credential');
    // The new ticket is refused before a hello.
    stream.apply(lost(4401, 'ticket_expired'));
    expect(stream.kind).not.toBe('connecting');
  });

  test('[L2] nor does the expiry use up the one replacement of a refused credential', () => {
    const stream = machine();
    stream.apply('start', lost(4401), 'hello', 'progress', lost(4401, 'ticket_expired'));
    expect([stream.kind, stream.status()]).toEqual(['connecting', 'refreshing-credential']);
    const refused = machine();
    refused.apply('start', lost(4401), 'hello', lost(4401, 'refused'));
    expect(refused.kind).toBe('retrying');
    refused.facts.now = STREAM_TIMINGS.refusedMs + 1;
    refused.apply('retry', lost(4401));
    expect(refused.apply().phase.shown).toMatchObject({ status: 'failed', code: 'unauthorized' });
  });

  test('[L3] the budget ends an outage, and the wait for the consumer is not part of it', () => {
    const stream = machine({ giveUpAfterMs: 1_000 });
    stream.apply('start', 'hello', 'caught_up', lost());
    stream.buffer.drained = false;
    stream.apply('retry');
    stream.facts.now = 60_000;
    stream.buffer.drained = true;
    stream.apply('drained', lost());
    expect(stream.kind).toBe('retrying');
    stream.facts.now = 61_000;
    stream.apply('retry', lost());
    expect(stream.apply().phase.shown).toMatchObject({ status: 'failed', code: 'unreachable' });
  });

  test('[L4] a hidden page counts no attempt, and a final refusal is still final', () => {
    const stream = machine();
    stream.apply('start', 'hello');
    stream.facts.hidden = true;
    const { history } = stream.apply(lost());
    expect([stream.kind, history.attempt]).toEqual(['paused', 0]);
    stream.facts.hidden = false;
    stream.apply('comeBack');
    stream.facts.hidden = true;
    stream.apply(lost(4404, 'deleted'));
    expect(stream.apply().phase.shown).toMatchObject({ status: 'failed', code: 'session_not_found' });
  });

  test('[L5] not_found is final only for an attempt that began `refusedMs` after the first refusal', () => {
    const stream = machine();
    stream.apply('start', 'hello', lost());
    for (const now of [0, STREAM_TIMINGS.refusedMs]) {
      stream.facts.now = now;
      stream.apply('retry', lost(4404));
      expect(stream.kind).toBe('retrying');
    }
    stream.facts.now = STREAM_TIMINGS.refusedMs + 1;
    stream.apply('retry', lost(4404));
    expect(stream.kind).toBe('failed');
    const unknown = machine();
    unknown.apply('start', lost(4404));
    expect(unknown.kind).toBe('failed');
  });
});
