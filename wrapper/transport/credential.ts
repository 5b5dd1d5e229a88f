/** The ingest token, from where it was given. Only a file can give a fresh one: an argument and a variable never change. */

import { readFileSync } from 'node:fs';
import { CREDENTIAL_CHARS_MAX } from '../../protocol/index.ts';

export interface Credential {
  current(): string;
  /** True when a fresh one could be read from where it came from; `current` then gives that. */
  refresh(): boolean;
}

/** One line of visible ASCII: what a header can carry. A file that is being written may hold anything for a moment. */
const canBeToken = (text: string): boolean => text.length <= CREDENTIAL_CHARS_MAX && /^[\x21-\x7e]+$/.test(text);

export const fixedCredential = (token: string): Credential => ({ current: () => token, refresh: () => false });

/** Throws when the file cannot be read now. A later failure, or content that cannot be a token, keeps the token that is known. */
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
