/** Ports of this machine. */

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below what Linux (32768) and macOS (49152) assign to programs that ask for any port, and to
 * outgoing connections.
 */
const PORT_RANGE = [20_000, 32_000] as const;

export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/**
 * A port that is free now and that the system does not assign by itself. Seconds pass before a
 * coordinator listens there, and again after it was killed; meanwhile other programs of this
 * machine open sockets. A program that takes the port all the same is noticed, and the stack says
 * so.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(...PORT_RANGE);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${PORT_RANGE[0]} to ${PORT_RANGE[1] - 1} in 100 attempts`);
}
