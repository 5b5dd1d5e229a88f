/** What a tenant's directory keeps of each session, and which message it takes. */

import type { SessionEntry } from '../../protocol/index.ts';

/** A session says what it is, or that it is no more. */
export type Announcement = { session: string; version: number } & ({ entry: SessionEntry } | { entry: null });

/** `taken` is false when the directory holds something that is newer, or the opposite of the same version. `held` is the version it has now. */
export interface AnnouncementAnswer {
  taken: boolean;
  held: number;
}

/** What is kept of a session that was announced. One that is no more is remembered for a while, so that a late message does not bring it back. */
export interface HeldVersion {
  version: number;
  removed: boolean;
}

export type Judgement = 'take' | 'known' | 'stale';

export function judge(held: HeldVersion | null, { version, entry }: Pick<Announcement, 'version' | 'entry'>): Judgement {
  if (!held || version > held.version) return 'take';
  return version === held.version && held.removed === (entry === null) ? 'known' : 'stale';
}

/** How long a removed session is remembered. No message is under way for so long. */
export const REMOVED_KEPT_MS = 24 * 60 * 60 * 1000;
