/**
 * Signed credentials: ingest tokens (one wrapper, one execution) and tickets (a browser, one
 * session). Both are HS256 JWTs, distinguished by `aud`. The first signing key signs and all
 * verify, so keys can be rotated while old credentials stay valid.
 */

import { compactVerify, decodeJwt, errors, jwtVerify, SignJWT } from 'jose';
import { ulid } from 'ulid';
import { LATE_MS_MAX, type Policy, TICKET_RIGHTS, TICKET_UNTIL_SECONDS_DEFAULT, type TicketRight } from '../../protocol/index.ts';

const ISSUER = 'holdfast';
const INGEST_AUDIENCE = 'holdfast.ingest';
const TICKET_AUDIENCE = 'holdfast.stream';

/**
 * A wrapper may return with late events until LATE_MS_MAX after the verdict. One more day covers
 * its backlog and clocks that differ.
 */
const INGEST_MARGIN_SECONDS = LATE_MS_MAX / 1000 + 24 * 60 * 60;

export interface IngestClaims {
  tenant: string;
  session: string;
  execution: string;
}

export interface TicketClaims {
  tenant: string;
  session: string;
  /** When given, the ticket reads only this execution. */
  execution?: string | undefined;
  /** When given, the ticket reads only these event types. */
  types?: string[] | undefined;
  /** What it allows. Absent, as in every ticket before 0.2.0: to read. */
  can?: TicketRight[] | undefined;
  /** Identifies the ticket in the log. Absent from a ticket before 0.2.0. */
  id?: string | undefined;
}

export type Verified<Claims> = { ok: true; claims: Claims } | { ok: false; reason: 'expired' | 'invalid' };

export function ingestTtlSeconds(policy: Policy): number {
  return Math.ceil((policy.pendingTimeoutMs + policy.maxRuntimeMs + policy.disconnectGraceMs) / 1000) + INGEST_MARGIN_SECONDS;
}

export function signIngestToken(
  keys: readonly Uint8Array[],
  claims: IngestClaims,
  ttlSeconds: number,
  now: number,
): Promise<string> {
  return sign(keys, INGEST_AUDIENCE, claims.tenant, { sid: claims.session, eid: claims.execution }, ttlSeconds, now);
}

/** `untilSeconds`: how long from now connections that use this ticket may last. */
export function signTicket(
  keys: readonly Uint8Array[],
  claims: TicketClaims,
  ttlSeconds: number,
  now: number,
  untilSeconds = ttlSeconds + TICKET_UNTIL_SECONDS_DEFAULT,
): Promise<string> {
  const until = Math.floor(now / 1000) + untilSeconds;
  return sign(
    keys,
    TICKET_AUDIENCE,
    claims.tenant,
    { sid: claims.session, eid: claims.execution, types: claims.types, can: claims.can, jti: `t_${ulid()}`, until },
    ttlSeconds,
    now,
  );
}

function sign(
  keys: readonly Uint8Array[],
  audience: string,
  tenant: string,
  claims: Record<string, unknown>,
  ttlSeconds: number,
  now: number,
): Promise<string> {
  const [key] = keys;
  if (!key) throw new Error('no signing key');
  const issuedAt = Math.floor(now / 1000);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(ISSUER)
    .setAudience(audience)
    .setSubject(tenant)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ttlSeconds)
    .sign(key);
}

export async function verifyIngestToken(keys: readonly Uint8Array[], token: string, now: number): Promise<Verified<IngestClaims>> {
  const verified = await verify(keys, INGEST_AUDIENCE, token, now);
  if (!verified.ok) return verified;
  const { sub, sid, eid } = verified.claims;
  if (typeof sub !== 'string' || typeof sid !== 'string' || typeof eid !== 'string') return { ok: false, reason: 'invalid' };
  return { ok: true, claims: { tenant: sub, session: sid, execution: eid } };
}

export async function verifyTicket(keys: readonly Uint8Array[], token: string, now: number): Promise<Verified<TicketClaims>> {
  const verified = await verify(keys, TICKET_AUDIENCE, token, now);
  if (!verified.ok) return verified;
  const { sub, sid, eid, types, can, jti } = verified.claims;
  if (typeof sub !== 'string' || typeof sid !== 'string') return { ok: false, reason: 'invalid' };
  // A restriction that cannot be parsed must not become unrestricted access.
  if (
    (eid !== undefined && typeof eid !== 'string') ||
    (types !== undefined && !isTexts(types)) ||
    (can !== undefined && !isTexts(can))
  )
    return { ok: false, reason: 'invalid' };
  // A right of a later version is no right here.
  const known = can && TICKET_RIGHTS.filter((right) => can.includes(right));
  const id = typeof jti === 'string' ? jti : undefined;
  return { ok: true, claims: { tenant: sub, session: sid, execution: eid, types, can: known, id } };
}

/**
 * When connections with this verified ticket end, in milliseconds. It is the claim `until`, in
 * seconds like `exp`; `exp` limits connecting. Tickets of 0.1.0 have no `until`. Null for a claim
 * that cannot be parsed.
 */
export function ticketUntil(ticket: string): number | null {
  const { exp = 0, until = exp + TICKET_UNTIL_SECONDS_DEFAULT } = decodeJwt(ticket);
  return typeof until === 'number' && Number.isSafeInteger(until * 1000) ? until * 1000 : null;
}

/** Whether this deployment signed the credential, of whatever kind, and expired or not. */
export async function isSigned(keys: readonly Uint8Array[], credential: string): Promise<boolean> {
  for (const key of keys) {
    try {
      await compactVerify(credential, key, { algorithms: ['HS256'] });
      return true;
    } catch {
      // Another key may have signed it.
    }
  }
  return false;
}

const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');

async function verify(
  keys: readonly Uint8Array[],
  audience: string,
  token: string,
  now: number,
): Promise<Verified<Record<string, unknown>>> {
  for (const key of keys) {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['HS256'],
        issuer: ISSUER,
        audience,
        currentDate: new Date(now),
        requiredClaims: ['exp', 'sub', 'sid'],
      });
      return { ok: true, claims: payload };
    } catch (error) {
      // The signature was valid, so another key cannot give a different answer.
      if (error instanceof errors.JWTExpired) return { ok: false, reason: 'expired' };
    }
  }
  return { ok: false, reason: 'invalid' };
}
