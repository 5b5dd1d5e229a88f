/** Times next to the lines. Fixed width, so that the text does not move when they change. */

export const TIME_MODES = ['off', 'clock', 'since'] as const;
export type TimeMode = (typeof TIME_MODES)[number];

export const timeModeOf = (name: string | null): TimeMode => (name === 'clock' || name === 'since' ? name : 'off');

const two = (value: number): string => String(value).padStart(2, '0');
const three = (value: number): string => String(value).padStart(3, '0');

/** `14:03:07.250`, in the reader's time zone. */
export function clockTime(at: number): string {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${three(date.getMilliseconds())}`;
}

/** `+1:02:03.004` after the start; `-` before it, since clocks of two machines differ. */
export function sinceStart(at: number, startedAt: number): string {
  const ms = Math.abs(at - startedAt);
  const seconds = Math.floor(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${three(ms % 1000)}`;
  return `${at < startedAt ? '-' : '+'}${hours > 0 ? `${hours}:` : ''}${rest}`;
}

export function timeOf(mode: TimeMode, at: number, startedAt: number | null): string | null {
  if (mode === 'off') return null;
  return mode === 'clock' || startedAt === null ? clockTime(at) : sinceStart(at, startedAt);
}
