/**
 * `npm run bench:profile -- [--case ingest|fanout|replay|floor|floor-fanout] [--seconds N] [--top
 * N] [--out FILE.cpuprofile]`: where the time of the object goes. Runs the case repeatedly with the
 * runtime's debugger open, and prints the functions by their own time. The file can be opened in a
 * browser's developer tools.
 */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { type Channel, deliver } from './lib/channel.ts';
import { prepare } from './lib/frames.ts';
import { closed } from './lib/socket.ts';
import { caughtUp, floorChannel, holdfastChannel, openViewer, serveFloor, serveHoldfast } from './lib/systems.ts';

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  hitCount?: number;
}
interface Profile {
  nodes: ProfileNode[];
  startTime: number;
  endTime: number;
}

/** The runtime's debugger, as far as a profile needs it. */
class Debugger {
  readonly #ws: WebSocket;
  #id = 0;

  private constructor(ws: WebSocket) {
    this.#ws = ws;
  }

  static async attach(port: number): Promise<Debugger> {
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as { webSocketDebuggerUrl: string }[];
    const ws = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '', { maxPayload: 256 * 1024 * 1024 });
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    return new Debugger(ws);
  }

  call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      const listener = (data: Buffer): void => {
        const message = JSON.parse(data.toString()) as { id?: number; result: Record<string, unknown> };
        if (message.id !== id) return;
        this.#ws.off('message', listener);
        resolve(message.result);
      };
      this.#ws.on('message', listener);
      this.#ws.send(JSON.stringify({ id, method, params }));
    });
  }
}

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'ingest' },
    seconds: { type: 'string', default: '5' },
    top: { type: 'string', default: '25' },
    out: { type: 'string' },
  },
});
const onFloor = values.case.startsWith('floor');
const server = await (onFloor ? serveFloor : serveHoldfast)({ inspect: true });
const viewers = values.case.endsWith('fanout') ? 200 : 1;
const channel: Channel = onFloor ? await floorChannel(server, 'message', viewers) : await holdfastChannel(server, viewers);
const debug = await Debugger.attach(server.inspectorPort as number);
const events = viewers > 1 ? 2_000 : 100_000;
const load = async (): Promise<void> => void (await deliver(channel, prepare(events, 200, 100, channel.nextSeq)));
await load();
await debug.call('Profiler.enable');
await debug.call('Profiler.setSamplingInterval', { interval: 200 });
await debug.call('Profiler.start');
for (const end = Date.now() + Number(values.seconds) * 1000; Date.now() < end; ) {
  if (values.case === 'replay' && 'run' in channel) {
    const viewer = await openViewer(server.url, channel.run as { session: string });
    await caughtUp(viewer);
    await closed(viewer);
  } else await load();
}
const { profile } = (await debug.call('Profiler.stop')) as unknown as { profile: Profile };
const own = new Map<string, number>();
let samples = 0;
for (const { callFrame, hitCount = 0 } of profile.nodes) {
  const file = callFrame.url.split('/').at(-1) ?? '';
  const name = `${callFrame.functionName || '(anonymous)'}${file ? ` ${file}:${callFrame.lineNumber + 1}` : ''}`;
  own.set(name, (own.get(name) ?? 0) + hitCount);
  samples += hitCount;
}
const busy = samples - (own.get('(idle)') ?? 0) - (own.get('(program)') ?? 0);
process.stdout.write(`${values.case}: ${samples} samples, ${busy} of them in JavaScript or below it; share of those\n`);
for (const [name, hits] of [...own].sort((a, b) => b[1] - a[1]).slice(0, Number(values.top))) {
  if (hits > 0) process.stdout.write(`${((hits / busy) * 100).toFixed(1).padStart(6)} %  ${name}\n`);
}
if (values.out) writeFileSync(values.out, JSON.stringify(profile));
await server.stop();
process.exit(0);
