/**
 * The forms in which a job may print a secret: verbatim, in a JSON string, in a URL, in base64
 * (RD3). Pure.
 *
 * Accepted weakness: base64 wrapped to a width is found only where one line contains the whole
 * secret. Each line of a multi-line value is searched for separately, so up to two characters of
 * base64 between two lines remain. Double encoding is not found.
 */

/** Every form of one line of a secret; some may be equal. */
export function formsOf(secret: string): string[] {
  const plain = [secret, ...jsonForms(secret), ...urlForms(secret)];
  return [...plain, ...base64Forms(secret)];
}

/** As JavaScript, Python and Go write it in a string of JSON. */
function jsonForms(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  return [json, json.replace(/[^ -~]/g, unicodeEscape), json.replace(/[<>&\u2028\u2029]/g, unicodeEscape)];
}
const unicodeEscape = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** As JavaScript, Python, Go and forms escape it, with hexadecimal digits of either case. */
function urlForms(secret: string): string[] {
  if (!secret.isWellFormed()) return [];
  const component = encodeURIComponent(secret);
  const strict = component.replace(/[!'()*]/g, percentEscape);
  const keepsSlash = strict.replaceAll('%2F', '/');
  const form = new URLSearchParams({ '': secret }).toString().slice(1);
  return [component, strict, keepsSlash, form].flatMap((text) => [text, text.replace(/%[0-9A-F]{2}/g, lowerCase)]);
}
const percentEscape = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
const lowerCase = (text: string): string => text.toLowerCase();

/**
 * Base64 differs for each of the three positions in a 3-byte group where the secret may begin: a
 * basic-auth header has `user:` in front of it. The first characters also encode bits of the
 * preceding bytes, and the last ones bits of the following bytes. Those are left out, unless the
 * secret is at the end.
 */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const begin = Math.ceil((before * 8) / 6);
    const certain = encoded.slice(begin, Math.floor(((before + bytes.length) * 8) / 6));
    const atTheEnd = encoded.slice(begin);
    return [certain, atTheEnd.replace(/=+$/, ''), atTheEnd].flatMap((text) => [
      text,
      text.replaceAll('+', '-').replaceAll('/', '_'),
    ]);
  });
}
