/**
 * Redacts the values of secret variables in job output: they become `[redacted]` before anything is
 * spooled or sent (SPL25).
 *
 *   RD1  A value is secret if its variable has a secret name (`isSecretName`) or is listed by
 *        `--redact` or by the start (`secretNames`). This covers the wrapper's own environment,
 *        which the job mostly shares, and the job's. The password of an address is secret in any
 *        variable.
 *   RD2  A value is matched by its lines, each without surrounding white space. So a key is found
 *        whether printed line by line, indented, or as one JSON string, and no match spans lines. A
 *        line shorter than `SECRET_BYTES_MIN` is ignored.
 *   RD3  In text a secret is found in each of its forms (redaction-forms): verbatim, in a JSON
 *        string, in a URL, in base64. In an `agent` event it is found however the JSON is written.
 *   RD4  Secrets that overlap or touch become one marker. All are searched for at once, so their
 *        order does not matter.
 *
 * RD5 and RD6: redaction-stream.
 *
 * Accepted weakness: other transformations by the job are not found (coloured in the middle,
 * wrapped to a width, spread over several events). Redaction protects from accidents, not from a
 * job that wants to leak.
 */

import { formsOf } from './redaction-forms.ts';
import { redactTokens } from './redaction-json.ts';
import { isSecretName, passwordsIn } from './redaction-names.ts';
import { PatternSearch, SEARCH_START } from './redaction-search.ts';
import { RedactedStream } from './redaction-stream.ts';

export const REDACTED = '[redacted]';
/**
 * Shorter values ("true", "admin", "8080") are ordinary words of the output. Buildkite uses six
 * too.
 */
export const SECRET_BYTES_MIN = 6;
/**
 * Sum of all forms of all secrets. The search takes about 25 bytes of memory per byte. The forms of
 * a secret have about five times its length. An environment has at most 2 MiB on Linux, of which
 * little is secret.
 */
export const SECRETS_BYTES_MAX = 4 * 1024 * 1024;

export type RedactionReading =
  /**
   * `redaction` is null when there is nothing to redact. `unused`: listed names without a value
   * that can be redacted.
   */
  { kind: 'read'; redaction: Redaction | null; unused: string[] } | { kind: 'too_much'; bytes: number };

/**
 * What to redact in a job with these variables. `named`: further names, as spelled. `usual` false:
 * only those, not the variables that are secret by name or value.
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

/** RD2. A value contained in the marker itself would only lengthen it. */
const secretLines = (value: string): string[] =>
  value
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => Buffer.byteLength(line) >= SECRET_BYTES_MIN && !REDACTED.includes(line));

export class Redaction {
  readonly #search: PatternSearch;
  readonly #marker = Buffer.from(REDACTED);
  /**
   * Whether a secret has a character that every JSON encoder escapes, and no character that an
   * encoder escapes by number.
   */
  readonly #escaped: boolean;

  /** The patterns that `readRedaction` creates. */
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
   * JSON text with its strings and numbers redacted; the rest is kept byte for byte. Null when a
   * secret spans more than one string or number: the text then cannot be redacted and stay JSON.
   * `bytes` saves an encoding if the text was decoded from them.
   */
  json(text: string, bytes: Buffer = Buffer.from(text)): string | null {
    // Escapes hide a secret from a text search only if one of its characters may be written as an
    // escape.
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
