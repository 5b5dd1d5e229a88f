/**
 * Goal: a reader who narrows an event by its type can trust its data, and loses nothing that it
 * does not know. Method: one event of each type as the product writes it, each field spoilt in
 * turn, and values of any kind.
 */

import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  asKnown,
  checkFact,
  type EventOf,
  gapText,
  isEvent,
  type JsonObject,
  KNOWN_TYPES,
  type KnownEvent,
  type KnownEventData,
  type LoggedEvent,
} from '../../protocol/index.ts';

const logged = (type: string, data: JsonObject): LoggedEvent => ({ offset: 7, execution: 'e1', type, at: 1_763_650_000_000, data });

const SAMPLES: { [T in keyof KnownEventData]: KnownEventData[T] } = {
  started: { pid: 4711, command: ['make'] },
  output: { stream: 'stdout', text: 'hello\n', partial: false },
  agent: { type: 'message', text: 'hi' },
  agent_part: { part: 2, parts: 3, text: '"half' },
  status: { message: 'cloning' },
  progress: { current: 3, total: 10, message: 'files' },
  error: { error: 'boom', code: 'spawn_failed', fatal: true },
  interrupted: { reason: 'wrapper received SIGTERM', exitCode: 143, signal: null },
  exit: { exitCode: 0, signal: null },
  gap: { events: 2, bytes: 120, reason: 'spool_full' },
  screen: { cols: 80, rows: 24, data: '$ ', modes: '\x1b[?25l', title: 'sh' },
  asking: {
    id: 'q1',
    kind: 'permission',
    text: 'Run make?',
    options: [{ id: 'allow', label: 'Allow' }],
    freeText: true,
    tool: 't1',
  },
  asking_ended: { id: 'q1', reason: 'cancelled' },
  execution_queued: { position: 1, continues: 'e0' },
  execution_pending: { launcher: 'pool', continues: 'e0' },
  execution_waiting: { pool: 'default', reason: 'busy' },
  execution_assigned: { runner: 'r_1', name: 'gpu-3' },
  execution_recalled: { runner: 'r_1', name: 'gpu-3', cause: 'runner_lost', message: 'runner gpu-3 was lost' },
  execution_running: {},
  execution_deadline_renewed: { deadline: 'grace', until: 1_763_650_060_000, lateMs: 9_000 },
  execution_completed: { exitCode: 0 },
  execution_failed: { code: 'exit_nonzero', error: 'exit code 3', fatal: true, exitCode: 3 },
  execution_interrupted: { reason: 'enough', forced: true },
  wrapper_connected: { epoch: 1, wrapperId: 'w_1' },
  wrapper_reconnected: { epoch: 2, ackedSeq: 9, downMs: 100, bufferedEvents: 3, eventsLost: 0 },
  wrapper_disconnected: { reason: 'silence', wsCloseCode: 1006, wsCloseReason: '', graceUntil: 1_763_650_060_000 },
  interrupt_requested: { reason: 'enough', force: false, cause: 'caller' },
  input: { by: { kind: 'key', id: 'key_01234567' }, bytes: 4, text: 'yes\n', eof: true },
  resize: { cols: 80, rows: 24, by: { kind: 'key', id: 'key_01234567' } },
  answered: { id: 'q1', by: { kind: 'key', id: 'key_01234567' }, option: 'allow' },
};

describe('known events', () => {
  test.each(Object.entries(SAMPLES))('%s is known', (type, data) => {
    const event = logged(type, data as JsonObject);
    expect(asKnown(event)).toBe(event);
    expect(KNOWN_TYPES).toContain(type);
  });

  test('a field that has to be there and is missing, or is of another kind, makes it unknown', () => {
    const required: [keyof KnownEventData, string][] = [
      ['output', 'text'],
      ['output', 'stream'],
      ['agent_part', 'part'],
      ['agent_part', 'parts'],
      ['agent_part', 'text'],
      ['status', 'message'],
      ['progress', 'current'],
      ['error', 'error'],
      ['gap', 'bytes'],
      ['interrupted', 'reason'],
      ['execution_queued', 'position'],
      ['execution_failed', 'code'],
      ['wrapper_disconnected', 'graceUntil'],
      ['interrupt_requested', 'force'],
      ['input', 'bytes'],
      ['screen', 'data'],
      ['screen', 'modes'],
      ['screen', 'cols'],
      ['resize', 'rows'],
      ['asking', 'id'],
      ['asking', 'kind'],
      ['asking', 'text'],
      ['asking_ended', 'reason'],
      ['answered', 'id'],
    ];
    for (const [type, field] of required) {
      for (const value of [undefined, null, {}, []]) {
        if (type === 'gap' && field === 'bytes' && value === null) continue; // An unknown amount.
        expect(asKnown(logged(type, { ...(SAMPLES[type] as JsonObject), [field]: value })), `${type}.${field}`).toBe(null);
      }
    }
    expect(asKnown(logged('exit', {}))).toBe(null);
    expect(asKnown(logged('progress', { current: 1, total: '2' }))).toBe(null);
    expect(asKnown(logged('progress', { current: 1 }))).not.toBe(null);
  });

  test('an unknown type, including a property name of JavaScript objects, is not a known event', () => {
    for (const type of ['metric', 'execution_paused', 'constructor', '__proto__', 'toString']) {
      expect(asKnown(logged(type, { message: 'x' }))).toBe(null);
    }
  });

  test('any event gives itself or null, and is not changed', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...KNOWN_TYPES), fc.string()),
        fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 }),
        (type, data) => {
          const event = logged(type, data);
          const before = JSON.stringify(event);
          expect([event, null]).toContain(asKnown(event));
          expect(JSON.stringify(event)).toBe(before);
        },
      ),
    );
  });

  test('the type narrows the data', () => {
    const event = asKnown(logged('output', SAMPLES.output as unknown as JsonObject)) as KnownEvent;
    if (event.type === 'output') expectTypeOf(event.data.text).toEqualTypeOf<string>();
    if (event.type === 'execution_failed') expectTypeOf(event.data.code).toEqualTypeOf<string>();
    const other: LoggedEvent = logged('gap', SAMPLES.gap as unknown as JsonObject);
    if (!isEvent(other, 'gap')) throw new Error('it is a gap');
    expectTypeOf(other).toExtend<EventOf<'gap'>>();
    expectTypeOf<KnownEvent>().toExtend<LoggedEvent>();
    expect(other.data.events + (other.data.bytes ?? 0)).toBe(122);
    expect(isEvent(logged('gap', {}), 'gap')).toBe(false);
  });
});

describe('[SPL33] the description of a gap', () => {
  test.each([
    [{ events: 3, bytes: 120, reason: 'x' }, '3 events (120 bytes) are missing here'],
    [{ events: 1, bytes: 0, reason: 'x' }, '1 event (0 bytes) is missing here'],
    [{ events: 3, bytes: 0, unknown: true, reason: 'spool_damaged' }, 'at least 3 events are missing here'],
    [{ events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' }, 'an unknown amount of output is missing here'],
    [{ events: 0, bytes: null, unknown: true, reason: 'wrapper_restarted' }, 'an unknown amount of output is missing here'],
    [{ events: 0, bytes: 20, reason: 'secrets_unknown' }, '20 bytes of output are missing here'],
    // As 0.1.0 said it.
    [{ events: 0, bytes: 0, reason: 'wrapper_crashed' }, 'an unknown amount of output is missing here'],
    [{ events: 0, bytes: 0, reason: 'placeholder' }, null],
  ])('%j', (data, text) => {
    expect(gapText(data)).toBe(text);
    expect(checkFact({ type: 'gap', at: 1, data })).toMatchObject({ ok: true });
  });

  test('`unknown` is a boolean', () => {
    expect(checkFact({ type: 'gap', at: 1, data: { events: 1, bytes: 1, reason: 'x', unknown: 'yes' } })).toMatchObject({
      ok: false,
    });
  });
});
