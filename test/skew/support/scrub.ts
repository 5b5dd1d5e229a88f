/**
 * Removes from a recording what is secret, and what is specific to this machine. Lengths of event
 * lines are kept, because the log counts their bytes.
 */

/** Signed tokens: three parts, the first of which is `{"alg":…` in base64. */
const TOKEN = /eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g;
/** Also where it is a text within JSON within JSON. */
const PID = /(\\*"pid\\*":)(\d+)/g;
const PID_DIGITS = '4193867520';

/**
 * `known`: literal texts (keys, addresses, folders) with their replacements. Longer ones go first,
 * since one may contain another.
 */
export function scrubber(known: ReadonlyMap<string, string>): (text: string) => string {
  const literals = [...known].filter(([text]) => text !== '').sort(([a], [b]) => b.length - a.length);
  return (text) => {
    let scrubbed = text;
    for (const [literal, placeholder] of literals) scrubbed = scrubbed.replaceAll(literal, placeholder);
    return scrubbed
      .replace(TOKEN, '<token>')
      .replace(PID, (_, name: string, pid: string) => `${name}${PID_DIGITS.slice(0, pid.length)}`);
  };
}

/** What must never be in a fixture: a recording with one of these is not written. */
export function leaksIn(text: string, secrets: readonly string[]): string[] {
  const shapes = [TOKEN, /127\.0\.0\.1:\d+/g, /Bearer (?!<)[^"\\]+/g, /whsec_\w+/g];
  return [
    ...secrets.filter((secret) => secret !== '' && text.includes(secret)),
    ...shapes.flatMap((shape) => text.match(shape) ?? []),
  ];
}
