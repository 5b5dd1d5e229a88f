/**
 * IP addresses, parsed by `ipaddr.js`: what is public, what is loopback, and by which key a client
 * is counted. Not exported from index.ts: the client does not carry the library.
 *
 * An IPv4 address inside an IPv6 address (`::ffff:1.2.3.4`) is that IPv4 address. A zone
 * (`fe80::1%eth0`) is ignored. Text that is no address is `null`, and every caller treats it as
 * the less trusted case.
 */

import ipaddr from 'ipaddr.js';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** Of IPv4 only four decimal numbers are accepted: `127.1` and `0x7f000001` are null. */
export function parseIp(text: string): IpAddress | null {
  if (!text.includes(':')) return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : null;
  // The library accepts only letters and digits in a zone; the system also has `br-0` and `eth0.1`.
  const [address = ''] = text.split('%', 1);
  return ipaddr.IPv6.isValid(address) ? ipaddr.process(address) : null;
}

export const isLoopbackIp = (address: IpAddress): boolean => address.range() === 'loopback';

/** `host` as an argument or as the `hostname` of a URL, where an IPv6 address is in brackets. */
export function isLoopbackHost(host: string): boolean {
  const address = parseIp(host.replace(/^\[(.*)\]$/, '$1'));
  return address ? isLoopbackIp(address) : host.toLowerCase() === 'localhost';
}

/** The key of an address that cannot be parsed: all of them are counted together. */
const UNPARSEABLE_KEY = 'unparseable';

/**
 * The key by which a client is counted: an IPv4 address as it is; of an IPv6 address the first 64
 * bits, because that prefix belongs to one customer, who may use any address in it.
 */
export function clientKey(address: IpAddress | null): string {
  if (!address) return UNPARSEABLE_KEY;
  if (address instanceof ipaddr.IPv4) return address.toString();
  const prefix = address.parts.slice(0, 4).map((group) => group.toString(16));
  return `${prefix.join(':')}::/64`;
}

/** Ranges that IANA's special-purpose registry calls not globally reachable, and multicast. */
const PRIVATE_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
].map((range) => ipaddr.IPv4.parseCIDR(range));

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** Within global unicast: Teredo, ORCHID and others in 2001::/23; then documentation. */
const PRIVATE_IPV6 = ['2001::/23', '2001:db8::/32', '3fff::/20'].map((range) => ipaddr.IPv6.parseCIDR(range));

/** Prefixes whose addresses embed an IPv4 address, and the byte at which it begins. */
const EMBEDS_IPV4 = [
  { range: ipaddr.IPv6.parseCIDR('64:ff9b::/96'), at: 12 }, // NAT64
  { range: ipaddr.IPv6.parseCIDR('2002::/16'), at: 2 }, // 6to4
];

/**
 * Whether an address is globally reachable. Of IPv6 only global unicast is, without the ranges
 * above and without addresses that embed a private IPv4 address.
 */
export function isPublicIp(address: IpAddress): boolean {
  if (address instanceof ipaddr.IPv4) return !PRIVATE_IPV4.some((range) => address.match(range));
  const embedding = EMBEDS_IPV4.find(({ range }) => address.match(range));
  if (embedding) return isPublicIp(new ipaddr.IPv4(address.toByteArray().slice(embedding.at, embedding.at + 4)));
  return address.match(GLOBAL_UNICAST) && !PRIVATE_IPV6.some((range) => address.match(range));
}
