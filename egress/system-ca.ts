/**
 * The system's certificate authorities, in addition to those of Node. A company's own authority is
 * often only in the system's store.
 *
 *   SC1  The store is read only after a certificate was not trusted: reading it takes a tenth of a
 *        second, and most deployments do not need it. The failure was in the handshake, so no
 *        request was sent and the attempt may be repeated.
 *   SC2  It is read once. A Node that cannot read it (before 22.19, or 23 to 24.4) has
 *        `NODE_EXTRA_CA_CERTS`, and the error says so.
 */

import tls from 'node:tls';

const UNTRUSTED: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** The error itself or its cause: fetch wraps it. */
export function isUntrusted(error: unknown): boolean {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if (UNTRUSTED.has((each as NodeJS.ErrnoException).code ?? '')) return true;
  }
  return false;
}

let read = false;

/** True when authorities were loaded that were unknown during the attempt: a retry is useful. */
export function trustSystemAuthorities(): boolean {
  if (read) return false;
  read = true;
  // Absent in older Node (SC2).
  if (typeof tls.getCACertificates !== 'function' || typeof tls.setDefaultCACertificates !== 'function') return false;
  const known = new Set(tls.getCACertificates('default'));
  const before = known.size;
  for (const certificate of tls.getCACertificates('system')) known.add(certificate);
  if (known.size === before) return false;
  tls.setDefaultCACertificates([...known]);
  return true;
}

/** After a failed attempt: the next one trusts the system's authorities, too. */
export function trustSystemIfUntrusted(error: unknown): void {
  if (isUntrusted(error)) trustSystemAuthorities();
}
