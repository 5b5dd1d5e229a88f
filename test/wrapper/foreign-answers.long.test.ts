/**
 * Goal: a running job outlives every answer that is not the coordinator's, and every refusal of a
 * coordinator that has the wrong key or data for a while. What ends it at once is what only the
 * owner of the truth can say.
 * Method: `run` inside this process, with a real job. After a cut each attempt is answered with one
 * kind of answer, until several were refused.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeFrame } from '../../protocol/index.ts';
import { fileCredential } from '../../wrapper/transport/credential.ts';
import { type FakeConnection, FakeCoordinator, pageAnswer, problemAnswer, type Refusal } from '../support/fake-coordinator.ts';
import {
  gate,
  type KeptLog,
  keptLog,
  removeTemporaryFolders,
  runInProcess,
  temporaryFolder,
  until,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  // The cap of the delays is a sixth of the grace.
  coordinator.policy = { ...coordinator.policy, disconnectGraceMs: 1200, silenceTimeoutMs: 1000, heartbeatMs: 250 };
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];
const REFUSALS = 3;

/** Every attempt, by WebSocket and by POST, is answered so until `lift`. Counts them. */
function refuseAll(answer: () => Refusal): { count: () => number; lift: () => void } {
  let on = true;
  let count = 0;
  const refuse = () => {
    if (!on) return null;
    count += 1;
    return answer();
  };
  coordinator.refuse = refuse;
  coordinator.refusePost = refuse;
  return {
    count: () => count,
    lift: () => {
      on = false;
    },
  };
}

const FOREIGN: [string, Refusal][] = [
  ...[400, 401, 403, 404, 407, 409, 418, 451, 502, 200].map((status): [string, Refusal] => [
    `a page with ${status}`,
    pageAnswer(status),
  ]),
  ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:9/sign-in' } }],
  ['an empty 403', { status: 403 }],
  ['an empty 204', { status: 204 }],
  [
    'JSON of another service',
    { status: 404, headers: { 'content-type': 'application/json' }, body: '{"code":"not_found","detail":"x"}' },
  ],
  [
    'a problem document of another service',
    {
      status: 404,
      headers: { 'content-type': 'application/problem+json' },
      body: '{"type":"https://example.com/not-found","title":"Not Found","status":404,"code":"not_found","retryable":false}',
    },
  ],
  ['a problem document whose code does not fit', { ...problemAnswer('execution_not_found'), status: 403 }],
  ['503 of a proxy that asks to wait for an hour', { ...pageAnswer(503), headers: { 'retry-after': '3600' } }],
];

const OWN: [string, Refusal][] = [
  ['401: another signing key', problemAnswer('unauthorized', 'The ingest token is invalid.')],
  ['404: an empty data folder', problemAnswer('execution_not_found')],
  ['404: no such session', problemAnswer('session_not_found')],
  ['400', problemAnswer('bad_request')],
  ['503: no keys', problemAnswer('not_configured')],
];

describe('after a cut, while the job runs', () => {
  it.each([...FOREIGN, ...OWN])('[CLS16] [SPL29] it continues through %s', async (_what, answer) => {
    const end = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo more; exit 7`));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    const refused = refuseAll(() => answer);
    coordinator.last.cut();
    await coordinator.until(() => refused.count() >= REFUSALS, 'refusals');
    refused.lift();
    end.open();
    expect(await exitCode).toBe(7);
    expect(coordinator.text()).toBe('ready\nmore\n');
    expect(coordinator.faults).toEqual([]);
    expect(log.problems.join('\n')).toMatch(/no connection to the coordinator: HTTP \d{3}.*; trying again/);
  });

  it.each([1000, 1002, 1008, 1009, 1011, 1013, 3000, 4000, 4001, 4400, 4401, 4404, 4408, 4409, 4410, 4413, 4429, 4999])(
    '[CLS16] [SPL29] it continues through closes with %i',
    async (code) => {
      const end = gate();
      const { exitCode } = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo more; exit 7`), { transport: 'websocket' });
      await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
      let closed = 0;
      coordinator.onHello = (connection) => {
        if (closed >= REFUSALS) return true;
        closed += 1;
        connection.socket.close(code, 'because');
        return false;
      };
      coordinator.last.cut();
      await coordinator.until(() => closed >= REFUSALS, 'closes');
      end.open();
      expect(await exitCode).toBe(7);
      expect(coordinator.text()).toBe('ready\nmore\n');
    },
  );

  it.each([
    ['4404 with the reason `deleted`', { code: 4404, reason: 'deleted' }],
    ['4409: another wrapper owns the execution', { code: 4409, reason: 'another wrapper has this execution' }],
  ])('[CLS17] [SPL29] %s ends it at once', async (_what, { code, reason }) => {
    const { exitCode, log, spool } = runInProcess(coordinator, sh('echo ready; exec sleep 600'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.last.socket.close(code, reason);
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain(`closed with ${code} (${reason})`);
    expect(coordinator.dials).toHaveLength(1);
    expect(readdirSync(spool)).toContain('state.json');
  });

  it('[CLS17] [SPL29] a problem document with `deleted` ends it at once, over POST', async () => {
    const { exitCode, log } = runInProcess(coordinator, sh('echo ready; exec sleep 600'), { transport: 'http' });
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.refusePost = () => problemAnswer('session_not_found', 'This session was deleted.', { deleted: true });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('session_not_found, deleted');
  });

  it.each([
    ['by 404', 'execution_not_found'],
    ['by 401', 'unauthorized'],
  ] as const)('[SPL29] a coordinator that refuses %s until the grace is certainly over ends it', async (_how, code) => {
    const { exitCode, log, spool } = runInProcess(coordinator, sh('echo ready; exec sleep 600'), { times: { graceMarginMs: 100 } });
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    const refused = refuseAll(() => problemAnswer(code));
    const cutAt = performance.now();
    coordinator.last.cut();
    expect(await exitCode).toBe(125);
    // The silence limit, twice the grace, and the margin.
    expect(performance.now() - cutAt).toBeGreaterThanOrEqual(1000 + 2 * 1200 + 100);
    expect(refused.count()).toBeGreaterThanOrEqual(REFUSALS);
    expect(log.problems.join()).toContain(`refused by the coordinator: HTTP ${code === 'unauthorized' ? 401 : 404}`);
    expect(readdirSync(spool)).toContain('state.json');
  });
});

/** Each hello is answered with a welcome that says `ackedSeq`, until `lift`. */
function welcomeAllWith(ackedSeq: number): { refused: FakeConnection[]; lift: () => void } {
  const refused: FakeConnection[] = [];
  coordinator.onHello = (connection) => {
    refused.push(connection);
    const { policy, limits } = coordinator;
    connection.send(encodeFrame({ type: 'welcome', protocol: 1, epoch: 1, ackedSeq, policy, limits, commands: [] }));
    return false;
  };
  return {
    refused,
    lift: () => {
      coordinator.onHello = () => true;
    },
  };
}

const filesOf = (folder: string) =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [name, readFileSync(join(folder, name), 'utf8')]);

/**
 * Frames come in order: when a command is acknowledged, the acks before it have come. That its
 * stdin is closed is the job's last event for now.
 */
async function takenInSoFar(): Promise<void> {
  coordinator.commands.push({ id: 1, command: 'input', data: { text: 'x' } });
  // Over a socket a command comes with the next welcome, over POST with the next poll.
  if (coordinator.connections.length > 0) coordinator.last.cut();
  await coordinator.until(() => coordinator.ackedCommands.includes(1), 'the acks have come');
  await coordinator.until(() => coordinator.events.at(-1)?.type !== 'output', 'what became of the input');
}

const newestSeq = (log: KeptLog) =>
  Math.max(...log.facts.filter(({ name }) => name === 'sent').map(({ lastSeq }) => Number(lastSeq)));

type SeqOf = (newest: number) => number;
const ONE: SeqOf = () => 1;
const BEYOND: SeqOf = (newest) => newest + 20;

describe('welcomes that do not fit, while the job runs', () => {
  it.each([
    ['asks for what it acknowledged', 'websocket', ONE, 'asks for event 2, which it acknowledged before'],
    ['asks for what it acknowledged', 'http', ONE, 'asks for event 2, which it acknowledged before'],
    ['has events that were never made', 'websocket', BEYOND, 'but there are only'],
    ['has events that were never made', 'http', BEYOND, 'but there are only'],
  ] as const)(
    '[SPL44] [SPL29] it continues through a coordinator that %s for a moment, by %s',
    async (_what, transport, ackedSeq, why) => {
      const end = gate();
      const started = runInProcess(
        coordinator,
        sh(`echo a; sleep 0.2; echo b; sleep 0.2; echo ready; ${end.wait}; echo more; exit 7`),
        {
          transport,
        },
      );
      await coordinator.until(() => coordinator.text() === 'a\nb\nready\n', 'ready');
      await takenInSoFar();
      const files = filesOf(started.spool);
      const { refused, lift } = welcomeAllWith(ackedSeq(newestSeq(started.log)));
      if (transport === 'websocket') coordinator.last.cut();
      await coordinator.until(() => refused.length >= REFUSALS, 'welcomes');
      expect(refused.flatMap(({ frames }) => frames)).toEqual([]);
      expect(filesOf(started.spool)).toEqual(files);
      lift();
      end.open();
      expect(await started.exitCode).toBe(7);
      expect(started.log.problems.join()).toMatch(new RegExp(`no connection to the coordinator: .*${why}.*; trying again`));
      expect(coordinator.text()).toBe('a\nb\nready\nmore\n');
      expect(coordinator.faults).toEqual([]);
    },
  );

  it.each([
    ['asks for what it acknowledged', ONE, 'asks for event 2, which it acknowledged before'],
    ['has events of another copy of this spool', BEYOND, 'but there are only'],
  ] as const)('[SPL44] [SPL29] a coordinator that %s until the grace is certainly over ends it', async (_what, ackedSeq, why) => {
    const { exitCode, log, spool } = runInProcess(coordinator, sh('echo a; sleep 0.2; echo ready; exec sleep 600'), {
      times: { graceMarginMs: 100 },
    });
    await coordinator.until(() => coordinator.text() === 'a\nready\n', 'ready');
    await takenInSoFar();
    const { refused } = welcomeAllWith(ackedSeq(newestSeq(log)));
    const cutAt = performance.now();
    coordinator.last.cut();
    expect(await exitCode).toBe(125);
    // The silence limit, twice the grace, and the margin.
    expect(performance.now() - cutAt).toBeGreaterThanOrEqual(1000 + 2 * 1200 + 100);
    expect(refused.length).toBeGreaterThanOrEqual(REFUSALS);
    expect(refused.flatMap(({ frames }) => frames)).toEqual([]);
    expect(log.problems.join()).toMatch(new RegExp(`refused by the coordinator: .*${why}`));
    expect(readdirSync(spool)).toContain('state.json');
  });
});

describe('a token that is changed while the job runs', () => {
  it('[SPL45] a token file without a token for a moment does not end it', async () => {
    const end = gate();
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, coordinator.token);
    const { exitCode } = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo more; exit 7`), {
      credential: fileCredential(file),
    });
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    writeFileSync(file, '# rotating\ntoken being written\n');
    const refused = refuseAll(() => problemAnswer('unauthorized'));
    coordinator.last.cut();
    await coordinator.until(() => refused.count() >= REFUSALS, 'refusals');
    refused.lift();
    end.open();
    expect(await exitCode).toBe(7);
    expect(coordinator.text()).toBe('ready\nmore\n');
  });

  it.each(['websocket', 'http'] as const)('[SPL45] a token that no header can carry is read again, by %s', async (transport) => {
    const end = gate();
    const bad = 'two\nlines';
    const known = { token: coordinator.token, reads: 0 };
    const credential = {
      current: () => known.token,
      refresh: () => {
        known.reads += 1;
        if (known.reads >= REFUSALS) known.token = coordinator.token;
        return known.reads >= REFUSALS;
      },
    };
    const { exitCode, log } = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo more; exit 7`), {
      transport,
      credential,
    });
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    known.token = bad;
    if (transport === 'websocket') coordinator.last.cut();
    await until(() => known.reads >= REFUSALS, 'reads');
    end.open();
    expect(await exitCode).toBe(7);
    expect(coordinator.text()).toBe('ready\nmore\n');
    expect(log.problems.join()).not.toContain('lines');
  });
});

describe('before the first welcome', () => {
  it('[SPL30] a wrong token ends it soon, and reports the cause from the first refusal on', async () => {
    const { exitCode, log } = runInProcess(coordinator, sh('echo must not run'), {
      credential: { current: () => 'wrong', refresh: () => false },
      times: { refusedBudgetMs: 300 },
    });
    await until(() => log.problems.length > 0, 'the first word');
    expect(log.problems[0]).toContain('HTTP 401 (unauthorized: The ingest token is invalid.)');
    expect(await exitCode).toBe(125);
    expect(log.problems.at(-1)).toContain('refused by the coordinator: HTTP 401');
    expect(coordinator.dials.length).toBeGreaterThanOrEqual(3);
    expect(coordinator.lines).toEqual([]);
  });

  it.each([...OWN, ...FOREIGN.slice(0, 5)])('[SPL30] it survives %s for a moment', async (_what, answer) => {
    const refused = refuseAll(() => answer);
    const { exitCode } = runInProcess(coordinator, sh('echo ran'));
    await coordinator.until(() => refused.count() >= 3, 'refusals');
    refused.lift();
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('ran\n');
  });

  it('[CLS17] 4409 ends it at once: the command is not run twice', async () => {
    coordinator.onHello = (connection) => {
      connection.socket.close(4409, 'another wrapper has this execution');
      return false;
    };
    const log = keptLog();
    expect(await runInProcess(coordinator, sh('echo must not run'), { log }).exitCode).toBe(125);
    expect(coordinator.dials).toHaveLength(1);
  });
});
