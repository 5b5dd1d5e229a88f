/**
 * The id of a runner, kept in its folder: `runner.json`. The pool knows the runner by it across
 * restarts. The folder is locked (runner/lock.ts), so no two processes of a host have one id.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { isId } from '../../protocol/ids.ts';
import { isObject, parseJson } from '../../protocol/json.ts';
import { replaceFile } from '../replace-file.ts';

export const IDENTITY_FILE = 'runner.json';

export interface RunnerIdentity {
  runnerId: string;
  tenant: string;
  pool: string;
}

export type IdentityReading = { ok: true; identity: RunnerIdentity } | { ok: false; message: string };

/**
 * Reads the id, or makes one. A folder belongs to one pool: its runs would otherwise be reported to
 * a pool that does not know them. Throws when the folder cannot be written.
 */
export function takeIdentity(folder: string, { tenant, pool }: Pick<RunnerIdentity, 'tenant' | 'pool'>): IdentityReading {
  const path = join(folder, IDENTITY_FILE);
  const known = readIdentity(path);
  if (known === 'damaged') {
    return {
      ok: false,
      message: `${path} is damaged. Remove it: the runner then gets a new id, and takes its runs over as before`,
    };
  }
  if (known === null) {
    const identity = { runnerId: `r_${ulid()}`, tenant, pool };
    replaceFile(path, `${JSON.stringify(identity)}\n`);
    return { ok: true, identity };
  }
  if (known.tenant === tenant && known.pool === pool) return { ok: true, identity: known };
  return {
    ok: false,
    message: `${folder} belongs to a runner of the pool ${known.pool}${known.tenant === tenant ? '' : ' of another tenant'}. Give this one a folder of its own with --spool`,
  };
}

function readIdentity(path: string): RunnerIdentity | 'damaged' | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const value = parseJson(text);
  if (!isObject(value)) return 'damaged';
  const { runnerId, tenant, pool } = value;
  return isId(runnerId) && typeof tenant === 'string' && isId(pool) ? { runnerId, tenant, pool } : 'damaged';
}
