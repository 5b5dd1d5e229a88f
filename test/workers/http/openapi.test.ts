/**
 * Compares the published description with the API: it has every route, and the real responses match
 * it.
 */

import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { app } from '../../../src/http/app.ts';
import { OPERATIONS } from '../../../src/http/openapi/operations.ts';
import { ask, expectProblem } from '../support/http.ts';
import { exit, newSession, output, start, WrapperPeer } from '../support/peers.ts';

type Json = { [key: string]: unknown };

interface Described {
  operationId: string;
  security: Json[];
  responses: Record<string, { content?: Record<string, { schema?: Json }> }>;
}

interface Description {
  openapi: string;
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Json> };
}

const description = async (): Promise<Description> =>
  (await ask('GET', '/openapi.json', { key: null })).body as unknown as Description;

/** The published schema as a validator, built from the document alone. */
function validator({ components }: Description, schema: Json): z.ZodType {
  const $defs = Object.fromEntries(Object.entries(components.schemas).map(([name, inner]) => [name, local(inner)]));
  return z.fromJSONSchema({ ...(local(schema) as Json), $defs } as Parameters<typeof z.fromJSONSchema>[0]);
}

const local = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll('#/components/schemas/', '#/$defs/'));

test('[HTTP24] every route is described, and nothing else', () => {
  const routes = app.routes
    .filter(({ method }) => method !== 'ALL' && method !== 'OPTIONS')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  const described = OPERATIONS.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect([...described].sort()).toEqual([...new Set(routes)].sort());
  expect(new Set(OPERATIONS.map(({ id }) => id)).size).toBe(OPERATIONS.length);
});

test('[HTTP24] it needs no credential, and has no dangling reference', async () => {
  const answer = await ask('GET', '/openapi.json', { key: null });
  expect(answer.status).toBe(200);
  const { openapi, components } = answer.body as unknown as Description;
  expect(openapi).toBe('3.1.0');
  const references = [...answer.text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name as string);
  expect(references.length).toBeGreaterThan(20);
  expect(references.filter((name) => !(name in components.schemas))).toEqual([]);
});

describe('[HTTP24] responses match their description', async () => {
  const document = await description();

  /**
   * Calls one operation, and compares the status, media type and body of the response with the
   * description.
   */
  async function exercise(id: string, params: Record<string, string>, asking: Parameters<typeof ask>[2] = {}): Promise<Json> {
    const operation = OPERATIONS.find((item) => item.id === id);
    if (!operation) throw new Error(`there is no operation ${id}`);
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => params[name] as string);
    const answer = await ask(operation.method.toUpperCase(), `${path}${params.query ?? ''}`, asking);
    const described = document.paths[operation.path]?.[operation.method];
    const response = described?.responses[answer.status];
    expect(response, `${id} answers ${answer.status}: ${answer.text}`).toBeDefined();
    const [mediaType, media] = Object.entries(response?.content ?? {})[0] ?? [];
    if (mediaType === undefined) expect(answer.text).toBe('');
    else expect(answer.headers.get('content-type')).toContain(mediaType);
    if (media?.schema) validator(document, media.schema).parse(JSON.parse(answer.text));
    return answer.body;
  }

  test('a run from its start to its deletion', async () => {
    const session = newSession();
    const at = { session, execution: 'exec_described' };
    const body = { id: at.execution, command: ['true'], labels: { branch: 'main' }, openStdin: true };
    await exercise('startExecution', at, { body });
    await exercise('startExecution', at, { body });
    await exercise('listSessions', at);
    await exercise('getSession', at);
    await exercise('listExecutions', at);
    await exercise('getExecution', at);
    await exercise('createTicket', at, { body: { ttlSeconds: 30 } });
    await exercise('interruptExecution', at, { body: { reason: 'enough' } });
    await exercise('interruptExecution', at, { body: {} });
    await exercise('failExecution', at, { body: { code: 'given_up', message: 'it was over already' } });
    await exercise('readEvents', at, {});
    await exercise('readExecutionEvents', { ...at, query: '?offset=-1' });
    await exercise('deleteSession', at);
    await exercise('getHealth', at);
  });

  test('a run with a wrapper: input, text, the verdict', async () => {
    const run = await start(newSession(), { openStdin: true });
    const at = { session: run.session, execution: run.execution.id };
    const peer = await WrapperPeer.welcomed(run);
    await exercise('getExecution', at);
    await exercise('sendInput', at, { body: { data: 'yes\n' } });
    await peer.deliver(1, [output('hello\n'), exit(3)]);
    await exercise('getExecution', at);
    await exercise('readLog', at);
    await exercise('readExecutionEvents', at);
  });

  test('problems', async () => {
    const session = newSession();
    const at = { session, execution: 'exec_nowhere' };
    await exercise('getSession', at);
    await exercise('getExecution', at);
    await exercise('getSession', at, { key: null });
    await exercise('startExecution', at, { body: { command: [] } });
    await exercise('deleteSession', at);
    await exercise('sendInput', at, { body: { data: '' } });
    await start(session, { id: 'exec_first' });
    await exercise('startExecution', at, { body: { command: ['true'] } });
    await exercise('getExecution', at);
    await exercise('readEvents', { ...at, query: '?offset=0000000000009999' });
  });

  test('the checks above can fail', async () => {
    const problem = expectProblem(await ask('GET', `/v1/sessions/${newSession()}`), 'session_not_found');
    const schema = (name: string) => validator(document, { $ref: `#/components/schemas/${name}` });
    expect(schema('Problem').safeParse(problem).success).toBe(true);
    expect(schema('Execution').safeParse(problem).success).toBe(false);
    expect(schema('Problem').safeParse({ ...problem, code: 'no_such_code' }).success).toBe(false);
  });
});
