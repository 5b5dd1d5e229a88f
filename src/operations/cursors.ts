/** Cursors of lists. They are opaque to callers, so that the format may change. */

import { isId } from '../../protocol/index.ts';
import type { ListPosition } from '../directory/entries.ts';

const encode = (text: string): string => btoa(text).replace(/=+$/, '');

function decode(cursor: string): string | null {
  try {
    return atob(cursor);
  } catch {
    return null;
  }
}

/** Executions are listed in the order of their creation. */
export const encodeOrdinalCursor = (ordinal: number): string => encode(`o${ordinal}`);

export function decodeOrdinalCursor(cursor: string): number | null {
  const text = decode(cursor) ?? '';
  const ordinal = Number(text.slice(1));
  return /^o[1-9][0-9]{0,15}$/.test(text) && Number.isSafeInteger(ordinal) ? ordinal : null;
}

/** Sessions are listed by their last activity, then by name. */
export const encodeSessionCursor = ({ lastActivityAt, id }: ListPosition): string => encode(`a${lastActivityAt}/${id}`);

export function decodeSessionCursor(cursor: string): ListPosition | null {
  const [, time, id] = /^a([1-9][0-9]{0,15})\/(.+)$/.exec(decode(cursor) ?? '') ?? [];
  const lastActivityAt = Number(time);
  return isId(id) && Number.isSafeInteger(lastActivityAt) ? { lastActivityAt, id } : null;
}
