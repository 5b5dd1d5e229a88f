/**
 * The only source of randomness in a schedule. The same seed gives the same numbers on every
 * machine.
 */

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(seed: number) {
    // sfc32. The seed is spread over the state, because neighbouring seeds would otherwise begin
    // alike.
    this.#a = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
    this.#b = Math.imul(seed ^ 0x243f6a88, 0xc2b2ae35);
    this.#c = Math.imul(seed ^ 0xb7e15162, 0x27d4eb2f);
    for (let round = 0; round < 12; round += 1) this.next();
  }

  /** In [0, 1). */
  readonly next = (): number => {
    const sum = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4294967296;
  };

  /** Both ends included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T;
  }
}
