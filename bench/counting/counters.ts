/**
 * Counts what the platform bills an object for, from the runtime's own numbers: rows that each
 * statement wrote (`rowsWritten`), alarms that were set (a row each) and that fired, messages,
 * calls and wakes. The counters are outside of the object and outlive its hibernation.
 */

export interface Counts {
  /** Constructor calls: the first, and one after each hibernation. */
  wakes: number;
  /** Upgrades, plain requests and method calls from the Worker. */
  requests: number;
  /**
   * Incoming messages that woke or found the object. Twenty are billed as one request; pings are
   * answered without it and do not count.
   */
  messages: number;
  closes: number;
  alarms: number;
  alarmsSet: number;
  /** By statements. Each alarm that is set is a row more. */
  rowsWritten: number;
  rowsRead: number;
}

export const noCounts = (): Counts => ({
  wakes: 0,
  requests: 0,
  messages: 0,
  closes: 0,
  alarms: 0,
  alarmsSet: 0,
  rowsWritten: 0,
  rowsRead: 0,
});

/** Everything billed as a written row. */
export const billedRows = ({ rowsWritten, alarmsSet }: Counts): number => rowsWritten + alarmsSet;

const counts = new Map<string, Counts>();
const owners = new WeakMap<object, string>();

export function countsOf(object: string): Counts {
  const known = counts.get(object) ?? noCounts();
  counts.set(object, known);
  return known;
}

/** A cursor knows what it wrote once it was read to its end, which is when the turn is over. */
const pending: { object: string; cursor: { rowsWritten: number; rowsRead: number } }[] = [];

function settle(): void {
  for (const { object, cursor } of pending.splice(0)) {
    const sums = countsOf(object);
    sums.rowsWritten += cursor.rowsWritten;
    sums.rowsRead += cursor.rowsRead;
  }
}

export function settledCounts(object: string): Counts {
  settle();
  return { ...countsOf(object) };
}

interface Storage {
  sql: object;
}

let patched = false;

/**
 * Counts for one object, whatever its id: for a test whose object is deleted and created again with
 * new storage, and which has no other object.
 */
export function watchAll(storage: Storage, object: string): void {
  everything = object;
  watch(storage, object);
}

let everything: string | undefined;

/**
 * Call before the object touches its storage. The runtime's classes are wrapped once; an object is
 * identified by its storage.
 */
export function watch(storage: Storage, object: string): void {
  owners.set(storage, object);
  owners.set(storage.sql, object);
  if (patched) return;
  patched = true;
  const sql = Object.getPrototypeOf(storage.sql) as {
    exec(...args: unknown[]): { rowsWritten: number; rowsRead: number };
  };
  const { exec } = sql;
  sql.exec = function (...args) {
    const cursor = exec.apply(this, args);
    const owner = owners.get(this) ?? everything;
    if (owner !== undefined) {
      if (pending.length === 0) queueMicrotask(settle);
      pending.push({ object: owner, cursor });
    }
    return cursor;
  };
  const store = Object.getPrototypeOf(storage) as { setAlarm(...args: unknown[]): Promise<void> };
  const { setAlarm } = store;
  store.setAlarm = function (...args) {
    const owner = owners.get(this) ?? everything;
    if (owner !== undefined) countsOf(owner).alarmsSet += 1;
    return setAlarm.apply(this, args);
  };
}
