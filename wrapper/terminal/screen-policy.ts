/**
 * When a `screen` is written (TTY13). Pure: times are arguments.
 *
 * A late viewer reads the newest screen and everything after it. So a screen is worth its bytes
 * when much output follows the one before it, and a pause is a good moment: what the program drew
 * is then complete, and nothing is read again because of it.
 */

/** A late viewer reads at most about this much output. */
export const SCREEN_EVERY_BYTES = 256 * 1024;
/** Less than this is read as fast as a screen. */
const SCREEN_AFTER_BYTES = 16 * 1024;
/** A program that draws is seldom silent for longer between two parts of one picture. */
export const QUIET_MS = 1000;

export interface SinceScreen {
  /** Output since the last screen. */
  bytes: number;
  /** The picture is not what the output says: the size changed, or another wrapper took over. */
  stale: boolean;
}

export const isScreenDue = ({ bytes }: SinceScreen): boolean => bytes >= SCREEN_EVERY_BYTES;

/** The time of the screen, if no output follows the last one; null when none is needed. */
export function quietScreenAt({ bytes, stale }: SinceScreen, lastOutputAt: number): number | null {
  return stale || bytes >= SCREEN_AFTER_BYTES ? lastOutputAt + QUIET_MS : null;
}
