/**
 * Goal: the faults that connections of this kind have met in the field, each provoked for real.
 * Method: a real Connection against the fake coordinator over TCP, with short times.
 */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CoordinatorFrame, encodeEventsFrame, type WelcomeFrame } from '../../protocol/index.ts';
import { WRAPPER_TIMES, type WrapperTimes } from '../../wrapper/times.ts';
import { Connection } from '../../wrapper/transport/connection.ts';
import type { ConnectionEnd } from '../../wrapper/transport/connection-loss.ts';
import { type Credential, fixedCredential } from '../../wrapper/transport/credential.ts';
import { websocketUrl } from '../../wrapper/transport/transport.ts';
import { FakeCoordinator, problemAnswer } from '../support/fake-coordinator.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type KeptLog, keptLog, sleep, until } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const opened: Connection[] = [];
const proxies: TcpProxy[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  for (const connection of opened.splice(0)) await connection.close();
  for (const proxy of proxies.splice(0)) await proxy.close();
  await coordinator.stop();
});

interface Opened {
  connection: Connection;
  welcomes: WelcomeFrame[];
  frames: CoordinatorFrame[];
  downs: string[];
  ends: ConnectionEnd[];
  log: KeptLog;
}

function connect(
  times: Partial<WrapperTimes> = {},
  credential: Credential = fixedCredential('secret'),
  random = () => 0,
  url = coordinator.url,
): Opened {
  const seen = {
    welcomes: [] as WelcomeFrame[],
    frames: [] as CoordinatorFrame[],
    downs: [] as string[],
    ends: [] as ConnectionEnd[],
  };
  const log = keptLog();
  const connection = new Connection({
    url: websocketUrl(url),
    credential,
    times: { ...WRAPPER_TIMES, ...times },
    log,
    random,
    handlers: {
      hello: () => ({ type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 1, lost: 0 }),
      welcome: (frame) => seen.welcomes.push(frame),
      frame: (frame) => seen.frames.push(frame),
      down: (why) => seen.downs.push(why),
      ended: (end) => seen.ends.push(end),
    },
  });
  opened.push(connection);
  connection.open();
  return { connection, log, ...seen };
}

const openSockets = () => coordinator.connections.filter(({ closed }) => closed === null).length;
const delays = (log: KeptLog) => log.facts.filter(({ name }) => name === 'retry').map(({ delayMs }) => Number(delayMs));
const gaps = () => coordinator.dials.slice(1).map((at, index) => at - (coordinator.dials[index] as number));

describe('handshake', () => {
  it('[ING1] sends hello first, with its token, and is up only after the welcome', async () => {
    coordinator.onHello = () => false;
    const { connection, welcomes } = connect();
    await coordinator.until(() => coordinator.connections[0]?.hello != null, 'hello');
    expect(coordinator.last.token).toBe('secret');
    expect(connection.up).toBe(false);
    expect(connection.send('too early')).toBe(false);
    coordinator.welcome(coordinator.last);
    await until(() => connection.up, 'up');
    expect(welcomes.length).toBe(1);
    expect(coordinator.faults).toEqual([]);
  });

  it('[SPL45] a token that no header can carry is final before the first welcome', async () => {
    const { ends } = connect({}, fixedCredential('two\nlines'));
    expect(ends).toEqual([{ kind: 'refused', why: expect.stringContaining('authorization') }]);
    expect(coordinator.dials).toEqual([]);
  });

  it('[CN4] aborts an unanswered upgrade, and the next attempt succeeds', async () => {
    coordinator.refuse = (dial) => (dial === 1 ? 'hang' : null);
    const { connection } = connect({ connectWatchdogMs: 150 });
    await until(() => connection.up, 'up');
    expect(coordinator.dials.length).toBe(2);
  });

  it('[CN4] [CN1] ignores a welcome after the watchdog: the second connection stays the only one', async () => {
    coordinator.onHello = (connection) => {
      if (coordinator.connections.length > 1) return true;
      setTimeout(() => connection.closed === null && coordinator.welcome(connection), 400);
      return false;
    };
    const { connection, welcomes, downs } = connect({ connectWatchdogMs: 150 });
    await until(() => connection.up, 'up');
    await sleep(500);
    expect(welcomes.length).toBe(1);
    expect(downs).toEqual([]);
    expect(openSockets()).toBe(1);
  });
});

describe('refusals', () => {
  it.each([
    ['bad_request', 400],
    ['unauthorized', 401],
    ['execution_not_found', 404],
    ['not_configured', 503],
  ] as const)('[SPL30] a refusal of the coordinator (%s) is believed when it has lasted', async (code, status) => {
    coordinator.refuse = () => problemAnswer(code);
    const { ends } = connect({ refusedBudgetMs: 200 });
    await until(() => ends.length > 0, 'end');
    const { dials } = coordinator;
    expect((dials.at(-1) as number) - (dials[0] as number)).toBeGreaterThanOrEqual(190);
    expect(dials.length).toBeGreaterThanOrEqual(3);
    expect(ends).toEqual([{ kind: 'refused', why: `HTTP ${status} (${code}: some detail)`, httpStatus: status }]);
  });

  it.each([200, 302, 400, 401, 403, 404, 408, 418, 425, 429, 451, 500, 503])(
    '[CN6] HTTP %i of something in between is tried again',
    async (status) => {
      coordinator.refuse = (dial) => (dial === 1 ? { status } : null);
      const { connection } = connect();
      await until(() => connection.up, 'up');
    },
  );

  it('honours Retry-After, also where the first retry would be immediate', async () => {
    coordinator.refuse = (dial) => (dial === 1 ? { status: 503, headers: { 'retry-after': '1' } } : null);
    const { connection } = connect();
    await until(() => connection.up, 'up');
    expect(gaps()[0]).toBeGreaterThanOrEqual(990);
  });

  it('401 with a credential that can be read again continues with the new one', async () => {
    let token = 'old';
    const refresh = () => {
      token = 'secret';
      return true;
    };
    const { connection } = connect({}, { current: () => token, refresh });
    await until(() => connection.up, 'up');
    expect(coordinator.last.token).toBe('secret');
  });

  it.each([4001, 4400, 4401, 4404, 4410, 4999])('[SPL30] close code %i is believed when it has lasted', async (code) => {
    coordinator.onHello = (connection) => {
      connection.socket.close(code, 'because');
      return false;
    };
    const { ends } = connect({ refusedBudgetMs: 200 });
    await until(() => ends.length > 0, 'end');
    expect(coordinator.dials.length).toBeGreaterThanOrEqual(3);
    expect(ends).toEqual([{ kind: 'refused', why: `closed with ${code} (because)`, wsCloseCode: code }]);
  });

  it.each([
    [4409, 'another wrapper has this execution'],
    [4404, 'deleted'],
  ])('[CLS17] close code %i (%s) is final at once', async (code, reason) => {
    coordinator.onHello = (connection) => {
      connection.socket.close(code, reason);
      return false;
    };
    const { ends } = connect();
    await until(() => ends.length > 0, 'end');
    await sleep(100);
    expect(coordinator.dials.length).toBe(1);
    expect(ends).toEqual([{ kind: 'refused', why: `closed with ${code} (${reason})`, wsCloseCode: code }]);
  });

  it.each([1000, 1001, 1008, 1011, 1012, 1013, 4000, 4408, 4409, 4413, 4429])(
    '[CN6] close code %i is tried again',
    async (code) => {
      coordinator.onHello = (connection) => {
        if (coordinator.connections.length > 1) return true;
        connection.socket.close(code);
        return false;
      };
      const { connection } = connect();
      await until(() => connection.up, 'up');
    },
  );

  it('[ING7] 4000 is the good end, not a disconnect', async () => {
    const { connection, ends, downs } = connect();
    await until(() => connection.up, 'up');
    coordinator.last.socket.close(4000, '{"status":"failed"}');
    await until(() => ends.length > 0, 'end');
    expect(ends).toEqual([{ kind: 'settled', status: 'failed' }]);
    expect(downs).toEqual([]);
    expect(coordinator.dials.length).toBe(1);
  });
});

describe('a connection that dies', () => {
  it('the first retry is immediate', async () => {
    const { connection, welcomes, log } = connect({}, fixedCredential('secret'), () => 0.99);
    await until(() => connection.up, 'up');
    coordinator.last.cut();
    await until(() => welcomes.length === 2, 'second welcome');
    expect(delays(log)).toEqual([0]);
  });

  it('a half-open connection is noticed by the missing pong', async () => {
    coordinator.policy.heartbeatMs = 250;
    const { connection, downs, welcomes } = connect({ pongWaitMs: 2000 });
    await until(() => connection.up, 'up');
    coordinator.last.freeze();
    await until(() => welcomes.length === 2, 'second welcome');
    expect(downs).toEqual(['no pong within 2000 ms']);
  });

  it('[CN7] while anything arrives, a missing pong proves nothing', async () => {
    coordinator.policy.heartbeatMs = 250;
    coordinator.pongs = false;
    const { connection, downs } = connect({ pongWaitMs: 1500 });
    await until(() => connection.up, 'up');
    // Longer than twice the wait.
    for (let n = 0; n < 40; n += 1) {
      coordinator.last.send('{"type":"something_newer"}');
      await sleep(100);
    }
    expect(downs).toEqual([]);
    expect(coordinator.last.pings).toBeGreaterThanOrEqual(3);
    await until(() => downs.length === 1, 'down once it is silent');
  });

  it('[CN7] a line on which the pong waits behind megabytes is not cut', async () => {
    coordinator.policy.heartbeatMs = 250;
    const proxy = await TcpProxy.start({ targetPort: Number(new URL(coordinator.url).port) });
    proxies.push(proxy);
    const { connection, downs } = connect(
      { pongWaitMs: 1000 },
      undefined,
      undefined,
      coordinator.url.replace(/:\d+/, `:${proxy.port}`),
    );
    await until(() => connection.up, 'up');
    proxy.trickle(1_500_000);
    const event = JSON.stringify({ type: 'status', at: 1, data: { message: 'x'.repeat(400_000) } });
    const sentAt = Date.now();
    for (let seq = 1; seq <= 12; seq += 1) connection.send(encodeEventsFrame(seq, 1, event));
    await coordinator.until(() => coordinator.ackedSeq === 12, 'all of it');
    expect(Date.now() - sentAt).toBeGreaterThan(2000);
    expect(downs).toEqual([]);
  });

  it('[CN7] a missing pong makes the next connection more patient', async () => {
    coordinator.policy.heartbeatMs = 250;
    const { downs } = connect({ pongWaitMs: 200 });
    coordinator.pongs = false;
    await until(() => downs.length === 3, 'three losses');
    expect(downs).toEqual(['no pong within 200 ms', 'no pong within 400 ms', 'no pong within 800 ms']);
  });

  it('[G7] heartbeats are bare pings and keep a quiet connection up', async () => {
    coordinator.policy.heartbeatMs = 250;
    const { connection, downs } = connect({ pongWaitMs: 1500 });
    await until(() => connection.up, 'up');
    await sleep(3500);
    await until(() => coordinator.last.pings >= 4, 'four pings');
    expect(connection.up).toBe(true);
    expect(downs).toEqual([]);
    expect(coordinator.faults).toEqual([]);
  });

  it('[CN5] a coordinator that welcomes and falls over each time is called ever more seldom', async () => {
    coordinator.policy.disconnectGraceMs = 60_000;
    const { welcomes, log } = connect({}, fixedCredential('secret'), () => 0.99);
    coordinator.onHello = (connection) => {
      coordinator.welcome(connection);
      setTimeout(() => connection.cut(), 5);
      return false;
    };
    await until(() => welcomes.length >= 4, 'four welcomes');
    expect(delays(log)[0]).toBe(0);
    const [, second, third] = gaps() as [number, number, number];
    expect(second).toBeGreaterThan(400);
    expect(third).toBeGreaterThan(800);
  });

  it('[CN5] an ack makes the next retry immediate again', async () => {
    const { connection, welcomes, log } = connect({}, fixedCredential('secret'), () => 0.99);
    for (let cut = 1; cut <= 4; cut += 1) {
      await until(() => welcomes.length === cut && connection.up, 'welcome');
      connection.markHealthy();
      coordinator.last.cut();
    }
    await until(() => welcomes.length === 5, 'fifth welcome');
    expect(delays(log)).toEqual([0, 0, 0, 0]);
  });

  it('[CN5] so does a pong after the welcome, for a job that is quiet', async () => {
    coordinator.policy.heartbeatMs = 250;
    coordinator.refuse = (dial) => (dial > 1 && dial <= 4 ? { status: 503 } : null);
    const { connection, welcomes, log } = connect();
    await until(() => connection.up, 'up');
    coordinator.last.cut();
    await until(() => welcomes.length === 2, 'second welcome');
    expect(delays(log).at(-1)).toBeGreaterThan(0);
    await until(() => coordinator.last.pings > 1, 'a second ping: the first one has its answer');
    coordinator.last.cut();
    await until(() => welcomes.length === 3, 'third welcome');
    expect(delays(log).at(-1)).toBe(0);
  });

  it('several attempts fit into a short grace', async () => {
    coordinator.policy.disconnectGraceMs = 1000;
    const { connection, log } = connect({}, fixedCredential('secret'), () => 0.99);
    await until(() => connection.up, 'up');
    coordinator.refuse = () => ({ status: 503 });
    const before = coordinator.dials.length;
    coordinator.last.cut();
    await until(() => coordinator.dials.length - before >= 5, 'five attempts');
    const waited = delays(log).slice(0, 5);
    expect(waited.reduce((sum, ms) => sum + ms)).toBeLessThan(1000);
  });

  it('[CN1] never has two sockets, however often it is cut', async () => {
    const { connection, welcomes } = connect();
    for (let cut = 1; cut <= 20; cut += 1) {
      await until(() => welcomes.length === cut, 'welcome');
      connection.markHealthy();
      if (cut % 2) coordinator.last.cut();
      else connection.restart('test');
    }
    await until(() => welcomes.length === 21 && connection.up, 'the last welcome');
    await coordinator.until(() => openSockets() === 1, 'one socket');
    expect(coordinator.dials.length).toBe(21);
  });

  it('unreadable frames are ignored, not answered with a storm', async () => {
    const { connection, downs } = connect();
    await until(() => connection.up, 'up');
    for (const text of ['', 'nonsense', '[]', '{"type":"ack","seq":-1}', '{"type":"command","id":1,"command":"newer","data":{}}']) {
      coordinator.last.send(text);
    }
    await sleep(100);
    expect(connection.up).toBe(true);
    expect(downs).toEqual([]);
  });
});

describe('close', () => {
  it('[CN3] never reconnects: not when up, not while waiting, not while dialing', async () => {
    const up = connect();
    await until(() => up.connection.up, 'up');
    await up.connection.close();
    expect(coordinator.connections[0]?.closed?.code).toBe(1000);

    coordinator.refuse = () => ({ status: 503, headers: { 'retry-after': '1' } });
    const waiting = connect();
    await until(() => waiting.log.facts.some(({ name }) => name === 'retry'), 'waiting');
    await waiting.connection.close();

    coordinator.refuse = () => 'hang';
    const dialing = connect({ connectWatchdogMs: 300 });
    await coordinator.until(() => coordinator.dials.length === 3, 'third dial');
    await dialing.connection.close();

    await sleep(1300);
    expect(coordinator.dials.length).toBe(3);
    expect([...up.ends, ...waiting.ends, ...dialing.ends]).toEqual([]);
    expect([...up.downs, ...waiting.downs, ...dialing.downs]).toEqual([]);
  });
});
