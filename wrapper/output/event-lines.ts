/** Events as they are stored and sent: one line of JSON, encoded once. */

import type { HoldfastEvent } from '../../protocol/index.ts';
import type { Piece } from './text-splitter.ts';

export type StreamName = 'stdout' | 'stderr';

/**
 * JSON text for the wire. A raw U+FFFD in a frame means bytes lost in transit (ING20), so one that
 * the job printed is written as an escape. It occurs in strings only, where the escape is
 * equivalent.
 */
const wireText = (json: string): string => (json.includes('\ufffd') ? json.replaceAll('\ufffd', '\\ufffd') : json);

export const encodeEvent = (event: HoldfastEvent): Buffer => Buffer.from(`${wireText(JSON.stringify(event))}\n`);

/**
 * Written out by hand because it is the hot path: only the text needs the encoder. JSON text of the
 * job passes unchanged. `line`: number of the first line that begins in the text; null when no line
 * begins in it or the number is unknown.
 */
export function encodePiece(piece: Piece, stream: StreamName | 'tty', at: number, line: number | null = null): Buffer {
  switch (piece.kind) {
    case 'text': {
      const replaced = piece.replaced === undefined ? '' : `,"replaced":${piece.replaced}`;
      return encodeOutput(stream, at, `${wireText(JSON.stringify(piece.text))}${replaced}`, piece.partial, line);
    }
    case 'bytes':
      return encodeOutput(stream, at, `"","base64":"${piece.bytes.toString('base64')}"`, piece.partial, line);
    case 'json':
      return Buffer.from(`{"type":"agent","at":${at},"data":${wireText(piece.text)}}\n`);
    case 'part': {
      const { part, parts, text } = piece;
      return encodeEvent({ type: 'agent_part', at, data: { part, parts, text } });
    }
    case 'too_long':
      return encodeEvent({ type: 'gap', at, data: { events: 1, bytes: piece.bytes, reason: 'line_too_long' } });
    case 'fact': {
      const { type, data } = piece.fact;
      return encodeEvent({ type, at, data: { ...data } });
    }
    default:
      return piece satisfies never;
  }
}

function encodeOutput(stream: StreamName | 'tty', at: number, content: string, isPartial: boolean, line: number | null): Buffer {
  const partial = isPartial ? ',"partial":true' : '';
  const number = line === null ? '' : `,"line":${line}`;
  return Buffer.from(`{"type":"output","at":${at},"data":{"stream":"${stream}","text":${content}${partial}${number}}}\n`);
}
