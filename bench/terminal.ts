/**
 * How long a key takes from a caller to the screen of a viewer, and what it costs: a program that
 * is run by hand. It measures the local stack (workerd, a runner, a wrapper) on this machine.
 *
 *     node bench/terminal.ts [keys]
 *
 * A key is one input over HTTP and one event that comes back by WebSocket, so a network adds two
 * round trips of its own. The program is `cat` in raw mode, which prints each key at once: what a
 * real program takes is not measured. A read of the execution, which takes one request to the object
 * and no wrapper, stands beside it: on a busy machine compare the two. Keys are sent one after the other, each after the echo of the
 * one before it, with a pause as of a fast typist.
 */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { isEvent } from '../client/index.ts';
import { RealStack } from '../test/support/real-stack.ts';

const keys = Number(process.argv[2] ?? 300);
const PAUSE_MS = 30;

const real = await RealStack.start({ bundled: true });
try {
  await real.client.start('t1', {
    id: 'e1',
    command: ['sh', '-c', 'stty raw -echo; printf ready; exec cat'],
    terminal: { cols: 80, rows: 24 },
  });
  let text = '';
  let wake = () => {};
  const stream = real.follow('t1', 'e1');
  void (async () => {
    for await (const event of stream) {
      if (!isEvent(event, 'output')) continue;
      text += event.data.text;
      wake();
    }
  })();
  const shows = async (length: number) => {
    while (text.length < length) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  await shows('ready'.length);
  const run = real.client.execution('t1', 'e1');
  const times: number[] = [];
  const bare: number[] = [];
  for (let sent = 0; sent < keys; sent += 1) {
    const length = text.length;
    const began = performance.now();
    void run.send({ text: 'x' });
    await shows(length + 1);
    times.push(performance.now() - began);
    await sleep(PAUSE_MS);
    const asked = performance.now();
    await run.get();
    bare.push(performance.now() - asked);
  }
  stream.close();
  console.log(`${keys} keys: echo ${shares(times)}`);
  console.log(`beside it, one read of the execution over HTTP: ${shares(bare)}`);
  console.log(rowsOf(real.folder));
} finally {
  await real.close();
}

function shares(times: number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms`;
}

/** What the session's database holds of the keys. */
function rowsOf(folder: string): string {
  const files = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  for (const file of files.filter((name) => name.endsWith('.sqlite'))) {
    if (!statSync(join(folder, file)).isFile()) continue;
    const database = new DatabaseSync(join(folder, file), { readOnly: true });
    try {
      const count = (sql: string) => Number(Object.values(database.prepare(sql).get() ?? {})[0] ?? 0);
      const inputs = count(`SELECT count(*) FROM log WHERE body LIKE '{"type":"input"%'`);
      if (inputs === 0) continue;
      const outputs = count(`SELECT count(*) FROM log WHERE body LIKE '%"stream":"tty"%'`);
      const noted = count('SELECT count(*) FROM inputs');
      const each = (rows: number) => (rows / keys).toFixed(2);
      return `rows written for a key: ${each(inputs)} input, ${each(outputs)} output, ${each(noted)} input id, and 2 of its command (written, deleted)`;
    } catch {
      // Another object's database.
    } finally {
      database.close();
    }
  }
  return 'the database of the session was not found';
}
