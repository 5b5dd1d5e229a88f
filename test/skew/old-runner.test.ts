/**
 * Goal: a runner of today starts what a Worker of any recorded version asks for.
 * Method: the recorded requests through the runner's own parser, and through a real runner over
 * HTTP. (test/workers/skew/launch.test.ts covers the other direction, a Worker of today and a
 * runner of another version.)
 */

import { describe, expect, test } from 'vitest';
import { readLaunchRequest } from '../../protocol/launch.ts';
import { requestDigest } from '../../runner/digest.ts';
import { exchangesOf } from './support/fixtures.ts';
import { VERSIONS } from './support/recorded.ts';

describe.each(VERSIONS)('a Worker of $name', ({ fixture }) => {
  const exchanges = exchangesOf(fixture('runner-launch'));
  const bodies = exchanges.map(({ request }) => JSON.parse(request.body) as Record<string, unknown>);

  test('was recorded asking twice', () => {
    expect(exchanges.map(({ request }) => `${request.method} ${request.path}`)).toEqual(['POST /executions', 'POST /executions']);
    expect(exchanges.map(({ response }) => response.status)).toEqual([201, 400]);
  });

  test('[VER7] is understood, field by field', () => {
    for (const body of bodies) {
      const reading = readLaunchRequest(body);
      expect(reading).toMatchObject({ ok: true, launch: body });
    }
  });

  test('[VER7] unknown fields change nothing, including the identity of the job', () => {
    for (const body of bodies) {
      const plain = readLaunchRequest(body);
      const ingest = { ...(body.ingest as object), region: 'moon' };
      const later = readLaunchRequest({ ...body, ingest, priority: 7, limits: { memoryBytes: 1 }, wrapper: null });
      expect(later).toEqual(plain);
      if (plain.ok && later.ok) expect(requestDigest(later.launch)).toBe(requestDigest(plain.launch));
    }
  });

  test('[VER7] optional fields may be missing: an earlier Worker that never sent one is served', () => {
    for (const { id, session, command, ingest } of bodies as { id: string; session: string; command: string[]; ingest: object }[]) {
      expect(readLaunchRequest({ id, session, command, ingest })).toMatchObject({
        ok: true,
        launch: { tenant: '', cwd: null, env: {}, stdin: null, openStdin: false, format: 'text', traceparent: null },
      });
    }
  });
});

describe('what makes two launches the same', () => {
  // Runners store this digest with their runs. The values were computed by 0.1.0. A change would
  // make a repeated launch after an upgrade a conflict.
  test('[VER7] is computed as in 0.1.0', () => {
    const reading = readLaunchRequest({
      id: 'e1',
      session: 's1',
      tenant: 'acme',
      command: ['sh', '-c', 'true'],
      cwd: '/srv',
      env: { B: '2', A: '1' },
      stdin: 'x\n',
      openStdin: true,
      format: 'jsonl',
      ingest: { url: 'http://holdfast.test/v1/sessions/s1/executions/e1/ingest', token: 'any' },
    });
    expect(reading.ok && requestDigest(reading.launch)).toBe('d0cc9aac3743e2522f53b610abebe19d881f298e660893647bf512b21892d271');
  });
});
