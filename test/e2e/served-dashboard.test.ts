/**
 * Goal: the dashboard's static files and the API share one origin and never answer in each other's
 * place.
 * Method: the real runtime, which serves files in front of the Worker by wrangler.toml; the tests
 * in workerd run the Worker alone.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { RealStack } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

/** As a browser goes to an address; `asking` replaces any of it. */
const go = (path: string, asking: RequestInit = {}) =>
  fetch(`${real.stack.url}${path}`, {
    headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' },
    redirect: 'manual',
    ...asking,
  });

describe('the dashboard', () => {
  it.each(['/', '/sessions/s1', '/sessions/s1/executions/e1?show=stdout', '/nothing/of/ours'])('%s is its page', async (path) => {
    const answer = await go(path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/html');
    expect(await answer.text()).toBe(readFileSync(join(ROOT, 'dist', 'dashboard', 'index.html'), 'utf8'));
  });

  it('its files have the security headers that dashboard/public/_headers names', async () => {
    const rules = readFileSync(join(ROOT, 'dist', 'dashboard', '_headers'), 'utf8');
    expect(rules).toContain('Content-Security-Policy');
    for (const path of ['/', '/sessions/s1']) {
      const { headers } = await go(path);
      expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('permissions-policy')).toMatch(/\S/);
    }
    expect((await go('/_headers')).headers.get('content-type')).toContain('text/html');
    expect(existsSync(join(ROOT, 'dist', 'dashboard', 'dashboard.sha256'))).toBe(false);
  });
});

describe('the API', () => {
  it('[HTTP2] [HTTP4] unknown paths of it, and its paths with other methods, are problem documents, for a browser too', async () => {
    const bearer = { authorization: `Bearer ${real.stack.apiKey}`, accept: 'text/html', 'sec-fetch-mode': 'navigate' };
    for (const [path, method, headers, code] of [
      ['/v1/nothing', 'GET', {}, 'unauthorized'],
      ['/v1/nothing', 'GET', bearer, 'not_found'],
      ['/v1/', 'GET', bearer, 'not_found'],
      ['/v1/sessions/never', 'GET', bearer, 'session_not_found'],
      ['/v1/sessions/never', 'PUT', bearer, 'method_not_allowed'],
      ['/v1/sessions/never/executions', 'POST', bearer, 'bad_request'],
      ['/healthz', 'POST', bearer, 'method_not_allowed'],
    ] as const) {
      const answer = await go(path, { method, headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', ...headers } });
      expect([path, answer.headers.get('content-type')]).toEqual([path, 'application/problem+json']);
      expect(await answer.json()).toMatchObject({ code });
    }
  });

  it.each(['/v2/nothing', '/v1', '/healthz/more', '/sessions/s1'])(
    '[HTTP33] %s is not of the API: the platform answers, with and without a key, for a program too',
    async (path) => {
      for (const headers of [{}, { authorization: `Bearer ${real.stack.apiKey}` }]) {
        const page = await go(path, { headers });
        expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
        for (const method of ['POST', 'PUT', 'DELETE']) {
          const answer = await go(path, { method, headers });
          expect([answer.status, await answer.text()]).toEqual([405, '']);
        }
      }
    },
  );

  it('it works: a session is started, read and deleted', async () => {
    const headers = { authorization: `Bearer ${real.stack.apiKey}` };
    const body = JSON.stringify({ command: ['true'], launcher: 'none' });
    expect((await go('/v1/sessions/s1/executions', { method: 'POST', headers, body })).status).toBe(201);
    expect(await (await go('/v1/sessions/s1', { headers })).json()).toMatchObject({ id: 's1', counts: { pending: 1 } });
    expect((await go('/v1/sessions/s1', { method: 'DELETE', headers })).status).toBe(204);
    expect((await go('/v1/sessions/s1', { headers })).status).toBe(404);
    expect(await (await go('/healthz')).json()).toMatchObject({ status: 'ok' });
  });

  it('what is not a page to go to has no page for an answer to any method but GET and HEAD', async () => {
    const answer = await go('/sessions/s1', { method: 'POST' });
    expect(answer.ok).toBe(false);
  });
});
