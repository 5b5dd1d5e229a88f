/**
 * Goal: every program decides the same about an address, and text that is no address is never
 * trusted. Method: tables at the edges of each range.
 */

import { describe, expect, test } from 'vitest';
import { clientKey, isLoopbackHost, isPublicIp, parseIp } from '../../protocol/ip-address.ts';

describe('parseIp', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['0:0:0:0:0:ffff:c000:207', '192.0.2.7'],
    ['::ffff:0:192.0.2.7', '::ffff:0:c000:207'],
    ['fe80::1%eth0', 'fe80::1'],
    ['fe80::1%br-0.7', 'fe80::1'],
    ['::', '::'],
  ])('%s is %s', (text, address) => {
    expect(parseIp(text)?.toString()).toBe(address);
  });

  test.each([
    '',
    ' ',
    '127.1',
    '0x7f000001',
    '2130706433',
    '0177.0.0.1',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4.5',
    '1.2.3.4 ',
    '1.2.3.4%eth0',
    '1.2.3.4:80',
    'localhost',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    '::g',
    '[::1]',
    '::ffff:256.0.0.1',
    '%eth0',
  ])('"%s" is no address', (text) => {
    expect(parseIp(text)).toBeNull();
  });
});

test.each([
  ['8.8.8.8', true],
  ['223.255.255.255', true],
  ['224.0.0.0', false],
  // IPv4-mapped, ::ffff:0:0/96.
  ['::ffff:8.8.8.8', true],
  ['::ffff:10.0.0.1', false],
  ['::ffff:255.255.255.255', false],
  // NAT64, 64:ff9b::/96, and the local prefix beside it.
  ['64:ff9b::8.8.8.8', true],
  ['64:ff9b::10.0.0.1', false],
  ['64:ff9b::1:8.8.8.8', false],
  ['64:ff9b:1::8.8.8.8', false],
  // 6to4.
  ['2002:808:808::1', true],
  ['2002:a00:1::1', false],
  // Unique local, link-local, site-local, multicast.
  ['fbff:ffff::1', false],
  ['fc00::', false],
  ['fdff:ffff::1', false],
  ['fe80::1', false],
  ['fe80::1%eth0', false],
  ['febf:ffff::1', false],
  ['fec0::1', false],
  ['ff02::1', false],
  // Global unicast and its edges.
  ['1fff:ffff::1', false],
  ['2001:1ff:ffff::1', false],
  ['2001:200::', true],
  ['2001:db7:ffff::1', true],
  ['2001:db8::1', false],
  ['2001:db9::', true],
  ['3ffe:ffff::1', true],
  ['3fff:fff:ffff::1', false],
  ['3fff:1000::', true],
  ['4000::', false],
])('%s: public is %s', (text, expected) => {
  const address = parseIp(text);
  expect(address && isPublicIp(address)).toBe(expected);
});

test.each([
  ['localhost', true],
  ['LOCALHOST', true],
  ['127.0.0.1', true],
  ['127.255.255.255', true],
  ['128.0.0.1', false],
  ['126.255.255.255', false],
  ['::1', true],
  ['[::1]', true],
  ['[::ffff:127.0.0.1]', true],
  ['::2', false],
  ['0.0.0.0', false],
  ['::', false],
  ['127.example.com', false],
  ['localhost.example.com', false],
  ['127.1', false],
  ['', false],
])('"%s": loopback is %s', (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected);
});

test('addresses of one /64 are one client, and everything that is no address is one client', () => {
  const keyOf = (text: string) => clientKey(parseIp(text));
  expect(keyOf('2001:db8:1:2::1')).toBe(keyOf('2001:db8:1:2:ffff:ffff:ffff:ffff'));
  expect(keyOf('2001:db8:1:2::1')).not.toBe(keyOf('2001:db8:1:3::1'));
  expect(keyOf('192.0.2.7')).not.toBe(keyOf('192.0.2.8'));
  expect(keyOf('::ffff:192.0.2.7')).toBe(keyOf('192.0.2.7'));
  expect(keyOf('')).toBe(keyOf('999.1.1.1'));
});
