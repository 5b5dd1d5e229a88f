/**
 * Goal: a run on a slow uplink delivers what it can, names what it cannot, and never sends the same
 * frame forever.
 * Method: a real run behind a proxy that lets few bytes through. The line is ten times as fast as
 * in the field (8 kB/s, 2 kB/s), and every time of the wrapper a tenth, so that a frame takes as
 * large a part of each wait as it does there. The kernel's buffers take all that the wrapper
 * writes.
 */

import { afterAll, describe, expect, it } from 'vitest';
import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import { WRAPPER_TIMES } from '../../wrapper/times.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type KeptLog, removeTemporaryFolders, runInProcess } from '../support/wrapper-run.ts';

const times = {
  pongWaitMs: WRAPPER_TIMES.pongWaitMs / 10,
  ackStallMs: WRAPPER_TIMES.ackStallMs / 10,
  connectWatchdogMs: WRAPPER_TIMES.connectWatchdogMs / 10,
  postTimeoutMs: WRAPPER_TIMES.postTimeoutMs / 10,
  slowestUplinkBytesPerSecond: WRAPPER_TIMES.slowestUplinkBytesPerSecond * 10,
};

const stop: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const each of stop.splice(0)) await each();
  removeTemporaryFolders();
});

/** Each test has its own line: they only wait, so they run concurrently. */
async function slowLine(bytesPerSecond: number) {
  const coordinator = await new FakeCoordinator().start();
  coordinator.policy = {
    ...POLICY_DEFAULTS,
    heartbeatMs: POLICY_DEFAULTS.heartbeatMs / 10,
    silenceTimeoutMs: POLICY_DEFAULTS.silenceTimeoutMs / 10,
  };
  const { port, pathname } = new URL(coordinator.url);
  const proxy = await TcpProxy.start({ targetPort: Number(port) });
  proxy.trickle(bytesPerSecond, 'up');
  stop.push(
    () => proxy.close(),
    () => coordinator.stop(),
  );
  const agentIndexes = () => coordinator.events.filter(({ type }) => type === 'agent').map(({ data }) => data.index);
  return { coordinator, proxy, url: `${proxy.url}${pathname}`, agentIndexes };
}

const node = (script: string, ...args: string[]) => [process.execPath, '-e', script, ...args];
/** Lines of 100 bytes, as fast as the pipe takes them. */
const burst = (bytes: number) =>
  node(`for (let n = 1; n <= ${bytes / 100}; n += 1) process.stdout.write(String(n).padStart(99, '.') + '\\n')`);
const burstText = (bytes: number) => Array.from({ length: bytes / 100 }, (_, n) => `${String(n + 1).padStart(99, '.')}\n`).join('');
/** JSON lines, each of so many bytes as an event. */
const jsonLines = (...sizes: number[]) =>
  node(`for (const [index, size] of ${JSON.stringify(sizes)}.entries())
    process.stdout.write(JSON.stringify({ index, filler: 'x'.repeat(size - 100) }) + '\\n')`);
/** The good end is no loss. */
const losses = ({ facts }: KeptLog) =>
  facts.filter(({ name, why }) => name === 'lost' && !String(why).includes('4000')).map(({ why }) => why);

describe.concurrent.each(['websocket', 'http'] as const)('over %s', (transport) => {
  it('[SPL40] delivers a burst of 2.3 MB over 8 kB/s (tenfold) without losing its connection again and again', {
    timeout: 120_000,
  }, async () => {
    const { coordinator, url } = await slowLine(80_000);
    const { exitCode, log } = runInProcess(coordinator, burst(2_300_000), { url, transport, times });
    await coordinator.until(() => coordinator.ended, 'the exit has arrived', 90_000);
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe(burstText(2_300_000));
    expect(coordinator.faults).toEqual([]);
    expect(losses(log)).toEqual([]);
  });

  it('[SPL40] delivers events of 64 KiB over 2 kB/s (tenfold)', { timeout: 120_000 }, async () => {
    const { coordinator, url, agentIndexes } = await slowLine(20_000);
    const command = jsonLines(64 * 1024, 300, 64 * 1024, 64 * 1024, 300);
    const { exitCode, log } = runInProcess(coordinator, command, { url, transport, format: 'jsonl', times });
    await coordinator.until(() => coordinator.ended, 'the exit has arrived', 60_000);
    expect(await exitCode).toBe(0);
    expect(agentIndexes()).toEqual([0, 1, 2, 3, 4]);
    expect(losses(log)).toEqual([]);
  });

  it('[SPL41] replaces an event that the line cannot carry by a gap, reports it, and continues', {
    timeout: 120_000,
  }, async () => {
    const { coordinator, url, agentIndexes } = await slowLine(20_000);
    const command = jsonLines(300, 400 * 1024, 300);
    const { exitCode, log } = runInProcess(coordinator, command, { url, transport, format: 'jsonl', times });
    await coordinator.until(() => coordinator.ended, 'the exit has arrived', 90_000);
    expect(await exitCode).toBe(0);
    expect(agentIndexes()).toEqual([0, 2]);
    const gaps = coordinator.events.filter(({ type }) => type === 'gap');
    expect(gaps).toMatchObject([{ data: { events: 1, bytes: expect.any(Number), reason: 'line_too_slow' } }]);
    expect(gaps[0]?.data.bytes).toBeGreaterThan(400 * 1024 - 200);
    expect(log.problems.filter((text) => text.includes('too slow'))).toHaveLength(1);
  });
});

describe.concurrent('a line that changes', () => {
  it('[SPL40] becomes slow while megabytes are in flight: what was lost is sent again in frames that arrive', {
    timeout: 120_000,
  }, async () => {
    const { coordinator, proxy, url } = await slowLine(Number.POSITIVE_INFINITY);
    coordinator.onFrame = () => {
      proxy.trickle(40_000, 'up');
      return true;
    };
    const { exitCode, log } = runInProcess(coordinator, burst(1_500_000), { url, transport: 'websocket', times });
    await coordinator.until(() => coordinator.ended, 'the exit has arrived', 90_000);
    expect(await exitCode).toBe(0);
    expect(coordinator.text()).toBe(burstText(1_500_000));
    expect(coordinator.faults).toEqual([]);
    // One for what was in flight when it became slow, and one if that is measured wrongly again.
    expect(losses(log).length).toBeLessThanOrEqual(2);
  });
});
