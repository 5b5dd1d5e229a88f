/**
 * Preloaded by `--import` into a process under test. Its wall clock (`Date.now`, `new Date()`) is
 * ahead by the milliseconds in the file that WALL_CLOCK_SHIFT names. The monotonic clock is
 * unchanged, as when the clock of a machine is set.
 */
import { readFileSync } from 'node:fs';

const file = process.env.WALL_CLOCK_SHIFT;
const real = Date.now.bind(Date);
const shift = () => {
  try {
    return Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    return 0;
  }
};
Date.now = () => real() + shift();
