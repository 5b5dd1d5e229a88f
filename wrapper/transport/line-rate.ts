/**
 * How much may be in flight on this line. Pure: `now` is an argument, all that it knows comes from acks.
 *
 * Owns: the delivery rate of one connection, as acks show it. Does not own: the frames (sender), any timer.
 *
 * That a write succeeded proves nothing: the kernel's buffers take megabytes, and on a slow uplink they hold them for minutes. A ping waits behind them,
 * so the connection looks dead. Therefore the bytes in flight are bounded by time, as by a congestion window with pacing:
 *
 *   LR1  A connection begins small (`FLIGHT_BYTES_MIN`), because its rate is not known. Each connection begins anew: after a loss the line may be another one.
 *   LR2  From then on at most `FLIGHT_MS` of the measured rate are in flight, in two frames or more, and at most `GROWTH` times what was delivered
 *        in one round trip before: a line may carry a little at once and no more. TCP's own slow start grows by 2 per round trip.
 *   LR3  A flight that ended because there was nothing more to send says how fast the line is at least. It never lowers the rate. One of
 *        less than `SAMPLE_BYTES_MIN` says how long a round trip takes, and nothing of the rate.
 */

/**
 * The least that is in flight, and the size of a frame on a line of unknown rate: 8 s of a line of 2 kB/s, less than the 10 s after which a ping without
 * an answer means that the connection is dead. An event that is longer goes alone.
 */
export const FLIGHT_BYTES_MIN = 16 * 1024;
/** Half of the wait for a pong is left over for a rate that was measured too high. */
export const FLIGHT_MS = 4000;
/** A frame is at most this part of a flight, so that the line is not idle while an ack is on its way. */
const FRAMES_PER_FLIGHT = 2;
const GROWTH = 4;
export const SAMPLE_BYTES_MIN = FLIGHT_BYTES_MIN / 2;

/** What is remembered of a frame when it is sent. */
export interface Flight {
  sentAt: number;
  deliveredBytes: number;
  deliveredAt: number;
  /** Nothing was left to send behind it (LR3). */
  last: boolean;
}

export class LineRate {
  #bytesPerSecond: number | null = null;
  /** The most that was delivered in one round trip. */
  #provenBytes = 0;
  #deliveredBytes = 0;
  #deliveredAt = 0;

  /** Null: no ack has shown it yet. */
  get bytesPerSecond(): number | null {
    return this.#bytesPerSecond;
  }

  get flightBytesMax(): number {
    if (this.#bytesPerSecond === null) return FLIGHT_BYTES_MIN; // LR1
    return Math.max(FLIGHT_BYTES_MIN, Math.min((this.#bytesPerSecond * FLIGHT_MS) / 1000, this.#provenBytes * GROWTH)); // LR2
  }

  get frameBytesMax(): number {
    return Math.max(FLIGHT_BYTES_MIN, this.flightBytesMax / FRAMES_PER_FLIGHT);
  }

  /** `idle`: nothing else is in flight. */
  sent(now: number, { idle, last }: { idle: boolean; last: boolean }): Flight {
    if (idle) this.#deliveredAt = now;
    return { sentAt: now, deliveredBytes: this.#deliveredBytes, deliveredAt: this.#deliveredAt, last };
  }

  /** `bytes` were acked together; `flight` is that of the newest frame among them. */
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
 * How long the bytes in flight may hold up an answer to what is sent behind them: their time at the measured rate, or on the slowest line that is
 * served while that is not known. A rate below that is that of a quiet job, not of the line.
 */
export const answerDelayMs = (
  { inflightBytes, bytesPerSecond }: { inflightBytes: number; bytesPerSecond: number | null },
  slowestBytesPerSecond: number,
): number => (inflightBytes * 1000) / Math.max(bytesPerSecond ?? slowestBytesPerSecond, slowestBytesPerSecond);

/** Connections in a row that an event must have outlasted, alone in flight and without its ack, before it counts as too large for the line. */
export const TOO_SLOW_LOSSES = 3;

/**
 * An event that is never acked although nothing else is in flight. It would be sent again for ever, and nothing behind it would arrive.
 *
 *   LR4  A loss counts only when the event had the time that the slowest served line needs for it, or half of the silence after which the
 *        coordinator gives up a connection: a line that is cut often is not a slow one. An ack ends the count.
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
