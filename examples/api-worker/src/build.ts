/**
 * A build: one execution, in the session of its repository. Its id consists of both names, so no
 * lookup is needed.
 */

import { type Execution, isId } from '@holdfast/client/protocol';
import * as z from 'zod';

/** Owner and name as GitHub accepts them. Other input never reaches Holdfast. */
export const startBody = z.object({
  repository: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,38}\/[A-Za-z0-9._-]{1,80}$/),
  ref: z.string().min(1).max(200),
});

export interface BuildName {
  session: string;
  execution: string;
}

export interface Build {
  id: string;
  repository: string;
  ref: string;
  status: Execution['status'];
  exitCode: number | null;
  error: string | null;
}

/** The names of sessions and executions cannot contain it, and it needs no escaping in a URL. */
const SEPARATOR = '~';

export const checkKey = (key: string): string | null => (/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(key) ? key : null);

/** An owner's name contains no colon, so no two repositories share a session. */
export const buildId = (repository: string, key: string): BuildName => ({ session: repository.replace('/', ':'), execution: key });

export const idOf = ({ session, id }: Pick<Execution, 'session' | 'id'>): string => `${session}${SEPARATOR}${id}`;

export function nameOf(id: string): BuildName | null {
  const [session, execution, more] = id.split(SEPARATOR);
  return isId(session) && isId(execution) && more === undefined ? { session, execution } : null;
}

export function buildOf(execution: Execution): Build {
  const { status, labels, exitCode = null, error = null } = execution;
  return { id: idOf(execution), repository: labels.repository ?? '', ref: labels.ref ?? '', status, exitCode, error };
}
