/**
 * Strict-Transport-Security (HTTP20): after one visit over https a browser uses https for a year,
 * for every link and network.
 *
 * Not for hosts where the header would affect others: `workers.dev` is on the preload list of
 * browsers already, and `localhost` is shared by all programs of the machine. Without
 * `includeSubDomains` for the same reason. The files of the page are served without the Worker and
 * without this header; the page's first API call gets it.
 */

export const HSTS = 'max-age=31536000';

export function hstsFor(url: string): string | null {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' || /(^|\.)(workers\.dev|localhost)$/.test(hostname)) return null;
  // The policy does not apply to IP addresses (RFC 6797, 8.1.1).
  return /^[\d.]+$|^\[/.test(hostname) ? null : HSTS;
}
