/**
 * Goal: the fault tests can trust their instrument. Method: the proxy between a plain TCP client
 * and an echo server.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TcpProxy } from '../support/tcp-proxy.ts';

let echo: Server;
let echoSockets: Socket[];
let proxy: TcpProxy;
const clients: Socket[] = [];

/** A client that collects what it gets and how it ended. */
async function client(): Promise<{ socket: Socket; received: () => string; ended: Promise<'end' | 'reset'> }> {
  const socket = connect(proxy.port, '127.0.0.1');
  clients.push(socket);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  const ended = new Promise<'end' | 'reset'>((done) => {
    socket.on('error', () => done('reset'));
    socket.on('close', (hadError) => done(hadError ? 'reset' : 'end'));
  });
  await once(socket, 'connect');
  return { socket, received: () => text, ended };
}

async function until(condition: () => boolean, ms = 3000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error('it did not come true in time');
    await sleep(5);
  }
}

beforeEach(async () => {
  echoSockets = [];
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    echoSockets.push(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await TcpProxy.start({ targetPort: (echo.address() as AddressInfo).port });
});

afterEach(async () => {
  for (const socket of clients.splice(0)) socket.destroy();
  await proxy.close();
  for (const socket of echoSockets) socket.destroy();
  echo.close();
});

describe('TcpProxy', () => {
  it('passes bytes both ways, counts them, and passes on an orderly end after the last byte', async () => {
    const { socket, received, ended } = await client();
    const text = 'x'.repeat(3_000_000);
    socket.end(text);
    expect(await ended).toBe('end');
    expect(received().length).toBe(text.length);
    expect([proxy.bytesUp, proxy.bytesDown, proxy.accepted]).toEqual([text.length, text.length, 1]);
    await until(() => proxy.open === 0);
  });

  it('cut() resets both sides of every connection, and new ones work at once', async () => {
    const first = await client();
    first.socket.write('a');
    await until(() => first.received() === 'a');
    const farEnd = new Promise((done) => echoSockets[0]?.on('close', done));
    expect(proxy.cut()).toBe(1);
    expect(await first.ended).toBe('reset');
    await farEnd;
    expect(proxy.cuts).toBe(1);
    const second = await client();
    second.socket.write('b');
    await until(() => second.received() === 'b');
  });

  it('refuse() resets new connections and leaves open ones; accept() lifts it', async () => {
    const open = await client();
    open.socket.write('a');
    await until(() => open.received() === 'a');
    proxy.refuse();
    const refused = await client().catch(() => null);
    if (refused) expect(await refused.ended).toBe('reset');
    expect(proxy.refused).toBe(1);
    open.socket.write('b');
    await until(() => open.received() === 'ab');
    proxy.accept();
    const next = await client();
    next.socket.write('c');
    await until(() => next.received() === 'c');
  });

  it('stall() holds bytes back in the given direction, resume() delivers them all', async () => {
    const { socket, received } = await client();
    socket.write('1');
    await until(() => received() === '1');
    proxy.stall('down');
    socket.write('2');
    await until(() => proxy.bytesUp === 2);
    await sleep(100);
    expect(received()).toBe('1');
    proxy.resume('down');
    await until(() => received() === '12');
    proxy.stall('up');
    socket.write('3');
    await sleep(100);
    expect(proxy.bytesUp).toBe(2);
    proxy.resume();
    await until(() => received() === '123');
  });

  it('stall() pushes back on the sender instead of taking everything into memory', async () => {
    const { socket } = await client();
    proxy.stall();
    const chunk = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 64; i += 1) socket.write(chunk);
    await sleep(200);
    expect(proxy.bytesUp).toBeLessThan(1024 * 1024);
    expect(socket.writableLength).toBeGreaterThan(32 * 1024 * 1024);
  });

  it('halfOpen() swallows what is sent on open connections and hides the far end, while new ones work', async () => {
    const old = await client();
    old.socket.write('1');
    await until(() => old.received() === '1');
    expect(proxy.halfOpen()).toBe(1);
    old.socket.write('2');
    (echoSockets[0] as Socket).destroy();
    await sleep(100);
    expect(old.received()).toBe('1');
    expect(old.socket.destroyed).toBe(false);
    const fresh = await client();
    fresh.socket.write('x');
    await until(() => fresh.received() === 'x');
    proxy.cut();
    expect(await old.ended).toBe('reset');
  });

  it('halfOpen() of one direction leaves the other alone', async () => {
    const { socket, received } = await client();
    socket.write('1');
    await until(() => received() === '1');
    expect(proxy.halfOpen('up')).toBe(1);
    expect(proxy.halfOpen('up')).toBe(0);
    socket.write('2');
    (echoSockets[0] as Socket).write('3');
    await until(() => received() === '13');
    proxy.halfOpen('down');
    (echoSockets[0] as Socket).write('4');
    await sleep(100);
    expect(received()).toBe('13');
  });

  it('trickle() limits the rate and loses nothing', async () => {
    proxy.trickle(2000);
    const { socket, received, ended } = await client();
    const begun = Date.now();
    socket.end('y'.repeat(1000));
    expect(await ended).toBe('end');
    expect(received().length).toBe(1000);
    expect(Date.now() - begun).toBeGreaterThan(350);
  });

  it('retarget() sends new connections elsewhere', async () => {
    const other = createServer((socket) => socket.on('error', () => {}).end('other'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    proxy.retarget((other.address() as AddressInfo).port);
    const { received, ended } = await client();
    await ended;
    expect(received()).toBe('other');
    other.close();
  });
});
