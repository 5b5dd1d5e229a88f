/**
 * The closed lists of a version: what a peer may rely on by name (VER1, VER5). Recorded for each
 * version, and compared with every later one.
 */

import {
  CLOSE,
  KNOWN_TYPES,
  type NextStep,
  nextStepAfterClose,
  ON_BUSY,
  OUTPUT_FORMATS,
  POLICY_BOUNDS,
  PROBLEMS,
  RECORDED_LAUNCHERS,
  STATUSES,
} from '../../../protocol/index.ts';

export interface Vocabulary {
  statuses: string[];
  eventTypes: string[];
  launchers: string[];
  onBusy: string[];
  formats: string[];
  /** Named `minMs` and `maxMs` in recordings of 0.1.0, which had times only. */
  policy: Record<string, { min: number; max: number } | { minMs: number; maxMs: number }>;
  problems: Record<string, { status: number; retryable: boolean }>;
  /** Close codes by name, and what a peer does after each. */
  closeCodes: Record<string, { code: number; next: NextStep }>;
  /** `GET /v1/…`, from the deployment's own description. */
  routes: string[];
}

interface Description {
  paths: Record<string, Record<string, unknown>>;
}

export const vocabularyOf = ({ paths }: Description): Vocabulary => ({
  statuses: [...STATUSES],
  eventTypes: [...KNOWN_TYPES],
  launchers: [...RECORDED_LAUNCHERS],
  onBusy: [...ON_BUSY],
  formats: [...OUTPUT_FORMATS],
  policy: POLICY_BOUNDS,
  problems: Object.fromEntries(Object.entries(PROBLEMS).map(([code, { status, retryable }]) => [code, { status, retryable }])),
  closeCodes: Object.fromEntries(Object.entries(CLOSE).map(([name, code]) => [name, { code, next: nextStepAfterClose(code) }])),
  routes: Object.entries(paths)
    .flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((name) => /^(get|post|put|patch|delete|head)$/.test(name))
        .map((method) => `${method.toUpperCase()} ${path}`),
    )
    .sort(),
});
