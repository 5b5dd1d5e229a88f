/** The directory's operations, with their own types; the platform's mapping of RPC types does not carry unions over. */

import type { Announcement, AnnouncementAnswer } from '../core/directory.ts';
import type { Env } from '../platform/env.ts';
import type { DirectoryPage, DirectoryQuery } from './entries.ts';

export interface DirectoryCalls {
  announce(announcement: Announcement): Promise<AnnouncementAnswer>;
  list(query: DirectoryQuery): Promise<DirectoryPage>;
}

/** A stub is dead after an exception, so each call gets its own. */
export const directoryStub = (env: Env, tenant: string): DirectoryCalls =>
  env.DIRECTORY.getByName(tenant) as unknown as DirectoryCalls;
