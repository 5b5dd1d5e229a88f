/** Reading what is kept. */

/**
 * JSON text out of a table. It was checked when it came in, so an error means that a row is damaged. The parser's own error has a piece of the text in it,
 * which is what a job said, and the platform logs what an object throws.
 */
export function parseStored<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Error('a stored row is not the JSON that it was');
  }
}
