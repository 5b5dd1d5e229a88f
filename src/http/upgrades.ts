/**
 * WebSocket upgrades, and the ingest over HTTP. Credentials and parameters are checked in the
 * Worker, so a refused wrapper or viewer does not reach an object.
 *
 * A wrapper can read an HTTP status, so it is refused over HTTP. A browser cannot, so a viewer is
 * refused by a socket that is accepted and then closed with a code.
 */

import {
  CLOSE,
  closeReason,
  type Failure,
  INGEST_SUBPROTOCOL,
  isId,
  POST_BODY_BYTES_MAX,
  STREAM_SUBPROTOCOL,
} from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { type IngestClaims, verifyIngestToken } from '../platform/tokens.ts';
import { callSession } from '../session/call-object.ts';
import { closeCodeOfRefusedViewer, openSocket, type Refusal, refusalIn } from '../session/contract.ts';
import { bearerToken } from './auth.ts';
import { readText } from './body.ts';
import { readerParams } from './params.ts';
import { narrowByTicket, offeredProtocols, outsideTicketScope, type Reader } from './readers.ts';

export const wantsUpgrade = (request: Request): boolean => request.headers.get('upgrade')?.toLowerCase() === 'websocket';

interface IngestPath {
  session: string;
  execution: string;
}

/** ING1: the token is checked before the upgrade, and both before the object is called. */
export async function authenticateWrapper(
  request: Request,
  config: Config,
  path: IngestPath,
): Promise<{ ok: true; claims: IngestClaims } | Failure> {
  if (!isId(path.session) || !isId(path.execution)) return failure('bad_request', 'The path holds an id that is not valid.');
  const token = bearerToken(request);
  if (token === null) return failure('unauthorized', 'An ingest token is needed: Authorization: Bearer <token>.');
  const verified = await verifyIngestToken(config.signingKeys, token, Date.now());
  if (!verified.ok) return failure('unauthorized', `The ingest token is ${verified.reason}.`, { reason: verified.reason });
  const { session, execution } = verified.claims;
  if (session !== path.session || execution !== path.execution) {
    return failure('unauthorized', 'The ingest token belongs to another execution.', { reason: 'invalid' });
  }
  return verified;
}

export async function upgradeIngest(
  request: Request,
  env: Env,
  { tenant, session, execution }: IngestClaims,
): Promise<Response | Failure> {
  if (!wantsUpgrade(request)) return failure('upgrade_required', `Connect by WebSocket with subprotocol ${INGEST_SUBPROTOCOL}.`);
  if (!offeredProtocols(request).includes(INGEST_SUBPROTOCOL)) {
    return failure('bad_request', `The WebSocket must offer subprotocol ${INGEST_SUBPROTOCOL}.`, {
      field: 'sec-websocket-protocol',
    });
  }
  const answer = await callSession(env, tenant, session, (stub) =>
    openSocket(stub, { kind: 'ingest', execution }, INGEST_SUBPROTOCOL),
  );
  if ('code' in answer) return answer;
  const refused = await refusalIn<Refusal>(answer);
  return refused ? refusedSocket(refused.closeCode, refused.reason, INGEST_SUBPROTOCOL) : answer;
}

/** The same frames as an HTTP body; the answers are lines. */
export async function postToIngest(
  request: Request,
  env: Env,
  { tenant, session, execution }: IngestClaims,
): Promise<Response | Failure> {
  const body = await readText(request, POST_BODY_BYTES_MAX);
  if (!body.ok) return body;
  const posted = await callSession(env, tenant, session, (stub) => stub.postIngest(execution, body.text));
  if (!posted.ok) return posted;
  return new Response(`${posted.lines.join('\n')}\n`, { headers: { 'content-type': 'application/x-ndjson' } });
}

export async function upgradeStream(request: Request, { caller, ticket }: Reader, session: string): Promise<Response | Failure> {
  const params = readerParams(new URL(request.url).searchParams);
  if (!params.ok) return refuseViewer(request, params);
  const wanted = narrowByTicket(params.request, ticket);
  if (!wanted) return refuseViewer(request, outsideTicketScope());
  const protocol = streamProtocol(request);
  const answer = await callSession(caller.env, caller.tenant, session, (stub) =>
    openSocket(stub, { kind: 'stream', request: wanted }, protocol),
  );
  if ('code' in answer) return answer;
  const refused = await refusalIn<Failure>(answer);
  return refused ? refusedSocket(closeCodeOfRefusedViewer(refused), refused.code, protocol) : answer;
}

/** Refuses a viewer's upgrade before its session is asked, by a close code (STR1). */
export function refuseViewer(request: Request, { code, message, facts }: Failure): Response {
  const protocol = streamProtocol(request);
  switch (code) {
    case 'rate_limited':
      return refusedSocket(CLOSE.tooManyConnections, code, protocol);
    case 'forbidden_origin':
      return refusedSocket(CLOSE.credentialRefused, code, protocol);
    case 'unauthorized':
      return refusedSocket(CLOSE.credentialRefused, String(facts?.reason), protocol);
    default:
      return refusedSocket(CLOSE.badFrame, `${code}: ${message}`, protocol);
  }
}

const streamProtocol = (request: Request): string | null =>
  offeredProtocols(request).includes(STREAM_SUBPROTOCOL) ? STREAM_SUBPROTOCOL : null;

function refusedSocket(code: number, reason: string, protocol: string | null): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(code, closeReason(reason));
  return new Response(null, { status: 101, webSocket: client, headers: protocol ? { 'sec-websocket-protocol': protocol } : {} });
}
