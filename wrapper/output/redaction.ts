/**
 * Keeps the values of secret variables out of what a job says: they become `[redacted]` before anything is spooled or sent (SPL25).
 *
 *   RD1  Secret is the value of a variable whose name says so (`isSecretName`), or that is named by `--redact` or by the start (`secretNames`): of the wrapper's
 *        own environment, which the job mostly shares, and of the job's. Whatever the variable is called, the password of an address in its value is secret.
 *   RD2  A value counts by its lines, each without the white space around it: so a key that is printed line by line, indented or as one string of
 *        JSON is found, and no secret goes over a line end. A line shorter than `SECRET_BYTES_MIN` is left alone.
 *   RD3  In text a secret is found in each of its forms (redaction-forms): as it is, in a string of JSON, in a URL, in base64. In an `agent` event it is found
 *        however the JSON is written.
 *   RD4  Secrets that overlap or touch become one marker. None is searched for before another, so their order can not matter.
 *
 * RD5 and RD6: redaction-stream.
 *
 * Accepted weakness: what the job changes in another way is not found (coloured in the middle, wrapped to a width, spread over several events). It protects from
 * accidents, not from a job that wants to tell.
 */

import { formsOf } from './redaction-forms.ts';
import { redactTokens } from './redaction-json.ts';
import { isSecretName, passwordsIn } from './redaction-names.ts';
import { PatternSearch, SEARCH_START } from './redaction-search.ts';
import { RedactedStream } from './redaction-stream.ts';

export const REDACTED = '[redacted]';
/** Shorter ones ("true", "admin", "8080") are ordinary words of the output. Six is Buildkite's number too. */
export const SECRET_BYTES_MIN = 6;
/**
 * Of all forms of all secrets. The search takes some 25 bytes of memory per byte. A secret has about five times its length in forms, and an environment has
 * 2 MiB at most on Linux, of which little is secret.
 */
export const SECRETS_BYTES_MAX = 4 * 1024 * 1024;

export type RedactionReading =
  /** `redaction` is null when there is nothing to redact. `unused`: what was named, but has no value that can be redacted. */
  { kind: 'read'; redaction: Redaction | null; unused: string[] } | { kind: 'too_much'; bytes: number };

/**
 * What is to be redacted in a job with these variables. `named`: further names, as they are spelled. `usual` false: those alone, and not what is secret by its
 * name or by its value.
 */
export function readRedaction(
  environments: readonly NodeJS.ProcessEnv[],
  named: readonly string[],
  { usual = true }: { usual?: boolean } = {},
): RedactionReading {
  const secrets = new Set<string>();
  const unused = new Set(named);
  for (const [name, value = ''] of environments.flatMap((each) => Object.entries(each))) {
    const isNamed = named.includes(name);
    if (!isNamed && !usual) continue;
    const texts = [...(isNamed || isSecretName(name) ? [value] : []), ...passwordsIn(value)];
    const lines = texts.flatMap(secretLines);
    for (const line of lines) secrets.add(line);
    if (lines.length > 0) unused.delete(name);
  }
  const patterns = [...new Set([...secrets].flatMap(formsOf))].map((text) => Buffer.from(text));
  const bytes = patterns.reduce((sum, { length }) => sum + length, 0);
  if (bytes > SECRETS_BYTES_MAX) return { kind: 'too_much', bytes };
  const redaction = patterns.length === 0 ? null : new Redaction(patterns);
  return { kind: 'read', redaction, unused: [...unused] };
}

export const tooMuchToRedact = (bytes: number): string =>
  `the secrets to redact have ${bytes} bytes in all their forms, and ${SECRETS_BYTES_MAX} at most are possible: give the job fewer or shorter secret variables, or start its wrapper with --no-redact`;

/** RD2. What the marker itself contains would only make it longer. */
const secretLines = (value: string): string[] =>
  value
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => Buffer.byteLength(line) >= SECRET_BYTES_MIN && !REDACTED.includes(line));

export class Redaction {
  readonly #search: PatternSearch;
  readonly #marker = Buffer.from(REDACTED);
  /** Whether a secret has a character that every encoder of JSON escapes, and none by its number. */
  readonly #escaped: boolean;

  /** The patterns as `readRedaction` makes them. */
  constructor(patterns: readonly Buffer[]) {
    this.#search = new PatternSearch(patterns);
    this.#escaped = patterns.some((pattern) => /["\\\b\t\f]/.test(pattern.toString()));
  }

  /** For one output stream. */
  stream(): RedactedStream {
    return new RedactedStream(this.#search, this.#marker);
  }

  text(text: string): string {
    const bytes = Buffer.from(text);
    if (!this.#occursIn(bytes)) return text;
    const stream = this.stream();
    return Buffer.concat([stream.push(bytes), stream.end()]).toString();
  }

  /**
   * JSON text with its strings and numbers redacted; what holds no secret stays as it was, to the letter. Null when a secret is more than a string
   * or number of it: then the text can not be redacted and still be JSON. `bytes` spares an encoding where the text came from them.
   */
  json(text: string, bytes: Buffer = Buffer.from(text)): string | null {
    // Escapes hide a secret from a search of the text only if one of its characters may be meant by them.
    const escapes = text.includes('\\') && (this.#escaped || /\\[u/]/.test(text));
    if (!escapes && !this.#occursIn(bytes)) return text;
    const redacted = redactTokens(text, (content) => this.text(content));
    return this.#occursIn(Buffer.from(redacted)) ? null : redacted;
  }

  #occursIn(bytes: Buffer): boolean {
    const found: number[] = [];
    this.#search.scan(bytes, 0, SEARCH_START, found);
    return found.length > 0;
  }
}
