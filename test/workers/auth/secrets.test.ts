/**
 * Where secrets appear: `env` and `stdin` of a job, its output, and credentials.
 * Method: each has a marker of its own. Runs go through every kind of end and every error that can
 * be provoked. Everything that is stored, answered, sent and logged meanwhile is collected and
 * searched.
 *
 * api.test.ts, "secrets in responses", has the plain cases. test/wrapper/redaction-run.test.ts
 * covers the redaction of a job's output in the wrapper.
 */

import { createMessageBatch, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HoldfastRpc, StartRequest } from '../../../protocol/index.ts';
import type { CallbackMessage } from '../../../src/core/callback-message.ts';
import { RETENTION_MS } from '../../../src/core/deadlines.ts';
import worker from '../../../src/index.ts';
import { provideContainers } from '../support/container-runner.ts';
import { ask, deployment } from '../support/http.ts';
import {
  ACME_KEY,
  api,
  callsOf,
  exit,
  GLOBEX_KEY,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  start,
  stubOf,
  testEnv,
  upgrade,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';
import { SseReader, TextReader } from '../support/readers.ts';
import { directoryOf, keptOf } from './watched.ts';

const SECRETS = { env: 'env-marker "quoted"\nsecond line 5d1f', stdin: 'stdin-marker-8a2c\n', name: 'VARIABLE_MARKER_77' };
const SAID = {
  output: 'output-marker-1b7e',
  agent: 'agent-marker-90aa',
  input: 'input-marker-4c4c',
  argument: 'argument-marker-e0e0',
};
const CREDENTIALS = {
  key: ACME_KEY,
  otherKey: GLOBEX_KEY,
  almostKey: `${ACME_KEY}-almost`,
  signing: String(testEnv.HOLDFAST_SIGNING_KEYS),
  callback: String(testEnv.HOLDFAST_CALLBACK_KEYS).split('acme=')[1] as string,
};
const ADDRESS = 'https://caller.test/done?token=address-marker-0f0f';

/** The text itself, its JSON string, and its longest line alone. */
const spellings = (text: string): string[] => [
  text.trim(),
  JSON.stringify(text.trim()).slice(1, -1),
  JSON.stringify(JSON.stringify(text.trim())).slice(3, -3),
  ...(/[a-z]+-marker/.exec(text) ?? []),
];

function silent(where: string, text: string, ...secrets: string[]): void {
  for (const secret of secrets.flatMap(spellings)) expect(text, where).not.toContain(secret);
}

const spoken: string[] = [];
const queued: CallbackMessage[] = [];
let launches: { authorization: string | null; text: string; body: { ingest: Run['ingest'] } }[] = [];
/** What the coordinator gave the runners of its containers. */
const runnerTokens = (): string[] => launches.flatMap(({ authorization }) => authorization?.replace('Bearer ', '') ?? []);
/** The runner of the container, or another program on its port. */
let runner: (request: Request, text: string) => Response | Promise<Response> = () => Response.json({ id: 'x' }, { status: 201 });

beforeEach(() => {
  spoken.length = 0;
  queued.length = 0;
  launches = [];
  runner = () => Response.json({ id: 'x' }, { status: 201 });
  for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const)
    vi.spyOn(console, level).mockImplementation((...args) => void spoken.push(args.map(String).join(' ')));
  const binding = Object.getPrototypeOf(testEnv.CALLBACKS) as Queue<CallbackMessage>;
  vi.spyOn(binding, 'send').mockImplementation(async (message) => {
    queued.push(message);
    return { metadata: { metrics: { backlogCount: 1, backlogBytes: 1 } } } as QueueSendResponse;
  });
});
provideContainers(async (request) => {
  const text = await request.text();
  launches.push({ authorization: request.headers.get('authorization'), text, body: JSON.parse(text) });
  return runner(request, text);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const REQUEST: Partial<StartRequest> = {
  command: ['job', SAID.argument],
  env: { TOKEN: SECRETS.env, [SECRETS.name]: '1' },
  stdin: SECRETS.stdin,
  openStdin: true,
  launcher: 'container',
  callback: { url: ADDRESS },
};
const startSecret = (session: string, more: Partial<StartRequest> = {}): Promise<Run> =>
  start(session, { ...REQUEST, id: 'e1', ...more });

const kept = async (session: string): Promise<string> => JSON.stringify(await keptOf(session));
const statusIs = (run: Run, status: string) => vi.waitFor(async () => expect((await get(run)).status).toBe(status), 5000);
const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const columnsOf = ({ session, execution }: Run) =>
  runInDurableObject(stubOf(session), (_, { storage }) =>
    storage.sql
      .exec<{ env: string | null; stdin: string | null; launch_at: number | null; pending_until: number | null }>(
        'SELECT env, stdin, launch_at, pending_until FROM executions WHERE id = ?',
        execution.id,
      )
      .one(),
  );
const saturated = (): Response => Response.json({ code: 'runner_full' }, { status: 429, headers: { 'retry-after': '3600' } });

describe('[HTTP20] env and stdin are kept until the wrapper has them, or can no longer get them', () => {
  /**
   * Takes a run that waits for its launch, or is launched, to an end. Returns the session whose
   * rows are then searched.
   */
  const ENDS: [what: string, waits: 'launched' | 'pending' | 'queued', end: (run: Run) => Promise<unknown>][] = [
    ['the runner has taken them', 'launched', async () => {}],
    [
      'the wrapper is there before the runner has answered',
      'pending',
      async (run) => {
        await WrapperPeer.welcomed(run);
        await statusIs(run, 'running');
      },
    ],
    [
      'it is interrupted while it is pending',
      'pending',
      (run) => api('POST', `${pathOf(run)}/interrupt`, { body: { force: true } }),
    ],
    ['it is interrupted while it waits', 'queued', (run) => api('POST', `${pathOf(run)}/interrupt`, { body: {} })],
    ['it is failed while it waits', 'queued', (run) => api('POST', `${pathOf(run)}/fail`, { body: { code: 'x', message: 'x' } })],
    [
      'it is failed while it is pending',
      'pending',
      (run) => api('POST', `${pathOf(run)}/fail`, { body: { code: 'x', message: 'x' } }),
    ],
    [
      'its time to be launched is over',
      'pending',
      async (run) => {
        at(Number((await columnsOf(run)).pending_until));
        await runDurableObjectAlarm(stubOf(run.session));
        await statusIs(run, 'failed');
      },
    ],
    [
      'the object was evicted, and its time is over then',
      'pending',
      async (run) => {
        const until = Number((await columnsOf(run)).pending_until);
        await putToSleep(stubOf(run.session));
        at(until + 1);
        await runDurableObjectAlarm(stubOf(run.session));
        await statusIs(run, 'failed');
      },
    ],
    [
      'another takes its place',
      'pending',
      async (run) => {
        await start(run.session, { id: 'e2', onBusy: 'replace' });
        await statusIs(run, 'interrupted');
      },
    ],
    ['its session is deleted', 'pending', (run) => api('DELETE', `/v1/sessions/${run.session}`)],
    ['its session is deleted while it waits', 'queued', (run) => api('DELETE', `/v1/sessions/${run.session}`)],
  ];
  const pathOf = ({ session, execution }: Run): string => `/v1/sessions/${session}/executions/${execution.id}`;

  test.each(ENDS)('%s', async (_, waits, end) => {
    const session = newSession();
    if (waits === 'pending') runner = saturated;
    if (waits === 'queued') await start(session, { id: 'blocker', policy: { pendingTimeoutMs: 600_000 } });
    const run = await startSecret(session, waits === 'queued' ? { onBusy: 'queue' } : {});
    if (waits === 'launched') await vi.waitFor(async () => expect((await columnsOf(run)).launch_at).toBeNull());
    // They are stored while a launch still needs them. Otherwise the rest would show nothing.
    else expect(await columnsOf(run)).toMatchObject({ env: expect.stringContaining('env-marker'), stdin: SECRETS.stdin });
    await end(run);
    silent('rows', await kept(session), ...Object.values(SECRETS));
    silent('directory', JSON.stringify(await directoryOf()), ...Object.values(SECRETS));
    silent('callback', JSON.stringify(queued), ...Object.values(SECRETS));
    silent('console', spoken.join('\n'), ...Object.values(SECRETS), ...Object.values(CREDENTIALS), ...runnerTokens());
    if (waits === 'launched') expect(launches[0]?.text).toContain('env-marker');
  });

  /** Possible responses of a runner, or of a proxy in front of it. */
  const ECHOES: [what: string, answer: (request: Request, text: string) => Response][] = [
    ['its own reason', () => Response.json({ detail: 'cwd does not exist' }, { status: 400 })],
    [
      'the whole request as text',
      (request, text) => new Response(`${[...request.headers].join('\n')}\n\n${text}`, { status: 400 }),
    ],
    ['the request within a page', (_, text) => new Response(`<html><pre>${text}</pre>`, { status: 403 })],
    [
      'the request in its detail',
      (request, text) => Response.json({ detail: `${request.headers.get('authorization')} ${text}` }, { status: 422 }),
    ],
    [
      'the values in its detail',
      (_, text) => {
        const { env, stdin, ingest } = JSON.parse(text) as { env: { TOKEN: string }; stdin: string; ingest: { token: string } };
        return Response.json({ detail: `bad value ${env.TOKEN} or ${stdin} or ${ingest.token}` }, { status: 400 });
      },
    ],
    [
      'a secret where the reason is cut',
      (_, text) =>
        new Response(`${'x'.repeat(490)}${(JSON.parse(text) as { ingest: { token: string } }).ingest.token}`, { status: 400 }),
    ],
    [
      'the same where it is cut by 200',
      (_, text) =>
        new Response(`${'x'.repeat(190)}${(JSON.parse(text) as { ingest: { token: string } }).ingest.token}`, { status: 400 }),
    ],
  ];
  test.each(ECHOES)('a launch that is refused with %s: the reason is reported, without them', async (_, answer) => {
    runner = answer;
    const session = newSession();
    const viewer = startSecret(session, { env: { TOKEN: SECRETS.env } }).then(async (run) => ({
      run,
      peer: await ViewerPeer.connect(session),
    }));
    const { run, peer } = await viewer;
    await statusIs(run, 'failed');
    const { error, code } = await get(run);
    expect(code).toBe('launch_failed');
    expect(error).toMatch(/^the runner answered 4\d\d: \S/);
    expect(error?.length).toBeLessThan(600);
    const told = [
      error,
      (await ask('GET', `/v1/sessions/${session}/executions`)).text,
      await kept(session),
      JSON.stringify(await directoryOf()),
      JSON.stringify(queued),
      JSON.stringify(peer.received),
      spoken.join('\n'),
    ].join('\n');
    const { token } = (launches[0] as (typeof launches)[0]).body.ingest;
    silent('anywhere', told, SECRETS.env, SECRETS.stdin, ...runnerTokens(), token);
    // Not even a prefix of one.
    expect(told).not.toContain(token.slice(0, 12));
    expect(queued).toHaveLength(1);
  });

  test('an unreachable runner: the reason contains nothing of them, and they are deleted with the last attempt', async () => {
    runner = () => {
      throw new TypeError('Network connection lost.');
    };
    const run = await startSecret(newSession());
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const { launch_at: due } = await columnsOf(run);
      if (due === null) break;
      expect((await columnsOf(run)).env).toContain('env-marker');
      at(Math.max(due, Date.now()));
      await runDurableObjectAlarm(stubOf(run.session));
    }
    await statusIs(run, 'failed');
    silent('rows', await kept(run.session), ...Object.values(SECRETS), ...runnerTokens());
    silent('console', spoken.join('\n'), ...Object.values(SECRETS), ...Object.values(CREDENTIALS), ...runnerTokens());
  });

  test('a session that expired has nothing left', async () => {
    const run = await startSecret(newSession());
    await api('POST', `/v1/sessions/${run.session}/executions/e1/fail`, { body: { code: 'x', message: 'x' } });
    await vi.waitFor(() => expect(queued).toHaveLength(1));
    at(Date.now() + RETENTION_MS + 60_000);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(async () => silent('rows', await kept(run.session), SAID.argument, ...Object.values(SECRETS)));
  });
});

describe('a whole run, with every error that can be provoked', () => {
  const rpc = exports.Holdfast({ props: { tenant: 'acme' } }) as unknown as HoldfastRpc;
  const event = (type: string, data: Record<string, unknown>) => ({ type, at: 1_763_650_000_000, data });
  /** Runs it, and ignores its outcome. */
  const provoke = async (work: () => unknown): Promise<void> => {
    await Promise.resolve()
      .then(work)
      .catch(() => {});
  };

  test('no log line has a word of the job, its input, its environment, or a credential; and responses contain only what is requested', async () => {
    const answers: string[] = [];
    const note = async (asked: ReturnType<typeof ask>): Promise<void> => {
      const { text, headers } = await asked;
      answers.push(text + JSON.stringify([...headers]));
    };
    const session = newSession();
    const path = `/v1/sessions/${session}`;

    // Starts, good and bad.
    const run = await startSecret(session);
    await vi.waitFor(async () => expect((await columnsOf(run)).launch_at).toBeNull());
    const given = launches[0] as (typeof launches)[0];
    for (const body of [
      { ...REQUEST, id: 'e1', command: ['other'] },
      { ...REQUEST, id: 'e2' },
      { ...REQUEST, id: 'e3', env: { TOKEN: SECRETS.env, [SECRETS.stdin]: 'x' } },
      { ...REQUEST, id: 'e4', stdin: [SECRETS.stdin] },
      { ...REQUEST, id: 'e5', callback: { url: `ftp://${SECRETS.name}` } },
      `{"command":["job"],"env":{"TOKEN":"env-marker`,
    ])
      await note(ask('POST', `${path}/executions`, { body }));

    // Wrong credentials, in every position of a credential.
    const ticket = String((await ask('POST', `${path}/tickets`)).body.ticket);
    for (const wrong of [CREDENTIALS.almostKey, `${given.body.ingest.token}x`, `${ticket}x`]) {
      await note(ask('GET', path, { key: wrong }));
      await note(ask('GET', `${path}/events?ticket=${wrong}`, { key: null }));
      await note(ask('POST', `${path}/executions/e1/ingest`, { key: wrong, body: SAID.output }));
    }

    // A wrapper that sends good and bad frames.
    const wrapper = await WrapperPeer.welcomed({ ingest: { ...run.ingest, token: given.body.ingest.token } });
    await wrapper.deliver(1, [
      output(`${SAID.output}\n`),
      event('agent', { text: SAID.agent }),
      event('status', { message: SAID.output }),
      event('error', { error: SAID.output, fatal: false }),
    ]);
    const stranger = await upgrade(run.ingest.url, {
      authorization: `Bearer ${run.ingest.token}`,
      'sec-websocket-protocol': 'holdfast.ingest.v1',
    });
    stranger.webSocket?.accept();
    stranger.webSocket?.send(`{"type":"hello","wrapperId":"${SAID.output} ${SAID.agent}`);
    for (const body of [
      SAID.output,
      `{"type":"hello","protocol":1,"wrapperId":"w_9","bootId":"b_9","nextSeq":1,"lost":0}\n${SAID.agent}`,
      `{"${SAID.input}":`,
    ])
      await note(ask('POST', `${path}/executions/e1/ingest`, { key: run.ingest.token, body }));

    // Readers of every kind, one of which meets a row that is damaged.
    const viewer = await ViewerPeer.connect(session, `?ticket=${ticket}`, { key: '' });
    await viewer.until('caught_up');
    const sse = await SseReader.open(`${path}/stream`, {});
    await vi.waitFor(() => expect(sse.events.length).toBeGreaterThan(3));
    await note(ask('POST', `${path}/executions/e1/input`, { body: { data: SAID.input } }));
    await note(ask('POST', `${path}/executions/e1/input`, { body: { data: 7, [SAID.input]: SAID.input } }));
    const damage = (body: string) =>
      runInDurableObject(stubOf(session), (_, { storage }) => {
        const [row] = storage.sql
          .exec<{ first_offset: number; body: string }>("SELECT first_offset, body FROM log WHERE body LIKE '%output-marker%'")
          .toArray();
        if (!row) throw new Error('nothing was said');
        storage.sql.exec('UPDATE log SET body = ? WHERE first_offset = ?', body || row.body, row.first_offset);
        return row.body;
      });
    const whole = await damage(`${SAID.output} is no JSON`);
    await putToSleep(stubOf(session), { webSockets: 'hibernate' });
    const failed = await rpc.readEvents(session, {}).catch((error: unknown) => String(error));
    answers.push(JSON.stringify(failed));
    expect(failed).toMatchObject({ ok: false, code: 'internal' });
    // The platform logs what an object throws.
    const thrown = await callsOf(session)
      .readEvents({ after: 0, limit: 1000 })
      .catch((error: unknown) => `${error} ${(error as Error).stack}`);
    expect(thrown).toContain('a stored row');
    silent('what an object throws', String(thrown), SAID.output, '[output-');
    await provoke(() => note(ask('GET', `${path}/events`)));
    await provoke(async () => (await ViewerPeer.connect(session, '?types=output')).until('caught_up'));
    await provoke(async () => (await TextReader.open(`${path}/executions/e1/log`)).ended);
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      storage.sql.exec('UPDATE log SET body = ? WHERE body = ?', whole, `${SAID.output} is no JSON`);
    });

    // The end, and everything that is informed of it.
    const again = await WrapperPeer.welcomed({ ingest: run.ingest }, { nextSeq: 5 });
    await again.deliver(5, [exit(3)]);
    await statusIs(run, 'failed');
    await vi.waitFor(() => expect(queued).toHaveLength(1));
    for (const below of ['', '/executions', '/executions/e1', '/executions/e1/log', '/events', '/executions/e1/events?offset=-1'])
      await note(ask('GET', `${path}${below}`));
    await note(ask('GET', '/v1/sessions'));
    const message = queued[0] as CallbackMessage;
    vi.stubGlobal('fetch', async () => {
      throw new Error(`could not reach ${ADDRESS} with ${CREDENTIALS.callback} and ${SAID.output}`);
    });
    await worker.queue(
      createMessageBatch('holdfast-callbacks', [{ id: '1', timestamp: new Date(), attempts: 1, body: message }]),
      testEnv,
    );
    await worker.queue(
      createMessageBatch('holdfast-callbacks', [{ id: '2', timestamp: new Date(), attempts: 1, body: SAID.output as never }]),
      testEnv,
    );
    await note(ask('GET', path, { env: deployment({ HOLDFAST_SIGNING_KEYS: `${CREDENTIALS.signing.slice(0, 31)}` }) }));
    await note(ask('DELETE', path));
    viewer.close();

    const log = spoken.join('\n');
    const tokens = [run.ingest.token, given.body.ingest.token, ticket].flatMap((token) => [token, token.split('.')[2] as string]);
    const events = new Set(spoken.map((line) => (JSON.parse(line) as { event: string }).event));
    for (const event of ['session_call_failed', 'callback_failed']) expect([...events]).toContain(event);
    silent('log lines', log, ...Object.values(SECRETS), ...Object.values(SAID), ...Object.values(CREDENTIALS), ...tokens);
    expect(log).not.toContain('address-marker');

    const said = answers.join('\n');
    silent('answers', said, SECRETS.env, SECRETS.stdin, ...Object.values(CREDENTIALS), ...tokens);
    expect(said).not.toContain('address-marker');
    // Not even the name of a variable; and the output of the job only where it was requested.
    silent('answers', said, SECRETS.name);
    expect(said).toContain(SAID.output);
    silent(
      'what viewers got',
      JSON.stringify([viewer.received, sse.events]),
      SECRETS.env,
      SECRETS.stdin,
      ...Object.values(CREDENTIALS),
      ...tokens,
    );
    silent(
      'the callback',
      message.body,
      SECRETS.env,
      SECRETS.stdin,
      SECRETS.name,
      ...Object.values(CREDENTIALS),
      ...tokens,
      SAID.output,
      SAID.input,
    );
    expect(message.body).not.toContain('address-marker');
    silent(
      'the directory',
      JSON.stringify(await directoryOf()),
      SECRETS.env,
      SECRETS.stdin,
      ...Object.values(CREDENTIALS),
      ...tokens,
      SAID.output,
    );
  });
});
