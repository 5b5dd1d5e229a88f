/**
 * How much may be in flight on this line. Pure: `now` is an argument, all input comes from acks.
 *
 * Owns: the delivery rate of one connection, as acks show it. Does not own: the frames (sender),
 * any timer.
 *
 * A successful write proves nothing: the kernel's buffers take megabytes, and on a slow uplink they
 * hold them for minutes. A ping waits behind them, so the connection looks dead. Therefore the
 * bytes in flight are bounded by time, like a congestion window with pacing:
 *
 *   LR1  A connection begins small (`FLIGHT_BYTES_MIN`), because its rate is unknown. Each
 *        connection starts over: after a loss the line may be another one.
 *   LR2  Then at most `FLIGHT_MS` of the measured rate are in flight, in two frames or more, and at
 *        most `GROWTH` times what was delivered in one round trip before: a line may carry a burst
 *        and no more. TCP's own slow start grows by 2 per round trip.
 *   LR3  A flight that ended because there was nothing more to send gives a lower bound of the rate
 *        and never lowers it. One of less than `SAMPLE_BYTES_MIN` measures the round trip, not the
 *        rate.
 */

/**
 * The minimum in flight, and the size of a frame on a line of unknown rate: 8 s of a line of 2
 * kB/s, less than the 10 s after which a missing pong means that the connection is dead. A longer
 * event is sent alone.
 */
export const FLIGHT_BYTES_MIN = 16 * 1024;
/** Half of the wait for a pong is kept as a margin for a rate that was measured too high. */
export const FLIGHT_MS = 4000;
/**
 * A frame is at most this part of a flight, so that the line is not idle while an ack is in
 * transit.
 */
const FRAMES_PER_FLIGHT = 2;
const GROWTH = 4;
export const SAMPLE_BYTES_MIN = FLIGHT_BYTES_MIN / 2;

/** Recorded for a frame when it is sent. */
export interface Flight {
  sentAt: number;
  deliveredBytes: number;
  deliveredAt: number;
  /** Nothing more was left to send (LR3). */
  last: boolean;
}

export class LineRate {
  #bytesPerSecond: number | null = null;
  /** The most that was delivered in one round trip. */
  #provenBytes = 0;
  #deliveredBytes = 0;
  #deliveredAt = 0;

  /** Null before the first measurement. */
  get bytesPerSecond(): number | null {
    return this.#bytesPerSecond;
  }

  get flightBytesMax(): number {
    if (this.#bytesPerSecond === null) return FLIGHT_BYTES_MIN; // LR1
    // LR2
    return Math.max(FLIGHT_BYTES_MIN, Math.min((this.#bytesPerSecond * FLIGHT_MS) / 1000, this.#provenBytes * GROWTH));
  }

  get frameBytesMax(): number {
    return Math.max(FLIGHT_BYTES_MIN, this.flightBytesMax / FRAMES_PER_FLIGHT);
  }

  /** `idle`: nothing else is in flight. */
  sent(now: number, { idle, last }: { idle: boolean; last: boolean }): Flight {
    if (idle) this.#deliveredAt = now;
    return { sentAt: now, deliveredBytes: this.#deliveredBytes, deliveredAt: this.#deliveredAt, last };
  }

  /** `bytes` were acked together; `flight` is that of the latest frame among them. */
  acked(flight: Flight, bytes: number, now: number): void {
    this.#deliveredBytes += bytes;
    this.#deliveredAt = now;
    const roundTripBytes = this.#deliveredBytes - flight.deliveredBytes;
    if (roundTripBytes < SAMPLE_BYTES_MIN) return; // LR3
    this.#provenBytes = Math.max(this.#provenBytes, roundTripBytes);
    const sample = (roundTripBytes * 1000) / Math.max(1, now - flight.deliveredAt);
    const known = this.#bytesPerSecond;
    if (known === null || sample > known) this.#bytesPerSecond = sample;
    else if (!flight.last) this.#bytesPerSecond = (known + sample) / 2; // LR3
  }
}

/**
 * How long the bytes in flight may delay an answer to what is sent after them: their time at the
 * measured rate, or on the slowest supported line while that is unknown. A lower rate is that of a
 * quiet job, not of the line.
 */
export const answerDelayMs = (
  { inflightBytes, bytesPerSecond }: { inflightBytes: number; bytesPerSecond: number | null },
  slowestBytesPerSecond: number,
): number => (inflightBytes * 1000) / Math.max(bytesPerSecond ?? slowestBytesPerSecond, slowestBytesPerSecond);

/**
 * Consecutive connections that an event must have outlasted, alone in flight and unacked, before it
 * counts as too large for the line.
 */
export const TOO_SLOW_LOSSES = 3;

/**
 * Detects an event that is never acked although nothing else is in flight. It would be sent again
 * forever, and block everything after it.
 *
 *   LR4  A loss counts only when the event had the time that the slowest supported line needs for
 *        it, or half of the silence after which the coordinator closes a connection: a line that is
 *        cut often is not a slow one. An ack resets the count.
 */
export class OversizeWatch {
  #seq = 0;
  #losses = 0;

  /** The connection was lost while this event was the oldest in flight, and alone in its frame. */
  lost(
    event: { seq: number; bytes: number; inFlightMs: number },
    limits: { silenceMs: number; slowestBytesPerSecond: number },
  ): void {
    if (event.bytes <= FLIGHT_BYTES_MIN) return;
    const enoughMs = Math.min((event.bytes * 1000) / limits.slowestBytesPerSecond, limits.silenceMs / 2);
    if (event.inFlightMs < enoughMs) return; // LR4
    this.#losses = event.seq === this.#seq ? this.#losses + 1 : 1;
    this.#seq = event.seq;
  }

  isTooLarge(seq: number): boolean {
    return seq === this.#seq && this.#losses >= TOO_SLOW_LOSSES;
  }
}
