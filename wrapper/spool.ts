/**
 * The spool: every event gets its seq and its place on disk here, before anybody may send it.
 *
 * Owns: the segment files `<firstSeq>.ndjson` (line k of it is event firstSeq + k), the queue of lines that wait to be written, the
 * lock, and `state.json` beside them.
 * Does not own: what is acked (sender), who is connected, the child. It says when it is too full; the supervisor pauses the child.
 *
 *   SP1  A chunk is announced (`onStored`) after its write has returned. So whatever was sent survives a SIGKILL of this process. It is
 *        not flushed to the medium: after a crash of the host the coordinator may know more than the spool; see `skipTo`.
 *   SP2  Order of the calls to `append` = order of seqs = order on disk = order of announcements. One write is under way at a time.
 *   SP3  A failed write is repeated at the same position until it succeeds. Nothing is dropped.
 *   SP4  Memory is bounded: lines that wait to be written (the child is paused at `QUEUE_BYTES_MAX`) and a tail of recent bytes
 *        (`RECENT_BYTES_MAX`). All else is read back from disk.
 *   SP5  Nothing follows a terminal fact.
 *   SP6  A segment is deleted when all of it is acked, never before.
 *   SP7  When the disk is full it gives back what is acked, also of the segment that is being written: on a disk that is full of acked events the
 *        job would otherwise wait for ever.
 */

import { closeSync, writev as fsWritev, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { WINDOW_BYTES } from '../protocol/index.ts';
import { LineRing } from './line-ring.ts';
import { CHUNK_BYTES_MAX, type Chunk } from './sender.ts';
import { lockSpool } from './spool-lock.ts';
import { listSegments, type Recovered, recoverSegments, segmentPath } from './spool-recovery.ts';
import { newSpoolState, readSpoolState, type SpoolState, STATE_FILE, writeSpoolState } from './spool-state.ts';

export const SPOOL_LIMIT_BYTES_DEFAULT = 1024 * 1024 * 1024;
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** One write call takes at most this much: four chunks. */
const WRITE_BYTES_MAX = 1024 * 1024;
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;
const QUEUE_BYTES_LOW = 1024 * 1024;
/** While the coordinator keeps up, what is sent was written a moment ago: reading it back would be a detour. */
const RECENT_BYTES_MAX = WINDOW_BYTES;
const WRITE_RETRY_MS = { first: 100, max: 5000 };

export type Writev = (file: number, buffers: Buffer[], position: number) => Promise<number>;

const writevToFile: Writev = (file, buffers, position) =>
  new Promise((resolve, reject) => {
    fsWritev(file, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
  });

export interface SpoolOptions {
  directory: string;
  /** Path of the ingest URL: a spool belongs to one execution. */
  execution: string;
  bootId: string;
  limitBytes?: number;
  now?: () => number;
  /** Tests make the disk fail here. */
  writev?: Writev;
}

export interface SpoolHandlers {
  onStored(chunk: Chunk): void;
  /** Why the child should not write more now; called with each change. */
  onPressure(pressure: SpoolPressure): void;
  /** Once per run of failures, and once more when it is over. */
  onWriteFailure(message: string | null): void;
}

export type SpoolPressure = 'none' | 'queue' | 'disk_full' | 'write_failure';

export type SpoolOpening =
  | { kind: 'opened'; spool: Spool; recovered: Recovered; crashed: boolean }
  | { kind: 'locked'; pid: number | null }
  | { kind: 'other_execution'; execution: string };

export class Spool {
  readonly directory: string;
  readonly state: SpoolState;
  readonly #limitBytes: number;
  readonly #writev: Writev;
  readonly #release: () => void;
  #handlers: SpoolHandlers = { onStored: () => {}, onPressure: () => {}, onWriteFailure: () => {} };

  #nextSeq: number;
  #terminal: boolean;
  #queue: Buffer[] = [];
  readonly #waiting = new LineRing(QUEUE_BYTES_MAX + CHUNK_BYTES_MAX);
  #queueBytes = 0;
  #writing: Promise<void> | null = null;
  #failing = false;
  #pressure: SpoolPressure = 'none';
  #closed = false;

  /** First seqs of the segments on disk, rising; the last one is being written. */
  #segments: number[];
  #file: number | null = null;
  #position: number;
  /** Stored and not acked, plus what waits to be written: what the limit is about. */
  #unackedBytes: number;
  #full = false;

  /**
   * Contiguous tail of what was written last: byte `p` of the segment is in the ring at `p % RECENT_BYTES_MAX`. It is copied there, so that the buffers of the lines
   * die young: kept themselves, they would live just long enough to be collected late, and the process would grow to twice its size.
   */
  readonly #ring = Buffer.allocUnsafeSlow(RECENT_BYTES_MAX);
  #recent = { segment: 0, from: 0, to: 0 };
  #scratch = Buffer.alloc(0);
  #reading: { segment: number; file: number } | null = null;

  /** Creates the directory. Throws when it can not be used at all; whatever an earlier wrapper left is a return value. */
  static open(options: SpoolOptions): SpoolOpening {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    const lock = lockSpool(options.directory);
    if (lock.kind === 'held') return { kind: 'locked', pid: lock.pid };
    try {
      const found = readSpoolState(options.directory);
      if (found && found.execution !== options.execution) {
        lock.release();
        return { kind: 'other_execution', execution: found.execution };
      }
      const recovered = recoverSegments(options.directory, (options.now ?? Date.now)());
      const state = found ?? newSpoolState(options.execution, options.bootId);
      state.bootId = options.bootId;
      const spool = new Spool(options, state, recovered, lock.release);
      spool.saveState();
      return { kind: 'opened', spool, recovered, crashed: state.job.begun || recovered.nextSeq > 1 };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(options: SpoolOptions, state: SpoolState, recovered: Recovered, release: () => void) {
    this.directory = options.directory;
    this.state = state;
    this.#limitBytes = options.limitBytes ?? SPOOL_LIMIT_BYTES_DEFAULT;
    this.#writev = options.writev ?? writevToFile;
    this.#release = release;
    this.#segments = [...recovered.segments];
    this.#position = recovered.position;
    this.#nextSeq = recovered.nextSeq;
    this.#terminal = recovered.terminal;
    this.#unackedBytes = recovered.chunks.reduce((sum, { bytes }) => sum + bytes, 0);
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
  /** What it holds in memory right now, for the tests of SP4. */
  get memoryBytes(): number {
    return this.#queueBytes + this.#recent.to - this.#recent.from;
  }

  saveState(): void {
    writeSpoolState(this.directory, this.state);
  }

  /** Takes one encoded event line, with its line end; it is copied, or belongs to the spool afterwards. False when the run is over already. */
  append(line: Buffer, terminal = false): boolean {
    if (this.#terminal || this.#closed) return false; // SP5
    this.#terminal = terminal;
    this.#nextSeq += 1;
    this.#queue.push(this.#waiting.keep(line));
    this.#queueBytes += line.length;
    this.#unackedBytes += line.length;
    this.#judgePressure();
    // Begun after the caller's turn: the events of one read are one write.
    this.#writing ??= Promise.resolve().then(() => this.#writeAll());
    return true;
  }

  /** Resolves when all that was appended so far is on disk. */
  async stored(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /**
   * Goes on numbering at `seq`. The coordinator acked more than is here: the host crashed after an ack and the tail never reached the
   * medium. That is why a restarted wrapper makes no event of its own before its first welcome; nothing may be queued now.
   */
  skipTo(seq: number): void {
    if (this.#writing || this.#queue.length > 0) throw new Error('skipTo with events under way');
    if (seq <= this.#nextSeq) return;
    this.#nextSeq = seq;
    this.#closeFile();
    this.#position = SEGMENT_BYTES; // The next event begins a segment of its own.
  }

  /** Everything up to `ackedSeq` is the coordinator's now; `releasedBytes` of it were counted here. */
  release(ackedSeq: number, releasedBytes: number): void {
    this.#unackedBytes -= releasedBytes;
    while (this.#segments.length > 1 && (this.#segments[1] as number) <= ackedSeq + 1) {
      const segment = this.#segments.shift() as number; // SP6
      if (this.#reading?.segment === segment) this.#stopReading();
      rmSync(segmentPath(this.directory, segment), { force: true });
    }
    this.#judgePressure();
  }

  /**
   * The bytes of neighbouring chunks, from memory as far as they are recent. They lie in a buffer that is used again: good for this turn and no longer. (A new one
   * for each frame would be garbage that nothing but its size makes the collector look at.) Throws when they can not be read.
   */
  read(chunks: readonly Pick<Chunk, 'segment' | 'position' | 'bytes'>[]): Buffer {
    const length = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const { segment, position, bytes } of chunks) {
      const target = this.#scratch.subarray(at, at + bytes);
      if (!this.#readRecent(segment, position, target)) this.#readFile(segment, position, target);
      at += bytes;
    }
    return this.#scratch.subarray(0, length);
  }

  /** Lets go of files and lock; what is not acked stays on disk for the next boot. */
  async close(): Promise<void> {
    await this.stored();
    this.#closed = true;
    this.#closeFile();
    this.#stopReading();
    this.#release();
  }

  /** The run is over and known to be: removes all of it but the directory. */
  async destroy(): Promise<void> {
    await this.stored();
    this.#closed = true;
    this.#closeFile();
    this.#stopReading();
    for (const segment of listSegments(this.directory)) rmSync(segmentPath(this.directory, segment), { force: true });
    rmSync(`${this.directory}/${STATE_FILE}`, { force: true });
    this.#release();
  }

  // ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #writeAll(): Promise<void> {
    // A failed spool limit or a full disk holds this loop for long; `stored` waits for it.
    while (this.#queue.length > 0) {
      const { buffers, chunks, bytes } = this.#takeBatch();
      const position = this.#position;
      if (!(await this.#writeFully(buffers, bytes, position))) {
        this.#queue = buffers.concat(this.#queue); // The same events again, in a segment that there is room for.
        continue;
      }
      this.#position = position + bytes;
      this.#queueBytes -= bytes;
      this.#remember(buffers, chunks[0] as Chunk);
      this.#waiting.release(buffers);
      for (const chunk of chunks) this.#handlers.onStored(chunk); // SP1
      this.#judgePressure();
    }
    this.#writing = null;
  }

  /** The next lines to write together, grouped into chunks. They stay counted in `#queueBytes` until they are written. */
  #takeBatch(): { buffers: Buffer[]; chunks: Chunk[]; bytes: number } {
    const firstSeq = this.#nextSeq - this.#queue.length;
    if (this.#segments.length === 0 || this.#position >= SEGMENT_BYTES) {
      this.#closeFile();
      this.#segments.push(firstSeq);
      this.#position = 0;
    }
    const segment = this.#segments.at(-1) as number;
    const chunks: Chunk[] = [];
    let taken = 0;
    let bytes = 0;
    for (const { length } of this.#queue) {
      if (taken > 0 && bytes + length > WRITE_BYTES_MAX) break;
      const last = chunks.at(-1);
      if (last && last.bytes + length <= CHUNK_BYTES_MAX) {
        last.count += 1;
        last.bytes += length;
      } else {
        chunks.push({ firstSeq: firstSeq + taken, count: 1, bytes: length, segment, position: this.#position + bytes });
      }
      taken += 1;
      bytes += length;
    }
    return { buffers: this.#queue.splice(0, taken), chunks, bytes };
  }

  /** False when room was made: nothing of the batch is stored, and its place is not there any more. */
  async #writeFully(buffers: Buffer[], bytes: number, position: number): Promise<boolean> {
    let rest = buffers;
    let written = 0;
    let delayMs = WRITE_RETRY_MS.first;
    while (written < bytes) {
      try {
        this.#file ??= openSync(
          segmentPath(this.directory, this.#segments.at(-1) as number),
          this.#position === 0 ? 'w' : 'r+',
          0o600,
        );
        const count = await this.#writev(this.#file, rest, position + written);
        if (count === 0) throw new Error('nothing was written');
        written += count;
        rest = dropBytes(rest, count);
        if (this.#failing) {
          this.#failing = false;
          this.#handlers.onWriteFailure(null);
          this.#judgePressure();
        }
        delayMs = WRITE_RETRY_MS.first;
      } catch (error) {
        if (!this.#failing) {
          this.#failing = true;
          this.#handlers.onWriteFailure((error as Error).message);
          this.#judgePressure();
        }
        if (this.#makeRoom()) return false; // SP7
        await new Promise((resolve) => setTimeout(resolve, delayMs)); // SP3
        delayMs = Math.min(delayMs * 2, WRITE_RETRY_MS.max);
      }
    }
    return true;
  }

  /**
   * A segment is deleted when the next one has begun (SP6). On a full disk none can begin, so the last one goes when all of it is acked. After a crash
   * at this point there is no segment, and the numbering goes on by what the coordinator has (`skipTo`).
   */
  #makeRoom(): boolean {
    if (this.#position === 0 || this.#unackedBytes !== this.#queueBytes) return false;
    this.#closeFile();
    this.#stopReading();
    this.#forgetRecent();
    for (const segment of this.#segments) rmSync(segmentPath(this.directory, segment), { force: true });
    this.#segments = [];
    this.#position = 0;
    return true;
  }

  /** Full at the limit, usable again when an eighth of it is free: at a single byte of hysteresis the child would stutter. */
  #judgePressure(): void {
    if (this.#unackedBytes >= this.#limitBytes) this.#full = true;
    else if (this.#unackedBytes <= this.#limitBytes - this.#limitBytes / 8) this.#full = false;
    const queueLimit = this.#pressure === 'queue' ? QUEUE_BYTES_LOW : QUEUE_BYTES_MAX;
    let pressure: SpoolPressure = 'none';
    if (this.#failing) pressure = 'write_failure';
    else if (this.#full) pressure = 'disk_full';
    else if (this.#queueBytes > queueLimit) pressure = 'queue';
    if (pressure === this.#pressure) return;
    this.#pressure = pressure;
    this.#handlers.onPressure(pressure);
  }

  // ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #remember(buffers: Buffer[], { segment, position }: Chunk): void {
    const recent = this.#recent;
    if (recent.segment !== segment || recent.to !== position) this.#recent = { segment, from: position, to: position };
    for (const bytes of buffers) this.#keep(bytes);
  }

  #keep(bytes: Buffer): void {
    for (let copied = 0; copied < bytes.length; ) {
      const at = this.#recent.to % RECENT_BYTES_MAX;
      const count = bytes.copy(this.#ring, at, copied);
      this.#recent.to += count;
      copied += count;
    }
    this.#recent.from = Math.max(this.#recent.from, this.#recent.to - RECENT_BYTES_MAX);
  }

  #forgetRecent(): void {
    this.#recent = { segment: 0, from: 0, to: 0 };
  }

  /** False when not all of it is in the ring. */
  #readRecent(segment: number, position: number, target: Buffer): boolean {
    const { segment: kept, from, to } = this.#recent;
    if (kept !== segment || position < from || position + target.length > to) return false;
    const copied = this.#ring.copy(target, 0, position % RECENT_BYTES_MAX);
    if (copied < target.length) this.#ring.copy(target, copied);
    return true;
  }

  /** Synchronous on purpose: at most a frame, mostly from the page cache, and no other turn can slip in between plan and send. */
  #readFile(segment: number, position: number, target: Buffer): void {
    if (this.#reading?.segment !== segment) {
      this.#stopReading();
      this.#reading = { segment, file: openSync(segmentPath(this.directory, segment), 'r') };
    }
    for (let read = 0; read < target.length; ) {
      const count = readSync(this.#reading.file, target, read, target.length - read, position + read);
      if (count === 0) throw new Error(`segment ${segment} ends before ${position + target.length}`);
      read += count;
    }
  }

  #stopReading(): void {
    if (this.#reading) closeSync(this.#reading.file);
    this.#reading = null;
  }

  #closeFile(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}

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
