/** The rows of one pool. A pool without keys has no tables, and reads do not create them. */

import bundle from '../../migrations/pool/migrations.js';
import type { EntryState, PoolEntry } from '../core/pool-entry.ts';
import type { RunnerKeyRecord } from '../core/pool-messages.ts';
import type { PoolStore } from '../core/pool-ports.ts';
import type { RunnerRecord } from '../core/pool-runner.ts';
import type { WaitReason } from '../core/pool-terms.ts';
import { parseStored } from '../core/stored.ts';
import { hasSchema, migrate, migrationsOf } from '../storage/migrate.ts';

const MIGRATIONS = migrationsOf(bundle);

/** Lease numbers are reserved in blocks, so that a launch does not cost a row for its number. */
const LEASE_BLOCK = 1000;

type Row = Record<string, SqlStorageValue>;

const WAITING = 'session, execution, lane, rank, priority, since, wait_until, told';
const ACTIVE = 'session, execution, lane, rank, priority, since, wait_until, state, lease, runner_id, boot_id, assigned_at, due_at';

export class PoolRows implements PoolStore {
  readonly #storage: DurableObjectStorage;
  #createdAt: number | null = null;
  #nextLease = 0;
  #reserved = 0;

  constructor(storage: DurableObjectStorage, now: number) {
    this.#storage = storage;
    if (hasSchema(storage)) migrate(storage, now, MIGRATIONS);
    else this.#createdAt = 0;
  }

  get exists(): boolean {
    return this.createdAt > 0;
  }

  get createdAt(): number {
    this.#createdAt ??= Number(this.#meta('created_at') ?? 0);
    return this.#createdAt;
  }

  create(now: number): void {
    if (this.exists) return;
    migrate(this.#storage, now, MIGRATIONS);
    this.#setMeta('created_at', String(now));
    this.#createdAt = now;
  }

  nextLease(): number {
    if (this.#nextLease >= this.#reserved) {
      this.#nextLease = Math.max(1, Number(this.#meta('lease') ?? 1));
      this.#reserved = this.#nextLease + LEASE_BLOCK;
      this.#setMeta('lease', String(this.#reserved));
    }
    this.#nextLease += 1;
    return this.#nextLease - 1;
  }

  // ── entries ─────────────────────────────────────────────────────────────────────────────────────

  get(session: string, execution: string): PoolEntry | null {
    const [waiting] = this.#rows(`SELECT ${WAITING} FROM waiting WHERE session = ? AND execution = ?`, session, execution);
    if (waiting) return fromWaiting(waiting);
    const [active] = this.#rows(`SELECT ${ACTIVE} FROM active WHERE session = ? AND execution = ?`, session, execution);
    return active ? fromActive(active) : null;
  }

  put(entry: PoolEntry): void {
    const common = [entry.session, entry.execution, entry.lane, entry.rank, entry.priority, entry.since, entry.waitUntil];
    if (entry.state === 'waiting') {
      this.#run('DELETE FROM active WHERE session = ? AND execution = ?', entry.session, entry.execution);
      this.#run(`INSERT OR REPLACE INTO waiting (${WAITING}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, ...common, entry.told);
      return;
    }
    this.#run('DELETE FROM waiting WHERE session = ? AND execution = ?', entry.session, entry.execution);
    const { state, lease, runnerId, bootId, assignedAt, dueAt } = entry;
    this.#run(
      `INSERT INTO active (${ACTIVE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (session, execution) DO UPDATE SET state = excluded.state, lane = excluded.lane, lease = excluded.lease,
         runner_id = excluded.runner_id, boot_id = excluded.boot_id, assigned_at = excluded.assigned_at, due_at = excluded.due_at`,
      ...common,
      state,
      lease,
      runnerId,
      bootId,
      assignedAt,
      dueAt,
    );
  }

  remove({ session, execution }: Pick<PoolEntry, 'session' | 'execution'>): void {
    this.#run('DELETE FROM waiting WHERE session = ? AND execution = ?', session, execution);
    this.#run('DELETE FROM active WHERE session = ? AND execution = ?', session, execution);
  }

  active(): PoolEntry[] {
    return this.exists ? this.#rows(`SELECT ${ACTIVE} FROM active`).map(fromActive) : [];
  }

  /** A seek for each lane, from one to the next: the rows behind the first of each are not read. */
  heads(): PoolEntry[] {
    const heads: PoolEntry[] = [];
    if (!this.exists) return heads;
    for (let lane = ''; ; ) {
      const [row] = this.#rows(
        `SELECT ${WAITING} FROM waiting WHERE lane > ? ORDER BY lane, rank, session, execution LIMIT 1`,
        lane,
      );
      if (!row) return heads;
      const head = fromWaiting(row);
      heads.push(head);
      lane = head.lane;
    }
  }

  nextIn(lane: string, after: Pick<PoolEntry, 'rank' | 'session' | 'execution'> | null): PoolEntry | null {
    const behind = after ? 'AND (rank, session, execution) > (?, ?, ?)' : '';
    const [row] = this.#rows(
      `SELECT ${WAITING} FROM waiting WHERE lane = ? ${behind} ORDER BY rank, session, execution LIMIT 1`,
      lane,
      ...(after ? [after.rank, after.session, after.execution] : []),
    );
    return row ? fromWaiting(row) : null;
  }

  notTold(lane: string, reason: WaitReason, limit: number): PoolEntry[] {
    return this.#rows(
      `SELECT ${WAITING} FROM waiting WHERE lane = ? AND told IS NOT ? ORDER BY rank LIMIT ?`,
      lane,
      reason,
      limit,
    ).map(fromWaiting);
  }

  noteTold({ session, execution }: PoolEntry, reason: WaitReason): void {
    this.#run('UPDATE waiting SET told = ? WHERE session = ? AND execution = ?', reason, session, execution);
  }

  countBefore(lane: string, rank: number, limit: number): number {
    const [row] = this.#rows(
      'SELECT count(*) AS count FROM (SELECT 1 FROM waiting WHERE lane = ? AND rank < ? LIMIT ?)',
      lane,
      rank,
      limit,
    );
    return Number(row?.count ?? 0);
  }

  countWaiting(): number {
    const [row] = this.#rows('SELECT count(*) AS count FROM waiting');
    return Number(row?.count ?? 0);
  }

  // ── runners ─────────────────────────────────────────────────────────────────────────────────────

  runners(): RunnerRecord[] {
    return this.exists
      ? this.#rows('SELECT record FROM runners').map(({ record }) => parseStored<RunnerRecord>(String(record)))
      : [];
  }

  putRunner(record: RunnerRecord): void {
    this.#run(
      'INSERT INTO runners (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record',
      record.id,
      JSON.stringify(record),
    );
  }

  removeRunner(id: string): void {
    this.#run('DELETE FROM runners WHERE id = ?', id);
  }

  // ── keys ────────────────────────────────────────────────────────────────────────────────────────

  keys(): RunnerKeyRecord[] {
    return this.exists ? this.#rows('SELECT * FROM keys ORDER BY id').map(fromKey) : [];
  }

  key(id: string): RunnerKeyRecord | null {
    if (!this.exists) return null;
    const [row] = this.#rows('SELECT * FROM keys WHERE id = ?', id);
    return row ? fromKey(row) : null;
  }

  putKey({ id, name, digest, createdAt, expiresAt, lastUsedAt }: RunnerKeyRecord): void {
    this.#run(
      'INSERT OR REPLACE INTO keys (id, name, digest, created_at, expires_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?)',
      id,
      name,
      digest,
      createdAt,
      expiresAt,
      lastUsedAt,
    );
  }

  removeKey(id: string): boolean {
    return this.exists && this.#rows('DELETE FROM keys WHERE id = ? RETURNING id', id).length > 0;
  }

  // ── sql ─────────────────────────────────────────────────────────────────────────────────────────

  #meta(key: string): string | null {
    const [row] = this.#rows('SELECT value FROM meta WHERE key = ?', key);
    return row ? String(row.value) : null;
  }

  #setMeta(key: string, value: string): void {
    this.#run('INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', key, value);
  }

  #rows(statement: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.#storage.sql.exec<Row>(statement, ...bindings).toArray();
  }

  #run(statement: string, ...bindings: SqlStorageValue[]): void {
    this.#storage.sql.exec(statement, ...bindings).toArray();
  }
}

const orNull = (value: SqlStorageValue | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);
const textOrNull = (value: SqlStorageValue | undefined): string | null =>
  value === null || value === undefined ? null : String(value);

const common = (row: Row) => ({
  session: String(row.session),
  execution: String(row.execution),
  lane: String(row.lane),
  rank: Number(row.rank),
  priority: Number(row.priority),
  since: Number(row.since),
  waitUntil: Number(row.wait_until),
});

const fromWaiting = (row: Row): PoolEntry => ({
  ...common(row),
  state: 'waiting',
  told: textOrNull(row.told) as WaitReason | null,
  lease: null,
  runnerId: null,
  bootId: null,
  assignedAt: null,
  dueAt: null,
});

const fromActive = (row: Row): PoolEntry => ({
  ...common(row),
  state: String(row.state) as EntryState,
  told: null,
  lease: orNull(row.lease),
  runnerId: textOrNull(row.runner_id),
  bootId: textOrNull(row.boot_id),
  assignedAt: orNull(row.assigned_at),
  dueAt: orNull(row.due_at),
});

const fromKey = (row: Row): RunnerKeyRecord => ({
  id: String(row.id),
  name: String(row.name),
  digest: String(row.digest),
  createdAt: Number(row.created_at),
  expiresAt: orNull(row.expires_at),
  lastUsedAt: orNull(row.last_used_at),
});
