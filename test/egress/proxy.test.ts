/**
 * Goal: which proxy an address is reached through, by the variables alone, and no secret in what is
 * said of them. Method: pure.
 */

import { describe, expect, it } from 'vitest';
import { describeProxy, ProxyError, proxyFor } from '../../egress/proxy.ts';

const P = 'http://proxy:3128';
const through = (target: string, env: Record<string, string>) => proxyFor(target, env)?.url.origin ?? null;

describe('which variable', () => {
  it.each([
    ['https://a.example/', { HTTPS_PROXY: P }, P],
    ['wss://a.example/', { https_proxy: P }, P],
    ['https://a.example/', { HTTP_PROXY: P }, null],
    ['http://a.example/', { HTTP_PROXY: P }, P],
    ['ws://a.example/', { http_proxy: P }, P],
    ['ws://a.example/', { HTTPS_PROXY: P }, null],
    ['https://a.example/', { https_proxy: 'http://lower:1', HTTPS_PROXY: 'http://upper:1' }, 'http://lower:1'],
    ['https://a.example/', { https_proxy: ' ', HTTPS_PROXY: P }, P],
    ['https://a.example/', { HTTPS_PROXY: 'proxy:3128' }, P],
    ['https://a.example/', { HTTPS_PROXY: 'https://proxy:3128' }, 'https://proxy:3128'],
    ['https://a.example/', {}, null],
  ] as const)('[PX1] %s with %o: %s', (target, env, expected) => {
    expect(through(target, env)).toBe(expected);
  });
});

describe('NO_PROXY', () => {
  it.each([
    ['https://a.example/', 'a.example', false],
    ['https://b.a.example/', 'a.example', false],
    ['https://b.a.example/', '.a.example', false],
    ['https://b.a.example/', '*.a.example', false],
    ['https://ba.example/', 'a.example', true],
    ['https://A.Example./', 'a.EXAMPLE', false],
    ['https://a.example/', 'x, a.example', false],
    ['https://a.example/', 'x a.example', false],
    ['https://a.example/', 'a.example:443', false],
    ['https://a.example/', 'a.example:8443', true],
    ['https://a.example:8443/', 'a.example:8443', false],
    ['https://a.example/', '*', false],
    ['https://a.example/', '', true],
    ['https://a.example/', '.', true],
    ['https://10.1.2.3/', '10.0.0.0/8', false],
    ['https://11.1.2.3/', '10.0.0.0/8', true],
    ['https://10.1.2.3/', '10.0.0.0/33', true],
    ['https://10.1.2.3/', '10.1.2.3', false],
    ['https://10.1.2.3/', '2.3', true],
    ['https://[fd00::1]/', 'fd00::/8', false],
    ['https://[fd00::1]/', '[fd00::1]:443', false],
    ['https://[fd00::1]/', 'fd00::1', false],
    ['https://a.example/', '10.0.0.0/8', true],
  ])('[PX2] %s with "%s" goes through the proxy: %s', (target, NO_PROXY, expected) => {
    expect(through(target, { HTTPS_PROXY: P, NO_PROXY }) !== null).toBe(expected);
    expect(through(target, { HTTPS_PROXY: P, no_proxy: NO_PROXY }) !== null).toBe(expected);
  });

  it.each(['http://localhost:8787/', 'http://a.localhost/', 'http://127.0.0.1/', 'http://127.9.9.9/', 'http://[::1]:1/'])(
    '[PX3] %s never does',
    (target) => {
      expect(through(target, { HTTP_PROXY: P })).toBeNull();
    },
  );
});

describe('[PX4] what is wrong', () => {
  it.each([
    ['http://user:secret@', 'HTTPS_PROXY is no URL of a proxy'],
    ['socks5://user:secret@proxy:1080', 'HTTPS_PROXY names a proxy of the kind socks5://'],
  ])('with %s is reported by the name of the variable', (HTTPS_PROXY, expected) => {
    let said = '';
    try {
      proxyFor('https://a.example/', { HTTPS_PROXY });
    } catch (error) {
      expect(error).toBeInstanceOf(ProxyError);
      said = (error as Error).message;
    }
    expect(said).toContain(expected);
    expect(said).not.toContain('secret');
  });

  it('the name of a proxy has neither user nor password', () => {
    const proxy = proxyFor('https://a.example/', { HTTPS_PROXY: 'http://user:secret@proxy:3128/path' });
    expect(proxy && describeProxy(proxy)).toBe('the proxy http://proxy:3128 (HTTPS_PROXY)');
  });
});
