const SIGNAL = /^SIG[A-Z0-9]{1,12}$/;

/** The signal's name, or `unknown` for any other text, because a wrapper may send anything. */
export const signalName = (signal: string | null): string | undefined =>
  signal === null ? undefined : SIGNAL.test(signal) ? signal : 'unknown';
