/** Sizes of the emulator on the page. Pure. */

import type { Size } from '../../../client/terminal/key-queue.ts';
import { TERMINAL_COLS_MAX, TERMINAL_ROWS_MAX } from '../../../protocol/index.ts';

export const FONT_PX = 13;
/** Smaller text cannot be read. The terminal scrolls sideways instead. */
export const FONT_PX_MIN = 8;

/** Of a character at `FONT_PX`; the box is what the page has for the terminal. */
export interface Space {
  width: number;
  height: number;
  charWidth: number;
  charHeight: number;
}

const COLS_MIN = 20;
const ROWS_MIN = 5;
const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, Math.floor(value)));

/** The size with which a terminal fills the space, in the usual font. */
export const sizeThatFits = ({ width, height, charWidth, charHeight }: Space): Size => ({
  cols: clamp(width / charWidth, COLS_MIN, TERMINAL_COLS_MAX),
  rows: clamp(height / charHeight, ROWS_MIN, TERMINAL_ROWS_MAX),
});

/** The font with which all columns fit into the space, in half pixels. */
export function fontThatFits({ cols }: Size, { width, charWidth }: Space): number {
  const whole = cols * charWidth;
  if (whole <= width) return FONT_PX;
  return Math.max(FONT_PX_MIN, Math.floor((FONT_PX * width * 2) / whole) / 2);
}
