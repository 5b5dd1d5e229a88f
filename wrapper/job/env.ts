/**
 * The environment that a runner was given for a job, passed through the wrapper's own environment.
 * As plain variables they would act on the wrapper: NODE_OPTIONS could break it, HTTP_PROXY could
 * redirect it. So they travel as JSON in one variable that only the wrapper reads.
 *
 *   JE1  Never in argv, in a log or in a file.
 *   JE2  The system takes at most 128 KiB per variable. With JSON escapes the largest allowed
 *        environment can exceed that, so the rest continues in HOLDFAST_JOB_ENV_2 and so on.
 */

import { isObject, parseJson } from '../../protocol/json.ts';

const NAME = 'HOLDFAST_JOB_ENV';
/** At most 3 bytes each in UTF-8. */
const PART_CHARS_MAX = 40_000;

const partName = (part: number): string => (part === 1 ? NAME : `${NAME}_${part}`);

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
  if (text === '') return {};
  const value = parseJson(text);
  if (!isObject(value)) return null;
  const sound = Object.entries(value).every(
    ([name, content]) => name !== '' && !/[=\0]/.test(name) && typeof content === 'string' && !content.includes('\0'),
  );
  return sound ? (value as Record<string, string>) : null;
}
