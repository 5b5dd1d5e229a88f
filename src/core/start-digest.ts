/**
 * The identity of a start request, as one text to be hashed: the work and its terms, without how
 * the caller waits (`onBusy`) and without its trace, which differ between retries.
 *
 * The text is frozen, because a digest outlives the version that made it, and Worker and object may
 * run different versions (VER7):
 *
 * - A start that 0.1.0 could express has the text that 0.1.0 gave it. A term that was not given has
 *   the default of 0.1.0 here, whatever today's default is.
 * - A term newer than 0.1.0 is in the text only if it was given and differs from its first default.
 *   A start without it therefore has the same text in versions before and after the term.
 *
 * Add a new term of a start to `LATER`, and a new policy key to `LATER_POLICY`, each with its first
 * default. Never change an entry.
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

const LATER: Readonly<Record<string, unknown>> = {
  secretNames: null,
  callbackEvents: null,
  merge: false,
  output: 'text',
  terminal: null,
  maxActive: 1,
  pool: 'default',
  requires: null,
  priority: 0,
  concurrency: null,
  waitMs: 86_400_000,
  continues: null,
};

/** The fields of a start in 0.1.0. All are present; null where they were not given. */
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

/** `given`: the policy as it was sent. `later`: newer terms of the start, by name. */
export function startText(work: WorkTerms, given: Partial<Policy>, later: Readonly<Record<string, unknown>> = {}): string {
  return canonicalJson({ ...work, ...youngerOf(later, LATER), policy: policyTerms(given) });
}

function policyTerms(given: Partial<Policy>): Record<string, unknown> {
  const terms: Record<string, unknown> = { ...POLICY_0_1_0 };
  for (const key of Object.keys(POLICY_0_1_0) as (keyof typeof POLICY_0_1_0)[]) terms[key] = given[key] ?? POLICY_0_1_0[key];
  // As in 0.1.0 (LIF17): if the silence limit is too short for the default heartbeat, the heartbeat
  // is a quarter of the limit.
  const silenceMs = Number(terms.silenceTimeoutMs);
  if (given.heartbeatMs === undefined && POLICY_0_1_0.heartbeatMs * 2 > silenceMs)
    terms.heartbeatMs = Math.max(250, Math.floor(silenceMs / 4));
  return { ...terms, ...youngerOf(given as Record<string, unknown>, LATER_POLICY) };
}

/** Newer terms that were given and differ from their first default. */
const youngerOf = (given: Readonly<Record<string, unknown>>, first: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.keys(first)
      .filter((key) => given[key] !== undefined && given[key] !== first[key])
      .map((key) => [key, given[key]]),
  );

/** Sorted keys, so two spellings of one request have the same text. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
}
