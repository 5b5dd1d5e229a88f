/**
 * Where a callback may go. A caller chooses the address and the deployment makes the request, so
 * without this check an API key would give access to the deployment's network (SSRF).
 *
 * The host is checked by name, at the start of an execution and before every attempt. A name that
 * resolves to a private address is not detected. On Cloudflare, a Worker's fetch has no route to
 * such an address; elsewhere the operator must block it in the network. Redirects are never
 * followed.
 */

/** Why this URL is refused, as a clause that follows "callback.url: "; null when it is allowed. */
export function refusalOfAddress(text: string, allowPrivate: boolean): string | null {
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
  if (host.startsWith('[')) return isPrivateIpv6(host.slice(1, -1));
  const ipv4 = ipv4Of(host);
  if (ipv4) return isPrivateIpv4(ipv4);
  return !host.includes('.') || PRIVATE_NAME.test(host);
}

type Ipv4 = readonly [number, number, number, number];

function ipv4Of(text: string): Ipv4 | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])] : null;
}

/** Addresses that IANA's special-purpose registry calls not globally reachable, and multicast. */
function isPrivateIpv4([a, b, c]: Ipv4): boolean {
  if (a === 0 || a === 10 || a === 127 || a >= 224) return true;
  if (a === 100) return b >= 64 && b <= 127;
  if (a === 169) return b === 254;
  if (a === 172) return b >= 16 && b <= 31;
  if (a === 192) return b === 168 || (b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99);
  if (a === 198) return b === 18 || b === 19 || (b === 51 && c === 100);
  return a === 203 && b === 0 && c === 113;
}

/**
 * Only global unicast (2000::/3) is public, without documentation ranges and without addresses that
 * embed a private IPv4 address.
 */
function isPrivateIpv6(text: string): boolean {
  const groups = groupsOf(text);
  if (!groups) return true;
  const [first = 0, second = 0, third = 0] = groups;
  const [high = 0, low = 0] = groups.slice(6);
  const last: Ipv4 = [high >> 8, high & 0xff, low >> 8, low & 0xff];
  // NAT64 (64:ff9b::/96) and mapped addresses (::ffff:0:0/96) embed an IPv4 address.
  const zeros = groups.slice(0, 5).every((group) => group === 0);
  const nat64 = first === 0x64 && second === 0xff9b && groups.slice(2, 6).every((group) => group === 0);
  if (nat64 || (zeros && groups[5] === 0xffff)) return isPrivateIpv4(last);
  if (first >> 13 !== 1) return true;
  // 6to4: the IPv4 address is in the second and third group.
  if (first === 0x2002) return isPrivateIpv4([second >> 8, second & 0xff, third >> 8, third & 0xff]);
  // Teredo, ORCHID and others in 2001::/23; documentation in 2001:db8::/32 and 3fff::/20.
  if (first === 0x2001) return second < 0x200 || second === 0xdb8;
  return first === 0x3fff && second < 0x1000;
}

function groupsOf(text: string): number[] | null {
  const [head = '', tail, more] = text.split('::');
  if (more !== undefined) return null;
  const parse = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const before = parse(head);
  const after = parse(tail ?? '');
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...before, ...Array.from({ length: missing }, () => 0), ...after];
  return groups.every((group) => Number.isInteger(group) && group >= 0 && group <= 0xffff) ? groups : null;
}
