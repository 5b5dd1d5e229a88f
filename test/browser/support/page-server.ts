/**
 * A page of its own origin, as an application would have that shows runs: one script, and a backend
 * that holds the API key and mints tickets for it.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export type MintTicket = (ttlSeconds: number) => Promise<string>;

export class PageServer {
  readonly url: string;
  /** Set by the test once there is something to mint for. */
  mint: MintTicket = () => Promise.reject(new Error('no tickets yet'));
  tickets = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** `script`: a module in test/browser/pages. */
  static async start(script: string): Promise<PageServer> {
    const entry = fileURLToPath(new URL(`../pages/${script}`, import.meta.url));
    const bundled = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false, target: 'chrome120' });
    const text = bundled.outputFiles[0]?.text ?? '';
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const own = new PageServer(server);
    server.on('request', async ({ url }, response) => {
      const { pathname, searchParams } = new URL(url ?? '/', own.url);
      if (pathname === '/page.js') response.setHeader('content-type', 'text/javascript').end(text);
      else if (pathname === '/') response.setHeader('content-type', 'text/html').end(PAGE);
      else if (pathname === '/ticket') {
        const minted = await own.mint(Number(searchParams.get('ttl'))).catch(() => null);
        own.tickets += 1;
        if (minted === null) response.writeHead(503).end();
        else response.end(minted);
      } else response.writeHead(404).end();
    });
    return own;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Viewers</title><link rel="icon" href="data:,">
<script type="module" src="/page.js"></script></head><body><h1>Viewers</h1></body></html>`;
