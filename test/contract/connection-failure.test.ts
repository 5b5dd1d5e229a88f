/**
 * Goal: a connection that fails is explained by its cause and the next step, in one line.
 * Method: real failures of this machine's Node where they can be made here (ports, TLS), and the
 * errors as Node makes them where they cannot (DNS, routes, dates).
 */

import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { describeConnectionFailure } from '../../protocol/connection-failure.ts';
import { type Authority, makeAuthority, tlsInFrontOf } from '../support/own-authority.ts';
import { removeTemporaryFolders } from '../support/wrapper-run.ts';

let plain: Server;
let tls: { port: number; close(): Promise<void> };
let authority: Authority;

beforeAll(async () => {
  plain = createServer((_, response) => response.end('ok'));
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  authority = makeAuthority();
  tls = await tlsInFrontOf(portOf(plain), authority);
});
afterAll(async () => {
  await tls.close();
  plain.close();
  removeTemporaryFolders();
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

const byFetch = (url: string): Promise<unknown> => fetch(url).catch((error) => error);
const bySocket = (url: string, options = {}): Promise<unknown> =>
  new Promise((resolve) => {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), options);
    socket.once('error', resolve);
    socket.once('open', () => socket.terminate());
  });

async function portWithoutListener(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.each([
  ['fetch', byFetch],
  ['a WebSocket', bySocket],
] as const)('failures of %s', (_name, attempt) => {
  test('nothing listens', async () => {
    const port = await portWithoutListener();
    expect(describeConnectionFailure(await attempt(`http://127.0.0.1:${port}/`))).toBe(
      `connection refused (127.0.0.1:${port}): nothing listens there (ECONNREFUSED)`,
    );
  });

  test('an authority that is not known', async () => {
    const words = describeConnectionFailure(await attempt(`https://localhost:${tls.port}/`));
    expect(words).toMatch(
      /^the certificate of the server is not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\); .*NODE_EXTRA_CA_CERTS$/,
    );
  });

  test('https:// to a port that speaks http', async () => {
    const words = describeConnectionFailure(await attempt(`https://127.0.0.1:${portOf(plain)}/`));
    expect(words).toMatch(/^the server does not speak TLS as expected \(.+\); check http:\/\/ against https:\/\/ in the URL$/);
  });
});

test('a certificate for another name', async () => {
  const words = describeConnectionFailure(
    await bySocket(`https://127.0.0.1:${tls.port}/`, { ca: readFileSync(authority.file, 'utf8') }),
  );
  expect(words).toMatch(/^the certificate of the server is for another name \(ERR_TLS_CERT_ALTNAME_INVALID\): .*127\.0\.0\.1/);
});

test.each([
  ['ENOTFOUND', { hostname: 'holdfast.example.test' }, 'the name holdfast.example.test does not resolve (ENOTFOUND)'],
  [
    'EAI_AGAIN',
    { hostname: 'holdfast.example.test' },
    'the name holdfast.example.test could not be resolved for now: no answer from DNS (EAI_AGAIN)',
  ],
  ['ETIMEDOUT', { address: '192.0.2.1', port: 443 }, 'no answer to the connection attempt (192.0.2.1:443) (ETIMEDOUT)'],
  ['UND_ERR_CONNECT_TIMEOUT', {}, 'no answer to the connection attempt (UND_ERR_CONNECT_TIMEOUT)'],
  ['ENETUNREACH', { address: '2001:db8::1', port: 443 }, 'there is no route (2001:db8::1:443) (ENETUNREACH)'],
  ['ECONNRESET', {}, 'the connection was cut (ECONNRESET)'],
  [
    'CERT_HAS_EXPIRED',
    {},
    'the certificate of the server has expired (CERT_HAS_EXPIRED); renew it, or correct the clock of this machine',
  ],
  [
    'CERT_NOT_YET_VALID',
    {},
    'the certificate of the server is not valid yet (CERT_NOT_YET_VALID); correct the clock of this machine',
  ],
])('%s, alone, as the cause of a fetch, and as the first of several attempts', (code, fields, words) => {
  const cause = Object.assign(new Error(`${code} of some call`), { code, ...fields });
  expect(describeConnectionFailure(cause)).toBe(words);
  expect(describeConnectionFailure(new TypeError('fetch failed', { cause }))).toBe(words);
  expect(describeConnectionFailure(new TypeError('fetch failed', { cause: new AggregateError([cause, new Error('other')]) }))).toBe(
    words,
  );
});

test('values that are not errors, and cyclic causes, are described too', () => {
  const circle: { message: string; cause?: unknown } = { message: 'round' };
  circle.cause = circle;
  expect(describeConnectionFailure(circle)).toBe('round');
  expect(describeConnectionFailure('a text')).toBe('a text');
  expect(describeConnectionFailure(null)).not.toBe('null');
});
