/**
 * From counts to dollars: Cloudflare's prices for Durable Objects with SQLite on the paid plan
 * beyond the included usage, as of November 2026
 * (developers.cloudflare.com/durable-objects/platform/pricing). Pure.
 */

export const PRICES = {
  /**
   * HTTP requests, method calls, alarms that fire, and incoming messages, of which twenty count as
   * one.
   */
  requestsPerMillion: 0.15,
  messagesPerRequest: 20,
  /** Setting an alarm is a row; so is every row of an index. */
  rowsWrittenPerMillion: 1,
  gbSecondsPerMillion: 12.5,
  /** An object in memory is billed at this size whatever it uses. */
  gb: 0.128,
} as const;

export interface Usage {
  requests: number;
  messages: number;
  alarms: number;
  rowsWritten: number;
  /** Time in which the object is in memory and may not hibernate. */
  awakeSeconds: number;
}

export interface Bill {
  requests: number;
  rows: number;
  duration: number;
  total: number;
}

export function dollars({ requests, messages, alarms, rowsWritten, awakeSeconds }: Usage): Bill {
  const asked = ((requests + alarms + messages / PRICES.messagesPerRequest) * PRICES.requestsPerMillion) / 1e6;
  const rows = (rowsWritten * PRICES.rowsWrittenPerMillion) / 1e6;
  const duration = (awakeSeconds * PRICES.gb * PRICES.gbSecondsPerMillion) / 1e6;
  return { requests: asked, rows, duration, total: asked + rows + duration };
}

/**
 * From two runs of different length: what each event adds, and what a run costs independently of
 * its length.
 */
export function extrapolate(
  short: { events: number; count: number },
  long: { events: number; count: number },
  events: number,
): number {
  const perEvent = (long.count - short.count) / (long.events - short.events);
  return short.count + perEvent * (events - short.events);
}
