/** Times and amounts for people. Pure; points in time and durations are in milliseconds. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0');

/** Time of day with milliseconds, local: `14:03:07.250`. */
export function formatClock(ms: number): string {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

/** Date and time to the second, local, sortable: `2026-11-21 14:03:07`. */
export function formatDateTime(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${formatClock(ms).slice(0, 8)}`;
}

/**
 * Two units at most, so that a column of them can be compared: `840 ms`, `12 s`, `1 m 36 s`, `2 h
 * 05 m`, `3 d 04 h`. Negative counts as 0.
 */
export function formatDuration(ms: number): string {
  const rounded = Math.max(0, Math.round(ms));
  if (rounded < SECOND) return `${rounded} ms`;
  if (rounded < 10 * SECOND) return `${(Math.floor(rounded / 100) / 10).toFixed(1)} s`;
  return formatWholeSeconds(rounded);
}

/** The same for a running clock: without tenths, which would flicker. */
export function formatWholeSeconds(ms: number): string {
  const rest = Math.max(0, ms);
  if (rest < MINUTE) return `${Math.floor(rest / SECOND)} s`;
  if (rest < HOUR) return `${Math.floor(rest / MINUTE)} m ${pad(Math.floor((rest % MINUTE) / SECOND))} s`;
  if (rest < DAY) return `${Math.floor(rest / HOUR)} h ${pad(Math.floor((rest % HOUR) / MINUTE))} m`;
  return `${Math.floor(rest / DAY)} d ${pad(Math.floor((rest % DAY) / HOUR))} h`;
}

/**
 * One unit: `just now`, `12 s ago`, `3 m ago`, `5 h ago`, `2 d ago`; the date when it is more than
 * 30 days. A time in the future is `just now`.
 */
export function formatAge(ms: number, now: number): string {
  const age = now - ms;
  if (age < 5 * SECOND) return 'just now';
  if (age < MINUTE) return `${Math.floor(age / SECOND)} s ago`;
  if (age < HOUR) return `${Math.floor(age / MINUTE)} m ago`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h ago`;
  if (age <= 30 * DAY) return `${Math.floor(age / DAY)} d ago`;
  return formatDateTime(ms).slice(0, 10);
}

/** `1,234`. The same separator in every locale: people quote a log's line numbers to each other. */
export function formatCount(n: number): string {
  return String(Math.trunc(n)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `512 B`, `1.4 kB`, `23 MB`; powers of 1000. */
export function formatBytes(n: number): string {
  if (n < 1000) return `${n} B`;
  let value = n;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < 3);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${['kB', 'MB', 'GB', 'TB'][unit]}`;
}
