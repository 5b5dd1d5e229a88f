/**
 * Locks out addresses that sent too many wrong tokens. Pure: `now` is an argument.
 *
 *   LK1  An address with `WRONG_TOKENS_MAX` wrong tokens within `WINDOW_MS` is locked out for the
 *        rest of that time: its tokens are not checked.
 *   LK2  Loopback is never locked out. Behind a tunnel or a proxy every caller comes from there,
 *        the coordinator too, and a stranger could lock it out.
 *   LK3  At most `ADDRESSES_MAX` addresses are remembered, the newest. An IPv6 address counts by
 *        its /64, because one host usually has all of it. Addresses that cannot be parsed count as
 *        one.
 *
 * Accepted weakness: a caller with many addresses has as many tries for each. The length of the
 * token protects against guessing; this bounds the noise.
 */

import { clientKey, isLoopbackIp, parseIp } from '../protocol/ip-address.ts';

export const WRONG_TOKENS_MAX = 10;
export const WINDOW_MS = 60_000;
export const ADDRESSES_MAX = 1_000;

interface Wrong {
  since: number;
  count: number;
}

export class Lockout {
  readonly #wrong = new Map<string, Wrong>();

  get size(): number {
    return this.#wrong.size;
  }

  /** For how many milliseconds this address is locked out; null when it is not. */
  remainingMs(address: string, now: number): number | null {
    const wrong = this.#wrong.get(clientKey(parseIp(address)));
    if (!wrong || wrong.count < WRONG_TOKENS_MAX || now >= wrong.since + WINDOW_MS) return null;
    return wrong.since + WINDOW_MS - now;
  }

  noteWrong(address: string, now: number): void {
    const ip = parseIp(address);
    if (ip && isLoopbackIp(ip)) return; // LK2
    const key = clientKey(ip);
    const known = this.#wrong.get(key);
    const goesOn = known !== undefined && now < known.since + WINDOW_MS;
    this.#wrong.delete(key);
    this.#wrong.set(key, goesOn ? { since: known.since, count: known.count + 1 } : { since: now, count: 1 });
    const [oldest] = this.#wrong.keys();
    if (this.#wrong.size > ADDRESSES_MAX && oldest !== undefined) this.#wrong.delete(oldest); // LK3
  }
}
