/**
 * Where a callback may go. A caller chooses the address and the deployment makes the request, so
 * without this check an API key would give access to the deployment's network (SSRF).
 *
 * The host is checked by name, at the start of an execution and before every attempt. A name that
 * resolves to a private address is not detected. On Cloudflare, a Worker's fetch has no route to
 * such an address; elsewhere the operator must block it in the network. Redirects are never
 * followed.
 */

import { isPublicIp, parseIp } from '../../protocol/ip-address.ts';

/** Why this URL is refused, as a clause that follows "callback.url: "; null when it is allowed. */
export function checkCallbackUrl(text: string, allowPrivate: boolean): string | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'is not a URL';
  }
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or password: it would be kept and shown';
  if (allowPrivate) return url.protocol === 'https:' || url.protocol === 'http:' ? null : 'must begin with http:// or https://';
  if (url.protocol !== 'https:') return 'must begin with https://';
  if (isPrivateHost(url.hostname)) return 'must not be a private or loopback address';
  return null;
}

/** Names that are never public: RFC 6761, RFC 6762, RFC 8375, and ICANN's .internal. */
const PRIVATE_NAME =
  /(^|\.)(localhost|localdomain|local|internal|intranet|lan|home|corp|private|home\.arpa|test|invalid|onion|alt)$/;

/**
 * `hostname` of a parsed URL: the parser has converted every spelling of an IPv4 address (hex,
 * octal, one number) to four decimal numbers.
 */
function isPrivateHost(hostname: string): boolean {
  // A name may end with a dot, and the parser accepts several.
  const host = hostname.toLowerCase().replace(/\.+$/, '');
  const ip = parseIp(host.replace(/^\[(.*)\]$/, '$1'));
  if (ip) return !isPublicIp(ip);
  // A name has a dot and no bracket. In brackets is only an address, and this one was not parsed.
  return !host.includes('.') || host.startsWith('[') || PRIVATE_NAME.test(host);
}
