/**
 * The upgrade of a runner that dials in. A runner reads an HTTP status, so it is refused over HTTP.
 * The form of its key is checked here, the key itself by the pool's object, which has the digests.
 */

import { type Failure, isId } from '../../protocol/index.ts';
import { RUNNER_SUBPROTOCOL } from '../../protocol/pool.ts';
import { failure } from '../contract/failure.ts';
import { openRunnerSocket, type RunnerUpgrade, runnerRefusal } from '../launch/pool.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { readRunnerKey, sha256Hex } from '../platform/runner-keys.ts';
import { callPool } from '../session/call-object.ts';
import { bearerToken, countGuess } from './auth.ts';
import { offeredProtocols } from './readers.ts';
import { wantsUpgrade } from './upgrades.ts';

export interface RunnerClaims extends RunnerUpgrade {
  tenant: string;
  pool: string;
}

export async function readRunnerClaims(
  request: Request,
  env: Env,
  config: Config,
  pool: string,
): Promise<{ ok: true; claims: RunnerClaims } | Failure> {
  if (!isId(pool)) return failure('bad_request', 'pool: is not a valid id', { field: 'pool' });
  const key = bearerToken(request);
  const read = key === null ? null : readRunnerKey(key);
  if (key === null || read === null) {
    const limited = key === null ? null : await countGuess(request, env, config, key);
    return limited ?? failure('unauthorized', 'A runner key is needed: Authorization: Bearer hfr_….');
  }
  return { ok: true, claims: { tenant: read.tenant, pool, keyId: read.id, digest: await sha256Hex(key) } };
}

export async function upgradeRunner(
  request: Request,
  env: Env,
  config: Config,
  { tenant, pool, keyId, digest }: RunnerClaims,
): Promise<Response | Failure> {
  if (!wantsUpgrade(request)) return failure('upgrade_required', `Connect by WebSocket with subprotocol ${RUNNER_SUBPROTOCOL}.`);
  if (!offeredProtocols(request).includes(RUNNER_SUBPROTOCOL)) {
    return failure('bad_request', `The WebSocket must offer subprotocol ${RUNNER_SUBPROTOCOL}.`, {
      field: 'sec-websocket-protocol',
    });
  }
  const answer = await callPool(env, tenant, pool, (stub) => openRunnerSocket(stub, { keyId, digest }, RUNNER_SUBPROTOCOL));
  if ('code' in answer) return answer;
  const refused = await runnerRefusal(answer);
  if (!refused) return answer;
  return (await countGuess(request, env, config, bearerToken(request) ?? '')) ?? refused;
}
