/**
 * Calls a listener of the user. Its error goes to the platform's handler and does not stop the
 * stream halfway.
 */

export function callSafely<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
