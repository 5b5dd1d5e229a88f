/**
 * The contiguous tail of what was written last: byte `p` of the segment is in the ring at `p % size`. While the coordinator keeps up, what is sent was written a moment
 * ago, and reading it back would be a detour. It is copied there, so that the buffers of the lines die young: kept themselves, they would live just long
 * enough to be collected late, and the process would grow to twice its size.
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

  /** These stand at `position` of the segment now. */
  keep(buffers: readonly Buffer[], segment: number, position: number): void {
    const tail = this.#tail;
    if (tail.segment !== segment || tail.to !== position) this.#tail = { segment, from: position, to: position };
    for (const bytes of buffers) this.#copyIn(bytes);
  }

  forget(): void {
    this.#tail = { segment: 0, from: 0, to: 0 };
  }

  /** False when not all of it is here. */
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
