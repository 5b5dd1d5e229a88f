/**
 * Goal: the events of an agent server reach the log once each, whatever that server and the ingest
 * connection do meanwhile. Method: a real HTTP server in the place of the agent's, and whole runs
 * with `sse`.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AGENT_LINE_BYTES_MAX, type AgentPartData, checkFact } from '../../protocol/index.ts';
import { agentData } from '../../wrapper/job/agent-stream.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { gate, removeTemporaryFolders, runInProcess, sleep, startWrapper, until } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
let server: Server;
let requests: IncomingMessage[];
let open: ServerResponse[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  requests = [];
  open = [];
  answer = begin;
  server = createServer((request, response) => {
    requests.push(request);
    open.push(response);
    answer(response, request);
  });
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await coordinator.stop();
  removeTemporaryFolders();
});

async function listen(port = 0): Promise<string> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
}
const begin = (response: ServerResponse): void =>
  void response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
const last = (): ServerResponse => open.at(-1) as ServerResponse;
const sh = (script: string) => ['sh', '-c', script];
/** Ends when the test says so. */
const job = sh('read end');
const openStdin = { stdin: { file: null, open: true } };
const endJob = () => coordinator.sendCommand({ id: 99, command: 'input', data: { text: 'end\n' } });
const agent = () => coordinator.events.filter(({ type }) => type === 'agent').map(({ data }) => data);
const types = () => coordinator.events.map(({ type }) => type);

describe('what becomes of a message', () => {
  it.each([
    ['an object, to the letter', { data: '{"n":12345678901234567890, "a" : [1]}' }, '{"n":12345678901234567890, "a" : [1]}'],
    ['name and id beside it', { event: 'step', id: '7', data: '{"a":1}' }, '{"event":"step","id":"7","a":1}'],
    ['its own fields win', { event: 'step', id: '7', data: '{"event":"own","id":null}' }, '{"event":"own","id":null}'],
    ['an empty object', { event: 'step', data: ' { } ' }, '{"event":"step"}'],
    ['an empty object alone', { data: '{}' }, '{}'],
    ['an object over several lines', { id: '1', data: '{\n  "a": 1,\n  "b": "x\\ny"\n}' }, '{"id":"1","a": 1,   "b": "x\\ny" }'],
    ['text', { event: 'log', id: '8', data: 'two\nlines' }, '{"event":"log","id":"8","text":"two\\nlines"}'],
    ['a list', { data: '[1]' }, '{"text":"[1]"}'],
    ['nearly an object', { data: '{"a":' }, '{"text":"{\\"a\\":"}'],
    ['an object too deep for an event', { data: `${'{"a":'.repeat(120)}1${'}'.repeat(120)}` }, undefined],
  ])('%s', (_name, message, expected) => {
    const line = agentData(message);
    if (expected) expect(line).toBe(expected);
    expect(line).not.toContain('\n');
    expect(checkFact({ type: 'agent', at: 0, data: JSON.parse(line) }).ok).toBe(true);
  });
});

describe('--sse', () => {
  it('follows the stream from the start of the job to its end, and the exit is the last event', async () => {
    const sse = await listen();
    // Only the end of the stream ends the run, however slow this machine is.
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin, times: { agentQuietMs: 60_000 } });
    await until(() => open.length === 1, 'the request');
    await coordinator.until(() => types().includes('started'), 'started');
    last().write('event: a\nid: 1\ndata: {"n":1}\n\n: comment\n\ndata: plain\n\n');
    await coordinator.until(() => agent().length === 2, 'two events');
    expect(agent()).toEqual([{ event: 'a', id: '1', n: 1 }, { text: 'plain' }]);
    // On its way when the job ends.
    endJob();
    for (let n = 0; n < 5; n += 1) {
      last().write(`data: {"late":${n}}\n\n`);
      await sleep(60);
    }
    last().end();
    expect(await exitCode).toBe(0);
    expect(agent().length).toBe(7);
    expect(types().at(-1)).toBe('exit');
    expect(coordinator.faults).toEqual([]);
  });

  it('waits for a server that comes up late, and retries after answers that are not a stream', async () => {
    const sse = await listen();
    await new Promise((resolve) => server.close(resolve));
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin });
    await coordinator.until(() => types().includes('started'), 'started');
    await sleep(300);
    const answers: ((response: ServerResponse) => void)[] = [
      (response) => response.writeHead(404).end(),
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      (response) => response.destroy(),
    ];
    answer = (response) => (answers.shift() ?? begin)(response);
    await listen(Number(new URL(sse).port));
    await until(() => requests.length === 4, 'the fourth request', 15_000);
    last().write('data: {"up":true}\n\n');
    await coordinator.until(() => agent().length === 1, 'the event');
    endJob();
    expect(await exitCode).toBe(0);
    expect(agent()).toEqual([{ up: true }]);
  });

  it('resumes with Last-Event-ID after a cut, and skips events that are replayed anyway', async () => {
    const sse = await listen();
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin });
    await until(() => open.length === 1, 'the request');
    last().write('id: 1\ndata: {"n":1}\n\nid: é2\ndata: {"n":2}\n\n');
    await coordinator.until(() => agent().length === 2, 'two events');
    last().destroy();
    await until(() => open.length === 2, 'the second request');
    expect(Buffer.from(requests[1]?.headers['last-event-id'] as string, 'latin1').toString()).toBe('é2');
    expect(requests[0]?.headers['last-event-id']).toBeUndefined();
    // Replayed, and then the server was started again and counts from the beginning.
    last().write('id: 1\ndata: {"n":1}\n\nid: é2\ndata: {"n":2}\n\nid: 3\ndata: {"n":3}\n\nid: 1\ndata: {"again":1}\n\n');
    // Two of one id within one connection are two.
    last().write('id: 9\ndata: {"twin":1}\n\nid: 9\ndata: {"twin":1}\n\n');
    await coordinator.until(() => agent().length >= 6, 'the rest');
    endJob();
    expect(await exitCode).toBe(0);
    expect(agent().map(({ n, again, twin }) => n ?? again ?? twin)).toEqual([1, 2, 3, 1, 1, 1]);
  });

  it('204 is obeyed: it does not reconnect', async () => {
    const sse = await listen();
    answer = (response) => response.writeHead(204).end();
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin });
    await until(() => requests.length === 1, 'the request');
    await sleep(800);
    expect(requests.length).toBe(1);
    endJob();
    expect(await exitCode).toBe(0);
  });

  it('[AS3] a silent stream is reconnected, but not while the ingest connection is down', async () => {
    const sse = await listen();
    const { exitCode } = runInProcess(coordinator, job, {
      sse,
      ...openStdin,
      transport: 'websocket', // Else the run would go on by POST.
      times: { agentSilenceMs: 700 },
    });
    await until(() => requests.length === 2, 'a new connection after silence');
    coordinator.refuse = () => ({ status: 503 });
    coordinator.last.cut();
    await sleep(100);
    const before = requests.length;
    await sleep(1800);
    expect(requests.length).toBe(before);
    // It rests and reads on: what comes meanwhile is kept.
    last().write('data: {"meanwhile":true}\n\n');
    await sleep(100);
    coordinator.refuse = () => null;
    await coordinator.until(() => agent().length === 1, 'the event', 20_000);
    await until(() => requests.length > before, 'the check is back');
    endJob();
    expect(await exitCode).toBe(0);
  });

  it('[AS2] a spool that is full before the stream is there pauses it too', async () => {
    const sse = await listen();
    coordinator.acks = false;
    const count = 40;
    answer = async (response) => {
      begin(response);
      // One at a time: what is read at once is one chunk, and a pause comes between two of them.
      for (let n = 0; n < count; n += 1) {
        response.write(`id: ${n}\ndata: {"n":${n}}\n\n`);
        await sleep(20);
      }
      response.end();
      answer = (later) => later.writeHead(204).end();
    };
    // The `started` event alone is longer.
    const { exitCode, spool } = runInProcess(coordinator, job, {
      sse,
      ...openStdin,
      spoolLimitBytes: 50,
      times: { ackStallMs: 1e9 },
    });
    await coordinator.until(() => types().includes('started'), 'started');
    await until(() => requests.length === 1, 'the stream');
    await sleep(1200);
    expect(readFileSync(join(spool, '1.ndjson'), 'utf8').trimEnd().split('\n').length).toBeLessThan(10);
    coordinator.acks = true;
    coordinator.last.cut();
    await coordinator.until(() => agent().length === count, 'all of it');
    endJob();
    expect(await exitCode).toBe(0);
  });

  it('[AS2] [SPL6] a full spool pauses the stream, and nothing of it is lost', async () => {
    const sse = await listen();
    coordinator.acks = false;
    const count = 5_000; // 20 MB: more than the spool and the buffers of the kernel hold.
    let sent = 0;
    // On a slow machine the stream may count as silent after the pause, and is then asked for
    // again.
    answer = async (response, request) => {
      begin(response);
      const resumedAfter = request.headers['last-event-id'];
      for (sent = resumedAfter === undefined ? 0 : Number(resumedAfter) + 1; sent < count; sent += 1) {
        if (response.destroyed) return;
        response.write(`id: ${sent}\ndata: {"n":${sent},"pad":"${'x'.repeat(4000)}"}\n\n`);
        while (response.writableNeedDrain && !response.destroyed) await sleep(5);
      }
      response.end();
      answer = (later) => later.writeHead(204).end();
    };
    const { exitCode, log } = runInProcess(coordinator, job, {
      sse,
      ...openStdin,
      spoolLimitBytes: 1_000_000,
      times: { ackStallMs: 1e9, agentSilenceMs: 400 },
    });
    await until(() => log.problems.some((problem) => problem.includes('spool is full')), 'full');
    await sleep(1000);
    const paused = sent;
    await sleep(500);
    expect(sent).toBe(paused);
    expect(paused).toBeLessThan(count);
    expect(requests.length).toBe(1); // A pause is not silence.
    coordinator.acks = true;
    coordinator.last.cut();
    await coordinator.until(() => agent().length === count, 'all of it');
    endJob();
    expect(await exitCode).toBe(0);
    expect(agent().every(({ n }, index) => n === index)).toBe(true);
  });

  it.each([
    ['in one line', `data: ${'x'.repeat(1.1 * AGENT_LINE_BYTES_MAX)}\n\n`],
    ['in many lines', `${`data: ${'x'.repeat(999)}\n`.repeat(9000)}\n`],
    ['in lines that end with CR LF', `${`data: ${'x'.repeat(999)}\r\n`.repeat(9000)}\r\n`],
    ['only as an event, by its escapes', `data: ${'"'.repeat(AGENT_LINE_BYTES_MAX * 0.7)}\n\n`],
  ])('[SPL18] a message of more than 8 MiB (%s) is a gap, and what is around it arrives', async (_how, message) => {
    const sse = await listen();
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin });
    await until(() => open.length === 1, 'the request');
    last().write(`data: {"before":1}\n\n${message}data: {"after":1}\n\ndata: {"after":2}\n\n`);
    await coordinator.until(() => agent().length >= 3, 'what is around it');
    endJob();
    expect(await exitCode).toBe(0);
    expect(agent()).toEqual([{ before: 1 }, { after: 1 }, { after: 2 }]);
    expect(coordinator.events.filter(({ type }) => type === 'gap').map(({ data }) => data)).toEqual([
      { events: 1, bytes: expect.any(Number), reason: 'agent_event_too_large' },
    ]);
    expect(coordinator.faults).toEqual([]);
  });

  it('[AGT6] a message too long for one event comes in parts', async () => {
    const sse = await listen();
    const { exitCode } = runInProcess(coordinator, job, { sse, ...openStdin });
    await until(() => open.length === 1, 'the request');
    const message = JSON.stringify({ text: 'é'.repeat(400_000) });
    last().write(`id: 7\ndata: ${message}\n\ndata: {"after":1}\n\n`);
    await coordinator.until(() => agent().length === 1, 'what is behind it');
    endJob();
    expect(await exitCode).toBe(0);
    const parts = coordinator.events
      .filter(({ type }) => type === 'agent_part')
      .map(({ data }) => data as unknown as AgentPartData);
    expect(parts.map(({ part }) => part)).toEqual(parts.map((_, at) => at + 1));
    expect(parts.every((each) => each.parts === parts.length)).toBe(true);
    expect(parts.map(({ text }) => text).join('')).toBe(message.replace('{', '{"id":"7",'));
    expect(coordinator.faults).toEqual([]);
  });

  it('is an option of the program and a variable, and the URL is in no log', async () => {
    const sse = await listen();
    answer = (response) => {
      begin(response);
      response.write('data: {"seen":true}\n\n');
    };
    const { wait, open: release } = gate();
    const variable = startWrapper(coordinator, sh(wait), { args: ['--verbose'], env: { HOLDFAST_SSE: `${sse}?key=hidden` } });
    await coordinator.until(() => agent().length === 1, 'the event');
    release();
    expect((await variable.ended).code).toBe(0);
    expect(agent()).toEqual([{ seen: true }]);
    expect(variable.stderr()).toContain('agent_stream');
    expect(variable.stderr()).not.toContain('hidden');
  });
});
