/**
 * The coordinator's URL, the credential, and the execution that is meant. Flags override the
 * environment, and the environment overrides a running local stack.
 */

import { findRunningStack } from '../dev/running.ts';
import { isId } from '../protocol/index.ts';

/** A mistake in the call: exit code 2, nothing was done. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Flags {
  url?: string;
  apiKey?: string;
  json?: boolean;
  color?: boolean;
  quiet?: boolean;
}

export interface Settings {
  url: string;
  apiKey: string;
}

type Environment = Record<string, string | undefined>;

export function readSettings(flags: Flags, env: Environment): Settings {
  const url = flags.url ?? (env.HOLDFAST_URL || undefined);
  const apiKey = flags.apiKey ?? (env.HOLDFAST_API_KEY || undefined);
  if (!url && !apiKey) {
    const found = findRunningStack(env);
    if (found.kind === 'running') return { url: found.stack.url, apiKey: found.stack.apiKey };
    if (found.kind === 'gone') {
      throw new UsageError(
        `no coordinator: the local stack (process ${found.pid}) has ended. Start it again with \`holdfast dev\`, or set HOLDFAST_URL or give --url`,
      );
    }
  }
  if (!url) {
    throw new UsageError('no coordinator: set HOLDFAST_URL or give --url, or start a local one with `holdfast dev`');
  }
  let parsed: URL | null = null;
  try {
    parsed = new URL(url);
  } catch {
    // Reported below, together with other protocols.
  }
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new UsageError(`the coordinator's URL must begin with http:// or https://, not ${JSON.stringify(url)}`);
  }
  const key = apiKey ?? keyOfLocalStack(parsed, env);
  if (!key) throw new UsageError('no API key: set HOLDFAST_API_KEY or give --api-key');
  return { url: url.replace(/\/+$/, ''), apiKey: key };
}

/** Of the stack that runs here, where its own address was named. No other address gets the key. */
function keyOfLocalStack({ origin }: URL, env: Environment): string | undefined {
  const found = findRunningStack(env);
  return found.kind === 'running' && new URL(found.stack.url).origin === origin ? found.stack.apiKey : undefined;
}

export interface Reference {
  session: string;
  execution: string;
}

export const formatReference = ({ session, execution }: Reference): string => `${session}/${execution}`;

/** `session/execution`, or an execution id with the session from --session or HOLDFAST_SESSION. */
export function parseReference(text: string, flags: { session?: string }, env: Environment): Reference {
  const parts = text.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2) throw new UsageError(`${JSON.stringify(text)} is no reference: give session/execution`);
  const named = second === undefined ? (flags.session ?? (env.HOLDFAST_SESSION || undefined)) : first;
  const execution = second ?? first;
  if (named === undefined) {
    throw new UsageError(`which session is ${execution} of? Give session/${execution}, --session, or HOLDFAST_SESSION`);
  }
  if (second !== undefined && flags.session !== undefined && flags.session !== first) {
    throw new UsageError(`${text} names session ${first}, --session names ${flags.session}`);
  }
  return { session: checkId(named, 'session'), execution: checkId(execution, 'execution') };
}

export function checkId(text: string, what: string): string {
  if (isId(text)) return text;
  throw new UsageError(`${JSON.stringify(text)} is no ${what} id: 1 to 128 letters, digits or . _ : - and a letter or digit first`);
}

export function parseWholeNumber(text: string, flag: string, min = 0): number {
  const value = Number(text);
  if (!/^(0|[1-9][0-9]*)$/.test(text) || !Number.isSafeInteger(value) || value < min) {
    throw new UsageError(`${flag} must be a whole number${min > 0 ? ` of at least ${min}` : ''}, not ${JSON.stringify(text)}`);
  }
  return value;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30m`, `1h30m`, `500ms`. A bare number would be ambiguous, so it needs a unit. */
export function parseDuration(text: string, flag: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text) {
    throw new UsageError(`${flag} must be a duration such as 90s, 30m or 1h30m, not ${JSON.stringify(text)}`);
  }
  return Math.round(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS_MS[unit as string] as number), 0));
}

const UNITS_BYTES: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** `500M`, `2G`, `1.5G`. Powers of 1024; a bare number would be ambiguous, so it needs a unit. */
export function parseSize(text: string, flag: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([KMG])$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined)
    throw new UsageError(`${flag} must be a size such as 500M or 2G, not ${JSON.stringify(text)}`);
  return Math.floor(Number(amount) * (UNITS_BYTES[unit] as number));
}

/** `K=V` items; `whenBare` is the meaning of an item without `=`. */
export function parsePairs(
  items: readonly string[],
  flag: string,
  whenBare?: (key: string) => string | undefined,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const item of items) {
    const at = item.indexOf('=');
    const key = at === -1 ? item : item.slice(0, at);
    const value = at === -1 ? whenBare?.(item) : item.slice(at + 1);
    if (key !== '' && value === undefined && whenBare)
      throw new UsageError(`${flag}: this shell exports no ${JSON.stringify(key)}; export it, or give KEY=VALUE`);
    if (key === '' || value === undefined) throw new UsageError(`${flag} must be KEY=VALUE, not ${JSON.stringify(item)}`);
    found[key] = value;
  }
  return found;
}

export function parseChoice<T extends string>(text: string, choices: readonly T[], flag: string): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new UsageError(`${flag} must be one of ${choices.join(', ')}, not ${JSON.stringify(text)}`);
  return found;
}
