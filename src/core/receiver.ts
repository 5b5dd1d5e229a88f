/**
 * The receiving side of the ingest protocol, as decisions. It has no state: the log holds what was
 * accepted.
 *
 *   frame from seq..last, log holds ..acked                answer                          rule
 *   ──────────────────────────────────────────────────     ─────────────────────────────   ────
 *   last ≤ acked            all of it is known             ack acked, store nothing        ING5
 *   seq ≤ acked < last      a prefix is known              store the rest, ack last        ING5
 *   seq = acked + 1         the next one                   store all, ack last             ING5
 *   seq > acked + 1         something is missing           nack acked + 1, store nothing   ING5
 */

export type Receipt =
  | { kind: 'store'; skip: number; firstSeq: number; count: number; ack: number }
  | { kind: 'duplicate'; ack: number }
  | { kind: 'gap'; expected: number };

export function receive(acked: number, frame: { seq: number; count: number }): Receipt {
  const last = frame.seq + frame.count - 1;
  if (frame.seq > acked + 1) return { kind: 'gap', expected: acked + 1 };
  if (last <= acked) return { kind: 'duplicate', ack: acked };
  const skip = acked + 1 - frame.seq;
  return { kind: 'store', skip, firstSeq: acked + 1, count: frame.count - skip, ack: last };
}

/** The frame's lines without the first `skip`. */
export function dropKnownPrefix(body: string, skip: number): string {
  let start = 0;
  for (let line = 0; line < skip; line += 1) start = body.indexOf('\n', start) + 1;
  return body.slice(start);
}
