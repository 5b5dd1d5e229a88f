/**
 * How a listener is called. It owns its own errors: they go to the platform's handler and do not stop the stream halfway through a step.
 */

export function guarded<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
