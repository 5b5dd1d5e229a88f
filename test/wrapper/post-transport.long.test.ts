/**
 * Goal: a whole run gets through a network that lets no WebSocket pass, with the same promises as
 * over a socket.
 * Method: `run` inside this process against a coordinator that takes posts, and one that refuses
 * upgrades in every way a network does.
 */

import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { POST_BODY_BYTES_MAX } from '../../protocol/index.ts';
import { socketRetryMs, UPGRADE_FAILURES_MAX } from '../../wrapper/transport/transport-switch.ts';
import { FakeCoordinator, pageAnswer, problemAnswer, type Refusal } from '../support/fake-coordinator.ts';
import {
  expectNumberedLines,
  gate,
  type KeptLog,
  numberedLines,
  removeTemporaryFolders,
  runInProcess,
  sleep,
  temporaryFolder,
  until,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];
const types = () => coordinator.events.map(({ type }) => type);
const http = { transport: 'http' } as const;
const bootIds = () => new Set(coordinator.posts.map(({ hello }) => hello?.bootId));

function expectAllLines() {
  expectNumberedLines(coordinator.text());
  expect(coordinator.faults).toEqual([]);
}

describe('[ING18] a run by POST', () => {
  it('[ING19] reports everything as one connection, and accepts 4000 as the regular end', async () => {
    const { exitCode, log, spool } = runInProcess(coordinator, sh('echo out; echo err >&2; exit 3'), http);
    expect(await exitCode).toBe(3);
    expect(types()[0]).toBe('started');
    expect([coordinator.text(), coordinator.text('stderr')]).toEqual(['out\n', 'err\n']);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 3 } });
    expect(coordinator.epoch).toBe(1);
    expect(bootIds().size).toBe(1);
    expect(coordinator.dials).toEqual([]);
    expect(log.facts.map(({ name }) => name)).toContain('settled');
    expect(readdirSync(spool)).toEqual([]);
    expect(coordinator.faults).toEqual([]);
  });

  it('[LIM12] bodies hold many events, and no body is longer than the coordinator accepts', async () => {
    const { exitCode } = runInProcess(coordinator, sh('head -c 12000000 /dev/zero | tr "\\0" "x" | fold -w 999; exit 0'), http);
    expect(await exitCode).toBe(0);
    expect(coordinator.text().replaceAll('\n', '').length).toBe(12_000_000);
    const sizes = coordinator.posts.map(({ posted }) => posted ?? 0);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(POST_BODY_BYTES_MAX);
    expect(Math.max(...sizes)).toBeGreaterThan(POST_BODY_BYTES_MAX / 4);
    expect(coordinator.duplicates).toBe(0); // Later welcomes are no reason to send anything again.
    expect(coordinator.faults).toEqual([]);
  });

  it('[SPL13] the command starts after the first welcome', async () => {
    const marker = join(temporaryFolder(), 'ran');
    const ran: boolean[] = [];
    coordinator.refusePost = (post) => {
      ran.push(existsSync(marker));
      return post <= 3 ? { status: 503 } : null;
    };
    expect(await runInProcess(coordinator, sh(`touch ${marker}`), http).exitCode).toBe(0);
    expect(ran.slice(0, 4)).toEqual([false, false, false, false]);
    expect(existsSync(marker)).toBe(true);
  });

  it('[G1] 20,000 lines, 0 lost, 0 repeated, though answers and posts get lost', async () => {
    let lost = 0;
    coordinator.refusePost = (post) => {
      if (post % 4 !== 0 || lost >= 12) return null;
      lost += 1;
      // Stored and never answered; or not even read.
      return lost % 2 ? 'lost' : { status: 502 };
    };
    coordinator.policy.disconnectGraceMs = 1000;
    const { command, open } = numberedLines();
    const { exitCode } = runInProcess(coordinator, command, http);
    await coordinator.until(() => lost === 12, 'all losses');
    open();
    expect(await exitCode).toBe(0);
    expect(lost).toBe(12);
    expectAllLines();
  });

  it('[SPL20] after a post that was lost the next is a bare hello, however much was waiting behind it', async () => {
    const afterLoss: number[] = [];
    let lost = false;
    coordinator.refusePost = (post) => {
      if (lost) afterLoss.push(coordinator.posts.length);
      lost = post % 5 === 0;
      return lost ? 'lost' : null;
    };
    coordinator.policy.disconnectGraceMs = 1000;
    const { exitCode } = runInProcess(coordinator, sh('head -c 12000000 /dev/zero | tr "\\0" "x" | fold -w 999; exit 0'), http);
    expect(await exitCode).toBe(0);
    expect(afterLoss.length).toBeGreaterThan(2);
    for (const index of afterLoss) expect(coordinator.posts[index]?.frames).toEqual([]);
    expect(coordinator.text().replaceAll('\n', '').length).toBe(12_000_000);
    expect(coordinator.faults).toEqual([]);
  });

  it('[G1] through a crash of the coordinator', async () => {
    coordinator.policy.disconnectGraceMs = 3000;
    const { command, open } = numberedLines();
    const { exitCode } = runInProcess(coordinator, command, http);
    await coordinator.until(() => coordinator.ackedSeq > 15, 'some events');
    await coordinator.crash();
    await sleep(700);
    await coordinator.start();
    open();
    expect(await exitCode).toBe(0);
    expectAllLines();
  });

  it('a post without an answer is aborted, and the next one has more time', async () => {
    coordinator.refusePost = (post) => (post === 3 || post === 4 ? 'hang' : null);
    const { exitCode, log } = runInProcess(coordinator, sh('echo one; sleep 1; echo two'), {
      ...http,
      times: { postTimeoutMs: 250 },
    });
    expect(await exitCode).toBe(0);
    const lost = log.facts.filter(({ name }) => name === 'lost').map(({ why }) => why);
    // And as long as the bytes in flight need.
    expect(lost.slice(0, 2)).toEqual([
      expect.stringMatching(/^no answer to a post within 2[5-9]\d ms$/),
      expect.stringMatching(/^no answer to a post within 5[0-4]\d ms$/),
    ]);
    expect(coordinator.text()).toBe('one\ntwo\n');
    expect(coordinator.faults).toEqual([]);
  });

  it('[ING19] polls while there is nothing to say, and events leave at once', async () => {
    coordinator.policy.heartbeatMs = 300;
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`echo a; ${wait}; echo b; sleep 0.2`), http);
    await coordinator.until(() => coordinator.text() === 'a\n', 'a');
    await sleep(50);
    const before = coordinator.posts.length;
    const began = Date.now();
    await sleep(1000);
    expect(coordinator.posts.length - before).toBeLessThanOrEqual(1 + (Date.now() - began) / 300);
    await coordinator.until(() => coordinator.posts.length - before >= 2, 'polls');
    coordinator.policy.heartbeatMs = 60_000;
    const polled = coordinator.posts.length;
    await coordinator.until(() => coordinator.posts.length > polled, 'the poll that learns it');
    open();
    await coordinator.until(() => coordinator.text() === 'a\nb\n', 'b, long before the next poll', 20_000);
    expect(await exitCode).toBe(0);
  });

  it('[ING9] [SPL15] a command arrives with a poll, is carried out once and acked', async () => {
    coordinator.policy.heartbeatMs = 250;
    const { exitCode } = runInProcess(
      coordinator,
      sh('trap "echo got it; exit 7" INT; echo ready; while :; do sleep 0.05; done'),
      http,
    );
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.commands = [{ id: 4, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 10_000, reason: 'asked to' } }];
    expect(await exitCode).toBe(7);
    expect(coordinator.text()).toBe('ready\ngot it\n');
    expect(new Set(coordinator.ackedCommands)).toEqual(new Set([4]));
    expect(coordinator.faults).toEqual([]);
  });

  it('[CLS17] a close line with 4409 is final at once', async () => {
    coordinator.onHello = (connection) => {
      connection.socket.close(4409, 'another wrapper has this execution');
      return false;
    };
    const { exitCode, log } = runInProcess(coordinator, sh('true'), http);
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('closed with 4409 (another wrapper has this execution)');
    expect(coordinator.posts.length).toBe(1);
  });

  it.each([4000, 4409])('[CLS16] a close line with %i and a reason that is not ours is retried', async (code) => {
    coordinator.onHello = (connection) => {
      if (coordinator.posts.length > 3) return true;
      connection.socket.close(code, 'bye');
      return false;
    };
    const { exitCode } = runInProcess(coordinator, sh('echo ran'), http);
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('ran\n');
  });

  it('[SPL45] a token that no header can carry is final before the first welcome, and is not printed', async () => {
    const credential = { current: () => 'two\nlines', refresh: () => false };
    const { exitCode, log } = runInProcess(coordinator, sh('echo must not run'), { ...http, credential });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('no HTTP header can carry');
    expect(log.problems.join()).not.toContain('lines');
    expect(coordinator.posts).toEqual([]);
  });

  it.each([4001, 4400, 4404])('[SPL30] a close line with %i is believed when it has lasted', async (code) => {
    coordinator.onHello = (connection) => {
      connection.socket.close(code, 'because');
      return false;
    };
    const { exitCode, log } = runInProcess(coordinator, sh('true'), { ...http, times: { refusedBudgetMs: 200 } });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain(`refused by the coordinator: closed with ${code} (because)`);
    expect(coordinator.posts.length).toBeGreaterThanOrEqual(3);
  });

  it.each([
    ['bad_request', 400],
    ['unauthorized', 401],
    ['too_large', 413],
  ] as const)('[SPL30] a refusal of the coordinator (%s) is believed when it has lasted', async (code, status) => {
    let posts = 0;
    coordinator.refusePost = (post) => {
      posts = post;
      return problemAnswer(code);
    };
    const { exitCode, log } = runInProcess(coordinator, sh('true'), { ...http, times: { refusedBudgetMs: 200 } });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain(`refused by the coordinator: HTTP ${status} (${code}: some detail)`);
    expect(posts).toBeGreaterThanOrEqual(3);
  });

  it('[CLS13] Retry-After is honoured', async () => {
    const times: number[] = [];
    coordinator.refusePost = (post) => {
      times.push(Date.now());
      return post === 1 ? { status: 429, headers: { 'retry-after': '1' } } : null;
    };
    expect(await runInProcess(coordinator, sh('true'), http).exitCode).toBe(0);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(990);
  });

  it('a foreign page with status 200 is not an answer, and a redirect is not followed', async () => {
    const foreign: Refusal[] = [
      { status: 200, body: '<html>Please sign in</html>' },
      { status: 302, headers: { location: coordinator.url } },
    ];
    coordinator.refusePost = (post) => foreign[post - 1] ?? null;
    const { exitCode, log } = runInProcess(coordinator, sh('echo in'), http);
    expect(await exitCode).toBe(0);
    const lost = log.facts.filter(({ name }) => name === 'lost').map(({ why }) => why);
    expect(lost[0]).toBe('the answer to a post is not that of a coordinator');
    expect(lost[1]).toMatch(/^HTTP 302, which is no answer of the coordinator/);
    expect(coordinator.text()).toBe('in\n');
  });

  it('[SV6] a restarted wrapper continues by POST where another stopped', async () => {
    coordinator.policy.disconnectGraceMs = 1000;
    const { wait, open } = gate();
    const first = runInProcess(coordinator, sh(`echo done; ${wait}; exit 6`), { ...http, times: { drainBudgetMinMs: 300 } });
    await coordinator.until(() => coordinator.text() === 'done\n', 'output');
    await coordinator.crash();
    open();
    expect(await first.exitCode).toBe(125);
    await coordinator.start();
    const again = runInProcess(coordinator, sh('echo must not run'), { ...http, spoolDirectory: first.spool });
    expect(await again.exitCode).toBe(6);
    expect(types()).toEqual(['started', 'output', 'exit']);
    expect(bootIds().size).toBe(2);
    expect(coordinator.epoch).toBe(2);
  });
});

describe('which transport', () => {
  const facts = (log: { facts: { name: string; kind?: unknown }[] }) =>
    log.facts.filter(({ name }) => name === 'transport').map(({ kind }) => kind);
  const upgradeRequired = problemAnswer('upgrade_required');

  it.each([
    ['answered 401 by a page', pageAnswer(401)],
    ['answered 403', { status: 403 }],
    ['answered 404 by a page', pageAnswer(404)],
    ['answered 426 by the coordinator: the header was taken out on the way', upgradeRequired],
    ['answered 200', pageAnswer(200)],
    ['answered 501', { status: 501 }],
    ['answered 502', { status: 502 }],
    ['never answered', 'hang' as const],
  ])('[SPL20] upgrades that are %s: POST carries the run', async (_how, refusal) => {
    coordinator.refuse = () => refusal;
    const { exitCode, log } = runInProcess(coordinator, sh('echo out; exit 3'), {
      times: { connectWatchdogMs: refusal === 'hang' ? 200 : 20_000 },
    });
    expect(await exitCode).toBe(3);
    expect(coordinator.text()).toBe('out\n');
    expect(coordinator.dials.length).toBe(UPGRADE_FAILURES_MAX);
    expect(facts(log)).toEqual(['http']);
    expect(coordinator.faults).toEqual([]);
  });

  it('[SPL20] upgrades that are cut, or accepted and then cut: POST carries the run', async () => {
    let cuts = 0;
    coordinator.onHello = (connection) => {
      if (connection.posted !== null) return true;
      cuts += 1;
      connection.cut();
      return false;
    };
    const { exitCode, log } = runInProcess(coordinator, sh('echo out; exit 3'));
    expect(await exitCode).toBe(3);
    expect(cuts).toBe(UPGRADE_FAILURES_MAX);
    expect(facts(log)).toEqual(['http']);
  });

  it('[SPL20] what the coordinator itself refuses is not tried by POST', async () => {
    coordinator.refuse = () => problemAnswer('execution_not_found');
    const { exitCode, log } = runInProcess(coordinator, sh('true'), { times: { refusedBudgetMs: 200 } });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('execution_not_found');
    expect(coordinator.posts.length).toBe(0);
  });

  it('[SPL20] when neither works, both are tried until the time for the first welcome is over', async () => {
    let posts = 0;
    coordinator.refuse = () => ({ status: 403 });
    coordinator.refusePost = (post) => {
      posts = post;
      return { status: 405 };
    };
    const { exitCode, log } = runInProcess(coordinator, sh('true'), { times: { firstWelcomeBudgetMs: 3000 } });
    expect(await exitCode).toBe(125);
    expect(log.problems[0]).toContain('HTTP 403');
    expect(log.problems.at(-1)).toContain('could not be reached');
    expect(posts).toBeGreaterThan(0);
    expect(coordinator.dials.length).toBeGreaterThan(UPGRADE_FAILURES_MAX);
  });

  it('[SPL20] a refused upgrade is not the end while a POST may still get through', async () => {
    let posts = 0;
    coordinator.refuse = () => ({ status: 403 });
    coordinator.refusePost = (post) => {
      posts = post;
      return post <= 2 ? { status: 502 } : null;
    };
    const { exitCode } = runInProcess(coordinator, sh('echo out'));
    expect(await exitCode).toBe(0);
    expect(posts).toBeGreaterThan(2);
    expect(coordinator.text()).toBe('out\n');
  });

  it('a coordinator that is down is not a network without WebSocket: no POST while the job runs', async () => {
    coordinator.policy.disconnectGraceMs = 1000;
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo a; ${wait}; echo b`));
    await coordinator.until(() => coordinator.text() === 'a\n', 'a');
    await coordinator.crash();
    await until(
      () => log.facts.filter(({ name }) => name === 'retry').length > UPGRADE_FAILURES_MAX,
      'more retries than upgrades are tried',
    );
    await sleep(500);
    expect(log.facts.some(({ name }) => name === 'trying_post')).toBe(false);
    await coordinator.start();
    open();
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe('a\nb\n');
    expect(facts(log)).toEqual([]);
  });

  it('[SPL20] the network stops letting sockets through in the middle of a run: nothing is lost', async () => {
    coordinator.policy.disconnectGraceMs = 3000;
    const { command, open } = numberedLines();
    const { exitCode, log } = runInProcess(coordinator, command);
    await coordinator.until(() => coordinator.ackedSeq > 15, 'some events');
    coordinator.refuse = () => ({ status: 502 });
    coordinator.last.cut();
    await coordinator.until(() => coordinator.posts.length > 0, 'a post');
    open();
    expect(await exitCode).toBe(0);
    expect(facts(log)).toEqual(['http']);
    expect(coordinator.posts.length).toBeGreaterThan(0);
    expectAllLines();
  });

  it('[SPL20] returns to WebSocket when that works again, and is never superseded by its own posts', async () => {
    coordinator.policy.heartbeatMs = 250;
    coordinator.refuse = (dial) => (dial <= UPGRADE_FAILURES_MAX + 1 ? { status: 403 } : null);
    let postsMeanwhile = Number.NaN;
    coordinator.onHello = (connection) => {
      if (connection.posted !== null) return true;
      const posts = coordinator.posts.length;
      setTimeout(() => {
        postsMeanwhile = coordinator.posts.length - posts;
        coordinator.welcome(connection);
      }, 200);
      return false;
    };
    const { command, open } = numberedLines();
    const { exitCode, log } = runInProcess(coordinator, command, { times: { websocketRetryMs: 300 } });
    await coordinator.until(() => facts(log).includes('websocket') && coordinator.last.frames.length > 0, 'frames over a socket');
    open();
    expect(await exitCode).toBe(0);
    expect(log.facts.filter(({ name }) => name === 'no_websocket').length).toBe(1);
    expect(facts(log)).toEqual(['http', 'websocket']);
    expect(postsMeanwhile).toBe(0);
    expect(coordinator.connections.length).toBe(1);
    expect(coordinator.last.frames.length).toBeGreaterThan(0);
    expectAllLines();
  });

  it('[SPL20] an outage that ended between the last socket and the first post does not keep it from WebSocket for minutes', async () => {
    coordinator.refuse = (dial) => (dial <= UPGRADE_FAILURES_MAX ? { status: 502 } : null);
    const { command, open } = numberedLines();
    const { exitCode, log } = runInProcess(coordinator, command);
    await coordinator.until(() => facts(log).includes('websocket') && coordinator.connections.length > 0, 'a socket again');
    open();
    expect(await exitCode).toBe(0);
    expect(facts(log)).toEqual(['http', 'websocket']);
    expectAllLines();
  });

  it('[SPL20] sockets are tried again soon, then ever more rarely, and at last every so often', () => {
    const times = { websocketRetryMs: 180_000 };
    expect([0, 1, 2, 3, 4, 100, 10_000].map((tried) => socketRetryMs(tried, times))).toEqual([
      2000, 8000, 32_000, 128_000, 180_000, 180_000, 180_000,
    ]);
    expect(socketRetryMs(0, { websocketRetryMs: 300 })).toBe(300);
  });

  it('[SPL20] an upgrade that hangs while it is tried again holds the posts up for a moment only', async () => {
    coordinator.policy.heartbeatMs = 250;
    coordinator.refuse = (dial) => (dial <= UPGRADE_FAILURES_MAX ? { status: 403 } : 'hang');
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.15; done; ${wait}`), {
      times: { websocketRetryMs: 200, websocketProbeMs: 150 },
    });
    await until(() => log.facts.filter(({ name }) => name === 'no_websocket').length >= 2, 'it was tried again');
    open();
    expect(await exitCode).toBe(0);
    expect(log.facts.filter(({ name }) => name === 'no_websocket').length).toBeGreaterThanOrEqual(2);
    expect(coordinator.text()).toBe('1\n2\n3\n4\n5\n6\n7\n8\n9\n');
    expect(coordinator.epoch).toBe(1);
  });

  it('[SPL20] the last flush uses POST when WebSocket is unavailable, whatever the cause', async () => {
    coordinator.policy.disconnectGraceMs = 1000;
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo a; ${wait}; echo end; exit 4`));
    await coordinator.until(() => coordinator.text() === 'a\n', 'a');
    // An answer that says nothing about upgrades: while the job runs it is only retried.
    coordinator.refuse = () => ({ status: 504 });
    coordinator.last.cut();
    open();
    expect(await exitCode).toBe(4);
    expect(facts(log)).toEqual(['http']);
    expect(coordinator.text()).toBe('a\nend\n');
    expect(types().at(-1)).toBe('exit');
  });

  it('--transport websocket never posts', async () => {
    coordinator.refuse = () => ({ status: 403 });
    const { exitCode, log } = runInProcess(coordinator, sh('true'), {
      transport: 'websocket',
      times: { firstWelcomeBudgetMs: 1000 },
    });
    expect(await exitCode).toBe(125);
    expect(log.problems.join()).toContain('HTTP 403');
    expect(coordinator.posts.length).toBe(0);
  });

  it('a line that closes at once whatever is sent: it keeps trying, at a falling rate', async () => {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.on('error', () => {});
      socket.once('data', () => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { exitCode } = runInProcess(coordinator, sh('true'), {
      url: `http://127.0.0.1:${port}/v1/sessions/s1/executions/e1/ingest`,
      times: { firstWelcomeBudgetMs: 2500 },
    });
    expect(await exitCode).toBe(125);
    server.close();
    expect(accepted).toBeGreaterThanOrEqual(UPGRADE_FAILURES_MAX + 1);
    expect(accepted).toBeLessThan(12);
  });
});

describe('[ING15] [SPL21] a coordinator that asks to wait', () => {
  const facts = (log: KeptLog, name: string) => log.facts.filter((fact) => fact.name === name);
  const asked = async (transport: 'websocket' | 'http', prepare: (fake: FakeCoordinator) => void) => {
    const fake = await new FakeCoordinator().start();
    prepare(fake);
    // The cap is 8 s where the grace is not known yet, so every wait is at least 4 s, and three of
    // them are longer than this.
    const { exitCode, log } = runInProcess(fake, sh('exit 5'), { transport, times: { firstWelcomeBudgetMs: 9000 } });
    const code = await exitCode;
    await fake.stop();
    return { code, log };
  };
  /** Three refusals, then it is let in. */
  const queued = (fake: FakeCoordinator) => {
    let hellos = 0;
    fake.onHello = (connection) => {
      hellos += 1;
      if (hellos <= 3) connection.socket.close(1013, 'queued');
      return hellos > 3;
    };
  };
  const saturated = (attempt: number) =>
    [problemAnswer('overloaded'), problemAnswer('queue_full'), problemAnswer('unavailable')][attempt - 1] ?? null;

  it('queued or saturated: the waits are long, and do not use up the time for the first welcome', { timeout: 45_000 }, async () => {
    const runs = await Promise.all([
      asked('websocket', queued),
      asked('http', queued),
      asked('websocket', (fake) => {
        fake.refuse = saturated;
      }),
      asked('http', (fake) => {
        fake.refusePost = saturated;
      }),
    ]);
    for (const { code, log } of runs) {
      expect(code).toBe(5);
      expect(facts(log, 'asked_to_wait').length).toBe(3);
      const waits = facts(log, 'retry').map(({ delayMs }) => delayMs as number);
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(4000);
    }
  });

  it('an answer that is not the coordinator’s does not renew that time', async () => {
    coordinator.refuse = () => ({ status: 503 });
    const { exitCode, log } = runInProcess(coordinator, sh('exit 5'), {
      transport: 'websocket',
      times: { firstWelcomeBudgetMs: 1000 },
    });
    expect(await exitCode).toBe(125);
    expect(facts(log, 'asked_to_wait')).toEqual([]);
  });
});
