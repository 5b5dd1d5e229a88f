/**
 * Strict-Transport-Security (HTTP20): once a browser was here by https, it comes by https for a year, whatever a link or a network says.
 *
 * Not where it would act on others: a host of `workers.dev` is preloaded by browsers already, and `localhost` belongs to every program of the machine. Without
 * `includeSubDomains`, for the same reason. The files of the page are served without the Worker and carry none; the page's first call does.
 */

export const HSTS = 'max-age=31536000';

export function hstsFor(url: string): string | null {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' || /(^|\.)(workers\.dev|localhost)$/.test(hostname)) return null;
  // An address has no such policy (RFC 6797, 8.1.1).
  return /^[\d.]+$|^\[/.test(hostname) ? null : HSTS;
}
