/**
 * The API of a product that builds repositories. Holdfast runs the builds. Clients see nothing of
 * it except tickets.
 *
 *    build.ts     the names of a build, and its representation
 *    holdfast.ts  calls that may fail: what is retried, what is answered
 *    webhook.ts   the callback by which Holdfast reports the end of a build
 */

import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { type BuildName, buildId, buildOf, checkKey, idOf, nameOf, startBody } from './build.ts';
import type { Env } from './env.ts';
import { calling, refusalOf } from './holdfast.ts';
import { readNotice } from './webhook.ts';

const BUILD_MS_MAX = 30 * 60_000;
const TICKET_SECONDS = 60;

const app = new Hono<{ Bindings: Env }>();

const refuse = (status: 400 | 401 | 404, error: string, message: string): HTTPException =>
  new HTTPException(status, { res: Response.json({ error, message }, { status }) });

function named(id: string): BuildName {
  const name = nameOf(id);
  if (!name) throw refuse(404, 'no_such_build', 'There is no such build.');
  return name;
}

/**
 * Starts a build, or finds the one of the same `Idempotency-Key`. Builds of one repository run one
 * at a time.
 */
app.post('/builds', async (c) => {
  const body = startBody.safeParse(await c.req.json().catch(() => null));
  if (!body.success) throw refuse(400, 'bad_request', 'The body must be {"repository": "owner/name", "ref": "…"}.');
  const { repository, ref } = body.data;
  const key = checkKey(c.req.header('idempotency-key') ?? `b-${crypto.randomUUID()}`);
  if (!key) throw refuse(400, 'bad_request', 'Idempotency-Key must be 1 to 64 letters, digits or hyphens.');
  const { session, execution } = buildId(repository, key);
  const { HOLDFAST, BUILD_COMMAND, PUBLIC_URL } = c.env;
  const started = await calling(() =>
    HOLDFAST.startExecution(session, {
      // With an id chosen here a start may be repeated and still starts one build.
      id: execution,
      command: BUILD_COMMAND,
      env: { REPOSITORY: repository, REF: ref },
      labels: { repository, ref },
      onBusy: 'queue',
      policy: { maxRuntimeMs: BUILD_MS_MAX },
      callback: { url: `${PUBLIC_URL}/webhooks/holdfast` },
    }),
  );
  if (!started.ok) return refusalOf(started);
  const build = buildOf(started.execution);
  return c.json(build, started.created ? 201 : 200, { location: `/builds/${build.id}` });
});

/**
 * `?wait=30`: responds when the build has ended, or after that many seconds with its current state.
 */
app.get('/builds/:id', async (c) => {
  const { session, execution } = named(c.req.param('id'));
  const waitSeconds = Math.min(30, Number(/^\d{1,3}$/.exec(c.req.query('wait') ?? '')?.[0] ?? 0));
  const found = await calling(() => c.env.HOLDFAST.getExecution(session, execution, { waitSeconds }));
  if (!found.ok) return refusalOf(found);
  const build = buildOf(found.execution);
  return c.json({ ...build, notice: await c.env.NOTICES.get(build.id, 'json') });
});

/** 202: the build was asked to stop. 200: it has ended, now or earlier. */
app.post('/builds/:id/cancel', async (c) => {
  const { session, execution } = named(c.req.param('id'));
  const asked = await calling(() => c.env.HOLDFAST.interruptExecution(session, execution, { reason: 'cancelled' }));
  if (!asked.ok) return refusalOf(asked);
  return c.json(buildOf(asked.execution), asked.accepted && !asked.settled ? 202 : 200);
});

/** What a browser needs to follow this one build directly at Holdfast. */
app.get('/builds/:id/ticket', async (c) => {
  const { session, execution } = named(c.req.param('id'));
  const made = await calling(() => c.env.HOLDFAST.createTicket(session, { execution, ttlSeconds: TICKET_SECONDS }));
  if (!made.ok) return refusalOf(made);
  const { ticket, expiresAt } = made;
  return c.json({ url: c.env.HOLDFAST_URL, session, execution, ticket, expiresAt }, 200, { 'cache-control': 'no-store' });
});

/**
 * Arrives at least once per build, and may be repeated. The same notice is written each time, so a
 * repetition changes nothing.
 */
app.post('/webhooks/holdfast', async (c) => {
  const read = readNotice(c.env.CALLBACK_SECRET, c.req.header(), await c.req.text());
  switch (read.kind) {
    case 'forged':
      throw refuse(401, 'unauthorized', 'The signature is not ours.');
    case 'ended': {
      const { notice, execution } = read;
      await c.env.NOTICES.put(idOf(execution), JSON.stringify(notice));
      break;
    }
    case 'other': // Of a later version: acknowledged, or it would be retried for days.
      break;
    default:
      read satisfies never;
  }
  return c.body(null, 204);
});

app.notFound((c) => c.json({ error: 'not_found', message: 'There is nothing at this path.' }, 404));

export default app;
