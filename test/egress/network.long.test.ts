/**
 * Goal: wrapper and command line work where a proxy is the only way out, and where a company's own
 * authority signs certificates. Where they cannot, they name the cause. Method: real processes. The
 * coordinator's name is known to the proxy alone, and its certificate is signed by an authority
 * that only the "system" trusts.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { egressFetch } from '../../egress/fetch.ts';
import { TunnelAgent } from '../../egress/proxy-agent.ts';
import { ConnectProxy } from '../support/connect-proxy.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { FakeSession } from '../support/fake-session.ts';
import { type Authority, makeAuthority, tlsInFrontOf } from '../support/own-authority.ts';
import { removeTemporaryFolders, startWrapper, until } from '../support/wrapper-run.ts';

const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const HOST = 'coordinator.example.test';
const USER = 'user:s%40cret';

let authority: Authority;
let proxy: ConnectProxy;
const stops: (() => Promise<void> | void)[] = [];

beforeAll(() => {
  authority = makeAuthority();
});
afterAll(removeTemporaryFolders);
beforeEach(async () => {
  proxy = await ConnectProxy.start();
  stops.push(() => proxy.close());
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const portOf = (url: string) => Number(new URL(url).port);

async function coordinatorBehindTls() {
  const coordinator = await new FakeCoordinator().start();
  const front = await tlsInFrontOf(portOf(coordinator.url), authority);
  stops.push(
    () => coordinator.stop(),
    () => front.close(),
  );
  return { coordinator, port: front.port, path: new URL(coordinator.url).pathname };
}

function wrapper(coordinator: FakeCoordinator, url: string, env: Record<string, string>, args: string[] = []) {
  const started = startWrapper(coordinator, ['echo', 'hello'], {
    env: { HOLDFAST_INGEST_URL: url, ...env },
    args: ['--verbose', ...args],
  });
  stops.push(() => void started.process.kill('SIGKILL'));
  return started;
}

function cli(url: string, args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env.PATH, HOLDFAST_URL: url, HOLDFAST_API_KEY: 'key', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  stops.push(() => void child.kill('SIGKILL'));
  const text = { out: '', err: '' };
  child.stdout.on('data', (part) => {
    text.out += String(part);
  });
  child.stderr.on('data', (part) => {
    text.err += String(part);
  });
  return new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...text })),
  );
}

async function session(onStart: (fake: FakeSession, id: string) => void) {
  const fake = await new FakeSession().start();
  const front = await tlsInFrontOf(portOf(fake.url), authority);
  stops.push(
    () => fake.stop(),
    () => front.close(),
  );
  fake.onStart = ({ id }) => onStart(fake, id);
  return { fake, port: front.port };
}
const oneLine = (fake: FakeSession, id: string) => {
  fake.output(id, 'hello\n');
  fake.settle(id, 'completed', { exitCode: 0 });
};

describe.each(['websocket', 'http'])('a wrapper over %s', (transport) => {
  it('[SPL42] trusts the authorities of the system', async () => {
    const { coordinator, port, path } = await coordinatorBehindTls();
    const run = wrapper(coordinator, `https://localhost:${port}${path}`, { SSL_CERT_FILE: authority.file }, [
      '--transport',
      transport,
    ]);
    expect((await run.ended).code, run.stderr()).toBe(0);
    expect(coordinator.text()).toBe('hello\n');
  });

  it('[SPL43] uses HTTPS_PROXY by CONNECT, with user and password, which are never shown', async () => {
    const { coordinator, port, path } = await coordinatorBehindTls();
    proxy.wanted = 'user:s@cret';
    const env = { HTTPS_PROXY: proxy.url(USER), SSL_CERT_FILE: authority.file };
    const run = wrapper(coordinator, `https://${HOST}:${port}${path}`, env, ['--transport', transport]);
    expect((await run.ended).code, run.stderr()).toBe(0);
    expect(coordinator.text()).toBe('hello\n');
    expect(new Set(proxy.asked.map(({ target }) => target))).toEqual(new Set([`${HOST}:${port}`]));
    expect(run.stderr()).not.toContain('cret');
  });

  it('[SPL43] goes through http_proxy by CONNECT to a plain address, too', async () => {
    const { coordinator } = await coordinatorBehindTls();
    const url = coordinator.url.replace('127.0.0.1', HOST);
    const run = wrapper(coordinator, url, { http_proxy: proxy.url() }, ['--transport', transport]);
    expect((await run.ended).code, run.stderr()).toBe(0);
    expect(coordinator.text()).toBe('hello\n');
    expect(proxy.asked.length).toBeGreaterThan(0);
  });

  it('[SPL43] goes directly to what NO_PROXY names, and to loopback', async () => {
    const { coordinator } = await coordinatorBehindTls();
    const env = { HTTP_PROXY: proxy.url(), HTTPS_PROXY: proxy.url() };
    const run = wrapper(coordinator, coordinator.url, env, ['--transport', transport]);
    expect((await run.ended).code, run.stderr()).toBe(0);
    expect(proxy.asked).toEqual([]);
  });

  it.each([
    [
      { status: 407, text: 'Proxy Authentication Required' },
      'answered 407 to CONNECT',
      'HTTPS_PROXY=http://user:password@host:port',
    ],
    [{ status: 403, text: 'Forbidden' }, 'answered 403 to CONNECT', 'does not allow this connection'],
    [{ status: 502, text: 'Bad Gateway' }, 'answered 502 to CONNECT', 'cannot reach'],
  ] as const)('[SPL43] names a proxy that answers %o, and gets through when it changes its mind', async (answer, said, next) => {
    const { coordinator, port, path } = await coordinatorBehindTls();
    proxy.answer = answer;
    const env = { HTTPS_PROXY: proxy.url(USER), SSL_CERT_FILE: authority.file };
    const run = wrapper(coordinator, `https://${HOST}:${port}${path}`, env, ['--transport', transport]);
    await until(() => run.stderr().includes(said), `it says "${said}"`);
    expect(run.stderr()).toContain(`the proxy http://127.0.0.1:${proxy.port} (HTTPS_PROXY) answered`);
    expect(run.stderr()).toContain(next);
    expect(run.stderr()).not.toContain('cret');
    proxy.answer = null;
    expect((await run.ended).code).toBe(0);
  });
});

it('a wrapper names a missing proxy by its variable', async () => {
  const { coordinator, port, path } = await coordinatorBehindTls();
  const gone = proxy.port;
  await proxy.close();
  stops.splice(0, 1);
  const run = wrapper(coordinator, `https://${HOST}:${port}${path}`, { HTTPS_PROXY: `http://${USER}@127.0.0.1:${gone}` });
  await until(() => run.stderr().includes('cannot be used'), 'it says so');
  expect(run.stderr()).toContain(`the proxy http://127.0.0.1:${gone} (HTTPS_PROXY) cannot be used: connect ECONNREFUSED`);
  expect(run.stderr()).not.toContain('cret');
});

it('[PA2] a proxy that accepts the connection and stays silent is abandoned, and its socket closed', async () => {
  proxy.answer = 'hang';
  const agent = new TunnelAgent({ url: new URL(proxy.url()), variable: 'HTTP_PROXY' }, false, { timeoutMs: 100 });
  const { request } = await import('node:http');
  const error = await new Promise<Error>((resolve) => {
    request({ host: HOST, port: 80, agent }).on('error', resolve).end();
  });
  expect(error.message).toBe(
    `the proxy http://127.0.0.1:${proxy.port} (HTTP_PROXY) did not answer CONNECT ${HOST}:80 within 100 ms`,
  );
  await until(() => proxy.open === 0, 'its socket is closed');
});

it('a certificate that neither trusts is reported with the next step', async () => {
  const { coordinator, port, path } = await coordinatorBehindTls();
  const run = wrapper(coordinator, `https://localhost:${port}${path}`, {});
  await until(() => run.stderr().includes('NODE_EXTRA_CA_CERTS'), 'it says so');
});

describe('the command line', () => {
  it('trusts the authorities of the system, for requests and for the stream', async () => {
    const { port } = await session(oneLine);
    const { code, out, err } = await cli(`https://localhost:${port}`, ['run', '--', 'job'], { SSL_CERT_FILE: authority.file });
    expect(code, err).toBe(0);
    expect(out).toBe('hello\n');
  });

  it('goes through HTTPS_PROXY, for requests and for the stream', async () => {
    const { port, fake } = await session(oneLine);
    proxy.wanted = 'user:s@cret';
    const env = { HTTPS_PROXY: proxy.url(USER), SSL_CERT_FILE: authority.file };
    const { code, out, err } = await cli(`https://${HOST}:${port}`, ['run', '--', 'job'], env);
    expect(code, err).toBe(0);
    expect(out).toBe('hello\n');
    expect(proxy.asked.length).toBeGreaterThanOrEqual(2);
    expect(fake.upgrades.length).toBe(1);
    expect(err).not.toContain('cret');
  });

  it('names a proxy that refuses, and does not advise to start a coordinator here', async () => {
    const { port } = await session(oneLine);
    proxy.answer = { status: 403, text: 'Forbidden' };
    const { code, err } = await cli(`https://${HOST}:${port}`, ['list'], { HTTPS_PROXY: proxy.url(USER) });
    expect(code).toBe(125);
    expect(err).toContain(`the proxy http://127.0.0.1:${proxy.port} (HTTPS_PROXY) answered 403 to CONNECT ${HOST}:${port}`);
    expect(err).not.toContain('npm start');
    expect(err).not.toContain('cret');
  });
});

it('answers through a proxy are what fetch would give', async () => {
  const fake = await new FakeSession().start();
  stops.push(() => fake.stop());
  process.env.http_proxy = proxy.url();
  try {
    const response = await egressFetch(`http://${HOST}:${portOf(fake.url)}/nothing/here`);
    expect(response.status).toBe(401);
    expect(await response.text()).not.toBe('');
    const abort = new AbortController();
    abort.abort();
    await expect(egressFetch(`http://${HOST}:${portOf(fake.url)}/`, { signal: abort.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  } finally {
    delete process.env.http_proxy;
  }
});
