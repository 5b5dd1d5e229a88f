/**
 * Starts machines by what a pool wants. A machine is any command that starts a runner with the name
 * in $RUNNER_NAME; it ends itself (`--idle-exit` or `--once`), so nothing that runs is ever stopped
 * from here.
 *
 *   node scale.mjs --max 5 --slots 1 -- sh -c 'holdfast-wrapper serve … --name "$RUNNER_NAME" --idle-exit 2m'
 *
 * AS1  One number decides: slots that are taken or waited for, minus slots that there are.
 * AS2  A machine that was started counts from then on, not from when its runner connects. So ten
 *      looks at the same queue start it once.
 * AS3  A machine that does not connect in time is not counted any more, and another one is started.
 * AS4  Only a connected runner has slots. One that drains or is lost has none.
 */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * How many machines to start. Pure. `pool` is the answer of GET /v1/pools/{pool}; `starting` has the
 * names of machines that were started and have not connected.
 */
export function machinesToStart({ pool, starting }, { slots, max }) {
  const connected = pool.runners.filter(({ state }) => state === 'connected'); // AS4
  const have = connected.reduce((sum, runner) => sum + runner.slots, 0) + starting.length * slots; // AS2
  // What drains still has its runs, but they need no slot of another machine.
  const wanted = connected.reduce((sum, runner) => sum + runner.busy, 0) + pool.waiting;
  const missing = Math.ceil(Math.max(0, wanted - have) / slots); // AS1
  return Math.max(0, Math.min(missing, max - connected.length - starting.length));
}

/** Names of machines that still count as starting. Pure. */
export function stillStarting(started, pool, now, startMs) {
  const known = new Set(pool.runners.map(({ name }) => name));
  return new Map([...started].filter(([name, since]) => !known.has(name) && now - since < startMs)); // AS3
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      pool: { type: 'string', default: 'default' },
      max: { type: 'string', default: '3' },
      slots: { type: 'string', default: '1' },
      poll: { type: 'string', default: '5' },
      start: { type: 'string', default: '300' },
    },
  });
  const { HOLDFAST_URL: url, HOLDFAST_API_KEY: key } = process.env;
  if (!url || !key || positionals.length === 0)
    throw new Error('set HOLDFAST_URL and HOLDFAST_API_KEY, and give a command after --');
  const [max, slots, pollMs, startMs] = [values.max, values.slots, Number(values.poll) * 1000, Number(values.start) * 1000].map(
    Number,
  );
  let started = new Map();
  for (;;) {
    try {
      const answer = await fetch(`${url}/v1/pools/${values.pool}`, {
        headers: { authorization: `Bearer ${key}` },
        signal: AbortSignal.timeout(10_000),
      });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
      const { pool } = await answer.json();
      const now = performance.now();
      started = stillStarting(started, pool, now, startMs);
      const count = machinesToStart({ pool, starting: [...started.keys()] }, { slots, max });
      for (let each = 0; each < count; each += 1) {
        const name = `auto-${randomBytes(4).toString('hex')}`;
        started.set(name, now);
        console.log(`${pool.waiting} waiting, ${pool.busy} of ${pool.slots} slots taken: starting ${name}`);
        const [program, ...args] = positionals;
        const machine = spawn(program, args, {
          stdio: ['ignore', 'inherit', 'inherit'],
          env: { ...process.env, RUNNER_NAME: name },
        });
        machine.on('error', (error) => console.error(`${name}: ${error.message}`));
        machine.on('exit', () => started.delete(name));
      }
    } catch (error) {
      // Nothing is known, so nothing is started. The next look repairs it.
      console.error(`the pool could not be read: ${error.message}`);
    }
    await new Promise((done) => setTimeout(done, pollMs));
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
