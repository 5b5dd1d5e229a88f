/** The ingest token, from where it was given. Only a file can give a fresh one: an argument and a variable never change. */

import { readFileSync } from 'node:fs';

export interface Credential {
  current(): string;
  /** True when a fresh one could be read from where it came from; `current` then gives that. */
  refresh(): boolean;
}

export const fixedCredential = (token: string): Credential => ({ current: () => token, refresh: () => false });

/** Throws when the file can not be read now; later failures keep the token that is known. */
export function fileCredential(path: string): Credential {
  let token = readFileSync(path, 'utf8').trim();
  return {
    current: () => token,
    refresh: () => {
      try {
        const fresh = readFileSync(path, 'utf8').trim();
        const changed = fresh !== '' && fresh !== token;
        if (changed) token = fresh;
        return changed;
      } catch {
        return false;
      }
    },
  };
}
