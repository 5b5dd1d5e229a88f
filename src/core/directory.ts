/** What a tenant's directory keeps of each session, and which message it accepts. */

import type { SessionEntry } from '../../protocol/index.ts';

/** A session reports its state, or its deletion (`entry` is null). */
export type Announcement = { session: string; version: number } & ({ entry: SessionEntry } | { entry: null });

/**
 * `taken` is false when the directory holds a newer version, or a different state of the same
 * version. `held` is the version that it has now.
 */
export interface AnnouncementAnswer {
  taken: boolean;
  held: number;
}

/**
 * The stored version of a session. A deleted session leaves a tombstone (`removed`) for a while, so
 * that a late message does not resurrect it.
 */
export interface StoredVersion {
  version: number;
  removed: boolean;
}

export type UpsertDecision = 'apply' | 'duplicate' | 'stale';

export function decideUpsert(
  held: StoredVersion | null,
  { version, entry }: Pick<Announcement, 'version' | 'entry'>,
): UpsertDecision {
  if (!held || version > held.version) return 'apply';
  return version === held.version && held.removed === (entry === null) ? 'duplicate' : 'stale';
}

/** How long a tombstone is kept. No message is in flight for that long. */
export const DIRECTORY_TOMBSTONE_MS = 24 * 60 * 60 * 1000;
