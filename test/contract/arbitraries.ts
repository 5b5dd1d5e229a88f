/**
 * Inputs for the property tests: what honest peers send, the same damaged, and what no honest peer
 * would send. `FC_SEED` and `FC_RUNS` in the environment repeat or lengthen a run; fast-check
 * prints the seed of a failure.
 */

import fc from 'fast-check';
import type { HoldfastEvent, JsonObject } from '../../protocol/index.ts';
import { encodeEventsFrame, encodeFrame, POLICY_DEFAULTS } from '../../protocol/index.ts';
import { propertyRuns } from '../support/property-runs.ts';

export const RUNS = Number(process.env.FC_RUNS ?? propertyRuns(500));
fc.configureGlobal({ numRuns: RUNS, ...(process.env.FC_SEED ? { seed: Number(process.env.FC_SEED) } : {}) });

/** Any UTF-16 text, lone surrogates among it. */
export const anyText = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) });

/**
 * Text that is hard on line splitting and on JSON: line ends of every kind, quotes, astral
 * characters, escapes.
 */
export const trickyText = fc.string({
  unit: fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    fc.constantFrom('\n', '\r', '\u2028', '\u0085', '"', '\\', '🦀', '\0', ','),
  ),
});

/**
 * JSON values as JSON.parse gives them, `__proto__` and `constructor` keys among them. Without −0,
 * which JSON text does not keep.
 */
export const jsonValue = fc
  .oneof(
    { depthSize: 'small' },
    fc.jsonValue(),
    fc.dictionary(fc.constantFrom('__proto__', 'constructor', 'toString', 'type'), fc.jsonValue()),
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

export const jsonObject: fc.Arbitrary<JsonObject> = fc
  .dictionary(fc.oneof(trickyText, fc.constantFrom('__proto__', 'constructor', 'data')), jsonValue, { maxKeys: 4 })
  .map((value) => JSON.parse(JSON.stringify(value)) as JsonObject);

export const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/);
export const count = fc.maxSafeNat();
export const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const at = fc.integer({ min: 0, max: 8.64e15 });

const output = fc.record({ stream: fc.constantFrom('stdout', 'stderr'), text: trickyText });
const eventOf = <Data>(type: string, data: fc.Arbitrary<Data>) => fc.record({ type: fc.constant(type), at, data });

/** Facts that do not end a run. */
export const openFact: fc.Arbitrary<HoldfastEvent> = fc
  .oneof(
    eventOf('output', output),
    eventOf('agent', jsonObject),
    eventOf(
      'agent_part',
      fc.record({ part: fc.constant(1), parts: positive, text: trickyText.map((text) => `{${text.replaceAll('\n', '')}`) }),
    ),
    eventOf('started', fc.record({ pid: fc.nat(), command: fc.array(trickyText) })),
    eventOf('error', fc.record({ error: trickyText, fatal: fc.constant(false) })),
    eventOf('gap', fc.record({ events: count, bytes: count, reason: trickyText })),
    fc.record({ type: fc.stringMatching(/^x[A-Za-z0-9_.:-]{0,63}$/), at, data: jsonObject }),
    fc.record({ type: fc.constantFrom('constructor', 'toString', 'hasOwnProperty'), at, data: jsonObject }),
  )
  .map((event) => event as HoldfastEvent);

export const terminalFact: fc.Arbitrary<HoldfastEvent> = fc
  .oneof(
    eventOf('exit', fc.record({ exitCode: fc.integer({ min: 0, max: 255 }), signal: fc.constant(null) })),
    eventOf('exit', fc.record({ exitCode: fc.constant(null), signal: fc.constantFrom('SIGKILL', 'SIGTERM') })),
    eventOf('interrupted', fc.record({ reason: trickyText })),
    eventOf('error', fc.record({ error: trickyText, fatal: fc.constant(true) })),
  )
  .map((event) => event as HoldfastEvent);

/** The events of one valid frame: open facts, and perhaps a terminal one at the end. */
export const factBatch: fc.Arbitrary<HoldfastEvent[]> = fc
  .tuple(fc.array(openFact, { maxLength: 8 }), fc.option(terminalFact, { nil: undefined }))
  .map(([open, last]) => (last ? [...open, last] : open))
  .filter((events) => events.length > 0);

/** A line may be written in many ways; every one of them must be kept as it came. */
export const eventLine = (event: HoldfastEvent, style: number): string => {
  const text = JSON.stringify(event);
  if (style === 1) return ` ${text} \t`;
  if (style === 2) return `${text}\r`;
  if (style === 3) return text.replaceAll('/', '\\/');
  return text;
};

export const eventsFrame = fc
  .record({
    seq: fc.integer({ min: 1, max: 2 ** 52 }),
    events: factBatch,
    styles: fc.array(fc.nat({ max: 3 }), { minLength: 9, maxLength: 9 }),
    lineEnd: fc.boolean(),
  })
  .map(({ seq, events, styles, lineEnd }) => {
    const lines = events.map((event, index) => eventLine(event, styles[index] ?? 0));
    const body = lines.join('\n');
    return { seq, events, lines, body, text: encodeEventsFrame(seq, events.length, body) + (lineEnd ? '\n' : '') };
  });

export const hello = fc.record({
  type: fc.constant('hello' as const),
  protocol: positive,
  wrapperId: id,
  bootId: id,
  nextSeq: positive,
  lost: count,
});
export const commandAck = fc.record({ type: fc.constant('command_ack' as const), id: positive });

export const wrapperFrameText: fc.Arbitrary<string> = fc.oneof(
  hello.map(encodeFrame),
  commandAck.map(encodeFrame),
  eventsFrame.map(({ text }) => text),
);

export const command = fc.oneof(
  fc.record({
    id: positive,
    command: fc.constant('interrupt' as const),
    data: fc.record({
      signal: fc.constantFrom('SIGINT' as const, 'SIGTERM' as const, 'SIGKILL' as const),
      forceAfterMs: count,
      reason: trickyText,
    }),
  }),
  fc.record({ id: positive, command: fc.constant('input' as const), data: fc.record({ text: trickyText }) }),
);
export const welcome = fc.record({
  type: fc.constant('welcome' as const),
  protocol: positive,
  epoch: positive,
  ackedSeq: count,
  policy: fc.constant({ ...POLICY_DEFAULTS }),
  limits: fc.record({ frameBytes: positive, windowBytes: positive }),
  commands: fc.array(command, { maxLength: 4 }),
});
export const coordinatorFrame = fc.oneof(
  welcome,
  fc.record({ type: fc.constant('ack' as const), seq: count }),
  fc.record({ type: fc.constant('nack' as const), expected: positive }),
  command.map((one) => ({ type: 'command' as const, ...one })),
);

/**
 * Valid text, damaged: characters changed, cut out, doubled, put in; cut short; fields of the
 * header replaced.
 */
export const damaged = (valid: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      valid,
      fc.array(
        fc.record({
          at: fc.double({ min: 0, max: 1, noNaN: true }),
          how: fc.nat({ max: 5 }),
          length: fc.integer({ min: 1, max: 20 }),
          by: anyText,
        }),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([text, edits]) => {
      let result = text;
      for (const edit of edits) {
        const from = Math.floor(edit.at * result.length);
        const to = Math.min(result.length, from + edit.length);
        const piece = result.slice(from, to);
        if (edit.how === 0) result = result.slice(0, from) + result.slice(to);
        else if (edit.how === 1) result = result.slice(0, from) + piece + result.slice(from);
        else if (edit.how === 2) result = result.slice(0, from) + edit.by + result.slice(to);
        else if (edit.how === 3) result = result.slice(0, from);
        else if (edit.how === 4) result = `${result.slice(0, from)}\n${result.slice(from)}`;
        else
          result = result.replace(
            /\d+/,
            ['-1', '0', '1e999', '9007199254740992', '1.5', '"1"', 'null', '[]'][edit.length % 8] ?? '0',
          );
      }
      return result;
    });

/** Values no honest peer puts where a number, a string, an id or an object belongs. */
export const HOSTILE_VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  2 ** 53,
  1e308,
  '',
  '1',
  ' ',
  '\ud800',
  [],
  ['a'],
  {},
  { length: 1 },
];

/**
 * `{"a":{"a":…}}` or `[[…]]` that many levels deep, as text, since JSON.stringify could not write
 * it.
 */
export const nested = (levels: number, kind: 'object' | 'array' = 'array'): string =>
  kind === 'array' ? '['.repeat(levels) + ']'.repeat(levels) : `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;
