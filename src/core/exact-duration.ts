/** Durations as text for people. */

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** Exact, in as few units as possible: `2 s`, `1 h 30 min`, `1 s 500 ms`. */
export function exactDuration(ms: number): string {
  const parts: string[] = [];
  let rest = ms;
  for (const [unit, length] of UNITS) {
    const amount = Math.floor(rest / length);
    if (amount > 0) parts.push(`${amount} ${unit}`);
    rest -= amount * length;
  }
  return parts.join(' ') || '0 s';
}
