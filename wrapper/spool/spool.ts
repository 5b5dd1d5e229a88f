/**
 * The spool: assigns each event its seq and its place on disk, before it may be sent.
 *
 * Owns: the numbering, the queue of lines to write, the lock, the state and identity files.
 * Does not own: the segment files (segments), what is acked (sender), the connection, the child. It
 * reports when it is too full; the supervisor pauses the child.
 *
 *   SP1  A chunk is announced (`onStored`) after its write has returned. So whatever was sent
 *        survives a SIGKILL of this process. Only the terminal fact is synced, in the background:
 *        after a crash of the host the coordinator may have more than the spool; see `skipTo`.
 *   SP2  Order of the calls to `append` = order of seqs = order on disk = order of announcements.
 *        One write is in flight at a time.
 *   SP3  A failed write is retried at the same position until it succeeds, or the spool is
 *        abandoned. Until then nothing is dropped.
 *   SP4  Memory is bounded: pending lines (the child is paused at `QUEUE_BYTES_MAX`) and a tail of
 *        recent bytes. Everything else is read back from disk.
 *   SP5  Nothing follows a terminal fact.
 *   SP6  A segment is deleted when all of it is acked, never earlier.
 *   SP7  On a full disk the lines that fit are written and announced, and acked space is freed,
 *        including that of the current segment. So a job continues, slowly, on any disk that holds
 *        its longest line.
 *   SP8  A removed folder is created again, with lock, identity and state. Events that were only in
 *        it become a gap.
 *   SP9  An abandoned spool drops its pending lines, behind one gap, and keeps that gap and the
 *        terminal fact in memory.
 */

import { BackoffController } from '../../protocol/index.ts';
import { encodeEvent } from '../output/event-lines.ts';
import { isDiskFull, isMissing, makeFolderDurably, nodeFiles, type SpoolFiles } from './files.ts';
import { LineRing } from './line-ring.ts';
import { lockSpool } from './lock.ts';
import { chunksOfLost, LostEvents } from './lost.ts';
import { type Recovered, recoverSegments } from './recovery.ts';
import { type Place, Segments } from './segments.ts';
import { CHUNK_BYTES_MAX, type Chunk } from './sender.ts';
import {
  IDENTITY_FILE,
  newSpoolState,
  readSpoolIdentity,
  readSpoolState,
  type SpoolState,
  STATE_FILE,
  stateOfIdentity,
  writeSpoolIdentity,
  writeSpoolState,
} from './state.ts';

export const SPOOL_LIMIT_BYTES_DEFAULT = 1024 * 1024 * 1024;
/** One write call takes at most this much: four chunks. */
const WRITE_BYTES_MAX = 1024 * 1024;
/** A SIGKILL loses what waits here, so this bounds the gap between two wrappers of a job. */
const QUEUE_BYTES_MAX = 512 * 1024;
const QUEUE_BYTES_LOW = 128 * 1024;
const WRITE_RETRY = { baseMs: 100, capMs: 5000, maxAttempts: Number.POSITIVE_INFINITY };

export interface SpoolOptions {
  directory: string;
  /** Path of the ingest URL: a spool belongs to one execution. */
  execution: string;
  bootId: string;
  limitBytes?: number;
  now?: () => number;
  /** Tests simulate disk failures here. */
  files?: SpoolFiles;
}

export interface SpoolHandlers {
  onStored(chunk: Chunk): void;
  /** Why the child should be paused now; called with each change. */
  onPressure(pressure: SpoolPressure): void;
  /** Called once per run of failures, and once more when it is over. */
  onWriteFailure(message: string | null): void;
  /** A part of the spool was lost; the text describes it. */
  onDamage(message: string): void;
}

export type SpoolPressure = 'none' | 'queue' | 'disk_full' | 'write_failure';

export type SpoolOpening =
  | {
      kind: 'opened';
      spool: Spool;
      recovered: Recovered;
      /** An earlier boot has begun the job or left events, or that is unknown. */
      crashed: boolean;
      /** A description of the damage that was found. */
      damage: string[];
    }
  | { kind: 'locked'; pid: number | null }
  | { kind: 'other_execution'; execution: string };

/** The state of the spool, and whether an earlier boot had it. */
function takeOver(files: SpoolFiles, { directory, execution, bootId }: SpoolOptions) {
  const state = readSpoolState(directory, files);
  if (state) return { state: { ...state, bootId }, isNew: false, damage: [] };
  const identity = readSpoolIdentity(directory, files);
  const torn = files.exists(`${directory}/${STATE_FILE}`);
  if (identity) {
    const damage = [`its state file is ${torn ? 'damaged' : 'missing'}; the job counts as begun`];
    return { state: stateOfIdentity(identity, bootId), isNew: false, damage };
  }
  return { state: newSpoolState(execution, bootId), isNew: true, damage: torn ? ['its state file is damaged'] : [] };
}

export class Spool {
  readonly directory: string;
  readonly state: SpoolState;
  readonly #files: SpoolFiles;
  readonly #limitBytes: number;
  readonly #segments: Segments;
  readonly #lost: LostEvents;
  readonly #now: () => number;
  #release: () => void;
  #handlers: SpoolHandlers = { onStored: () => {}, onPressure: () => {}, onWriteFailure: () => {}, onDamage: () => {} };

  #nextSeq: number;
  #terminal: boolean;
  #queue: Buffer[] = [];
  readonly #waiting = new LineRing(QUEUE_BYTES_MAX + CHUNK_BYTES_MAX);
  #queueBytes = 0;
  #writing: Promise<void> | null = null;
  #failing = false;
  #pressure: SpoolPressure = 'none';
  #closed = false;
  /** Ends the wait after a failed write early, because something was acked. */
  #wake: () => void = () => {};

  /** Stored and not acked, plus lines that wait to be written: the limit applies to this sum. */
  #unackedBytes: number;
  #full = false;
  /** SP9: what was dropped. Null: the spool is not abandoned. */
  #dropped: { events: number; bytes: number } | null = null;
  readonly #inMemory = new Map<number, Buffer>();
  #scratch = Buffer.alloc(0);

  /**
   * Creates the directory. Throws when it cannot be used at all; the state that an earlier wrapper
   * left is a return value.
   */
  static open(options: SpoolOptions): SpoolOpening {
    const { directory, execution, files = nodeFiles, now = Date.now } = options;
    makeFolderDurably(files, directory);
    const lock = lockSpool(directory, files);
    if (lock.kind === 'held') return { kind: 'locked', pid: lock.pid };
    try {
      const { state, isNew, damage } = takeOver(files, options);
      if (state.execution !== execution) {
        lock.release();
        return { kind: 'other_execution', execution: state.execution };
      }
      const recovered = recoverSegments(files, directory);
      const found = recovered.segments.length > 0 || damage.length > 0;
      if (isNew && recovered.segments.length > 0) damage.push('it does not say whose it is; the coordinator may refuse it');
      for (const path of recovered.strange) damage.push(`${path} does not belong to it and is left alone`);
      const spool = new Spool(options, state, recovered, lock.release, { files, now });
      spool.#writeFilesAtStart(isNew);
      return { kind: 'opened', spool, recovered, crashed: state.job.begun || recovered.nextSeq > 1 || found, damage };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(
    options: SpoolOptions,
    state: SpoolState,
    recovered: Recovered,
    release: () => void,
    { files, now }: { files: SpoolFiles; now: () => number },
  ) {
    this.directory = options.directory;
    this.state = state;
    this.#files = files;
    this.#limitBytes = options.limitBytes ?? SPOOL_LIMIT_BYTES_DEFAULT;
    this.#release = release;
    this.#now = now;
    const onDamage = (segment: number) =>
      this.#handlers.onDamage(`something of the spool ${this.directory} cannot be read any more (from event ${segment} on)`);
    this.#segments = new Segments({ files, directory: this.directory, now, onDamage }, recovered);
    this.#lost = new LostEvents(now(), recovered.lost);
    this.#nextSeq = recovered.nextSeq;
    this.#terminal = recovered.end !== null;
    this.#unackedBytes = recovered.chunks.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * An existing spool can be delivered with the files that it has: on a full disk that is how space
   * is freed.
   */
  #writeFilesAtStart(isNew: boolean): void {
    try {
      writeSpoolIdentity(this.directory, this.state, this.#files);
      this.saveState({ durable: true });
    } catch (error) {
      if (isNew) throw error;
    }
  }

  /** Must be set before the first `append`. */
  attach(handlers: SpoolHandlers): void {
    this.#handlers = handlers;
    this.#judgePressure();
  }

  get nextSeq(): number {
    return this.#nextSeq;
  }
  get terminal(): boolean {
    return this.#terminal;
  }
  get unackedBytes(): number {
    return this.#unackedBytes;
  }
  /** No event on disk is unacked: an ack cannot free space. */
  get drained(): boolean {
    return this.#unackedBytes === this.#queueBytes;
  }
  /** Bytes in memory right now, for the tests of SP4. */
  get memoryBytes(): number {
    return this.#queueBytes + this.#segments.recentBytes;
  }

  /** `durable`: it is synced when this returns. */
  saveState({ durable = false } = {}): void {
    writeSpoolState(this.directory, this.state, { files: this.#files, durable });
  }

  /**
   * Takes one encoded event line with its line end. The line is copied or owned by the spool
   * afterwards. False when the run has ended.
   */
  append(line: Buffer, terminal = false): boolean {
    if (this.#terminal || this.#closed) return false; // SP5
    this.#terminal = terminal;
    if (this.#dropped) {
      if (terminal) this.#keepInMemory(line, this.#dropped);
      else {
        this.#dropped.events += 1;
        this.#dropped.bytes += line.length;
      }
      return true;
    }
    this.#nextSeq += 1;
    this.#queue.push(this.#waiting.keep(line));
    this.#queueBytes += line.length;
    this.#unackedBytes += line.length;
    this.#judgePressure();
    // Begins after the caller's turn: the events of one read are one write.
    this.#writing ??= Promise.resolve().then(() => this.#writeAll());
    return true;
  }

  /** Resolves when everything appended so far is on disk. */
  async stored(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /**
   * Continues numbering at `seq`. The coordinator acked more than is here: the host crashed after
   * an ack and the tail never reached the disk. That is why a restarted wrapper creates no event of
   * its own before its first welcome; nothing may be queued now.
   */
  skipTo(seq: number): void {
    if (this.#writing || this.#queue.length > 0) throw new Error('skipTo with events under way');
    if (seq <= this.#nextSeq) return;
    this.#nextSeq = seq;
    this.#segments.seal();
  }

  /** At the first welcome: the coordinator has everything up to `ackedSeq`, so that is not lost. */
  knownAtStart(ackedSeq: number): void {
    this.#lost.trim(ackedSeq);
  }

  /** Events before the first stored one, which the coordinator lacks: the replacements to send. */
  lostBefore(firstSeq: number, lastSeq: number): Chunk[] {
    this.#lost.add({ firstSeq, lastSeq, bytes: 0, unknown: true });
    const chunks = chunksOfLost(firstSeq, lastSeq);
    this.#unackedBytes += chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    return chunks;
  }

  /** The coordinator has everything up to `ackedSeq`; `releasedBytes` of it were counted here. */
  release(ackedSeq: number, releasedBytes: number): void {
    this.#unackedBytes -= releasedBytes;
    for (const seq of this.#inMemory.keys()) if (seq <= ackedSeq) this.#inMemory.delete(seq);
    this.#segments.release(ackedSeq); // SP6
    this.#judgePressure();
    this.#wake();
  }

  /**
   * The bytes of neighbouring chunks, from memory where they are recent. They are in a reused
   * buffer, valid for this turn only. (A new buffer per frame would be large garbage that does not
   * trigger the collector.) There is one line per event; lost events are gaps. Throws when they
   * cannot be read for a temporary reason.
   */
  read(chunks: readonly Chunk[]): Buffer {
    const length = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    const parts: Buffer[] = [];
    let at = 0;
    let asStored = true;
    for (const chunk of chunks) {
      const target = this.#scratch.subarray(at, at + chunk.bytes);
      const { segment } = chunk;
      const part = segment === null ? this.#substitutes(chunk) : this.#segments.read({ ...chunk, segment }, target);
      asStored &&= part === target;
      parts.push(part);
      at += chunk.bytes;
    }
    return asStored ? this.#scratch.subarray(0, length) : Buffer.concat(parts);
  }

  /** Call about every second: creates a removed folder again (SP8). */
  checkFolder(): void {
    if (this.#closed || this.#files.exists(`${this.directory}/${STATE_FILE}`)) return;
    this.#restoreFolder();
  }

  /**
   * SP9: no further write is possible. Drops pending lines, and every event before the terminal
   * fact.
   */
  giveUp(): void {
    if (this.#dropped || this.#closed) return;
    // Pending lines were never announced, so their numbers are free again.
    const end = this.#terminal ? this.#queue.at(-1) : undefined;
    const waiting = end ? this.#queue.slice(0, -1) : this.#queue;
    this.#nextSeq -= this.#queue.length;
    this.#dropped = { events: waiting.length, bytes: waiting.reduce((sum, { length }) => sum + length, 0) };
    this.#unackedBytes -= this.#queueBytes;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#judgePressure();
    if (end) this.#keepInMemory(Buffer.from(end), this.#dropped);
    this.#wake();
  }

  /** Releases files and lock; unacked events stay on disk for the next boot. */
  async close(): Promise<void> {
    await this.stored();
    this.#closed = true;
    this.#segments.close();
    this.#release();
  }

  /** The end of the run is acknowledged: removes everything but the directory. */
  async destroy(): Promise<void> {
    await this.stored();
    this.#closed = true;
    this.#segments.removeAll();
    for (const name of [STATE_FILE, IDENTITY_FILE]) this.#files.remove(`${this.directory}/${name}`);
    this.#release();
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────

  async #writeAll(): Promise<void> {
    // A full disk keeps this loop busy for long; `stored` waits for it.
    const backoff = new BackoffController(WRITE_RETRY);
    while (this.#queue.length > 0 && !this.#dropped) {
      try {
        await this.#writeBatch();
        backoff.recordSuccess();
      } catch (error) {
        if (this.#dropped) break;
        if (isMissing(error) && this.#restoreFolder()) continue;
        if (isDiskFull(error)) this.#segments.shorten();
        // On a full disk no segment can begin, so the last one is removed too when all of it is
        // acked (SP7). After a crash at this point there is no segment, and the numbering continues
        // from the coordinator's count (`skipTo`).
        if (this.drained && this.#segments.releaseAll()) continue;
        this.#failed((error as Error).message);
        backoff.recordFailure();
        await this.#wait(backoff.nextDelayMs()); // SP3
      }
    }
    if (this.#terminal && !this.#dropped) await this.#segments.flush();
    this.#writing = null;
  }

  /**
   * Writes the next lines, and announces those that were written completely. Throws when not even
   * the first was.
   */
  async #writeBatch(): Promise<void> {
    const firstSeq = this.#nextSeq - this.#queue.length;
    const place = this.#segments.place(firstSeq);
    const lines: Buffer[] = [];
    let bytes = 0;
    for (const line of this.#queue) {
      if (lines.length > 0 && bytes + line.length > Math.min(place.room, WRITE_BYTES_MAX)) break;
      lines.push(line);
      bytes += line.length;
    }
    let written = 0;
    // A torn line is written again from its start, unless it is the first: otherwise there would be
    // no progress.
    while (written < (lines[0] as Buffer).length) {
      written += await this.#segments.write(place, dropBytes(lines, written), written);
      if (this.#dropped) return;
    }
    this.#store(place, firstSeq, written === bytes ? lines : wholeLines(lines, written));
  }

  #store(place: Place, firstSeq: number, lines: Buffer[]): void {
    const chunks = chunksOf(lines, { ...place, firstSeq });
    this.#segments.commit(place, firstSeq, lines);
    this.#queue.splice(0, lines.length);
    for (const { bytes } of chunks) this.#queueBytes -= bytes;
    this.#waiting.release(lines);
    if (this.#failing) {
      this.#failing = false;
      this.#handlers.onWriteFailure(null);
    }
    for (const chunk of chunks) this.#handlers.onStored(chunk); // SP1
    this.#judgePressure();
  }

  #failed(message: string): void {
    if (this.#failing) return;
    this.#failing = true;
    this.#handlers.onWriteFailure(message);
    this.#judgePressure();
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** SP8. False when it exists, or cannot be created. */
  #restoreFolder(): boolean {
    try {
      if (this.#files.exists(`${this.directory}/${STATE_FILE}`)) return false;
      makeFolderDurably(this.#files, this.directory);
      this.#release();
      const lock = lockSpool(this.directory, this.#files);
      if (lock.kind === 'held') return false;
      this.#release = lock.release;
      writeSpoolIdentity(this.directory, this.state, this.#files);
      this.saveState({ durable: true });
    } catch {
      return false;
    }
    this.#segments.lostNames();
    this.#handlers.onDamage(
      `the spool ${this.directory} was removed while the job runs; it is made again, and what was only there is lost. Keep it where nothing is cleaned up (--spool)`,
    );
    return true;
  }

  /** SP9. The terminal fact, behind a gap for what was dropped. */
  #keepInMemory(end: Buffer, dropped: { events: number; bytes: number }): void {
    const gap = encodeEvent({ type: 'gap', at: this.#now(), data: { ...dropped, reason: 'spool_failed' } });
    for (const kept of dropped.events > 0 ? [gap, end] : [end]) {
      const firstSeq = this.#nextSeq;
      this.#nextSeq += 1;
      this.#inMemory.set(firstSeq, kept);
      this.#unackedBytes += kept.length;
      this.#handlers.onStored({ firstSeq, count: 1, bytes: kept.length, segment: null, position: firstSeq });
    }
  }

  /** The replacement for events that are not on disk. */
  #substitutes({ firstSeq, count }: Chunk): Buffer {
    const lines: Buffer[] = [];
    for (let seq = firstSeq; seq < firstSeq + count; seq += 1) lines.push(this.#inMemory.get(seq) ?? this.#lost.lines(seq, 1));
    return Buffer.concat(lines);
  }

  /**
   * Full at the limit, usable again when an eighth of it is free: with less hysteresis the child
   * would stutter.
   */
  #judgePressure(): void {
    if (this.#unackedBytes >= this.#limitBytes) this.#full = true;
    else if (this.#unackedBytes <= this.#limitBytes - this.#limitBytes / 8) this.#full = false;
    const queueLimit = this.#pressure === 'queue' ? QUEUE_BYTES_LOW : QUEUE_BYTES_MAX;
    let pressure: SpoolPressure = 'none';
    if (this.#dropped) pressure = 'none';
    else if (this.#failing) pressure = 'write_failure';
    else if (this.#full) pressure = 'disk_full';
    else if (this.#queueBytes > queueLimit) pressure = 'queue';
    if (pressure === this.#pressure) return;
    this.#pressure = pressure;
    this.#handlers.onPressure(pressure);
  }
}

/** Lines that are completely within the first `bytes` bytes. */
function wholeLines(lines: readonly Buffer[], bytes: number): Buffer[] {
  let end = 0;
  let count = 0;
  for (const { length } of lines) {
    if (end + length > bytes) break;
    end += length;
    count += 1;
  }
  return lines.slice(0, count);
}

/** All but the first `count` bytes. */
function dropBytes(buffers: Buffer[], count: number): Buffer[] {
  let left = count;
  let index = 0;
  while (index < buffers.length && left >= (buffers[index] as Buffer).length) {
    left -= (buffers[index] as Buffer).length;
    index += 1;
  }
  const rest = buffers.slice(index);
  if (left > 0 && rest[0]) rest[0] = rest[0].subarray(left);
  return rest;
}

/** Groups consecutive lines. A line longer than a chunk is a chunk of its own. */
function chunksOf(lines: readonly Buffer[], start: { firstSeq: number; segment: number; position: number }): Chunk[] {
  const chunks: Chunk[] = [];
  let { firstSeq, position } = start;
  for (const { length } of lines) {
    const last = chunks.at(-1);
    if (last && last.bytes + length <= CHUNK_BYTES_MAX) {
      last.count += 1;
      last.bytes += length;
    } else chunks.push({ firstSeq, count: 1, bytes: length, segment: start.segment, position });
    firstSeq += 1;
    position += length;
  }
  return chunks;
}
