/**
 * The runner key of a local stack: `runner.key` in its data folder. The coordinator makes it, and
 * shows it once.
 */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const POOL = 'default';
const TIMEOUT_MS = 20_000;

export const runnerKeyFile = (data: string): string => join(data, 'runner.key');

interface Coordinator {
  url: string;
  apiKey: string;
}

/** Makes a key unless the one that is kept is known. Throws when the coordinator does not answer. */
export async function provideRunnerKey(data: string, coordinator: Coordinator): Promise<void> {
  const file = runnerKeyFile(data);
  const [, keptId] = keptKey(file).split('.');
  if (keptId !== undefined && (await knownIds(coordinator)).includes(keptId)) return;
  const answer = await call(coordinator, 'POST', { name: 'the local stack' });
  const { key } = (await answer.json()) as { key?: unknown };
  if (answer.status !== 201 || typeof key !== 'string') {
    throw new Error(`the coordinator made no runner key for the pool ${POOL} (HTTP ${answer.status})`);
  }
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, `${key}\n`, { mode: 0o600, flush: true });
  renameSync(beside, file);
}

function keptKey(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Empty when there is no pool yet. */
async function knownIds(coordinator: Coordinator): Promise<string[]> {
  const answer = await call(coordinator, 'GET');
  if (!answer.ok) return [];
  const { data } = (await answer.json()) as { data?: { id: string }[] };
  return (data ?? []).map(({ id }) => id);
}

const call = ({ url, apiKey }: Coordinator, method: 'GET' | 'POST', body?: object): Promise<Response> =>
  fetch(`${url}/v1/pools/${POOL}/keys`, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
