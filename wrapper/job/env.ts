/**
 * What only the wrapper of a run may read: its token, and the environment that was given for the
 * job. A runner passes both through a pipe (`--private-fd`), because the environment and the
 * arguments of a process can be read from outside. The job's variables are not variables of the
 * wrapper, on which they would act: NODE_OPTIONS could break it, HTTP_PROXY could redirect it.
 *
 *   JE1  Never in argv, in a log or in a file, and in no environment but the job's.
 *   JE2  Where a wrapper is started by hand, HOLDFAST_JOB_ENV has the variables as JSON. The system
 *        takes at most 128 KiB per variable, so the rest continues in HOLDFAST_JOB_ENV_2 and so on.
 */

import { closeSync, readFileSync } from 'node:fs';
import { isObject, parseJson } from '../../protocol/json.ts';

const NAME = 'HOLDFAST_JOB_ENV';
/** At most 3 bytes each in UTF-8. */
const PART_CHARS_MAX = 40_000;

const partName = (part: number): string => (part === 1 ? NAME : `${NAME}_${part}`);

export interface PrivatePart {
  token: string;
  /** For the job alone. */
  env: Record<string, string>;
}

/** Reads to the end, and closes the file. Null: it cannot be read, or holds something else. */
export function readPrivate(fd: string): PrivatePart | null {
  if (!/^\d{1,3}$/.test(fd)) return null;
  try {
    const value = parseJson(readFileSync(Number(fd), 'utf8'));
    closeSync(Number(fd));
    if (!isObject(value) || typeof value.token !== 'string') return null;
    const env = environmentIn(value.env);
    return env && { token: value.token, env };
  } catch {
    return null;
  }
}

export function encodeJobEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  const text = JSON.stringify(env);
  const variables: Record<string, string> = {};
  for (let at = 0, part = 1; at < text.length; part += 1) {
    // A pair of surrogates is one UTF-8 character; a lone half is invalid.
    const cutsPair = /[\ud800-\udbff]/.test(text[at + PART_CHARS_MAX - 1] ?? '');
    const end = at + PART_CHARS_MAX - (cutsPair ? 1 : 0);
    variables[partName(part)] = text.slice(at, end);
    at = end;
  }
  return variables;
}

/**
 * Null if the variable holds no valid environment. Its content may be secret, so the caller reports
 * only that it is invalid.
 */
export function decodeJobEnv(env: NodeJS.ProcessEnv): Record<string, string> | null {
  let text = '';
  for (let part = 1; env[partName(part)]; part += 1) text += env[partName(part)];
  return text === '' ? {} : environmentIn(parseJson(text));
}

function environmentIn(value: unknown): Record<string, string> | null {
  if (!isObject(value)) return null;
  const sound = Object.entries(value).every(
    ([name, content]) => name !== '' && !/[=\0]/.test(name) && typeof content === 'string' && !content.includes('\0'),
  );
  return sound ? (value as Record<string, string>) : null;
}
