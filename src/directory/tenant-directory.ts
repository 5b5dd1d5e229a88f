/**
 * The Durable Object that lists a tenant's sessions, one for each tenant, named as it. It asks nobody and owns nothing: each session tells it what it is
 * (session/outbox.ts), and tells it again after a time, so that one that was lost fills itself.
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
}
