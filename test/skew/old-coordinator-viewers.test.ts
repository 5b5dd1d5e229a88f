/**
 * Goal: a viewer of today (client/ and the command line) reads what a coordinator of any recorded
 * version sends, and what a later one may send in addition.
 * Method: the recorded streams, word for word, and the recorded responses over HTTP.
 */

import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import {
  connectSession,
  createClient,
  HoldfastError,
  type SessionStreamOptions,
  type StreamControl,
  StreamFailure,
  type WebSocketConstructor,
} from '../../client/index.ts';
import type { Execution, LoggedEvent } from '../../protocol/index.ts';
import { result } from '../support/cli-call.ts';
import { type Exchange, exchangesOf, type Fixture, framesOf } from './support/fixtures.ts';
import { VERSIONS } from './support/recorded.ts';
import { ReplayCoordinator } from './support/replay-coordinator.ts';

const servers: ReplayCoordinator[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(
  fixture: Fixture,
  { reword, exchanges = [] }: { reword?: (frame: string) => string[]; exchanges?: readonly Exchange[] } = {},
): Promise<ReplayCoordinator> {
  const server = await new ReplayCoordinator(fixture, reword).start('');
  server.exchanges = exchanges;
  servers.push(server);
  return server;
}

interface RecordedEvents {
  type: string;
  execution: string;
  offset?: number;
  offsets?: number[];
  events: Omit<LoggedEvent, 'offset' | 'execution'>[];
}

/** The events of a recorded stream, with their offsets. */
const eventsOf = ({ entries }: Fixture): LoggedEvent[] =>
  framesOf(entries, 'callee')
    .map((frame) => JSON.parse(frame) as RecordedEvents)
    .filter(({ type }) => type === 'events')
    .flatMap(({ execution, offset = 0, offsets, events }) =>
      events.map(({ type, at, data }, index) => ({ offset: offsets?.[index] ?? offset + index, execution, type, at, data })),
    );

async function read(server: ReplayCoordinator, count: number, options: Partial<SessionStreamOptions> & { session: string }) {
  const events: LoggedEvent[] = [];
  const controls: StreamControl[] = [];
  const stream = connectSession({
    url: server.url,
    apiKey: 'key',
    WebSocketImpl: WebSocket as unknown as WebSocketConstructor,
    onControl: (control) => controls.push(control),
    ...options,
  });
  for await (const event of stream) {
    events.push(event);
    if (events.length === count && !options.execution) break;
  }
  const { state } = stream;
  stream.close();
  return { events, controls, state };
}

const CASES = [
  ['viewer-replay', { session: 'cuts', after: 0 }],
  ['viewer-tail', { session: 'cuts', tail: 3 }],
  ['viewer-types', { session: 'cuts', after: 0, types: ['output', 'execution_running', 'execution_failed'] }],
  ['viewer-jsonl', { session: 'jsonl', after: 0 }],
  ['viewer-resumed', { session: 'cuts', after: 5 }],
  ['viewer-flow', { session: 'cuts', after: 0, execution: 'e1' }],
  ['viewer-live', { session: 'watched', after: 0, execution: 'e1' }],
] as const;

const TO_THE_END: readonly string[] = ['viewer-flow', 'viewer-live'];

/**
 * What a later coordinator may send: frames of other types, further fields, and an event of an
 * unknown type.
 */
const fromTheFuture = (frame: string): string[] => {
  const parsed = JSON.parse(frame) as Record<string, unknown> & { type: string; events?: Record<string, unknown>[] };
  const notice = '{"type":"notice","text":"a frame of a later version","offset":-1}';
  const events = parsed.events?.map((event) => ({
    ...event,
    ...(event.type === 'output' ? { type: 'x.future-output' } : {}),
    trace: { id: 7 },
  }));
  return [JSON.stringify({ ...parsed, ...(events ? { events } : {}), region: 'moon' }), notice];
};

describe.each(VERSIONS)('a coordinator of $name', ({ fixture }) => {
  test.each(CASES)('[VER1] %s is read as it was sent', async (name, options) => {
    const recorded = fixture(name);
    const expected = eventsOf(recorded);
    const server = await serve(recorded);
    const { events, controls, state } = await read(server, expected.length, options as never);
    expect(expected.length).toBeGreaterThan(0);
    expect(events).toEqual(expected);
    if (!TO_THE_END.includes(name)) return;
    expect(state.status).toBe('ended');
    expect(controls.map(({ type }) => type)).toContain('end');
    expect(server.dials).toBe(1);
  });

  test.each(CASES)('[VER2] [STR2] %s with unknown frames, fields and event types', async (name, options) => {
    const recorded = fixture(name);
    const expected = eventsOf(recorded);
    const server = await serve(recorded, { reword: fromTheFuture });
    const { events } = await read(server, expected.length, options as never);
    expect(events.map(({ offset, at, data }) => ({ offset, at, data }))).toEqual(
      expected.map(({ offset, at, data }) => ({ offset, at, data })),
    );
    const types = expected.map(({ type }) => (type === 'output' ? 'x.future-output' : type));
    expect(events.map(({ type }) => type)).toEqual(types);
    expect(server.dials).toBe(1);
  });

  test('[VER1] [STR14] a refusal is recognised', async () => {
    const server = await serve(fixture('viewer-ahead'));
    const reading = read(server, 1, { session: 'cuts', after: 999_999 });
    await expect(reading).rejects.toMatchObject({ constructor: StreamFailure, code: 'offset_ahead' });
  });

  test('[VER1] the client accepts its responses: start, start again, list, and the problems', async () => {
    const exchanges = exchangesOf(fixture('http-api'));
    const server = await serve(fixture('viewer-ahead'), { exchanges });
    const client = createClient({ url: server.url, apiKey: 'key', retryBudgetMs: 0 });
    const answerTo = (method: string, path: string): Record<string, unknown> =>
      JSON.parse(exchanges.find(({ request }) => request.method === method && request.path === path)?.response.body ?? '');
    const started = await client.start('api', { id: 'e1', command: ['job'] });
    const { execution } = answerTo('POST', '/v1/sessions/api/executions') as unknown as { execution: Execution };
    expect(started).toMatchObject({ execution });
    expect(await client.get('api', 'e1')).toEqual(answerTo('GET', '/v1/sessions/api/executions/e1'));
    await expect(client.get('api', 'e3')).rejects.toMatchObject({ code: 'execution_not_found', status: 404, retryable: false });
    expect(server.faults).toEqual([]);
  });

  test('[VER5] an unknown problem code keeps its retryable flag', async () => {
    const problem = {
      type: 'x',
      title: 't',
      status: 409,
      detail: 'of a later version',
      code: 'moon_phase',
      retryable: false,
      requestId: 'r',
    };
    const path = '/v1/sessions/api/executions/e1';
    const headers = { 'content-type': 'application/problem+json' };
    const exchanges = [
      {
        request: { method: 'GET', path, headers: {}, body: '' },
        response: { status: 409, headers, body: JSON.stringify(problem) },
      },
    ];
    const server = await serve(fixture('viewer-ahead'), { exchanges });
    const client = createClient({ url: server.url, apiKey: 'key', retryBudgetMs: 0 });
    const error = await client.get('api', 'e1').catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HoldfastError);
    expect(error).toMatchObject({ code: 'moon_phase', retryable: false, message: 'of a later version' });
  });

  test('[VER1] the command line prints a recorded run, and ends with its exit code', async () => {
    const exchanges = exchangesOf(fixture('http-executions'));
    const recorded = fixture('viewer-flow');
    const server = await serve(recorded, { exchanges });
    const { code, out, err } = await result(server.url, ['logs', '-f', '--json', 'cuts/e1']);
    expect(server.faults).toEqual([]);
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as LoggedEvent),
      err,
    ).toEqual(eventsOf(recorded));
    expect(code, err).toBe(0);
    const got = await result(server.url, ['get', '--json', 'cuts/e1']);
    expect(JSON.parse(got.out)).toMatchObject({ id: 'e1', status: 'failed', exitCode: 3 });
  });
});
