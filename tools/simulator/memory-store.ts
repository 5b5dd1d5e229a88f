/**
 * The session's Store over a simulated disk. Each incarnation of the object makes a new one: state
 * outside the disk is lost with the incarnation, as with the real store.
 * test/support/store-contract.ts runs the same suite over both.
 */

import { type Command, isActive, isTerminal, type OpenStatus, STATUSES, type Status, utf8Bytes } from '../../protocol/index.ts';
import type { NotedAnswer } from '../../src/core/asking.ts';
import type { CallbackRecord } from '../../src/core/callback.ts';
import type { ExecutionPatch, ExecutionRecord, LatePatch } from '../../src/core/execution.ts';
import { createdAtAfter } from '../../src/core/generation.ts';
import type { NotedInput } from '../../src/core/input.ts';
import type { NewCommand } from '../../src/core/lifecycle.ts';
import type { Tally } from '../../src/core/metrics.ts';
import type {
  AnswerTable,
  Batch,
  CallbackTable,
  CommandTable,
  ExecutionQuery,
  ExecutionTable,
  InputTable,
  LogRow,
  LogTable,
  OutboxTable,
  Store,
} from '../../src/core/ports.ts';
import type { Disk, StoredRow } from './disk.ts';

export class MemoryStore implements Store {
  readonly executions: ExecutionTable;
  readonly commands: CommandTable;
  readonly inputs: InputTable;
  readonly answers: AnswerTable;
  readonly callbacks: CallbackTable;
  readonly log: LogTable;
  readonly outbox: OutboxTable;
  readonly #disk: Disk;
  #lastCreatedAt = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
    this.outbox = { get: () => disk.outbox, put: (record) => disk.setOutbox(record) };
    this.executions = new MemoryExecutions(disk);
    this.commands = new MemoryCommands(disk);
    this.inputs = new MemoryInputs(disk);
    this.answers = new MemoryAnswers(disk);
    this.callbacks = new MemoryCallbacks(disk);
    this.log = new MemoryLog(disk);
  }

  get exists(): boolean {
    return this.#disk.createdAt !== null;
  }

  get createdAt(): number {
    return this.#disk.createdAt ?? 0;
  }

  get databaseBytes(): number {
    return this.#disk.log.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  create(now: number): void {
    if (this.exists) return;
    this.#lastCreatedAt = createdAtAfter(this.#lastCreatedAt, this.#disk.outbox, now);
    this.#disk.create(this.#lastCreatedAt);
  }

  erase(tombstoneUntil: number | null): void {
    this.#disk.erase(tombstoneUntil);
  }

  get tombstoneUntil(): number {
    return this.#disk.tombstoneUntil;
  }

  forget(): void {}

  transact<T>(action: () => T): T {
    const mark = this.#disk.mark();
    try {
      return action();
    } catch (error) {
      this.#disk.rollbackTo(mark);
      throw error;
    }
  }
}

/** The real tables do not exist before the session is created; a query throws. */
function needTables(disk: Disk): void {
  if (disk.createdAt === null) throw new Error('no such table: a session that was never started was asked for its rows');
}

class MemoryExecutions implements ExecutionTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  get(id: string): ExecutionRecord | null {
    needTables(this.#disk);
    return this.#disk.executions.get(id) ?? null;
  }

  insert(record: Omit<ExecutionRecord, 'ordinal'>): ExecutionRecord {
    needTables(this.#disk);
    if (this.#disk.executions.has(record.id)) throw new Error('UNIQUE constraint failed: executions.id');
    this.#disk.lastOrdinal += 1;
    const row = { ...record, ordinal: this.#disk.lastOrdinal };
    this.#disk.putExecution(row);
    return row;
  }

  update(id: string, patch: ExecutionPatch): ExecutionRecord | null {
    const row = this.get(id);
    if (!row || isTerminal(row.status)) return null;
    if (Object.keys(patch).length === 0) return row;
    const changed = { ...row, ...patch };
    this.#disk.putExecution(changed);
    return changed;
  }

  noteVerdict(id: string, verdict: { lastOffset: number; logBytes: number }): void {
    const row = this.get(id);
    if (row) this.#disk.putExecution({ ...row, ...verdict });
  }

  noteLate(id: string, patch: LatePatch): void {
    const row = this.get(id);
    if (row && isTerminal(row.status) && Object.keys(patch).length > 0) this.#disk.putExecution({ ...row, ...patch });
  }

  active(): ExecutionRecord[] {
    return this.#all().filter(({ status }) => isActive(status));
  }

  open(): ExecutionRecord[] {
    return this.#all().filter(({ status }) => !isTerminal(status));
  }

  queued(): ExecutionRecord[] {
    return this.#all()
      .filter(({ status }) => status === 'queued')
      .sort((a, b) => a.queueRank - b.queueRank || a.ordinal - b.ordinal);
  }

  lowestQueueRank(): number {
    return this.queued()[0]?.queueRank ?? 0;
  }

  list({ status, limit, before, only }: ExecutionQuery): ExecutionRecord[] {
    return this.#all()
      .reverse()
      .filter((row) => (!status || row.status === status) && (before === undefined || row.ordinal < before))
      .filter((row) => only === undefined || row.id === only)
      .slice(0, limit);
  }

  openCounts(): Record<OpenStatus, number> {
    const { queued, pending, running } = this.counts();
    return { queued, pending, running };
  }

  asks(): boolean {
    return this.#all().some(({ asking }) => asking !== null);
  }

  counts(): Record<Status, number> {
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<Status, number>;
    for (const { status } of this.#all()) counts[status] += 1;
    return counts;
  }

  hasAtLeast(count: number): boolean {
    return this.#all().length >= count;
  }

  newest(limit: number): { id: string; status: Status }[] {
    return this.list({ limit }).map(({ id, status }) => ({ id, status }));
  }

  #all(): ExecutionRecord[] {
    needTables(this.#disk);
    return [...this.#disk.executions.values()].sort((a, b) => a.ordinal - b.ordinal);
  }
}

class MemoryInputs implements InputTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  find(execution: string, inputId: string): NotedInput | null {
    needTables(this.#disk);
    return this.#disk.inputs.get(`${execution}/${inputId}`) ?? null;
  }

  note(execution: string, inputId: string, noted: NotedInput): void {
    needTables(this.#disk);
    if (this.find(execution, inputId)) throw new Error('UNIQUE constraint failed: inputs.key');
    this.#disk.noteInput(`${execution}/${inputId}`, noted);
  }
}

class MemoryAnswers implements AnswerTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  find(execution: string, question: string): NotedAnswer | null {
    needTables(this.#disk);
    return this.#disk.answers.get(`${execution}/${question}`) ?? null;
  }

  note(execution: string, question: string, noted: NotedAnswer): void {
    needTables(this.#disk);
    this.#disk.noteAnswer(`${execution}/${question}`, noted);
  }
}

class MemoryCommands implements CommandTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  add(execution: string, { command, data }: NewCommand, _now: number): Command {
    // Incremented even when the write is undone. "Never reused" allows that.
    this.#disk.lastCommandId += 1;
    const stored = { id: this.#disk.lastCommandId, command, data } as Command;
    this.#disk.setCommands([...this.#disk.commands, { execution, command: stored }]);
    return stored;
  }

  waiting(execution: string): Command[] {
    return this.#disk.commands.filter((stored) => stored.execution === execution).map(({ command }) => command);
  }

  load(execution: string): { count: number; bytes: number } {
    const waiting = this.waiting(execution);
    return { count: waiting.length, bytes: waiting.reduce((sum, { data }) => sum + utf8Bytes(JSON.stringify(data)), 0) };
  }

  ack(execution: string, id: number): void {
    this.#keep((stored) => stored.execution !== execution || stored.command.id !== id);
  }

  dropResizes(execution: string): void {
    this.#keep((stored) => stored.execution !== execution || stored.command.command !== 'resize');
  }

  drop(execution: string): void {
    this.#keep((stored) => stored.execution !== execution);
  }

  #keep(wanted: (stored: { execution: string; command: Command }) => boolean): void {
    const kept = this.#disk.commands.filter(wanted);
    if (kept.length < this.#disk.commands.length) this.#disk.setCommands(kept);
  }
}

class MemoryCallbacks implements CallbackTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  add(record: CallbackRecord): void {
    needTables(this.#disk);
    if (this.#disk.callbacks.some(({ id }) => id === record.id)) throw new Error('UNIQUE constraint failed: callbacks.id');
    this.#disk.setCallbacks([...this.#disk.callbacks, record]);
  }

  due(now: number, limit: number): CallbackRecord[] {
    const due = this.#disk.callbacks.filter(({ dueAt }) => dueAt <= now);
    return due.sort((a, b) => a.dueAt - b.dueAt).slice(0, limit);
  }

  get nextDueAt(): number | null {
    const times = this.#disk.callbacks.map(({ dueAt }) => dueAt);
    return times.length > 0 ? Math.min(...times) : null;
  }

  postpone({ id, attempts, dueAt }: Pick<CallbackRecord, 'id' | 'attempts' | 'dueAt'>): void {
    this.#disk.setCallbacks(this.#disk.callbacks.map((record) => (record.id === id ? { ...record, attempts, dueAt } : record)));
  }

  remove(id: string): void {
    const kept = this.#disk.callbacks.filter((record) => record.id !== id);
    if (kept.length < this.#disk.callbacks.length) this.#disk.setCallbacks(kept);
  }
}

class MemoryLog implements LogTable {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  get head(): number {
    needTables(this.#disk);
    return this.#disk.head;
  }

  get earliest(): number {
    return this.#disk.log[0]?.firstOffset ?? this.head + 1;
  }

  get lastReceivedAt(): number | null {
    return this.#disk.log.at(-1)?.receivedAt ?? null;
  }

  takenAt(execution: string): number | null {
    return this.#disk.log.findLast((row) => row.execution === execution && !row.own)?.receivedAt ?? null;
  }

  append({ execution, firstSeq, count, body, bytes, late = false }: Batch, now: number): LogRow {
    const lastSeq = firstSeq === null ? null : firstSeq + count - 1;
    const own = firstSeq === null;
    const row: StoredRow = {
      firstOffset: this.head + 1,
      count,
      execution,
      body,
      bytes,
      own,
      late,
      firstSeq,
      lastSeq,
      receivedAt: now,
    };
    this.#disk.appendRow(row);
    return { firstOffset: row.firstOffset, count, execution, body, bytes, own, late };
  }

  ackedSeq(execution: string, since: number): number {
    const { log } = this.#disk;
    for (let index = log.length - 1; index >= 0; index -= 1) {
      const row = log[index] as StoredRow;
      if (row.firstOffset < since) break;
      if (row.execution === execution && row.lastSeq !== null) return row.lastSeq;
    }
    return 0;
  }

  bytesOf(execution: string, since: number): number {
    return this.tally(execution, since).bytes;
  }

  forgetAcked(): void {}

  tally(execution: string, since: number): Tally {
    const rows = this.#disk.log.filter((row) => row.firstOffset >= since && row.execution === execution);
    const sum = (of: (row: StoredRow) => number) => rows.reduce((total, row) => total + (row.own ? 0 : of(row)), 0);
    const own = rows.filter((row) => row.own).map(({ body }) => body);
    return { events: sum(({ count }) => count), bytes: sum(({ bytes }) => bytes), own: own.join('\n') };
  }

  *rowsAfter(after: number, executions: readonly string[] | null = null): Generator<LogRow> {
    needTables(this.#disk);
    const { log } = this.#disk;
    let low = 0;
    let high = log.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const row = log[middle] as StoredRow;
      if (row.firstOffset + row.count - 1 <= after) low = middle + 1;
      else high = middle;
    }
    for (let index = low; index < log.length; index += 1) {
      const { firstOffset, count, execution, body, bytes, own, late } = log[index] as StoredRow;
      if (executions === null || executions.includes(execution)) yield { firstOffset, count, execution, body, bytes, own, late };
    }
  }

  tailOffset(count: number): number {
    return Math.max(this.earliest - 1, this.head - count);
  }
}
