/**
 * Two thousand runners on one pool, and ten thousand executions that none of them fits ahead of what
 * is measured: how long a launch takes from its start, and how many the pool does in a second.
 */

import { randomUUID } from 'node:crypto';
import type { WebSocket } from 'ws';
import { encodeRunnerFrame, parsePoolFrame, RUNNER_PING_MS, RUNNER_SUBPROTOCOL } from '../../protocol/pool.ts';
import { type Bench, scaled } from '../lib/bench.ts';
import { figureOf } from '../lib/figures.ts';
import { connect } from '../lib/socket.ts';
import { API_KEY } from '../lib/systems.ts';

/** Starts that are under way at the same time, and connections that are being made. */
const AT_ONCE = 32;
const PROBES = 50;
const BURST = 500;

interface Launch {
  at: number;
  session: string;
  execution: string;
}

/** Runs the work for each index, a few at a time. */
async function many(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
}

export const pool: Bench = {
  name: 'pool',
  measures: 'a launch from the call that starts it to the frame at the runner, with a crowd of runners and a long queue',
  doesNotMeasure:
    'runners that start processes: each of them confirms the launch, and reports its end at once. All sessions are on the same machine as the pool and the runners',
  run: async ({ holdfast, scale, rounds, say }) => {
    const { url } = holdfast;
    const runners = scaled({ scale }, 2000, 4);
    const queued = scaled({ scale }, 10_000, 20);
    const name = `p-${randomUUID().slice(0, 8)}`;
    const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
      const answer = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
      return (await answer.json()) as Record<string, unknown>;
    };
    const { key } = await post(`/v1/pools/${name}/keys`, { name: 'bench' });
    const start = (requires: Record<string, string>) => {
      const body = { command: ['job'], launcher: 'pool', pool: name, requires };
      return post(`/v1/sessions/b-${randomUUID().slice(0, 18)}/executions`, body);
    };

    const launches = new Map<string, Launch>();
    const waiters = new Map<string, (launch: Launch) => void>();
    const sockets: WebSocket[] = [];
    const dial = async (index: number): Promise<void> => {
      const ws = await connect(`${url}/v1/pools/${name}/connect`, RUNNER_SUBPROTOCOL, { authorization: `Bearer ${key}` });
      sockets.push(ws);
      ws.on('message', (data) => {
        const parsed = parsePoolFrame(String(data));
        if (!parsed.ok || parsed.frame?.type !== 'launch') return;
        const { lease, request } = parsed.frame;
        const { id: execution, session } = request as { id: string; session: string };
        const launch = { at: performance.now(), session, execution };
        launches.set(execution, launch);
        waiters.get(execution)?.(launch);
        ws.send(encodeRunnerFrame({ type: 'launched', lease }));
      });
      ws.send(
        encodeRunnerFrame({
          type: 'hello',
          protocol: 1,
          runnerId: `r_${index}`,
          bootId: `b_${index}`,
          name: `runner ${index}`,
          slots: 4,
          version: '0.2.0',
        }),
      );
    };
    const launched = (execution: string): Promise<Launch> => {
      const known = launches.get(execution);
      return known ? Promise.resolve(known) : new Promise((resolve) => waiters.set(execution, resolve));
    };

    say(`pool: connecting ${runners} runners`);
    const began = performance.now();
    await many(runners, dial);
    const connectMs = performance.now() - began;
    const pings = setInterval(() => {
      for (const ws of sockets) ws.send('ping');
    }, RUNNER_PING_MS);
    try {
      const probe = async (): Promise<number> => {
        const at = performance.now();
        const { execution } = (await start({})) as { execution: { id: string } };
        return (await launched(execution.id)).at - at;
      };
      const series = async (): Promise<number[]> => {
        const all: number[] = [];
        for (let index = 0; index < scaled({ scale }, PROBES, 5); index += 1) all.push(await probe());
        return all.sort((a, b) => a - b);
      };
      const median = (sorted: number[]): number => sorted[Math.floor(sorted.length / 2)] ?? 0;
      const last = (sorted: number[]): number => sorted[Math.ceil(sorted.length * 0.95) - 1] ?? 0;
      const empty: number[][] = [];
      for (let round = 0; round < rounds; round += 1) empty.push(await series());
      say(`pool: ${queued} executions that none of them fits`);
      await many(queued, async () => {
        await start({ gpu: 'none' });
      });
      const behind: number[][] = [];
      const rates: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        behind.push(await series());
        const burst = scaled({ scale }, BURST, 10);
        const from = performance.now();
        await many(burst, async () => void (await probe()));
        rates.push((burst / (performance.now() - from)) * 1000);
      }
      const title = (what: string): string => `pool/${runners} runners/${what}`;
      return [
        figureOf(title('connecting all'), 'ms', [connectMs]),
        figureOf(title('start to launch, nothing waits, p50'), 'ms', empty.map(median)),
        figureOf(title('start to launch, nothing waits, p95'), 'ms', empty.map(last)),
        figureOf(title(`start to launch, ${queued} wait, p50`), 'ms', behind.map(median)),
        figureOf(title(`start to launch, ${queued} wait, p95`), 'ms', behind.map(last)),
        figureOf(title(`launches, ${queued} wait`), '/s', rates),
      ];
    } finally {
      clearInterval(pings);
      for (const ws of sockets) ws.terminate();
    }
  },
};
