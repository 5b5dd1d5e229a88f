/**
 * The runner of a container over HTTP: reads requests, calls `Runs`, writes answers. Errors are
 * RFC 9457 problem documents, as in the coordinator's API.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { readBody } from '../egress/read-body.ts';
import { isId } from '../protocol/index.ts';
import { parseJson } from '../protocol/json.ts';
import {
  RUNNER_BODY_BYTES_MAX,
  RUNNER_PROBLEMS,
  RUNNER_PROGRAM,
  type RunnerHealth,
  type RunnerProblem,
  type RunnerProblemCode,
  readLaunchRequest,
} from '../protocol/launch.ts';
import { VERSION } from '../protocol/version.ts';
import type { Runs } from './runs.ts';

/**
 * A slot becomes free when a job ends, at an unknown time. Ten seconds bounds the requests of a
 * waiting coordinator.
 */
export const RETRY_AFTER_SECONDS = 10;

type Facts = Record<string, string | number>;

export interface RunnerServerOptions {
  runs: Runs;
  token: string;
  isStopping: () => boolean;
  log?: (message: string) => void;
}

export function runnerListener({ runs, token, isStopping, log = () => {} }: RunnerServerOptions): RequestListener {
  const expected = sha256(token);

  const authorized = (request: IncomingMessage): boolean => {
    const [, given] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
    // All digests have one length, so the comparison takes the same time for any token.
    return given !== undefined && timingSafeEqual(sha256(given), expected);
  };

  return (request, response) => {
    handle(request, response).catch((error: Error) => {
      log(`${request.method} ${request.url}: ${error.message}`);
      if (!response.headersSent) problem(response, 'internal', 'The runner failed to do this. Its log has the cause.');
      else response.destroy();
    });
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/';
    const url = URL.canParse(path, 'http://runner') ? new URL(path, 'http://runner') : null;
    const [root, rawId, ...more] = (url?.pathname ?? '').slice(1).split('/');
    const method = request.method ?? 'GET';

    if (root === 'health' && rawId === undefined) {
      if (method !== 'GET' && method !== 'HEAD') return wrongMethod(response, 'GET, HEAD');
      const { inFlight, max } = runs;
      const health: RunnerHealth = { ok: true, program: RUNNER_PROGRAM, version: VERSION, inFlight, max };
      return send(response, 200, health);
    }
    if (!authorized(request)) {
      response.setHeader('Connection', 'close'); // Its body is not read.
      response.setHeader('WWW-Authenticate', 'Bearer');
      return problem(response, 'unauthorized', 'Send the token of this runner as Authorization: Bearer.');
    }
    if (url === null || root !== 'executions' || more.length > 0)
      return problem(response, 'not_found', 'The runner has /health and /executions.');

    if (rawId === undefined) return method === 'POST' ? launch(request, response) : wrongMethod(response, 'POST');
    if (method !== 'GET') return wrongMethod(response, 'GET');
    const id = decoded(rawId);
    if (!isId(id)) return problem(response, 'bad_request', 'The execution id in the path is not valid.', { field: 'id' });
    // The container is of one session, within which ids are unique.
    const run = runs.list().find((each) => each.id === id);
    return run
      ? send(response, 200, run)
      : problem(response, 'execution_not_found', 'It was never started here, or ended long ago.');
  }

  async function launch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const tooLong = Number(request.headers['content-length'] ?? 0) > RUNNER_BODY_BYTES_MAX; // Known before a byte is read.
    const body = tooLong ? null : await readBody(request, RUNNER_BODY_BYTES_MAX);
    if (body === null) {
      response.setHeader('Connection', 'close'); // The rest of the body is not read.
      return problem(response, 'too_large', `A launch request may have at most ${RUNNER_BODY_BYTES_MAX} bytes.`);
    }
    const value = parseJson(body);
    if (value === undefined) return problem(response, 'bad_request', 'The body is not JSON.');
    const reading = readLaunchRequest(value);
    if (!reading.ok) return problem(response, 'bad_request', reading.message, { field: reading.field });
    if (isStopping()) {
      response.setHeader('Retry-After', '2');
      return problem(response, 'stopping', 'Ask again: this container is told to stop, and another one may follow.');
    }

    const outcome = runs.launch(reading.launch);
    switch (outcome.kind) {
      case 'launched':
        return send(response, 201, outcome.run);
      case 'existing':
        return send(response, 200, outcome.run);
      case 'conflict':
        return problem(response, 'execution_id_conflict', 'An execution with this id was started here from a different request.');
      case 'full': {
        const { inFlight, max } = outcome;
        response.setHeader('Retry-After', String(RETRY_AFTER_SECONDS));
        return problem(response, 'runner_full', `${inFlight} of ${max} slots are taken; retry when a job has ended.`, {
          inFlight,
          max,
        });
      }
      case 'bad_cwd':
        return problem(response, 'bad_request', 'cwd is not a directory on this host.', { field: 'cwd' });
      case 'failed':
        response.setHeader('Retry-After', '2');
        log(`${reading.launch.session}/${reading.launch.id}: ${outcome.message}`);
        return problem(response, 'launch_failed', outcome.message);
      default:
        return outcome satisfies never;
    }
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

function send(response: ServerResponse, status: number, value: object, type = 'application/json'): void {
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(value));
}

function problem(response: ServerResponse, code: RunnerProblemCode, detail: string, facts: Facts = {}): void {
  const [status, retryable, title] = RUNNER_PROBLEMS[code];
  const document: RunnerProblem = { type: 'about:blank', title, status, detail, code, retryable };
  send(response, status, { ...document, ...facts }, 'application/problem+json');
}

function wrongMethod(response: ServerResponse, allowed: string): void {
  response.setHeader('Allow', allowed);
  problem(response, 'method_not_allowed', `Allowed: ${allowed}.`);
}
