/** The digest that binds an execution id to one job. */

import { createHash } from 'node:crypto';
import type { Launch } from '../protocol/launch.ts';

/** A term of a later version than 0.1.0 counts only where it is not its default (VER7). */
const laterTerms = ({ merge, output, terminal }: Launch): unknown[] => [
  ...(merge || output !== 'text' ? [{ merge, output }] : []),
  ...(terminal === null ? [] : [{ terminal: true }]),
];

/**
 * SHA-256 of the parts of a request that define the job. The way it reports is left out: a relaunch
 * of the same job has a new token, perhaps a new URL, and is still the same job.
 */
export function requestDigest(launch: Launch): string {
  const { id, session, tenant, command, cwd, env, stdin, openStdin, format } = launch;
  const sorted = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([tenant, session, id, command, cwd, sorted, stdin, openStdin, format, ...laterTerms(launch)]))
    .digest('hex');
}
