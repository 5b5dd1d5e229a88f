/**
 * What the runtime can do: an object that takes messages, inserts them, broadcasts them and acks
 * them, and checks nothing. It is not a usable log: no dedupe, no fence, no credential, no
 * lifecycle, no position of a viewer. It is the baseline for the cost of all of these.
 *
 * The mode is in the path, `/{object}/{mode}/{role}`:
 *   message    one insert, one broadcast and one ack per message, whatever it holds
 *   lines      one insert per event of the message, one broadcast and one ack per message
 *   event      one message, one insert, one broadcast, one ack per event: how such systems are
 *              usually written
 *   broadcast  no insert at all: what sending alone costs
 */

import { DurableObject } from 'cloudflare:workers';

interface Env {
  FLOOR: DurableObjectNamespace<Floor>;
}

type Mode = 'message' | 'lines' | 'event' | 'broadcast';

const READER = 'reader';
const writerTag = (mode: Mode): string => `writer:${mode}`;
/**
 * Rows of one turn of a replay. The same as Holdfast's round in bytes, for events of about 200 B.
 */
const REPLAY_TURN_BYTES = 1024 * 1024;

export class Floor extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  #acked = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec('CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  override fetch(request: Request): Response {
    const [, , mode, role] = new URL(request.url).pathname.split('/');
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [role === 'write' ? writerTag(mode as Mode) : role === 'replay' ? 'replay' : READER]);
    if (role === 'replay') this.ctx.waitUntil(this.#replay(server));
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(ws: WebSocket, message: string): void {
    const [tag] = this.ctx.getTags(ws);
    switch (tag) {
      case writerTag('message'):
        this.#sql.exec('INSERT INTO log (body) VALUES (?)', message);
        break;
      case writerTag('lines'):
        for (const line of message.split('\n')) this.#sql.exec('INSERT INTO log (body) VALUES (?)', line);
        break;
      case writerTag('event'):
        // The result must be used.
        JSON.parse(message);
        this.#sql.exec('INSERT INTO log (body) VALUES (?)', message);
        break;
      case writerTag('broadcast'):
        break;
      default:
        return;
    }
    this.#acked += 1;
    ws.send(`{"type":"ack","seq":${this.#acked}}`);
    for (const reader of this.ctx.getWebSockets(READER)) reader.send(message);
  }

  override webSocketClose(ws: WebSocket): void {
    ws.close(1000, '');
  }

  /** A cursor and a send, in turns of the same size as Holdfast's. */
  async #replay(ws: WebSocket): Promise<void> {
    let last = 0;
    for (;;) {
      let bytes = 0;
      for (const { id, body } of this.#sql.exec<{ id: number; body: string }>(
        'SELECT id, body FROM log WHERE id > ? ORDER BY id',
        last,
      )) {
        ws.send(body);
        last = id;
        bytes += body.length;
        if (bytes >= REPLAY_TURN_BYTES) break;
      }
      if (bytes === 0) break;
      await scheduler.wait(1);
    }
    ws.send('done');
  }

  /** How many rows there are, and what one insert of the mode writes, counted by the runtime. */
  rowsWrittenByInsert(): number {
    return this.#sql.exec('INSERT INTO log (body) VALUES (?)', 'x').rowsWritten;
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === '/healthz') return new Response('ok');
    const [, object = ''] = pathname.split('/');
    const stub = env.FLOOR.getByName(object);
    if (pathname.endsWith('/rows')) return Response.json(await stub.rowsWrittenByInsert());
    return stub.fetch(request);
  },
} satisfies ExportedHandler<Env>;
