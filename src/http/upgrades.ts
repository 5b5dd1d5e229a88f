/**
 * WebSocket upgrades. Credentials and parameters are checked here, in the Worker: a refused wrapper or viewer costs no object anything.
 *
 * A wrapper can read an HTTP status, so its refusals are HTTP. A browser can not, so a viewer's refusals are an accepted socket that closes with a code.
 */

import {
  CLOSE,
  closeReason,
  type Failure,
  INGEST_SUBPROTOCOL,
  isId,
  POST_BODY_BYTES_MAX,
  STREAM_SUBPROTOCOL,
  URL_CHARS_MAX,
} from '../../protocol/index.ts';
import { failure, urlTooLong } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { type IngestClaims, verifyIngestToken } from '../platform/tokens.ts';
import { callSession } from '../session/call-object.ts';
import { REQUEST_HEADER, type SocketRequest } from '../session/coordinator.ts';
import type { Refusal } from '../session/ingest.ts';
import { closeCodeOfRefusedViewer } from '../session/operations.ts';
import { bearerOf, originAllowed } from './auth.ts';
import { readText } from './body.ts';
import { readerParams } from './params.ts';
import { authenticateReader, narrowByTicket, offeredProtocols } from './readers.ts';

export const wantsUpgrade = (request: Request): boolean => request.headers.get('upgrade')?.toLowerCase() === 'websocket';

async function upgrade(
  env: Env,
  tenant: string,
  session: string,
  wanted: SocketRequest,
  protocol: string | null,
): Promise<Response | Failure> {
  const headers: Record<string, string> = { upgrade: 'websocket', [REQUEST_HEADER]: JSON.stringify(wanted) };
  if (protocol) headers['sec-websocket-protocol'] = protocol;
  return callSession(env, tenant, session, (stub) => stub.fetch(new Request('https://session/', { headers })));
}

interface IngestPath {
  session: string;
  execution: string;
}

/** An upgrade, or what the object answered in its place. */
async function refusalIn<T>(answer: Response | Failure): Promise<T | null> {
  return 'code' in answer || answer.webSocket || answer.status !== 200 ? null : ((await answer.json()) as T);
}

/** ING1 begins here: token before upgrade before object. */
async function authenticateWrapper(
  request: Request,
  config: Config,
  path: IngestPath,
): Promise<{ ok: true; claims: IngestClaims } | Failure> {
  if (!isId(path.session) || !isId(path.execution)) return failure('bad_request', 'The path holds an id that is not valid.');
  const token = bearerOf(request);
  if (token === null) return failure('unauthorized', 'An ingest token is needed: Authorization: Bearer <token>.');
  const verified = await verifyIngestToken(config.signingKeys, token, Date.now());
  if (!verified.ok) return failure('unauthorized', `The ingest token is ${verified.reason}.`, { reason: verified.reason });
  const { session, execution } = verified.claims;
  if (session !== path.session || execution !== path.execution) {
    return failure('unauthorized', 'The ingest token belongs to another execution.', { reason: 'invalid' });
  }
  return verified;
}

export async function upgradeIngest(request: Request, env: Env, config: Config, path: IngestPath): Promise<Response | Failure> {
  const wrapper = await authenticateWrapper(request, config, path);
  if (!wrapper.ok) return wrapper;
  const { tenant, session, execution } = wrapper.claims;
  if (!wantsUpgrade(request)) return failure('upgrade_required', `Connect by WebSocket with subprotocol ${INGEST_SUBPROTOCOL}.`);
  if (!offeredProtocols(request).includes(INGEST_SUBPROTOCOL)) {
    return failure('bad_request', `The WebSocket must offer subprotocol ${INGEST_SUBPROTOCOL}.`, {
      field: 'sec-websocket-protocol',
    });
  }
  const answer = await upgrade(env, tenant, session, { kind: 'ingest', execution, answerRefusals: true }, INGEST_SUBPROTOCOL);
  const refused = await refusalIn<Refusal>(answer);
  return refused ? refusedSocket(refused.closeCode, refused.reason, INGEST_SUBPROTOCOL) : answer;
}

/** The same frames as an HTTP body; the answers come as lines. */
export async function postToIngest(request: Request, env: Env, config: Config, path: IngestPath): Promise<Response | Failure> {
  const wrapper = await authenticateWrapper(request, config, path);
  if (!wrapper.ok) return wrapper;
  const { tenant, session, execution } = wrapper.claims;
  const body = await readText(request, POST_BODY_BYTES_MAX);
  if (!body.ok) return body;
  const posted = await callSession(env, tenant, session, (stub) => stub.postIngest(execution, body.text));
  if (!posted.ok) return posted;
  return new Response(`${posted.lines.join('\n')}\n`, { headers: { 'content-type': 'application/x-ndjson' } });
}

export async function upgradeStream(request: Request, env: Env, config: Config, session: string): Promise<Response | Failure> {
  if (!wantsUpgrade(request)) return failure('upgrade_required', `Connect by WebSocket with subprotocol ${STREAM_SUBPROTOCOL}.`);
  const protocol = offeredProtocols(request).includes(STREAM_SUBPROTOCOL) ? STREAM_SUBPROTOCOL : null;
  const refuse = (code: number, reason: string): Response => refusedSocket(code, reason, protocol);
  if (request.url.length > URL_CHARS_MAX) return refuse(CLOSE.badFrame, `too_large: ${urlTooLong().message}`);
  if (!isId(session)) return refuse(CLOSE.badFrame, 'bad_request: the session id is not valid');
  if (!originAllowed(request, config)) return refuse(CLOSE.credentialRefused, 'forbidden_origin');
  const reader = await authenticateReader(request, env, config, session);
  if (!reader.ok) return refuse(reader.limited ? CLOSE.tooManyConnections : CLOSE.credentialRefused, reader.reason);
  const params = readerParams(new URL(request.url).searchParams);
  if (!params.ok) return refuse(CLOSE.badFrame, `bad_request: ${params.message}`);
  const wanted = narrowByTicket(params.request, reader.ticket);
  if (!wanted) return refuse(CLOSE.credentialRefused, 'ticket_scope');
  const answer = await upgrade(env, reader.tenant, session, { kind: 'stream', request: wanted, answerRefusals: true }, protocol);
  const refused = await refusalIn<Failure>(answer);
  return refused ? refuse(closeCodeOfRefusedViewer(refused), refused.code) : answer;
}

function refusedSocket(code: number, reason: string, protocol: string | null): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(code, closeReason(reason));
  return new Response(null, { status: 101, webSocket: client, headers: protocol ? { 'sec-websocket-protocol': protocol } : {} });
}
