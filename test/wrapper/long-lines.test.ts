/**
 * Goal: a JSON line up to AGENT_LINE_BYTES_MAX gets to its readers whole, whatever is in it, and a
 * longer one is a gap (AGT6, TX6).
 * Method: lines at each limit and one byte past it, cut into reads anywhere, with secrets and wide
 * characters wherever a part could end. The events are read by the readers of `agent/`.
 */

import { describe, expect, it } from 'vitest';
import { type ConversationEvent, ConversationReader, LineParts } from '../../agent/index.ts';
import { AGENT_LINE_BYTES_MAX, checkEventLine, EVENT_BYTES_MAX, type HoldfastEvent, isAgentPart } from '../../protocol/index.ts';
import { encodePiece } from '../../wrapper/output/event-lines.ts';
import { REDACTED, type Redaction, readRedaction } from '../../wrapper/output/redaction.ts';
import { JSON_LINE_BYTES_MAX, JsonLineSplitter, type Piece, TEXT_BYTES_MAX } from '../../wrapper/output/text-splitter.ts';

const KIB = 1024;
const object = (bytes: number): string => `{"a":"${'x'.repeat(bytes - 8)}"}`;

function read(text: string | Buffer, { readBytes = 64 * KIB, redaction = null as Redaction | null } = {}): Piece[] {
  const splitter = new JsonLineSplitter(redaction);
  const bytes = Buffer.from(text);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; at += readBytes) pieces.push(...splitter.push(bytes.subarray(at, at + readBytes)));
  return [...pieces, ...splitter.end()];
}

/** As the coordinator takes them. */
function eventsOf(pieces: readonly Piece[]): HoldfastEvent[] {
  return pieces.map((piece) => {
    const line = encodePiece(piece, 'stdout', 1);
    expect(line.length).toBeLessThanOrEqual(EVENT_BYTES_MAX);
    const text = line.toString().slice(0, -1);
    expect(checkEventLine(line.subarray(0, -1)).ok).toBe(true);
    expect(text).not.toContain('\ufffd');
    return JSON.parse(text) as HoldfastEvent;
  });
}

/** The JSON lines in these events, as `logs --raw` prints them. */
function linesOf(events: readonly HoldfastEvent[]): string[] {
  const parts = new LineParts();
  const text = events.map(({ data }) => (isAgentPart(data) ? parts.add(data) : `${JSON.stringify(data)}\n`)).join('');
  return `${text}${parts.close()}`.split('\n').slice(0, -1);
}

const kindsOf = (pieces: readonly Piece[]): string[] => [...new Set(pieces.map(({ kind }) => kind))];

describe('[AGT6] a JSON line', () => {
  it('of the size of one event is one, and of one byte more it comes in parts', () => {
    expect(kindsOf(read(`${object(JSON_LINE_BYTES_MAX)}\n`))).toEqual(['json']);
    const long = object(JSON_LINE_BYTES_MAX + 1);
    const pieces = read(`${long}\n`);
    expect(kindsOf(pieces)).toEqual(['part']);
    expect(pieces.length).toBe(Math.ceil(long.length / TEXT_BYTES_MAX));
    expect(linesOf(eventsOf(pieces))).toEqual([long]);
  });

  it.each([64 * KIB, 4096, 1_000_003, 32 * KIB * KIB])(
    'of 8 MiB is whole, and of one byte more it is a gap that says its size: reads of %i bytes',
    (readBytes) => {
      const edge = object(AGENT_LINE_BYTES_MAX);
      const pieces = read(`{"before":1}\n${edge}\ntext\n${edge.replace('x', 'xx')}\n{"after":1}\n`, { readBytes });
      expect(kindsOf(pieces)).toEqual(['json', 'part', 'text', 'too_long']);
      const events = eventsOf(pieces);
      const gap = events.findIndex(({ type }) => type === 'gap');
      expect(events[gap]?.data).toEqual({ events: 1, bytes: AGENT_LINE_BYTES_MAX + 1, reason: 'line_too_long' });
      expect(events.at(-1)).toMatchObject({ type: 'agent', data: { after: 1 } });
      const text = events.findIndex(({ type }) => type === 'output');
      expect(linesOf(events.slice(0, text))).toEqual(['{"before":1}', edge]);
    },
  );

  it('that never ends is left out to the end of the output, and is no more in memory', () => {
    const splitter = new JsonLineSplitter();
    const chunk = Buffer.alloc(KIB * KIB, 'x');
    expect(splitter.push(Buffer.from('{"a":"'))).toEqual([]);
    for (let mib = 0; mib < 64; mib += 1) expect(splitter.push(chunk)).toEqual([]);
    expect(splitter.late).toBe(false);
    expect(splitter.end()).toEqual([{ kind: 'too_long', text: '', bytes: 64 * KIB * KIB + 6 }]);
  });

  it('without a line end at the end of the output comes in parts too', () => {
    expect(linesOf(eventsOf(read(object(600 * KIB))))).toEqual([object(600 * KIB)]);
  });

  it.each([
    ['quotes and backslashes', JSON.stringify('"\\'.repeat(150 * KIB))],
    ['replacement characters', JSON.stringify('\ufffd'.repeat(172 * KIB))],
    ['characters of four bytes', JSON.stringify(`x${'😀'.repeat(140 * KIB)}`)],
    ['characters of three bytes', JSON.stringify(`xx${'€'.repeat(180 * KIB)}`)],
    ['halves of surrogate pairs and NUL, as escapes', `"${'\\ud800x\\u0000'.repeat(50 * KIB)}"`],
  ])('of %s is the same line, and each part is whole text', (_, value) => {
    const line = `{"v":${value}}`;
    const pieces = read(`\ufeff ${line} \r\n`, { readBytes: 65_521 });
    expect(kindsOf(pieces)).toEqual(['part']);
    for (const { text } of pieces) {
      expect(text.isWellFormed()).toBe(true);
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(TEXT_BYTES_MAX);
    }
    expect(linesOf(eventsOf(pieces))).toEqual([line]);
  });

  it('is an event up to the size on the wire: characters that are escaped there count as six bytes', () => {
    const line = `{"v":"${'\ufffd'.repeat(JSON_LINE_BYTES_MAX / 6)}"}`;
    expect(Buffer.byteLength(line)).toBeLessThan(JSON_LINE_BYTES_MAX);
    expect(linesOf(eventsOf(read(`${line}\n`)))).toEqual([line]);
  });

  it.each([
    ['a NUL', `{"a":"\u0000${'x'.repeat(600 * KIB)}"}`],
    ['half a surrogate pair as bytes', Buffer.concat([Buffer.from(object(600 * KIB)), Buffer.from([0xed, 0xa0, 0x80])])],
    ['text behind the object', `${object(600 * KIB)} and more`],
    ['too many levels', `{"a":${'['.repeat(150)}"${'x'.repeat(600 * KIB)}"${']'.repeat(150)}}`],
  ])('with %s is no JSON, and is text without losing any of it', (_, line) => {
    const pieces = read(Buffer.concat([Buffer.from(line), Buffer.from('\n{"next":1}\n')]));
    expect(kindsOf(pieces)).toEqual(['text', 'json']);
    const said = pieces.filter(({ kind }) => kind === 'text');
    expect(said.map(({ text }) => text).join('')).toBe(`${line.toString()}\n`);
  });

  it('behind 64 KiB of white space is text: such a line is not waited for', () => {
    const splitter = new JsonLineSplitter();
    expect(splitter.push(Buffer.alloc(64 * KIB, ' '))).toEqual([]);
    expect(splitter.push(Buffer.from(' ')).length).toBeGreaterThan(0);
  });

  it.each([1, 3, 7])('that comes %i bytes at a time is read in linear time', (readBytes) => {
    const line = object(700 * KIB);
    expect(linesOf(eventsOf(read(`${line}\n`, { readBytes })))).toEqual([line]);
  });
});

describe('[AGT6] [SPL25] secrets', () => {
  const secret = 'hunter2-"sëcret';
  const reading = readRedaction([{ A_TOKEN: secret }], []);
  const redaction = reading.kind === 'read' ? reading.redaction : null;

  it('are redacted before the line is cut, wherever a part ends', () => {
    const json = JSON.stringify(secret).slice(1, -1);
    for (let shift = 0; shift <= json.length; shift += 1) {
      const filler = 'x'.repeat(TEXT_BYTES_MAX - 6 - shift);
      const line = `{"a":"${filler}${json}${'y'.repeat(600 * KIB)}"}`;
      const text = linesOf(eventsOf(read(`${line}\n`, { redaction }))).join('');
      expect(text).toBe(line.replace(json, REDACTED));
    }
  });

  it('make a line of 8 MiB a gap, when their markers do not fit into it', () => {
    const reading6 = readRedaction([{ A_TOKEN: 'hunter' }], []);
    const short = reading6.kind === 'read' ? reading6.redaction : null;
    const line = object(AGENT_LINE_BYTES_MAX).replace('xxxxxx', 'hunter');
    expect(read(`${line}\n`, { redaction: short })).toEqual([{ kind: 'too_long', text: '', bytes: AGENT_LINE_BYTES_MAX }]);
  });
});

it('[AGT6] the unredacted line is with its last part, and its events make one item', () => {
  const splitter = new JsonLineSplitter(null, { keepsLines: true });
  const said = { type: 'assistant', message: { id: 'm', content: [{ type: 'text', text: 'é'.repeat(400 * KIB) }] } };
  const pieces = splitter.push(Buffer.from(`${JSON.stringify(said)}\n`));
  expect(pieces.map((piece) => 'line' in piece)).toEqual(pieces.map((_, at) => at === pieces.length - 1));
  expect(pieces.at(-1)).toMatchObject({ line: said });
  const events = eventsOf(pieces).map((event, at): ConversationEvent => ({ ...event, offset: at + 1 }));
  expect(new ConversationReader('claude').add(events)).toMatchObject([
    { type: 'message', markdown: said.message.content[0]?.text, from: 1, to: pieces.length },
  ]);
});
