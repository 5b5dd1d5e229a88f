/**
 * Names and numbers of signals. Real-time signals have no names, so `SIG34` to `SIG64` are used.
 */

import { constants } from 'node:os';

export const SIGNAL_MAX = 64;

const NUMBERS: Readonly<Record<string, number>> = constants.signals;

/** Of two names for one number the first is used: SIGABRT, not SIGIOT. */
export const signalName = (number: number): string =>
  Object.keys(NUMBERS).find((name) => NUMBERS[name] === number) ?? `SIG${number}`;

/** 0 when there is no such signal. */
export const signalNumber = (name: string): number => NUMBERS[name] ?? Number(/^SIG(\d+)$/.exec(name)?.[1] ?? 0);
