/**
 * Locks out addresses that sent too many wrong tokens. Pure: `now` is an argument.
 *
 *   LK1  An address with `WRONG_TOKENS_MAX` wrong tokens within `WINDOW_MS` is locked out for the
 *        rest of that time: its tokens are not checked.
 *   LK2  Loopback is never locked out. Behind a tunnel or a proxy every caller comes from there,
 *        the coordinator too, and a stranger could lock it out.
 *   LK3  At most `ADDRESSES_MAX` addresses are remembered, the newest. An IPv6 address counts by
 *        its /64, because one host usually has all of it.
 *
 * Accepted weakness: a caller with many addresses has as many tries for each. The length of the
 * token protects against guessing; this bounds the noise.
 */

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
    const wrong = this.#wrong.get(keyOf(address));
    if (!wrong || wrong.count < WRONG_TOKENS_MAX || now >= wrong.since + WINDOW_MS) return null;
    return wrong.since + WINDOW_MS - now;
  }

  noteWrong(address: string, now: number): void {
    const key = keyOf(address);
    if (isLoopbackAddress(key)) return; // LK2
    const known = this.#wrong.get(key);
    const goesOn = known !== undefined && now < known.since + WINDOW_MS;
    this.#wrong.delete(key);
    this.#wrong.set(key, goesOn ? { since: known.since, count: known.count + 1 } : { since: now, count: 1 });
    const [oldest] = this.#wrong.keys();
    if (this.#wrong.size > ADDRESSES_MAX && oldest !== undefined) this.#wrong.delete(oldest); // LK3
  }
}

/** The system writes an IPv4 address that came in over an IPv6 socket as `::ffff:1.2.3.4`. */
function keyOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!plain.includes(':') || plain === '::1') return plain;
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

const isLoopbackAddress = (address: string): boolean => address === '::1' || address.startsWith('127.');
