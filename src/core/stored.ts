/** Reading stored JSON. */

/**
 * Parses JSON text from a table. It was validated when it was stored, so an error means that a row
 * is damaged. The parser's own error quotes the text, which may be job output, and the platform
 * logs what an object throws; so the error is replaced.
 */
export function parseStored<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Error('a stored row is not the JSON that it was');
  }
}
