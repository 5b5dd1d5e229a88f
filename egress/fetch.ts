/**
 * `fetch` for programs behind a proxy or a company's own certificate authority. Without a proxy it
 * is Node's own. Through one it is a request of `node:https` over a tunnel, because Node's fetch
 * takes no agent, and its own support for these variables is newer than the oldest supported Node.
 *
 *   EF1  A request that failed because a certificate is not trusted is retried once if the system's
 *        authorities were not loaded before (SC1).
 *   EF2  Through a proxy a redirect is never followed, whatever `redirect` says: all callers pass
 *        `manual`.
 */

import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { Readable } from 'node:stream';
import { cachedAgentFor, type TunnelAgent } from './proxy-agent.ts';
import { isUntrusted, trustSystemAuthorities } from './system-ca.ts';

type Init = Omit<RequestInit, 'body'> & { body?: string | Uint8Array | null };

export async function egressFetch(input: string | URL, init: Init = {}): Promise<Response> {
  const agent = cachedAgentFor(input);
  const send = () => (agent ? fetchThrough(agent, new URL(input), init) : fetch(input, init as RequestInit));
  try {
    return await send();
  } catch (error) {
    if (isUntrusted(error) && trustSystemAuthorities()) return send(); // EF1
    throw error;
  }
}

/** Answers without a body; `Response` refuses one for them. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

function fetchThrough(agent: TunnelAgent, url: URL, { method = 'GET', headers, body, signal }: Init): Promise<Response> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? secureRequest : plainRequest;
    const fields = Object.fromEntries(new Headers(headers));
    const request = send(url, { method, agent, headers: fields, ...(signal ? { signal } : {}) }, (response) => {
      const { statusCode = 0, rawHeaders } = response;
      const answered = new Headers();
      for (let at = 0; at + 1 < rawHeaders.length; at += 2) answered.append(rawHeaders[at] as string, rawHeaders[at + 1] as string);
      if (BODILESS.has(statusCode)) response.resume();
      const stream = BODILESS.has(statusCode) ? null : (Readable.toWeb(response) as ReadableStream<Uint8Array>);
      resolve(new Response(stream, { status: statusCode, headers: answered }));
    });
    request.once('error', reject);
    request.end(body ?? undefined);
  });
}
