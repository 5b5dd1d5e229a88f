/**
 * Goal: what carries a credential, a job's variables or its stdin goes to the address that was
 * configured and nowhere else: no redirect is followed.
 * Method: two real HTTP servers on two ports, which are two origins. The first answers with a
 * redirect to the second; the second must never be asked.
 * Callbacks are in workers/callbacks/callback-delivery.test.ts and, against a real receiver, in
 * e2e/callbacks.long.test.ts; a wrapper's POST is in wrapper/post-transport.long.test.ts.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectWithWs } from '../../cli/web-socket.ts';
import { createClient, HoldfastError } from '../../client/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { freePort } from '../../scripts/stack.ts';
import { launchOnRunner } from '../../src/launch/runner.ts';
import { WRAPPER_TIMES } from '../../wrapper/times.ts';
import { Connection } from '../../wrapper/transport/connection.ts';
import { fixedCredential } from '../../wrapper/transport/credential.ts';
import { websocketUrl } from '../../wrapper/transport/transport.ts';
import { keptLog } from '../support/wrapper-run.ts';

const REDIRECTS = [301, 302, 303, 307, 308];

const request: LaunchRequest = {
  id: 'e1',
  tenant: 'acme',
  session: 's1',
  command: ['job'],
  env: { SECRET: 'sesame-open' },
  stdin: 'the stdin of the job',
  openStdin: false,
  format: 'text',
  ingest: { url: 'https://holdfast.test/v1/sessions/s1/executions/e1/ingest', token: 'the-ingest-token' },
};

let status = 307;
let redirecting: Server;
let elsewhere: Server;
let asked: string[] = [];
let elsewhereAsked: { method: string | undefined; headers: Record<string, unknown>; body: string }[] = [];

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function listening(server: Server): Promise<Server> {
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  return server;
}

beforeEach(async () => {
  asked = [];
  elsewhereAsked = [];
  elsewhere = await listening(
    createServer((incoming, response) => {
      let body = '';
      incoming.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      incoming.on('end', () => {
        elsewhereAsked.push({ method: incoming.method, headers: incoming.headers, body });
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[],"next":null}');
      });
    }),
  );
  redirecting = await listening(
    createServer((incoming, response) => {
      asked.push(incoming.url ?? '');
      incoming.resume();
      incoming.on('end', () => response.writeHead(status, { location: `${urlOf(elsewhere)}/elsewhere` }).end());
    }),
  );
});

afterEach(() => {
  for (const server of [redirecting, elsewhere]) {
    server.close();
    server.closeAllConnections();
  }
});

describe('[HTTP30] a launch', () => {
  it.each(REDIRECTS)('is not followed after a %i, and the failure reports it', async (answer) => {
    status = answer;
    const runner = { url: urlOf(redirecting), token: 'the-runner-token', send: fetch };
    const outcome = await launchOnRunner(runner, request, Date.now());
    expect(elsewhereAsked).toEqual([]);
    expect(asked).toEqual(['/executions']);
    expect(outcome).toMatchObject({ kind: 'failed', message: expect.stringContaining(`answered ${answer}, a redirect`) });
    expect(JSON.stringify(outcome)).not.toContain(urlOf(elsewhere));
  });
});

/** Upgrades are answered with a redirect by the first server, and counted by the second. */
function redirectUpgrades(): { elsewhere: number } {
  const seen = { elsewhere: 0 };
  redirecting.on('upgrade', (_, socket) => {
    socket.end(`HTTP/1.1 ${status} Moved\r\nlocation: ${websocketUrl(urlOf(elsewhere))}/\r\ncontent-length: 0\r\n\r\n`);
  });
  elsewhere.on('upgrade', (_, socket) => {
    seen.elsewhere += 1;
    socket.destroy();
  });
  return seen;
}

describe('a WebSocket', () => {
  it.each(REDIRECTS)('of the command line that is answered %i goes no further', async (answer) => {
    status = answer;
    const seen = redirectUpgrades();
    const end = await new Promise((resolve) => {
      connectWithWs(
        { url: websocketUrl(urlOf(redirecting)), protocols: [], headers: { authorization: 'Bearer the-api-key' } },
        { open: () => resolve('open'), message: () => {}, close: resolve },
      );
    });
    expect(end).toMatchObject({ refusal: { status: answer } });
    expect(seen.elsewhere).toBe(0);
  });

  it.each(REDIRECTS)('of a wrapper that is answered %i goes no further', async (answer) => {
    status = answer;
    const seen = redirectUpgrades();
    const why = await new Promise((resolve) => {
      const connection = new Connection({
        url: websocketUrl(urlOf(redirecting)),
        credential: fixedCredential('the-ingest-token'),
        times: WRAPPER_TIMES,
        log: keptLog(),
        tryAlternative: (loss) => {
          connection.close().then(() => resolve(loss));
          return true;
        },
        handlers: {
          hello: () => ({ type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 1, lost: 0 }),
          welcome: () => {},
          frame: () => {},
          down: () => {},
          ended: resolve,
        },
      });
      connection.open();
    });
    expect(why).toMatchObject({ kind: 'status', status: answer });
    expect(seen.elsewhere).toBe(0);
  });
});

describe('a call of the client', () => {
  it.each(REDIRECTS)('is not followed after a %i, and the error names the setting', async (answer) => {
    status = answer;
    const client = createClient({ url: urlOf(redirecting), apiKey: 'the-api-key', retryBudgetMs: 0 });
    const error = await client.start('s1', { command: ['job'], env: { SECRET: 'sesame-open' } }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(elsewhereAsked).toEqual([]);
    expect(error).toBeInstanceOf(HoldfastError);
    expect(error).toMatchObject({ code: 'bad_answer', status: answer, retryable: true });
    expect((error as HoldfastError).message).toContain(`redirect to ${urlOf(elsewhere)}`);
    // An intermediary answered (CLS16), so it is retried while the budget lasts, and here the
    // budget is zero.
    expect(asked).toHaveLength(1);
  });

  it('is not redirected in a browser either, which does not reveal the target', async () => {
    const given: RequestInit[] = [];
    const opaque = async (_: unknown, init?: RequestInit): Promise<Response> => {
      given.push(init ?? {});
      return Object.defineProperties(new Response(null), { type: { value: 'opaqueredirect' }, status: { value: 0 } });
    };
    const client = createClient({ url: 'https://holdfast.test', apiKey: 'the-api-key', fetch: opaque, retryBudgetMs: 0 });
    await expect(client.sessions()).rejects.toMatchObject({ code: 'bad_answer', message: expect.stringContaining('redirect') });
    expect(given).toMatchObject([{ redirect: 'manual' }]);
  });
});
