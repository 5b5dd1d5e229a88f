/**
 * The event log of a session: one row per batch, keyed by the offset of its first event. Plain SQL,
 * because this is the hot path: accepting a frame is one insert and no other write.
 *
 * - Offsets are contiguous: a row begins where the previous one ends.
 * - What was acknowledged is read from the rows. No second record of it can disagree.
 * - `head` and the standings are caches of the rows. Call `forget()` after a
 *   transaction that was rolled back.
 */

import type { Tally } from '../core/metrics.ts';
import type { Batch, LogRow, LogTable } from '../core/ports.ts';

/** The narrowest part of `ctx.storage.sql` that is used here. */
export interface Sql {
  exec<T extends Record<string, SqlStorageValue>>(statement: string, ...bindings: unknown[]): SqlStorageCursor<T>;
}

/** How much of an execution is in the log. */
interface Standing {
  ackedSeq: number;
  bytes: number;
  takenAt: number | null;
}

const COLUMNS = 'first_offset, count, execution, body, bytes, first_seq IS NULL, late';

export class EventLog implements LogTable {
  readonly #sql: Sql;
  #head: number | null = null;
  /** Undefined until it is read. */
  readonly #standings = new Map<string, Standing>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  forget(): void {
    this.#head = null;
    this.#standings.clear();
  }

  get head(): number {
    if (this.#head === null) {
      const [row] = this.#sql
        .exec<{ last: number }>('SELECT first_offset + count - 1 AS last FROM log ORDER BY first_offset DESC LIMIT 1')
        .toArray();
      this.#head = row?.last ?? 0;
    }
    return this.#head;
  }

  get earliest(): number {
    const [row] = this.#sql
      .exec<{ first: number }>('SELECT first_offset AS first FROM log ORDER BY first_offset LIMIT 1')
      .toArray();
    return row?.first ?? this.head + 1;
  }

  get lastReceivedAt(): number | null {
    const [row] = this.#sql.exec<{ at: number }>('SELECT received_at AS at FROM log ORDER BY first_offset DESC LIMIT 1').toArray();
    return row?.at ?? null;
  }

  append({ execution, firstSeq, count, body, bytes, late = false }: Batch, now: number): LogRow {
    const firstOffset = this.head + 1;
    const lastSeq = firstSeq === null ? null : firstSeq + count - 1;
    const executionBytes = lastSeq === null ? null : this.bytesOf(execution, 0) + bytes;
    this.#sql.exec(
      `INSERT INTO log (first_offset, count, execution, first_seq, last_seq, bytes, execution_bytes, received_at, late, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      firstOffset,
      count,
      execution,
      firstSeq,
      lastSeq,
      bytes,
      executionBytes,
      now,
      late ? 1 : null,
      body,
    );
    this.#head = firstOffset + count - 1;
    if (lastSeq !== null && executionBytes !== null) {
      this.#standings.set(execution, { ackedSeq: lastSeq, bytes: executionBytes, takenAt: now });
    }
    return { firstOffset, count, execution, body, bytes, own: firstSeq === null, late };
  }

  ackedSeq(execution: string, since: number): number {
    return this.#standing(execution, since).ackedSeq;
  }

  bytesOf(execution: string, since: number): number {
    return this.#standing(execution, since).bytes;
  }

  takenAt(execution: string, since: number): number | null {
    return this.#standing(execution, since).takenAt;
  }

  /** From the newest row of the execution. */
  #standing(execution: string, since: number): Standing {
    const known = this.#standings.get(execution);
    if (known) return known;
    const [row] = this.#sql
      .exec<{ ackedSeq: number; bytes: number | null; takenAt: number }>(
        `SELECT last_seq AS ackedSeq, execution_bytes AS bytes, received_at AS takenAt FROM log WHERE first_offset >= ? AND execution = ? AND last_seq IS NOT NULL
         ORDER BY first_offset DESC LIMIT 1`,
        since,
        execution,
      )
      .toArray();
    // A version before 0.2.0 wrote the newest row, without the sum. The rows are added up once, and
    // the next row stores the sum.
    const standing = row
      ? { ackedSeq: row.ackedSeq, bytes: row.bytes ?? this.tally(execution, since).bytes, takenAt: row.takenAt }
      : { ackedSeq: 0, bytes: 0, takenAt: null };
    this.#standings.set(execution, standing);
    return standing;
  }

  forgetAcked(execution: string): void {
    this.#standings.delete(execution);
  }

  /** Inputs are left out of `own`: there may be many, and they contain what users typed. */
  tally(execution: string, since: number): Tally {
    const [row] = this.#sql
      .exec<{ events: number | null; bytes: number | null; own: string | null }>(
        `SELECT sum(CASE WHEN first_seq IS NULL THEN 0 ELSE count END) AS events,
                sum(CASE WHEN first_seq IS NULL THEN 0 ELSE bytes END) AS bytes,
                group_concat(CASE WHEN first_seq IS NULL AND substr(body, 1, 15) <> '{"type":"input"' THEN body END, char(10)) AS own
         FROM log WHERE first_offset >= ? AND execution = ?`,
        since,
        execution,
      )
      .toArray();
    return { events: row?.events ?? 0, bytes: row?.bytes ?? 0, own: row?.own ?? '' };
  }

  *rowsAfter(after: number, executions: readonly string[] | null = null): Generator<LogRow> {
    if (after >= this.head) return;
    const first = this.#rowAt(after + 1);
    const filter = executions ? ` AND execution IN (${executions.map(() => '?').join(',')})` : '';
    const cursor = this.#sql.exec(
      `SELECT ${COLUMNS} FROM log WHERE first_offset >= ?${filter} ORDER BY first_offset`,
      first,
      ...(executions ?? []),
    );
    // Rows as arrays: objects with named columns would cost more than sending the rows does.
    for (const [firstOffset, count, execution, body, bytes, own, late] of cursor.raw<
      [number, number, string, string, number, number, number | null]
    >()) {
      yield { firstOffset, count, execution, body, bytes, own: own === 1, late: late === 1 };
    }
  }

  tailOffset(count: number): number {
    return Math.max(this.earliest - 1, this.head - count);
  }

  #rowAt(offset: number): number {
    const [row] = this.#sql
      .exec<{ first: number }>(
        'SELECT first_offset AS first FROM log WHERE first_offset <= ? ORDER BY first_offset DESC LIMIT 1',
        offset,
      )
      .toArray();
    return row?.first ?? 0;
  }
}
