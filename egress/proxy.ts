/**
 * The proxy for an address, from the variables that other programs read too. Pure: the environment
 * is an argument.
 *
 *   PX1  `HTTPS_PROXY` is for https:// and wss://, `HTTP_PROXY` for http:// and ws://. The
 *        lower-case name wins, as in curl.
 *   PX2  `NO_PROXY` names hosts that are reached directly, separated by commas: `*`, `host` (and
 *        all below it), `.host`, `host:port`, an IP address, or a network such as `10.0.0.0/8`.
 *   PX3  Loopback (`localhost`, 127.0.0.0/8, ::1) never uses a proxy: the proxy's loopback is
 *        another machine. Go programs do the same.
 *   PX4  A problem with a variable is reported by the variable's name. Its value may contain a
 *        password and is never shown.
 */

import { BlockList, isIP } from 'node:net';
import { isLoopbackHost } from '../protocol/ip-address.ts';

export interface EgressProxy {
  /** With user and password, if given. */
  url: URL;
  /** The variable that it comes from. */
  variable: string;
}

/**
 * A problem of the variable or of the proxy: the connection was not made. The message names the
 * cause and the next step, and no secret.
 */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: 'proxy_setting' | 'proxy_unreachable' | 'proxy_refused' | 'proxy_silent';

  /**
   * Without a `cause`: a caller that describes an error by its innermost cause would report a
   * refused connection without naming the proxy.
   */
  constructor(code: ProxyError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** Null: directly. Throws a ProxyError when the variable cannot be used. */
export function proxyFor(target: string | URL, env: Environment): EgressProxy | null {
  const { protocol, hostname, port } = new URL(String(target).replace(/^ws/, 'http'));
  const host = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  if (isLoopbackHost(host) || host.endsWith('.localhost')) return null; // PX3
  // PX1
  const variable = firstSet(protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY'], env);
  if (variable === null) return null;
  const exceptions = firstSet(['no_proxy', 'NO_PROXY'], env);
  if (exceptions !== null && isExcepted(host, port || (DEFAULT_PORTS[protocol] ?? ''), env[exceptions] ?? '')) return null;
  return { url: readProxy(variable, env[variable] ?? ''), variable };
}

/** For people: without user, password and path. */
export const describeProxy = ({ url, variable }: EgressProxy): string => `the proxy ${url.protocol}//${url.host} (${variable})`;

function readProxy(variable: string, value: string): URL {
  const text = value.trim();
  const url = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(url))
    // PX4
    throw new ProxyError('proxy_setting', `${variable} is no URL of a proxy; it must look like http://host:port`);
  const parsed = new URL(url);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new ProxyError(
      'proxy_setting',
      `${variable} names a proxy of the kind ${parsed.protocol}//; only http:// and https:// can be used`,
    );
  }
  return parsed;
}

const firstSet = (names: readonly string[], env: Environment): string | null =>
  names.find((name) => (env[name] ?? '').trim() !== '') ?? null;

const familyOf = (host: string): 'ipv4' | 'ipv6' => (isIP(host) === 6 ? 'ipv6' : 'ipv4');

/** PX2 */
function isExcepted(host: string, port: string, list: string): boolean {
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      if (entry.includes('/')) return isInNetwork(host, entry);
      const [, bracketed, name, wantedPort] = /^(?:\[([^\]]+)\]|([^:]*|.*:.*:.*))(?::(\d+))?$/.exec(entry) ?? [];
      if (wantedPort !== undefined && wantedPort !== port) return false;
      const wanted = (bracketed ?? name ?? '').replace(/^\*?\./, '').replace(/\.$/, '');
      if (wanted === '') return false;
      return host === wanted || (isIP(host) === 0 && host.endsWith(`.${wanted}`));
    });
}

function isInNetwork(host: string, network: string): boolean {
  const [address = '', prefix = ''] = network.split('/');
  if (isIP(host) === 0 || isIP(address) === 0 || !/^\d{1,3}$/.test(prefix)) return false;
  if (Number(prefix) > (isIP(address) === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), familyOf(address));
  return list.check(host, familyOf(host));
}
