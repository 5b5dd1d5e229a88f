/**
 * What makes two starts the same: the work and its terms, as one text that is hashed. Not how the caller waits (`onBusy`) nor its trace, which differ between tries.
 *
 * The text is frozen, because a digest outlives the version that made it, and Worker and object may be of different versions (VER7):
 *
 *   SD1  What 0.1.0 could say has the text that 0.1.0 gave it. A term that was not given has the default of 0.1.0 here, whatever today's default is.
 *   SD2  A term that is younger than 0.1.0 is part of the text only where it was given and is not its first default. So a start that does not name it is
 *        the same as before that term was known, for an earlier and for a later version.
 *
 * A new term of a start is added to `LATER`, and a new policy key to `LATER_POLICY`, each with its first default. No entry is ever changed.
 */

import type { Policy } from '../../protocol/index.ts';

const SECOND = 1000;

/** The defaults of 0.1.0. */
const POLICY_0_1_0 = {
  pendingTimeoutMs: 300 * SECOND,
  disconnectGraceMs: 60 * SECOND,
  silenceTimeoutMs: 60 * SECOND,
  heartbeatMs: 15 * SECOND,
  interruptGraceMs: 30 * SECOND,
  maxRuntimeMs: 21_600 * SECOND,
};

const LATER_POLICY: Readonly<Record<string, unknown>> = { maxLogBytes: 2_147_483_648 };

const LATER: Readonly<Record<string, unknown>> = { secretNames: null };

/** Fields of a start that 0.1.0 had, all of them there, null where they say nothing. */
export interface WorkTerms {
  command: string[];
  cwd: string | null;
  env: Record<string, string> | null;
  stdin: string | null;
  openStdin: boolean;
  format: string;
  launcher: string;
  labels: Record<string, string>;
  callbackUrl: string | null;
}

/** `given`: the policy as it came. `later`: further terms of the start, by name. */
export function startText(work: WorkTerms, given: Partial<Policy>, later: Readonly<Record<string, unknown>> = {}): string {
  return canonicalJson({ ...work, ...youngerOf(later, LATER), policy: policyTerms(given) });
}

function policyTerms(given: Partial<Policy>): Record<string, unknown> {
  const terms: Record<string, unknown> = { ...POLICY_0_1_0 };
  for (const key of Object.keys(POLICY_0_1_0) as (keyof typeof POLICY_0_1_0)[]) terms[key] = given[key] ?? POLICY_0_1_0[key];
  // As 0.1.0 did it (LIF17): a heartbeat that was not given is a quarter of a silence limit that is too short for the default.
  const silenceMs = Number(terms.silenceTimeoutMs);
  if (given.heartbeatMs === undefined && POLICY_0_1_0.heartbeatMs * 2 > silenceMs)
    terms.heartbeatMs = Math.max(250, Math.floor(silenceMs / 4));
  return { ...terms, ...youngerOf(given as Record<string, unknown>, LATER_POLICY) };
}

/** SD2 */
const youngerOf = (given: Readonly<Record<string, unknown>>, first: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.keys(first)
      .filter((key) => given[key] !== undefined && given[key] !== first[key])
      .map((key) => [key, given[key]]),
  );

/** Keys in order, so that two spellings of one request are one text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
}
