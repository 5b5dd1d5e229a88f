/**
 * A receiver of callbacks on this machine, written as a user would write one: it verifies each
 * callback with the standard library and recognises a repetition by its id.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export interface Attempt {
  id: string;
  body: string;
  /** The result of the library's check. */
  verified: boolean;
  answered: number;
  at: number;
}

export class CallbackReceiver {
  readonly attempts: Attempt[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/done?token=secret-in-the-address`;
  }

  /** `answer`: the status for the n-th attempt, from 1 on; a text is a redirect target. */
  static async start(key: string, answer: (attempt: number) => number | string): Promise<CallbackReceiver> {
    const webhook = new Webhook(key);
    const server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      const headers = request.headers as Record<string, string>;
      let verified = true;
      try {
        webhook.verify(body, headers);
      } catch {
        verified = false;
      }
      const said = answer(receiver.attempts.length + 1);
      const status = typeof said === 'number' ? said : 307;
      receiver.attempts.push({ id: headers['webhook-id'] ?? '', body, verified, answered: status, at: Date.now() });
      response.writeHead(status, typeof said === 'string' ? { location: said } : {}).end('noted');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const receiver = new CallbackReceiver(server);
    return receiver;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
