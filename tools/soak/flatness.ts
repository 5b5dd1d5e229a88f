/** Whether a series of measurements grows. Pure. */

export interface Sample {
  /** Milliseconds, from any zero. */
  at: number;
  value: number;
}

export interface Fit {
  /** Units per minute. */
  perMinute: number;
  mean: number;
  samples: number;
  minutes: number;
}

/** Least-squares line through the points. NaN for fewer than two distinct times. */
export function straightLine(samples: readonly Sample[]): Fit {
  const n = samples.length;
  const meanAt = samples.reduce((sum, { at }) => sum + at, 0) / n;
  const mean = samples.reduce((sum, { value }) => sum + value, 0) / n;
  let covariance = 0;
  let variance = 0;
  for (const { at, value } of samples) {
    covariance += (at - meanAt) * (value - mean);
    variance += (at - meanAt) ** 2;
  }
  const times = samples.map(({ at }) => at);
  const minutes = n === 0 ? 0 : (Math.max(...times) - Math.min(...times)) / 60_000;
  return { perMinute: variance === 0 ? Number.NaN : (covariance / variance) * 60_000, mean, samples: n, minutes };
}

/**
 * The points in the later half of the time. The first half is for warm-up, caches and compilation.
 */
export function secondHalf(samples: readonly Sample[]): Sample[] {
  const times = samples.map(({ at }) => at);
  const middle = (Math.min(...times) + Math.max(...times)) / 2;
  return samples.filter(({ at }) => at >= middle);
}

export interface Bound {
  /** Growth over the second half that counts as chance, as a share of the mean. */
  share: number;
  /** And at least this many units. */
  least: number;
  /** Additional units of growth with a known reason. */
  kept?: number;
}

export interface Verdict {
  first: number;
  last: number;
  peak: number;
  fit: Fit;
  /** Rise of the fitted line over the second half. */
  growth: number;
  allowed: number;
  flat: boolean;
}

/** With fewer samples there is no meaningful line. */
const SAMPLES_MIN = 6;

/**
 * Flat: the line through the second half rises by no more than the bound. Too few samples are not
 * flat: they show nothing.
 */
export function judgeFlatness(samples: readonly Sample[], { share, least, kept = 0 }: Bound): Verdict {
  const values = samples.map(({ value }) => value);
  const fit = straightLine(secondHalf(samples));
  const growth = fit.perMinute * fit.minutes;
  const allowed = Math.max(least, share * fit.mean) + kept;
  return {
    first: values[0] ?? Number.NaN,
    last: values.at(-1) ?? Number.NaN,
    peak: Math.max(...values),
    fit,
    growth,
    allowed,
    flat: fit.samples >= SAMPLES_MIN && growth <= allowed,
  };
}
