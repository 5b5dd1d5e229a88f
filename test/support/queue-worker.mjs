// A queue for plain workerd, which has the binding and the handler but nothing between them. Unlike
// the queue of `wrangler dev` it keeps its messages on disk, as the real one does: an accepted
// message survives a kill of the process, and a batch whose response was lost is delivered again.
//
// One queue, one consumer, no dead-letter queue.
import { DurableObject } from 'cloudflare:workers';

/** As in wrangler.toml. */
const BATCH_MAX = 6;

export default {
  fetch: (request, env) => env.QUEUE.get(env.QUEUE.idFromName(env.NAME)).fetch(request),
};

export class QueueObject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(
      'CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT, sent INTEGER, attempts INTEGER DEFAULT 0, due INTEGER)',
    );
  }

  async fetch(request) {
    const { sql } = this.ctx.storage;
    if (new URL(request.url).pathname !== '/message' || request.headers.get('x-msg-fmt') !== 'json')
      return new Response('one JSON message at a time', { status: 400 });
    const now = Date.now();
    const body = await request.text();
    sql.exec('INSERT INTO messages (body, sent, due) VALUES (?, ?, ?)', JSON.stringify(JSON.parse(body)), now, now);
    await this.#wake();
    const { count } = sql.exec('SELECT count(*) AS count FROM messages').one();
    return Response.json({ metadata: { metrics: { backlogCount: count, backlogBytes: 0, oldestMessageTimestamp: now } } });
  }

  async alarm() {
    const { sql } = this.ctx.storage;
    const rows = sql.exec('SELECT * FROM messages WHERE due <= ? ORDER BY due LIMIT ?', Date.now(), BATCH_MAX).toArray();
    if (rows.length > 0) await this.#deliver(rows);
    await this.#wake();
  }

  async #deliver(rows) {
    const { sql } = this.ctx.storage;
    const messages = rows.map(({ id, body, sent, attempts }) => ({
      id: String(id),
      timestamp: new Date(sent),
      body: JSON.parse(body),
      attempts: attempts + 1,
    }));
    let answer = null;
    try {
      answer = await this.env.CONSUMER.queue(this.env.NAME, messages);
    } catch (error) {
      console.error(`queue: ${error}`);
    }
    const failed = answer === null || answer.outcome !== 'ok';
    const retries = new Map((answer?.retryMessages ?? []).map(({ msgId, delaySeconds }) => [msgId, delaySeconds ?? 0]));
    for (const { id } of messages) {
      const delay = failed ? 1 : retries.get(id);
      if (delay === undefined) sql.exec('DELETE FROM messages WHERE id = ?', Number(id));
      else sql.exec('UPDATE messages SET attempts = attempts + 1, due = ? WHERE id = ?', Date.now() + delay * 1000, Number(id));
    }
  }

  async #wake() {
    const { due } = this.ctx.storage.sql.exec('SELECT min(due) AS due FROM messages').one();
    if (due !== null) await this.ctx.storage.setAlarm(Math.max(Date.now(), due));
  }
}
