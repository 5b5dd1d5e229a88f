/**
 * Goal: a start has the digest that 0.1.0 gave it, whatever was added since (LIF28, VER7). Method:
 * rows that 0.1.0 left, and terms that it did not know.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { POLICY_DEFAULTS, POLICY_KEYS, type Policy } from '../../protocol/index.ts';
import { startText, type WorkTerms } from '../../src/core/start-digest.ts';

interface StoredRow {
  id: string;
  request_digest: string;
  command: string;
  cwd: string | null;
  env: string | null;
  stdin: string | null;
  open_stdin: number;
  format: string;
  launcher: string;
  labels: string;
  policy: string;
  callback_url: string | null;
}

const storage = JSON.parse(readFileSync(new URL('../skew/fixtures/protocol-1/0.1.0/storage.json', import.meta.url), 'utf8')) as {
  sessions: Record<string, { tables: { executions?: StoredRow[] } }>;
};
/** Not of the launched one: its `env` and `stdin` went into its digest, and are not kept. */
const rows = Object.entries(storage.sessions)
  .filter(([name]) => name !== 'launched')
  .flatMap(([, { tables }]) => tables.executions ?? []);

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const WORK: WorkTerms = {
  ...{ command: ['job'], cwd: null, env: null, stdin: null, openStdin: false, format: 'text', launcher: 'none', labels: {} },
  callbackUrl: null,
};

const termsOf = (row: StoredRow): WorkTerms => ({
  command: JSON.parse(row.command) as string[],
  cwd: row.cwd,
  env: null,
  stdin: null,
  openStdin: row.open_stdin === 1,
  format: row.format,
  launcher: row.launcher,
  labels: JSON.parse(row.labels) as Record<string, string>,
  callbackUrl: row.callback_url,
});

const DEFAULTS_0_1_0 = {
  pendingTimeoutMs: 300_000,
  disconnectGraceMs: 60_000,
  silenceTimeoutMs: 60_000,
  heartbeatMs: 15_000,
  interruptGraceMs: 30_000,
  maxRuntimeMs: 21_600_000,
};

describe('[LIF28] [VER7] what 0.1.0 could say', () => {
  test('has the digest that is in its rows', () => {
    expect(rows.length).toBeGreaterThan(5);
    for (const row of rows) {
      expect(sha256(startText(termsOf(row), JSON.parse(row.policy) as Policy)), row.id).toBe(row.request_digest);
    }
  });

  test('a start without a grace has the digest of 0.1.0, although the default is another one now', () => {
    const row = rows.find(({ policy }) => (JSON.parse(policy) as Policy).disconnectGraceMs === 60_000) as StoredRow;
    const work = termsOf(row);
    expect(POLICY_DEFAULTS.disconnectGraceMs).not.toBe(60_000);
    const { disconnectGraceMs: _, ...given } = JSON.parse(row.policy) as Policy;
    expect(sha256(startText(work, given))).toBe(row.request_digest);
    expect(sha256(startText(work, { ...given, disconnectGraceMs: 60_000 }))).toBe(row.request_digest);
    expect(sha256(startText(work, { ...given, ...POLICY_DEFAULTS }))).not.toBe(row.request_digest);
  });

  test('a policy key that is not given is the default of 0.1.0, and a heartbeat shrinks with a short silence limit as it did there', () => {
    expect(startText(WORK, {})).toBe(startText(WORK, DEFAULTS_0_1_0));
    expect(startText(WORK, { silenceTimeoutMs: 20_000 })).toBe(startText(WORK, { silenceTimeoutMs: 20_000, heartbeatMs: 5000 }));
    expect(startText(WORK, { silenceTimeoutMs: 1000 })).toBe(startText(WORK, { silenceTimeoutMs: 1000, heartbeatMs: 250 }));
  });
});

describe('[LIF28] a term that is younger', () => {
  test('counts where it is given, and not where it is its first default', () => {
    expect(startText(WORK, { maxLogBytes: POLICY_DEFAULTS.maxLogBytes })).toBe(startText(WORK, {}));
    expect(startText(WORK, { maxLogBytes: 1_048_576 })).not.toBe(startText(WORK, {}));
  });

  test('merge and output count where they are given, and not where they are their first defaults', () => {
    const first = { secretNames: null, merge: false, output: 'text' };
    expect(startText(WORK, {}, first)).toBe(startText(WORK, {}));
    const texts = [{ merge: true }, { output: 'bytes' }, { merge: true, output: 'bytes' }].map((later) =>
      startText(WORK, {}, { ...first, ...later }),
    );
    expect(new Set([startText(WORK, {}), ...texts]).size).toBe(4);
  });

  test('every policy key has a place in the text: two values of it are two starts', () => {
    for (const key of POLICY_KEYS)
      expect(startText(WORK, { [key]: 1_048_577 }), key).not.toBe(startText(WORK, { [key]: 1_048_578 }));
  });
});
