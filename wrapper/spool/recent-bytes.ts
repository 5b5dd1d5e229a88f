/**
 * The contiguous tail of the last writes: byte `p` of the segment is in the ring at `p % size`.
 * While the coordinator keeps up, events are sent right after they were written, and reading them
 * back from disk would be wasteful. They are copied here, so that the buffers of the lines die
 * young: kept themselves, they would be promoted to the old generation, and the process would grow
 * to twice its size.
 */
export class RecentBytes {
  readonly #ring: Buffer;
  #tail = { segment: 0, from: 0, to: 0 };

  constructor(size: number) {
    this.#ring = Buffer.allocUnsafeSlow(size);
  }

  get bytes(): number {
    return this.#tail.to - this.#tail.from;
  }

  /** Stores these bytes, which are at `position` of the segment. */
  keep(buffers: readonly Buffer[], segment: number, position: number): void {
    const tail = this.#tail;
    if (tail.segment !== segment || tail.to !== position) this.#tail = { segment, from: position, to: position };
    for (const bytes of buffers) this.#copyIn(bytes);
  }

  forget(): void {
    this.#tail = { segment: 0, from: 0, to: 0 };
  }

  /** False when some of it is not in the ring. */
  read(segment: number, position: number, target: Buffer): boolean {
    const { segment: kept, from, to } = this.#tail;
    if (kept !== segment || position < from || position + target.length > to) return false;
    const copied = this.#ring.copy(target, 0, position % this.#ring.length);
    if (copied < target.length) this.#ring.copy(target, copied);
    return true;
  }

  #copyIn(bytes: Buffer): void {
    for (let copied = 0; copied < bytes.length; ) {
      const count = bytes.copy(this.#ring, this.#tail.to % this.#ring.length, copied);
      this.#tail.to += count;
      copied += count;
    }
    this.#tail.from = Math.max(this.#tail.from, this.#tail.to - this.#ring.length);
  }
}
