/**
 * Resource use of the processes of a stage: resident memory and open files as the kernel counts
 * them, the JavaScript heap as the processes report it.
 *
 * A preloaded module (`probeOptions`) writes the heap of a Node process to a file every few
 * seconds: no signal, no port, and no change to the program. workerd's heap comes from its
 * debugger, after a collection, so it is sampled rarely. Linux only.
 */

import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WebSocket } from 'ws';
import { listProcesses } from '../../wrapper/processes.ts';

export interface Usage {
  rssMiB: number;
  fds: number;
  /** Null while it is not known. */
  heapMiB: number | null;
}

const MIB = 1024 * 1024;
const PROBE_EVERY_MS = 3000;

/**
 * Lower priority for wrappers and their jobs than for coordinator, runner and test. In production
 * they run on other machines; here two hundred of them on two cores would leave the coordinator one
 * percent of a core.
 */
const NICE = 10;

/**
 * Options of Node for the runner, which passes them to its wrappers. `collect`: the processes that
 * collect garbage before each sample, so that it counts only live memory. In two hundred processes
 * at once that would be a load of its own.
 */
export function probeOptions(folder: string, collect: 'runner' | 'all'): string[] {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'probe.mjs');
  const whose = collect === 'all' ? 'true' : "process.argv.includes('serve')";
  writeFileSync(
    file,
    `import { renameSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
if (!process.argv.includes('serve')) setPriority(${NICE});
const path = ${JSON.stringify(`${folder}/`)} + process.pid;
const collects = ${whose};
function look() {
  if (collects) globalThis.gc();
  try {
    writeFileSync(path + '.tmp', JSON.stringify(process.memoryUsage()));
    renameSync(path + '.tmp', path + '.json');
  } catch {
    // The folder is gone: so is the test.
  }
}
setInterval(look, ${PROBE_EVERY_MS}).unref();
`,
  );
  return ['--expose-gc', '--import', pathToFileURL(file).href];
}

export function usageOf(pid: number, probes: string): Usage | null {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    if (kib === undefined) return null;
    return { rssMiB: Number(kib) / 1024, fds: readdirSync(`/proc/${pid}/fd`).length, heapMiB: heapOf(pid, probes) };
  } catch {
    return null; // It ended.
  }
}

function heapOf(pid: number, probes: string): number | null {
  try {
    const { heapUsed, external } = JSON.parse(readFileSync(join(probes, `${pid}.json`), 'utf8')) as NodeJS.MemoryUsage;
    return (heapUsed + external) / MIB;
  } catch {
    return null;
  }
}

const CLOSE_WAIT = '08';

/**
 * Sockets that a process has open although their connection is over: reset, or ended by the other
 * side long ago. workerd keeps those whose client left before its upgrade was answered, and with
 * them the object and its database. It does so for an object of ten lines too.
 */
export function deadSockets(pid: number | null): number {
  if (pid === null) return 0;
  try {
    const alive = new Set<string>();
    for (const table of ['tcp', 'tcp6'])
      for (const row of readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n').slice(1)) {
        const fields = row.trim().split(/\s+/);
        if (fields[3] !== CLOSE_WAIT) alive.add(fields[9] ?? '');
      }
    for (const row of readFileSync(`/proc/${pid}/net/unix`, 'utf8').split('\n').slice(1))
      alive.add(row.trim().split(/\s+/)[6] ?? '');
    let dead = 0;
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
      if (inode !== undefined && !alive.has(inode)) dead += 1;
    }
    return dead;
  } catch {
    return 0; // It ended.
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // Closed since the listing.
  }
}

/** The process in this group that runs this; keepers and shells are in it too. */
export function memberOf(group: number | null, text: string): number | null {
  return listProcesses().find((each) => each.group === group && each.pid !== group && each.command.includes(text))?.pid ?? null;
}

const INSPECTOR_TIMEOUT_MS = 10_000;
const PUMP_EVERY_MS = 200;

/**
 * JavaScript heap of the Worker after a collection, by its debugger. Null when the debugger does
 * not answer, for example while the coordinator is down.
 *
 * workerd performs the collection, and answers, only when the isolate has work. Therefore this
 * sends it a request.
 */
export async function workerHeapMiB(inspectorPort: number, url: string): Promise<number | null> {
  const signal = AbortSignal.timeout(INSPECTOR_TIMEOUT_MS);
  let ws: WebSocket | null = null;
  let pump: NodeJS.Timeout | null = null;
  try {
    const list = await fetch(`http://127.0.0.1:${inspectorPort}/json`, { signal });
    const targets = (await list.json()) as { id: string; webSocketDebuggerUrl: string }[];
    const target = targets.find(({ id }) => id === 'main');
    if (!target) return null;
    ws = new WebSocket(target.webSocketDebuggerUrl);
    pump = setInterval(
      () =>
        void fetch(`${url}/healthz`, { signal }).then(
          (answer) => answer.body?.cancel(),
          () => {},
        ),
      PUMP_EVERY_MS,
    );
    return await ask(ws, signal);
  } catch {
    return null;
  } finally {
    if (pump) clearInterval(pump);
    ws?.terminate();
  }
}

function ask(ws: WebSocket, signal: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const send = (id: number, method: string) => ws.send(JSON.stringify({ id, method, params: {} }));
    signal.addEventListener('abort', () => reject(new Error('no answer')), { once: true });
    ws.on('error', reject);
    ws.on('open', () => {
      send(1, 'HeapProfiler.enable');
      send(2, 'HeapProfiler.collectGarbage');
    });
    ws.on('message', (data: Buffer) => {
      const { id, result } = JSON.parse(data.toString()) as { id?: number; result?: { usedSize?: number } };
      if (id === 2) send(3, 'Runtime.getHeapUsage');
      if (id === 3) resolve(result?.usedSize === undefined ? null : result.usedSize / MIB);
    });
  });
}
