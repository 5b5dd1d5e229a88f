/** What a launch request is: its strict reading, and the digest that binds an execution id to one request. */

import { createHash } from 'node:crypto';
import {
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  CREDENTIAL_CHARS_MAX,
  CWD_BYTES_MAX,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  type IngestAccess,
  isId,
  type OutputFormat,
  START_BODY_BYTES_MAX,
  STDIN_BYTES_MAX,
  utf8Bytes,
} from '../protocol/index.ts';

/** A start request of the greatest size must stay launchable: room for the ids, the ingest URL and the token that the coordinator adds. */
export const RUNNER_BODY_BYTES_MAX = START_BODY_BYTES_MAX + 4 * 1024;

/** The address of a deployment, with two ids behind it. */
export const INGEST_URL_CHARS_MAX = 4096;

/** A W3C traceparent has 55; what a later version of it adds fits. */
export const TRACEPARENT_CHARS_MAX = 256;

export interface LaunchRequest {
  id: string;
  session: string;
  /** Session names are unique within a tenant only: a runner that serves several must be told, or they would share runs. */
  tenant: string;
  command: string[];
  cwd: string | null;
  env: Record<string, string>;
  stdin: string | null;
  /** Stdin stays open after that text, for input that is sent later. A job that reads to the end of its stdin then waits for ever. */
  openStdin: boolean;
  format: OutputFormat;
  traceparent: string | null;
  ingest: IngestAccess;
}

export type LaunchReading = { ok: true; request: LaunchRequest } | { ok: false; field: string; message: string };

const wrong = (field: string, message: string): LaunchReading => ({ ok: false, field, message });
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** The system ends a string at NUL, and half a surrogate pair becomes another character: either would silently run something else. */
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0') && value.isWellFormed();

export function readLaunchRequest(value: unknown): LaunchReading {
  if (!isObject(value)) return wrong('', 'The body must be a JSON object.');
  const {
    id,
    session,
    tenant = '',
    command,
    cwd = null,
    env = {},
    stdin = null,
    openStdin = false,
    format = 'text',
    traceparent = null,
    ingest,
  } = value;
  if (!isId(id)) return wrong('id', 'id is not a valid execution id.');
  if (!isId(session)) return wrong('session', 'session is not a valid session id.');
  if (tenant !== '' && !isId(tenant)) return wrong('tenant', 'tenant is not a valid name.');

  if (!Array.isArray(command) || command.length === 0 || !command.every(isText)) {
    return wrong('command', 'command must be a list of strings: the program and its arguments.');
  }
  if (command[0] === '') return wrong('command', 'command must begin with the name of a program.');
  if (command.length > COMMAND_ARGS_MAX) return wrong('command', `command may have at most ${COMMAND_ARGS_MAX} items.`);
  if (utf8Bytes(command.join('\0')) > COMMAND_BYTES_MAX) {
    return wrong('command', `command may have at most ${COMMAND_BYTES_MAX} bytes.`);
  }

  if (cwd !== null && (!isText(cwd) || cwd === '' || utf8Bytes(cwd) > CWD_BYTES_MAX)) {
    return wrong('cwd', `cwd must be a path of at most ${CWD_BYTES_MAX} bytes.`);
  }
  if (!isObject(env)) return wrong('env', 'env must be an object of strings.');
  const variables = Object.entries(env);
  if (variables.length > ENV_VARS_MAX) return wrong('env', `env may have at most ${ENV_VARS_MAX} variables.`);
  let envBytes = 0;
  for (const [name, content] of variables) {
    if (name === '' || name.includes('=') || !isText(name)) return wrong('env', 'env has a name that no variable can have.');
    if (name.startsWith('HOLDFAST_')) return wrong('env', `env.${name}: names that begin with HOLDFAST_ are the wrapper's own.`);
    if (!isText(content)) return wrong('env', `env.${name} must be a string.`);
    envBytes += utf8Bytes(name) + utf8Bytes(content) + 2;
  }
  if (envBytes > ENV_BYTES_MAX) return wrong('env', `env may have at most ${ENV_BYTES_MAX} bytes.`);

  if (stdin !== null && (typeof stdin !== 'string' || utf8Bytes(stdin) > STDIN_BYTES_MAX)) {
    return wrong('stdin', `stdin must be text of at most ${STDIN_BYTES_MAX} bytes.`);
  }
  if (typeof openStdin !== 'boolean') return wrong('openStdin', 'openStdin must be true or false.');
  if (format !== 'text' && format !== 'jsonl') return wrong('format', 'format must be text or jsonl.');
  if (traceparent !== null && (!isText(traceparent) || traceparent.length > TRACEPARENT_CHARS_MAX)) {
    return wrong('traceparent', 'traceparent must be a short string.');
  }

  if (!isObject(ingest) || typeof ingest.url !== 'string' || typeof ingest.token !== 'string') {
    return wrong('ingest', 'ingest must be {url, token}.');
  }
  if (!isText(ingest.token) || ingest.token === '') return wrong('ingest.token', 'ingest.token must not be empty.');
  if (ingest.token.length > CREDENTIAL_CHARS_MAX) {
    return wrong('ingest.token', `ingest.token may have at most ${CREDENTIAL_CHARS_MAX} characters.`);
  }
  if (ingest.url.length > INGEST_URL_CHARS_MAX) {
    return wrong('ingest.url', `ingest.url may have at most ${INGEST_URL_CHARS_MAX} characters.`);
  }
  const protocol = URL.canParse(ingest.url) ? new URL(ingest.url).protocol : '';
  if (!['http:', 'https:', 'ws:', 'wss:'].includes(protocol)) {
    return wrong('ingest.url', 'ingest.url must be an absolute http(s) or ws(s) URL.');
  }
  return {
    ok: true,
    request: {
      id,
      session,
      tenant: tenant as string,
      command: command as string[],
      cwd: cwd as string | null,
      env: env as Record<string, string>,
      stdin,
      openStdin,
      format,
      traceparent: traceparent as string | null,
      ingest: { url: ingest.url, token: ingest.token },
    },
  };
}

/**
 * SHA-256 of what the job is. How it reports is left out: a relaunch of the same job has a new token, perhaps a new URL, and is still
 * the same job.
 */
export function requestDigest({ id, session, tenant, command, cwd, env, stdin, openStdin, format }: LaunchRequest): string {
  const sorted = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([tenant, session, id, command, cwd, sorted, stdin, openStdin, format]))
    .digest('hex');
}

/**
 * A folder name for an id: readable, and different for different ids also where a file system ignores case, forbids `:`
 * or limits the length of names.
 */
export function folderName(id: string): string {
  const readable = id
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '_')
    .slice(0, 48);
  return `${readable}.${createHash('sha256').update(id).digest('hex').slice(0, 24)}`;
}
