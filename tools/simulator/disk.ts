/**
 * The object's storage as the platform keeps it: the tables and the alarm, with the platform's
 * crash guarantees.
 *
 * - The writes of a turn become durable together, some time after the turn (`flushed`), in order.
 * - A crash undoes every turn that is not durable (`lose`), as a whole.
 * - A transaction that throws undoes its own writes immediately (`rollbackTo`), and no others.
 */

import type { Command } from '../../protocol/index.ts';
import type { NotedAnswer } from '../../src/core/asking.ts';
import type { CallbackRecord } from '../../src/core/callback.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';
import type { NotedInput } from '../../src/core/input.ts';
import type { OutboxRecord } from '../../src/core/outbox.ts';
import type { LogRow } from '../../src/core/ports.ts';

export interface StoredRow extends LogRow {
  firstSeq: number | null;
  lastSeq: number | null;
  receivedAt: number;
}

export interface StoredCommand {
  execution: string;
  command: Command;
}

/** A write that the disk refused (full or failing). The platform throws it in the handler. */
export class DiskFault extends Error {}

type Undo = () => void;

interface Commit {
  version: number;
  rows: number;
  undo: Undo[];
}

export class Disk {
  readonly executions = new Map<string, ExecutionRecord>();
  commands: StoredCommand[] = [];
  /** By execution and input id. */
  inputs: ReadonlyMap<string, NotedInput> = new Map();
  /** By execution and id of the question. */
  answers: ReadonlyMap<string, NotedAnswer> = new Map();
  callbacks: CallbackRecord[] = [];
  readonly log: StoredRow[] = [];
  lastCommandId = 0;
  lastOrdinal = 0;
  createdAt: number | null = null;
  tombstoneUntil = 0;
  alarm: number | null = null;
  outbox: OutboxRecord | null = null;

  /**
   * Incremented by every write. A message leaves when the version at which it was sent is durable.
   */
  version = 0;
  durableVersion = 0;
  durableRows = 0;
  /** Rows of executions as they were before this turn; null for a new one. */
  readonly changed = new Map<string, ExecutionRecord | null>();
  /** Set by the world: true makes the next write throw. */
  failing: () => boolean = () => false;
  #turn: Undo[] = [];
  #ended = 0;
  readonly #waiting: Commit[] = [];

  write(undo: Undo): void {
    if (this.failing()) throw new DiskFault('SQLITE_FULL: database or disk is full');
    this.#note(undo);
  }

  #note(undo: Undo): void {
    this.version += 1;
    this.#turn.push(undo);
  }

  putExecution(record: ExecutionRecord): void {
    const before = this.executions.get(record.id) ?? null;
    this.write(() => {
      if (before) this.executions.set(before.id, before);
      else this.executions.delete(record.id);
    });
    if (!this.changed.has(record.id)) this.changed.set(record.id, before);
    this.executions.set(record.id, record);
  }

  setCommands(commands: StoredCommand[]): void {
    const before = this.commands;
    this.write(() => {
      this.commands = before;
    });
    this.commands = commands;
  }

  noteInput(key: string, noted: NotedInput): void {
    const before = this.inputs;
    this.write(() => {
      this.inputs = before;
    });
    this.inputs = new Map([...before, [key, noted]]);
  }

  noteAnswer(key: string, noted: NotedAnswer): void {
    const before = this.answers;
    this.write(() => {
      this.answers = before;
    });
    this.answers = new Map([...before, [key, noted]]);
  }

  setCallbacks(callbacks: CallbackRecord[]): void {
    const before = this.callbacks;
    this.write(() => {
      this.callbacks = before;
    });
    this.callbacks = callbacks;
  }

  appendRow(row: StoredRow): void {
    this.write(() => void this.log.pop());
    this.log.push(row);
  }

  setOutbox(record: OutboxRecord): void {
    const before = this.outbox;
    this.write(() => {
      this.outbox = before;
    });
    this.outbox = record;
  }

  /** All rows except those of the outbox and the callbacks. */
  erase(tombstoneUntil: number | null): void {
    const { commands, inputs, answers, createdAt, tombstoneUntil: before } = this;
    const executions = [...this.executions];
    const log = this.log.slice();
    this.write(() => {
      for (const [id, record] of executions) this.executions.set(id, record);
      this.log.push(...log);
      Object.assign(this, { commands, inputs, answers, createdAt, tombstoneUntil: before });
    });
    this.executions.clear();
    this.log.length = 0;
    Object.assign(this, {
      commands: [],
      inputs: new Map(),
      answers: new Map(),
      createdAt: null,
      tombstoneUntil: tombstoneUntil ?? 0,
    });
  }

  /** All that the platform stores for the object. */
  deleteAll(): void {
    this.erase(null);
    this.setAlarm(null);
    this.setCallbacks([]);
    const before = this.outbox;
    this.write(() => {
      this.outbox = before;
    });
    this.outbox = null;
  }

  setAlarm(at: number | null): void {
    const before = this.alarm;
    this.write(() => {
      this.alarm = before;
    });
    this.alarm = at;
  }

  /** A fired alarm is removed. The platform does this, so it does not fail. */
  consumeAlarm(): void {
    const before = this.alarm;
    this.#note(() => {
      this.alarm = before;
    });
    this.alarm = null;
  }

  create(now: number): void {
    this.write(() => {
      this.createdAt = null;
    });
    this.createdAt = now;
  }

  mark(): number {
    return this.#turn.length;
  }

  rollbackTo(mark: number): void {
    for (let undo = this.#turn.splice(mark), index = undo.length - 1; index >= 0; index -= 1) undo[index]?.();
  }

  /** The version to flush, or null when the turn wrote nothing. */
  endTurn(): number | null {
    this.changed.clear();
    // A rolled-back transaction may have used a version. A message sent after it still waits for
    // that version.
    if (this.version === this.#ended) return null;
    this.#ended = this.version;
    this.#waiting.push({ version: this.version, rows: this.log.length, undo: this.#turn });
    this.#turn = [];
    return this.version;
  }

  flushed(version: number): void {
    for (let commit = this.#waiting[0]; commit && commit.version <= version; commit = this.#waiting[0]) {
      this.durableVersion = commit.version;
      this.durableRows = commit.rows;
      this.#waiting.shift();
    }
  }

  /** Undoes every turn that is not durable, as after a crash. Returns the number of lost turns. */
  lose(): number {
    const lost = this.#waiting.splice(0);
    for (let index = lost.length - 1; index >= 0; index -= 1) {
      const { undo } = lost[index] as Commit;
      for (let step = undo.length - 1; step >= 0; step -= 1) undo[step]?.();
    }
    // Lost versions never become durable. Later versions must not be mistaken for them.
    this.durableVersion = this.version;
    return lost.length;
  }

  /** True when no write waits for a flush. */
  get durable(): boolean {
    return this.#waiting.length === 0;
  }

  get head(): number {
    const last = this.log.at(-1);
    return last ? last.firstOffset + last.count - 1 : 0;
  }
}
