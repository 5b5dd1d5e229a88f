/**
 * Goal: a Worker of today starts its wrappers through the runner of an image of any recorded version,
 * and through one that sends more.
 * Method: the port of the container is a runner with the recorded responses.
 * (test/skew/old-runner.test.ts covers the other direction.)
 */

import { describe, expect, test, vi } from 'vitest';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import { launchOnRunner } from '../../../src/launch/runner.ts';
import { exchangesOf } from '../../skew/support/fixtures.ts';
import { provideContainers } from '../support/container-runner.ts';
import { newSession, start } from '../support/peers.ts';
import { VERSIONS } from './fixtures.ts';

let runner: (request: Request) => Promise<Response>;
provideContainers((request) => runner(request));

const RUNNER = { url: 'http://runner:8788', token: 'a-runner-token' };
const REQUEST: LaunchRequest = {
  id: 'e1',
  tenant: 'acme',
  session: 's1',
  command: ['job'],
  openStdin: false,
  format: 'text',
  ingest: { url: 'http://holdfast.test/ingest', token: 'an-ingest-token' },
};

const answering = (status: number, body: unknown, headers: Record<string, string> = {}) => {
  const send = async () => new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers });
  return launchOnRunner({ ...RUNNER, send }, REQUEST, Date.now());
};

describe.each(VERSIONS)('a runner of $name', ({ fixture }) => {
  const exchanges = exchangesOf(fixture('runner-launch'));

  test('[VER7] its responses are understood', async () => {
    const outcomes = [];
    for (const { response } of exchanges) outcomes.push(await answering(response.status, response.body, response.headers));
    expect(outcomes).toEqual([
      { kind: 'launched' },
      { kind: 'refused', message: expect.stringMatching(/^the runner answered 400: /) },
    ]);
  });

  test('[VER7] today’s request has every recorded field, of the same kind', async () => {
    const asked: Record<string, unknown>[] = [];
    runner = async (request) => {
      expect(`${request.method} ${new URL(request.url).pathname}`).toBe('POST /executions');
      expect(request.headers.get('authorization')).toMatch(/^Bearer \S+$/);
      asked.push(await request.json());
      return Response.json({}, { status: 201 });
    };
    for (const { request } of exchanges) {
      const then = JSON.parse(request.body) as Record<string, unknown>;
      const { id, command, cwd, env, stdin, openStdin, format } = then;
      await start(newSession(), { id, command, cwd, env, stdin, openStdin, format, launcher: 'container' } as object);
      await vi.waitFor(() => expect(asked).toHaveLength(1));
      const now = asked.shift() ?? {};
      expect(now).toMatchObject({ id, command, cwd, env, stdin, openStdin, format });
      expect(Object.keys(now)).toEqual(expect.arrayContaining(Object.keys(then)));
      expect(Object.keys(now.ingest as object)).toEqual(expect.arrayContaining(Object.keys(then.ingest as object)));
    }
  });
});

describe('a runner of a later version', () => {
  test.each([
    ['a state that is not known', 201, { id: 'e1', state: 'hibernating', queue: { position: 2 } }, { kind: 'launched' }],
    ['a state that is not known, of a run that is there', 200, { id: 'e1', state: 'hibernating' }, { kind: 'launched' }],
    ['another status of success', 202, { id: 'e1', state: 'scheduled' }, { kind: 'launched' }],
    ['no JSON', 200, 'fine', { kind: 'launched' }],
    ['a run that is over', 200, { state: 'finished', archived: true }, { kind: 'refused' }],
    [
      'a refusal with a code that is not known',
      451,
      { code: 'moon', title: 'no', detail: 'not here', retryable: true },
      { kind: 'refused' },
    ],
    ['a failure with a code that is not known', 507, { code: 'moon', detail: 'no room' }, { kind: 'failed' }],
    ['a full house, in other words', 429, { code: 'moon' }, { kind: 'saturated' }],
  ])('[VER7] %s', async (_, status, body, outcome) => {
    expect(await answering(status, body)).toMatchObject(outcome);
  });
});
