/**
 * Preloaded by `--import` into a process under test: its wall clock (`Date.now`, `new Date()`) runs ahead by the milliseconds in the file that WALL_CLOCK_SHIFT
 * names. The monotonic clock is untouched, as when somebody sets the clock of a machine.
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
