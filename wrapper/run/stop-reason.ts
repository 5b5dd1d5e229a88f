/**
 * Why a wrapper is asked to stop, as text. A signal cannot carry text, so a runner that ends with
 * its container writes the reason to a file before it signals; the wrapper reads it when the signal
 * arrives. Without such a file only the signal is known.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { REASON_CHARS_MAX } from '../../protocol/index.ts';

/** The file's path, given by the runner to its wrapper. Jobs do not get it (CH4). */
export const STOP_REASON_VARIABLE = 'HOLDFAST_STOP_REASON_FILE';

export const signalAsReason = (signal: NodeJS.Signals): string => `wrapper received ${signal}`;

export function stopReason(file: string | undefined, signal: NodeJS.Signals): string {
  if (!file) return signalAsReason(signal);
  try {
    return readFileSync(file, 'utf8').trim().slice(0, REASON_CHARS_MAX) || signalAsReason(signal);
  } catch {
    return signalAsReason(signal);
  }
}

/** If the write fails, the reason is lost but the stop proceeds. */
export function leaveStopReason(file: string, reason: string): void {
  try {
    writeFileSync(file, `${reason}\n`, { mode: 0o600 });
  } catch {
    // The wrapper reports the signal's name instead.
  }
}
