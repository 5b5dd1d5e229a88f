/** Typed calls to a directory. The platform's mapping of RPC types does not preserve unions. */

import type { Announcement, AnnouncementAnswer } from '../core/directory.ts';
import type { Env } from '../platform/env.ts';
import type { DirectoryPage, DirectoryQuery } from './entries.ts';

export interface DirectoryCalls {
  announce(announcement: Announcement): Promise<AnnouncementAnswer>;
  list(query: DirectoryQuery): Promise<DirectoryPage>;
  /** Notes a pool, once. False: the tenant has POOLS_MAX others. */
  addPool(pool: string): Promise<boolean>;
  /** In the order of their names. */
  listPools(): Promise<string[]>;
}

/** A stub is unusable after an exception, so each call gets its own. */
export const directoryStub = (env: Env, tenant: string): DirectoryCalls =>
  env.DIRECTORY.getByName(tenant) as unknown as DirectoryCalls;
