/**
 * Goal: what readers leave unread does not grow the memory of the runtime, and what is refused or
 * ended leaves no descriptor in it.
 * Method: the Worker on plain `workerd serve`, whose sockets no proxy touches; its resident memory
 * and its descriptors are read from /proc, which Linux alone has. Elsewhere only what the readers
 * themselves see is checked.
 */

import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { DEAF_READERS, openDeaf } from '../../bench/lib/deaf.ts';
import { prepare } from '../../bench/lib/frames.ts';
import { API_KEY, connectWriter, fillLog, type HoldfastRun, serveHoldfast, startRun } from '../../bench/lib/systems.ts';
import { MemoryWatch, settledMiB } from '../../bench/lib/usage.ts';
import type { Workerd } from '../../bench/lib/workerd.ts';
import { CLOSE, INGEST_SUBPROTOCOL, STREAM_SUBPROTOCOL } from '../../protocol/index.ts';
import { until } from '../support/real-stack.ts';

const LINUX = existsSync('/proc/self/fd');

let workerd: Workerd;
beforeAll(async () => {
  workerd = await serveHoldfast();
});
afterAll(() => workerd?.stop());

const descriptors = (): number => (LINUX ? readdirSync(`/proc/${workerd.pid}/fd`).length : 0);

describe('readers that never read', () => {
  const EVENT_BYTES = 4096;
  const LOG_MIB = 64;
  const READERS = 6;
  /**
   * Above idle. What six readers have not read of the log is 384 MiB; the heap of the object and of
   * the Worker take some 15 MiB for each that is served over HTTP.
   */
  const MIB_MAX = 160;
  let run: HoldfastRun;
  beforeAll(async () => {
    run = await fillLog(workerd, (LOG_MIB * 1024 * 1024) / EVENT_BYTES, EVENT_BYTES, 64);
  });

  it.each(DEAF_READERS)(
    '[STR10] [STR12] six of them (%s) take the memory of windows and not of the log',
    { timeout: 240_000 },
    async (kind) => {
      await workerd.restart();
      const idleMiB = await settledMiB(workerd.pid);
      const watch = new MemoryWatch(workerd.pid);
      const sockets = await Promise.all(Array.from({ length: READERS }, () => openDeaf(workerd.url, run, kind)));
      await settledMiB(workerd.pid);
      const { peakMiB } = watch.stop();
      for (const socket of sockets) socket.destroy();
      if (LINUX) expect(peakMiB - idleMiB).toBeLessThan(MIB_MAX);
    },
  );
});

describe('sockets that the session does not keep', () => {
  let run: HoldfastRun;
  let ended: HoldfastRun & { session: string };
  let busy: NodeJS.Timeout;
  let writer: WebSocket;

  /** Two executions in one session: one has ended, and a second runs and keeps the object busy. */
  beforeAll(async () => {
    ended = await startRun(workerd.url);
    const first = await connectWriter(ended);
    const over = new Promise((resolve) => first.once('close', resolve));
    first.send('{"type":"events","seq":1,"count":1}\n{"type":"exit","at":1,"data":{"exitCode":0}}');
    await over;
    run = await startRun(workerd.url, ended.session);
    writer = await connectWriter(run);
    const frames = prepare(50_000, 200, 1);
    let next = 0;
    busy = setInterval(() => writer.send((frames[next++ % frames.length] as { frame: Buffer }).frame), 50);
  });
  afterAll(() => {
    clearInterval(busy);
    writer?.terminate();
  });

  interface Visit {
    path: string;
    protocol: string;
    authorization: string;
    /** What a reader answers to `caught_up`. */
    acks?: boolean;
  }

  /** The code that the visitor was closed with, when its connection has ended. */
  const visit = ({ path, protocol, authorization, acks }: Visit): Promise<number> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${workerd.url.replace('http', 'ws')}${path}`, [protocol], { headers: { authorization } });
      socket.on('message', (data: Buffer) => {
        const text = data.toString();
        if (acks && text.includes('"caught_up"')) socket.send(`{"type":"ack","offset":${JSON.parse(text).offset}}`);
      });
      socket.once('error', reject);
      socket.once('close', resolve);
    });

  /** Gives the close codes; afterwards the runtime has the descriptors that it had before. */
  async function visits(count: number, of: (index: number) => Visit): Promise<Set<number>> {
    await visit(of(0));
    const before = descriptors();
    const codes = new Set<number>();
    for (let done = 0; done < count; done += 20) {
      for (const code of await Promise.all(Array.from({ length: 20 }, (_, index) => visit(of(done + index))))) codes.add(code);
    }
    await until(() => (descriptors() <= before + 2 ? true : null), `${descriptors()} descriptors go back to ${before}`, 5_000);
    return codes;
  }

  const bearer = `Bearer ${API_KEY}`;

  it('[STR1] [STR14] [STR17] 1,000 refused viewers see the end at once, and leave nothing', { timeout: 120_000 }, async () => {
    const queries = ['?execution=unknown', '?after=999999999'];
    const codes = await visits(1000, (index) => ({
      path: `/v1/sessions/${index % 3 === 0 ? 'unknown' : run.session}/stream${queries[index % 2]}`,
      protocol: STREAM_SUBPROTOCOL,
      authorization: bearer,
    }));
    expect([...codes].sort()).toEqual([CLOSE.notFound, CLOSE.offsetUnavailable]);
  });

  it('[ING1] [CLS1] 200 wrappers of an execution that has ended see the end at once, and leave nothing', {
    timeout: 120_000,
  }, async () => {
    const codes = await visits(200, () => ({
      path: new URL(ended.ingest.url).pathname,
      protocol: INGEST_SUBPROTOCOL,
      authorization: `Bearer ${ended.ingest.token}`,
    }));
    expect([...codes]).toEqual([CLOSE.settled]);
  });

  it('[STR9] [STR11] 400 viewers of an execution that has ended acknowledge at caught_up, see the end at once, and leave nothing', {
    timeout: 120_000,
  }, async () => {
    const codes = await visits(400, () => ({
      path: `/v1/sessions/${ended.session}/stream?execution=${ended.execution}&flow=ack`,
      protocol: STREAM_SUBPROTOCOL,
      authorization: bearer,
      acks: true,
    }));
    expect([...codes]).toEqual([CLOSE.done]);
  });
});
