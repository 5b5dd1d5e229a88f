/**
 * The step of `npm run verify` that looks at the dependencies. Method: the verdict from answers as
 * npm 11 gave them (shortened); then the real npm and the real script against a registry that the
 * test plays: one that knows of something, one that has no such service, one that never answers.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { BUNDLED, foreignLicences, judgeAudit, LICENCES, type LockedPackages, shippedPaths } from '../../scripts/advisories.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const json = (file: string): Record<string, unknown> => JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
const locked = json('package-lock.json').packages as LockedPackages;

const PACKAGES: LockedPackages = {
  '': {},
  'packages/client': { license: 'UNLICENSED' },
  'node_modules/@holdfast/client': { link: true },
  'node_modules/ws': { license: 'MIT' },
  'node_modules/hono': { license: 'MIT' },
  'node_modules/preact': { license: 'MIT', dev: true },
  'node_modules/vite': { license: 'MIT', dev: true },
  'node_modules/vite/node_modules/ws': { license: 'MIT', dev: true },
  'node_modules/react': { license: 'MIT', devOptional: true, peer: true },
};

const advisory = (name: string, severity: string, nodes: string[] = [`node_modules/${name}`]) => ({
  [name]: {
    name,
    severity,
    isDirect: true,
    via: [
      {
        source: 1,
        name,
        dependency: name,
        title: `${name} does a bad thing`,
        url: 'https://example.org/a/1',
        severity,
        cwe: [],
        cvss: { score: 0 },
        range: '<99',
      },
    ],
    effects: [],
    range: '<99',
    nodes,
    fixAvailable: false,
  },
});
const report = (...vulnerabilities: object[]): string =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: Object.assign({}, ...vulnerabilities),
    metadata: { dependencies: { total: 6 } },
  });

describe('the verdict', () => {
  it('nothing known', () => {
    expect(judgeAudit(report(), PACKAGES)).toEqual({ kind: 'passed', reported: [], ofTools: 0 });
  });

  it.each(['high', 'critical'])('%s in what is shipped fails, by name and title', (severity) => {
    expect(judgeAudit(report(advisory('ws', severity)), PACKAGES)).toEqual({
      kind: 'failed',
      found: [{ package: 'ws', severity, title: 'ws does a bad thing https://example.org/a/1' }],
      reported: [],
      ofTools: 0,
    });
  });

  it.each(['info', 'low', 'moderate'])('%s in a shipped package is reported', (severity) => {
    expect(judgeAudit(report(advisory('hono', severity)), PACKAGES)).toMatchObject({
      kind: 'passed',
      reported: [{ package: 'hono', severity }],
    });
  });

  it('a tool fails nothing, unless the build takes it into a page', () => {
    expect(judgeAudit(report(advisory('vite', 'critical')), PACKAGES)).toEqual({ kind: 'passed', reported: [], ofTools: 1 });
    expect(judgeAudit(report(advisory('react', 'critical')), PACKAGES)).toMatchObject({ kind: 'passed', ofTools: 1 });
    expect(judgeAudit(report(advisory('preact', 'high')), PACKAGES)).toMatchObject({ kind: 'failed' });
  });

  it('one package at several places is as shipped as the most shipped of them', () => {
    const inTool = 'node_modules/vite/node_modules/ws';
    expect(judgeAudit(report(advisory('ws', 'high', [inTool])), PACKAGES)).toMatchObject({ kind: 'passed', ofTools: 1 });
    expect(judgeAudit(report(advisory('ws', 'high', [inTool, 'node_modules/ws'])), PACKAGES)).toMatchObject({ kind: 'failed' });
  });

  it('a package affected by another one names it', () => {
    const affected = { hono: { name: 'hono', severity: 'high', via: ['ws'], nodes: ['node_modules/hono'] } };
    expect(judgeAudit(report(affected), PACKAGES)).toMatchObject({ found: [{ package: 'hono', title: 'by ws' }] });
  });

  it.each([
    [
      'a registry without the service',
      {
        message: '405 Method Not Allowed - POST …/-/npm/v1/security/advisories/bulk',
        method: 'POST',
        statusCode: 405,
        body: '',
        error: { summary: '', detail: '' },
      },
      'the registry answered 405',
    ],
    [
      'a registry that is down',
      { message: '503 Service Unavailable', statusCode: 503, error: { summary: '', detail: '' } },
      'the registry answered 503',
    ],
    [
      'no way to the registry',
      { message: 'request to … failed, reason: connect ECONNREFUSED 127.0.0.1:9', error: { summary: '', detail: '' } },
      'the registry could not be reached',
    ],
  ])('%s is not a verdict, and is reported as such', (_, answer, reason) => {
    expect(judgeAudit(JSON.stringify(answer), PACKAGES)).toEqual({ kind: 'unavailable', reason });
  });

  it.each([
    ['nothing', ''],
    ['text', 'found 0 vulnerabilities'],
    ['null', 'null'],
    ['another form of report', '{"auditReportVersion":3,"findings":[]}'],
    ['a severity that is not known', report({ ws: { severity: 'apocalyptic', nodes: ['node_modules/ws'], via: [] } })],
    ['no places', report({ ws: { severity: 'high', via: [] } })],
    ['no lockfile', '{"error":{"code":"ENOLOCK","summary":"This command requires an existing lockfile.","detail":""}}'],
  ])('%s does not pass for "nothing was found"', (_, answer) => {
    expect(judgeAudit(answer, PACKAGES)).toMatchObject({ kind: 'not_understood' });
  });
});

describe('what is shipped', () => {
  /** Packages that a source of a program or a page imports. */
  const imported = (folders: string[]): Set<string> => {
    const names = new Set<string>();
    for (const folder of folders) {
      for (const file of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
        if (!/\.tsx?$/.test(file) || /vite\.config|\.d\.ts$/.test(file)) continue;
        for (const [, from = ''] of readFileSync(join(ROOT, folder, file), 'utf8').matchAll(/\bfrom '([^'.][^']*)'/g)) {
          if (/^(node|cloudflare):/.test(from)) continue;
          names.add(
            from
              .split('/')
              .slice(0, from.startsWith('@') ? 2 : 1)
              .join('/'),
          );
        }
      }
    }
    return names;
  };

  it('is every production dependency, and every package that the sources import', () => {
    const { dependencies } = json('package.json') as Record<string, Record<string, string>>;
    const { peerDependencies } = json('packages/client/package.json') as Record<string, Record<string, string>>;
    const shipped = shippedPaths(locked).map((path) => path.replace('node_modules/', ''));
    for (const name of Object.keys(dependencies ?? {})) expect(shipped).toContain(name);
    const names = [...imported(['src', 'protocol', 'agent', 'wrapper', 'runner', 'cli', 'dev', 'client', 'dashboard'])];
    expect(names.length).toBeGreaterThan(8);
    const known = [...Object.keys(dependencies ?? {}), ...Object.keys(peerDependencies ?? {}), ...BUNDLED];
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
    for (const name of BUNDLED) expect(names).toContain(name);
  });

  it('has licences that require only attribution, in the lockfile and as installed', () => {
    expect(foreignLicences(locked)).toEqual([]);
    const paths = shippedPaths(locked);
    expect(paths.length).toBeGreaterThan(10);
    for (const path of paths) expect(LICENCES, path).toContain(json(join(path, 'package.json')).license);
  });

  it('the packages of this repository are not among its dependencies', () => {
    expect(shippedPaths(PACKAGES)).toEqual(['node_modules/ws', 'node_modules/hono', 'node_modules/preact']);
  });

  it('a licence that is not on the list, or a missing one, is named', () => {
    const packages: LockedPackages = {
      'node_modules/a': { license: 'GPL-3.0-only' },
      'node_modules/b': {},
      'node_modules/c': { license: 'AGPL-3.0', dev: true },
      'node_modules/d/node_modules/@x/e': { license: '(MIT OR GPL-2.0)' },
    };
    expect(foreignLicences(packages)).toEqual(['a: GPL-3.0-only', 'b: none', '@x/e: (MIT OR GPL-2.0)']);
  });
});

describe('the real npm', () => {
  const servers: Server[] = [];
  const folders: string[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  async function auditWith(bulk: RequestListener, env: Record<string, string> = {}): Promise<{ code: number; said: string }> {
    const server = createServer((request, response) => {
      if (request.url?.endsWith('/security/advisories/bulk')) return bulk(request, response);
      response.statusCode = 404;
      response.end('{}');
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const cache = mkdtempSync(join(tmpdir(), 'holdfast-audit-'));
    folders.push(cache);
    const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const child = spawn(process.execPath, [join(ROOT, 'scripts', 'audit.ts'), '--registry', registry, '--cache', cache], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (bytes) => {
      said += bytes;
    });
    const [code] = (await once(child, 'close')) as [number];
    return { code, said };
  }

  const known = (...names: string[]): RequestListener => {
    const entry = {
      id: 1,
      url: 'https://example.org/a/1',
      title: 'a bad thing',
      severity: 'high',
      vulnerable_versions: '*',
      cwe: [],
      cvss: { score: 0 },
    };
    return (_, response) => response.end(JSON.stringify(Object.fromEntries(names.map((name) => [name, [entry]]))));
  };

  it('an advisory of what is shipped fails the step; of a tool it does not', async () => {
    const found = await auditWith(known('hono', 'vite'));
    expect(found.said).toContain('hono: a bad thing https://example.org/a/1');
    expect(found).toMatchObject({ code: 1, said: expect.stringContaining('of the toolchain') });
    expect(await auditWith(known('vite'))).toMatchObject({ code: 0 });
    expect(await auditWith(known())).toMatchObject({ code: 0, said: expect.stringContaining('Nothing that fails is known') });
  });

  it('a registry without the service, or without an answer, is reported and fails nothing', async () => {
    const without = await auditWith((_, response) => {
      response.statusCode = 405;
      response.end();
    });
    expect(without).toMatchObject({ code: 0, said: expect.stringMatching(/^NOT AUDITED: the registry answered 405\./) });
    const silent = await auditWith(() => {}, { HOLDFAST_AUDIT_PATIENCE_MS: '3000' });
    expect(silent).toMatchObject({ code: 0, said: expect.stringMatching(/^NOT AUDITED: no answer within 3 s\./) });
  });
});
