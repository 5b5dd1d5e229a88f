/**
 * Goal: one address has few attempts with a wrong token, a stranger on loopback cannot lock out the
 * coordinator, and many addresses cannot exhaust the memory.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ADDRESSES_MAX, Lockout, WINDOW_MS, WRONG_TOKENS_MAX } from '../../runner/lockout.ts';
import type { Runs } from '../../runner/runs.ts';
import { runnerListener } from '../../runner/server.ts';
import { freePort } from '../../scripts/stack.ts';

const wrongly = (lockout: Lockout, address: string, times: number, now = 0): void => {
  for (let each = 0; each < times; each += 1) lockout.noteWrong(address, now);
};

describe('[LK1] an address', () => {
  it('may send a limited number of wrong tokens; one more locks it out until the time is over', () => {
    const lockout = new Lockout();
    wrongly(lockout, '192.0.2.7', WRONG_TOKENS_MAX - 1);
    expect(lockout.remainingMs('192.0.2.7', 0)).toBeNull();
    lockout.noteWrong('192.0.2.7', 10);
    expect(lockout.remainingMs('192.0.2.7', 10)).toBe(WINDOW_MS - 10);
    expect(lockout.remainingMs('192.0.2.8', 10)).toBeNull();
    expect(lockout.remainingMs('192.0.2.7', WINDOW_MS - 1)).toBe(1);
    expect(lockout.remainingMs('192.0.2.7', WINDOW_MS)).toBeNull();
    // Then the count begins again.
    lockout.noteWrong('192.0.2.7', WINDOW_MS);
    expect(lockout.remainingMs('192.0.2.7', WINDOW_MS)).toBeNull();
  });

  it.each([
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9'],
    ['2001:db8::1', '2001:db8:0:0:5::'],
    ['fe80::1%eth0', 'fe80::2'],
    ['fe80::1%br-0', 'fe80::2'],
    ['no address', ''],
  ])('%s is %s', (one, other) => {
    const lockout = new Lockout();
    wrongly(lockout, one, WRONG_TOKENS_MAX);
    expect(lockout.remainingMs(other, 0)).toBe(WINDOW_MS);
  });

  it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('[LK2] %s is never locked out', (address) => {
    const lockout = new Lockout();
    wrongly(lockout, address, 10 * WRONG_TOKENS_MAX);
    expect(lockout.remainingMs(address, 0)).toBeNull();
    expect(lockout.size).toBe(0);
  });
});

it('[LK3] only the newest addresses up to the limit are remembered', () => {
  const lockout = new Lockout();
  const addressOf = (index: number) => `198.18.${index >> 8}.${index & 255}`;
  for (let index = 0; index < ADDRESSES_MAX; index += 1) wrongly(lockout, addressOf(index), WRONG_TOKENS_MAX);
  expect(lockout.remainingMs(addressOf(0), 0)).toBe(WINDOW_MS);
  lockout.noteWrong('203.0.113.1', 0);
  expect(lockout.size).toBe(ADDRESSES_MAX);
  expect(lockout.remainingMs(addressOf(0), 0)).toBeNull();
  expect(lockout.remainingMs(addressOf(1), 0)).toBe(WINDOW_MS);
});

it('over HTTP: 401, then 429 with Retry-After also for the right token, until the time is over', async () => {
  let now = 0;
  const log: string[] = [];
  const runs = { list: () => [], inFlight: 0, max: 1 } as unknown as Runs;
  const listener = runnerListener({
    runs,
    token: 'the-right-token',
    isStopping: () => false,
    log: (line) => log.push(line),
    now: () => now,
  });
  const server = createServer((request, response) => {
    Object.defineProperty(request.socket, 'remoteAddress', { value: '192.0.2.7', configurable: true });
    listener(request, response);
  });
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  const ask = (token: string) =>
    fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/executions`, {
      headers: { authorization: `Bearer ${token}` },
    });
  for (let each = 0; each < WRONG_TOKENS_MAX; each += 1) expect((await ask('wrong')).status).toBe(401);
  const locked = await ask('the-right-token');
  expect(locked.status).toBe(429);
  expect(locked.headers.get('retry-after')).toBe('60');
  expect(await locked.json()).toMatchObject({ code: 'too_many_wrong_tokens', retryable: true });
  expect(log).toEqual([expect.stringContaining('192.0.2.7')]);
  now = WINDOW_MS;
  expect((await ask('the-right-token')).status).toBe(200);
  server.close();
  server.closeAllConnections();
});
