/**
 * CORS of the routes that take a ticket (STR27). Not hono/cors: it answers every OPTIONS, preflight
 * or not, and sends its exposed headers to every origin.
 */

import type { Config } from '../platform/config.ts';
import { originAllowed } from './auth.ts';

const EXPOSED = 'etag, retry-after, stream-closed, stream-cursor, stream-next-offset, stream-up-to-date, x-request-id';

/**
 * Lets a page of an allowed origin see the answer. A page of another origin gets no CORS headers.
 */
export function withCors(request: Request, config: Config, response: Response): Response {
  response.headers.append('vary', 'Origin');
  const origin = request.headers.get('origin');
  if (origin === null || !originAllowed(request, config)) return response;
  response.headers.set('access-control-allow-origin', origin);
  response.headers.set('access-control-expose-headers', EXPOSED);
  return response;
}

/**
 * Answers a preflight, which carries no credential. Null when the request is no preflight, or comes
 * from an origin that is not allowed.
 */
export function preflight(request: Request, config: Config, methods: string): Response | null {
  const asks = request.method === 'OPTIONS' && request.headers.has('access-control-request-method');
  if (!asks || !originAllowed(request, config)) return null;
  const headers = {
    'access-control-allow-methods': methods,
    'access-control-allow-headers': 'authorization, content-type, if-none-match, last-event-id',
    'access-control-max-age': '600',
  };
  return withCors(request, config, new Response(null, { status: 204, headers }));
}
