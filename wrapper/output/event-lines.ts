/** Events as they are kept and sent: one line of JSON, encoded once and never again. */

import type { HoldfastEvent } from '../../protocol/index.ts';
import type { Piece } from './text-splitter.ts';

export type StreamName = 'stdout' | 'stderr';

/**
 * JSON text for the wire. A raw U+FFFD in a frame means bytes that were lost on the way (ING20), so one that the job itself said is written as an
 * escape. It can stand in strings only, where the escape says the same.
 */
const wireText = (json: string): string => (json.includes('\ufffd') ? json.replaceAll('\ufffd', '\\ufffd') : json);

export const encodeEvent = (event: HoldfastEvent): Buffer => Buffer.from(`${wireText(JSON.stringify(event))}\n`);

/**
 * Written out by hand because it is the hot path: only the text needs the encoder. JSON text of the job goes through as it is.
 * `line`: number of the first line that begins in the text, null when none does or when that is not known.
 */
export function encodePiece(piece: Piece, stream: StreamName, at: number, line: number | null = null): Buffer {
  switch (piece.kind) {
    case 'text': {
      const partial = piece.partial ? ',"partial":true' : '';
      const number = line === null ? '' : `,"line":${line}`;
      return Buffer.from(
        `{"type":"output","at":${at},"data":{"stream":"${stream}","text":${wireText(JSON.stringify(piece.text))}${partial}${number}}}\n`,
      );
    }
    case 'json':
      return Buffer.from(`{"type":"agent","at":${at},"data":${wireText(piece.text)}}\n`);
    case 'fact': {
      const { type, data } = piece.fact;
      return encodeEvent({ type, at, data: { ...data } });
    }
    default:
      return piece satisfies never;
  }
}
