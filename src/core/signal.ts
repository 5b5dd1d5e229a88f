const SIGNAL = /^SIG[A-Z0-9]{1,12}$/;

/** The name of a signal as a wrapper reports it, or `unknown` for any other text, because a wrapper may send anything. */
export const signalName = (signal: string | null): string | undefined =>
  signal === null ? undefined : SIGNAL.test(signal) ? signal : 'unknown';
