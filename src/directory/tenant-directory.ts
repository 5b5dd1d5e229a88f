/**
 * The Durable Object that lists a tenant's sessions: one per tenant, with the tenant's name. It
 * calls no other object and owns no state of its own. Each session reports to it
 * (session/outbox.ts), and repeats the report periodically, so a lost directory refills.
 */

import { DurableObject } from 'cloudflare:workers';
import type { Announcement, AnnouncementAnswer } from '../core/directory.ts';
import type { Env } from '../platform/env.ts';
import { type DirectoryPage, type DirectoryQuery, Entries } from './entries.ts';

export class TenantDirectory extends DurableObject<Env> {
  readonly #entries: Entries;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#entries = new Entries(ctx.storage, Date.now());
  }

  announce(announcement: Announcement): AnnouncementAnswer {
    return this.#entries.take(announcement, Date.now());
  }

  list(query: DirectoryQuery): DirectoryPage {
    return this.#entries.list(query);
  }

  addPool(pool: string): boolean {
    return this.#entries.addPool(pool, Date.now());
  }

  listPools(): string[] {
    return this.#entries.pools();
  }
}
