/**
 * The published description as strangers use it: a linter reads it, a generator makes a client of
 * it, and that client, which knows nothing but the description, takes a run from its start to its
 * deletion.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { build } from 'esbuild';
import { generateApi } from 'swagger-typescript-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RealStack } from '../support/real-stack.ts';

/**
 * What the generator makes; written down here because it does not exist when the types are checked.
 */
interface GeneratedApi {
  v1: Record<string, (...args: unknown[]) => Promise<{ status: number; data: Record<string, never>; text(): Promise<string> }>>;
  setSecurityData(data: unknown): void;
}
type GeneratedModule = {
  Api: new (options: { baseUrl: string; securityWorker: () => object; baseApiParams: object }) => GeneratedApi;
};

let stack: RealStack;
let folder: string;
let description: string;

beforeAll(async () => {
  stack = await RealStack.start();
  folder = mkdtempSync(join(tmpdir(), 'holdfast-openapi-'));
  description = await (await fetch(`${stack.stack.url}/openapi.json`)).text();
});

afterAll(async () => {
  await stack?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('[HTTP24] a linter finds nothing, under its strict rules', async () => {
  // Two operations take nothing that could be wrong.
  const config = await createConfig({ extends: ['recommended-strict'], rules: { 'operation-4xx-response': 'off' } });
  const problems = await lintFromString({ source: description, absoluteRef: 'openapi.json', config });
  expect(problems.map(({ ruleId, message, location }) => `${ruleId} ${message} ${location[0]?.pointer}`)).toEqual([]);

  const broken = description.replace('#/components/schemas/Execution', '#/components/schemas/Nowhere');
  expect(await lintFromString({ source: broken, absoluteRef: 'openapi.json', config })).not.toEqual([]);
});

test('[HTTP24] a generated client starts, reads, waits for, refuses and deletes', async () => {
  const source = join(folder, 'openapi.json');
  writeFileSync(source, description);
  await generateApi({ input: source, output: folder, fileName: 'client.ts', httpClientType: 'fetch', silent: true });
  expect(readFileSync(join(folder, 'client.ts'), 'utf8')).toContain('startExecution');
  const outfile = join(folder, 'client.mjs');
  await build({ entryPoints: [join(folder, 'client.ts')], outfile, bundle: true, format: 'esm', logLevel: 'error' });
  const { Api } = (await import(pathToFileURL(outfile).href)) as GeneratedModule;
  const api = new Api({
    baseUrl: stack.stack.url,
    securityWorker: () => ({ headers: { authorization: `Bearer ${stack.stack.apiKey}` } }),
    baseApiParams: { secure: true, format: 'json' },
  });
  const call = (name: string, ...args: unknown[]) => {
    const operation = api.v1[name];
    if (!operation) throw new Error(`the generated client has no ${name}`);
    return operation(...args);
  };

  const session = 'generated';
  const started = await call('startExecution', session, {
    id: 'exec_generated',
    command: ['sh', '-c', 'echo from the generated client'],
  });
  expect(started.status).toBe(201);
  expect(started.data).toMatchObject({ execution: { id: 'exec_generated', session }, ingest: { url: expect.any(String) } });
  const ended = await call('getExecution', session, 'exec_generated', { wait: 30 });
  expect(ended.data).toMatchObject({ status: 'completed', exitCode: 0 });
  expect((await call('listExecutions', session, { status: 'completed', limit: 5 })).data).toMatchObject({
    data: [{ id: 'exec_generated' }],
    next: null,
  });
  expect((await call('createTicket', session, { ttlSeconds: 30 })).status).toBe(201);
  await expect(call('startExecution', session, { command: [] })).rejects.toMatchObject({
    status: 400,
    error: { code: 'bad_request', retryable: false },
  });
  expect((await call('deleteSession', session, { format: undefined })).status).toBe(204);
  await expect(call('getSession', session)).rejects.toMatchObject({ status: 404, error: { code: 'session_not_found' } });
});
