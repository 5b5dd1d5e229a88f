/**
 * Helpers of the tests of the HTTP API: requests to this deployment or to one with another
 * configuration, and assertions on problem documents.
 */

import { listDurableObjectIds } from 'cloudflare:test';
import { expect } from 'vitest';
import { PROBLEMS, type Problem, type ProblemCode } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import { OPERATIONS } from '../../../src/http/openapi/operations.ts';
import type { Env } from '../../../src/platform/env.ts';
import { ACME_KEY, ORIGIN, testEnv } from './peers.ts';

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed text, or an empty object when it is empty or not JSON. */
  body: Record<string, unknown>;
}

export interface Asking {
  /** Text and bytes are sent unchanged, anything else as JSON. */
  body?: unknown;
  key?: string | null;
  headers?: Record<string, string>;
  env?: Env;
}

/** The Worker's bindings with other settings: `undefined` removes one. */
export const deployment = (settings: { [K in keyof Env]?: Env[K] | undefined }): Env =>
  Object.fromEntries(Object.entries({ ...testEnv, ...settings }).filter(([, value]) => value !== undefined)) as unknown as Env;

/** Namespaces that must not be used: each call is counted, and fails. */
export function untouchable(): { SESSIONS: Env['SESSIONS']; DIRECTORY: Env['DIRECTORY']; POOLS: Env['POOLS']; touched: string[] } {
  const touched: string[] = [];
  const namespace = <N extends object>() =>
    new Proxy({} as N, {
      get(_, member) {
        touched.push(String(member));
        throw new Error('an object was touched');
      },
    });
  return { SESSIONS: namespace(), DIRECTORY: namespace(), POOLS: namespace(), touched };
}

const isRaw = (body: unknown): body is BodyInit =>
  typeof body === 'string' || body instanceof Uint8Array || body instanceof ReadableStream;

export function request(method: string, path: string, { body, key = ACME_KEY, headers = {} }: Asking = {}): Request {
  return new Request(`${ORIGIN}${path}`, {
    method,
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    ...(body === undefined ? {} : { body: isRaw(body) ? body : JSON.stringify(body) }),
  });
}

export async function ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const response = await app.fetch(request(method, path, asking), asking.env ?? testEnv);
  const text = new TextDecoder().decode(await response.arrayBuffer());
  const isJson = text !== '' && /json/.test(response.headers.get('content-type') ?? '');
  const answer = { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} };
  expectDescribed(method, path, answer);
  return answer;
}

const PATHS = OPERATIONS.map(({ path, ...operation }) => ({
  ...operation,
  pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
}));

/** HTTP24: every problem that a test receives must be in the description of its operation. */
function expectDescribed(method: string, path: string, { headers, body, text }: Answer): void {
  if (headers.get('content-type') !== 'application/problem+json') return;
  const { pathname: route } = new URL(path, ORIGIN);
  const asked = method === 'HEAD' ? 'get' : method.toLowerCase();
  const operation = PATHS.find((one) => one.method === asked && one.pattern.test(route));
  // No route, or no such method: the response belongs to no operation.
  if (operation && body.code !== undefined) expect(operation.problems, `${operation.id} answers ${text}`).toContain(body.code);
}

/**
 * HTTP1: the response is the problem document of this code, complete, with the id of its request.
 */
export function expectProblem(answer: Answer, code: ProblemCode): Problem {
  expect(answer.body.code, answer.text).toBe(code);
  const { status, retryable, title } = PROBLEMS[code];
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.body).toMatchObject({
    type: expect.stringMatching(/^https:\/\/.*\S$/),
    title,
    status,
    detail: expect.stringMatching(/\S/),
    retryable,
    requestId: answer.headers.get('x-request-id'),
  });
  expect(answer.headers.get('x-request-id')).toMatch(/\S/);
  if (status === 401) expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  if (status === 429 || (status === 503 && retryable)) expect(answer.headers.get('retry-after')).toMatch(/^[1-9][0-9]*$/);
  return answer.body as unknown as Problem;
}

/** How many sessions this file's tests have touched so far. */
export const objectCount = async (): Promise<number> => (await listDurableObjectIds(testEnv.SESSIONS)).length;
