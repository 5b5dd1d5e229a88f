/**
 * The ingest token and its source. Only a file can give a fresh one: an argument and a variable
 * never change.
 */

import { readFileSync } from 'node:fs';
import { CREDENTIAL_CHARS_MAX, isVisibleAscii } from '../../protocol/index.ts';

export interface Credential {
  current(): string;
  /** True if a fresh one could be read from the source; `current` then returns it. */
  refresh(): boolean;
}

/** A file that is being written may briefly hold anything. */
const canBeToken = (text: string): boolean => text.length <= CREDENTIAL_CHARS_MAX && isVisibleAscii(text);

export const fixedCredential = (token: string): Credential => ({ current: () => token, refresh: () => false });

/**
 * Throws when the file cannot be read now. After a later failure, or content that cannot be a
 * token, the known token is kept.
 */
export function fileCredential(path: string): Credential {
  let token = readFileSync(path, 'utf8').trim();
  return {
    current: () => token,
    refresh: () => {
      try {
        const fresh = readFileSync(path, 'utf8').trim();
        const changed = canBeToken(fresh) && fresh !== token;
        if (changed) token = fresh;
        return changed;
      } catch {
        return false;
      }
    },
  };
}
