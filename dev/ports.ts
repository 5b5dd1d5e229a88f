/** Ports of this machine. */

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below what Linux (32768) and macOS (49152) assign to programs that ask for any port, and to
 * outgoing connections.
 */
const PORT_RANGE = [20_000, 32_000] as const;

/** Why no program of this user can listen there, as the system's code. Null: one can. */
export async function listenFailure(port: number): Promise<string | null> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
  server.close();
  await once(server, 'close');
  return null;
}

export const isFree = async (port: number): Promise<boolean> => (await listenFailure(port)) === null;

/** For a person who chose the port with this flag. */
export function describeListenFailure(code: string, port: number, flag: string): string {
  const next = `Choose another with ${flag} (0 picks a free one)`;
  switch (code) {
    case 'EADDRINUSE':
      return `127.0.0.1:${port} is in use. ${next}, or stop what listens there.`;
    case 'EACCES':
      return `this user may not listen on port ${port} (EACCES); ports below 1024 often need more rights. ${next}.`;
    default:
      return `no program can listen on 127.0.0.1:${port} (${code}). ${next}.`;
  }
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
